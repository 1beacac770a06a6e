# pyright: basic
# (messages made at run time have no types)
"""The messages of the Open Inference Protocol's gRPC service, made from the definition below.

Rules: "gRPC" of the Open Inference Protocol. They live in a pool of their own, so that a client library with the
same definition can be loaded beside them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_TENSOR = {
    "name": "string = 1",
    "datatype": "string = 2",
    "shape": "repeated int64 = 3",
    "parameters": "map InferParameter = 4",
    "contents": "InferTensorContents = 5",
}
_DEFINITION: dict[str, dict[str, str]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": "bool = 1"},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": "bool = 1"},
    "ModelReadyRequest": {"name": "string = 1", "version": "string = 2"},
    "ModelReadyResponse": {"ready": "bool = 1"},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": "string = 1", "version": "string = 2", "extensions": "repeated string = 3"},
    "ModelMetadataRequest": {"name": "string = 1", "version": "string = 2"},
    "ModelMetadataResponse.TensorMetadata": {
        "name": "string = 1",
        "datatype": "string = 2",
        "shape": "repeated int64 = 3",
    },
    "ModelMetadataResponse": {
        "name": "string = 1",
        "versions": "repeated string = 2",
        "platform": "string = 3",
        "inputs": "repeated ModelMetadataResponse.TensorMetadata = 4",
        "outputs": "repeated ModelMetadataResponse.TensorMetadata = 5",
        "properties": "map string = 6",
    },
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": {"name": "string = 1", "parameters": "map InferParameter = 2"},
    "ModelInferRequest": {
        "model_name": "string = 1",
        "model_version": "string = 2",
        "id": "string = 3",
        "parameters": "map InferParameter = 4",
        "inputs": "repeated ModelInferRequest.InferInputTensor = 5",
        "outputs": "repeated ModelInferRequest.InferRequestedOutputTensor = 6",
        "raw_input_contents": "repeated bytes = 7",
    },
    "ModelInferResponse.InferOutputTensor": _TENSOR,
    "ModelInferResponse": {
        "model_name": "string = 1",
        "model_version": "string = 2",
        "id": "string = 3",
        "parameters": "map InferParameter = 4",
        "outputs": "repeated ModelInferResponse.InferOutputTensor = 5",
        "raw_output_contents": "repeated bytes = 6",
    },
    "InferParameter": {
        "bool_param": "oneof bool = 1",
        "int64_param": "oneof int64 = 2",
        "string_param": "oneof string = 3",
        "double_param": "oneof double = 4",
        "uint64_param": "oneof uint64 = 5",
    },
    "InferTensorContents": {
        "bool_contents": "repeated bool = 1",
        "int_contents": "repeated int32 = 2",
        "int64_contents": "repeated int64 = 3",
        "uint_contents": "repeated uint32 = 4",
        "uint64_contents": "repeated uint64 = 5",
        "fp32_contents": "repeated float = 6",
        "fp64_contents": "repeated double = 7",
        "bytes_contents": "repeated bytes = 8",
    },
}
"""Message to field to "[repeated | map | oneof] type = number"; the keys of all maps are strings."""

METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
"""Each takes the message named so with Request, and gives that with Response."""

_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package="inference", syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name in sorted(_DEFINITION, key=lambda name: name.count(".")):
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
    for name, fields in _DEFINITION.items():
        for field, definition in fields.items():
            _add(made[name], name, field, definition)
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, field: str, definition: str) -> None:
    kind, _, number = definition.partition(" = ")
    label, _, kind = kind.rpartition(" ")
    added = message.field.add(name=field, number=int(number), label=_Field.LABEL_OPTIONAL)
    if label in ("repeated", "map"):
        added.label = _Field.LABEL_REPEATED
    if label == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        added.oneof_index = 0
    if label == "map":
        entry = message.nested_type.add(name=f"{field.capitalize()}Entry")
        entry.options.map_entry = True
        _add(entry, "", "key", "string = 1")
        _add(entry, "", "value", f"{kind} = 2")
        kind = f"{name}.{entry.name}"
    if kind[0].isupper():
        added.type = _Field.TYPE_MESSAGE
        added.type_name = f".inference.{kind}"
    else:
        added.type = _Field.Type.Value(f"TYPE_{kind.upper()}")


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())


def message(name: str) -> Any:
    """The class of a message, such as "ModelInferRequest"."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"inference.{name}"))
