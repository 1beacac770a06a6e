"""`modelberth:vertex:Model`: a model, or a version of one, uploaded to Vertex AI's registry.

An upload is never repeated. Its model bears a label with a token of the resource that it was begun for, until the
engine has it in its state; a run that was interrupted in between finds it by that label, or finds the operation that
still makes it. See docs/decisions/0011-interrupted-operations-are-found-again.md.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar, cast

from modelberth_provider.google import GoogleError, Interrupted, Json
from modelberth_provider.resource import Call, Part, Refused, Resource, State, Unfinished
from modelberth_provider.vertex.names import check_key, check_labels, check_model, check_place, placed
from modelberth_provider.wire import is_unknown

TOKEN_LABEL = "modelberth-creation"
"""The label of a model that the engine does not have in its state yet."""
_UPLOADING = "UploadModelOperationMetadata"
_BODY = (
    "displayName",
    "description",
    "versionDescription",
    "versionAliases",
    "artifactUri",
    "containerSpec",
    "predictSchemata",
    "explanationSpec",
    "labels",
    "encryptionSpec",
)
_PATCHED = ("displayName", "description", "versionDescription", "labels")
_MOST_NAMES = 50


class EnvVar(Part):
    """An environment variable of the container."""

    name: str
    """A valid C identifier."""
    value: str
    """May refer to others as `$(NAME)`."""


class Port(Part):
    """A port of the container."""

    containerPort: int
    """1 to 65535."""


class HttpGet(Part):
    """A GET request as a probe."""

    path: str | None = None
    """The path. The health route else."""
    port: int | None = None
    """The port. The container's first one else."""


class Probe(Part):
    """How Vertex AI asks whether a container has started, or is healthy."""

    httpGet: HttpGet | None = None
    """The request that is sent."""
    initialDelaySeconds: int | None = None
    """How long to wait before the first one."""
    periodSeconds: int | None = None
    """How often."""
    timeoutSeconds: int | None = None
    """How long one may take."""
    failureThreshold: int | None = None
    """How many failures in a row are one too many."""
    successThreshold: int | None = None
    """How many successes in a row are enough."""


class ContainerSpec(Part):
    """The container that serves the model."""

    imageUri: str
    """The image, in Artifact Registry."""
    command: list[str] | None = None
    """What runs instead of the image's entry point."""
    args: list[str] | None = None
    """The command's arguments."""
    env: list[EnvVar] | None = None
    """Environment variables, beside the `AIP_…` ones that Vertex AI sets."""
    ports: list[Port] | None = None
    """The ports that listen; predictions and health checks go to the first. 8080 else."""
    predictRoute: str | None = None
    """The path of predictions, told to the container as `AIP_PREDICT_ROUTE`."""
    healthRoute: str | None = None
    """The path of health checks, told to the container as `AIP_HEALTH_ROUTE`."""
    deploymentTimeout: str | None = None
    """How long a deployment may take at the most, such as `1800s`; up to 2 hours."""
    sharedMemorySizeMb: str | None = None
    """How much of the machine's memory is shared memory, in megabytes."""
    startupProbe: Probe | None = None
    """Whether the container has started."""
    healthProbe: Probe | None = None
    """Whether it is ready for requests."""
    livenessProbe: Probe | None = None
    """Whether it is to be started again."""


class PredictSchemata(Part):
    """Where the forms of requests and answers are described, as YAML files in Cloud Storage."""

    instanceSchemaUri: str | None = None
    """Of one instance."""
    parametersSchemaUri: str | None = None
    """Of the parameters."""
    predictionSchemaUri: str | None = None
    """Of one prediction."""


class ExplanationSpec(Part):
    """How predictions are explained, in the form of Vertex AI's ExplanationSpec."""

    parameters: dict[str, Any]
    """The method, such as `{"sampledShapleyAttribution": {"pathCount": 10}}`."""
    metadata: dict[str, Any] | None = None
    """The inputs and outputs that are explained."""


class EncryptionSpec(Part):
    """The customer's key."""

    kmsKeyName: str
    """The Cloud KMS key, in the model's region."""


class ModelInputs(Part):
    """A model in Vertex AI's registry, uploaded from Cloud Storage with the container that serves it.

    With `parentModel` it is another version of that model, else a model of its own. A changed artifact, container,
    key or explanation makes a new model and deletes the old one after it.
    """

    displayName: str
    """The name that people see, up to 128 characters."""
    project: str | None = None
    """The project. The provider's else."""
    location: str | None = None
    """The region. The provider's else."""
    modelId: str | None = None
    """The last part of the model's name: up to 63 of `a-z`, `0-9`, `_` and `-`, no digit first. One is made else."""
    parentModel: str | None = None
    """The model that this is a version of: `projects/…/locations/…/models/…`."""
    description: str | None = None
    """What the model is."""
    versionDescription: str | None = None
    """What this version is."""
    versionAliases: list[str] | None = None
    """Names of this version, beside its number. An alias that another version has moves here. The first version of a
    model has the alias `default` besides."""
    artifactUri: str | None = None
    """The folder in Cloud Storage with the model: `gs://…`."""
    containerSpec: ContainerSpec | None = None
    """The container that serves the model."""
    predictSchemata: PredictSchemata | None = None
    """The forms of requests and answers."""
    explanationSpec: ExplanationSpec | None = None
    """How predictions are explained."""
    labels: dict[str, str] | None = None
    """Up to 64 labels."""
    encryptionSpec: EncryptionSpec | None = None
    """The customer's key, by which the model is encrypted."""
    serviceAccount: str | None = None
    """The account that reads the artifact for the upload. Vertex AI's service agent else."""


class ModelState(State):
    """What Vertex AI made of it."""

    name: str
    """The model's whole name, without a version."""
    versionId: str
    """The version's number."""
    versionName: str
    """The model's whole name with the version: what a DeployedModel takes."""
    createTime: str
    """When this version was made, by RFC 3339."""
    operation: str | None = None
    """The operation that still makes it, after a run that was interrupted."""


class Model(Resource):
    """Uploads, changes and deletes models."""

    token: ClassVar[str] = "modelberth:vertex:Model"
    Inputs = ModelInputs
    State = ModelState
    updated = frozenset({*_PATCHED, "versionAliases"})
    hidden = re.compile(r"containerSpec\.env\[\d+\]\.value")

    def defaults(self, inputs: Json, settings: Any) -> Json:
        return placed(inputs, settings)

    def problems(self, inputs: Json) -> dict[str, str]:
        problems = check_place(inputs) | check_labels(inputs.get("labels"))
        container: Json = inputs["containerSpec"] if isinstance(inputs.get("containerSpec"), dict) else {}
        checked = {
            "displayName": _check_display_name(inputs.get("displayName")),
            "modelId": _check_id(inputs.get("modelId")),
            "parentModel": check_model(inputs.get("parentModel")),
            "artifactUri": _starts(inputs.get("artifactUri"), "gs://", "folder in Cloud Storage"),
            "containerSpec.predictRoute": _starts(container.get("predictRoute"), "/", "path"),
            "containerSpec.healthRoute": _starts(container.get("healthRoute"), "/", "path"),
            "containerSpec.imageUri": _check_image(container.get("imageUri")),
            "containerSpec.deploymentTimeout": _check_timeout(container.get("deploymentTimeout")),
            "encryptionSpec.kmsKeyName": check_key(_at(inputs.get("encryptionSpec"), "kmsKeyName")),
            "containerSpec.args": _needs(container, "args", "command"),
        }
        for kind in ("env", "ports"):
            for index, one in enumerate(_list(container.get(kind))):
                name, check = ("name", _check_variable) if kind == "env" else ("containerPort", _check_port)
                checked[f"containerSpec.{kind}[{index}].{name}"] = check(_at(one, name))
        for index, alias in enumerate(_list(inputs.get("versionAliases"))):
            checked[f"versionAliases[{index}]"] = _check_alias(alias)
        if inputs.get("modelId") and inputs.get("parentModel"):
            checked["modelId"] = "cannot be set with parentModel, whose version this is: leave one of them out"
        parent = str(inputs.get("parentModel")).split("/")
        if not is_unknown(inputs.get("parentModel")) and len(parent) == 6 and parent[3] != inputs.get("location"):
            checked["parentModel"] = f"lies in {parent[3]}, this version in {inputs.get('location')}: they must agree"
        return problems | {path: text for path, text in checked.items() if text}

    def delete_first(self, olds: Json, news: Json) -> bool:
        # Two models cannot bear one name.
        return bool(news.get("modelId")) and olds.get("modelId") == news.get("modelId")

    def create(self, call: Call, inputs: Json) -> tuple[str, Json]:
        place = f"projects/{inputs['project']}/locations/{inputs['location']}"
        token = call.token({name: value for name, value in inputs.items() if name not in self.updated})
        if parent := inputs.get("parentModel"):
            name, operation = str(parent), self._begun_version(call, str(parent), token)
            found = None if operation else self._version_with(call, name, token)
        else:
            name, operation, found = self._begun(call, place, inputs, token)
        if found is None:
            operation = operation or self._upload(call, place, name, inputs, token)
            found = self._uploaded(call, name, operation, token, bool(parent))
        return self._handed_over(call, found, inputs)

    def read(self, call: Call, identifier: str, state: Json, inputs: Json) -> tuple[str, Json, Json] | None:
        if state.get("operation"):
            found = self._pending(call, identifier, state)
        else:
            found = call.vertex.find(identifier, call.waiting)
        if found is None:
            return None
        return _versioned(found), _state(found), _inputs(found, inputs)

    def update(self, call: Call, identifier: str, state: Json, inputs: Json) -> Json:
        if state.get("operation"):
            return self._handed_over(call, self._pending(call, identifier, state), inputs)[1]
        live = call.vertex.request("GET", _versioned(state), call.waiting)
        return _state(self._changed(call, live, inputs, list(state.get("versionAliases") or [])))

    def delete(self, call: Call, identifier: str, state: Json) -> None:
        if operation := state.get("operation"):
            try:
                call.vertex.wait(str(operation), call.waiting, "the upload that is still under way")
            except GoogleError:
                return  # it failed, so that there is nothing to delete
            found = self._version_with(call, str(state["name"]), identifier.rpartition("@creation-")[2])
            found = found or call.vertex.find(str(state["name"]), call.waiting)
            if found is None:
                return
            state = _state(found)
        name, version = str(state["name"]), str(state["versionId"])
        versions = call.vertex.list(f"{name}:listVersions", "models", call.waiting)
        live = next((one for one in versions if str(one.get("versionId")) == version), None)
        if live is None:
            return
        if deployed := live.get("deployedModels"):
            where = ", ".join(sorted({str(one["endpoint"]) for one in cast("list[Json]", deployed)}))
            raise Refused(f"{name}@{version} is deployed to {where}: undeploy it there first")
        others = [one for one in versions if one is not live]
        if others and "default" in (live.get("versionAliases") or []):
            heir = max(others, key=lambda one: int(one["versionId"]))
            self._merge(call, _versioned(heir), ["default"])
        what = f"deleting {name}@{version}"
        if others:
            done = call.vertex.request("DELETE", f"{name}@{version}:deleteVersion", call.waiting)
        else:
            done = call.vertex.request("DELETE", name, call.waiting)
        call.vertex.wait(str(done["name"]), call.waiting, what)

    # The upload

    def _begun(self, call: Call, place: str, inputs: Json, token: str) -> tuple[str, str, Json | None]:
        """The name for a new model; the operation or the model itself that an interrupted run left under it."""
        given = inputs.get("modelId")
        for number in range(1, _MOST_NAMES):
            name = f"{place}/models/{given or _made_id(str(inputs['displayName']), token, number)}"
            if running := call.vertex.running(name, call.waiting, _UPLOADING):
                return name, running[0], None
            live = call.vertex.find(name, call.waiting)
            if live is None:
                return name, "", None
            if (found := self._version_with(call, name, token)) is not None:
                return name, "", found
            if given:
                raise Refused(
                    f"{name} exists already, and this stack did not make it: choose another modelId, import it with "
                    f"`pulumi import modelberth:vertex:Model <name> {_versioned(live)}`, or make this a version of it "
                    "by parentModel"
                )
        raise Refused(f"{_MOST_NAMES} models of this name and content exist already: delete some, or set modelId")

    def _begun_version(self, call: Call, parent: str, token: str) -> str:
        # The operation does not say for whom it works. It is waited for, and then the version's token tells.
        for operation in call.vertex.running(parent, call.waiting, _UPLOADING):
            try:
                call.vertex.wait(operation, call.waiting, f"an upload to {parent} that was begun before")
            except GoogleError:
                call.waiting.progress(f"an upload to {parent} that was begun before has failed")
            except Interrupted as error:
                raise Interrupted(f"{error}; the next update goes on") from error
        return ""

    def _upload(self, call: Call, place: str, name: str, inputs: Json, token: str) -> str:
        body = {key: inputs[key] for key in _BODY if key in inputs}
        body["labels"] = {**(inputs.get("labels") or {}), TOKEN_LABEL: token}
        request: Json = {"model": body}
        if inputs.get("parentModel"):
            request["parentModel"] = name
        else:
            request["modelId"] = name.rpartition("/")[2]
        if inputs.get("serviceAccount"):
            request["serviceAccount"] = inputs["serviceAccount"]
        call.waiting.progress(f"uploading {inputs['displayName']}")
        return str(call.vertex.request("POST", f"{place}/models:upload", call.waiting, request)["name"])

    def _uploaded(self, call: Call, name: str, operation: str, token: str, is_version: bool) -> Json:
        """The version that an operation makes. Unfinished, with what is needed to go on, if nobody may wait for it."""
        try:
            response = call.vertex.wait(operation, call.waiting, f"uploading {name.rpartition('/')[2]}")
        except Interrupted as error:
            version = f"creation-{token}" if is_version else "1"
            state = {"name": name, "versionId": "", "versionName": "", "createTime": "", "operation": operation}
            text = f"{error}; the upload goes on at Google, and the next update waits for it"
            raise Unfinished(f"{name}@{version}", state, text) from error
        version = response.get("modelVersionId")
        return call.vertex.request("GET", f"{name}@{version}" if version else name, call.waiting)

    def _pending(self, call: Call, identifier: str, state: Json) -> Json:
        """The version of an upload that an interrupted run recorded."""
        token = identifier.rpartition("@creation-")[2]
        return self._uploaded(call, str(state["name"]), str(state["operation"]), token, "@creation-" in identifier)

    def _version_with(self, call: Call, name: str, token: str) -> Json | None:
        versions = call.vertex.list(f"{name}:listVersions", "models", call.waiting)
        return next((one for one in versions if _labels(one).get(TOKEN_LABEL) == token), None)

    def _handed_over(self, call: Call, live: Json, inputs: Json) -> tuple[str, Json]:
        """Take the token's label off, and say what there is: from here on the engine knows of it."""
        done = self._changed(call, live, inputs, [])
        return _versioned(done), _state(done)

    # Changes

    def _changed(self, call: Call, live: Json, inputs: Json, before: list[str]) -> Json:
        """Make a version as the inputs say, in what can be changed; it as it is then."""
        nothing: Json = {name: {} if name == "labels" else "" for name in _PATCHED}
        wanted: Json = {name: inputs.get(name) or nothing[name] for name in _PATCHED}
        mask = [name for name in _PATCHED if wanted[name] != (live.get(name) or nothing[name])]
        if mask:
            body = {name: wanted[name] for name in mask}
            live = call.vertex.request("PATCH", _versioned(live), call.waiting, body, updateMask=",".join(mask))
        now: list[str] = live.get("versionAliases") or []
        aliases: list[str] = inputs.get("versionAliases") or []
        gone = [alias for alias in before if alias not in aliases and alias in now]
        if "default" in gone:
            raise Refused(
                "versionAliases: the alias default cannot be taken away, because a model always has one default "
                "version: give it to another version, then leave it out here"
            )
        merged = [alias for alias in aliases if alias not in now] + [f"-{alias}" for alias in gone]
        if merged:
            live = self._merge(call, _versioned(live), merged)
        return live

    def _merge(self, call: Call, version: str, aliases: list[str]) -> Json:
        return call.vertex.request("POST", f"{version}:mergeVersionAliases", call.waiting, {"versionAliases": aliases})


def _made_id(display_name: str, token: str, number: int) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", display_name.lower()).strip("-")
    words = words if words[:1].isalpha() else f"model-{words}".rstrip("-")
    return f"{words[:50].rstrip('-')}-{hashlib.sha256(f'{token}{number}'.encode()).hexdigest()[:8]}"


def _labels(live: Json) -> dict[str, str]:
    return live.get("labels") or {}


def _versioned(live: Json) -> str:
    return f"{_plain(str(live['name']))}@{live['versionId']}"


def _plain(name: str) -> str:
    return name.partition("@")[0]


def _state(live: Json) -> Json:
    return {
        "name": _plain(str(live["name"])),
        "versionId": str(live["versionId"]),
        "versionName": _versioned(live),
        "createTime": str(live.get("versionCreateTime") or live.get("createTime") or ""),
    }


def _inputs(live: Json, inputs: Json) -> Json:
    """The inputs as they are now: those that were given, or for an import those that say something."""
    now = dict(inputs)
    for key in _BODY:
        value = live.get(key)
        if key == "labels":
            value = {name: text for name, text in _labels(live).items() if name != TOKEN_LABEL}
        if key == "versionAliases":
            value = _aliases(live.get("versionAliases") or [], inputs)
        if not inputs or key in inputs:
            # What Vertex AI adds by itself to what was asked for is no difference.
            value = _shared(inputs[key], value) if key in inputs else _given(key, value)
        elif key not in ("description", "versionDescription", "labels"):
            continue
        if value in (None, "", [], {}):
            now.pop(key, None)
        else:
            now[key] = value
    if not inputs:
        parts = str(live["name"]).split("/")
        now |= {"project": parts[1], "location": parts[3], "modelId": _plain(parts[5])}
    return now


def _aliases(live: list[str], inputs: Json) -> list[str]:
    wanted = cast("list[str]", inputs.get("versionAliases") or [])
    there = [alias for alias in wanted if alias in live]
    return there + sorted(alias for alias in live if alias not in wanted and alias != "default")


def _given(key: str, value: Any) -> Any:
    """An imported value without the fields that this resource does not have."""
    kind = {"containerSpec": ContainerSpec, "predictSchemata": PredictSchemata, "encryptionSpec": EncryptionSpec}
    if value is None or key not in kind:
        return value
    return {name: item for name, item in value.items() if name in kind[key].model_fields}


def _shared(wanted: Any, live: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        asked, there = cast(Json, wanted), cast(Json, live)
        return {key: _shared(value, there.get(key)) for key, value in asked.items() if there.get(key) is not None}
    if isinstance(wanted, list) and isinstance(live, list):
        before, now = cast("list[Any]", wanted), cast("list[Any]", live)
        return [_shared(one, other) for one, other in zip(before, now, strict=False)] + now[len(before) :]
    return live


# What is allowed. Each says what is wrong, or nothing; what is not known yet is not judged.


def _check_display_name(value: Any) -> str:
    if not isinstance(value, str) or 0 < len(value) <= 128:
        return ""
    return f"{value[:140]!r} has {len(value)} characters: 1 to 128 are allowed"


def _check_id(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[a-z_-][a-z0-9_-]{0,62}", value):
        return ""
    return f"{value!r} is no model's id: up to 63 of a-z, 0-9, _ and -, no digit first"


def _check_alias(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[a-z]([a-zA-Z0-9-]{0,126}[a-z0-9])?", value):
        return ""
    return f"{value!r} is no alias: a letter, then up to 127 letters, digits or -, at last no -"


def _starts(value: Any, start: str, what: str) -> str:
    return "" if not isinstance(value, str) or value.startswith(start) else f"{value!r} is no {what}: it begins {start}"


def _check_image(value: Any) -> str:
    if not isinstance(value, str) or re.match(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io)/", value):
        return ""
    return f"{value!r} lies in a registry that Vertex AI cannot read: push it to <region>-docker.pkg.dev/…"


def _check_timeout(value: Any) -> str:
    if not isinstance(value, str) or (re.fullmatch(r"\d+(\.\d+)?s", value) and float(value[:-1]) <= 7200):
        return ""
    return f"{value!r} is no such duration: write seconds with an s, up to 7200s"


def _check_variable(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        return ""
    return f"{value!r} is no variable's name: letters, digits and _, no digit first"


def _check_port(value: Any) -> str:
    if not isinstance(value, int) or 1 <= value <= 65535:
        return ""
    return f"{value} is no port: 1 to 65535"


def _needs(values: Json, key: str, other: str) -> str:
    return f"needs {other} too" if values.get(key) and not values.get(other) else ""


def _at(value: Any, key: str) -> Any:
    return cast(Json, value).get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
