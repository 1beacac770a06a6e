"""What every provider plugin does: serve one engine over gRPC, and tell failures as the engine expects them."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import any_pb2

from modelberth_provider.stubs import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import encode

_OPTIONS = [
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),
    ("grpc.max_send_message_length", 400 * 1024 * 1024),
]
_log = logging.getLogger(__name__)


def answer(context: grpc.ServicerContext, work: Callable[[], Any], provider: str, *expected: type[Exception]) -> Any:
    """Do the work; what goes wrong reaches the user as one line. `expected` are the errors that are no mistake of
    the provider's own."""
    try:
        return work()
    except expected as error:
        context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except grpc.RpcError:
        raise
    except Exception as error:
        if not str(error) and type(error) is Exception:
            raise  # grpc's own way out of `abort`
        _log.exception("internal error")
        context.abort(
            grpc.StatusCode.INTERNAL,
            f"internal error of the {provider} provider: {type(error).__name__}: {error}",
        )


def init_failed(
    context: grpc.ServicerContext,
    identifier: str,
    state: dict[str, Any],
    *reasons: str,
    inputs: dict[str, Any] | None = None,
) -> Any:
    """Say that the resource exists but is not usable: the engine records it, its state and, if read, its inputs."""
    detail = any_pb2.Any()
    failed = provider_pb2.ErrorResourceInitFailed(id=identifier, properties=encode(state), reasons=list(reasons))
    if inputs is not None:
        failed.inputs.CopyFrom(encode(inputs))
    detail.Pack(failed)
    # google.rpc.Status, written by hand: fields code (1), message (2) and details (3).
    body = detail.SerializeToString()
    text = reasons[0].encode()
    status = b"\x08\x02\x12" + _varint(len(text)) + text + b"\x1a" + _varint(len(body)) + body
    context.set_trailing_metadata((("grpc-status-details-bin", status),))
    context.abort(grpc.StatusCode.UNKNOWN, reasons[0])


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("engine", nargs="?", help="address of the engine, for its log")
    return parser.parse_known_args()[0]


class EngineLog:
    """The engine's log, which stands below the resources when it has ended; nothing without an engine."""

    def __init__(self, address: str | None = None) -> None:
        channel = grpc.insecure_channel(address) if address else None
        self._stub: Any = engine_pb2_grpc.EngineStub(channel) if channel else None
        self._told: set[str] = set()

    @classmethod
    def of_this_process(cls) -> EngineLog:
        """The log of the engine that started this process."""
        return cls(_arguments("").engine)

    def warn(self, text: str) -> None:
        """Tell a warning, once; an engine that does not listen is no reason to fail."""
        if self._stub is not None and text not in self._told:
            self._told.add(text)
            with contextlib.suppress(grpc.RpcError):
                self._stub.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=text), timeout=5)

    def status(self, urn: str, text: str) -> None:
        """Show beside a resource what is being done, until something else is."""
        if self._stub is not None:
            request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=urn, ephemeral=True)
            with contextlib.suppress(grpc.RpcError):
                self._stub.Log(request, timeout=5)


def serve(provider: Any, description: str) -> int:
    """Listen on loopback, print the port for the engine, serve until stopped."""
    _arguments(description)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)

    def stop(number: int, frame: object) -> None:
        server.stop(grace=None)

    # The engine ends a plugin with an interrupt; an interrupted update reaches it through Cancel.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.wait_for_termination()
    return 0


def _end_with_parent() -> None:
    """End this process once the engine is gone: one that was killed tells its plugins nothing."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)
