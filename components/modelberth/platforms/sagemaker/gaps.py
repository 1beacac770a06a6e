"""What SageMaker and EventBridge can't do of what the specification can ask."""

from ...gaps import Gap

GAPS = {
    "bake_over_an_hour": Gap(
        "vendor",
        "BlueGreenUpdatePolicy waits for at most 1h (TrafficRoutingConfig, SageMaker API Reference): write 1h or less",
    ),
    "canary_of_one_replica": Gap(
        "vendor",
        "SageMaker takes at most half of the replicas for a canary, so scale.min must be at least 2; or leave canary "
        "out: all traffic then shifts at once, watched",
    ),
    "day_and_weekday": Gap(
        "vendor", "one of the two must be `?` in EventBridge's cron expressions: write * for one of them"
    ),
    "flexible_window_over_a_day": Gap(
        "vendor", "FlexibleTimeWindow is at most 1440 minutes (EventBridge Scheduler API Reference): write 24h or less"
    ),
    "scale_to_zero": Gap(
        "ours",
        "SageMaker scales to no instance only what is made of inference components, and then refuses requests until "
        "one runs; ours is made of variants, which keep one: write at least 1",
    ),
}
