"""Tensors from JSON and from bytes, and back."""

import struct

import numpy as np
import pytest

from model_packaging.serving import tensors
from model_packaging.serving.problems import RequestProblem

ENCODED = {
    "BOOL": ([True, False], b"\x01\x00"),
    "INT8": ([-1, 2], b"\xff\x02"),
    "UINT16": ([1, 65535], b"\x01\x00\xff\xff"),
    "INT32": ([-2, 3], struct.pack("<2i", -2, 3)),
    "INT64": ([-(2**63), 2**63 - 1], struct.pack("<2q", -(2**63), 2**63 - 1)),
    "UINT64": ([0, 2**64 - 1], struct.pack("<2Q", 0, 2**64 - 1)),
    "FP16": ([0.5, -2.0], struct.pack("<2e", 0.5, -2.0)),
    "FP32": ([0.5, -2.0], struct.pack("<2f", 0.5, -2.0)),
    "FP64": ([0.1, 1e300], struct.pack("<2d", 0.1, 1e300)),
    "BYTES": (["", "né"], b"\x00\x00\x00\x00" + b"\x03\x00\x00\x00" + "né".encode()),
}


@pytest.mark.parametrize("datatype", ENCODED)
def test_every_datatype_is_the_same_from_json_and_bytes(datatype: str) -> None:
    values, raw = ENCODED[datatype]
    spoken = tensors.from_values("x", datatype, (2,), values)
    sent = tensors.from_bytes("x", datatype, (2,), raw)
    assert spoken.values.tolist() == sent.values.tolist() == values
    assert tensors.to_bytes(spoken) == tensors.to_bytes(sent) == raw


def test_nested_values_are_those_of_the_flat_list() -> None:
    nested = tensors.from_values("x", "FP64", (2, 2), [[1, 2], [3, 4.5]])
    assert nested.values.tolist() == [1, 2, 3, 4.5]


def test_a_missing_value_is_null() -> None:
    numbers = tensors.from_values("x", "FP64", (2,), [1, None]).values
    assert numbers[0] == 1
    assert np.isnan(numbers[1])
    assert tensors.from_values("x", "BOOL", (2,), [True, None]).values.tolist() == [True, None]
    assert tensors.from_values("x", "BYTES", (2,), [None, "a"]).values.tolist() == [None, "a"]


WRONG_VALUES = {
    "text for a number": ("FP64", [2], [1, "2"], 'element 1: "2" is not a number that fits FP64'),
    "true for a number": ("INT64", [2], [1, True], "element 1: true is not an integer that fits INT64"),
    "a fraction": ("INT64", [2], [1, 2.5], "element 1: 2.5 is not an integer that fits INT64"),
    "infinity as an integer": ("INT64", [1], [float("inf")], "element 0: inf is not an integer"),
    "too large": ("INT8", [2], [1, 300], "element 1: 300 is not an integer that fits INT8"),
    "negative": ("UINT8", [1], [-1], "element 0: -1 is not an integer that fits UINT8"),
    "a huge integer": ("FP64", [2], [1, 10**400], "element 1: a very long integer is not a number"),
    "a number for a text": ("BYTES", [1], [3], "element 0: 3 is not a string"),
    "a number for a boolean": ("BOOL", [1], [1], "element 0: 1 is not true or false"),
    "too few": ("FP64", [3], [1, 2], "has 2 values: shape [3] has 3"),
    "ragged": ("FP64", [2, 2], [[1, 2], [3]], "data is not nested as its shape [2, 2]"),
    "nested more than the shape": ("FP64", [2], [[1], [2]], "element 0: a list is not a number"),
}


@pytest.mark.parametrize("kind", WRONG_VALUES)
def test_the_first_wrong_value_is_named(kind: str) -> None:
    datatype, shape, data, text = WRONG_VALUES[kind]
    with pytest.raises(RequestProblem) as found:
        tensors.from_values("x", datatype, tuple(shape), data)
    assert (found.value.status, str(found.value).startswith('input "x"')) == (400, True)
    assert text in str(found.value)


WRONG_BYTES = {
    "too short": ("FP64", [2], b"\0" * 15, "has 15 bytes of data: FP64 of shape [2] has 16"),
    "too long": ("INT32", [2, 1], b"\0" * 9, "has 9 bytes of data: INT32 of shape [2, 1] has 8"),
    "an enormous shape": ("FP64", [2**62, 2**62], b"\0" * 8, "has 8 bytes of data"),
    "a length that leads beyond": ("BYTES", [1], b"\xff\xff\xff\xffab", "the data ends within an element"),
    "half a length": ("BYTES", [2], b"\x01\0\0\0a\0\0", "the data ends within an element"),
    "a string too few": ("BYTES", [2], b"\x01\0\0\0a", "has 1 values: shape [2] has 2"),
    "not UTF-8": ("BYTES", [2], b"\x01\0\0\0a\x01\0\0\0\xff", "element 1: the string is not UTF-8"),
}


@pytest.mark.parametrize("kind", WRONG_BYTES)
def test_wrong_bytes_are_named(kind: str) -> None:
    datatype, shape, data, text = WRONG_BYTES[kind]
    with pytest.raises(RequestProblem, match=r'^input "x"') as found:
        tensors.from_bytes("x", datatype, tuple(shape), data)
    assert text in str(found.value)


@pytest.mark.parametrize("shape", [None, 3, [], [1, 1, 1], [-1], [True], [1.0], ["2"], [2**63]])
def test_a_shape_is_one_or_two_sizes(shape: object) -> None:
    with pytest.raises(RequestProblem, match='input "x": shape must be a list of one or two sizes'):
        tensors.check("x", "FP64", shape)


@pytest.mark.parametrize("datatype", [None, 3, "float64", "fp64", "BF16"])
def test_the_datatypes_are_the_protocols(datatype: object) -> None:
    with pytest.raises(RequestProblem, match="is unknown: choose one of BYTES, BOOL, INT8"):
        tensors.check("x", datatype, [1])
