"""SageMaker hosting: models, endpoint configurations, endpoints and their deployments.

Sources: SageMaker API reference (CreateModel, CreateEndpointConfig, CreateEndpoint, UpdateEndpoint,
UpdateEndpointWeightsAndCapacities, DescribeEndpoint); developer guide, "Use your own inference code with hosting
services" (container contract) and "Deployment guardrails" (blue/green and rolling deployments, rollback).
"""

from __future__ import annotations

import http.client
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psutil

from sandbox.aws import objects
from sandbox.aws.api import ACCOUNT, Call, listed, operation, validation_error
from sandbox.aws.applicationscaling import registered
from sandbox.aws.capture import Capture
from sandbox.aws.tagging import tag_map
from sandbox.containers import Container, free_port

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

DEFAULT_STARTUP_SECONDS = 480
DRAIN_SECONDS = 65
IN_PROGRESS = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}


class StartFailure(Exception):
    """A variant's container did not become healthy; the message is SageMaker's FailureReason."""


@dataclass
class Variant:
    """One variant of one fleet: a process that stands for all its instances."""

    spec: dict[str, Any]
    model: dict[str, Any]
    image: tuple[str, str | None]
    instance_id: str
    container: Container | None = None
    port: int = 0
    weight: float = 1.0
    instances: int = 1
    in_flight: int = 0

    @property
    def name(self) -> str:
        return str(self.spec["VariantName"])


@dataclass
class Fleet:
    """The containers of one endpoint configuration."""

    config: dict[str, Any]
    variants: list[Variant]
    shadows: list[Variant]
    capture: Capture | None = None

    @property
    def all(self) -> list[Variant]:
        return [*self.variants, *self.shadows]


@dataclass
class Endpoint:
    """A live endpoint. `routes` says which fleets get which share of the traffic."""

    name: str
    arn: str
    region: str
    config_name: str
    status: str
    created: datetime
    modified: datetime
    failure: str | None = None
    routes: list[tuple[Fleet, float]] = field(default_factory=list)
    last_deployment: dict[str, Any] | None = None
    pending: dict[str, Any] | None = None
    gone: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    idle: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        self.idle = threading.Condition(self.lock)

    def choose(self, target_variant: str | None) -> tuple[Fleet, Variant] | None:
        """Take a variant for one request, by the fleets' shares and the variants' weights."""
        with self.lock:
            routes = [(fleet, share) for fleet, share in self.routes if share > 0]
            if not routes:
                return None
            fleet = random.choices([one for one, _ in routes], [share for _, share in routes])[0]
            if target_variant is not None:
                chosen = next((one for one in fleet.variants if one.name == target_variant), None)
            elif sum(one.weight for one in fleet.variants) > 0:
                chosen = random.choices(fleet.variants, [one.weight for one in fleet.variants])[0]
            else:
                chosen = None
            if chosen is None:
                return None
            chosen.in_flight += 1
            return fleet, chosen

    def release(self, variant: Variant) -> None:
        """A request to the variant has ended."""
        with self.lock:
            variant.in_flight -= 1
            self.idle.notify_all()

    def drain(self, fleet: Fleet) -> None:
        """Wait until no request is left in a fleet that gets no traffic any more."""
        with self.idle:
            self.idle.wait_for(lambda: all(one.in_flight == 0 for one in fleet.all), DRAIN_SECONDS)


class Hosting:
    """The models, configurations and endpoints of the account, by region and name."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.models: dict[tuple[str, str], dict[str, Any]] = {}
        self.configs: dict[tuple[str, str], dict[str, Any]] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.lock = threading.RLock()

    def has_arn(self, arn: str) -> bool:
        known = [one["ModelArn"] for one in self.models.values()]
        known += [one["EndpointConfigArn"] for one in self.configs.values()]
        known += [one.arn for one in self.endpoints.values()]
        return arn in known

    def find(self, region: str, name: str) -> Endpoint:
        endpoint = self.endpoints.get((region, name))
        if endpoint is None:
            raise validation_error(f'Could not find endpoint "arn:aws:sagemaker:{region}:{ACCOUNT}:endpoint/{name}".')
        return endpoint

    def config(self, region: str, name: str) -> dict[str, Any]:
        config = self.configs.get((region, name))
        if config is None:
            arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:endpoint-config/{name}"
            raise validation_error(f'Could not find endpoint configuration "{arn}".')
        return config

    # Fleets

    def _variant(self, region: str, spec: dict[str, Any]) -> Variant:
        model = self.models.get((region, spec["ModelName"]))
        if model is None:
            raise StartFailure(f"Could not find model {spec['ModelName']}.")
        image = str(_primary(model).get("Image", ""))
        _, digest, _ = self.emulator.find_image(image)
        variant = Variant(spec, model, (image, digest), f"i-{uuid.uuid4().hex[:17]}")
        variant.weight = float(spec.get("InitialVariantWeight", 1.0))
        variant.instances = int(spec.get("InitialInstanceCount", 1))
        return variant

    def build(self, endpoint: Endpoint, config: dict[str, Any]) -> Fleet:
        """Start a configuration's containers and wait until all answer /ping; raises StartFailure."""
        fleet = Fleet(config, [], [])
        try:
            fleet.variants = [self._variant(endpoint.region, spec) for spec in config["ProductionVariants"]]
            fleet.shadows = [
                self._variant(endpoint.region, spec) for spec in config.get("ShadowProductionVariants", [])
            ]
            for variant in fleet.all:
                self.launch(endpoint, variant)
            for variant in fleet.all:
                self.await_ping(endpoint, variant)
        except StartFailure:
            self.end(fleet)
            raise
        capture = config.get("DataCaptureConfig")
        if capture:
            fleet.capture = Capture(endpoint.name, capture, self.emulator.stopping)
        return fleet

    def launch(self, endpoint: Endpoint, variant: Variant) -> None:
        """Start one variant's container with its model in place."""
        primary = _primary(variant.model)
        _, _, program = self.emulator.find_image(variant.image[0])
        if program is None:
            raise StartFailure(
                f"The primary container image {variant.image[0]} for production variant {variant.name} cannot be run."
            )
        folder = self.emulator.runtime.new_folder(f"{endpoint.name}-{variant.name}")
        model_folder = folder / "model"
        model_folder.mkdir()
        try:
            _fetch_model(primary, model_folder)
        except (OSError, ValueError) as error:
            raise StartFailure(
                f"Failed to download model data for production variant {variant.name}: {error}"
            ) from error
        variant.port = free_port()
        group, stream = f"/aws/sagemaker/Endpoints/{endpoint.name}", f"{variant.name}/{variant.instance_id}"
        variant.container = self.emulator.runtime.start(
            f"endpoint {endpoint.name} {variant.name}",
            [*program, "serve"],
            folder,
            {
                **{str(key): str(value) for key, value in primary.get("Environment", {}).items()},
                "AWS_REGION": endpoint.region,
                "AWS_DEFAULT_REGION": endpoint.region,
                "SAGEMAKER_BASE_DIR": str(folder),
                "SAGEMAKER_BIND_TO_PORT": str(variant.port),
            },
            lambda line: self.emulator.log(endpoint.region, group, stream, line),
        )

    def await_ping(self, endpoint: Endpoint, variant: Variant) -> None:
        """Wait until the container answers /ping with 200, as long as the variant allows."""
        seconds = variant.spec.get("ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_SECONDS)
        deadline = time.monotonic() + float(seconds)
        assert variant.container is not None
        while time.monotonic() < deadline and not self.emulator.stopping.is_set() and not endpoint.gone:
            if _ping(variant.port):
                return
            if not variant.container.running:
                variant.container.wait()
                break
            self.emulator.stopping.wait(0.05)
        raise StartFailure(
            f"The primary container for production variant {variant.name} did not pass the ping health check. "
            "Please check CloudWatch logs for this endpoint."
        )

    def end(self, fleet: Fleet) -> None:
        """Stop a fleet's containers and write what is left of its captured traffic."""
        for variant in fleet.all:
            if variant.container is not None:
                variant.container.stop()
        if fleet.capture is not None:
            fleet.capture.close()

    # Deployments

    def create(self, endpoint: Endpoint) -> None:
        """Bring a new endpoint up, or to Failed."""
        try:
            fleet = self.build(endpoint, self.config(endpoint.region, endpoint.config_name))
        except StartFailure as failure:
            self._settle(endpoint, "Failed", str(failure))
            return
        with endpoint.lock:
            endpoint.routes = [(fleet, 1.0)]
            self._settle(endpoint, "InService", None)

    def update(
        self, endpoint: Endpoint, config: dict[str, Any], deployment: dict[str, Any] | None, retain: set[str]
    ) -> None:
        """Shift an endpoint's traffic to a configuration by its deployment policy, or roll back."""
        old = endpoint.routes[0][0] if endpoint.routes else None
        try:
            new = self.build(endpoint, config)
        except StartFailure as failure:
            # The old fleet keeps serving; with none the endpoint stays failed.
            self._settle(endpoint, "InService" if old else "Failed", str(failure))
            return
        if old is not None:
            _retain(old, new, retain)
        alarm = None
        if old is not None:
            for share, seconds in _steps(deployment or {}, new):
                with endpoint.lock:
                    endpoint.routes = [(old, 1.0 - share), (new, share)]
                alarm = self._bake(endpoint.region, deployment or {}, seconds)
                if alarm:
                    break
        if alarm and old is not None:
            with endpoint.lock:
                endpoint.status = "RollingBack"
                endpoint.routes = [(old, 1.0)]
            endpoint.drain(new)
            self.end(new)
            self._settle(
                endpoint,
                "InService",
                f"One or more configured alarm(s) tripped during the deployment and it was rolled back: {alarm}.",
            )
            return
        with endpoint.lock:
            endpoint.routes = [(new, 1.0)]
            endpoint.config_name = config["EndpointConfigName"]
            endpoint.last_deployment = deployment
            self._settle(endpoint, "InService", None)
        if old is not None:
            endpoint.drain(old)
            self.end(old)

    def _bake(self, region: str, deployment: dict[str, Any], seconds: float) -> str | None:
        """Watch the rollback alarms for some time; the names of those in ALARM, if any."""
        names = [one["AlarmName"] for one in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
        clock = self.emulator.clock
        deadline = clock.time() + seconds
        while True:
            tripped = [name for name in names if self.emulator.alarms.state(region, name) == "ALARM"]
            if tripped:
                return ", ".join(tripped)
            left = deadline - clock.time()
            if left <= 0 or clock.wait(self.emulator.stopping, min(left, 0.2 * clock.speed)):
                return None

    def _settle(self, endpoint: Endpoint, status: str, failure: str | None) -> None:
        with endpoint.lock:
            endpoint.status, endpoint.failure, endpoint.pending = status, failure, None
            endpoint.modified = self.emulator.clock.now()

    def delete(self, endpoint: Endpoint) -> None:
        """End an endpoint's containers and forget it."""
        endpoint.gone = True
        with endpoint.lock:
            fleets = [fleet for fleet, _ in endpoint.routes]
            endpoint.routes = []
        for fleet in fleets:
            self.end(fleet)
        with self.lock:
            self.endpoints.pop((endpoint.region, endpoint.name), None)
            self.emulator.tags.pop(endpoint.arn, None)

    # Machines

    def watch(self) -> None:
        """Replace containers that died, and report what the machines use."""
        report_at = time.monotonic()
        while not self.emulator.stopping.wait(0.5):
            report = time.monotonic() >= report_at
            if report:
                report_at = time.monotonic() + max(1.0, 20.0 / self.emulator.clock.speed)
            for endpoint in list(self.endpoints.values()):
                for fleet, _ in list(endpoint.routes):
                    for variant in fleet.all:
                        self._look_after(endpoint, variant, report)

    def _look_after(self, endpoint: Endpoint, variant: Variant, report: bool) -> None:
        container = variant.container
        if container is None or endpoint.gone:
            return
        if not container.running:
            if endpoint.status == "InService" and not self.emulator.stopping.is_set():
                try:
                    self.launch(endpoint, variant)
                    self.await_ping(endpoint, variant)
                except (StartFailure, RuntimeError):
                    pass
        elif report:
            dimensions = {"EndpointName": endpoint.name, "VariantName": variant.name}
            try:
                processes = container.processes()
                cpu = sum(one.cpu_percent(0.05) for one in processes)
                memory = sum(one.memory_percent() for one in processes)
            except psutil.Error:
                return
            disk = psutil.disk_usage(str(container.folder)).percent
            for name, value in (("CPUUtilization", cpu), ("MemoryUtilization", memory), ("DiskUtilization", disk)):
                self.emulator.metrics.put(
                    endpoint.region, "/aws/sagemaker/Endpoints", name, dimensions, [value], unit="Percent"
                )


def _primary(model: dict[str, Any]) -> dict[str, Any]:
    return dict(model.get("PrimaryContainer") or (model.get("Containers") or [{}])[0])


def _model_uri(container: dict[str, Any]) -> tuple[str | None, bool]:
    """Where a container's model is, and whether as a compressed archive."""
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source:
        return str(source["S3Uri"]), source.get("CompressionType") == "Gzip"
    return container.get("ModelDataUrl"), True


def _fetch_model(container: dict[str, Any], folder: Any) -> None:
    uri, compressed = _model_uri(container)
    if uri is None:
        return
    if not compressed:
        if objects.download(uri, folder) == 0:
            raise FileNotFoundError(uri)
        return
    archive = folder.parent / "model.tar.gz"
    archive.write_bytes(objects.read(uri))
    objects.unpack(archive, folder)
    archive.unlink()


def _ping(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _retain(old: Fleet, new: Fleet, retained: set[str]) -> None:
    """Keep the weights and counts that were set on the running variants, as asked."""
    before = {variant.name: variant for variant in old.variants}
    for variant in new.variants:
        if variant.name in before:
            if "DesiredWeight" in retained:
                variant.weight = before[variant.name].weight
            if "DesiredInstanceCount" in retained:
                variant.instances = before[variant.name].instances


def _share(size: dict[str, Any], fleet: Fleet) -> float:
    """The part of the traffic that a capacity stands for."""
    value = float(size.get("Value", 100))
    if size.get("Type") == "CAPACITY_PERCENT":
        return min(1.0, value / 100)
    return min(1.0, value / max(1, sum(variant.instances for variant in fleet.variants)))


def _steps(deployment: dict[str, Any], new: Fleet) -> list[tuple[float, float]]:
    """The new fleet's share of the traffic and how long it is watched, step by step.

    Source: developer guide, "Blue/Green Deployments" (all at once, canary, linear) and "Rolling deployments". The
    last step's baking period is followed by TerminationWaitInSeconds, in which alarms still roll back.
    """
    rolling = deployment.get("RollingUpdatePolicy")
    if rolling:
        step, wait = _share(rolling["MaximumBatchSize"], new), float(rolling["WaitIntervalInSeconds"])
        return [(share, wait) for share in _fractions(step)]
    blue_green = deployment.get("BlueGreenUpdatePolicy")
    if not blue_green:
        return [(1.0, 0.0)]
    routing = blue_green["TrafficRoutingConfiguration"]
    wait = float(routing.get("WaitIntervalInSeconds", 0))
    final = wait + float(blue_green.get("TerminationWaitInSeconds", 0))
    if routing["Type"] == "CANARY":
        shares = [_share(routing["CanarySize"], new), 1.0]
    elif routing["Type"] == "LINEAR":
        shares = _fractions(_share(routing["LinearStepSize"], new))
    else:
        shares = [1.0]
    return [(share, final if share >= 1.0 else wait) for share in shares]


def _fractions(step: float) -> list[float]:
    count = max(1, round(1 / step + 0.4999))
    return [min(1.0, step * index) for index in range(1, count)] + [1.0]


# Models


@operation("sagemaker", "CreateModel")
def create_model(call: Call) -> dict[str, Any]:
    params, hosting, emulator = call.params, call.emulator.hosting, call.emulator
    name = params["ModelName"]
    arn = call.arn("sagemaker", f"model/{name}")
    containers = [params["PrimaryContainer"]] if params.get("PrimaryContainer") else params.get("Containers") or []
    if params.get("PrimaryContainer") and params.get("Containers"):
        raise validation_error("Only one of PrimaryContainer and Containers can be specified.")
    if not containers:
        raise validation_error("A primary container or a list of containers must be specified.")
    if params.get("ExecutionRoleArn"):
        emulator.require_role(params["ExecutionRoleArn"])
    for container in containers:
        if container.get("Image"):
            emulator.require_image(container["Image"])
        if container.get("ModelDataUrl") and container.get("ModelDataSource"):
            raise validation_error("Only one of ModelDataUrl and ModelDataSource can be specified.")
        uri, compressed = _model_uri(container)
        if uri and not compressed and not uri.endswith("/"):
            raise validation_error(f"S3Uri {uri} of an S3Prefix must end with a forward slash.")
        if uri and not objects.exists(uri):
            raise validation_error(f"Could not find model data at {uri}.")
    with hosting.lock:
        if (call.region, name) in hosting.models:
            raise validation_error(f'Cannot create already existing model "{arn}".')
        hosting.models[call.region, name] = {
            **{key: value for key, value in params.items() if key != "Tags"},
            "ModelArn": arn,
            "CreationTime": emulator.clock.now(),
            "EnableNetworkIsolation": bool(params.get("EnableNetworkIsolation", False)),
        }
        emulator.tags[arn] = tag_map(params.get("Tags"))
    return {"ModelArn": arn}


def _model(call: Call) -> dict[str, Any]:
    model = call.emulator.hosting.models.get((call.region, call.params["ModelName"]))
    if model is None:
        arn = call.arn("sagemaker", f"model/{call.params['ModelName']}")
        raise validation_error(f'Could not find model "{arn}".')
    return model


@operation("sagemaker", "DescribeModel")
def describe_model(call: Call) -> dict[str, Any]:
    return _model(call)


@operation("sagemaker", "DeleteModel")
def delete_model(call: Call) -> None:
    model = _model(call)
    call.emulator.hosting.models.pop((call.region, model["ModelName"]), None)
    call.emulator.tags.pop(model["ModelArn"], None)


@operation("sagemaker", "ListModels")
def list_models(call: Call) -> dict[str, Any]:
    items = [one for (region, _), one in call.emulator.hosting.models.items() if region == call.region]
    found, token = listed(call, items, "ModelName")
    return {"Models": found, "NextToken": token}


# Endpoint configurations


@operation("sagemaker", "CreateEndpointConfig")
def create_endpoint_config(call: Call) -> dict[str, Any]:
    params, hosting = call.params, call.emulator.hosting
    name = params["EndpointConfigName"]
    arn = call.arn("sagemaker", f"endpoint-config/{name}")
    variants = params["ProductionVariants"] + (params.get("ShadowProductionVariants") or [])
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) != len(names):
        raise validation_error("Variant names must be unique within an endpoint configuration.")
    for variant in variants:
        _check_variant(call, variant)
    if params.get("ShadowProductionVariants") and len(params["ProductionVariants"]) != 1:
        raise validation_error("A shadow variant requires exactly one production variant.")
    with hosting.lock:
        if (call.region, name) in hosting.configs:
            raise validation_error(f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in variants:
            variant.setdefault("InitialVariantWeight", 1.0)
        hosting.configs[call.region, name] = {
            **{key: value for key, value in params.items() if key != "Tags"},
            "EndpointConfigArn": arn,
            "CreationTime": call.emulator.clock.now(),
        }
        call.emulator.tags[arn] = tag_map(params.get("Tags"))
    return {"EndpointConfigArn": arn}


def _check_variant(call: Call, variant: dict[str, Any]) -> None:
    name = variant["VariantName"]
    model = variant.get("ModelName")
    if not model:
        raise validation_error(f"ModelName is required for production variant {name}.")
    if (call.region, model) not in call.emulator.hosting.models:
        raise validation_error(f'Could not find model "{call.arn("sagemaker", f"model/{model}")}".')
    if variant.get("ServerlessConfig"):
        if variant.get("InstanceType") or variant.get("InitialInstanceCount"):
            raise validation_error(
                f"ServerlessConfig and an instance type or count cannot both be given for production variant {name}."
            )
        if int(variant["ServerlessConfig"]["MemorySizeInMB"]) % 1024:
            raise validation_error("MemorySizeInMB must be one of 1024, 2048, 3072, 4096, 5120, 6144.")
        return
    if not variant.get("InstanceType"):
        raise validation_error(f"InstanceType is required for production variant {name}.")
    if not variant.get("InitialInstanceCount"):
        raise validation_error(f"InitialInstanceCount is required for production variant {name}.")


@operation("sagemaker", "DescribeEndpointConfig")
def describe_endpoint_config(call: Call) -> dict[str, Any]:
    return call.emulator.hosting.config(call.region, call.params["EndpointConfigName"])


@operation("sagemaker", "DeleteEndpointConfig")
def delete_endpoint_config(call: Call) -> None:
    config = call.emulator.hosting.config(call.region, call.params["EndpointConfigName"])
    call.emulator.hosting.configs.pop((call.region, config["EndpointConfigName"]), None)
    call.emulator.tags.pop(config["EndpointConfigArn"], None)


@operation("sagemaker", "ListEndpointConfigs")
def list_endpoint_configs(call: Call) -> dict[str, Any]:
    items = [one for (region, _), one in call.emulator.hosting.configs.items() if region == call.region]
    found, token = listed(call, items, "EndpointConfigName")
    return {"EndpointConfigs": found, "NextToken": token}


# Endpoints


def _in_background(target: Any, *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()


def _check_deployment(call: Call, deployment: dict[str, Any] | None) -> None:
    if not deployment:
        return
    if deployment.get("BlueGreenUpdatePolicy") and deployment.get("RollingUpdatePolicy"):
        raise validation_error("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be specified.")
    routing = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if routing.get("Type") == "CANARY" and not routing.get("CanarySize"):
        raise validation_error("CanarySize is required when the traffic routing type is CANARY.")
    if routing.get("Type") == "LINEAR" and not routing.get("LinearStepSize"):
        raise validation_error("LinearStepSize is required when the traffic routing type is LINEAR.")
    for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", []):
        if call.emulator.alarms.state(call.region, alarm["AlarmName"]) is None:
            raise validation_error(f"CloudWatch alarm {alarm['AlarmName']} does not exist.")


@operation("sagemaker", "CreateEndpoint")
def create_endpoint(call: Call) -> dict[str, Any]:
    params, hosting = call.params, call.emulator.hosting
    name = params["EndpointName"]
    arn = call.arn("sagemaker", f"endpoint/{name}")
    with hosting.lock:
        if (call.region, name) in hosting.endpoints:
            raise validation_error(f'Cannot create already existing endpoint "{arn}".')
        hosting.config(call.region, params["EndpointConfigName"])
        _check_deployment(call, params.get("DeploymentConfig"))
        now = call.emulator.clock.now()
        endpoint = Endpoint(name, arn, call.region, params["EndpointConfigName"], "Creating", now, now)
        endpoint.last_deployment = params.get("DeploymentConfig")
        hosting.endpoints[call.region, name] = endpoint
        call.emulator.tags[arn] = tag_map(params.get("Tags"))
    _in_background(hosting.create, endpoint)
    return {"EndpointArn": arn}


def _check_scaling(call: Call, endpoint: Endpoint, config: dict[str, Any]) -> None:
    """Refuse another machine, or none, for a variant whose number of replicas is scaled.

    Source: developer guide, "Update endpoints that use automatic scaling". The words are ours.
    """
    old = call.emulator.hosting.configs.get((call.region, endpoint.config_name), {})
    machines = {one["VariantName"]: one.get("InstanceType") for one in config["ProductionVariants"]}
    for variant in old.get("ProductionVariants", []):
        name = variant["VariantName"]
        if not registered(call.region, endpoint.name, name):
            continue
        if machines.get(name) != variant.get("InstanceType"):
            raise validation_error(
                f"The update would change the instance type of variant {name} from {variant.get('InstanceType')} to "
                f"{machines.get(name)}, but the variant is a target for automatic scaling: deregister it first."
            )


@operation("sagemaker", "UpdateEndpoint")
def update_endpoint(call: Call) -> dict[str, Any]:
    params, hosting = call.params, call.emulator.hosting
    endpoint = hosting.find(call.region, params["EndpointName"])
    config = hosting.config(call.region, params["EndpointConfigName"])
    deployment = params.get("DeploymentConfig")
    if params.get("RetainDeploymentConfig"):
        deployment = endpoint.last_deployment
    _check_deployment(call, deployment)
    retain: set[str] = set()
    if params.get("RetainAllVariantProperties"):
        excluded = {one["VariantPropertyType"] for one in params.get("ExcludeRetainedVariantProperties") or []}
        retain = {"DesiredInstanceCount", "DesiredWeight"} - excluded
    _check_scaling(call, endpoint, config)
    with endpoint.lock:
        if endpoint.status in IN_PROGRESS:
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if endpoint.status == "Failed":
            raise validation_error(f'Cannot update failed endpoint "{endpoint.arn}". Delete it and create it again.')
        endpoint.status, endpoint.failure = "Updating", None
        endpoint.modified = call.emulator.clock.now()
        endpoint.pending = {
            "EndpointConfigName": config["EndpointConfigName"],
            "StartTime": endpoint.modified,
            "ProductionVariants": [{"VariantName": one["VariantName"]} for one in config["ProductionVariants"]],
        }
    _in_background(hosting.update, endpoint, config, deployment, retain)
    return {"EndpointArn": endpoint.arn}


@operation("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_endpoint_weights_and_capacities(call: Call) -> dict[str, Any]:
    endpoint = call.emulator.hosting.find(call.region, call.params["EndpointName"])
    with endpoint.lock:
        if endpoint.status != "InService":
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        variants = {variant.name: variant for variant in endpoint.routes[0][0].variants}
        for wanted in call.params["DesiredWeightsAndCapacities"]:
            if wanted["VariantName"] not in variants:
                raise validation_error(
                    f'The variant name(s) "{wanted["VariantName"]}" is/are not present within endpoint '
                    f'configuration "{endpoint.config_name}".'
                )
        for wanted in call.params["DesiredWeightsAndCapacities"]:
            variant = variants[wanted["VariantName"]]
            variant.weight = float(wanted.get("DesiredWeight", variant.weight))
            variant.instances = int(wanted.get("DesiredInstanceCount", variant.instances))
        endpoint.modified = call.emulator.clock.now()
    return {"EndpointArn": endpoint.arn}


@operation("sagemaker", "DeleteEndpoint")
def delete_endpoint(call: Call) -> None:
    endpoint = call.emulator.hosting.find(call.region, call.params["EndpointName"])
    with endpoint.lock:
        if endpoint.status in IN_PROGRESS:
            raise validation_error(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.status = "Deleting"
    _in_background(call.emulator.hosting.delete, endpoint)


def _summary(variant: Variant) -> dict[str, Any]:
    image, digest = variant.image
    repository = image.split("@")[0].rsplit(":", 1)[0]
    found: dict[str, Any] = {
        "VariantName": variant.name,
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": f"{repository}@{digest}" if digest else image}],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
    }
    if variant.spec.get("ServerlessConfig"):
        found["CurrentServerlessConfig"] = variant.spec["ServerlessConfig"]
    else:
        found["CurrentInstanceCount"] = found["DesiredInstanceCount"] = variant.instances
    return found


@operation("sagemaker", "DescribeEndpoint")
def describe_endpoint(call: Call) -> dict[str, Any]:
    endpoint = call.emulator.hosting.find(call.region, call.params["EndpointName"])
    with endpoint.lock:
        fleet = endpoint.routes[0][0] if endpoint.routes else None
        config = call.emulator.hosting.configs.get((call.region, endpoint.config_name), {})
        capture = config.get("DataCaptureConfig")
        return {
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.config_name,
            "EndpointStatus": endpoint.status,
            "FailureReason": endpoint.failure,
            "CreationTime": endpoint.created,
            "LastModifiedTime": endpoint.modified,
            "LastDeploymentConfig": endpoint.last_deployment,
            "PendingDeploymentSummary": endpoint.pending,
            "ProductionVariants": [_summary(variant) for variant in fleet.variants] if fleet else None,
            "ShadowProductionVariants": [_summary(one) for one in fleet.shadows] if fleet and fleet.shadows else None,
            "AsyncInferenceConfig": config.get("AsyncInferenceConfig"),
            "DataCaptureConfig": {
                "EnableCapture": bool(capture.get("EnableCapture", False)),
                "CaptureStatus": "Started" if capture.get("EnableCapture") else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
            if capture
            else None,
        }


@operation("sagemaker", "ListEndpoints")
def list_endpoints(call: Call) -> dict[str, Any]:
    status = call.params.get("StatusEquals")
    items = [
        {
            "EndpointName": one.name,
            "EndpointArn": one.arn,
            "CreationTime": one.created,
            "LastModifiedTime": one.modified,
            "EndpointStatus": one.status,
        }
        for (region, _), one in list(call.emulator.hosting.endpoints.items())
        if region == call.region and status in (None, one.status)
    ]
    found, token = listed(call, items, "EndpointName")
    return {"Endpoints": found, "NextToken": token}
