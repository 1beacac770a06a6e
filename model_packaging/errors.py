"""Errors that people read.

ModelberthError
├── PackageError   a package that is damaged, hostile, or not what was asked for
├── InputError     rows that do not fit a model's signature
└── StorageError   an address that cannot be read or written
"""

import difflib
from collections.abc import Iterable, Sequence


class ModelberthError(Exception):
    """One or more problems with what the user gave; `str()` is the text for people.

    Commands print it to stderr and exit 1; it never needs a traceback.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: list[str] = list(problems)
        super().__init__("\n".join(problems))


class PackageError(ModelberthError):
    """A package is refused; the text names the file and the reason."""

    def __init__(self, *problems: str, file: str | None = None) -> None:
        self.file = file
        super().__init__(*problems)


class InputError(ModelberthError):
    """Rows do not fit the signature; each problem names the row and the field."""


class StorageError(ModelberthError):
    """An address cannot be read or written."""


def choices(known: Iterable[str]) -> str:
    """`["c", "a", "b"]` as "a, b or c"."""
    names = sorted(known)
    if len(names) < 2:
        return "".join(names) or "nothing"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """ " (did you mean x?)" when a known name is near, else an empty string."""
    near: Sequence[str] = difflib.get_close_matches(value, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
