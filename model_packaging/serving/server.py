"""The server process: binds, loads and proves the model, serves, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from model_packaging.errors import ModelberthError
from model_packaging.serving.app import application
from model_packaging.serving.capture import CaptureSettings
from model_packaging.serving.limits import Limits
from model_packaging.serving.log import capture_library_logs, log
from model_packaging.serving.service import Service, load

if TYPE_CHECKING:
    from model_packaging.serving.grpc_server import GrpcServer

_BACKLOG = 2048


def run(
    address: str,
    host: str,
    port: int,
    limits: Limits,
    *,
    grpc_port: int | None = None,
    allow_pickle: bool = False,
) -> int:
    """Serves until SIGTERM or SIGINT; the exit code: 0 after a drain, 1 where the model cannot be served.
    ModelberthError where the port cannot be bound, or a setting of capture is wrong.

    gRPC is served on `grpc_port`, if one is given. `allow_pickle` lets a pickle load, as MODELBERTH_ALLOW_PICKLE=1
    does."""
    capture = CaptureSettings.from_environment(os.environ)
    listener = _bind(host, port)
    capture_library_logs()
    service = Service(limits, capture)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(_serve(service, address, listener, grpc_port, allow_pickle))
    finally:
        service.close()
    if service.busy:
        # A prediction that outlived the drain would hold the interpreter until the platform kills it.
        log("stopped", "warning", unfinished=service.busy)
        os._exit(code)
    log("stopped")
    return code


def default_port(environment: Mapping[str, str] = os.environ) -> int:
    """SAGEMAKER_BIND_TO_PORT, Vertex's AIP_HTTP_PORT, or 8080, the port of every platform's default."""
    for variable in ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"):
        text = environment.get(variable, "").strip()
        if not text:
            continue
        if not text.isdecimal() or int(text) > 65535:
            raise ModelberthError(f'{variable} is "{text}": it must be a port from 1 to 65535')
        return int(text)
    return 8080


async def _serve(
    service: Service, address: str, listener: socket.socket, grpc_port: int | None, allow_pickle: bool
) -> int:
    loop = asyncio.get_running_loop()
    server = _Server(
        uvicorn.Config(
            application(service),
            http=_Protocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here asks who the client is
            backlog=_BACKLOG,
            timeout_graceful_shutdown=max(1, round(service.limits.drain_seconds)),
        )
    )
    stopped = asyncio.Event()

    def stop(signal_name: str) -> None:
        if service.draining:
            server.force_exit = True
            server.should_exit = True
            if server.grpc:
                server.grpc.stop(0)
            return
        ready = service.ready
        service.draining = True
        log("draining", signal=signal_name, in_progress=service.busy)
        stopped.set()
        loop.call_later(service.limits.drain_delay_seconds if ready else 0, server.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)

    host, port = listener.getsockname()[:2]
    addresses = {"host": host, "port": port}
    if grpc_port is not None:
        from model_packaging.serving.grpc_server import GrpcServer  # here, so that it costs nobody else

        server.grpc = GrpcServer(service)
        addresses["grpc_port"] = await server.grpc.start(host, grpc_port)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    log("listening", **addresses)

    loaded = asyncio.create_task(_load(service, address, allow_pickle))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([loaded, waiting, serving], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    code = 0
    if loaded.done():
        code = loaded.result()
        if code:
            server.stop()
    else:
        loaded.cancel()
    await serving
    if server.grpc:
        await server.grpc.stopped()
    return code


async def _load(service: Service, address: str, allow_pickle: bool) -> int:
    """Makes the service ready; 1, with the reason logged, where that fails."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Exception | None] = loop.create_future()
    began = time.perf_counter()

    def report(failure: Exception | None) -> None:
        if not done.done():
            done.set_result(failure)

    def work() -> None:
        failure: Exception | None = None
        try:
            service.start(*load(address, allow_pickle=allow_pickle))
            # The libraries' hundreds of thousands of objects stay for good: no request waits while they are walked.
            gc.collect()
            gc.freeze()
        except Exception as error:  # whatever a damaged model raises, the process must end with a reason
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is gone: SIGTERM came first
            loop.call_soon_threadsafe(report, failure)

    # A daemon thread, so that SIGTERM during a long load ends the process at once.
    threading.Thread(target=work, name="load", daemon=True).start()
    failure = await done
    if failure is None:
        log("ready", seconds=round(time.perf_counter() - began, 3), digest=service.digest)
        return 0
    if isinstance(failure, ModelberthError):
        log("cannot serve", "error", package=address, problems=failure.problems)
    else:
        problem = f"the model does not load: {type(failure).__name__}: {failure}"
        log("cannot serve", "error", package=address, problems=[problem])
    return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, except on Windows, where it does not exist."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # from here on a connection waits; before, it would be refused
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ModelberthError(
                f"port {port} on {host} is in use by another process: stop it, or choose another with --port"
            ) from None
        raise ModelberthError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    listener.set_inheritable(False)
    return listener


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with responses written in one piece.

    uvicorn writes a response's head and its body apart, and each piece costs a system call, a packet and the waking of
    the client, together more than reading the request does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._gathering = _Gathering(transport, self)
        super().connection_made(cast("asyncio.Transport", self._gathering))

    @property
    def answering(self) -> bool:
        """Whether a response was begun and not finished."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def on_response_complete(self) -> None:
        self._gathering.flush()
        super().on_response_complete()


class _Gathering:
    """A transport that keeps the pieces of a response until it is complete."""

    def __init__(self, transport: asyncio.Transport, protocol: _Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._protocol.answering:
            self._pieces.append(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.writelines(pieces)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal after a clean drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    grpc: GrpcServer | None = None
    """Stops when HTTP does."""

    def stop(self) -> None:
        self.should_exit = True
        if self.grpc:
            self.grpc.stop(self.config.timeout_graceful_shutdown or 0)
