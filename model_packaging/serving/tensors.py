"""Tensors of the Open Inference Protocol: JSON values or raw bytes to arrays, and arrays back to both.

Rules: "Tensor Data" and "Tensor Data Types" of the Open Inference Protocol, and "Binary Tensor Data
Extension" of KServe and Triton: raw data is little-endian and row-major; a BOOL is one byte; an element of
BYTES is its length as a 4-byte unsigned integer, then its bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import numpy as np

from model_packaging.serving.problems import RequestProblem, quoted

BYTES = "BYTES"
BOOL = "BOOL"
INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
FLOATS = ("FP16", "FP32", "FP64")

_DTYPES: dict[str, np.dtype[Any]] = {
    BOOL: np.dtype("?"),
    **{name: np.dtype(name.lower()).newbyteorder("<") for name in INTEGERS},
    **{name: np.dtype(name.lower().replace("fp", "float")).newbyteorder("<") for name in FLOATS},
}

_JSON_TYPES: dict[str, frozenset[type]] = {
    BYTES: frozenset({str, type(None)}),
    BOOL: frozenset({bool, type(None)}),
    **dict.fromkeys((*INTEGERS, *FLOATS), frozenset({int, float, type(None)})),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor. `values` is flat, in row-major order: numbers or booleans by their dtype, strings as objects.
    A missing value, which only JSON can say, is NaN among numbers and None among the rest."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: np.ndarray[Any, Any]


def check(name: str, datatype: object, shape: object) -> tuple[str, tuple[int, ...]]:
    """The datatype and the shape of an input. RequestProblem (400) where they are none that a column can have."""
    if not isinstance(datatype, str) or (datatype != BYTES and datatype not in _DTYPES):
        known = ", ".join([BYTES, *_DTYPES])
        raise RequestProblem(400, f'input "{name}": datatype {quoted(datatype)} is unknown: choose one of {known}')
    sizes = cast("list[int]", shape) if isinstance(shape, list) else []
    if len(sizes) not in (1, 2) or any(type(size) is not int or not 0 <= size < 2**63 for size in sizes):
        raise RequestProblem(400, f'input "{name}": shape must be a list of one or two sizes, such as [3] or [3, 1]')
    return datatype, tuple(sizes)


def from_values(
    name: str, datatype: str, shape: tuple[int, ...], data: Sequence[Any], *, secret: bool = False
) -> Tensor:
    """A tensor from JSON values, flat or nested as the shape. RequestProblem (400) names the first wrong one, which is
    not quoted where it is `secret`."""
    if len(shape) == 2 and any(type(part) is list for part in data[:1]):
        if set(map(type, data)) != {list} or set(map(len, data)) != {shape[1]}:
            raise RequestProblem(400, f'input "{name}": data is not nested as its shape {list(shape)}')
        data = list(chain.from_iterable(data))
    _count(name, shape, len(data))
    found = set(map(type, data))
    if not found <= _JSON_TYPES[datatype]:
        position = next(n for n, value in enumerate(data) if type(value) not in _JSON_TYPES[datatype])
        raise _wrong(name, position, data[position], datatype, secret=secret)
    missing = type(None) in found
    if datatype == BYTES or (missing and datatype == BOOL):
        return Tensor(name, datatype, shape, _objects(data))
    if datatype in INTEGERS and float in found:
        position = next((n for n, value in enumerate(data) if isinstance(value, float) and not _whole(value)), None)
        if position is not None:
            raise _wrong(name, position, data[position], datatype, secret=secret)
        data = [int(value) if isinstance(value, float) else value for value in data]
    try:
        values = np.array(data, dtype=np.float64 if missing else _DTYPES[datatype])
    except OverflowError:
        position = next(n for n, value in enumerate(data) if not _fits(value, datatype))
        raise _wrong(name, position, data[position], datatype, secret=secret) from None
    return Tensor(name, datatype, shape, values)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Tensor:
    """A tensor from raw data. RequestProblem (400) where its size is not what datatype and shape say."""
    if datatype == BYTES:
        values = _objects(_texts(name, list(_elements(name, data))))
        _count(name, shape, len(values))
        return Tensor(name, datatype, shape, values)
    dtype = _DTYPES[datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise RequestProblem(
            400,
            f'input "{name}" has {len(data)} bytes of data: {datatype} of shape {list(shape)} has {expected}',
        )
    if datatype == BOOL:
        return Tensor(name, datatype, shape, np.frombuffer(data, dtype=np.uint8) != 0)
    # A copy, because libraries ask for memory that is aligned and theirs to write.
    return Tensor(name, datatype, shape, np.frombuffer(data, dtype=dtype).copy())


def from_texts(name: str, shape: tuple[int, ...], data: Sequence[bytes]) -> Tensor:
    """A tensor of strings, one for each element of BYTES. RequestProblem (400) where one is not UTF-8."""
    _count(name, shape, len(data))
    return Tensor(name, BYTES, shape, _objects(_texts(name, data)))


def size(datatype: str) -> int:
    """Bytes of one element; not for BYTES, whose elements differ."""
    return _DTYPES[datatype].itemsize


def to_bytes(tensor: Tensor) -> bytes:
    """The tensor's raw data."""
    if tensor.datatype != BYTES:
        return tensor.values.astype(_DTYPES[tensor.datatype], copy=False).tobytes()
    encoded = (text.encode() for text in cast("list[str]", tensor.values.tolist()))
    return b"".join(part for text in encoded for part in (struct.pack("<I", len(text)), text))


def _elements(name: str, data: bytes | memoryview) -> Iterable[bytes]:
    position, end = 0, len(data)
    while position < end:
        start = position + 4
        size = int.from_bytes(data[position:start], "little")
        position = start + size
        if position > end:
            raise RequestProblem(
                400,
                f'input "{name}": the data ends within an element: each string is its length as a 4-byte '
                f"little-endian integer, then its bytes",
            )
        yield bytes(data[start:position])


def _texts(name: str, elements: Sequence[bytes]) -> list[str]:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError as error:
        position = next(n for n, element in enumerate(elements) if element == error.object)
        raise RequestProblem(400, f'input "{name}", element {position}: the string is not UTF-8') from None


def _objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _count(name: str, shape: tuple[int, ...], found: int) -> None:
    expected = math.prod(shape)
    if found != expected:
        raise RequestProblem(400, f'input "{name}" has {found} values: shape {list(shape)} has {expected}')


def _whole(value: float) -> bool:
    return value == value // 1 and math.isfinite(value)


def _fits(value: float, datatype: str) -> bool:
    try:
        np.array(value, dtype=_DTYPES[datatype])
    except OverflowError:
        return False
    return True


def _wrong(name: str, position: int, value: object, datatype: str, *, secret: bool) -> RequestProblem:
    shown = "the value" if secret else quoted(value)
    noun = {BYTES: "a string", BOOL: "true or false"}.get(datatype) or (
        f"an integer that fits {datatype}" if datatype in INTEGERS else f"a number that fits {datatype}"
    )
    return RequestProblem(400, f'input "{name}", element {position}: {shown} is not {noun}')
