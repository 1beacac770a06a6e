"""Models and their versions.

Sources: Vertex AI API reference, projects.locations.models (upload, listVersions, mergeVersionAliases, deleteVersion);
"Model versioning".
"""

from __future__ import annotations

import copy
import random
import re
from typing import Any

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, check_etag, listed
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.operations import Operation
from sandbox.google.schema import missing_fields
from sandbox.google.storage import storage_of
from sandbox.google.store import etag
from sandbox.google.vertex.api import api, check_common, found_errors
from sandbox.google.vertex.images import GOOGLE_REGISTRY, program_of, pull_failure

PATH = "projects.locations.models"
VERSIONS = "projects.locations.models.versions"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")

api.add(Collection(PATH, "Model"))
api.add(Collection(VERSIONS, "Model"))


def versions_of(call: Call, name: str) -> list[Resource]:
    """A model's versions themselves, the oldest first."""
    return [one for key, one in call.table(VERSIONS).items() if key.rpartition("@")[0] == name]


def resolve(call: Call, reference: str) -> Resource:
    """The version that `models/ID`, `models/ID@2` or `models/ID@alias` means; raises NOT_FOUND."""
    name, _, wanted = call.canonical(reference).partition("@")
    for one in versions_of(call, name):
        if (wanted or "default") == one["versionId"] or (wanted or "default") in one["versionAliases"]:
            return one
    raise GoogleError("NOT_FOUND", api.not_found("Model", reference))


def _check(call: Call, model: Resource) -> None:
    check_common(call, model, "model")
    container = model.get("containerSpec", {})
    image = container.get("imageUri", "")
    problems: list[tuple[str, str]] = []
    if image and not GOOGLE_REGISTRY.fullmatch(image):
        problems.append(
            (
                "model.container_spec.image_uri",
                f'"{image}" must be the URI of an image in Artifact Registry or Container Registry.',
            )
        )
    for key in ("predictRoute", "healthRoute"):
        if container.get(key) and not container[key].startswith("/"):
            problems.append((f"model.container_spec.{key}", f'"{container[key]}" must start with "/".'))
    uri = model.get("artifactUri", "")
    if uri and not uri.startswith("gs://"):
        problems.append(("model.artifact_uri", f'"{uri}" must be a Cloud Storage location, gs://bucket/folder.'))
    for alias in model.get("versionAliases", []):
        if alias != "default" and not _ALIAS.fullmatch(alias):
            problems.append(
                ("model.version_aliases", f'The alias "{alias}" must match [a-z][a-zA-Z0-9-]{{0,126}}[a-z0-9].')
            )
    if problems:
        raise found_errors(problems)


@api.method(f"{PATH}.upload")
def upload(call: Call) -> Resource:
    body = copy.deepcopy(call.body)
    model, parent = body["model"], call.canonical(call.name)
    _check(call, model)
    wanted, existing = str(body.get("modelId", "")), str(body.get("parentModel", ""))
    if wanted and not _ID.fullmatch(wanted):
        raise found_errors([("model_id", f'"{wanted}" must match [a-z_][a-z0-9_-]{{0,62}}.')])
    if existing:
        name = call.canonical(existing).partition("@")[0]
        resolve(call, name)
    else:
        name = f"{parent}/models/{wanted or random.randrange(10**17, 9 * 10**18)}"
        if versions_of(call, name):
            raise GoogleError("ALREADY_EXISTS", f"Model {name} already exists.")

    def work(operation: Operation) -> dict[str, Any]:
        _check_artifact(call, model)
        image = model.get("containerSpec", {}).get("imageUri")
        if image and program_of(call.emulator, image) is None:
            raise precondition(pull_failure(call.emulator, parent.split("/")[1], image))
        with call.emulator.store.lock:
            others = versions_of(call, name)
            if existing and not others:
                raise GoogleError("NOT_FOUND", api.not_found("Model", name))
            if not existing and others:
                raise GoogleError("ALREADY_EXISTS", f"Model {name} already exists.")
            number_ = str(max((int(one["versionId"]) for one in others), default=0) + 1)
            aliases = list(dict.fromkeys(model.get("versionAliases", [])))
            if not others and "default" not in aliases:
                aliases.append("default")
            _move_aliases(others, aliases)
            now = call.now
            resource = {
                **model,
                "name": name,
                "versionId": number_,
                "versionAliases": aliases,
                "createTime": others[0]["createTime"] if others else now,
                "updateTime": now,
                "versionCreateTime": now,
                "versionUpdateTime": now,
                "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"],
                "modelSourceInfo": {"sourceType": "CUSTOM"},
            }
            resource["etag"] = etag(resource)
            call.table(VERSIONS)[f"{name}@{number_}"] = resource
            call.table(PATH)[name] = {"name": name}
        return call.any("UploadModelResponse", {"model": name, "modelVersionId": number_})

    return call.operation(name, "UploadModelOperationMetadata", work)


def _check_artifact(call: Call, model: Resource) -> None:
    uri = str(model.get("artifactUri", ""))
    if not uri:
        return
    bucket_name, _, prefix = uri.removeprefix("gs://").rstrip("/").partition("/")
    bucket = storage_of(call.emulator).buckets.get(bucket_name)
    if bucket is None or not any(name.startswith(f"{prefix}/" if prefix else "") for name in bucket.objects):
        raise invalid(f"The artifact URI {uri} does not hold any file that can be read.")


def _move_aliases(others: list[Resource], aliases: list[str]) -> None:
    """An alias is of one version only: a new one takes it from the others."""
    for one in others:
        one["versionAliases"] = [alias for alias in one["versionAliases"] if alias not in aliases]


@api.method(f"{PATH}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return copy.deepcopy(resolve(call, call.name))


@api.method(f"{PATH}.list")
def list_models(call: Call) -> Resource:
    found = call.emulator.store.below(f"aiplatform.{VERSIONS}", call.canonical(call.name))
    return listed(call, [one for one in found if "default" in one["versionAliases"]])


@api.method(f"{PATH}.listVersions")
def list_versions(call: Call) -> Resource:
    with call.emulator.store.lock:
        resolve(call, call.name)
        return listed(call, copy.deepcopy(versions_of(call, call.canonical(call.name).partition("@")[0])))


@api.method(f"{PATH}.mergeVersionAliases")
def merge_aliases(call: Call) -> Resource:
    with call.emulator.store.lock:
        version = resolve(call, call.name)
        given = call.body["versionAliases"]
        added = [one for one in given if not one.startswith("-")]
        removed = {one[1:] for one in given if one.startswith("-")}
        if "default" in removed and "default" in version["versionAliases"]:
            raise invalid('The alias "default" cannot be removed: assign it to another version.')
        if bad := [one for one in added if one != "default" and not _ALIAS.fullmatch(one)]:
            raise found_errors([("version_aliases", f'The alias "{one}" is invalid.') for one in bad])
        others = [one for one in versions_of(call, version["name"]) if one is not version]
        _move_aliases(others, added)
        aliases = [*version["versionAliases"], *(one for one in added if one not in version["versionAliases"])]
        version["versionAliases"] = [one for one in aliases if one not in removed]
        version["versionUpdateTime"] = version["updateTime"] = call.now
        version["etag"] = etag(version)
        return copy.deepcopy(version)


@api.method(f"{PATH}.patch")
def patch(call: Call) -> Resource:
    mask = call.query.get("updateMask")
    if not mask:
        raise missing_fields(["update_mask"])
    paths = masks.paths_of(str(mask), call.api.schemas, str(call.method.request))
    allowed = {"displayName", "description", "labels", "versionDescription"}
    if fixed := [path[0] for path in paths if path[0] not in allowed]:
        raise invalid(
            f"The field(s) {', '.join(fixed)} of a Model cannot be updated; {', '.join(sorted(allowed))} can."
        )
    with call.emulator.store.lock:
        version = resolve(call, call.name)
        check_etag(call, version, call.body.get("etag"))
        changed = masks.merge(version, call.body, paths)
        check_common(call, changed, "model")
        changed["updateTime"] = changed["versionUpdateTime"] = call.now
        changed["etag"] = etag(changed)
        version.clear()
        version.update(changed)
        return copy.deepcopy(version)


def _deployed_at(call: Call, name: str, version: str | None) -> list[str]:
    return [
        endpoint["name"]
        for endpoint in call.table("projects.locations.endpoints").values()
        for one in endpoint.get("deployedModels", [])
        if one["model"].partition("@")[0] == name and version in (None, one["modelVersionId"])
    ]


@api.method(f"{PATH}.delete", f"{PATH}.deleteVersion")
def delete(call: Call) -> Resource:
    with call.emulator.store.lock:
        version = resolve(call, call.name)
        name, only = version["name"], call.method.verb == "deleteVersion"
        if only and "default" in version["versionAliases"]:
            raise precondition(
                f"The version {version['versionId']} of the Model {name} is the default version and cannot be deleted: "
                "make another one the default, or delete the Model."
            )
        number = version["versionId"] if only else None
        if places := _deployed_at(call, name, number):
            raise precondition(f'The Model "{name}" is deployed at the following Endpoint(s): {", ".join(places)}.')

    def work(operation: Operation) -> dict[str, Any]:
        with call.emulator.store.lock:
            if places := _deployed_at(call, name, number):
                raise precondition(f'The Model "{name}" is deployed at the following Endpoint(s): {", ".join(places)}.')
            for one in versions_of(call, name):
                if number in (None, one["versionId"]):
                    del call.table(VERSIONS)[f"{name}@{one['versionId']}"]
            if not versions_of(call, name):
                call.table(PATH).pop(name, None)
        return {"@type": "type.googleapis.com/google.protobuf.Empty"}

    return call.operation(name, "DeleteOperationMetadata", work)
