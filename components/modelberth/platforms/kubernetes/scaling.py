"""How the number of replicas follows the load: by processors alone, or by requests too where KEDA is installed.

KEDA makes a HorizontalPodAutoscaler of a ScaledObject, and takes a Deployment to no replica and back by itself.
Source: KEDA documentation, "ScaledObject specification", "Prometheus" and "CPU".
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import BeforeValidator, Field

from ...args import ModelEndpointArgs
from ...spec import Spec
from . import objects, promql

Autoscaler = Literal["hpa", "keda"]
COOLDOWN_SECONDS = 300
"""A replica takes its time to start: leaving is slower than joining. KEDA's own default for the last one."""
_OF_PODS = ("cpu", "memory")


def parse_text(value: object) -> object:
    """Take numbers and truth values as KEDA takes them: as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


class Trigger(Spec):
    """`endpoint.kubernetes.triggers.*`: a trigger of KEDA's, as its documentation has it."""

    type: str
    """A further trigger of KEDA's: the scaler's name, such as prometheus, cron, kafka or external-push. With
    `scale.min: 0` at least one that is seen while no replica runs."""
    metadata: dict[str, Annotated[str, BeforeValidator(parse_text)]] = Field(min_length=1)
    """What the scaler is told, such as {serverAddress: …, query: …, threshold: 10}."""


def check(
    args: ModelEndpointArgs,
    where: str,
    autoscaler: Autoscaler,
    triggers: Sequence[Trigger],
    prometheus_url: str | None,
    *,
    by_kserve: bool,
) -> list[str]:
    """Return what stands between an endpoint and the number of replicas that it is asked to have.

    Args:
        args: The endpoint's arguments.
        where: Their key.
        autoscaler: What chooses the number.
        triggers: Those beside our own.
        prometheus_url: Where requests are counted.
        by_kserve: Whether KServe makes the autoscaler.
    """
    key, keda = f"{where}.{args.platform}", autoscaler == "keda"
    problems: list[str] = []
    if keda and by_kserve:
        problems.append(
            f"{key}.autoscaler: KServe makes the autoscaler itself, by processors: leave autoscaler out, or write "
            "serving: workloads"
        )
    if keda and not args.scale.autoscaled:
        problems.append(f"{key}.autoscaler: has nothing to choose: write {where}.scale.max, more than scale.min")
    if keda and prometheus_url is None:
        problems.append(
            f"{key}.prometheus_url: is missing: KEDA asks Prometheus for the requests of the replicas; write its "
            "address as pods reach it"
        )
    if triggers and not keda:
        problems.append(f"{key}.triggers: are KEDA's: write autoscaler: keda, or leave them out")
    if not keda and args.scale.autoscaled and "requests_per_replica" in args.scale.model_fields_set:
        problems.append(
            f"{where}.scale.requests_per_replica: a HorizontalPodAutoscaler knows the use of processors, and no "
            f"requests: write {key}.autoscaler: keda where KEDA is installed, or leave it out and set cpu_target"
        )
    if args.scale.min == 0 and not keda:
        problems.append(
            f"{where}.scale.min: a HorizontalPodAutoscaler keeps at least one replica: write {key}.autoscaler: keda "
            "where KEDA is installed, or at least 1"
        )
    if args.scale.min == 0 and keda and all(one.type in _OF_PODS for one in triggers):
        problems.append(
            f"{key}.triggers: is missing: with scale.min: 0 nobody counts requests while no replica runs; write one "
            "that is seen then, such as requests at the ingress controller by a prometheus query, or KEDA's HTTP "
            "add-on by external-push; or scale.min: 1"
        )
    return problems


def scale(
    name: str,
    described: kubernetes.meta.v1.ObjectMetaArgsDict,
    endpoint: str,
    deployment: pulumi.Output[str],
    autoscaler: Autoscaler,
    cpu_target: int,
    triggers: Sequence[Trigger],
    prometheus_url: str | None,
    args: ModelEndpointArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    """Let the number of a Deployment's replicas follow the load.

    Args:
        name: The resource's name.
        described: Its metadata. It bears the Deployment's name: the rollout holds a ScaledObject by it.
        endpoint: Whose requests are counted.
        deployment: The Deployment's name.
        autoscaler: What chooses the number.
        cpu_target: The use of processors, in percent, to be kept.
        triggers: KEDA's, beside our own.
        prometheus_url: Where KEDA asks for the requests.
        args: The endpoint's arguments.
        opts: The resource's options.
    """
    most = args.scale.max or args.scale.min
    if autoscaler == "keda":
        assert prometheus_url is not None
        spec = _scaled_object(endpoint, deployment, cpu_target, triggers, prometheus_url, args)
        kubernetes.apiextensions.CustomResource(
            name,
            api_version="keda.sh/v1alpha1",
            kind="ScaledObject",
            # A trigger that KEDA can't read shows in this condition only.
            metadata=objects.annotated(described, {"pulumi.com/waitFor": "condition=Ready"}),
            spec=spec,
            opts=opts,
        )
        return
    kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
        name,
        metadata=described,
        spec={
            "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": deployment},
            "min_replicas": args.scale.min,
            "max_replicas": most,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "average_utilization": cpu_target},
                    },
                }
            ],
            "behavior": {"scale_down": {"stabilization_window_seconds": COOLDOWN_SECONDS}},
        },
        opts=opts,
    )


def _scaled_object(
    endpoint: str,
    deployment: pulumi.Output[str],
    cpu_target: int,
    triggers: Sequence[Trigger],
    prometheus_url: str,
    args: ModelEndpointArgs,
) -> dict[str, Any]:
    """Whichever trigger wants the most replicas decides."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
        "minReplicaCount": args.scale.min,
        "maxReplicaCount": args.scale.max,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": COOLDOWN_SECONDS}}
            }
        },
        "triggers": [
            {"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(cpu_target)}},
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": prometheus_url.rstrip("/"),
                    "query": promql.requests_a_minute(endpoint),
                    "threshold": str(args.scale.requests_per_replica),
                },
            },
            *({"type": one.type, "metadata": one.metadata} for one in triggers),
        ],
    }
    if args.scale.min == 0:
        # A new package's first replica, too, stays until nobody has asked for that long.
        spec |= {"cooldownPeriod": COOLDOWN_SECONDS, "initialCooldownPeriod": COOLDOWN_SECONDS}
    return spec
