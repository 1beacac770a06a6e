"""Vertex AI on this machine: the Google emulator, whose minutes take two seconds, asked by Google's own clients."""

import json
import time
import urllib.request
from collections import Counter
from typing import Any, ClassVar
from urllib.parse import urlsplit

from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from sandbox.clouds import google
from sandbox.google.emulator import PROJECT
from sandbox.google.server import Handle, start
from sandbox.providers.gcp.services import SERVICES
from sandbox.stack_file import StackFile
from tests.conformance import world

LOCATION = "europe-west4"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
SPEED = 30.0
IMAGE = f"{LOCATION}-docker.pkg.dev/{PROJECT}/models/modelberth:0.1.0"
_STATES = {"JOB_STATE_SUCCEEDED": "succeeded", "JOB_STATE_FAILED": "failed", "JOB_STATE_CANCELLED": "failed"}
_NOT_COUNTED = ("customJobs", "metricDescriptors", "executions", "operations", "messages", "services")
"""What a run or a message leaves behind, and what belongs to the project."""


class World(world.World):
    """The suite's view of Vertex AI."""

    needed: ClassVar[dict[str, Any]] = {"image": IMAGE}
    # Real seconds: the plugin watches by this machine's clock, in which an emulated minute takes two.
    _rollout: ClassVar[dict[str, Any]] = {"canary": "50%", "bake": "20s"}

    handle: Handle

    def start(self) -> None:
        self.handle = start(speed=SPEED, folder=self.folder.parent / f"{self.folder.name}-work")
        self._clients: dict[str, Any] = {}

    def stop(self) -> None:
        self.handle.stop()

    def client(self, api: str, version: str) -> Any:
        if api not in self._clients:
            options = {"api_endpoint": f"{self.handle.url}/{api}.googleapis.com/"}
            self._clients[api] = build(
                api, version, static_discovery=True, credentials=Credentials(google.TOKEN), client_options=options
            )
        return self._clients[api]

    def _stack(self) -> StackFile:
        return StackFile(world.STACK, self.folder, self.config())

    def environment(self) -> dict[str, str]:
        return google.variables(self._stack())

    def config(self) -> dict[str, Any]:
        addresses = {
            f"gcp:{service.option}CustomEndpoint": self._address(service.base) for service in SERVICES.values()
        }
        return addresses | {
            "gcp:project": PROJECT,
            "gcp:region": LOCATION,
            "gcp:accessToken": google.TOKEN,
            "modelberth:platform": "vertex",
            "modelberth:image": IMAGE,
        }

    def _address(self, base: str) -> str:
        own = urlsplit(base)
        return f"{self.handle.url}/{own.netloc.removeprefix('{region}-')}{own.path}"

    def model(self, package: str) -> dict[str, Any]:
        usual = super().model(package)
        return usual | {"endpoint": usual["endpoint"] | {"rollout": self._rollout}}

    def predict(self, endpoint: str, body: str, content_type: str, accept: str) -> str:
        request = urllib.request.Request(
            f"{self.handle.url}/aiplatform.googleapis.com/v1/{PARENT}/endpoints/{endpoint}:rawPredict",
            body.encode(),
            {"Content-Type": content_type, "Accept": accept, "Authorization": f"Bearer {google.TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def _endpoint(self, endpoint: str) -> dict[str, Any]:
        endpoints = self.client("aiplatform", "v1").projects().locations().endpoints()
        return endpoints.get(name=f"{PARENT}/endpoints/{endpoint}").execute()

    def served(self, endpoint: str) -> dict[str, int]:
        variants = {one["id"]: one["displayName"] for one in self._endpoint(endpoint)["deployedModels"]}
        series = self.client("monitoring", "v3").projects().timeSeries()
        listed = series.list(
            name=f"projects/{PROJECT}",
            filter='metric.type = "aiplatform.googleapis.com/prediction/online/response_count" AND resource.type = '
            f'"aiplatform.googleapis.com/Endpoint" AND resource.labels.endpoint_id = "{endpoint}"',
            interval_startTime="2020-01-01T00:00:00Z",
            interval_endTime=self.handle.get("health")["time"].replace("+00:00", "Z"),
        ).execute()
        counts: Counter[str] = Counter()
        for one in listed.get("timeSeries", []):
            variant = variants.get(one["metric"]["labels"]["deployed_model_id"])
            if variant:
                counts[variant] += sum(int(point["value"]["int64Value"]) for point in one["points"])
        return dict(counts)

    def running(self, endpoint: str) -> list[str]:
        models = self.client("aiplatform", "v1").projects().locations().models()
        digests: set[str] = set()
        for one in self._endpoint(endpoint).get("deployedModels", []):
            model = models.get(name=f"{one['model']}@{one['modelVersionId']}").execute()
            variables = {variable["name"]: variable["value"] for variable in model["containerSpec"]["env"]}
            digests.add(variables["MODELBERTH_PACKAGE_DIGEST"])
        return sorted(digests)

    def break_replicas(self, endpoint: str) -> None:
        self.handle.post("kill", name=f"endpoint {endpoint}")

    def heal_replicas(self, endpoint: str) -> None:
        """Vertex AI starts another container in the place of one that ended."""

    def scaled(self, endpoint: str) -> tuple[int, int] | None:
        for one in self._endpoint(endpoint)["deployedModels"]:
            resources = one["dedicatedResources"]
            least, most = resources["minReplicaCount"], resources["maxReplicaCount"]
            if least != most:
                assert resources["autoscalingMetricSpecs"]
                return least, most
        return None

    def alarm_state(self, name: str) -> str:
        return google.alarm_states([name], self._stack())[name]

    def told(self) -> list[str]:
        alerts = self.client("monitoring", "v3").projects().alerts()
        words = {"open": "ALARM", "closed": "OK"}
        found: list[str] = []
        for one in self.handle.get("outbox"):
            if one["type"] == "email":
                alert = alerts.get(name=f"projects/{PROJECT}/alerts/{one['incident']}").execute()
                found.append(f"{words[one['state']]}: {alert['policy']['displayName']}")
        return found

    def _jobs(self, name: str) -> list[dict[str, Any]]:
        jobs = self.client("aiplatform", "v1").projects().locations().customJobs()
        found: list[dict[str, Any]] = []
        request = jobs.list(parent=PARENT, filter=f'displayName="{name}"')
        while request is not None:
            page = request.execute()
            found += page.get("customJobs", [])
            request = jobs.list_next(request, page)
        return found

    def start_job(self, name: str) -> str:
        before = self.runs(name).keys()
        jobs = self.client("cloudscheduler", "v1").projects().locations().jobs()
        jobs.run(name=f"{PARENT}/jobs/{name}", body={}).execute()
        deadline = time.monotonic() + 30
        while not (begun := self.runs(name).keys() - before):
            assert time.monotonic() < deadline, f"{name} starts nothing: {self.handle.get('failures')}"
            time.sleep(0.1)
        return next(iter(begun))

    def runs(self, name: str) -> dict[str, str]:
        return {one["name"]: _STATES.get(one["state"], "executing") for one in self._jobs(name)}

    def why(self, name: str, run: str) -> str:
        return json.dumps([one for one in self._jobs(name) if one["name"] == run])

    def objects(self, bucket: str) -> list[str]:
        objects = self.client("storage", "v1").objects()
        found: list[str] = []
        request = objects.list(bucket=bucket.removeprefix("gs://"))
        while request is not None:
            page = request.execute()
            found += [one["name"] for one in page.get("items", [])]
            request = objects.list_next(request, page)
        return found

    def bucket_facts(self, bucket: str) -> dict[str, bool]:
        found = self.client("storage", "v1").buckets().get(bucket=bucket.removeprefix("gs://")).execute()
        access = found["iamConfiguration"]
        # Cloud Storage encrypts all it keeps; that it is reached by TLS only is the organization's to say.
        return {
            "versioned": found["versioning"]["enabled"],
            "private": access["publicAccessPrevention"] == "enforced",
            "uniform": access["uniformBucketLevelAccess"]["enabled"],
        }

    def everything(self) -> set[str]:
        found = {
            f"{collection} {name}"
            for collection, names in self.handle.get("resources").items()
            if not collection.endswith(_NOT_COUNTED)
            for name in names
        }
        # A job's process ends by itself, whatever becomes of what started it.
        processes = [one["name"] for one in self.handle.get("processes")]
        return found | {f"process {name}" for name in processes if name.startswith("endpoint ")}
