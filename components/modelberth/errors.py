"""What goes wrong in a specification, told to the person who wrote it."""

from types import UnionType
from typing import Any, Union, get_args, get_origin

import pulumi
from pydantic import BaseModel, ValidationError

from model_packaging.errors import ModelberthError, choices, did_you_mean

__all__ = ["SpecificationError", "at_key", "at_keys", "choices", "did_you_mean", "problems_of"]

_LONGEST_VALUE = 80


class SpecificationError(ModelberthError, pulumi.RunError):
    """A specification that can't be deployed as written; its text holds every problem that was found.

    Being a `pulumi.RunError`, it ends the program with its text alone and no traceback.
    """


def problems_of(error: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    """Return one sentence for each finding of pydantic's, with the full key, the value and what is allowed.

    Args:
        error: What validating `model` raised.
        model: The class that was validated, for the names that are allowed.
        where: What goes before the key: the file and the key of the value that was validated.
    """
    return [sentence for finding in error.errors() for sentence in _sentences(finding, model, where)]


def _sentences(finding: Any, model: type[BaseModel], where: str) -> list[str]:
    path = tuple(part for part in finding["loc"] if not str(part).startswith("function-"))
    key = _joined(where, ".".join(str(part) for part in path))
    value = finding["input"]
    context: dict[str, Any] = finding.get("ctx") or {}
    cause = context.get("error")
    match finding["type"]:
        case _ if isinstance(cause, _Located):
            if cause.beside:
                key = _joined(where, ".".join(str(part) for part in path[:-1]))
            return [_joined(key, problem) for problem in cause.problems]
        case "extra_forbidden":
            allowed = _keys_at(model, path[:-1])
            name = str(path[-1])
            return [f"{key}: unknown key{did_you_mean(name, allowed)}; allowed here: {', '.join(sorted(allowed))}"]
        case "missing":
            required = _keys_at(model, path[:-1], required=True)
            return [f"{key}: is missing; required here: {', '.join(sorted(required))}"]
        case "value_error" | "assertion_error":
            return [f"{key}: {_shown(value)}{cause}"]
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            bound = next(iter(context.values()))
            side = "at least" if finding["type"] == "greater_than_equal" else "at most"
            if not finding["type"].endswith("_equal"):
                side = finding["type"].replace("_", " ")
            return [f"{key}: {value!r} is out of range: must be {side} {bound:g}"]
        case "dict_type" | "model_type" | "model_attributes_type":
            return [f"{key}: {_shown(value)}must be a map of keys to values"]
        case _:
            allowed = finding["msg"].replace("Input should be", "must be")
            return [f"{key}: {_shown(value)}{allowed[0].lower()}{allowed[1:]}"]


def _joined(where: str, key: str) -> str:
    if not key or not where:
        return where or key
    return f"{where}{key}" if where.endswith(":") else f"{where}.{key}"


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float | bool | None):
        return ""
    shown = repr(value)
    return f"{shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + '…'} "


class _Located(ValueError):
    """Findings about keys of the value that is validated, or `beside` it; each text begins with its key."""

    def __init__(self, problems: list[str], *, beside: bool) -> None:
        super().__init__("; ".join(problems))
        self.problems, self.beside = problems, beside


def at_key(key: str, problem: str) -> ValueError:
    """Return the error with which a validator of a whole model names the key that is wrong."""
    return _Located([f"{key}: {problem}"], beside=False)


def at_keys(problems: list[str], *, beside: bool = False) -> ValueError:
    """Return the error with which a validator names several keys that are wrong; each problem begins with its key.

    Args:
        problems: What is wrong.
        beside: Whether the keys stand beside the field whose validator raises this, not below it.
    """
    return _Located(problems, beside=beside)


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...], *, required: bool = False) -> set[str]:
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = None if field is None else field.annotation
        else:
            arguments = get_args(current)
            current = arguments[-1] if get_origin(current) in (dict, list) and arguments else None
        current = _model_in(current)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return set()
    fields = current.model_fields
    if required:
        return {name for name, field in fields.items() if field.is_required()}
    extra: set[str] = getattr(current, "extra_keys", lambda: set[str]())()
    return {name for name, field in fields.items() if not field.exclude} | extra


def _model_in(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        return models[0] if models else options[0]
    return annotation
