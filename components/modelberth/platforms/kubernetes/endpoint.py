"""A Kubernetes endpoint of plain workloads: a Deployment for each package, one Service before them, a watched rollout.

Another package makes another Deployment beside the one that serves; the engine deletes the old one only at the end of
an update that succeeded. In between a Job inside the cluster moves the replicas: the canary's share first, all of them
after the bake time, and back where an alarm fires. It goes on where `pulumi up` is broken off.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import Field, Strict, ValidationError

from model_packaging.package import Package

from ...args import ModelEndpointArgs
from ...errors import problems_of
from ...gaps import refusal
from ...names import content_name, physical_name
from ...outputs import EndpointOutputs
from ...spec import PRIMARY, ComputeSpec, Spec
from . import gateway, kserve, objects, pods, policies, rights, scaling, store, values, variants
from .gateway import GatewayOptions
from .objects import StoreOptions
from .variants import SHADOW, Variant

PORT = 8080
_COMPONENT = "endpoint"
_MODEL_FOLDER, _MODEL = "/model", "model"
_STARTUP_SECONDS = 600
# Load balancers learn within seconds that a pod is going; it answers until then.
_DRAIN_DELAY_SECONDS, _DRAIN_SECONDS = 10, 25


Accelerators = Annotated[int, Strict(), Field(ge=1)]


class IngressOptions(Spec):
    """`endpoint.kubernetes.ingress`: an address from outside the cluster."""

    host: values.Host
    """The host name that requests are sent to."""
    class_name: values.ObjectName | None = None
    """The IngressClass; the cluster's default if left out."""
    tls_secret: values.ObjectName | None = None
    """The Secret with the certificate; the address is http:// without one."""


class Options(StoreOptions):
    """`endpoint.kubernetes`: what only Kubernetes has."""

    serving: Literal["workloads", "kserve"] = "workloads"
    """What runs the replicas: `workloads` for plain Deployments, whose updates are watched and go back; `kserve` for an
    InferenceService of the KServe that is installed, in Standard mode."""
    kserve_namespace: values.Namespace = "kserve"
    """Where KServe's controller and its settings are."""
    accelerators: dict[values.ExtendedResource, Accelerators] = Field(default_factory=dict[str, int])
    """Extended resources of one replica, such as {nvidia.com/gpu: 1}."""
    ingress: IngressOptions | None = None
    """An Ingress; without one and without a gateway the endpoint is reached from inside the cluster only."""
    gateway: GatewayOptions | None = None
    """An HTTPRoute from a Gateway that is there; `url` is its address then."""
    callers: list[values.AddressRange] = Field(default_factory=list[str])
    """Addresses outside the cluster's pods that may call the endpoint, such as [10.1.0.0/16]: machines of yours, and
    an ingress controller on its node's own network. All pods of the cluster may."""
    startup_timeout_seconds: int = Field(default=_STARTUP_SECONDS, ge=10, le=3600)
    """How long a replica may take until it answers."""
    cpu_target: int = Field(default=70, ge=1, le=100)
    """With `scale.max`: the use of its processors, in percent, by which the number of replicas is chosen."""
    autoscaler: scaling.Autoscaler = "hpa"
    """With `scale.max`, what chooses the number of replicas: `hpa` for a HorizontalPodAutoscaler, by processors; `keda`
    for a ScaledObject of the KEDA that is installed, by requests too, and by `triggers`."""
    triggers: list[scaling.Trigger] = Field(default_factory=list[scaling.Trigger])
    """Further triggers of KEDA's. With `scale.min: 0` at least one that is seen while no replica runs."""


def check(args: ModelEndpointArgs, where: str) -> list[str]:
    """Return what plain workloads can't do with these arguments."""
    problems = objects.check_tags(args, where)
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{args.platform}")
    serves_itself = options.serving == "workloads"
    for feature, asked in (("variants", bool(args.variants)), ("shadow", args.shadow is not None)):
        if asked and not serves_itself:
            problems.append(refusal(args.platform, f"{feature}_with_kserve", f"{where}.{feature}"))
        elif asked and options.gateway is None:
            problems.append(refusal(args.platform, f"{feature}_without_gateway", f"{where}.{feature}"))
    if not serves_itself:
        problems += kserve.check(args, where)
    if serves_itself and args.rollout.canary is not None and args.scale.min < 2:
        problems.append(refusal(args.platform, "canary_of_one_replica", f"{where}.rollout.canary"))
    problems += scaling.check(
        args,
        where,
        options.autoscaler,
        options.triggers,
        options.prometheus_url,
        by_kserve=not serves_itself,
    )
    if args.endpoint_name is not None and not values.is_service_name(args.endpoint_name):
        problems.append(
            f"{where}: {args.endpoint_name!r} is no name of a Service: at most 63 lower-case letters, digits and "
            "hyphens, beginning with a letter; it is made of project, stack and model where no endpoint_name is given"
        )
    if args.compute.cpu < 0.001:
        problems.append(f"{where}.compute.cpu: {args.compute.cpu!r} is out of range: Kubernetes counts in thousandths")
    if serves_itself and args.rollback_alarms and options.prometheus_url is None:
        problems.append(
            f"{where}.{args.platform}.prometheus_url: is missing: an update is watched by alarms, and it is Prometheus "
            "that knows which of them fire; write its address as pods reach it"
        )
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: ModelEndpointArgs) -> EndpointOutputs:
    """Make the endpoint and all it needs."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    child = pulumi.ResourceOptions(parent=component)
    endpoint = args.endpoint_name or physical_name(name)
    described = objects.metadata(args, options, endpoint, _COMPONENT, endpoint)
    account = rights.service_account(
        f"{name}-serve", objects.metadata(args, options, f"{endpoint}-serve", _COMPONENT, endpoint), child
    )
    secret = options.bucket_secret or store.secret_name(args.bucket)
    namespace = objects.settled(account.metadata, "namespace")
    access = store.reach(f"{name}-store", component, namespace, secret)
    services: dict[str, kubernetes.core.v1.Service] = {}
    served: list[pulumi.CustomResource] = []
    behind = variants.of(name, endpoint, args)
    for one in behind:
        services[one.name] = _service(one, options, args, child)
        stored = store.uploaded_package(args.bucket, access, one.package)
        pod = _pod(one, endpoint, stored, secret, account, options, args)
        if options.serving == "kserve":
            made = kserve.inference_service(
                f"{name}-inference",
                described,
                pod,
                _annotations(one.package),
                kserve.installation(name, endpoint, namespace, options.kserve_namespace, component),
                options.cpu_target,
                args,
                child,
            )
        else:
            made = _workloads(one, pod, options, args, component)
        served.append(made)
    # What people are sent to comes after the rollouts, so that one that went back is never taken for a success.
    ready = pulumi.Output.all(*(one.id for one in served))
    url = pulumi.Output.concat("http://", endpoint, ".", namespace, ".svc")
    if options.ingress is not None:
        url = _ingress(name, services[PRIMARY], options.ingress, described, child)
    command = pulumi.Output.concat(
        "kubectl create --raw /api/v1/namespaces/",
        namespace,
        "/services/",
        endpoint,
        ":http/proxy/invocations -f request.json",
    )
    if options.gateway is not None:
        found = gateway.Gateway(f"{name}-gateway", options.gateway, child)
        url = gateway.address(found, options.gateway, namespace)
        named = {key: objects.settled(one.metadata, "name") for key, one in services.items()}
        routed = gateway.route(
            f"{name}-route",
            described,
            options.gateway,
            [(named[one.name], one.weight) for one in behind if one.name != SHADOW],
            named.get(SHADOW),
            # No route is made where the Gateway would not take it.
            url,
            child.merge(pulumi.ResourceOptions(depends_on=served)),
        )
        ready = routed.id
        command = pulumi.Output.concat("curl --fail --json @request.json ", url, "/invocations")
    return EndpointOutputs(
        name=ready.apply(lambda _: endpoint),
        url=pulumi.Output.all(url, ready).apply(lambda both: f"{both[0]}/invocations"),
        invoke_command=pulumi.Output.all(command, ready).apply(lambda both: str(both[0])),
    )


def _service(
    variant: Variant, options: Options, args: ModelEndpointArgs, child: pulumi.ResourceOptions
) -> kubernetes.core.v1.Service:
    """Make a variant's address, what lets requests in to its pods, and what keeps the last of them."""
    name, instance = variant.resource, variant.instance
    described = objects.metadata(args, options, instance, _COMPONENT, instance)
    policies.allow(
        f"{name}-traffic",
        args,
        options,
        _COMPONENT,
        instance,
        child,
        serves=PORT,
        callers=options.callers,
        reaches=[options.store_port],
    )
    kubernetes.policy.v1.PodDisruptionBudget(
        f"{name}-disruption",
        metadata=described,
        spec={"max_unavailable": 1, "selector": {"match_labels": objects.labels(_COMPONENT, instance)}},
        opts=child,
    )
    # The address that callers know stays; those of variants come and go with them.
    stays = variant.name == PRIMARY and not args.development
    return kubernetes.core.v1.Service(
        name,
        # Its pods come later than it does, and waiting for the first of them would be for ever.
        metadata=objects.annotated(described, objects.SKIP_AWAIT),
        spec={
            "type": "ClusterIP",
            "selector": objects.labels(_COMPONENT, instance),
            "ports": [{"name": "http", "port": 80, "target_port": PORT, "protocol": "TCP"}],
        },
        opts=child.merge(pulumi.ResourceOptions(protect=stays)),
    )


def _workloads(
    variant: Variant,
    pod: kubernetes.core.v1.PodSpecArgsDict,
    options: Options,
    args: ModelEndpointArgs,
    component: pulumi.ComponentResource,
) -> kubernetes.batch.v1.Job:
    """Make a variant's Deployment, its rollout and its autoscaling."""
    if variant.name == SHADOW:
        # Nobody gets its answers, so that no alarm tells of it and nothing has to wait for one.
        unwatched = args.rollout.model_copy(update={"canary": None, "bake": timedelta(0)})
        args = args.model_copy(update={"rollback_alarms": [], "rollout": unwatched})
    name, instance, package = variant.resource, variant.instance, variant.package
    deployment = _deployment(name, instance, package, pod, options, args, component)
    rollout = _rollout(name, instance, deployment, package, options, args, component)
    if args.scale.autoscaled:
        after = pulumi.ResourceOptions(parent=component, depends_on=[rollout])
        revision = objects.settled(deployment.metadata, "name")
        scaling.scale(
            # Another Deployment gets another one; the old goes with the old.
            content_name(f"{name}-replicas", _replica(package, options, args)),
            objects.metadata(args, options, revision, _COMPONENT, instance),
            instance,
            revision,
            options.autoscaler,
            options.cpu_target,
            options.triggers,
            options.prometheus_url,
            args,
            after,
        )
    return rollout


def _replica(package: Package, options: Options, args: ModelEndpointArgs) -> list[Any]:
    """Return what a replica is made of: another one of these is another Deployment."""
    return [
        package.digest,
        args.image,
        args.compute.model_dump(),
        None if args.capture is None else args.capture.sample,
        options.accelerators,
        options.startup_timeout_seconds,
        # KEDA refuses a Deployment that another autoscaler has.
        *(["keda"] if options.autoscaler == "keda" else []),
    ]


def _annotations(package: Package) -> dict[str, str]:
    """Return the annotations of a replica's pod."""
    return {
        "modelberth/package-digest": package.digest,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        "prometheus.io/path": "/metrics",
    }


def _pod(
    variant: Variant,
    endpoint: str,
    stored: pulumi.Output[str],
    secret: pulumi.Input[str],
    account: kubernetes.core.v1.ServiceAccount,
    options: Options,
    args: ModelEndpointArgs,
) -> kubernetes.core.v1.PodSpecArgsDict:
    """Return a replica's pod: the package is fetched and checked, then served."""
    environment: dict[str, pulumi.Input[str]] = {
        "MODELBERTH_HOST": "0.0.0.0",
        "MODELBERTH_PACKAGE_DIGEST": variant.package.digest,
        "MODELBERTH_DRAIN_DELAY_SECONDS": str(_DRAIN_DELAY_SECONDS),
        "MODELBERTH_DRAIN_SECONDS": str(_DRAIN_SECONDS),
    }
    if args.capture is not None:
        environment["MODELBERTH_CAPTURE_URL"] = pulumi.Output.concat(args.bucket, f"/capture/{endpoint}")
        environment["MODELBERTH_CAPTURE_VARIANT"] = variant.name
        environment["MODELBERTH_CAPTURE_SAMPLE"] = f"{100 * args.capture.sample:g}"
    fetch = pods.container(
        "fetch",
        args.image,
        ["pull", stored, f"{_MODEL_FOLDER}/package"],
        ComputeSpec(cpu=min(args.compute.cpu, 1), memory=args.compute.memory),
        secret=secret,
        mounts={_MODEL: _MODEL_FOLDER} | store.MOUNT,
    )
    serve = pods.container(
        "serve",
        args.image,
        ["serve", f"{_MODEL_FOLDER}/package", "--port", str(PORT)],
        args.compute,
        environment=environment,
        secret=secret,
        mounts={_MODEL: _MODEL_FOLDER} | store.MOUNT,
        accelerators=options.accelerators,
    )
    probe: kubernetes.core.v1.ProbeArgsDict = {"http_get": {"path": "/ping", "port": PORT}, "timeout_seconds": 5}
    serve["ports"] = [{"name": "http", "container_port": PORT, "protocol": "TCP"}]
    serve["startup_probe"] = {
        **probe,
        "period_seconds": 2,
        "failure_threshold": max(1, options.startup_timeout_seconds // 2),
    }
    serve["readiness_probe"] = {**probe, "period_seconds": 2, "failure_threshold": 2}
    # Not whether it is ready but whether it answers at all: a server that drains must not be killed.
    serve["liveness_probe"] = {
        "http_get": {"path": "/v2/health/live", "port": PORT},
        "period_seconds": 10,
        "timeout_seconds": 5,
        "failure_threshold": 3,
    }
    spec = pods.pod(
        objects.settled(account.metadata, "name"),
        [serve],
        first=[fetch],
        volumes=[{"name": _MODEL, "empty_dir": {}}, store.volume(secret)],
    )
    spec["termination_grace_period_seconds"] = _DRAIN_DELAY_SECONDS + _DRAIN_SECONDS + 5
    spec["topology_spread_constraints"] = [
        {
            "max_skew": 1,
            "topology_key": "kubernetes.io/hostname",
            "when_unsatisfiable": "ScheduleAnyway",
            "label_selector": {"match_labels": objects.labels(_COMPONENT, variant.instance)},
        }
    ]
    return spec


def _deployment(
    name: str,
    endpoint: str,
    package: Package,
    pod: kubernetes.core.v1.PodSpecArgsDict,
    options: Options,
    args: ModelEndpointArgs,
    component: pulumi.ComponentResource,
) -> kubernetes.apps.v1.Deployment:
    content = _replica(package, options, args)
    revision = content_name(endpoint, content, longest=52)
    labels = objects.labels(_COMPONENT, endpoint) | {REVISION: revision}
    described = objects.metadata(args, options, revision, _COMPONENT, endpoint)
    return kubernetes.apps.v1.Deployment(
        content_name(f"{name}-revision", content),
        # The rollout waits for its pods, and says why they don't come up.
        metadata=objects.annotated(described, objects.SKIP_AWAIT),
        spec={
            # How many replicas run is left to the rollout and to autoscaling.
            "selector": {"match_labels": {objects.INSTANCE: endpoint, REVISION: revision}},
            "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
            "progress_deadline_seconds": options.startup_timeout_seconds + 60,
            "template": {"metadata": {"labels": labels, "annotations": _annotations(package)}, "spec": pod},
        },
        opts=pulumi.ResourceOptions(parent=component),
    )


REVISION = "modelberth/revision"
"""The label that tells one package's pods from another's behind the same endpoint."""


def _rollout(
    name: str,
    endpoint: str,
    deployment: kubernetes.apps.v1.Deployment,
    package: Package,
    options: Options,
    args: ModelEndpointArgs,
    component: pulumi.ComponentResource,
) -> kubernetes.batch.v1.Job:
    """Make the Job that moves the traffic, and give it the right to scale the Deployments of its namespace."""
    child = pulumi.ResourceOptions(parent=component)
    described = objects.metadata(args, options, f"{endpoint}-rollout", "rollout", endpoint)
    account = rights.service_account(f"{name}-rollout", described, child)
    # What it began with, for one that is broken off; what it holds is the rollout's, not the stack's.
    record = kubernetes.core.v1.ConfigMap(f"{name}-rollout", metadata=described, opts=child)
    record_name = objects.settled(record.metadata, "name")
    binding = rights.grant(
        f"{name}-rollout",
        described,
        account,
        [
            {"api_groups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
            {"api_groups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]},
            {"api_groups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"api_groups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {
                "api_groups": [""],
                "resources": ["configmaps"],
                "resource_names": [record_name],
                "verbs": ["get", "patch"],
            },
            *(
                [{"api_groups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["patch"]}]
                if options.autoscaler == "keda"
                else []
            ),
        ],
        child,
    )
    watched = options.prometheus_url if args.rollback_alarms else None
    policies.allow(
        f"{name}-rollout-traffic",
        args,
        options,
        "rollout",
        endpoint,
        child,
        reaches=policies.API_SERVER_PORTS,
        servers=[watched],
    )
    bake = round(args.rollout.bake.total_seconds())
    settings: dict[str, pulumi.Input[str]] = {
        "MODELBERTH_ROLLOUT_DEPLOYMENT": objects.settled(deployment.metadata, "name"),
        "MODELBERTH_ROLLOUT_ENDPOINT": endpoint,
        # Where none is kept, one shows that the package serves.
        "MODELBERTH_ROLLOUT_REPLICAS": str(max(args.scale.min, 1)),
        "MODELBERTH_ROLLOUT_CANARY": f"{args.rollout.canary or 0:g}",
        "MODELBERTH_ROLLOUT_BAKE_SECONDS": str(bake),
        "MODELBERTH_ROLLOUT_RECORD": record_name,
        "MODELBERTH_ROLLOUT_READY_SECONDS": str(options.startup_timeout_seconds),
    }
    if options.autoscaler == "keda":
        settings["MODELBERTH_ROLLOUT_AUTOSCALER"] = options.autoscaler
    if watched is not None:
        settings["MODELBERTH_ROLLOUT_PROMETHEUS"] = watched
        settings["MODELBERTH_ROLLOUT_ALARMS"] = pulumi.Output.all(*args.rollback_alarms).apply(
            lambda names: ",".join(str(alarm) for alarm in names)
        )
    content = [
        package.digest,
        args.image,
        args.compute.model_dump(),
        options.model_dump(exclude={"namespace", "bucket_secret", "callers"}),
        args.scale.min,
        args.rollout.model_dump(mode="json"),
        None if args.capture is None else args.capture.sample,
    ]
    revision = content_name(f"{endpoint}-rollout", content, longest=60)
    run = pods.container("rollout", args.image, ["rollout"], ComputeSpec(cpu=0.1, memory=128 * 1024**2))
    run["env"] = [{"name": key, "value": value} for key, value in sorted(settings.items())]
    spec = pods.pod(objects.settled(account.metadata, "name"), [run], talks_to_cluster=True)
    spec["restart_policy"] = "Never"
    deadline = 2 * (bake + options.startup_timeout_seconds) + 600
    return kubernetes.batch.v1.Job(
        content_name(f"{name}-rollout", content),
        # One that failed is run again by the next `up`.
        metadata=objects.metadata(
            args, options, revision, "rollout", endpoint, annotations={"pulumi.com/replaceUnready": "true"}
        ),
        spec={
            "backoff_limit": 3,
            "active_deadline_seconds": deadline,
            "pod_failure_policy": {
                "rules": [
                    # The rollout's own verdict is final; a pod that its node lost is not.
                    {
                        "action": "FailJob",
                        "on_exit_codes": {"container_name": "rollout", "operator": "In", "values": [1, 3]},
                    },
                    {"action": "Ignore", "on_pod_conditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": objects.labels("rollout", endpoint)}, "spec": spec},
        },
        opts=pulumi.ResourceOptions(
            parent=component,
            depends_on=[deployment, binding],
            custom_timeouts=pulumi.CustomTimeouts(create=f"{deadline + 60}s"),
        ),
    )


def _ingress(
    name: str,
    service: kubernetes.core.v1.Service,
    options: IngressOptions,
    described: kubernetes.meta.v1.ObjectMetaArgsDict,
    child: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    spec: kubernetes.networking.v1.IngressSpecArgsDict = {
        "rules": [
            {
                "host": options.host,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "path_type": "Prefix",
                            "backend": {
                                "service": {
                                    "name": objects.settled(service.metadata, "name"),
                                    "port": {"name": "http"},
                                }
                            },
                        }
                    ]
                },
            }
        ]
    }
    if options.class_name is not None:
        spec["ingress_class_name"] = options.class_name
    if options.tls_secret is not None:
        spec["tls"] = [{"hosts": [options.host], "secret_name": options.tls_secret}]
    kubernetes.networking.v1.Ingress(
        f"{name}-ingress",
        # Many controllers on site never write down an address.
        metadata=objects.annotated(described, objects.SKIP_AWAIT),
        spec=spec,
        opts=child,
    )
    return pulumi.Output.from_input(f"{'https' if options.tls_secret else 'http'}://{options.host}")
