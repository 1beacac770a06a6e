"""Resources of the plugin: Model, DeployedModel.

Written by `python -m modelberth_provider.sdk` from the plugin's schema: change it there.
"""

# Pulumi's functions for properties carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi

__all__ = [
    "AutomaticResourcesArgs",
    "AutoscalingMetricSpecArgs",
    "ContainerSpecArgs",
    "DedicatedResourcesArgs",
    "DeployedModel",
    "EncryptionSpecArgs",
    "EnvVarArgs",
    "ExplanationSpecArgs",
    "HttpGetArgs",
    "MachineSpecArgs",
    "Model",
    "PortArgs",
    "PredictSchemataArgs",
    "ProbeArgs",
    "RolloutArgs",
]


@pulumi.input_type
class EnvVarArgs:
    """An environment variable of the container."""

    name: pulumi.Input[str] = pulumi.property("name")
    """A valid C identifier."""
    value: pulumi.Input[str] = pulumi.property("value")
    """May refer to others as `$(NAME)`."""

    def __init__(
        self,
        *,
        name: pulumi.Input[str],
        value: pulumi.Input[str],
    ) -> None:
        pulumi.set(self, "name", name)
        pulumi.set(self, "value", value)


@pulumi.input_type
class PortArgs:
    """A port of the container."""

    container_port: pulumi.Input[int] = pulumi.property("containerPort")
    """1 to 65535."""

    def __init__(
        self,
        *,
        container_port: pulumi.Input[int],
    ) -> None:
        pulumi.set(self, "container_port", container_port)


@pulumi.input_type
class HttpGetArgs:
    """A GET request as a probe."""

    path: pulumi.Input[str] | None = pulumi.property("path")
    """The path. The health route else."""
    port: pulumi.Input[int] | None = pulumi.property("port")
    """The port. The container's first one else."""

    def __init__(
        self,
        *,
        path: pulumi.Input[str] | None = None,
        port: pulumi.Input[int] | None = None,
    ) -> None:
        pulumi.set(self, "path", path)
        pulumi.set(self, "port", port)


@pulumi.input_type
class ProbeArgs:
    """How Vertex AI asks whether a container has started, or is healthy."""

    http_get: pulumi.Input[HttpGetArgs] | None = pulumi.property("httpGet")
    """The request that is sent."""
    initial_delay_seconds: pulumi.Input[int] | None = pulumi.property("initialDelaySeconds")
    """How long to wait before the first one."""
    period_seconds: pulumi.Input[int] | None = pulumi.property("periodSeconds")
    """How often."""
    timeout_seconds: pulumi.Input[int] | None = pulumi.property("timeoutSeconds")
    """How long one may take."""
    failure_threshold: pulumi.Input[int] | None = pulumi.property("failureThreshold")
    """How many failures in a row are one too many."""
    success_threshold: pulumi.Input[int] | None = pulumi.property("successThreshold")
    """How many successes in a row are enough."""

    def __init__(
        self,
        *,
        http_get: pulumi.Input[HttpGetArgs] | None = None,
        initial_delay_seconds: pulumi.Input[int] | None = None,
        period_seconds: pulumi.Input[int] | None = None,
        timeout_seconds: pulumi.Input[int] | None = None,
        failure_threshold: pulumi.Input[int] | None = None,
        success_threshold: pulumi.Input[int] | None = None,
    ) -> None:
        pulumi.set(self, "http_get", http_get)
        pulumi.set(self, "initial_delay_seconds", initial_delay_seconds)
        pulumi.set(self, "period_seconds", period_seconds)
        pulumi.set(self, "timeout_seconds", timeout_seconds)
        pulumi.set(self, "failure_threshold", failure_threshold)
        pulumi.set(self, "success_threshold", success_threshold)


@pulumi.input_type
class ContainerSpecArgs:
    """The container that serves the model."""

    image_uri: pulumi.Input[str] = pulumi.property("imageUri")
    """The image, in Artifact Registry."""
    command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property("command")
    """What runs instead of the image's entry point."""
    args: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property("args")
    """The command's arguments."""
    env: pulumi.Input[Sequence[pulumi.Input[EnvVarArgs]]] | None = pulumi.property("env")
    """Environment variables, beside the `AIP_…` ones that Vertex AI sets."""
    ports: pulumi.Input[Sequence[pulumi.Input[PortArgs]]] | None = pulumi.property("ports")
    """The ports that listen; predictions and health checks go to the first. 8080 else."""
    predict_route: pulumi.Input[str] | None = pulumi.property("predictRoute")
    """The path of predictions, told to the container as `AIP_PREDICT_ROUTE`."""
    health_route: pulumi.Input[str] | None = pulumi.property("healthRoute")
    """The path of health checks, told to the container as `AIP_HEALTH_ROUTE`."""
    deployment_timeout: pulumi.Input[str] | None = pulumi.property("deploymentTimeout")
    """How long a deployment may take at the most, such as `1800s`; up to 2 hours."""
    shared_memory_size_mb: pulumi.Input[str] | None = pulumi.property("sharedMemorySizeMb")
    """How much of the machine's memory is shared memory, in megabytes."""
    startup_probe: pulumi.Input[ProbeArgs] | None = pulumi.property("startupProbe")
    """Whether the container has started."""
    health_probe: pulumi.Input[ProbeArgs] | None = pulumi.property("healthProbe")
    """Whether it is ready for requests."""
    liveness_probe: pulumi.Input[ProbeArgs] | None = pulumi.property("livenessProbe")
    """Whether it is to be started again."""

    def __init__(
        self,
        *,
        image_uri: pulumi.Input[str],
        command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        args: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        env: pulumi.Input[Sequence[pulumi.Input[EnvVarArgs]]] | None = None,
        ports: pulumi.Input[Sequence[pulumi.Input[PortArgs]]] | None = None,
        predict_route: pulumi.Input[str] | None = None,
        health_route: pulumi.Input[str] | None = None,
        deployment_timeout: pulumi.Input[str] | None = None,
        shared_memory_size_mb: pulumi.Input[str] | None = None,
        startup_probe: pulumi.Input[ProbeArgs] | None = None,
        health_probe: pulumi.Input[ProbeArgs] | None = None,
        liveness_probe: pulumi.Input[ProbeArgs] | None = None,
    ) -> None:
        pulumi.set(self, "image_uri", image_uri)
        pulumi.set(self, "command", command)
        pulumi.set(self, "args", args)
        pulumi.set(self, "env", env)
        pulumi.set(self, "ports", ports)
        pulumi.set(self, "predict_route", predict_route)
        pulumi.set(self, "health_route", health_route)
        pulumi.set(self, "deployment_timeout", deployment_timeout)
        pulumi.set(self, "shared_memory_size_mb", shared_memory_size_mb)
        pulumi.set(self, "startup_probe", startup_probe)
        pulumi.set(self, "health_probe", health_probe)
        pulumi.set(self, "liveness_probe", liveness_probe)


@pulumi.input_type
class PredictSchemataArgs:
    """Where the forms of requests and answers are described, as YAML files in Cloud Storage."""

    instance_schema_uri: pulumi.Input[str] | None = pulumi.property("instanceSchemaUri")
    """Of one instance."""
    parameters_schema_uri: pulumi.Input[str] | None = pulumi.property("parametersSchemaUri")
    """Of the parameters."""
    prediction_schema_uri: pulumi.Input[str] | None = pulumi.property("predictionSchemaUri")
    """Of one prediction."""

    def __init__(
        self,
        *,
        instance_schema_uri: pulumi.Input[str] | None = None,
        parameters_schema_uri: pulumi.Input[str] | None = None,
        prediction_schema_uri: pulumi.Input[str] | None = None,
    ) -> None:
        pulumi.set(self, "instance_schema_uri", instance_schema_uri)
        pulumi.set(self, "parameters_schema_uri", parameters_schema_uri)
        pulumi.set(self, "prediction_schema_uri", prediction_schema_uri)


@pulumi.input_type
class ExplanationSpecArgs:
    """How predictions are explained, in the form of Vertex AI's ExplanationSpec."""

    parameters: pulumi.Input[Mapping[str, pulumi.Input[Any]]] = pulumi.property("parameters")
    """The method, such as `{"sampledShapleyAttribution": {"pathCount": 10}}`."""
    metadata: pulumi.Input[Mapping[str, pulumi.Input[Any]]] | None = pulumi.property("metadata")
    """The inputs and outputs that are explained."""

    def __init__(
        self,
        *,
        parameters: pulumi.Input[Mapping[str, pulumi.Input[Any]]],
        metadata: pulumi.Input[Mapping[str, pulumi.Input[Any]]] | None = None,
    ) -> None:
        pulumi.set(self, "parameters", parameters)
        pulumi.set(self, "metadata", metadata)


@pulumi.input_type
class EncryptionSpecArgs:
    """The customer's key."""

    kms_key_name: pulumi.Input[str] = pulumi.property("kmsKeyName")
    """The Cloud KMS key, in the model's region."""

    def __init__(
        self,
        *,
        kms_key_name: pulumi.Input[str],
    ) -> None:
        pulumi.set(self, "kms_key_name", kms_key_name)


@pulumi.input_type
class MachineSpecArgs:
    """One machine."""

    machine_type: pulumi.Input[str] = pulumi.property("machineType")
    """The type, such as `n1-standard-2`."""
    accelerator_type: pulumi.Input[str] | None = pulumi.property("acceleratorType")
    """The accelerator, such as `NVIDIA_L4`."""
    accelerator_count: pulumi.Input[int] | None = pulumi.property("acceleratorCount")
    """How many accelerators a machine has."""

    def __init__(
        self,
        *,
        machine_type: pulumi.Input[str],
        accelerator_type: pulumi.Input[str] | None = None,
        accelerator_count: pulumi.Input[int] | None = None,
    ) -> None:
        pulumi.set(self, "machine_type", machine_type)
        pulumi.set(self, "accelerator_type", accelerator_type)
        pulumi.set(self, "accelerator_count", accelerator_count)


@pulumi.input_type
class AutoscalingMetricSpecArgs:
    """What the number of machines follows."""

    metric_name: pulumi.Input[str] = pulumi.property("metricName")
    """The metric, such as `aiplatform.googleapis.com/prediction/online/cpu/utilization`."""
    target: pulumi.Input[int] | None = pulumi.property("target")
    """The value that is aimed at: of a utilization a percentage, 60 if not said."""

    def __init__(
        self,
        *,
        metric_name: pulumi.Input[str],
        target: pulumi.Input[int] | None = None,
    ) -> None:
        pulumi.set(self, "metric_name", metric_name)
        pulumi.set(self, "target", target)


@pulumi.input_type
class DedicatedResourcesArgs:
    """Machines of the deployed model's own."""

    machine_spec: pulumi.Input[MachineSpecArgs] = pulumi.property("machineSpec")
    """One machine."""
    min_replica_count: pulumi.Input[int] = pulumi.property("minReplicaCount")
    """How many machines there always are; 1 at the least."""
    max_replica_count: pulumi.Input[int] | None = pulumi.property("maxReplicaCount")
    """How many there are at the most. As many as at the least else."""
    required_replica_count: pulumi.Input[int] | None = pulumi.property("requiredReplicaCount")
    """How many have to serve for the deployment to succeed. As many as at the least else."""
    autoscaling_metric_specs: pulumi.Input[Sequence[pulumi.Input[AutoscalingMetricSpecArgs]]] | None = pulumi.property(
        "autoscalingMetricSpecs"
    )
    """What the number of machines follows. The processors' utilization else."""
    spot: pulumi.Input[bool] | None = pulumi.property("spot")
    """Whether the machines are spot machines, which are cheaper and may be taken away."""

    def __init__(
        self,
        *,
        machine_spec: pulumi.Input[MachineSpecArgs],
        min_replica_count: pulumi.Input[int],
        max_replica_count: pulumi.Input[int] | None = None,
        required_replica_count: pulumi.Input[int] | None = None,
        autoscaling_metric_specs: pulumi.Input[Sequence[pulumi.Input[AutoscalingMetricSpecArgs]]] | None = None,
        spot: pulumi.Input[bool] | None = None,
    ) -> None:
        pulumi.set(self, "machine_spec", machine_spec)
        pulumi.set(self, "min_replica_count", min_replica_count)
        pulumi.set(self, "max_replica_count", max_replica_count)
        pulumi.set(self, "required_replica_count", required_replica_count)
        pulumi.set(self, "autoscaling_metric_specs", autoscaling_metric_specs)
        pulumi.set(self, "spot", spot)


@pulumi.input_type
class AutomaticResourcesArgs:
    """Machines that Vertex AI chooses, for the models that it can do that for."""

    min_replica_count: pulumi.Input[int] | None = pulumi.property("minReplicaCount")
    """How many there always are."""
    max_replica_count: pulumi.Input[int] | None = pulumi.property("maxReplicaCount")
    """How many there are at the most."""

    def __init__(
        self,
        *,
        min_replica_count: pulumi.Input[int] | None = None,
        max_replica_count: pulumi.Input[int] | None = None,
    ) -> None:
        pulumi.set(self, "min_replica_count", min_replica_count)
        pulumi.set(self, "max_replica_count", max_replica_count)


@pulumi.input_type
class RolloutArgs:
    """How the share of the traffic grows, where others serve already."""

    step_percentage: pulumi.Input[int] = pulumi.property("stepPercentage")
    """By how much, 1 to 100."""
    interval_seconds: pulumi.Input[int] = pulumi.property("intervalSeconds")
    """How long to wait between two steps."""
    first_percentage: pulumi.Input[int] | None = pulumi.property("firstPercentage")
    """The first step, where it is another one: 1 to 100."""
    alarms: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property("alarms")
    """Alerting policies of Cloud Monitoring, by their display names, that are watched from the first step of a new
    deployment until `intervalSeconds` after its last one. One that fires brings the traffic back to those that
    had it,
    and the deployment fails.
    """

    def __init__(
        self,
        *,
        step_percentage: pulumi.Input[int],
        interval_seconds: pulumi.Input[int],
        first_percentage: pulumi.Input[int] | None = None,
        alarms: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
    ) -> None:
        pulumi.set(self, "step_percentage", step_percentage)
        pulumi.set(self, "interval_seconds", interval_seconds)
        pulumi.set(self, "first_percentage", first_percentage)
        pulumi.set(self, "alarms", alarms)


@pulumi.input_type
class _ModelArgs:
    """Inputs."""

    display_name: pulumi.Input[str] = pulumi.property("displayName")
    """The name that people see, up to 128 characters."""
    project: pulumi.Input[str] | None = pulumi.property("project")
    """The project. The provider's else."""
    location: pulumi.Input[str] | None = pulumi.property("location")
    """The region. The provider's else."""
    model_id: pulumi.Input[str] | None = pulumi.property("modelId")
    """The last part of the model's name: up to 63 of `a-z`, `0-9`, `_` and `-`, no digit first. One is made else."""
    parent_model: pulumi.Input[str] | None = pulumi.property("parentModel")
    """The model that this is a version of: `projects/…/locations/…/models/…`."""
    description: pulumi.Input[str] | None = pulumi.property("description")
    """What the model is."""
    version_description: pulumi.Input[str] | None = pulumi.property("versionDescription")
    """What this version is."""
    version_aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = pulumi.property("versionAliases")
    """Names of this version, beside its number. An alias that another version has moves here. The first version of
    a
    model has the alias `default` besides.
    """
    artifact_uri: pulumi.Input[str] | None = pulumi.property("artifactUri")
    """The folder in Cloud Storage with the model: `gs://…`."""
    container_spec: pulumi.Input[ContainerSpecArgs] | None = pulumi.property("containerSpec")
    """The container that serves the model."""
    predict_schemata: pulumi.Input[PredictSchemataArgs] | None = pulumi.property("predictSchemata")
    """The forms of requests and answers."""
    explanation_spec: pulumi.Input[ExplanationSpecArgs] | None = pulumi.property("explanationSpec")
    """How predictions are explained."""
    labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = pulumi.property("labels")
    """Up to 64 labels."""
    encryption_spec: pulumi.Input[EncryptionSpecArgs] | None = pulumi.property("encryptionSpec")
    """The customer's key, by which the model is encrypted."""
    service_account: pulumi.Input[str] | None = pulumi.property("serviceAccount")
    """The account that reads the artifact for the upload. Vertex AI's service agent else."""

    def __init__(
        self,
        *,
        display_name: pulumi.Input[str],
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        model_id: pulumi.Input[str] | None = None,
        parent_model: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        version_description: pulumi.Input[str] | None = None,
        version_aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        artifact_uri: pulumi.Input[str] | None = None,
        container_spec: pulumi.Input[ContainerSpecArgs] | None = None,
        predict_schemata: pulumi.Input[PredictSchemataArgs] | None = None,
        explanation_spec: pulumi.Input[ExplanationSpecArgs] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        encryption_spec: pulumi.Input[EncryptionSpecArgs] | None = None,
        service_account: pulumi.Input[str] | None = None,
    ) -> None:
        pulumi.set(self, "display_name", display_name)
        pulumi.set(self, "project", project)
        pulumi.set(self, "location", location)
        pulumi.set(self, "model_id", model_id)
        pulumi.set(self, "parent_model", parent_model)
        pulumi.set(self, "description", description)
        pulumi.set(self, "version_description", version_description)
        pulumi.set(self, "version_aliases", version_aliases)
        pulumi.set(self, "artifact_uri", artifact_uri)
        pulumi.set(self, "container_spec", container_spec)
        pulumi.set(self, "predict_schemata", predict_schemata)
        pulumi.set(self, "explanation_spec", explanation_spec)
        pulumi.set(self, "labels", labels)
        pulumi.set(self, "encryption_spec", encryption_spec)
        pulumi.set(self, "service_account", service_account)


class Model(pulumi.CustomResource):
    """A model in Vertex AI's registry, uploaded from Cloud Storage with the container that serves it.

    With `parentModel` it is another version of that model, else a model of its own. A changed artifact,
    container,
    key or explanation makes a new model and deletes the old one after it.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        display_name: pulumi.Input[str],
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        model_id: pulumi.Input[str] | None = None,
        parent_model: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        version_description: pulumi.Input[str] | None = None,
        version_aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        artifact_uri: pulumi.Input[str] | None = None,
        container_spec: pulumi.Input[ContainerSpecArgs] | None = None,
        predict_schemata: pulumi.Input[PredictSchemataArgs] | None = None,
        explanation_spec: pulumi.Input[ExplanationSpecArgs] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        encryption_spec: pulumi.Input[EncryptionSpecArgs] | None = None,
        service_account: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _ModelArgs(
            display_name=display_name,
            project=project,
            location=location,
            model_id=model_id,
            parent_model=parent_model,
            description=description,
            version_description=version_description,
            version_aliases=version_aliases,
            artifact_uri=artifact_uri,
            container_spec=container_spec,
            predict_schemata=predict_schemata,
            explanation_spec=explanation_spec,
            labels=labels,
            encryption_spec=encryption_spec,
            service_account=service_account,
        )
        args.__dict__["name"] = None
        args.__dict__["version_id"] = None
        args.__dict__["version_name"] = None
        args.__dict__["create_time"] = None
        args.__dict__["operation"] = None
        super().__init__("modelberth:vertex:Model", resource_name, cast("pulumi.Inputs", args), opts)

    @property
    @pulumi.getter(name="displayName")
    def display_name(self) -> pulumi.Output[str]:
        """The name that people see, up to 128 characters."""
        return pulumi.get(self, "display_name")

    @property
    @pulumi.getter(name="project")
    def project(self) -> pulumi.Output[str | None]:
        """The project. The provider's else."""
        return pulumi.get(self, "project")

    @property
    @pulumi.getter(name="location")
    def location(self) -> pulumi.Output[str | None]:
        """The region. The provider's else."""
        return pulumi.get(self, "location")

    @property
    @pulumi.getter(name="modelId")
    def model_id(self) -> pulumi.Output[str | None]:
        """The last part of the model's name: up to 63 of `a-z`, `0-9`, `_` and `-`, no digit first. One is made
        else.
        """
        return pulumi.get(self, "model_id")

    @property
    @pulumi.getter(name="parentModel")
    def parent_model(self) -> pulumi.Output[str | None]:
        """The model that this is a version of: `projects/…/locations/…/models/…`."""
        return pulumi.get(self, "parent_model")

    @property
    @pulumi.getter(name="description")
    def description(self) -> pulumi.Output[str | None]:
        """What the model is."""
        return pulumi.get(self, "description")

    @property
    @pulumi.getter(name="versionDescription")
    def version_description(self) -> pulumi.Output[str | None]:
        """What this version is."""
        return pulumi.get(self, "version_description")

    @property
    @pulumi.getter(name="versionAliases")
    def version_aliases(self) -> pulumi.Output[Sequence[str] | None]:
        """Names of this version, beside its number. An alias that another version has moves here. The first version
        of a
        model has the alias `default` besides.
        """
        return pulumi.get(self, "version_aliases")

    @property
    @pulumi.getter(name="artifactUri")
    def artifact_uri(self) -> pulumi.Output[str | None]:
        """The folder in Cloud Storage with the model: `gs://…`."""
        return pulumi.get(self, "artifact_uri")

    @property
    @pulumi.getter(name="containerSpec")
    def container_spec(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """The container that serves the model."""
        return pulumi.get(self, "container_spec")

    @property
    @pulumi.getter(name="predictSchemata")
    def predict_schemata(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """The forms of requests and answers."""
        return pulumi.get(self, "predict_schemata")

    @property
    @pulumi.getter(name="explanationSpec")
    def explanation_spec(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """How predictions are explained."""
        return pulumi.get(self, "explanation_spec")

    @property
    @pulumi.getter(name="labels")
    def labels(self) -> pulumi.Output[Mapping[str, str] | None]:
        """Up to 64 labels."""
        return pulumi.get(self, "labels")

    @property
    @pulumi.getter(name="encryptionSpec")
    def encryption_spec(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """The customer's key, by which the model is encrypted."""
        return pulumi.get(self, "encryption_spec")

    @property
    @pulumi.getter(name="serviceAccount")
    def service_account(self) -> pulumi.Output[str | None]:
        """The account that reads the artifact for the upload. Vertex AI's service agent else."""
        return pulumi.get(self, "service_account")

    @property
    @pulumi.getter(name="name")
    def name(self) -> pulumi.Output[str]:
        """The model's whole name, without a version."""
        return pulumi.get(self, "name")

    @property
    @pulumi.getter(name="versionId")
    def version_id(self) -> pulumi.Output[str]:
        """The version's number."""
        return pulumi.get(self, "version_id")

    @property
    @pulumi.getter(name="versionName")
    def version_name(self) -> pulumi.Output[str]:
        """The model's whole name with the version: what a DeployedModel takes."""
        return pulumi.get(self, "version_name")

    @property
    @pulumi.getter(name="createTime")
    def create_time(self) -> pulumi.Output[str]:
        """When this version was made, by RFC 3339."""
        return pulumi.get(self, "create_time")

    @property
    @pulumi.getter(name="operation")
    def operation(self) -> pulumi.Output[str | None]:
        """The operation that still makes it, after a run that was interrupted."""
        return pulumi.get(self, "operation")


@pulumi.input_type
class _DeployedModelArgs:
    """Inputs."""

    endpoint: pulumi.Input[str] = pulumi.property("endpoint")
    """The endpoint: `projects/…/locations/…/endpoints/…`, or its last part."""
    model: pulumi.Input[str] = pulumi.property("model")
    """The model with its version: the `versionName` of a Model."""
    project: pulumi.Input[str] | None = pulumi.property("project")
    """The project. The provider's else."""
    location: pulumi.Input[str] | None = pulumi.property("location")
    """The region. The provider's else."""
    deployed_model_id: pulumi.Input[str] | None = pulumi.property("deployedModelId")
    """1 to 10 digits. Some are made else."""
    display_name: pulumi.Input[str] | None = pulumi.property("displayName")
    """The name that people see. The model's else."""
    dedicated_resources: pulumi.Input[DedicatedResourcesArgs] | None = pulumi.property("dedicatedResources")
    """Machines of its own."""
    automatic_resources: pulumi.Input[AutomaticResourcesArgs] | None = pulumi.property("automaticResources")
    """Machines that Vertex AI chooses."""
    shared_resources: pulumi.Input[str] | None = pulumi.property("sharedResources")
    """A pool of machines: `projects/…/locations/…/deploymentResourcePools/…`."""
    service_account: pulumi.Input[str] | None = pulumi.property("serviceAccount")
    """The account that the container runs as."""
    enable_access_logging: pulumi.Input[bool] | None = pulumi.property("enableAccessLogging")
    """Whether each request is logged."""
    disable_container_logging: pulumi.Input[bool] | None = pulumi.property("disableContainerLogging")
    """Whether what the container prints is not logged."""
    disable_explanations: pulumi.Input[bool] | None = pulumi.property("disableExplanations")
    """Whether the model's explanations are left out."""
    traffic_percentage: pulumi.Input[int] | None = pulumi.property("trafficPercentage")
    """Its share of the endpoint's traffic, 0 to 100; alone it has all. Where it is not said it takes all once, or
    what
    those of its own display name have, when it is deployed, and is then left to others.
    """
    rollout: pulumi.Input[RolloutArgs] | None = pulumi.property("rollout")
    """How the share grows. At once else."""

    def __init__(
        self,
        *,
        endpoint: pulumi.Input[str],
        model: pulumi.Input[str],
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        deployed_model_id: pulumi.Input[str] | None = None,
        display_name: pulumi.Input[str] | None = None,
        dedicated_resources: pulumi.Input[DedicatedResourcesArgs] | None = None,
        automatic_resources: pulumi.Input[AutomaticResourcesArgs] | None = None,
        shared_resources: pulumi.Input[str] | None = None,
        service_account: pulumi.Input[str] | None = None,
        enable_access_logging: pulumi.Input[bool] | None = None,
        disable_container_logging: pulumi.Input[bool] | None = None,
        disable_explanations: pulumi.Input[bool] | None = None,
        traffic_percentage: pulumi.Input[int] | None = None,
        rollout: pulumi.Input[RolloutArgs] | None = None,
    ) -> None:
        pulumi.set(self, "endpoint", endpoint)
        pulumi.set(self, "model", model)
        pulumi.set(self, "project", project)
        pulumi.set(self, "location", location)
        pulumi.set(self, "deployed_model_id", deployed_model_id)
        pulumi.set(self, "display_name", display_name)
        pulumi.set(self, "dedicated_resources", dedicated_resources)
        pulumi.set(self, "automatic_resources", automatic_resources)
        pulumi.set(self, "shared_resources", shared_resources)
        pulumi.set(self, "service_account", service_account)
        pulumi.set(self, "enable_access_logging", enable_access_logging)
        pulumi.set(self, "disable_container_logging", disable_container_logging)
        pulumi.set(self, "disable_explanations", disable_explanations)
        pulumi.set(self, "traffic_percentage", traffic_percentage)
        pulumi.set(self, "rollout", rollout)


class DeployedModel(pulumi.CustomResource):
    """A model deployed to an endpoint, with its share of the endpoint's traffic.

    What cannot be changed in place makes another deployment beside the old one; the traffic moves to it, and
    then the
    old one is undeployed. A deployment takes its share from those of its own display name first; the others on
    the same
    endpoint keep theirs, or their proportions of what is left.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint: pulumi.Input[str],
        model: pulumi.Input[str],
        project: pulumi.Input[str] | None = None,
        location: pulumi.Input[str] | None = None,
        deployed_model_id: pulumi.Input[str] | None = None,
        display_name: pulumi.Input[str] | None = None,
        dedicated_resources: pulumi.Input[DedicatedResourcesArgs] | None = None,
        automatic_resources: pulumi.Input[AutomaticResourcesArgs] | None = None,
        shared_resources: pulumi.Input[str] | None = None,
        service_account: pulumi.Input[str] | None = None,
        enable_access_logging: pulumi.Input[bool] | None = None,
        disable_container_logging: pulumi.Input[bool] | None = None,
        disable_explanations: pulumi.Input[bool] | None = None,
        traffic_percentage: pulumi.Input[int] | None = None,
        rollout: pulumi.Input[RolloutArgs] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        args = _DeployedModelArgs(
            endpoint=endpoint,
            model=model,
            project=project,
            location=location,
            deployed_model_id=deployed_model_id,
            display_name=display_name,
            dedicated_resources=dedicated_resources,
            automatic_resources=automatic_resources,
            shared_resources=shared_resources,
            service_account=service_account,
            enable_access_logging=enable_access_logging,
            disable_container_logging=disable_container_logging,
            disable_explanations=disable_explanations,
            traffic_percentage=traffic_percentage,
            rollout=rollout,
        )
        args.__dict__["endpoint_name"] = None
        args.__dict__["deployment_id"] = None
        args.__dict__["create_time"] = None
        args.__dict__["traffic"] = None
        args.__dict__["operation"] = None
        super().__init__("modelberth:vertex:DeployedModel", resource_name, cast("pulumi.Inputs", args), opts)

    @property
    @pulumi.getter(name="endpoint")
    def endpoint(self) -> pulumi.Output[str]:
        """The endpoint: `projects/…/locations/…/endpoints/…`, or its last part."""
        return pulumi.get(self, "endpoint")

    @property
    @pulumi.getter(name="model")
    def model(self) -> pulumi.Output[str]:
        """The model with its version: the `versionName` of a Model."""
        return pulumi.get(self, "model")

    @property
    @pulumi.getter(name="project")
    def project(self) -> pulumi.Output[str | None]:
        """The project. The provider's else."""
        return pulumi.get(self, "project")

    @property
    @pulumi.getter(name="location")
    def location(self) -> pulumi.Output[str | None]:
        """The region. The provider's else."""
        return pulumi.get(self, "location")

    @property
    @pulumi.getter(name="deployedModelId")
    def deployed_model_id(self) -> pulumi.Output[str | None]:
        """1 to 10 digits. Some are made else."""
        return pulumi.get(self, "deployed_model_id")

    @property
    @pulumi.getter(name="displayName")
    def display_name(self) -> pulumi.Output[str | None]:
        """The name that people see. The model's else."""
        return pulumi.get(self, "display_name")

    @property
    @pulumi.getter(name="dedicatedResources")
    def dedicated_resources(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """Machines of its own."""
        return pulumi.get(self, "dedicated_resources")

    @property
    @pulumi.getter(name="automaticResources")
    def automatic_resources(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """Machines that Vertex AI chooses."""
        return pulumi.get(self, "automatic_resources")

    @property
    @pulumi.getter(name="sharedResources")
    def shared_resources(self) -> pulumi.Output[str | None]:
        """A pool of machines: `projects/…/locations/…/deploymentResourcePools/…`."""
        return pulumi.get(self, "shared_resources")

    @property
    @pulumi.getter(name="serviceAccount")
    def service_account(self) -> pulumi.Output[str | None]:
        """The account that the container runs as."""
        return pulumi.get(self, "service_account")

    @property
    @pulumi.getter(name="enableAccessLogging")
    def enable_access_logging(self) -> pulumi.Output[bool | None]:
        """Whether each request is logged."""
        return pulumi.get(self, "enable_access_logging")

    @property
    @pulumi.getter(name="disableContainerLogging")
    def disable_container_logging(self) -> pulumi.Output[bool | None]:
        """Whether what the container prints is not logged."""
        return pulumi.get(self, "disable_container_logging")

    @property
    @pulumi.getter(name="disableExplanations")
    def disable_explanations(self) -> pulumi.Output[bool | None]:
        """Whether the model's explanations are left out."""
        return pulumi.get(self, "disable_explanations")

    @property
    @pulumi.getter(name="trafficPercentage")
    def traffic_percentage(self) -> pulumi.Output[int | None]:
        """Its share of the endpoint's traffic, 0 to 100; alone it has all. Where it is not said it takes all once,
        or what
        those of its own display name have, when it is deployed, and is then left to others.
        """
        return pulumi.get(self, "traffic_percentage")

    @property
    @pulumi.getter(name="rollout")
    def rollout(self) -> pulumi.Output[Mapping[str, Any] | None]:
        """How the share grows. At once else."""
        return pulumi.get(self, "rollout")

    @property
    @pulumi.getter(name="endpointName")
    def endpoint_name(self) -> pulumi.Output[str]:
        """The endpoint's whole name."""
        return pulumi.get(self, "endpoint_name")

    @property
    @pulumi.getter(name="deploymentId")
    def deployment_id(self) -> pulumi.Output[str]:
        """The deployed model's id on the endpoint."""
        return pulumi.get(self, "deployment_id")

    @property
    @pulumi.getter(name="createTime")
    def create_time(self) -> pulumi.Output[str]:
        """When it was deployed, by RFC 3339."""
        return pulumi.get(self, "create_time")

    @property
    @pulumi.getter(name="traffic")
    def traffic(self) -> pulumi.Output[int]:
        """Its share of the endpoint's traffic when it was last looked at, in percent."""
        return pulumi.get(self, "traffic")

    @property
    @pulumi.getter(name="operation")
    def operation(self) -> pulumi.Output[str | None]:
        """The operation that still deploys it, after a run that was interrupted."""
        return pulumi.get(self, "operation")
