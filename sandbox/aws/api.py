"""The emulator's own API operations, and the gateway that chooses between them and moto.

An operation is a function from a `Call` to the response's members, registered by service and name. Requests
are parsed, checked and answered by botocore's model of the service, through moto's protocol code.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import NotFound, get_service_router
from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model

from sandbox.aws.validation import problems_of

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

ACCOUNT = "123456789012"

Environ = dict[str, Any]
Handler = Callable[["Call"], Mapping[str, Any] | None]

OPERATIONS: dict[tuple[str, str], Handler] = {}
"""Every operation of ours, by botocore's service name and the operation's name."""

# The signing name of a request, where it is not botocore's name of the service.
_SIGNING_NAMES = {"monitoring": "cloudwatch", "eventbridge": "events"}
_REST_SERVICES = {"scheduler"}


class ApiError(Exception):
    """An error of the service, as a client sees it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class PassOn(Exception):
    """Raised by an operation that leaves the request to moto."""


def validation_error(message: str) -> ApiError:
    """SageMaker's and CloudWatch's usual refusal."""
    return ApiError("ValidationException", message)


@dataclass
class Call:
    """One request to an operation."""

    emulator: Emulator
    region: str
    params: dict[str, Any]
    service: str
    name: str
    send_to_moto: Callable[[], tuple[int, dict[str, str], bytes]]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in the call's region."""
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{resource}"


def operation(service: str, *names: str) -> Callable[[Handler], Handler]:
    """Register a function for operations of a service."""

    def register(handler: Handler) -> Handler:
        for name in names:
            OPERATIONS[service, name] = handler
        return handler

    return register


@dataclass
class Target:
    """What a request is for."""

    service: str
    region: str
    name: str
    signed: bool


def target_of(environ: Environ, default_region: str) -> Target:
    """The service, region and operation that a request names; empty strings where it names none."""
    path: str = environ.get("PATH_INFO", "")
    query = parse_qs(environ.get("QUERY_STRING", ""))
    scope = re.search(r"Credential=[^/]*/\d+/([^/]+)/([^/]+)/aws4_request", environ.get("HTTP_AUTHORIZATION", ""))
    if scope is None and "X-Amz-Credential" in query:
        scope = re.search(r"^[^/]*/\d+/([^/]+)/([^/]+)/aws4_request", query["X-Amz-Credential"][0])
    if scope is None:
        name = query.get("Action", [""])[0]
        if name in {"ConfirmSubscription", "Unsubscribe"}:
            # The links in SNS's messages are unsigned; the topic's ARN tells the region.
            arn = query.get("TopicArn", query.get("SubscriptionArn", [""]))[0]
            return Target("sns", (arn.split(":") + [""] * 4)[3] or default_region, name, signed=False)
        return Target("", default_region, name, signed=False)
    region, signing = scope.groups()
    service = _SIGNING_NAMES.get(signing, signing)
    if service == "sagemaker" and path.startswith("/endpoints/"):
        service = "sagemaker-runtime"
        name = {"invocations": "InvokeEndpoint", "async-invocations": "InvokeEndpointAsync"}.get(
            path.rsplit("/", 1)[-1], ""
        )
        return Target(service, region, name, signed=True)
    name = environ.get("HTTP_X_AMZ_TARGET", "").rsplit(".", 1)[-1]
    if not name and environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        match = re.search(rb"(?:^|&)Action=(\w+)", read_body(environ))
        name = match.group(1).decode() if match else ""
    if not name and "Action" in query:
        name = query["Action"][0]
    if not name and service in _REST_SERVICES:
        try:
            name = get_service_router(service).match(Request(environ))[0].name or ""
        except NotFound:
            name = ""
    return Target(service, region, name, signed=True)


def read_body(environ: Environ) -> bytes:
    """The request's body, leaving it readable for whoever comes next."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def run(handler: Handler, call: Call, environ: Environ) -> tuple[int, dict[str, str], bytes]:
    """Parse and check the request, run the operation, and serialise what it answers."""
    model = get_service_model(call.service)
    operation_model = model.operation_model(call.name)
    protocol = determine_request_protocol(model, environ.get("CONTENT_TYPE"))
    read_body(environ)
    request = Request(environ)
    uri_params: Mapping[str, Any] = {}
    if protocol.startswith("rest"):
        uri_params = {k: unquote(v) for k, v in get_service_router(call.service).match(request)[1].items()}
    given = {
        "method": request.method,
        "values": request.values,
        "headers": request.headers,
        "body": request.get_data(cache=True, parse_form_data=False),
        "url_path": request.path,
        "url_params": uri_params,
    }
    try:
        try:
            call.params = PROTOCOL_PARSERS[protocol](operation_model, map_type=dict).parse(given) or {}
        except Exception as error:  # whatever the parser stumbles over, the request is what is wrong
            raise ApiError("SerializationException", f"The request cannot be read: {error}") from error
        if not isinstance(call.params, dict):
            raise ApiError("SerializationException", "The request's body is no object.")
        if operation_model.input_shape is not None:
            problems = problems_of(call.params, operation_model.input_shape)
            if problems:
                raise _refusal(call.service, problems)
        result = handler(call) or {}
    except ApiError as error:
        return error_response(error, protocol, query_compatible="awsQueryCompatible" in model.metadata)
    serializer = get_serializer_class(call.service, protocol)(
        operation_model=operation_model, pretty_print=False, value_picker=XFormedAttributePicker()
    )
    serialized = serializer.serialize(result)
    body = serialized["body"]
    return (
        serialized["status_code"],
        dict(serialized["headers"]),
        body.encode() if isinstance(body, str) else body,
    )


def _refusal(service: str, problems: list[str]) -> ApiError:
    """The words with which the services refuse a request that breaks their model."""
    count = len(problems)
    text = f"{count} validation error{'s' if count > 1 else ''} detected: " + "; ".join(problems)
    return ApiError("ValidationError" if service in {"cloudwatch", "sns"} else "ValidationException", text)


def error_response(error: ApiError, protocol: str, query_compatible: bool = False) -> tuple[int, dict[str, str], bytes]:
    """An error in the wire form of a protocol."""
    if protocol == "query":
        kind = "Sender" if error.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{error.code}</Code>"
            f"<Message>{escape(error.message)}</Message></Error>"
            f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
        )
        return error.status, {"Content-Type": "text/xml"}, body.encode()
    if protocol == "rest-xml":
        body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        return error.status, {"Content-Type": "application/xml"}, body.encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amzn-Errortype": error.code}
    if query_compatible:
        headers["x-amzn-query-error"] = f"{error.code};{'Sender' if error.status < 500 else 'Receiver'}"
    return error.status, headers, json.dumps({"__type": error.code, "message": error.message}).encode()


_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}


def respond(
    start_response: Callable[..., Any], status: int, headers: Mapping[str, str], body: bytes
) -> Iterable[bytes]:
    """Send a whole response."""
    items = {**headers, "Content-Length": str(len(body)), "x-amzn-RequestId": str(uuid.uuid4())}
    start_response(f"{status} {_REASONS.get(status, 'Status')}", list(items.items()))
    return [body]


def page(items: list[Any], params: Mapping[str, Any], default: int = 100) -> tuple[list[Any], str | None]:
    """One page of a list, and the token of the next; raises ApiError for a token that no page gave."""
    token = str(params.get("NextToken") or "0")
    if not token.isdecimal():
        raise validation_error(f"The NextToken {token} is invalid.")
    start = int(token)
    size = int(params.get("MaxResults") or params.get("MaxRecords") or default)
    following = start + size
    return items[start:following], str(following) if following < len(items) else None


def listed(call: Call, items: list[dict[str, Any]], name_key: str) -> tuple[list[dict[str, Any]], str | None]:
    """One page of SageMaker's lists: by name and time of creation, newest first unless asked otherwise."""
    params = call.params
    needle, after, before = (params.get(key) for key in ("NameContains", "CreationTimeAfter", "CreationTimeBefore"))
    found = [
        one
        for one in items
        if (not needle or needle in one[name_key])
        and (after is None or one["CreationTime"] > _aware(after))
        and (before is None or one["CreationTime"] < _aware(before))
    ]
    key = name_key if params.get("SortBy") == "Name" else "CreationTime"
    found.sort(key=lambda one: one[key], reverse=params.get("SortOrder", "Descending") == "Descending")
    return page(found, params)


def _aware(moment: datetime) -> datetime:
    """A parsed request's time, which is naive UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
