"""The engine's gRPC stubs, without the rest of the Pulumi SDK.

The stubs ship inside the `pulumi` package, whose `__init__` imports the whole SDK (0.7 s). A
provider needs none of it, so while the stubs are imported empty packages stand in for the parents.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def _import_stubs() -> tuple[Any, ...]:
    names = ("provider_pb2", "provider_pb2_grpc", "plugin_pb2", "engine_pb2", "engine_pb2_grpc")
    parents: list[str] = []
    if "pulumi" not in sys.modules:
        spec = importlib.util.find_spec("pulumi")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("the pulumi package is not installed: run `make env` first")
        root = spec.submodule_search_locations[0]
        for name, path in (("pulumi", root), ("pulumi.runtime", f"{root}/runtime")):
            package = ModuleType(name)
            package.__path__ = [path]
            sys.modules[name] = package
            parents.append(name)
    try:
        modules = [importlib.import_module(f"pulumi.runtime.proto.{name}") for name in names]
    finally:
        # A later `import pulumi` in this process must get the real package.
        for name in parents:
            del sys.modules[name]
    return tuple(modules)


provider_pb2, provider_pb2_grpc, plugin_pb2, engine_pb2, engine_pb2_grpc = _import_stubs()
