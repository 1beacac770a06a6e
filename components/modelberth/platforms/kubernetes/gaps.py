"""What plain Kubernetes workloads can't do of what the specification can ask."""

from ...gaps import Gap

_GATEWAY = "name one of yours as endpoint.kubernetes.gateway, with the host that requests are sent to"

GAPS = {
    "bake_with_kserve": Gap(
        "ours",
        "KServe replaces replicas one by one as they become ready, and nothing of ours watches it: leave bake out, or "
        "write serving: workloads",
    ),
    "canary_of_one_replica": Gap(
        "ours",
        "a Service shares requests by replicas, so scale.min must be at least 2; or leave canary out: all traffic then "
        "shifts at once, watched",
    ),
    "canary_with_kserve": Gap(
        "vendor",
        "in Standard mode KServe takes no canary of a container, and drops canaryTrafficPercent, which is for "
        "Knative's mode: leave canary out, or write serving: workloads",
    ),
    "disk_utilization": Gap(
        "never", "a replica's file system can't be written, and its scratch space counts as memory or is the node's"
    ),
    "flexible_window": Gap(
        "vendor", 'a CronJob starts when it is due (Kubernetes documentation, "CronJob"): leave it out'
    ),
    "flexible_window_over_a_day": Gap("vendor", "a CronJob starts when it is due: leave flexible_window out"),
    "several_runs": Gap(
        "ours", "of the monitor's runs the metric tells the time of the last one: write 1, and choose the period"
    ),
    "shadow_with_kserve": Gap(
        "ours", "one InferenceService is made, of the model's own package: leave it out, or write serving: workloads"
    ),
    "shadow_without_gateway": Gap(
        "never", f"a Service copies no requests, but a Gateway does: {_GATEWAY}; or leave it out"
    ),
    "variants_with_kserve": Gap(
        "ours", "one InferenceService is made, of the model's own package: leave it out, or write serving: workloads"
    ),
    "variants_without_gateway": Gap(
        "never", f"a Service shares requests by replicas, not by weight, but a Gateway does: {_GATEWAY}"
    ),
}
