"""What all components do: take their arguments as objects or as dictionaries, and refuse them all at once."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from .errors import SpecificationError, problems_of
from .spec import Spec

Args = TypeVar("Args", bound=Spec)


def parsed(kind: type[Args], name: str, args: Args | Mapping[str, Any]) -> Args:
    """Return arguments of the class `kind`.

    Raises:
        SpecificationError: a dictionary that does not fit it; the text has all that is wrong.
    """
    if isinstance(args, kind):
        return args
    try:
        return kind.model_validate(dict(args))
    except ValidationError as error:
        raise SpecificationError(*problems_of(error, kind, name)) from error


def fields_of(spec: Spec, kind: type[Spec]) -> dict[str, Any]:
    """Return the fields that `spec` shares with the class `kind`, as they are."""
    return {name: getattr(spec, name) for name in kind.model_fields if name in type(spec).model_fields}


def refuse(problems: list[str]) -> None:
    """Raise a `SpecificationError` if there are problems."""
    if problems:
        raise SpecificationError(*problems)
