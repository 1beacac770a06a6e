"""A Vertex AI endpoint: its packages in the bucket, the models, their deployments, the account that serves.

Another package makes another model and another deployment beside the one that serves; the engine deletes the old ones
only at the end of an update that succeeded. The plugin's DeployedModel moves the traffic, watches the alarms and takes
it all back where one fires.
"""

from datetime import timedelta

import pulumi
import pulumi_gcp as gcp
from pydantic import Field, ValidationError

from model_packaging.package import Package

from ... import vertex
from ...args import ModelEndpointArgs
from ...errors import problems_of
from ...gaps import refusal
from ...names import content_name, physical_name
from ...outputs import EndpointOutputs
from ...spec import EndpointSpec
from ...uploads import package_prefix
from ...variants import packages_of, weights_of
from . import rights, values
from .machines import smallest
from .packages import upload_package
from .place import Place, PlaceOptions, here

PORT = 8080
_STARTUP_SECONDS = 1800
_METRICS = "aiplatform.googleapis.com/prediction/online"


class Options(PlaceOptions):
    """`endpoint.vertex`: what only Vertex AI has."""

    machine_type: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$")
    """The machine, such as n1-standard-4; the smallest that has what `compute` asks for if left out."""
    accelerator_type: str | None = Field(default=None, pattern="^[A-Z][A-Z0-9_]+$")
    """The accelerator of each replica, such as NVIDIA_L4; none if left out."""
    accelerator_count: int | None = Field(default=None, ge=1)
    """How many of them a replica has; 1 if left out."""
    cpu_target: int | None = Field(default=None, ge=1, le=100)
    """With `scale.max`: the use of the processors, in percent, above which replicas are added, too."""
    accelerator_target: int | None = Field(default=None, ge=1, le=100)
    """With `scale.max`: the use of the accelerators, in percent, above which replicas are added, too."""
    dedicated_dns: bool = False
    """Whether the endpoint has a host name of its own, which isolates its traffic; the shared one answers no more."""
    private_service_connect: list[values.Project] = Field(default_factory=list[str])
    """The projects that reach the endpoint by Private Service Connect, and from nowhere else; by the internet if left
    out."""
    request_response_log: str | None = Field(default=None, pattern=r"^bq://[^./]+(\.[^./]+){0,2}$")
    """A BigQuery table, bq://<project>.<dataset>.<table>, where Vertex AI itself logs requests and answers too, in the
    share of `capture.sample`. The monitor reads what the server captures into the bucket."""
    startup_timeout_seconds: int = Field(default=_STARTUP_SECONDS, ge=60, le=7200)
    """How long a deployment may take until its replicas answer."""


def options_of(spec: EndpointSpec, platform: str) -> Options:
    """Return `endpoint.vertex`.

    Raises:
        ValidationError: it holds what Vertex AI does not have.
    """
    return Options.model_validate(spec.options.get(platform, {}))


def machine_of(spec: EndpointSpec, platform: str) -> str:
    """Return the machine that a replica runs on: the one that is named, else the smallest that fits.

    Raises:
        ValueError: none fits.
    """
    return options_of(spec, platform).machine_type or smallest(spec.compute, "endpoint")


def check(args: ModelEndpointArgs, where: str) -> list[str]:
    """Return what Vertex AI can't do with these arguments."""
    key = f"{where}.{args.platform}"
    problems = values.check_tags(args.tags, where)
    problems += values.check_bucket(args.bucket, f"{where}.bucket")
    problems += values.check_image(args.image, f"{where}.image")
    problems += _check_name(args.endpoint_name, f"{where}.endpoint_name")
    if args.shadow is not None:
        problems.append(refusal(args.platform, "shadow", f"{where}.shadow"))
    if args.scale.min == 0:
        problems.append(refusal(args.platform, "scale_to_zero", f"{where}.scale.min"))
    try:
        options = options_of(args, args.platform)
    except ValidationError as error:
        return problems + problems_of(error, Options, key)
    problems += values.check_key(args.encryption_key, f"{where}.encryption_key", options.location)
    if options.machine_type is None:
        try:
            smallest(args.compute, "endpoint")
        except ValueError as error:
            problems.append(f"{where}.compute: {error}")
    if options.accelerator_type is None and options.accelerator_count is not None:
        problems.append(
            f"{key}.accelerator_type: is missing: accelerator_count counts them; write one such as NVIDIA_L4"
        )
    if options.accelerator_type is None and options.accelerator_target is not None:
        problems.append(f"{key}.accelerator_target: there is no accelerator: set accelerator_type, or leave it out")
    if options.accelerator_type is not None and options.machine_type is None:
        problems.append(
            f"{key}.machine_type: is missing: an accelerator fits some machines only, such as g2-standard-8 for "
            "NVIDIA_L4 and n1-standard-8 for NVIDIA_TESLA_T4"
        )
    if options.dedicated_dns and options.private_service_connect:
        problems.append(f"{key}.dedicated_dns: can't be combined with private_service_connect: leave one of them out")
    if args.rollout.bake > timedelta(hours=24):
        problems.append(f"{where}.rollout.bake: is out of range: at most 24h")
    return problems


def _check_name(name: str | None, where: str) -> list[str]:
    if name is None or not name.isdigit() or values.is_endpoint_id(name):
        return []
    return [
        f"{where}: {name!r} is no id of an endpoint: at most 9 digits and no 0 first; or write a name, of which an id "
        "is made"
    ]


def provision(component: pulumi.ComponentResource, name: str, args: ModelEndpointArgs) -> EndpointOutputs:
    """Make the endpoint and all it needs."""
    child = pulumi.ResourceOptions(parent=component)
    options = options_of(args, args.platform)
    place = here(component, options)
    endpoint_name = args.endpoint_name or physical_name(name)
    bucket = values.bucket_name(args.bucket)
    endpoint = _endpoint(name, endpoint_name, place, options, args, child)
    account = rights.service_account(f"{name}-serve", place, f"Serves {endpoint_name}.", child)
    needed: list[pulumi.Resource] = []
    if args.capture is not None:
        # Vertex AI itself lets the account read the model's files, in a copy of its own.
        prefix = f"capture/{endpoint_name}/"
        needed.append(rights.on_objects(f"{name}-capture", bucket, account, rights.CREATE, [prefix], child))
    deployed = [
        _deployment(
            f"{name}-{variant}", variant, package, endpoint, endpoint_name, account, needed, place, args, component
        )
        for variant, package in packages_of(args).items()
    ]
    # Everything that others use comes after the rollout, so that one that went back is never taken for a success.
    served = pulumi.Output.all(endpoint.name, *(one.id for one in deployed)).apply(lambda known: str(known[0]))
    host = _host(endpoint, place, options)
    url = pulumi.Output.all(host, place, served).apply(
        lambda known: f"https://{known[0]}/v1/{known[1].parent}/endpoints/{known[2]}:predict"
    )
    command = pulumi.Output.concat(
        'curl --header "Authorization: Bearer $(gcloud auth print-access-token)" --header "Content-Type: '
        'application/json" --data @request.json ',
        url,
    )
    return EndpointOutputs(name=served, url=url, invoke_command=command)


def _endpoint(
    name: str,
    endpoint_name: str,
    place: pulumi.Output[Place],
    options: Options,
    args: ModelEndpointArgs,
    child: pulumi.ResourceOptions,
) -> gcp.vertex.AiEndpoint:
    log = options.request_response_log
    return gcp.vertex.AiEndpoint(
        name,
        name=values.endpoint_id(endpoint_name),
        display_name=endpoint_name,
        project=place.apply(lambda at: at.project),
        location=place.apply(lambda at: at.location),
        dedicated_endpoint_enabled=True if options.dedicated_dns else None,
        private_service_connect_config={
            "enable_private_service_connect": True,
            "project_allowlists": options.private_service_connect,
        }
        if options.private_service_connect
        else None,
        predict_request_response_logging_config={
            "enabled": True,
            "sampling_rate": 1.0 if args.capture is None else args.capture.sample,
            "bigquery_destination": {"output_uri": log},
        }
        if log is not None
        else None,
        encryption_spec={"kms_key_name": args.encryption_key} if args.encryption_key is not None else None,
        labels=values.labels(args.tags),
        opts=child.merge(
            pulumi.ResourceOptions(
                protect=not args.development,
                # Two can't have its name at once.
                delete_before_replace=True,
                # The deployed models say how the traffic is split.
                ignore_changes=["trafficSplit"],
            )
        ),
    )


def _deployment(
    name: str,
    variant: str,
    package: Package,
    endpoint: gcp.vertex.AiEndpoint,
    endpoint_name: str,
    account: gcp.serviceaccount.Account,
    needed: list[pulumi.Resource],
    place: pulumi.Output[Place],
    args: ModelEndpointArgs,
    component: pulumi.ComponentResource,
) -> vertex.DeployedModel:
    options = options_of(args, args.platform)
    project, location = place.apply(lambda at: at.project), place.apply(lambda at: at.location)
    bucket = values.bucket_name(args.bucket)
    files = upload_package(f"{name}-package", package, bucket, args, component)
    capture = None if args.capture is None else args.capture.sample
    container = [package.digest, args.image, capture, options.startup_timeout_seconds, args.encryption_key]
    model = vertex.Model(
        # Another package or image makes another model beside the old one, which serves until its traffic has moved.
        content_name(f"{name}-model", container),
        display_name=package.name,
        description=f"Serves {endpoint_name} as {variant}: {package.digest}",
        project=project,
        location=location,
        artifact_uri=pulumi.Output.concat("gs://", bucket, "/", package_prefix(package).rstrip("/")),
        container_spec=_container(variant, package, bucket, endpoint_name, options, args),
        labels=values.labels(args.tags),
        encryption_spec=vertex.EncryptionSpecArgs(kms_key_name=args.encryption_key)
        if args.encryption_key is not None
        else None,
        opts=pulumi.ResourceOptions(parent=component, depends_on=files),
    )
    machine = [machine_of(args, args.platform), options.accelerator_type, options.accelerator_count]
    weight = weights_of(args)[variant]
    seconds = round(2 * args.rollout.bake.total_seconds()) + options.startup_timeout_seconds + 3600
    return vertex.DeployedModel(
        content_name(name, [*container, *machine, endpoint_name]),
        endpoint=pulumi.Output.all(place, endpoint.name).apply(lambda both: f"{both[0].parent}/endpoints/{both[1]}"),
        model=model.version_name,
        project=project,
        location=location,
        # What serves in the same place before and after an update, so that the traffic moves between the two.
        display_name=variant,
        dedicated_resources=_resources(options, args),
        service_account=account.email,
        # Alone it has all, and keeps its hands off what others deploy to the endpoint.
        traffic_percentage=weight if args.variants else None,
        rollout=_rollout(weight, args),
        opts=pulumi.ResourceOptions(
            parent=component,
            depends_on=needed,
            custom_timeouts=pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s", delete="1h"),
        ),
    )


def _container(
    variant: str,
    package: Package,
    bucket: pulumi.Output[str],
    endpoint_name: str,
    options: Options,
    args: ModelEndpointArgs,
) -> vertex.ContainerSpecArgs:
    """Return what a replica runs; where its package lies it is told by Vertex AI, in AIP_STORAGE_URI."""
    variables: dict[str, pulumi.Input[str]] = {
        "MODELBERTH_HOST": "0.0.0.0",
        "MODELBERTH_PACKAGE_DIGEST": package.digest,
    }
    if args.capture is not None:
        variables |= {
            "MODELBERTH_CAPTURE_URL": pulumi.Output.concat("gs://", bucket, "/capture/", endpoint_name),
            "MODELBERTH_CAPTURE_SAMPLE": f"{100 * args.capture.sample:g}",
            "MODELBERTH_CAPTURE_VARIANT": variant,
        }
    return vertex.ContainerSpecArgs(
        image_uri=args.image,
        command=["modelberth"],
        args=["serve"],
        env=[vertex.EnvVarArgs(name=key, value=value) for key, value in variables.items()],
        ports=[vertex.PortArgs(container_port=PORT)],
        predict_route="/predict",
        health_route="/health",
        deployment_timeout=f"{options.startup_timeout_seconds}s",
    )


def _resources(options: Options, args: ModelEndpointArgs) -> vertex.DedicatedResourcesArgs:
    accelerators = options.accelerator_count or 1
    return vertex.DedicatedResourcesArgs(
        machine_spec=vertex.MachineSpecArgs(
            machine_type=machine_of(args, args.platform),
            accelerator_type=options.accelerator_type,
            accelerator_count=accelerators if options.accelerator_type is not None else None,
        ),
        min_replica_count=args.scale.min,
        max_replica_count=args.scale.max or args.scale.min,
        autoscaling_metric_specs=_metrics(options, args) if args.scale.autoscaled else None,
    )


def _metrics(options: Options, args: ModelEndpointArgs) -> list[vertex.AutoscalingMetricSpecArgs]:
    """Return what the number of replicas follows; of several metrics the one that asks for most replicas decides."""
    targets = {
        # Requests a minute of one replica.
        f"{_METRICS}/request_count": args.scale.requests_per_replica,
        f"{_METRICS}/cpu/utilization": options.cpu_target,
        f"{_METRICS}/accelerator/duty_cycle": options.accelerator_target,
    }
    return [
        vertex.AutoscalingMetricSpecArgs(metric_name=metric, target=target)
        for metric, target in targets.items()
        if target is not None
    ]


def _rollout(weight: int, args: ModelEndpointArgs) -> vertex.RolloutArgs:
    canary = args.rollout.canary
    return vertex.RolloutArgs(
        step_percentage=100,
        interval_seconds=round(args.rollout.bake.total_seconds()),
        first_percentage=None if canary is None else max(1, round(canary * weight)),
        alarms=args.rollback_alarms or None,
    )


def _host(endpoint: gcp.vertex.AiEndpoint, place: pulumi.Output[Place], options: Options) -> pulumi.Output[str]:
    if options.dedicated_dns:
        return endpoint.dedicated_endpoint_dns
    if options.private_service_connect:
        # It has no name of its own: each network that reaches it gives it an address, by a forwarding rule there.
        return pulumi.Output.from_input("ADDRESS-OF-YOUR-FORWARDING-RULE")
    return place.apply(lambda at: f"{at.location}-aiplatform.googleapis.com")
