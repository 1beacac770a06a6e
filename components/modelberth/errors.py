"""What goes wrong in a specification, told to the person who wrote it."""

from types import UnionType
from typing import Any, Union, get_args, get_origin

import pulumi
from pydantic import BaseModel, ValidationError

from model_packaging.errors import ModelberthError, choices, did_you_mean

__all__ = ["GapError", "SpecificationError", "at_key", "choices", "did_you_mean", "problems_of"]


class SpecificationError(ModelberthError, pulumi.RunError):
    """A specification that can't be deployed as written; its text holds every problem that was found.

    Being a `pulumi.RunError`, it ends the program with its text alone and no traceback.
    """


class GapError(SpecificationError):
    """The specification asks for what its platform can't do; the text says why and which platforms can."""


def problems_of(error: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    """Return one sentence for each finding of pydantic's, with the full key and what is allowed.

    Args:
        error: What validating `model` raised.
        model: The class that was validated, for the names that are allowed.
        where: What goes before the key: the file and the key of the value that was validated.
    """
    return [_sentence(finding, model, where) for finding in error.errors()]


def _sentence(finding: Any, model: type[BaseModel], where: str) -> str:
    path = tuple(part for part in finding["loc"] if not str(part).startswith("function-"))
    key = _joined(where, ".".join(str(part) for part in path))
    value = finding["input"]
    context = finding.get("ctx") or {}
    match finding["type"]:
        case "extra_forbidden":
            allowed = _keys_at(model, path[:-1])
            name = str(path[-1])
            return f"{key}: unknown key{did_you_mean(name, allowed)}; allowed here: {', '.join(sorted(allowed))}"
        case "missing":
            return f"{key}: is missing"
        case "value_error" if isinstance(context.get("error"), _Located):
            return _joined(key, str(context["error"]))
        case "value_error" | "assertion_error":
            return f"{key}: {_shown(value)}{context.get('error')}"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            bound = next(iter(context.values()))
            words = finding["type"].replace("_", " ").replace(" equal", " or equal")
            return f"{key}: {value!r} is out of range: must be {words} to {bound}".replace("than to", "than")
        case _:
            return f"{key}: {_shown(value)}{finding['msg'][0].lower()}{finding['msg'][1:]}"


def _joined(where: str, key: str) -> str:
    if not key or not where:
        return where or key
    return f"{where}{key}" if where.endswith(":") else f"{where}.{key}"


def _shown(value: object) -> str:
    return f"{value!r} " if isinstance(value, str | int | float | bool | None) else ""


class _Located(ValueError):
    """A finding of a whole model about one of its keys; its text begins with that key."""


def at_key(key: str, problem: str) -> ValueError:
    """Return the error with which a validator of a whole model names the key that is wrong."""
    return _Located(f"{key}: {problem}")


def _keys_at(model: type[BaseModel], path: tuple[str | int, ...]) -> set[str]:
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = None if field is None else field.annotation
        else:
            arguments = get_args(current)
            current = arguments[-1] if get_origin(current) in (dict, list) and arguments else None
        current = _model_in(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        extra: set[str] = getattr(current, "extra_keys", lambda: set[str]())()
        return {field.alias or name for name, field in current.model_fields.items() if not field.exclude} | extra
    return set()


def _model_in(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        return models[0] if models else options[0]
    return annotation
