"""What Vertex AI and what stands around it can't do of what the specification can ask."""

from ...gaps import Gap

GAPS = {
    "disk_utilization": Gap(
        "vendor", "Vertex AI publishes no metric of a replica's disk (Google Cloud metrics, aiplatform): leave it out"
    ),
    "flexible_window": Gap(
        "vendor", "Cloud Scheduler starts a job when it is due (REST reference, projects.locations.jobs): leave it out"
    ),
    "flexible_window_over_a_day": Gap("vendor", "Cloud Scheduler starts a job when it is due: leave it out"),
    "scale_to_zero": Gap(
        "vendor",
        'a deployed model keeps one replica, but in a preview (Vertex AI documentation, "Scale inference nodes by '
        'using autoscaling"): write at least 1',
    ),
    "shadow": Gap(
        "vendor",
        "an endpoint sends each request to one deployed model by the traffic split, and copies none: leave it out",
    ),
}
