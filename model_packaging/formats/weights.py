"""The safetensors format: a header that says where each tensor lies, and their bytes.
https://github.com/huggingface/safetensors#format

It is read and written here, because what is needed is where a tensor lies in the file: onnxruntime maps it from
there, so that weights of any size are never held in memory twice.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..archive import BLOCK_BYTES
from ..documents import MAX_DOCUMENT_BYTES, load_object
from ..errors import PackageError

ITEM_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""The types of numbers that are read, and how many bytes one takes."""

_LENGTH_BYTES = 8
_MAX_RANK = 64
"""As NumPy has it."""


@dataclass(frozen=True)
class Tensor:
    """Some numbers that lie in a file."""

    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Where in the file the first byte is."""

    @property
    def size(self) -> int:
        """Bytes."""
        return ITEM_BYTES[self.dtype] * math.prod(self.shape)


def read(path: Path, file: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, of which only the header is read.

    `file` names it in errors. Raises PackageError when the header does not say of every byte to which one tensor it
    belongs.
    """
    size = path.stat().st_size
    with path.open("rb") as source:
        length = int.from_bytes(source.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > size - _LENGTH_BYTES:
            text = f"is no safetensors file: a header of {length:,} bytes in a file of {size:,}"
            raise PackageError(f"{file}: {text}", file=file)
        if length > MAX_DOCUMENT_BYTES:
            text = f"the header has {length:,} bytes, the limit is {MAX_DOCUMENT_BYTES:,}"
            raise PackageError(f"{file}: {text}", file=file)
        header = load_object(source.read(length), file)
    start = _LENGTH_BYTES + length
    found: dict[str, Tensor] = {}
    end = 0
    for name, (begin, stop, dtype, shape) in sorted(_entries(header, file).items(), key=lambda item: item[1][:2]):
        tensor = found[name] = Tensor(dtype, shape, path, start + begin)
        if stop - begin != tensor.size:
            text = f'tensor "{name}" of {list(shape)} {dtype} takes {tensor.size:,} bytes, has {stop - begin:,}'
            raise PackageError(f"{file}: {text}", file=file)
        if begin != end:
            text = f'tensor "{name}" begins at {begin:,}, the one before ends at {end:,}'
            raise PackageError(f"{file}: {text}", file=file)
        end = stop
    if start + end != size:
        raise PackageError(f"{file}: {size:,} bytes, the header tells of {start + end:,}", file=file)
    return found


def write(target: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors from where they lie into one new safetensors file, block by block; the same tensors give the same
    bytes. Returns where they lie then."""
    # Wide numbers first, so that each begins at a multiple of its own size.
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].dtype], name))
    header: dict[str, Any] = {}
    end = 0
    for name in order:
        tensor = tensors[name]
        offsets = [end, end + tensor.size]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        end += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    with target.open("xb") as sink:
        sink.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for name in order:
            left = tensors[name].size
            with tensors[name].path.open("rb") as source:
                source.seek(tensors[name].offset)
                while left and (block := source.read(min(left, BLOCK_BYTES))):
                    left -= sink.write(block)
    return read(target, target.name)


def _entries(header: dict[str, Any], file: str) -> dict[str, tuple[int, int, str, tuple[int, ...]]]:
    """Begin, end, type and shape of each tensor; the fields themselves are checked."""
    found: dict[str, tuple[int, int, str, tuple[int, ...]]] = {}
    for name, value in header.items():
        if name == "__metadata__":
            continue
        entry = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        dtype, shape, offsets = entry.get("dtype"), _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
        if dtype not in ITEM_BYTES or shape is None or offsets is None or len(offsets) != 2:
            text = f'tensor "{name}" needs a dtype of {", ".join(ITEM_BYTES)}, a shape and two data_offsets'
            raise PackageError(f"{file}: {text}", file=file)
        found[name] = (offsets[0], offsets[1], dtype, shape)
    return found


def _sizes(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    numbers = cast("list[Any]", value)
    if len(numbers) > _MAX_RANK or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        return None
    return tuple(numbers)
