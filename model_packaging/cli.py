"""The command `modelberth`: a table of commands, each imported when it is used.

`modelberth --help` must be quick, so the modules below import scikit-learn, a web server or a cloud
SDK inside their functions only.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from .errors import ModelberthError

COMMANDS = {
    "pack": "model_packaging.commands:pack",
    "show": "model_packaging.commands:show",
    "card": "model_packaging.card.command:card",
    "check": "model_packaging.commands:check",
    "publish": "model_packaging.commands:publish",
    "pull": "model_packaging.commands:pull",
    "sign": "model_packaging.commands:sign",
    "verify": "model_packaging.commands:verify",
    "validate": "model_packaging.validation.command:validate",
    "data": "model_packaging.data.command:app",
    "compare-variants": "model_packaging.variants.command:compare_variants",
    "trace": "model_packaging.data.trace_command:trace",
    "serve": "model_packaging.serving.command:serve",
    "train": "model_packaging.jobs.command:train",
    "retrain": "model_packaging.jobs.command:retrain",
    "job": "model_packaging.jobs.command:app",
    "start-on-alarm": "model_packaging.jobs.alarm_start:start_on_alarm",
    "rollout": "model_packaging.jobs.rollout:rollout",
    "image": "model_packaging.image.command:app",
}

_EXTRAS = {
    "boto3": "jobs",
    "gcsfs": "gcp",
    "google": "gcp",
    "grpc": "grpc",
    "matplotlib": "jobs",
    "onnxruntime": "serve",
    "orjson": "serve",
    "packaging": "serve",
    "pandas": "serve",
    "prometheus_client": "serve",
    "pyarrow": "jobs",
    "requests": "jobs",
    "s3fs": "jobs",
    "safetensors": "huggingface",
    "scipy": "jobs",
    "sklearn": "serve",
    "skops": "serve",
    "starlette": "serve",
    "tokenizers": "huggingface",
    "uvicorn": "serve",
    "yaml": "jobs",
}


class _Commands(TyperGroup):
    """Finds commands in the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        found: Any = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"modelberth {version('modelberth')}")
        raise typer.Exit


@app.callback()
def modelberth(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    """Package a model, judge it, publish it, serve it.

    Example: modelberth show ./packages/flights
    """


def main() -> None:
    """Entry point: failures are one text on stderr and exit code 1; misuse is exit code 2."""
    try:
        app()
    except ModelberthError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        top = (error.name or "").partition(".")[0]
        if top not in _EXTRAS:
            raise
        fail(f'this command needs {top}: pip install "modelberth[{_EXTRAS[top]}]"')
    except OSError as error:
        if not error.filename and not error.errno:
            raise
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def fail(text: str) -> None:
    """Print the text for people and leave with exit code 1."""
    print(f"modelberth: {text}", file=sys.stderr)
    sys.exit(1)
