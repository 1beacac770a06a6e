"""The Open Inference Protocol (KServe's V2) over HTTP, below /v2, with its binary tensor extension.

Rules: "HTTP/REST" of the Open Inference Protocol, and "Binary Tensor Data Extension" of KServe and Triton:
the body is a JSON object of Inference-Header-Content-Length bytes, followed by the data of those tensors that
have a "binary_data_size", in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model_packaging.formats.predictor import Columns, Predictions
from model_packaging.serving import media, open_inference, tensors
from model_packaging.serving.contracts import answering
from model_packaging.serving.http import read_body
from model_packaging.serving.open_inference import served
from model_packaging.serving.problems import RequestProblem, quoted
from model_packaging.serving.service import Service
from model_packaging.serving.tensors import Tensor

if TYPE_CHECKING:
    from model_packaging.package import Package

OCTETS = "application/octet-stream"
HEADER_LENGTH = "Inference-Header-Content-Length"


def routes(service: Service) -> list[Route]:
    """All routes of the protocol; each of a model's also with its version."""

    async def server(request: Request) -> Response:
        return JSONResponse(
            {
                "name": open_inference.SERVER,
                "version": open_inference.server_version(),
                "extensions": open_inference.EXTENSIONS,
            }
        )

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    async def model(request: Request) -> Response:
        return JSONResponse(open_inference.metadata(_package(request)))

    async def model_ready(request: Request) -> Response:
        name = _package(request).name
        return JSONResponse({"name": name, "ready": service.ready}, 200 if service.ready else 503)

    async def infer(request: Request) -> Response:
        package = _package(request)
        length = _header_length(request)
        body = await read_body(request, service.limits)
        exchange = _Exchange(body, length, package, service.secret)

        def decode() -> Columns:
            return service.check(open_inference.columns(exchange.inputs(), package.signature))

        identifier = request.headers.get("x-request-id")
        content, rows = await service.answer(len(body), decode, exchange.encode, identifier)
        request.state.rows = rows  # for the access log
        if exchange.json_bytes is None:
            return Response(content, media_type=media.JSON)
        return Response(content, media_type=OCTETS, headers={HEADER_LENGTH: str(exchange.json_bytes)})

    def _package(request: Request) -> Package:
        return served(service, request.path_params["name"], request.path_params.get("version"))

    found = [Route("/v2", server), Route("/v2/health/live", live), Route("/v2/health/ready", ready)]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found += [
            Route(path, model),
            Route(f"{path}/ready", model_ready),
            Route(f"{path}/infer", infer, methods=["POST"]),
        ]
    return found


class _Exchange:
    """An inference request, and the response in the form that it asks for."""

    def __init__(self, body: bytes, length: int | None, package: Package, secret: Callable[[str], bool]) -> None:
        """`secret` tells of which tensors no value may be quoted."""
        self.json_bytes: int | None = None
        """Length of the JSON of the response, where data follows it."""

        self._body = body
        self._length = length
        self._package = package
        self._secret = secret
        self._id: str | None = None
        self._wanted: list[str] = []
        self._binary: dict[str, bool] = {}
        self._binary_by_default = False

    def inputs(self) -> list[Tensor]:
        """The input tensors. RequestProblem (400) where the request is not as the protocol has it."""
        body, length = self._body, self._length
        if length == 0:
            self._binary_by_default = True
            return [_only_input(body, self._package)]
        if length is not None and length > len(body):
            raise RequestProblem(400, f"{HEADER_LENGTH} is {length}, and the body has {len(body)} bytes")
        request = _object(_document(body if length is None else body[:length]), "the body")
        identifier = request.get("id")
        if identifier is not None and not isinstance(identifier, str):
            raise RequestProblem(400, f'"id" is {quoted(identifier)}: it must be a string')
        self._id = identifier
        self._binary_by_default = _parameters(request, "the body").get("binary_data_output") is True
        for number, item in enumerate(_list(request, "outputs", required=False)):
            where = f"outputs[{number}]"
            output = _object(item, where)
            name = open_inference.tensor_name(output.get("name"), where)
            self._wanted.append(name)
            binary = _parameters(output, where).get("binary_data")
            if binary is not None:
                self._binary[name] = binary is True
        return _inputs(request, memoryview(body)[length:] if length else memoryview(b""), self._secret)

    def encode(self, predictions: Predictions) -> bytes:
        """The body of the response."""
        described: list[dict[str, Any]] = []
        parts: list[bytes] = []
        for tensor in open_inference.outputs(predictions, self._package, self._wanted):
            output: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype}
            if self._binary.get(tensor.name, self._binary_by_default):
                parts.append(tensors.to_bytes(tensor))
                output["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                output["data"] = tensor.values.tolist()
            described.append(output)
        response: dict[str, Any] = {"model_name": self._package.name, "model_version": self._package.digest}
        if self._id is not None:
            response["id"] = self._id
        text = orjson.dumps({**response, "outputs": described})
        self.json_bytes = len(text) if parts else None
        return b"".join([text, *parts])


def _document(text: bytes) -> Any:
    # The fast reader keeps the last of two equal keys in silence; each key that was sent has a colon.
    try:
        value = orjson.loads(text)
    except ValueError:
        return media.document(text)
    return value if text.count(b":") == _keys(value) else media.document(text)


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        record = cast("dict[str, Any]", value)
        return len(record) + sum(map(_keys, record.values()))
    values = cast("list[Any]", value) if isinstance(value, list) else []
    return sum(map(_keys, values)) if values and isinstance(values[0], dict) else 0


def _header_length(request: Request) -> int | None:
    answering.require_content_type(request, media.JSON, OCTETS)
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise RequestProblem(400, f"{HEADER_LENGTH} is {quoted(text)}: it must be the number of bytes of the JSON")
    return int(text)


def _inputs(request: dict[str, Any], data: memoryview, secret: Callable[[str], bool]) -> list[Tensor]:
    found: list[Tensor] = []
    problems: list[str] = []
    position = 0
    for number, item in enumerate(_list(request, "inputs", required=True)):
        where = f"inputs[{number}]"
        given = _object(item, where)
        name = open_inference.tensor_name(given.get("name"), where)
        datatype, shape = tensors.check(name, given.get("datatype"), given.get("shape"))
        size = _parameters(given, where).get("binary_data_size")
        try:
            if size is None:
                hidden = secret(name)
                values = _list(given, "data", required=True, of=name, secret=hidden)
                found.append(tensors.from_values(name, datatype, shape, values, secret=hidden))
                continue
            if type(size) is not int or not 0 <= size <= len(data) - position:
                left = f"{len(data) - position} bytes of data are left after the JSON"
                raise RequestProblem(400, f'input "{name}": binary_data_size is {quoted(size)}, and {left}')
            part = data[position : position + size]
            position += size
            found.append(tensors.from_bytes(name, datatype, shape, part))
        except RequestProblem as problem:
            problems += problem.problems
    if not problems and position != len(data):
        problems = [f"{len(data) - position} bytes follow the data of the last input: see its binary_data_size"]
    if problems:
        raise RequestProblem(400, problems)
    return found


def _only_input(body: bytes, package: Package) -> Tensor:
    """The tensor of a raw binary request, which has no JSON: only one input leaves no doubt what it is."""
    described = open_inference.metadata(package)["inputs"]
    if len(described) != 1:
        raise RequestProblem(400, f"{HEADER_LENGTH} is 0, and the model has {len(described)} inputs: send the JSON")
    name, datatype = described[0]["name"], described[0]["datatype"]
    if datatype == tensors.BYTES:
        return tensors.from_texts(name, (1,), [body])
    return tensors.from_bytes(name, datatype, (len(body) // tensors.size(datatype),), body)


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestProblem(400, f"{where} is {quoted(value)}: it must be an object")
    return cast("dict[str, Any]", value)


def _list(
    record: dict[str, Any], key: str, *, required: bool, of: str | None = None, secret: bool = False
) -> list[Any]:
    where = f'input "{of}": ' if of else ""
    if key not in record and not required:
        return []
    if key not in record:
        raise RequestProblem(400, f'{where}"{key}" is missing')
    if not isinstance(record[key], list):
        shown = "no list" if secret else quoted(record[key])
        raise RequestProblem(400, f'{where}"{key}" is {shown}: it must be a list')
    return cast("list[Any]", record[key])


def _parameters(record: dict[str, Any], where: str) -> dict[str, Any]:
    given = _object(record.get("parameters", {}), f'{where}: "parameters"')
    open_inference.refuse_parameters(given, where)
    return given
