"""Service Usage: which APIs a project has enabled. All are, until one is disabled.

Source: Service Usage API v1, services.enable, disable, get, list, batchEnable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.google.api import APIS, Api, Call
from sandbox.google.operations import Operation
from sandbox.google.store import page

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

api = Api("serviceusage", "v1", "google.api.serviceusage.v1", numbered=True)


def is_enabled(emulator: Emulator, project: str, host: str) -> bool:
    """Whether a project may use a service."""
    disabled = emulator.store.table("_disabled")
    return f"projects/{emulator.projects.number(project)}/services/{host}" not in disabled


def _service(call: Call, name: str) -> dict[str, Any]:
    disabled = call.emulator.store.table("_disabled")
    host = name.rpartition("/")[2]
    return {
        "name": name,
        "config": {"name": host},
        "state": "DISABLED" if name in disabled else "ENABLED",
        "parent": name.partition("/services/")[0],
    }


@api.method("services.get")
def get_service(call: Call) -> dict[str, Any]:
    return _service(call, call.canonical(call.name))


@api.method("services.list")
def list_services(call: Call) -> dict[str, Any]:
    parent = call.canonical(call.name)
    hosts = sorted({one.document.host for one in APIS.values()})
    found = [_service(call, f"{parent}/services/{host}") for host in hosts]
    wanted = str(call.query.pop("filter", "")).rpartition(":")[2]
    items, token = page([one for one in found if wanted in ("", one["state"])], call.query)
    return {"services": items} | ({"nextPageToken": token} if token else {})


def _set(call: Call, enable: bool) -> dict[str, Any]:
    name = call.canonical(call.name)

    def work(operation: Operation) -> dict[str, Any]:
        disabled = call.emulator.store.table("_disabled")
        if enable:
            disabled.pop(name, None)
        else:
            disabled[name] = {"name": name}
        return call.any(
            "EnableServiceResponse" if enable else "DisableServiceResponse", {"service": _service(call, name)}
        )

    # Unlike others', its operations are not below what they are about.
    return call.operation("", "OperationMetadata", work)


@api.method("services.enable")
def enable(call: Call) -> dict[str, Any]:
    return _set(call, True)


@api.method("services.disable")
def disable(call: Call) -> dict[str, Any]:
    return _set(call, False)
