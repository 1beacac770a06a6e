"""`python -m sandbox up|down|env`: what `make up`, `make down` and `make env` do."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from model_packaging.errors import ModelberthError
from sandbox import clouds, examples, report, settings
from sandbox.engine.install import Engine
from sandbox.engine.run import Stack, ensure_tools
from sandbox.stack_file import StackFile, read


def up(name: str) -> None:
    """Deploy a stack, ask it for a prediction and print what is there; preview it where it can't run here."""
    stack = read(name)
    cloud = clouds.of(stack)
    if not cloud.is_local(stack) and (problems := cloud.problems(stack)):
        raise ModelberthError(*problems)
    environment = _environment(stack, ensure_tools())
    examples.ensure_packages(stack)
    driven = Stack(name, environment)
    driven.ensure()
    _ensure_cloud(stack, driven)
    if cloud.is_local(stack) and (reasons := cloud.reasons_against_deploying(stack)):
        driven.preview()
        raise ModelberthError(
            "nothing was deployed, because this machine can't run what the stack needs; the preview above was judged "
            f"by what does run, and is shown again by `make env STACK={name}` and `pulumi preview`",
            *reasons,
        )
    driven.up()
    os.environ.update(environment)
    print("\n" + report.table(stack, json.loads(driven.outputs())), flush=True)


def down(name: str) -> None:
    """Destroy a stack and end every process of the sandbox."""
    stack = read(name)
    cloud = clouds.of(stack)
    driven = Stack(name, _environment(stack, ensure_tools()))
    if driven.exists():
        _ensure_cloud(stack, driven)
        driven.destroy(preview=not cloud.is_local(stack))
        _memory(stack).unlink(missing_ok=True)
    if cloud.is_local(stack) and cloud.stop(stack):
        print("The sandbox has stopped.", flush=True)


def env(name: str) -> None:
    """Print what a shell needs to use the sandbox."""
    stack = read(name)
    cloud = clouds.of(stack)
    if not cloud.is_local(stack):
        raise ModelberthError(f"the stack {name} is on a real account: use your own credentials")
    print(settings.shell_lines(_variables(stack, ensure_tools())))
    if not cloud.is_running(stack):
        print(f"The sandbox does not run: make up STACK={name}", file=sys.stderr)


def _variables(stack: StackFile, engine: Engine) -> dict[str, str]:
    own = clouds.of(stack).variables(stack)
    return {"PATH": settings.path()} | settings.backend(built=not engine.installed) | own


def _environment(stack: StackFile, engine: Engine) -> dict[str, str]:
    """The environment for a stack's commands; on a real account the user's own, where backend and credentials are."""
    if not clouds.of(stack).is_local(stack):
        return {**os.environ, "PATH": settings.path()}
    return settings.process_environment(_variables(stack, engine))


def _ensure_cloud(stack: StackFile, driven: Stack) -> None:
    """Start what the stack needs here, and let the engine see when an earlier one took all with it."""
    cloud = clouds.of(stack)
    if not cloud.is_local(stack):
        return
    instance = cloud.ensure(stack)
    memory = _memory(stack)
    if memory.is_file() and memory.read_text() != instance:
        print("The sandbox was started anew and is empty; the engine's record is refreshed first.", flush=True)
        driven.refresh()
    memory.write_text(instance)


def _memory(stack: StackFile) -> Path:
    """The file that holds the identity of what a stack was deployed into."""
    return settings.HOME / f"emulator-of-{stack.name}"


def main() -> int:
    """Run one command; failures are one text on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = {"up": up, "down": down, "env": env}
    parser.add_argument("command", choices=commands)
    parser.add_argument("stack", nargs="?", default=settings.DEFAULT_STACK)
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
