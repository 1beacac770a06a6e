"""`modelberth:vertex:DeployedModel`: a model on machines behind an endpoint, with its share of the traffic.

Machines that nobody knows of cost money, so the endpoint bears a label with a token from before the deployment until
the engine has it in its state: see docs/decisions/0011-interrupted-operations-are-found-again.md. The traffic is moved
only when the machines serve, by reading and writing the split with its etag, so that what others do on the same
endpoint at the same time is kept.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, ClassVar, cast

from model_packaging.errors import choices, did_you_mean
from modelberth_provider.google import GoogleError, Interrupted, Json, Settings
from modelberth_provider.resource import Call, Part, Refused, Resource, State, Unfinished
from modelberth_provider.vertex import traffic
from modelberth_provider.vertex.alarms import PAUSE_SECONDS, Alarms, Fired
from modelberth_provider.vertex.names import check_place, check_versioned_model, endpoint_name, placed

_DEPLOYING = "DeployModelOperationMetadata"
_BUSY_SECONDS = 5.0
_MOST_TIMES = 50
_METRICS = (
    "aiplatform.googleapis.com/prediction/online/accelerator/duty_cycle",
    "aiplatform.googleapis.com/prediction/online/cpu/utilization",
    "aiplatform.googleapis.com/prediction/online/request_count",
    "pubsub.googleapis.com/subscription/num_undelivered_messages",
    "prometheus.googleapis.com/vertex_dcgm_fi_dev_gpu_util",
    "prometheus.googleapis.com/vertex_vllm_gpu_cache_usage_perc",
    "prometheus.googleapis.com/vertex_vllm_num_requests_waiting",
)
_MUTATED = (
    "dedicatedResources.minReplicaCount",
    "dedicatedResources.maxReplicaCount",
    "dedicatedResources.requiredReplicaCount",
    "dedicatedResources.autoscalingMetricSpecs",
    "automaticResources.minReplicaCount",
    "automaticResources.maxReplicaCount",
    "disableContainerLogging",
)
"""What Vertex AI changes in place. Source: REST reference v1, MutateDeployedModelRequest."""
_RESOURCES = ("dedicatedResources", "automaticResources", "sharedResources")
_BODY = (
    "model",
    "displayName",
    *_RESOURCES,
    "serviceAccount",
    "enableAccessLogging",
    "disableContainerLogging",
    "disableExplanations",
)


class MachineSpec(Part):
    """One machine."""

    machineType: str
    """The type, such as `n1-standard-2`."""
    acceleratorType: str | None = None
    """The accelerator, such as `NVIDIA_L4`."""
    acceleratorCount: int | None = None
    """How many accelerators a machine has."""


class AutoscalingMetricSpec(Part):
    """What the number of machines follows."""

    metricName: str
    """The metric, such as `aiplatform.googleapis.com/prediction/online/cpu/utilization`."""
    target: int | None = None
    """The value that is aimed at: of a utilization a percentage, 60 if not said."""


class DedicatedResources(Part):
    """Machines of the deployed model's own."""

    machineSpec: MachineSpec
    """One machine."""
    minReplicaCount: int
    """How many machines there always are; 1 at the least."""
    maxReplicaCount: int | None = None
    """How many there are at the most. As many as at the least else."""
    requiredReplicaCount: int | None = None
    """How many have to serve for the deployment to succeed. As many as at the least else."""
    autoscalingMetricSpecs: list[AutoscalingMetricSpec] | None = None
    """What the number of machines follows. The processors' utilization else."""
    spot: bool | None = None
    """Whether the machines are spot machines, which are cheaper and may be taken away."""


class AutomaticResources(Part):
    """Machines that Vertex AI chooses, for the models that it can do that for."""

    minReplicaCount: int | None = None
    """How many there always are."""
    maxReplicaCount: int | None = None
    """How many there are at the most."""


class Rollout(Part):
    """How the share of the traffic grows, where others serve already."""

    stepPercentage: int
    """By how much, 1 to 100."""
    intervalSeconds: int
    """How long to wait between two steps."""
    firstPercentage: int | None = None
    """The first step, where it is another one: 1 to 100."""
    alarms: list[str] | None = None
    """Alerting policies of Cloud Monitoring, by their display names, that are watched from the first step of a new
    deployment until `intervalSeconds` after its last one. One that fires brings the traffic back to those that had it,
    and the deployment fails."""


class DeployedModelInputs(Part):
    """A model deployed to an endpoint, with its share of the endpoint's traffic.

    What cannot be changed in place makes another deployment beside the old one; the traffic moves to it, and then the
    old one is undeployed. A deployment takes its share from those of its own display name first; the others on the same
    endpoint keep theirs, or their proportions of what is left.
    """

    endpoint: str
    """The endpoint: `projects/…/locations/…/endpoints/…`, or its last part."""
    model: str
    """The model with its version: the `versionName` of a Model."""
    project: str | None = None
    """The project. The provider's else."""
    location: str | None = None
    """The region. The provider's else."""
    deployedModelId: str | None = None
    """1 to 10 digits. Some are made else."""
    displayName: str | None = None
    """The name that people see. The model's else."""
    dedicatedResources: DedicatedResources | None = None
    """Machines of its own."""
    automaticResources: AutomaticResources | None = None
    """Machines that Vertex AI chooses."""
    sharedResources: str | None = None
    """A pool of machines: `projects/…/locations/…/deploymentResourcePools/…`."""
    serviceAccount: str | None = None
    """The account that the container runs as."""
    enableAccessLogging: bool | None = None
    """Whether each request is logged."""
    disableContainerLogging: bool | None = None
    """Whether what the container prints is not logged."""
    disableExplanations: bool | None = None
    """Whether the model's explanations are left out."""
    trafficPercentage: int | None = None
    """Its share of the endpoint's traffic, 0 to 100; alone it has all. Where it is not said it takes all once, or what
    those of its own display name have, when it is deployed, and is then left to others."""
    rollout: Rollout | None = None
    """How the share grows. At once else."""


class DeployedModelState(State):
    """What Vertex AI made of it."""

    endpointName: str
    """The endpoint's whole name."""
    deploymentId: str
    """The deployed model's id on the endpoint."""
    createTime: str
    """When it was deployed, by RFC 3339."""
    traffic: int
    """Its share of the endpoint's traffic when it was last looked at, in percent."""
    operation: str | None = None
    """The operation that still deploys it, after a run that was interrupted."""


class DeployedModel(Resource):
    """Deploys, changes and undeploys models."""

    token: ClassVar[str] = "modelberth:vertex:DeployedModel"
    Inputs = DeployedModelInputs
    State = DeployedModelState
    updated = frozenset({*_MUTATED, "trafficPercentage", "rollout"})
    seconds: ClassVar[dict[str, float]] = {"create": 7200.0, "update": 7200.0, "delete": 3600.0}

    def defaults(self, inputs: Json, settings: Settings) -> Json:
        return placed(inputs, settings)

    def problems(self, inputs: Json) -> dict[str, str]:
        problems = check_place(inputs)
        chosen = [name for name in _RESOURCES if inputs.get(name)]
        if len(chosen) != 1:
            what = f"{' and '.join(chosen)} exclude each other" if chosen else "no machines are chosen"
            problems[chosen[1] if chosen else "dedicatedResources"] = f"{what}: set one of {choices(_RESOURCES)}"
        checked = {
            "model": check_versioned_model(inputs.get("model")),
            "trafficPercentage": _between(inputs.get("trafficPercentage"), 0, 100),
            "deployedModelId": _check_id(inputs.get("deployedModelId")),
        }
        rollout = _object(inputs.get("rollout"))
        checked["rollout.stepPercentage"] = _between(rollout.get("stepPercentage"), 1, 100)
        checked["rollout.intervalSeconds"] = _between(rollout.get("intervalSeconds"), 0, 86400)
        checked["rollout.firstPercentage"] = _between(rollout.get("firstPercentage"), 1, 100)
        dedicated = _object(inputs.get("dedicatedResources"))
        least, most = dedicated.get("minReplicaCount"), dedicated.get("maxReplicaCount")
        checked["dedicatedResources.minReplicaCount"] = _between(least, 1, None)
        if isinstance(least, int) and isinstance(most, int) and most < least:
            checked["dedicatedResources.maxReplicaCount"] = f"{most} is less than minReplicaCount, {least}"
        machine = _object(dedicated.get("machineSpec"))
        if bool(machine.get("acceleratorType")) != bool(machine.get("acceleratorCount")):
            checked["dedicatedResources.machineSpec"] = "acceleratorType and acceleratorCount belong together"
        for index, one in enumerate(_list(dedicated.get("autoscalingMetricSpecs"))):
            path, name = f"dedicatedResources.autoscalingMetricSpecs[{index}]", _object(one).get("metricName")
            if isinstance(name, str) and name not in _METRICS:
                text = f"{name!r} is no such metric{did_you_mean(name, _METRICS)}: choose {choices(_METRICS)}"
                checked[f"{path}.metricName"] = text
            checked[f"{path}.target"] = _between(
                _object(one).get("target"), 1, 100 if str(name).endswith(("utilization", "duty_cycle")) else None
            )
        return problems | {path: text for path, text in checked.items() if text}

    def delete_first(self, olds: Json, news: Json) -> bool:
        # Two on one endpoint cannot have one id.
        given = news.get("deployedModelId")
        return bool(given) and given == olds.get("deployedModelId") and news.get("endpoint") == olds.get("endpoint")

    def create(self, call: Call, inputs: Json) -> tuple[str, Json]:
        endpoint = endpoint_name(str(inputs["endpoint"]), str(inputs["project"]), str(inputs["location"]))
        fixed = {name: value for name, value in inputs.items() if name not in self.updated and name not in _RESOURCES}
        machine = _object(inputs.get("dedicatedResources")).get("machineSpec")
        token = call.token({**fixed, "machineSpec": machine})
        self._alarms(call, inputs)  # before anything is begun that would have to be undone without them
        identifier, is_there = self._begun(call, endpoint, inputs, token)
        operation = ""
        if not is_there:
            self._label(call, endpoint, identifier, token)
            body: Json = {"deployedModel": {name: inputs[name] for name in _BODY if name in inputs}}
            body["deployedModel"]["id"] = identifier
            try:
                operation = str(self._sent(call, f"{endpoint}:deployModel", body)["name"])
            except GoogleError as error:
                if error.http:  # without an answer it may be under way, and the label has to stay
                    self._label(call, endpoint, identifier, None)
                raise
        return self._name(endpoint, identifier), self._finished(call, endpoint, identifier, operation, inputs)

    def read(self, call: Call, identifier: str, state: Json, inputs: Json) -> tuple[str, Json, Json] | None:
        endpoint, number = _parts(identifier)
        live = call.vertex.find(endpoint, call.waiting)
        one = _deployed(live, number)
        if live is None or one is None:
            if live is not None and state.get("operation") and call.vertex.running(endpoint, call.waiting, _DEPLOYING):
                raise Unfinished(identifier, state, f"{number} is still being deployed to {endpoint}")
            return None
        return identifier, _state(live, one), _inputs(live, one, inputs)

    def update(self, call: Call, identifier: str, state: Json, inputs: Json) -> Json:
        endpoint, number = _parts(identifier)
        return self._finished(call, endpoint, number, str(state.get("operation") or ""), inputs)

    def delete(self, call: Call, identifier: str, state: Json) -> None:
        endpoint, number = _parts(identifier)
        if operation := state.get("operation"):
            try:
                call.vertex.wait(str(operation), call.waiting, "the deployment that is still under way")
            except GoogleError as error:
                call.waiting.progress(f"the deployment had failed: {error}")
        self._undeploy(call, endpoint, number)
        self._label(call, endpoint, number, None)

    # Deploying

    def _begun(self, call: Call, endpoint: str, inputs: Json, token: str) -> tuple[str, bool]:
        """The id for a deployment, and whether an interrupted run has deployed it already."""
        given = inputs.get("deployedModelId")
        for number in range(1, _MOST_TIMES):
            identifier = str(given or _made_id(token, number))
            live = self._endpoint(call, endpoint)
            mine = _labels(live).get(_label_key(identifier)) == token
            if mine and _deployed(live, identifier) is None:
                # The operation does not tell which model it deploys. It is waited for, and then the endpoint tells.
                for operation in call.vertex.running(endpoint, call.waiting, _DEPLOYING):
                    try:
                        call.vertex.wait(operation, call.waiting, "a deployment that was begun before")
                    except GoogleError as error:
                        call.waiting.progress(f"a deployment that was begun before had failed: {error}")
                live = self._endpoint(call, endpoint)
            is_there = _deployed(live, identifier) is not None
            if mine or not is_there:
                return identifier, is_there
            if given:
                raise Refused(
                    f"{endpoint} has a deployed model {identifier} already, and this stack did not make it: choose "
                    "another deployedModelId, or import it with `pulumi import modelberth:vertex:DeployedModel <name> "
                    f"{self._name(endpoint, identifier)}`"
                )
        raise Refused(f"{endpoint} has {_MOST_TIMES} deployments of this model already: undeploy some")

    def _finished(self, call: Call, endpoint: str, identifier: str, operation: str, inputs: Json) -> Json:
        """Wait for the deployment, make it as the inputs say, give it its traffic; its state."""
        pending: Json = {"endpointName": endpoint, "deploymentId": identifier, "createTime": "", "traffic": 0}
        try:
            if operation:
                pending["operation"] = operation
                self._deployed_or_cleared(call, endpoint, identifier, operation)
                del pending["operation"]
            live = self._mutated(call, endpoint, identifier, inputs)
            is_new = _label_key(identifier) in _labels(live)
            if is_new:
                self._roll_out(call, endpoint, identifier, inputs)
                self._label(call, endpoint, identifier, None)
            elif inputs.get("trafficPercentage") is not None:
                self._shift(call, endpoint, identifier, inputs)
        except Interrupted as error:
            text = f"{error}; {identifier} on {endpoint} is not as it is wanted yet, and the next update goes on"
            raise Unfinished(self._name(endpoint, identifier), pending, text) from error
        live = self._endpoint(call, endpoint)
        return _state(live, self._one(live, identifier))

    def _deployed_or_cleared(self, call: Call, endpoint: str, identifier: str, operation: str) -> None:
        number = endpoint.rpartition("/")[2]
        try:
            call.vertex.wait(operation, call.waiting, f"deploying to {number}")
        except GoogleError as error:
            # Machines of a deployment that failed may go on, and would be paid for.
            self._undeploy(call, endpoint, identifier)
            self._label(call, endpoint, identifier, None)
            others = _list((call.vertex.find(endpoint, call.waiting) or {}).get("deployedModels"))
            before = f"endpoint {number} was rolled back, and serves what it served before: " if others else ""
            raise GoogleError(f"{before}{error}\n  Nothing of it is left on the endpoint", error.status) from error

    def _roll_out(self, call: Call, endpoint: str, identifier: str, inputs: Json) -> None:
        """Give a new deployment its traffic, and watch its alarms; take all of it back where one fires."""
        alarms = self._alarms(call, inputs)
        if not _split(self._endpoint(call, endpoint)).get(identifier):
            alarms.disregard_open()
        try:
            self._shift(call, endpoint, identifier, inputs, alarms)
        except Fired as error:
            self._undeploy(call, endpoint, identifier)
            self._label(call, endpoint, identifier, None)
            number = endpoint.rpartition("/")[2]
            text = f"endpoint {number} was rolled back because {error}. It serves what it served before"
            raise Refused(f"{text}, and nothing of {inputs['model']} is left on it") from error

    @staticmethod
    def _alarms(call: Call, inputs: Json) -> Alarms:
        names = [str(one) for one in _list(_object(inputs.get("rollout")).get("alarms"))]
        return Alarms(call, str(inputs["project"]), names)

    def _mutated(self, call: Call, endpoint: str, identifier: str, inputs: Json) -> Json:
        live = self._endpoint(call, endpoint)
        one = self._one(live, identifier)
        mask = [path for path in _MUTATED if _differs(_at(inputs, path), _at(one, path), path)]
        if mask:
            body: Json = {"id": identifier}
            for path in mask:
                _put(body, path, _at(inputs, path))
            request = {"deployedModel": body, "updateMask": ",".join(mask)}
            done = self._sent(call, f"{endpoint}:mutateDeployedModel", request)
            call.vertex.wait(str(done["name"]), call.waiting, f"changing {identifier}")
        return live

    def _shift(self, call: Call, endpoint: str, identifier: str, inputs: Json, alarms: Alarms | None = None) -> None:
        """Bring the share of the traffic to what is wanted, in steps if asked for; Fired if an alarm fires."""
        rollout = _object(inputs.get("rollout"))
        while True:
            live = self._endpoint(call, endpoint)
            split, wanted = _split(live), _wanted(live, identifier, inputs)
            now, is_shared = split.get(identifier, 0), bool(split.keys() - {identifier})
            # A share that an interrupted run has set was not watched to its end: it is watched anew.
            if now and alarms and len(_list(live.get("deployedModels"))) > 1:
                self._bake(call, alarms, float(rollout["intervalSeconds"]), f"{now} % of the traffic")
            if now == wanted or (now == 100 and not is_shared):
                return
            step = 100
            if rollout and is_shared:
                step = int((not now and rollout.get("firstPercentage")) or rollout["stepPercentage"])
            share = min(now + step, wanted) if now < wanted else max(now - step, wanted)
            self._set_share(call, endpoint, identifier, share)
            call.waiting.progress(f"{share} % of the traffic")
            if rollout and is_shared and not alarms and share != wanted:
                call.waiting.pause(float(rollout["intervalSeconds"]), f"the step after {share} % of the traffic")

    def _bake(self, call: Call, alarms: Alarms, seconds: float, what: str) -> None:
        """Watch the alarms for a while."""
        end = time.monotonic() + seconds
        while True:
            alarms.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            call.waiting.progress(f"{what}, whose alarms are watched for another {left:.0f} s")
            call.waiting.pause(min(PAUSE_SECONDS, left), f"the watch over {what}")

    def _set_share(self, call: Call, endpoint: str, identifier: str, share: int) -> None:
        def split(live: Json) -> dict[str, int]:
            return traffic.with_share(_split(live), identifier, share, _siblings(live, identifier))

        self._set_split(call, endpoint, split)

    # Undeploying

    def _undeploy(self, call: Call, endpoint: str, identifier: str) -> None:
        live = call.vertex.find(endpoint, call.waiting)
        if _deployed(live, identifier) is None:
            return
        self._set_split(call, endpoint, lambda live: _without(live, identifier, call))
        request = {"deployedModelId": identifier}
        try:
            done = self._sent(call, f"{endpoint}:undeployModel", request)
        except GoogleError as error:
            if error.http == 404:
                return
            raise
        call.vertex.wait(str(done["name"]), call.waiting, f"undeploying {identifier}")

    # The endpoint

    def _endpoint(self, call: Call, name: str) -> Json:
        found = call.vertex.find(name, call.waiting)
        if found is None:
            raise Refused(f"there is no endpoint {name}: it was deleted, or its name or region is wrong")
        return found

    def _one(self, live: Json, identifier: str) -> Json:
        found = _deployed(live, identifier)
        if found is None:
            text = f"{live['name']} has no deployed model {identifier} any more: run pulumi refresh, then pulumi up"
            raise Refused(text)
        return found

    def _label(self, call: Call, endpoint: str, identifier: str, token: str | None) -> None:
        """Set or take off the label of a deployment that the engine does not have in its state yet."""
        key = _label_key(identifier)

        def change(live: Json) -> Json | None:
            now = _labels(live)
            if now.get(key) == token:
                return None
            kept = {name: value for name, value in now.items() if name != key}
            return {"labels": kept | ({key: token} if token else {})}

        self._patched(call, endpoint, "labels", change)

    def _set_split(self, call: Call, endpoint: str, split: Callable[[Json], dict[str, int]]) -> None:
        def change(live: Json) -> Json | None:
            found = split(live)
            return None if found == _split(live) else {"trafficSplit": found}

        self._patched(call, endpoint, "trafficSplit", change)

    def _patched(self, call: Call, endpoint: str, mask: str, change: Callable[[Json], Json | None]) -> None:
        """Change an endpoint as it is now, again if somebody else was faster."""
        while (live := call.vertex.find(endpoint, call.waiting)) is not None:
            body = change(live)
            if body is None:
                return
            try:
                call.vertex.request("PATCH", endpoint, call.waiting, body | {"etag": live.get("etag")}, updateMask=mask)
                return
            except GoogleError as error:
                if error.status not in ("ABORTED", "FAILED_PRECONDITION") or "etag" not in str(error).lower():
                    raise
                call.waiting.pause(_BUSY_SECONDS / 10, f"another change of {endpoint}")

    def _sent(self, call: Call, name: str, body: Json) -> Json:
        """Begin an operation, once the one that another began on the same endpoint has ended."""
        while True:
            try:
                return call.vertex.request("POST", name, call.waiting, body)
            except GoogleError as error:
                if error.status != "ABORTED":
                    raise
                call.waiting.progress("another operation on the endpoint has to end first")
                call.waiting.pause(_BUSY_SECONDS, "another operation on the endpoint")

    @staticmethod
    def _name(endpoint: str, identifier: str) -> str:
        return f"{endpoint}/deployedModels/{identifier}"


def _made_id(token: str, number: int) -> str:
    digest = hashlib.sha256(f"{token}{number}".encode()).hexdigest()
    return str(10**9 + int(digest, 16) % (9 * 10**9))


def _label_key(identifier: str) -> str:
    return f"modelberth-{identifier}"


def _parts(identifier: str) -> tuple[str, str]:
    endpoint, found, number = identifier.rpartition("/deployedModels/")
    if not found:
        raise Refused(
            f"{identifier!r} is no deployed model: write "
            "projects/<project>/locations/<location>/endpoints/<endpoint>/deployedModels/<id>"
        )
    return endpoint, number


def _labels(live: Json) -> dict[str, str]:
    return live.get("labels") or {}


def _split(live: Json) -> dict[str, int]:
    return {key: int(share) for key, share in cast(Json, live.get("trafficSplit") or {}).items() if share}


def _deployed(live: Json | None, identifier: str) -> Json | None:
    found = cast("list[Json]", (live or {}).get("deployedModels") or [])
    return next((one for one in found if str(one.get("id")) == identifier), None)


def _newest(live: Json) -> list[Json]:
    found = cast("list[Json]", live.get("deployedModels") or [])
    return sorted(found, key=lambda one: str(one.get("createTime", "")), reverse=True)


def _siblings(live: Json, identifier: str) -> list[str]:
    """The others of the same display name, the newest first: what served before it in the same place."""
    name = (_deployed(live, identifier) or {}).get("displayName")
    return [
        str(one["id"]) for one in _newest(live) if name and one.get("displayName") == name and one["id"] != identifier
    ]


def _wanted(live: Json, identifier: str, inputs: Json) -> int:
    """The share that it shall have in the end."""
    if inputs.get("trafficPercentage") is not None:
        return int(inputs["trafficPercentage"])
    split = _split(live)
    siblings = _siblings(live, identifier)
    together = split.get(identifier, 0) + sum(split.get(one, 0) for one in siblings)
    return together if siblings and together else 100


def _without(live: Json, identifier: str, call: Call) -> dict[str, int]:
    others = [str(one["id"]) for one in _newest(live) if str(one["id"]) != identifier]
    now, siblings = _split(live), _siblings(live, identifier)
    if not others:
        return now  # Vertex AI empties the split with the last one
    if now.get(identifier) == 100 and not siblings:
        call.warn(f"{live['name']}: all traffic goes to {others[0]}, the newest of those that had none")
    return traffic.without(now, identifier, siblings, others[0])


def _state(live: Json, one: Json) -> Json:
    return {
        "endpointName": str(live["name"]),
        "deploymentId": str(one["id"]),
        "createTime": str(one.get("createTime", "")),
        "traffic": _split(live).get(str(one["id"]), 0),
    }


def _inputs(live: Json, one: Json, inputs: Json) -> Json:
    """The inputs as they are now: those that were given, or for an import those that say something."""
    share, alone = _split(live).get(str(one["id"]), 0), len(cast("list[Json]", live["deployedModels"])) == 1
    if not inputs:
        parts = str(live["name"]).split("/")
        found = {name: one[name] for name in _BODY if one.get(name)}
        if version := one.get("modelVersionId"):
            found["model"] = f"{str(found['model']).partition('@')[0]}@{version}"
        place = {"project": parts[1], "location": parts[3], "endpoint": live["name"]}
        return found | place | {"deployedModelId": one["id"], "trafficPercentage": share}
    now = dict(inputs)
    for path in _MUTATED:
        # What was not asked for has the value that Vertex AI chose, and is no difference.
        if _at(inputs, path) is not None and _differs(_at(inputs, path), _at(one, path), path):
            now = _copied(now, path)
            _put(now, path, _at(one, path))
    if inputs.get("trafficPercentage") is not None and not alone:
        now["trafficPercentage"] = share
    return now


def _differs(wanted: Any, live: Any, path: str) -> bool:
    if wanted is None:
        # Left out again: only what is a choice of the program's goes back.
        return path in ("disableContainerLogging",) and bool(live)
    return wanted != live


def _at(values: Json, path: str) -> Any:
    found: Any = values
    for part in path.split("."):
        found = _object(found).get(part)
    return found


def _put(values: Json, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for part in above:
        values = values.setdefault(part, {})
    values[last] = value


def _copied(values: Json, path: str) -> Json:
    first = path.split(".", 1)[0]
    return {**values, first: dict(_object(values[first]))} if "." in path else dict(values)


def _object(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _between(value: Any, least: int, most: int | None) -> str:
    if not isinstance(value, int) or (value >= least and (most is None or value <= most)):
        return ""
    return f"{value} is out of range: {least} {'or more' if most is None else f'to {most}'}"


def _check_id(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[0-9]{1,10}", value):
        return ""
    return f"{value!r} is no deployed model's id: 1 to 10 digits"
