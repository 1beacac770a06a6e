"""Vertex AI."""

from __future__ import annotations

from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.rest import NAME, Rest
from sandbox.providers.gcp.services import COLAB, VERTEX
from sandbox.providers.resource import Change, Values

_LOCATION = "projects/{project}/locations/{location}"


def _parent(values: Values, body: Values) -> None:
    for name in ("createPipelineJobRequest", "createNotebookExecutionJobRequest"):
        if name in body:
            body[name].setdefault("parent", f"projects/{values['project']}/locations/{values['location']}")


def _set_state(call: Call, path: str, change: Change) -> None:
    wanted, state = change.new.get("desiredState") or "ACTIVE", change.old.get("state") or "ACTIVE"
    if wanted != state:
        call.send("POST", f"{path}:{'pause' if wanted == 'PAUSED' else 'resume'}", {})


def _check_state(inputs: Values) -> list[tuple[str, str]]:
    wanted = inputs.get("desiredState", "ACTIVE")
    if wanted in ("ACTIVE", "PAUSED") or not isinstance(wanted, str):
        return []
    return [("desiredState", f'expected "ACTIVE" or "PAUSED", got "{wanted}"')]


RESOURCES = [
    Rest(
        token="gcp:vertex/aiEndpoint:AiEndpoint",
        service=VERTEX,
        schema="GoogleCloudAiplatformV1Endpoint",
        path=f"{_LOCATION}/endpoints/{{name}}",
        create=f"{_LOCATION}/endpoints?endpointId={{name}}",
        short=frozenset({"name"}),
        auto_name=NAME,
        force_new=frozenset({"name", "location", "encryptionSpec", "network"}),
        computed=frozenset({"trafficSplit"}),
        json=frozenset({"trafficSplit"}),
    ).resource(),
    # A schedule of Vertex AI, for notebooks and pipelines alike, in spite of its name.
    Rest(
        token="gcp:colab/schedule:Schedule",
        service=COLAB,
        schema="GoogleCloudAiplatformV1Schedule",
        path=f"{_LOCATION}/schedules/{{name}}",
        create=f"{_LOCATION}/schedules",
        short=frozenset({"name"}),
        encode=_parent,
        settle=_set_state,
        force_new=frozenset({"location", "createNotebookExecutionJobRequest"}),
        computed=frozenset({"startTime"}),
        defaults={"desiredState": "ACTIVE"},
        verify=_check_state,
    ).resource(),
]
