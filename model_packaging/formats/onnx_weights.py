# pyright: basic
# (onnx carries no types)
"""ONNX models whose weights lie in other files, as PyTorch's and Optimum's exporters leave them.

Packing puts all of them into one safetensors file beside the graph, which then says where each lies in it, by ONNX's
own rules for external data (https://onnx.ai/onnx/repo-docs/ExternalData.html): any runtime can read both files.
PyTorch's exporter also notes for each node where its line of source lies, by the path on the exporting machine: that
goes, so that a package tells nothing of that machine and has the same digest wherever it was exported.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ModelberthError, PackageError, choices
from . import weights

_STACK_TRACE = "pkg.torch.onnx.stack_trace"


def has_any(content: bytes) -> bool:
    """Whether the model may have weights in other files, or paths of the machine that exported it: by the names of
    their entries."""
    return b"location" in content or _STACK_TRACE.encode() in content


def gather(content: bytes, path: Path, target: Path) -> bytes:
    """Write the weights that the model has in other files into the safetensors file `target`, and return the graph
    that reads them from there, without paths of the exporting machine; without either, the content as it is.

    `path` is where the model lies: its weights must lie beside or below it. Raises PackageError for any other, and
    ModelberthError when `onnx` is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        text = f"{path}: reading a model of PyTorch or with weights in other files needs onnx"
        text += ': pip install "modelberth[onnx]"'
        raise ModelberthError(text) from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise PackageError(f"{path}: cannot be loaded: is no ONNX model", file=str(path)) from error
    outside = [item for item in model.graph.initializer if item.data_location == onnx.TensorProto.EXTERNAL]
    traced = [node for node in _nodes(model) if any(note.key == _STACK_TRACE for note in node.metadata_props)]
    if not outside and not traced:
        return content
    for node in traced:
        kept = [note for note in node.metadata_props if note.key != _STACK_TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    if not outside:
        return model.SerializeToString(deterministic=True)
    headers: dict[Path, dict[str, weights.Tensor]] = {}
    found = {item.name: _located(item, path, headers) for item in outside}
    placed = weights.write(target, found)
    for item in outside:
        tensor = placed[item.name]
        del item.external_data[:]
        for key, value in (("location", target.name), ("offset", tensor.offset), ("length", tensor.size)):
            item.external_data.add(key=key, value=str(value))
    return model.SerializeToString(deterministic=True)


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of the model, those of its functions and of the graphs within nodes, too."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _located(item: Any, path: Path, headers: dict[Path, dict[str, weights.Tensor]]) -> weights.Tensor:
    """Where the bytes of one tensor lie."""
    where = f'{path}: tensor "{item.name}"'
    told = {entry.key: entry.value for entry in item.external_data}
    file = path.parent / told.get("location", "")
    if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
        raise PackageError(f"{where}: {told.get('location')!r} is no file in the folder of the model", file=str(path))
    dtype = _dtype(item.data_type, where, path)
    if file.suffix == ".safetensors" and "offset" not in told:
        tensors = headers.setdefault(file, weights.read(file, str(file)) if file not in headers else headers[file])
        tensor = tensors.get(item.name)
        if tensor is None or (tensor.dtype, tensor.shape) != (dtype, tuple(item.dims)):
            text = f"{file.name} holds no such tensor of {list(item.dims)} {dtype}"
            raise PackageError(f"{where}: {text}", file=str(path))
        return tensor
    try:
        offset, length = int(told.get("offset", 0)), int(told.get("length", -1))
    except ValueError:
        raise PackageError(f"{where}: offset and length must be numbers", file=str(path)) from None
    tensor = weights.Tensor(dtype, tuple(item.dims), file, offset)
    size = file.stat().st_size
    if min(item.dims, default=0) < 0 or offset < 0 or offset + tensor.size > size or length not in (-1, tensor.size):
        text = f"{list(item.dims)} {dtype} at {offset:,} does not lie in {file.name}, which has {size:,} bytes"
        raise PackageError(f"{where}: {text}", file=str(path))
    return tensor


def _dtype(kind: int, where: str, path: Path) -> str:
    import onnx

    names = {
        "DOUBLE": "F64", "FLOAT": "F32", "FLOAT16": "F16", "BFLOAT16": "BF16", "INT64": "I64", "INT32": "I32",
        "INT16": "I16", "INT8": "I8", "UINT64": "U64", "UINT32": "U32", "UINT16": "U16", "UINT8": "U8", "BOOL": "BOOL",
    }  # fmt: skip
    name = onnx.TensorProto.DataType.Name(kind)
    if name not in names:
        raise PackageError(f"{where}: is of {name}: choose {choices(names)}", file=str(path))
    return names[name]
