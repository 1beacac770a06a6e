"""Write the reference pages whose truth is in the code: `python docs/generate.py`.

- reference/configuration.md: every key of a stack's configuration, from `modelberth.spec` and the platforms' options;
- reference/cli.md: every command, from `modelberth --help`.

A test fails when a page differs from what this prints.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import typer
from annotated_types import Ge, Gt, Le, Lt
from modelberth import spec
from modelberth.quantities import format_duration
from modelberth.registry import CAPABILITIES, PLATFORMS, load
from modelberth.vocabulary import ALARMS
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model_packaging import cli, gate

HERE = Path(__file__).parent

OPTIONS: dict[str, type[BaseModel]] = {
    f"{key}.{platform}": getattr(load(platform, module), name)
    for platform in PLATFORMS
    for key, module, name in (
        ("models.*", "shared", "Options"),
        *((capability, capability, "Options") for capability in CAPABILITIES),
        ("alarms.monitor", "alarms", "MonitorOptions"),
    )
}

WRITTEN: dict[str, str] = {
    "parse_duration": "duration: `200ms`, `5m`, `24h`, `30d`; a number is seconds",
    "parse_ratio": "share: `10%`; a number is 0 to 1",
    "parse_size": "size: `512Mi`, `4Gi`; a number is bytes",
    "_check_package": "a path, or an address with `@sha256:…`",
    "_check_platform": " or ".join(f"`{name}`" for name in PLATFORMS),
    "check_namespace": "name of a namespace",
    "check_object_name": "name of an object",
    "check_secret": "`<name>` or `<namespace>/<name>`",
    "check_bucket": "name of a bucket",
    "check_host": "host name",
    "check_project": "project's id",
    "check_location": "region",
    "check_bucket_location": "region, or `EU`, `US`, `ASIA`",
    "_check_path": "a path such as `/models/churn`",
    "check_url": "`http://…` or `https://…`",
    "check_origin": "`https://<host>:<port>`",
    "parse_quantity": "quantity: `40`, `500m`, `64Gi`",
    "_text_or_output": "text",
    "check_schedule": "cron: minute hour day-of-month month day-of-week",
    "check_timezone": "IANA name, such as `Europe/Prague`",
    "parse_text": "text, number or truth",
}
"""How a value is written, by the function that reads it."""

MEANINGS: dict[str, str] = {
    "compute.cpu": "Processors of one replica, or of the training machine.",
    "compute.memory": "Its memory.",
    "scale.min": "Replicas that always run. A canary needs at least 2 on SageMaker and Kubernetes. `0`, with `max`, "
    "runs none while nobody asks, where the platform can.",
    "scale.max": "Replicas under the highest load; the number stays at `min` if left out.",
    "capture.sample": "The share of requests that is kept.",
    "rollout.canary": "The share of replicas that the new package gets first, 1% to 50%. All traffic shifts in one "
    "step if left out.",
    "rollout.bake": "How long the alarms are watched after each step; on SageMaker at most `1h`.",
    "place.endpoint": "The endpoint's platform; the stack's if left out.",
    "place.bucket": "The bucket's platform; the stack's if left out.",
    "place.alarms": "The alarms' platform; the stack's if left out.",
    "place.retraining": "The schedule's platform; the stack's if left out.",
    "monitor.schedule": "When the monitor job runs, in UTC.",
    "retraining.schedule": "When a run starts, in `timezone`. Restrict the day of the month or the day of the week, "
    "not both.",
    "retraining.timezone": "The time zone of `schedule`, daylight saving included.",
    "metrics.*.min": "The least that passes.",
    "metrics.*.max": "The most that passes. Give `min`, `max` or both.",
    "modelberth.models": "The models by name: 2 to 40 lower-case letters, digits and single hyphens, beginning with a "
    "letter. A name is an identity: another name is another endpoint and another bucket.",
    "modelberth.tags": "Put on every resource that takes tags, besides `modelberth:project` and `modelberth:stack`. "
    "Objects in S3 bear them only while there are at most 10. On Kubernetes they are labels, or annotations where a "
    "value is no label's.",
    "endpoint.kubernetes.cpu_target": "With `scale.max`: the use of its processors, in percent, by which the number of "
    "replicas is chosen; it needs the cluster's metrics server.",
    "endpoint.sagemaker.volume_size_gb": "The disk of each replica, in GB; SageMaker's own size if left out.",
    "models.*.gate": "The rules that a package must pass.",
    "models.*.bucket": "Where packages, captured traffic and reports are kept: versioned, encrypted, private.",
    "models.*.retraining": "When and how the model is trained again. A candidate that passes the gate is published, "
    "never deployed. Nothing is retrained if left out.",
}
"""What keys mean whose class tells it only as a whole, or not for a configuration; by the last parts of the key."""

INTRODUCTION = """# Stack configuration

Every key under `modelberth:` in `stacks/Pulumi.<stack>.yaml`. This page is made from the code by `docs/generate.py`; \
a test keeps the two alike. The metrics behind the alarms stand in [metrics](../metrics.md), how to deploy in \
[deploy to AWS](../guides/deploy-to-aws.md).

Unknown keys, wrong types and values out of range are errors. All of them come at once, each with the file, the full \
key, the value and what is allowed, before any resource is touched. A path is relative to the project's folder. \
`*` stands for a name of your own, or for each item of a list. "Required" in the column "if left out" means an error; \
"none" means that there is none, or what the meaning says.
"""


def configuration() -> str:
    """Return the page of the stack's configuration."""
    parts = [INTRODUCTION]
    parts += _section("The stack", "modelberth", spec.StackSpec, {})
    parts += _section("A model: `modelberth:models.*`", "models.*", spec.ModelSpec, OPTIONS)
    parts += _section("Placement: `place`", "place", spec.Placement, {})
    parts += _section("Endpoint: `endpoint`", "endpoint", spec.EndpointSpec, OPTIONS)
    parts += _section("Bucket: `bucket`", "bucket", spec.BucketSpec, OPTIONS)
    parts += [
        *_section("Alarms: `alarms`", "alarms", spec.AlarmsSpec, OPTIONS),
        "Each alarm is a key of its own beside `notify` and `monitor`, such as `latency_p95: {above: 200ms}`. It fires "
        "when its value lies beyond the threshold for `periods` periods in a row; both have a default for each alarm. "
        "The alarms that need the monitor job need `endpoint.capture` too.\n",
        _alarm_keys(),
        _alarms(),
    ]
    parts += _section("Retraining: `retraining`", "retraining", spec.RetrainingSpec, OPTIONS)
    parts += [
        "SageMaker takes at most 2,500 characters of JSON in `parameters` and 256 in the gate's rules of a model that "
        "is retrained; at most 1,000 files in each of `source` and `data`; whole minutes, at most `24h`, in "
        "`flexible_window`; and at most `28d` in `timeout`.\n",
        "To Pulumi the key `on` is a text. Other programs that read YAML 1.1, PyYAML among them, take it for `true`; "
        "in a file that such a program writes, quote it.\n",
    ]
    parts += _section("Gate: `gate`", "gate", gate.GateRules, {})
    parts += [
        "A data version, a card and a validation with metrics are required whatever the rules say. A metric that is "
        "missing, NaN or infinite fails.\n"
    ]
    return "\n".join(parts)


def _section(title: str, prefix: str, model: type[BaseModel], options: dict[str, type[BaseModel]]) -> list[str]:
    lines = ["| key | written as | if left out | meaning |", "| --- | --- | --- | --- |"]
    rows = [*_rows(prefix, model)]
    for key, kind in options.items():
        if key.startswith(f"{prefix}."):
            rows += _rows(key, kind)
    for key, written, default, meaning in rows:
        shown = key.removeprefix("modelberth.")
        shown = f"modelberth:{shown}" if prefix == "modelberth" else shown.removeprefix(f"{prefix}.")
        lines.append(f"| `{shown}` | {written} | {default} | {meaning} |")
    return [f"## {title}\n", "\n".join(lines) + "\n"]


def _rows(
    prefix: str, model: type[BaseModel], defaults: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a class; `defaults` holds what applies where the whole part is left out."""
    documented = docstrings(model)
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        key = f"{prefix}.{name}"
        nested = _nested(field.annotation)
        apart = prefix in ("modelberth", "models.*")
        if nested is not None and not apart:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            path = f"{key}.*" if _holds_several(field.annotation) else key
            yield from _rows(path, nested, default if isinstance(default, BaseModel) else None)
            continue
        written = f"[see below](#{_anchor(name)})" if nested is not None else " or ".join(_written(field))
        default = "required" if field.is_required() or field.default == "" else _default(field, name, defaults)
        yield key, written, default, meaning(key, documented.get(name), nested)


def _anchor(name: str) -> str:
    titles = {"models": "a-model-modelberthmodels", "place": "placement-place"}
    return titles.get(name, f"{name}-{name}")


def meaning(key: str, documented: str | None, nested: type[BaseModel] | None = None) -> str:
    """Return what a key means.

    Raises:
        LookupError: neither its docstring nor `MEANINGS` tells.
    """
    parts = key.split(".")
    own = next((MEANINGS[tail] for n in range(len(parts)) if (tail := ".".join(parts[n:])) in MEANINGS), None)
    found = own or documented or (nested and inspect.getdoc(nested))
    if not found:
        raise LookupError(f"{key}: no docstring below the field, and nothing in MEANINGS")
    return " ".join(found.split()).replace("|", "\\|")


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the text below each field of a class and of those that it derives from."""
    found: dict[str, str] = {}
    for base in reversed(
        [one for one in model.__mro__ if one.__module__.startswith(("modelberth", "model_packaging"))]
    ):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for one, after in zip(tree.body, tree.body[1:], strict=False):
            match one, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = text
    return found


def _options(annotation: Any) -> list[Any]:
    """The kinds that an annotation allows, but for None."""
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [one for one in get_args(annotation) if one is not type(None)]
    return [annotation]


def _nested(annotation: Any) -> type[BaseModel] | None:
    for one in _options(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
        if _holds_several(one) and isinstance(get_args(one)[-1], type) and issubclass(get_args(one)[-1], BaseModel):
            return get_args(one)[-1]
    return None


def _holds_several(annotation: Any) -> bool:
    return get_origin(annotation) in (dict, list)


def _written(field: FieldInfo) -> list[str]:
    found: list[str] = []
    for one in _options(field.annotation):
        metadata = list(field.metadata)
        if get_origin(one) is Annotated:
            one, *more = get_args(one)
            metadata += more
            metadata += [bound for item in more if isinstance(item, FieldInfo) for bound in item.metadata]
        found.append(_kind(one, metadata) + _limits(metadata))
    return list(dict.fromkeys(found))


def _kind(annotation: Any, metadata: list[Any]) -> str:
    # What is checked last says most.
    for item in reversed(metadata):
        reader: Callable[..., Any] | None = getattr(item, "func", None)
        if reader is not None and getattr(reader, "__name__", "") in WRITTEN:
            return WRITTEN[reader.__name__]
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        inner = list(item.__metadata__) if get_origin(item) is Annotated else []
        return f"list of: {_kind(get_args(item)[0] if inner else item, inner)}"
    if get_origin(annotation) is dict:
        item = get_args(annotation)[1]
        if get_origin(item) is Annotated:
            kind, *inner = get_args(item)
            inner += [bound for one in inner if isinstance(one, FieldInfo) for bound in one.metadata]
            return f"map of names to: {_kind(kind, inner)}{_limits(inner)}"
        return "map of names to values" if item is Any else "map of names to texts"
    names = {
        bool: "`true` or `false`",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
        timedelta: "number and unit: `12h`, `30d`, `4w`",
    }
    return names[annotation]


def _limits(metadata: list[Any]) -> str:
    words = {Ge: "at least", Gt: "more than", Le: "at most", Lt: "less than"}
    limits = [f"{words[type(one)]} {_bound(one)}" for one in metadata if type(one) in words]
    patterns = [f"matching `{one.pattern}`" for one in metadata if getattr(one, "pattern", None)]
    return "".join(f", {limit}" for limit in [*limits, *patterns])


def _bound(limit: Any) -> str:
    """The number in a limit."""
    (number,) = (getattr(limit, name) for name in ("ge", "gt", "le", "lt") if hasattr(limit, name))
    return f"{number:g}"


def _default(field: FieldInfo, name: str, defaults: BaseModel | None) -> str:
    value = field.get_default(call_default_factory=True) if defaults is None else getattr(defaults, name)
    if isinstance(value, BaseModel):
        return "the defaults below"
    if value is None or value in ([], {}):
        return "none"
    readers = {getattr(getattr(item, "func", None), "__name__", "") for item in field.metadata}
    if "parse_size" in readers:
        return f"`{value // 1024**3}Gi`"
    if "parse_ratio" in readers:
        return f"`{100 * value:g}%`"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, int | float) else f"`{value}`"


def _alarm_keys() -> str:
    return "\n".join(
        [
            "| key of an alarm | written as | if left out | meaning |",
            "| --- | --- | --- | --- |",
            "| `above` or `below` | in the alarm's quantity | required | The threshold; which of the two, the next "
            "table says. |",
            "| `period` | duration in whole minutes | in the table | The span over which one value is computed. |",
            "| `periods` | whole number, at least 1 | in the table | How many values in a row must breach. Periods "
            "together last at most a day, or a week with a `period` of `1h` or more. |",
            "",
        ]
    )


def _alarms() -> str:
    written = {"duration": "duration, such as `200ms`", "share": "share, such as `5%`"}
    lines = ["| alarm | threshold | default | measured by | watches | what to do |", "| --- " * 6 + "|"]
    for name, kind in ALARMS.items():
        quantity = written.get(kind.quantity, "number of at least 0")
        silence = "; no value counts as a breach" if kind.silence_breaches else ""
        lines.append(
            f"| `{name}` | `{kind.side}`: {quantity} | {kind.periods} × {format_duration(kind.period)}{silence} "
            f"| {'the monitor job' if kind.source == 'monitor' else 'the platform'} | {kind.description} "
            f"| {kind.action} |"
        )
    return "\n".join([*lines, ""])


def commands() -> str:
    """Return the page of the command line."""
    parts = [
        "# Command line\n\n`modelberth` and its commands, as `--help` prints them. This page is made by "
        "`docs/generate.py`; a test keeps the two alike. A failure is one text on standard error and exit code 1; "
        "misuse is exit code 2.\n"
    ]
    root = typer.main.get_command(cli.app)
    for names, command, parent in _walk(root, ("modelberth",), None):
        context = _context(command, names, parent)
        parts.append(f"## {' '.join(names)}\n\n```text\n{_help(command, context)}\n```\n")
    return "\n".join(parts)


def _walk(
    command: click.Command, names: tuple[str, ...], parent: click.Context | None
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context | None]]:
    yield names, command, parent
    if hasattr(command, "list_commands"):
        context = _context(command, names, parent)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _walk(found, (*names, name), context)


def _context(command: click.Command, names: tuple[str, ...], parent: click.Context | None) -> click.Context:
    settings = {"terminal_width": 100, "max_content_width": 100, **command.context_settings}
    return command.context_class(command, info_name=names[-1], parent=parent, **settings)


def _help(command: click.Command, context: click.Context) -> str:
    # Plain text, whatever the terminal: boxes are for people at a screen.
    command.rich_markup_mode = None  # pyright: ignore[reportAttributeAccessIssue]
    return re.sub(r"[ \t]+$", "", command.get_help(context), flags=re.MULTILINE).strip()


PAGES: dict[Path, Callable[[], str]] = {
    HERE / "reference" / "configuration.md": configuration,
    HERE / "reference" / "cli.md": commands,
}


if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page())
        print(path.relative_to(HERE.parent))
