"""A SageMaker endpoint: its packages in the bucket, models, configuration, role, rollout and scaling."""

import asyncio
import re
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
import pulumi_aws as aws
from pydantic import Field, ValidationError

from model_packaging.package import Package

from ...args import ModelEndpointArgs
from ...errors import problems_of
from ...gaps import refusal
from ...names import content_name, physical_name
from ...outputs import EndpointOutputs
from ...spec import EndpointSpec, Spec
from ...uploads import package_prefix, packages_prefix
from ...variants import SHADOW, packages_of, weights_of
from . import live, policies
from .machines import smallest
from .packages import check_bucket, upload
from .policies import (
    Place,
    bucket_read,
    bucket_write,
    document,
    ecr_pull,
    image_repository,
    logs_write,
    metrics_write,
    trust,
    use_key,
)
from .recurring import bucket_name, here

_LONGEST_BAKE = timedelta(hours=1)
_STARTUP_SECONDS = 600


class Options(Spec):
    """`endpoint.sagemaker`: what only SageMaker has."""

    instance_type: str | None = None
    """The machine, such as ml.m5.large; the smallest that has what `compute` asks for if left out."""
    startup_timeout_seconds: int = Field(default=_STARTUP_SECONDS, ge=60, le=3600)
    """How long a container may take until it answers /ping; a wrong image would else be waited for for hours."""
    volume_size_gb: int | None = Field(default=None, ge=1, le=512)


def options_of(spec: EndpointSpec, platform: str) -> Options:
    """Return `endpoint.sagemaker`.

    Raises:
        ValidationError: it holds what SageMaker does not have.
    """
    return Options.model_validate(spec.options.get(platform, {}))


def machine_of(spec: EndpointSpec, platform: str) -> str:
    """Return the machine that an endpoint runs on: the one that is named, else the smallest that fits.

    Raises:
        ValueError: none fits.
    """
    return options_of(spec, platform).instance_type or smallest(spec.compute, "endpoint")


def check(args: ModelEndpointArgs, where: str) -> list[str]:
    """Return what SageMaker can't do with these arguments."""
    try:
        options = options_of(args, args.platform)
    except ValidationError as error:
        return problems_of(error, Options, f"{where}.{args.platform}")
    problems = policies.check_key(args.encryption_key, f"{where}.encryption_key")
    problems += check_bucket(args.bucket, f"{where}.bucket")
    machine = options.instance_type
    if machine is None:
        try:
            machine = smallest(args.compute, "endpoint")
        except ValueError as error:
            problems.append(f"{where}.compute: {error}")
    elif not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", machine):
        problems.append(
            f"{where}.{args.platform}.instance_type: {machine!r} is no name of a SageMaker machine, such as "
            "ml.m5.large; leave it out to get the smallest that fits compute"
        )
    if machine and machine.startswith("ml.t") and args.scale.autoscaled:
        problems.append(
            f"{where}.scale.max: {machine} can't be scaled automatically (SageMaker refuses burstable machines): "
            "leave max out, or name another machine"
        )
    if args.rollout.canary is not None and args.scale.min < 2:
        problems.append(refusal(args.platform, "canary_of_one_replica", f"{where}.rollout.canary"))
    if args.scale.min == 0:
        problems.append(refusal(args.platform, "scale_to_zero", f"{where}.scale.min"))
    if args.rollout.bake > _LONGEST_BAKE:
        problems.append(refusal(args.platform, "bake_over_an_hour", f"{where}.rollout.bake"))
    if len(args.rollback_alarms) > 10:
        problems.append(f"{where}: SageMaker watches at most 10 alarms during an update")
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: ModelEndpointArgs) -> EndpointOutputs:
    """Make the endpoint and all it needs."""
    child = pulumi.ResourceOptions(parent=component)
    place = here(component)
    endpoint_name = args.endpoint_name or physical_name(name)
    options = options_of(args, args.platform)
    packages = packages_of(args)
    bucket = bucket_name(args.bucket)

    role = aws.iam.Role(
        f"{name}-serve",
        name=physical_name(f"{name}-serve", longest=64),
        assume_role_policy=pulumi.Output.json_dumps(
            place.apply(lambda place: trust("sagemaker.amazonaws.com", place.account))
        ),
        description=f"Serves {endpoint_name}: reads its packages, writes its log and captured traffic.",
        tags=args.tags,
        opts=child,
    )
    permissions = aws.iam.RolePolicy(
        f"{name}-serve",
        role=role.id,
        policy=pulumi.Output.json_dumps(
            pulumi.Output.all(
                place, bucket, pulumi.Output.from_input(args.image), pulumi.Output.from_input(args.encryption_key)
            ).apply(
                lambda known: _serve_policy(endpoint_name, list(packages.values()), args.capture is not None, *known)
            )
        ),
        opts=child,
    )

    models = {
        variant: _model(f"{name}-{variant}", package, bucket, role, permissions, args, component)
        for variant, package in packages.items()
    }
    config = _configuration(name, packages, models, options, bucket, args, child)
    endpoint = aws.sagemaker.Endpoint(
        name,
        name=endpoint_name,
        endpoint_config_name=config.name,
        deployment_config=_deployment(args),
        tags=args.tags,
        opts=child.merge(
            pulumi.ResourceOptions(
                depends_on=[permissions],
                protect=not args.development,
                # Two can't have its name at once.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="2h", delete="30m"),
                hooks=_hooks(),
            )
        ),
    )
    if args.scale.autoscaled:
        _scaling(name, endpoint, args, child)

    region = place.apply(lambda place: place.region)
    # Everything that others use comes after this check, so that a rolled-back update is never taken for a success.
    verified = pulumi.Output.unsecret(
        pulumi.Output.all(
            endpoint.name, config.name, live.access(component, region), endpoint.urn, args.rollback_alarms
        ).apply(_verify)
    )
    url = pulumi.Output.concat(
        "https://runtime.sagemaker.", region, ".amazonaws.com/endpoints/", verified, "/invocations"
    )
    command = pulumi.Output.concat(
        "aws sagemaker-runtime invoke-endpoint --endpoint-name ",
        verified,
        " --content-type application/json --body fileb://request.json /dev/stdout",
    )
    return EndpointOutputs(name=verified, url=url, invoke_command=command)


async def _verify(known: list[Any]) -> str:
    endpoint, config, access, urn, alarms = known
    if not pulumi.runtime.is_dry_run():
        await asyncio.to_thread(live.verify, endpoint, config, access, alarms, urn)
    return endpoint


def _hooks() -> pulumi.ResourceHookBinding:
    # They serve every endpoint of a run: the engine takes each name once. A process may see several runs.
    run = pulumi.runtime.get_root_resource()
    if run not in _bindings:
        _bindings[run] = pulumi.ResourceHookBinding(
            before_update=[pulumi.ResourceHook("modelberth-sagemaker-release", live.release_replicas)],
            on_error=[pulumi.ErrorHook("modelberth-sagemaker-explain", live.explain_or_retry)],
        )
    return _bindings[run]


_bindings: WeakKeyDictionary[pulumi.Resource | None, pulumi.ResourceHookBinding] = WeakKeyDictionary()


def _serve_policy(
    endpoint: str, packages: list[Package], captures: bool, place: Place, bucket: str, image: str, key: str | None
) -> dict[str, object]:
    arn = place.bucket(bucket)
    return document(
        # All of a model's packages: one that an update was rolled back to must start on a new machine, too.
        bucket_read(arn, sorted({packages_prefix(package) for package in packages})),
        bucket_write(arn, [f"capture/{endpoint}/"]) if captures else [],
        logs_write(place, f"/aws/sagemaker/Endpoints/{endpoint}"),
        metrics_write("/aws/sagemaker/Endpoints"),
        ecr_pull(image_repository(image, place.partition)),
        use_key(key),
    )


def _model(
    name: str,
    package: Package,
    bucket: pulumi.Output[str],
    role: aws.iam.Role,
    permissions: aws.iam.RolePolicy,
    args: ModelEndpointArgs,
    component: pulumi.ComponentResource,
) -> aws.sagemaker.Model:
    files = upload(f"{name}-package", package, bucket, args, component)
    prefix = package_prefix(package)
    return aws.sagemaker.Model(
        # Another package or image makes another model beside the old one, which the endpoint runs until it is updated.
        content_name(f"{name}-model", [package.digest, args.image]),
        execution_role_arn=role.arn,
        primary_container={
            "image": args.image,
            "environment": {"MODELBERTH_PACKAGE_DIGEST": package.digest},
            "model_data_source": {
                "s3_data_sources": [
                    {
                        "s3_uri": pulumi.Output.concat("s3://", bucket, "/", prefix),
                        "s3_data_type": "S3Prefix",
                        "compression_type": "None",
                    }
                ]
            },
        },
        tags=args.tags,
        opts=pulumi.ResourceOptions(parent=component, depends_on=[permissions, *files], hooks=_hooks()),
    )


def _configuration(
    name: str,
    packages: dict[str, Package],
    models: dict[str, aws.sagemaker.Model],
    options: Options,
    bucket: pulumi.Output[str],
    args: ModelEndpointArgs,
    child: pulumi.ResourceOptions,
) -> aws.sagemaker.EndpointConfiguration:
    machine = machine_of(args, args.platform)

    def variant(variant_name: str, weight: float) -> aws.sagemaker.EndpointConfigurationProductionVariantArgsDict:
        settings: aws.sagemaker.EndpointConfigurationProductionVariantArgsDict = {
            "variant_name": variant_name,
            "model_name": models[variant_name].name,
            "instance_type": machine,
            "initial_instance_count": args.scale.min,
            "initial_variant_weight": weight,
            "container_startup_health_check_timeout_in_seconds": options.startup_timeout_seconds,
        }
        if options.volume_size_gb is not None:
            settings["volume_size_in_gb"] = options.volume_size_gb
        return settings

    capture = args.capture
    content = [
        {variant: package.digest for variant, package in packages.items()},
        weights_of(args),
        args.image,
        args.encryption_key,
        machine,
        args.scale.min,
        options.startup_timeout_seconds,
        options.volume_size_gb,
        None if capture is None else capture.sample,
    ]
    return aws.sagemaker.EndpointConfiguration(
        # Another content is another configuration: one that an endpoint was rolled back to must not be deleted, and it
        # would be as the replaced half of one resource. Its physical name is the provider's.
        content_name(f"{name}-config", content),
        production_variants=[variant(key, weight / 100) for key, weight in weights_of(args).items()],
        shadow_production_variants=[variant(SHADOW, 1.0)] if args.shadow is not None else None,  # pyright: ignore[reportArgumentType]
        kms_key_arn=args.encryption_key,
        data_capture_config=None
        if capture is None
        else {
            "enable_capture": True,
            "initial_sampling_percentage": round(100 * capture.sample),
            "destination_s3_uri": pulumi.Output.concat("s3://", bucket, "/capture"),
            "kms_key_id": args.encryption_key,
            "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
            "capture_content_type_header": {
                "csv_content_types": ["text/csv"],
                "json_content_types": ["application/json", "application/jsonlines"],
            },
        },
        tags=args.tags,
        opts=child,
    )


def _deployment(args: ModelEndpointArgs) -> aws.sagemaker.EndpointDeploymentConfigArgsDict:
    bake = round(args.rollout.bake.total_seconds())
    routing: aws.sagemaker.EndpointDeploymentConfigBlueGreenUpdatePolicyTrafficRoutingConfigurationArgsDict = {
        "type": "ALL_AT_ONCE",
        "wait_interval_in_seconds": bake,
    }
    if args.rollout.canary is not None:
        # The smallest share that is a whole number of replicas, and no more than half of them, as SageMaker asks.
        count = max(1, min(round(args.rollout.canary * args.scale.min), args.scale.min // 2))
        routing["type"] = "CANARY"
        routing["canary_size"] = {"type": "INSTANCE_COUNT", "value": count}
    deployment: aws.sagemaker.EndpointDeploymentConfigArgsDict = {
        "blue_green_update_policy": {
            "traffic_routing_configuration": routing,
            "termination_wait_in_seconds": 0,
            "maximum_execution_timeout_in_seconds": min(28800, max(3600, 4 * bake + 1800)),
        }
    }
    if args.rollback_alarms:
        deployment["auto_rollback_configuration"] = {
            "alarms": [{"alarm_name": alarm} for alarm in args.rollback_alarms]
        }
    return deployment


def _scaling(
    name: str, endpoint: aws.sagemaker.Endpoint, args: ModelEndpointArgs, child: pulumi.ResourceOptions
) -> None:
    # Another machine is not taken while a target is registered: the endpoint's hook releases it, and here it is made
    # anew. Its name stays, so that two of it can't be there at once.
    anew = child.merge(
        pulumi.ResourceOptions(replacement_trigger=machine_of(args, args.platform), delete_before_replace=True)
    )
    for variant in weights_of(args):
        target = aws.appautoscaling.Target(
            f"{name}-{variant}-replicas",
            service_namespace="sagemaker",
            resource_id=pulumi.Output.concat("endpoint/", endpoint.name, "/variant/", variant),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=args.scale.min,
            max_capacity=args.scale.max or args.scale.min,
            tags=args.tags,
            opts=anew,
        )
        aws.appautoscaling.Policy(
            f"{name}-{variant}-load",
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            target_tracking_scaling_policy_configuration={
                "target_value": float(args.scale.requests_per_replica),
                "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
                # A replica takes minutes to start: leaving is slower than joining.
                "scale_in_cooldown": 300,
                "scale_out_cooldown": 60,
            },
            opts=anew,
        )
