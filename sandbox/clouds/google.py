"""Vertex AI: the Google emulator, or a real project."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import google.auth
from google.auth.exceptions import GoogleAuthError
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from model_packaging.errors import ModelberthError
from sandbox import emulator, settings
from sandbox.engine.install import installed_engine
from sandbox.stack_file import LOOPBACK, StackFile

TOKEN = "sandbox"
"""What the emulator takes for an access token: anything."""


def is_local(stack: StackFile) -> bool:
    """Whether the stack's endpoints are on this machine."""
    return _address(stack) is not None


def problems(stack: StackFile) -> list[str]:
    """Return what a stack in a real project lacks, before anything is done."""
    found: list[str] = []
    try:
        google.auth.default()
    except GoogleAuthError as error:
        found.append(
            f"stacks/Pulumi.{stack.name}.yaml: the stack is in a real Google Cloud project, but there are no usable "
            f"credentials ({error}): run `gcloud auth application-default login`"
        )
    if installed_engine() is None:
        found.append(
            f"stacks/Pulumi.{stack.name}.yaml: a real project is deployed to by the official Google Cloud plugin only, "
            "which comes with Pulumi: install it (https://www.pulumi.com/docs/install/)"
        )
    return found


def variables(stack: StackFile) -> dict[str, str]:
    """Return what Google's clients, gcsfs, gcloud, the engine and the project's own plugin need."""
    url, project, region = _url(stack), _project(stack), _region(stack)
    host = urlsplit(url).netloc
    return {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{url}/aiplatform.googleapis.com/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING": f"{url}/monitoring.googleapis.com/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{url}/storage/v1/",
        "CLOUDSDK_CORE_PROJECT": project,
        # Google's libraries ask here for the credentials of the machine that they run on.
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        # gcsfs else asks Google itself, over gRPC, for the kind of each bucket.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "GOOGLE_CLOUD_PROJECT": project,
        "GOOGLE_CLOUD_REGION": region,
        "GOOGLE_OAUTH_ACCESS_TOKEN": TOKEN,
        "STORAGE_EMULATOR_HOST": url,
        **settings.without_proxy(),
    }


def ensure(stack: StackFile) -> str:
    """Start the emulator, unless it runs; its identity is another one when it was started anew and is empty."""
    return emulator.ensure(_url(stack), "Google")


def is_running(stack: StackFile) -> bool:
    """Whether the emulator answers."""
    return emulator.health(_url(stack)) is not None


def stop(stack: StackFile) -> bool:
    """End the emulator; tells whether there was one."""
    return emulator.stop(_url(stack))


def predict(endpoint: dict[str, Any], row: dict[str, Any], stack: StackFile) -> Any:
    """Ask an endpoint for one prediction, as any application with google-cloud-aiplatform does."""
    from google.cloud import aiplatform

    aiplatform.init(
        project=_project(stack),
        location=_region(stack),
        credentials=_credentials(stack),
        **({"api_transport": "rest", "api_endpoint": _address(stack)} if is_local(stack) else {}),
    )
    return aiplatform.Endpoint(endpoint["name"]).predict([row]).predictions[0]


def alarm_states(names: Iterable[str], stack: StackFile) -> dict[str, str]:
    """Return the states of alerting policies by their names or their display names."""
    address = _address(stack)
    options = {"api_endpoint": f"{address}/monitoring.googleapis.com/"} if address else {}
    monitoring = build(
        "monitoring", "v3", credentials=_credentials(stack), static_discovery=True, client_options=options
    ).projects()
    parent = f"projects/{_project(stack)}"
    alerts = _all(monitoring.alerts(), "alerts", parent=parent, filter='state="OPEN"')
    firing = {alert["policy"]["name"] for alert in alerts if alert["state"] == "OPEN"}
    wanted, found = set(names), dict[str, str]()
    for policy in _all(monitoring.alertPolicies(), "alertPolicies", name=parent):
        state = "ALARM" if policy["name"] in firing else "OK"
        found |= {name: state for name in wanted & {policy["name"], policy["displayName"]}}
    return found


def command(endpoint: dict[str, Any], body: str) -> str:
    """Return a command that asks the endpoint."""
    path = urlsplit(endpoint["url"]).path
    return (
        f"echo '{body}' | curl --header \"Authorization: Bearer $GOOGLE_OAUTH_ACCESS_TOKEN\" --header "
        f'"Content-Type: application/json" --data @- "${{CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM%/}}{path}"'
    )


def _all(collection: Any, key: str, **parameters: Any) -> list[dict[str, Any]]:
    """What a collection lists, page by page."""
    found: list[dict[str, Any]] = []
    request = collection.list(**parameters)
    while request is not None:
        page = request.execute()
        found += page.get(key, [])
        request = collection.list_next(request, page)
    return found


def _credentials(stack: StackFile) -> Any:
    return Credentials(TOKEN) if is_local(stack) else google.auth.default()[0]


def _address(stack: StackFile) -> str | None:
    """Where the Google emulator must listen for this stack; nothing for a stack in a real project."""
    for key, value in stack.config.items():
        address = urlsplit(str(value))
        if key.startswith("gcp:") and key.endswith("CustomEndpoint") and address.hostname in LOOPBACK:
            return f"{address.scheme}://{address.netloc}"
    return None


def _url(stack: StackFile) -> str:
    address = _address(stack)
    if address is None:
        raise ModelberthError(f"the stack {stack.name} is in a real project: use your own credentials")
    return address


def _project(stack: StackFile) -> str:
    return str(stack.config.get("gcp:project") or "")


def _region(stack: StackFile) -> str:
    return str(stack.config.get("gcp:region") or "")
