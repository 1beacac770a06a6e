"""Vertex AI."""

from __future__ import annotations

from sandbox.providers.gcp.rest import NAME, Rest
from sandbox.providers.gcp.services import VERTEX

_LOCATION = "projects/{project}/locations/{location}"

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
    ).resource()
]
