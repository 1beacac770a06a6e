"""The second way of a Kubernetes endpoint: KServe's InferenceService in Standard mode, which runs plain Deployments.

The package is fetched and checked by our own step before the server starts, and the server is a container of our own
(docs/decisions/0012-kserve-custom-predictor.md). KServe makes the Deployment, the Service and the autoscaler.
Source: KServe's documentation, "Custom Model Serving Runtime" and "Standard Deployment".
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes

from ...args import ModelEndpointArgs
from ...errors import SpecificationError
from ...gaps import refusal
from ...names import shortened
from . import objects

CONTAINER = "kserve-container"
"""The name by which KServe knows the container that predicts."""
_LONGEST_NAME = 20
"""KServe makes the host name `<name>-predictor-<namespace>` of it, whose namespace needs its room."""
CONTROLLER, SETTINGS = "kserve-controller-manager", "inferenceservice-config"
_MODE = "serving.kserve.io/deploymentMode"
_HOST = "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"
_OLDEST = (0, 16)
"""The first release that knows Standard mode by this name; those before take it for Knative's without a word."""


def check(args: ModelEndpointArgs, where: str) -> list[str]:
    """Return what KServe can't do with these arguments."""
    problems: list[str] = []
    if args.rollout.canary is not None:
        problems.append(refusal(args.platform, "canary_with_kserve", f"{where}.rollout.canary"))
    if "bake" in args.rollout.model_fields_set:
        problems.append(refusal(args.platform, "bake_with_kserve", f"{where}.rollout.bake"))
    return problems


def installation(
    name: str, endpoint: str, place: pulumi.Output[str], namespace: str, component: pulumi.ComponentResource
) -> pulumi.Output[str]:
    """Read from the cluster which KServe is there, also at preview, and return its version.

    The output fails with a SpecificationError where it can't serve the endpoint in Standard mode. Where there is none,
    the engine itself ends the program: `resource 'kserve/inferenceservice-config' does not exist`.

    Args:
        name: Of the resources that are read.
        endpoint: The endpoint's name.
        place: The namespace that it will be in.
        namespace: Where KServe is.
        component: Whose resources they are.
    """
    opts = pulumi.ResourceOptions(parent=component)
    settings = kubernetes.core.v1.ConfigMap.get(f"{name}-kserve-settings", f"{namespace}/{SETTINGS}", opts)
    controller = kubernetes.apps.v1.Deployment.get(f"{name}-kserve-controller", f"{namespace}/{CONTROLLER}", opts)

    async def found() -> str:
        data, spec, inside = await asyncio.gather(settings.data.future(), controller.spec.future(), place.future())
        images = [str(one.image) for one in spec.template.spec.containers] if spec is not None else []  # pyright: ignore
        version, problems = judge(data or {}, images)
        # The namespace is not known at the preview of the first `up`, where the cluster names it.
        problems += host_problems(data or {}, service_name(endpoint), inside) if inside else []
        if problems:
            raise SpecificationError(*problems)
        return version

    return pulumi.Output.from_input(found())


def judge(settings: Mapping[str, str], images: list[str]) -> tuple[str, list[str]]:
    """Return KServe's version, and what of the version or its settings keeps it from serving in Standard mode.

    Args:
        settings: The data of its ConfigMap `inferenceservice-config`.
        images: Those of its controller's Deployment; their tag is the version.
    """
    problems: list[str] = []
    tags = [tag for image in images if (tag := re.search(r":v(\d+)\.(\d+)\.(\d+)", image))]
    version = tags[0][0].removeprefix(":") if tags else "unknown"
    if not tags:
        problems.append(
            f"KServe's version can't be told from the images of its controller, {', '.join(images) or 'none'}: "
            "give them the tag of their release, such as v0.20.0, or write serving: workloads"
        )
    elif (int(tags[0][1]), int(tags[0][2])) < _OLDEST:
        problems.append(
            f"KServe {version} is too old: it does not know Standard mode by this name; update it to "
            f"v{'.'.join(map(str, _OLDEST))}.0 or later, or write serving: workloads"
        )
    deploy, services = _section(settings, "deploy"), _section(settings, "inferenceService")
    # An InferenceService names its mode by an annotation, which goes before the default unless it is dropped.
    mode = deploy.get("defaultDeploymentMode") or "Standard"
    if _MODE in services.get("serviceAnnotationDisallowedList", []) and mode not in ("Standard", "RawDeployment"):
        problems.append(
            f"KServe is in the mode {mode}, and drops the annotation {_MODE} that asks for another: take it off "
            f"inferenceService.serviceAnnotationDisallowedList in the ConfigMap {SETTINGS}, or set "
            "deploy.defaultDeploymentMode to Standard there"
        )
    return version, problems


def service_name(endpoint: str) -> str:
    """Return what the InferenceService of an endpoint is called; callers use the endpoint's own Service."""
    return shortened(endpoint, _LONGEST_NAME)


def host_problems(settings: Mapping[str, str], name: str, namespace: str) -> list[str]:
    """Return whether a host name that KServe makes of an InferenceService is too long for one, also if nobody uses it.

    Args:
        settings: The data of its ConfigMap `inferenceservice-config`.
        name: The InferenceService's name.
        namespace: Its namespace.
    """
    template = str(_section(settings, "ingress").get("domainTemplate") or _HOST)
    host = template
    for key, value in {"Name": f"{name}-predictor", "Namespace": namespace}.items():
        host = re.sub(rf"{{{{\s*\.{key}\s*}}}}", value, host)
    longest = max((part for part in re.sub(r"{{.*?}}", "", host).split(".")), key=len)
    if len(longest) <= 63:
        return []
    return [
        f"the namespace {namespace!r} has too long a name for KServe, which makes the host name {longest!r} of it "
        f"({len(longest)} characters between dots, at most 63): write one that is at least {len(longest) - 63} shorter "
        f"as kubernetes.namespace, or another ingress.domainTemplate in the ConfigMap {SETTINGS}"
    ]


def _section(settings: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found = json.loads(settings.get(name) or "{}")
    except ValueError:
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def inference_service(
    name: str,
    described: kubernetes.meta.v1.ObjectMetaArgsDict,
    pod: kubernetes.core.v1.PodSpecArgsDict,
    annotations: Mapping[str, str],
    version: pulumi.Output[str],
    cpu_target: int,
    args: ModelEndpointArgs,
    opts: pulumi.ResourceOptions,
) -> kubernetes.apiextensions.CustomResource:
    """Make the InferenceService.

    Args:
        name: The resource's name.
        described: Its metadata; its labels come to its pods, too.
        pod: What a replica is, with one container.
        annotations: Those of the pods.
        version: KServe's; known once it was checked.
        cpu_target: The use of processors, in percent, by which the number of replicas is chosen.
        args: The endpoint's arguments.
        opts: The resource's options.
    """
    if args.rollback_alarms:
        pulumi.log.warn(
            "alarms tell of a bad update and do not bring the previous package back: KServe replaces replicas one by "
            "one in Standard mode; serving: workloads watches updates"
        )
    scaler = "hpa" if args.scale.autoscaled else "none"
    predictor = _camel(pod)
    (container,) = predictor["containers"]
    container["name"] = CONTAINER
    # KServe gives a container that has no limit the one of its settings, which may be less than what it asks for.
    limits: dict[str, Any] = container["resources"]["limits"]
    limits["cpu"] = f"{round(args.compute.cpu * 1000)}m"
    predictor |= {
        "annotations": dict(annotations),
        "minReplicas": args.scale.min,
        "maxReplicas": args.scale.max or args.scale.min,
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    }
    if args.scale.autoscaled:
        predictor |= {"scaleMetric": "cpu", "scaleTarget": cpu_target}
    spec = version.apply(lambda _: pulumi.Output.from_input({"predictor": predictor}))
    # Not to be reached from outside unless somebody decides so.
    labels = {"networking.kserve.io/visibility": "cluster-local"}
    chosen = {
        _MODE: "Standard",
        "serving.kserve.io/autoscalerClass": scaler,
        "pulumi.com/waitFor": "condition=Ready",
    }
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version="serving.kserve.io/v1beta1",
        kind="InferenceService",
        metadata={
            **objects.labelled(objects.annotated(described, chosen), labels),
            "name": service_name(str(described.get("name"))),
        },
        spec=spec,
        opts=opts,
    )


def _camel(value: Any) -> Any:
    """The same with keys as the cluster writes them; keys of the user's, such as those of labels, stay."""
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {_camel_key(key): dict(one) if key in _MAPS else _camel(one) for key, one in items}
    if isinstance(value, list | tuple):
        return [_camel(one) for one in cast(list[Any], value)]
    return value


_MAPS = ("match_labels", "limits", "requests")


def _camel_key(key: str) -> str:
    first, *others = key.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in others)
