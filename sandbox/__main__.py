"""`python -m sandbox up|down|env`: what `make up`, `make down` and `make env` do."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from model_packaging.errors import ModelberthError
from sandbox import emulator, examples, report, settings
from sandbox.engine.install import Engine, installed_engine
from sandbox.engine.run import Stack, ensure_tools
from sandbox.stack_file import StackFile, read


def up(name: str) -> None:
    """Deploy a stack, ask it for a prediction and print what is there."""
    stack = read(name)
    if stack.emulator_url is None:
        _check_account(stack)
    environment = _environment(stack, ensure_tools())
    examples.ensure_packages(stack)
    driven = Stack(name, environment)
    driven.ensure()
    _ensure_emulator(stack, driven)
    driven.up()
    os.environ.update(environment)
    print("\n" + report.table(stack, json.loads(driven.outputs())), flush=True)


def down(name: str) -> None:
    """Destroy a stack and end every process of the sandbox."""
    stack = read(name)
    driven = Stack(name, _environment(stack, ensure_tools()))
    if driven.exists():
        _ensure_emulator(stack, driven)
        driven.destroy(preview=stack.emulator_url is None)
        _memory(stack).unlink(missing_ok=True)
    if stack.emulator_url and emulator.stop(stack.emulator_url):
        print("The sandbox has stopped.", flush=True)


def env(name: str) -> None:
    """Print what a shell needs to use the sandbox."""
    stack = read(name)
    if stack.emulator_url is None:
        raise ModelberthError(f"the stack {name} is on a real account: use your own credentials")
    print(settings.shell_lines(_variables(stack, ensure_tools())))
    if emulator.health(stack.emulator_url) is None:
        print(f"The sandbox does not run: make up STACK={name}", file=sys.stderr)


def _variables(stack: StackFile, engine: Engine) -> dict[str, str]:
    assert stack.emulator_url is not None
    return (
        {"PATH": settings.path()}
        | settings.backend(built=not engine.installed)
        | settings.clients(stack.emulator_url, stack.region)
    )


def _environment(stack: StackFile, engine: Engine) -> dict[str, str]:
    """The environment for a stack's commands; on a real account the user's own, where backend and credentials are."""
    if stack.emulator_url is None:
        return {**os.environ, "PATH": settings.path()}
    return settings.process_environment(_variables(stack, engine))


def _check_account(stack: StackFile) -> None:
    """Say what a stack on a real account lacks, before anything is done.

    Raises:
        ModelberthError: with everything that is missing.
    """
    problems: list[str] = []
    try:
        boto3.client("sts", region_name=stack.region or None).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        problems.append(
            f"stacks/Pulumi.{stack.name}.yaml: the stack is on a real AWS account, but there are no usable "
            f"credentials ({error}): run `aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if installed_engine() is None:
        problems.append(
            f"stacks/Pulumi.{stack.name}.yaml: a real account is deployed to by the official AWS plugin only, which "
            "comes with Pulumi: install it (https://www.pulumi.com/docs/install/)"
        )
    if problems:
        raise ModelberthError(*problems)


def _ensure_emulator(stack: StackFile, driven: Stack) -> None:
    """Start the emulator if the stack needs one, and let the engine see when an earlier one took all with it."""
    if stack.emulator_url is None:
        return
    instance = emulator.ensure(stack.emulator_url)
    memory = _memory(stack)
    if memory.is_file() and memory.read_text() != instance:
        print("The sandbox was started anew and is empty; the engine's record is refreshed first.", flush=True)
        driven.refresh()
    memory.write_text(instance)


def _memory(stack: StackFile) -> Path:
    """The file that holds the identity of the emulator that a stack was deployed into."""
    return settings.HOME / f"emulator-of-{stack.name}"


def main() -> int:
    """Run one command; failures are one text on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = {"up": up, "down": down, "env": env}
    parser.add_argument("command", choices=commands)
    parser.add_argument("stack", nargs="?", default="local-sagemaker")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        commands[options.command](options.stack)
    except ModelberthError as error:
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    if options.command != "env":
        print(f"\n{time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
