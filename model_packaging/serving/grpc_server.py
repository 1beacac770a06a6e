# pyright: basic
# (grpcio and messages made at run time have no types)
"""The Open Inference Protocol over gRPC: only imported where its port is asked for, because of what it needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from model_packaging.errors import ModelberthError
from model_packaging.formats.predictor import Columns, Predictions
from model_packaging.serving import open_inference, tensors
from model_packaging.serving.grpc_messages import METHODS, SERVICE, message
from model_packaging.serving.log import log
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.service import Service
from model_packaging.serving.tensors import Tensor

if TYPE_CHECKING:
    from model_packaging.package import Package

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself has it for a message over the limit
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_CONTENTS = {
    tensors.BOOL: "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    tensors.BYTES: "bytes_contents",
}
"""Where the protocol puts each datatype's values; FP16 has no such place."""


class GrpcServer:
    """Answers on one port from `start` on; `stop` finishes what is in progress."""

    def __init__(self, service: Service) -> None:
        self._service = service
        size = service.limits.max_body_bytes
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # two servers on one port would share its requests in silence
            ]
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {name: self._handler(name) for name in METHODS}),)
        )
        self._stopping: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int) -> int:
        """Listens, and gives the port. ModelberthError where it cannot be bound."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError:
            raise ModelberthError(
                f"cannot listen on {host} port {port} for gRPC: is it in use by another process? "
                f"Choose another with --grpc-port"
            ) from None
        await self._server.start()
        return bound

    def stop(self, seconds: float) -> None:
        """Takes no new calls and gives those in progress so long; returns at once. A second time may shorten it."""
        self._stopping.append(asyncio.get_running_loop().create_task(self._server.stop(seconds)))

    async def stopped(self) -> None:
        """Until the last call has ended, or the seconds of `stop` are over."""
        await asyncio.gather(*self._stopping)

    def _handler(self, name: str) -> Any:
        answer: Callable[[Any, dict[str, Any]], Awaitable[Any]] = getattr(self, f"_{_snake(name)}")

        async def handle(request: Any, context: Any) -> Any:
            began = time.perf_counter()
            fields: dict[str, Any] = {}
            response: Any = None
            status, code, level = 200, grpc.StatusCode.OK, "info"
            try:
                response = await answer(request, fields)
            except RequestProblem as problem:
                status, code, level = problem.status, _CODES[problem.status], "warning"
                fields["problem"] = str(problem.body()["error"])
            except Exception as error:  # whatever the model raises, the server keeps serving
                status, code, level = 500, grpc.StatusCode.INTERNAL, "error"
                fields["problem"] = f"the model failed: {self._service.failure(error)}"
            seconds = time.perf_counter() - began
            if name == "ModelInfer":
                self._service.metrics.request("grpc", status, seconds)
            if name == "ModelInfer" or response is None:
                milliseconds = round(seconds * 1000, 2)
                path = f"/{SERVICE}/{name}"
                log("request", level, method="gRPC", path=path, status=code.name, milliseconds=milliseconds, **fields)
            if response is None:
                await context.abort(code, fields["problem"])
            return response

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=_serialized,
        )

    async def _server_live(self, request: Any, fields: dict[str, Any]) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _server_ready(self, request: Any, fields: dict[str, Any]) -> Any:
        return message("ServerReadyResponse")(ready=self._service.ready)

    async def _model_ready(self, request: Any, fields: dict[str, Any]) -> Any:
        if self._service.digest is not None:
            open_inference.served(self._service, request.name, request.version)
        return message("ModelReadyResponse")(ready=self._service.ready)

    async def _server_metadata(self, request: Any, fields: dict[str, Any]) -> Any:
        return message("ServerMetadataResponse")(
            name=open_inference.SERVER, version=open_inference.server_version(), extensions=[]
        )

    async def _model_metadata(self, request: Any, fields: dict[str, Any]) -> Any:
        package = open_inference.served(self._service, request.name, request.version)
        return message("ModelMetadataResponse")(**open_inference.metadata(package))

    async def _model_infer(self, request: Any, fields: dict[str, Any]) -> Any:
        service = self._service
        package = open_inference.served(service, request.model_name, request.model_version)

        def decode() -> Columns:
            return service.check(open_inference.columns(_inputs(request, service.secret), package.signature))

        def encode(predictions: Predictions) -> bytes:
            wanted = [_output(output) for output in request.outputs]
            return _response(request, package, open_inference.outputs(predictions, package, wanted))

        content, fields["rows"] = await service.answer(request.ByteSize(), decode, encode, request.id or None)
        return content


def _serialized(response: Any) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _response(request: Any, package: Package, made: list[Tensor]) -> bytes:
    response = message("ModelInferResponse")(model_name=package.name, model_version=package.digest, id=request.id)
    for tensor in made:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(tensors.to_bytes(tensor))
        else:
            _fill(output.contents, tensor)
    return response.SerializeToString()


def _inputs(request: Any, secret: Callable[[str], bool]) -> list[Tensor]:
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise RequestProblem(
            400, f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs: send one for each"
        )
    found: list[Tensor] = []
    problems: list[str] = []
    for number, given in enumerate(request.inputs):
        try:
            name = open_inference.tensor_name(given.name, f"inputs[{number}]")
            open_inference.refuse_parameters(given.parameters, f"inputs[{number}]")
            datatype, shape = tensors.check(name, given.datatype, list(given.shape))
            found.append(
                tensors.from_bytes(name, datatype, shape, raw[number])
                if raw
                else _from_contents(name, datatype, shape, given.contents, secret(name))
            )
        except RequestProblem as problem:
            problems += problem.problems
    if problems:
        raise RequestProblem(400, problems)
    return found


def _from_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Any, secret: bool) -> Tensor:
    place = _CONTENTS.get(datatype)
    if place is None:
        raise RequestProblem(400, f'input "{name}": {datatype} has no contents: send it in raw_input_contents')
    values = getattr(contents, place)
    filled = [field.name for field, _ in contents.ListFields()]
    if not values and filled:
        raise RequestProblem(400, f'input "{name}": {datatype} belongs into {place}, not into {filled[0]}')
    if datatype == tensors.BYTES:
        return tensors.from_texts(name, shape, values)
    return tensors.from_values(name, datatype, shape, list(values), secret=secret)


def _output(output: Any) -> str:
    open_inference.refuse_parameters(output.parameters, f"output {quoted(output.name)}")
    return output.name


def _fill(contents: Any, tensor: Tensor) -> None:
    values = tensor.values.tolist()
    if tensor.datatype == tensors.BYTES:
        values = [text.encode() for text in values]
    getattr(contents, _CONTENTS[tensor.datatype]).extend(values)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
