"""What plain Kubernetes workloads can't do of what the specification can ask."""

from ...gaps import Gap

GAPS = {
    "disk_utilization": Gap(
        "never", "a replica's file system can't be written, and its scratch space counts as memory or is the node's"
    ),
    "flexible_window": Gap(
        "vendor", 'a CronJob starts when it is due (Kubernetes documentation, "CronJob"): leave it out'
    ),
    "flexible_window_over_a_day": Gap("vendor", "a CronJob starts when it is due: leave flexible_window out"),
    "shadow": Gap("ours", "a Service copies no requests, and there is no proxy of ours before it yet: leave it out"),
    "variants": Gap(
        "ours", "a Service shares requests by replicas, not by weight, and there is no proxy of ours before it yet"
    ),
}
