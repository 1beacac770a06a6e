"""Property values as the engine sends them, to and from Python.

Objects, lists, strings and booleans are themselves; whole numbers become `int`; what is not known
yet is `UNKNOWN`; assets and archives are `Asset`. Secrets are opened: this provider tells the
engine that it does not accept them, so that the engine itself keeps track of what is secret, as it
does for the official plugin. Signatures: `pulumi.runtime.rpc` in the Pulumi SDK.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_ASSET = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWNS = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string; the engine uses this one for any type
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


class _Unknown:
    """A value that only the deployment will tell."""

    _instance: _Unknown | None = None

    def __new__(cls) -> _Unknown:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unknown:
        return self


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Asset:
    """A file's or a text's content, or an archive, with its hash; `properties` is the wire form."""

    signature: str
    hash: str
    properties: tuple[tuple[str, Any], ...]

    @property
    def is_archive(self) -> bool:
        return self.signature == _ARCHIVE

    def content(self) -> bytes:
        """The bytes. Raises OSError for a file that cannot be read, ValueError for anything but a file or text."""
        properties = dict(self.properties)
        if properties.get("text"):
            return str(properties["text"]).encode()
        if properties.get("path"):
            path = Path(str(properties["path"]))
            if self.is_archive and path.is_dir():
                raise ValueError(f"{path}: a folder as an archive is not supported here: pass a file")
            return path.read_bytes()
        if "text" in properties:
            return b""
        raise ValueError("only file and text assets are supported here")


@dataclass(frozen=True)
class Secret:
    """A value that the engine must keep secret; only for what is sent to it."""

    value: Any


def secret(value: Any) -> Secret:
    """Mark a value as secret."""
    return Secret(value)


def is_unknown(value: Any) -> bool:
    """Whether the value, or anything inside it, is not known yet."""
    if value is UNKNOWN:
        return True
    if isinstance(value, dict):
        return any(is_unknown(item) for item in cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return any(is_unknown(item) for item in cast("list[Any]", value))
    return False


def decode(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A message's properties as Python values; null properties are left out."""
    return {key: value for key, item in struct.fields.items() if (value := _decode(item)) is not None}


def _decode(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _decode_object(decode(value.struct_value))
    return None


def _decode_object(fields: dict[str, Any]) -> Any:
    signature = fields.get(_SIGNATURE)
    if signature is None:
        return fields
    if signature == _SECRET:
        return fields.get("value")
    if signature == _OUTPUT:
        return fields.get("value", UNKNOWN)
    if signature == _RESOURCE:
        return fields.get("id") or fields.get("urn")
    if signature in (_ASSET, _ARCHIVE):
        properties = {key: item for key, item in fields.items() if key not in (_SIGNATURE, "hash")}
        digest = str(fields.get("hash") or "")
        asset = Asset(signature, digest, tuple(properties.items()))
        if not digest and signature == _ASSET:
            try:
                return Asset(signature, hashlib.sha256(asset.content()).hexdigest(), asset.properties)
            except (OSError, ValueError):
                return asset
        return asset
    return fields


def encode(properties: dict[str, Any]) -> struct_pb2.Struct:
    """Python values as a message's properties; `None` is left out."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        if value is not None:
            struct.fields[key].CopyFrom(_encode(value))
    return struct


def _encode(value: Any) -> struct_pb2.Value:
    if value is UNKNOWN:
        return struct_pb2.Value(string_value="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, bytes):
        return struct_pb2.Value(string_value=base64.b64encode(value).decode())
    if isinstance(value, Secret):
        return struct_pb2.Value(struct_value=encode({_SIGNATURE: _SECRET, "value": value.value}))
    if isinstance(value, Asset):
        fields = {_SIGNATURE: value.signature, "hash": value.hash, **dict(value.properties)}
        return struct_pb2.Value(struct_value=encode(fields))
    if isinstance(value, dict):
        return struct_pb2.Value(struct_value=encode(cast("dict[str, Any]", value)))
    if isinstance(value, list | tuple):
        return struct_pb2.Value(
            list_value=struct_pb2.ListValue(values=[_encode(item) for item in cast("list[Any]", value)])
        )
    raise TypeError(f"cannot send a {type(value).__name__} to the engine")
