"""Tells from its first bytes what a model file really is, before a native parser sees it.

The parsers of the boosting libraries end the whole process on some foreign bytes, so these are refused here.
"""

from ..errors import PackageError

_KINDS = (
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89HDF", "HDF5"),
    (b"CBM1", "a CatBoost model"),
    (b"tree\n", "a LightGBM model"),
    (b"{L", "UBJSON"),
    (b"{", "JSON"),
)


def kind(content: bytes) -> str:
    """What the content is, in words: `a pickle`, `JSON`, `unknown`."""
    if not content:
        return "empty"
    return next((name for start, name in _KINDS if content.startswith(start)), "unknown")


def require(content: bytes, expected: str, file: str) -> None:
    """Raise PackageError unless the content is of the expected kind."""
    found = kind(content)
    if found != expected:
        raise PackageError(f"{file}: must be {expected}, and its content is {found}", file=file)
