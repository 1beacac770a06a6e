"""The WSGI application: administration routes, our own operations, and moto for the rest."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

import sandbox.aws.applicationscaling  # registers its operations
import sandbox.aws.invocation
import sandbox.aws.processing
import sandbox.aws.tagging
import sandbox.aws.training  # noqa: F401
from sandbox.aws import s3policy
from sandbox.aws.api import (
    OPERATIONS,
    ApiError,
    Call,
    Environ,
    PassOn,
    error_response,
    read_body,
    respond,
    run,
    target_of,
)
from sandbox.aws.emulator import Emulator
from sandbox.aws.invocation import invoke

_INVOKE = re.compile(r"^/endpoints/([^/]+)/invocations$")


class Gateway:
    """One application for every service and region."""

    def __init__(self, emulator: Emulator, shut_down: Callable[[], None]) -> None:
        self.emulator = emulator
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._shut_down = shut_down

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not str(environ.get("CONTENT_LENGTH") or "0").isdigit():
            failure = ApiError("SerializationException", "The header Content-Length is no number.")
            return respond(start_response, *error_response(failure, "json"))
        try:
            return self._answer(environ, start_response)
        except Exception as error:
            # Whatever a request holds, the next one is answered.
            traceback.print_exc(file=sys.stderr)
            failure = ApiError("InternalFailure", f"the emulator failed: {error!r}", 500)
            return respond(start_response, *error_response(failure, "json"))

    def _answer(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if path.startswith("/_sandbox/"):
            return self._administer(path.removeprefix("/_sandbox/"), environ, start_response)
        target = target_of(environ, os.environ.get("AWS_REGION", "us-east-1"))
        try:
            self.emulator.faults.meet(target.service or "s3", target.name)
        except ApiError as error:
            return respond(start_response, *error_response(error, _protocol(target.service)))
        if target.signed:
            self.emulator.visit(target.region)
        match = _INVOKE.match(path)
        if match and target.service == "sagemaker-runtime":
            return respond(start_response, *invoke(self.emulator, target.region, match.group(1), environ))
        handler = OPERATIONS.get((target.service, target.name))
        if handler is not None:
            call = Call(self.emulator, target.region, {}, target.service, target.name, lambda: self._ask_moto(environ))
            try:
                return respond(start_response, *run(handler, call, environ))
            except PassOn:
                environ["wsgi.input"].seek(0)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                failure = ApiError("InternalFailure", f"the emulator failed: {error!r}", 500)
                return respond(start_response, *error_response(failure, _protocol(target.service)))
        with s3policy.request(environ):
            return self._moto(environ, start_response)

    def _ask_moto(self, environ: Environ) -> tuple[int, dict[str, str], bytes]:
        environ["wsgi.input"].seek(0)
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            told.update(status=int(status.split()[0]), headers=dict(headers))

        body = b"".join(self._moto(environ, start))
        return told["status"], told["headers"], body

    def _administer(self, route: str, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        emulator, method = self.emulator, environ["REQUEST_METHOD"]
        status, answer = 200, {}
        try:
            given: dict[str, Any] = json.loads(read_body(environ) or b"{}") if method == "POST" else {}
            match (method, route):
                case ("GET", "health"):
                    answer: Any = {
                        "instance_id": emulator.instance_id,
                        "pid": os.getpid(),
                        "speed": emulator.clock.speed,
                        "time": emulator.clock.now().isoformat(),
                    }
                case ("GET", "outbox"):
                    answer = emulator.notifications.outbox
                case ("GET", "processes"):
                    answer = [
                        {
                            "name": one.name,
                            "pid": one.process.pid,
                            "program": [child.pid for child in one.processes()],
                            "folder": str(one.folder),
                        }
                        for one in emulator.runtime.running()
                    ]
                case ("POST", "faults"):
                    emulator.faults.add(given)
                case ("POST", "kill"):
                    killed = [one for one in emulator.runtime.running() if str(given.get("name", "")) in one.name]
                    for one in killed:
                        one.kill()
                    answer = {"killed": [one.name for one in killed]}
                case ("POST", "images"):
                    emulator.register_image(given["reference"], given["entrypoint"])
                case ("POST", "shutdown"):
                    threading.Thread(target=self._shut_down).start()
                case _:
                    status, answer = 404, {"error": f"no administration route {method} /_sandbox/{route}"}
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"error": str(error)}
        body = json.dumps(answer).encode()
        return respond(start_response, status, {"Content-Type": "application/json"}, body)


def _protocol(service: str) -> str:
    return str(get_service_model(service or "s3").metadata.get("protocol", "json"))
