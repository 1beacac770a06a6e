"""Endpoints and the models deployed to them.

Source: Vertex AI API reference, projects.locations.endpoints (create, deployModel, undeployModel, mutateDeployedModel,
and the fields' descriptions for the ids, the traffic split and the replicas).
"""

from __future__ import annotations

import copy
import random
import re
from typing import Any

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, asked_id
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.operations import Operation
from sandbox.google.store import etag
from sandbox.google.vertex import machines, request_logging
from sandbox.google.vertex.api import api, check_common, found_errors, location_of
from sandbox.google.vertex.hosting import hosting_of
from sandbox.google.vertex.images import program_of
from sandbox.google.vertex.models import resolve

PATH = "projects.locations.endpoints"
_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}|0")


def _check(call: Call, endpoint: Resource) -> None:
    check_common(call, endpoint, "endpoint")
    wanted = asked_id(call, endpoint) if call.method.verb == "create" else None
    if wanted is not None and not _ID.fullmatch(wanted):
        raise found_errors([("endpoint_id", f'"{wanted}" is no valid id: a letter first, or at most 9 digits.')])
    if endpoint.get("network") and endpoint.get("privateServiceConnectConfig", {}).get("enablePrivateServiceConnect"):
        raise invalid("Only one of the fields, network or private_service_connect_config, can be set.")
    request_logging.check(endpoint)
    deployed = {one["id"] for one in endpoint.get("deployedModels", [])}
    if endpoint.get("trafficSplit") or call.method.verb == "patch":
        _check_split(endpoint.get("trafficSplit", {}), deployed)


def _check_split(split: dict[str, int], deployed: set[str]) -> None:
    """A split names deployed models, and is empty or adds up to 100."""
    if unknown := sorted(set(split) - deployed):
        raise invalid(f"The traffic split names DeployedModel ID(s) that are not deployed: {', '.join(unknown)}.")
    if any(not 0 <= share <= 100 for share in split.values()):
        raise invalid("Traffic percentages must be between 0 and 100.")
    if split and sum(split.values()) != 100:
        raise invalid(f"Sum of the traffic percentages must be 100, it is {sum(split.values())}.")


def _complete(call: Call, endpoint: Resource) -> None:
    number, location = endpoint["name"].split("/")[1], endpoint["name"].split("/")[3]
    if endpoint.get("dedicatedEndpointEnabled"):
        endpoint["dedicatedEndpointDns"] = (
            f"{endpoint['name'].rpartition('/')[2]}.{location}-{number}.prediction.vertexai.goog"
        )
    request_logging.complete(call, endpoint)


def _deletable(call: Call, endpoint: Resource) -> None:
    if ids := [one["id"] for one in endpoint.get("deployedModels", [])] + list(_deploying(call, endpoint["name"])):
        raise precondition(
            f'The Endpoint "{endpoint["name"]}" has deployed or being-deployed DeployedModel(s) with ID(s): '
            f"{', '.join(ids)}. Undeploy them first."
        )


api.add(
    Collection(
        PATH,
        "Endpoint",
        check=_check,
        complete=_complete,
        deletable=_deletable,
        delete=request_logging.forget,
        has_etag=True,
    )
)


def _deploying(call: Call, endpoint: str) -> dict[str, Resource]:
    """The deployments to an endpoint that are under way, by id."""
    table = call.emulator.store.table("_deploying")
    return table.setdefault(endpoint, {})


def _check_resources(call: Call, deployed: Resource) -> None:
    kinds = [key for key in ("dedicatedResources", "automaticResources", "sharedResources") if deployed.get(key)]
    if len(kinds) != 1:
        raise invalid(
            "deployed_model: exactly one of dedicated_resources, automatic_resources and shared_resources must be set."
        )
    resources = deployed.get("dedicatedResources")
    if resources is None:
        raise invalid("The model supports DEDICATED_RESOURCES only: set deployed_model.dedicated_resources.")
    at = "deployed_model.dedicated_resources"
    # Source: MachineSpec, "for DeployedModel this field is optional, and the default value is n1-standard-2".
    resources.setdefault("machineSpec", {}).setdefault("machineType", "n1-standard-2")
    least, most = int(resources["minReplicaCount"]), int(resources.get("maxReplicaCount", 0))
    problems = machines.problems(resources["machineSpec"], f"{at}.machine_spec", location_of(call.name))
    if least < 1:
        problems.append((f"{at}.min_replica_count", "The value must be at least 1."))
    if most and most < least:
        problems.append((f"{at}.max_replica_count", "The value must not be less than min_replica_count."))
    if problems:
        raise found_errors(problems)
    resources.setdefault("maxReplicaCount", max(least, 1))


@api.method(f"{PATH}.deployModel")
def deploy(call: Call) -> Resource:
    hosting, deployed = hosting_of(call.emulator), copy.deepcopy(call.body["deployedModel"])
    if not deployed.get("model"):
        raise found_errors([("deployed_model.model", "Required field is not set.")])
    _check_resources(call, deployed)
    with call.emulator.store.lock:
        endpoint, model = call.find(PATH), copy.deepcopy(resolve(call, deployed["model"]))
        taken = {one["id"] for one in endpoint.get("deployedModels", [])} | set(_deploying(call, endpoint["name"]))
        deployed.setdefault("id", str(random.randrange(10**17, 9 * 10**18)))
        if not re.fullmatch(r"[0-9]{1,19}|[a-z][a-z0-9-]{0,9}", deployed["id"]) or deployed["id"] in taken:
            raise invalid(f"The DeployedModel ID {deployed['id']} is invalid or in use.")
        split = call.body.get("trafficSplit", {})
        wanted = {deployed["id"] if key == "0" else key: share for key, share in split.items()}
        _check_split(wanted, taken | {deployed["id"]})
        program = program_of(call.emulator, model["containerSpec"]["imageUri"]) if "containerSpec" in model else None
        if program is None:
            raise precondition(f"The image of the Model {model['name']} cannot be pulled.")
        name = endpoint["name"]
        _deploying(call, name)[deployed["id"]] = deployed
    deployed |= {
        "model": model["name"],
        "modelVersionId": model["versionId"],
        "createTime": call.now,
        "displayName": deployed.get("displayName") or model["displayName"],
    }
    # Source: the reference of DeployedModel.explanationSpec.
    if "explanationSpec" in model and not deployed.get("disableExplanations"):
        deployed.setdefault("explanationSpec", model["explanationSpec"])

    def work(operation: Operation) -> dict[str, Any]:
        hosting.start(name, deployed, model, program, operation)
        with call.emulator.store.lock:
            current = call.table(PATH).get(name)
            if current is None:
                hosting.end(name, deployed["id"])
                raise GoogleError("NOT_FOUND", api.not_found("Endpoint", name))
            everything = {one["id"] for one in current.get("deployedModels", [])} | {deployed["id"]}
            if wanted and set(wanted) <= everything:
                current["trafficSplit"] = {key: share for key, share in wanted.items() if share}
            current.setdefault("deployedModels", []).append(deployed)
            _changed(call, current)
            _deploying(call, name).pop(deployed["id"], None)
        return call.any("DeployModelResponse", {"deployedModel": deployed})

    def undo() -> None:
        with call.emulator.store.lock:
            _deploying(call, name).pop(deployed["id"], None)

    return call.operation(name, "DeployModelOperationMetadata", work, undo=undo)


def _changed(call: Call, endpoint: Resource) -> None:
    endpoint["updateTime"] = call.now
    endpoint["etag"] = etag(endpoint)


def _deployed(endpoint: Resource, wanted: str) -> Resource:
    for one in endpoint.get("deployedModels", []):
        if one["id"] == wanted:
            return one
    raise GoogleError(
        "NOT_FOUND", f"DeployedModel with ID {wanted} is not deployed at the Endpoint {endpoint['name']}."
    )


@api.method(f"{PATH}.undeployModel")
def undeploy(call: Call) -> Resource:
    wanted = str(call.body["deployedModelId"])
    with call.emulator.store.lock:
        endpoint = call.find(PATH)
        name = endpoint["name"]
        _deployed(endpoint, wanted)
        left = {one["id"] for one in endpoint["deployedModels"]} - {wanted}
        given = call.body.get("trafficSplit", {})
        _check_split(given, left)
        if left and not given and endpoint.get("trafficSplit", {}).get(wanted):
            raise precondition(
                f"The DeployedModel {wanted} has {endpoint['trafficSplit'][wanted]}% of the traffic of the Endpoint "
                f"{name}: a DeployedModel can be undeployed only if it has no traffic, or if the request's "
                "traffic_split unassigns it."
            )

    def work(operation: Operation) -> dict[str, Any]:
        with call.emulator.store.lock:
            current = call.find(PATH)
            current["deployedModels"] = [one for one in current["deployedModels"] if one["id"] != wanted]
            split = given or current.get("trafficSplit", {})
            current["trafficSplit"] = {key: share for key, share in split.items() if key != wanted and share}
            for key in ("deployedModels", "trafficSplit"):
                if not current[key]:
                    del current[key]
            _changed(call, current)
        hosting_of(call.emulator).end(name, wanted)
        return call.any("UndeployModelResponse", {})

    return call.operation(name, "UndeployModelOperationMetadata", work)


@api.method(f"{PATH}.mutateDeployedModel")
def mutate(call: Call) -> Resource:
    given = call.body["deployedModel"]
    schema = f"{api.prefix}DeployedModel"
    paths = masks.paths_of(str(call.body["updateMask"]), call.api.schemas, schema)
    allowed = {
        ("dedicatedResources", "minReplicaCount"),
        ("dedicatedResources", "maxReplicaCount"),
        ("dedicatedResources", "requiredReplicaCount"),
        ("dedicatedResources", "autoscalingMetricSpecs"),
        ("disableContainerLogging",),
        ("enableAccessLogging",),
    }
    if fixed := [".".join(path) for path in paths if tuple(path) not in allowed]:
        raise invalid(f"The field(s) {', '.join(fixed)} of a DeployedModel cannot be mutated.")
    with call.emulator.store.lock:
        endpoint = call.find(PATH)
        changed = masks.merge(_deployed(endpoint, str(given.get("id", ""))), given, paths)
        _check_resources(call, changed)

    def work(operation: Operation) -> dict[str, Any]:
        with call.emulator.store.lock:
            current = call.find(PATH)
            _deployed(current, changed["id"]).update(changed)
            _changed(call, current)
        return call.any("MutateDeployedModelResponse", {"deployedModel": changed})

    return call.operation(endpoint["name"], "MutateDeployedModelOperationMetadata", work)
