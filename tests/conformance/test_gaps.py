"""Each gap is one: what a platform's table lists is refused for its reason, and what it does not list is taken."""

from pathlib import Path
from typing import Any

import pytest
from modelberth.args import ModelDeploymentArgs
from modelberth.gaps import FEATURES, gap_of, gaps_of
from modelberth.model_deployment import prepare
from modelberth.registry import PLATFORMS

from tests.conformance.world import HERE, world_class


def asking(package: Path) -> dict[str, dict[str, Any]]:
    """A specification that asks for each feature."""
    rival = {"primary": {"weight": 75}, "rival": {"weight": 25, "package": str(package)}}
    gateway = {"name": "shared", "namespace": "edge", "host": "models.example.org"}
    return {
        "bake_over_an_hour": {"endpoint": {"rollout": {"bake": "2h"}}},
        "bake_with_kserve": {"endpoint": {"rollout": {"bake": "5m"}, "kubernetes": {"serving": "kserve"}}},
        "canary_of_one_replica": {"endpoint": {"scale": {"min": 1}, "rollout": {"canary": "10%"}}},
        "canary_with_kserve": {
            "endpoint": {"scale": {"min": 2}, "rollout": {"canary": "50%"}, "kubernetes": {"serving": "kserve"}}
        },
        "day_and_weekday": {"retraining": {"schedule": "0 3 1 * 1"}},
        "disk_utilization": {"alarms": {"disk_utilization": {"above": "90%"}}},
        "flexible_window": {"retraining": {"flexible_window": "1h"}},
        "flexible_window_over_a_day": {"retraining": {"flexible_window": "2d"}},
        "scale_to_zero": {
            "endpoint": {
                "scale": {"min": 0, "max": 2},
                "kubernetes": {
                    "autoscaler": "keda",
                    "prometheus_url": "http://prometheus:9090",
                    "triggers": [{"type": "cron", "metadata": {"desiredReplicas": 1}}],
                },
            }
        },
        "several_runs": {
            "alarms": {"monitor.runs": {"below": 2}},
            "endpoint": {"capture": {}},
            "kubernetes": {"pushgateway_url": "http://pushgateway:9091"},
        },
        "shadow": {"endpoint": {"shadow": str(package), "kubernetes": {"gateway": gateway}}},
        "shadow_with_kserve": {"endpoint": {"shadow": str(package), "kubernetes": {"serving": "kserve"}}},
        "shadow_without_gateway": {"endpoint": {"shadow": str(package)}},
        "variants": {"endpoint": {"variants": rival, "kubernetes": {"gateway": gateway}}},
        "variants_with_kserve": {"endpoint": {"variants": rival, "kubernetes": {"serving": "kserve"}}},
        "variants_without_gateway": {"endpoint": {"variants": rival}},
    }


def problems(platform: str, package: Path, data: Path, changes: dict[str, Any]) -> list[str]:
    retraining = {"schedule": "0 3 * * 1", "source": HERE / "model", "entrypoint": "train.py", "data": data}
    model = world_class(platform).needed | changes | {"retraining": retraining | changes.get("retraining", {})}
    args = ModelDeploymentArgs.model_validate(
        {"platform": platform, "package": str(package), "image": "image", **model}
    )
    return prepare("tumours", args, "models.tumours").problems


@pytest.mark.parametrize("feature", sorted(FEATURES))
@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_gap(platform: str, feature: str, packages: Path) -> None:
    found = problems(platform, packages / "good", packages / "data", asking(packages / "good")[feature])
    gap = gap_of(platform, feature)
    if gap is None:
        assert found == []
    else:
        (refused,) = found
        whole = feature if feature in gaps_of(platform) else feature.partition("_with")[0]
        assert f"{platform} can't {FEATURES[whole]}: {gap.reason}" in refused
        assert refused.startswith("models.tumours.")


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_the_table_lists_known_features(platform: str, packages: Path) -> None:
    assert gaps_of(platform).keys() <= FEATURES.keys()
    assert asking(packages / "good").keys() == FEATURES.keys()


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_what_no_table_lists_is_taken(platform: str, packages: Path) -> None:
    assert problems(platform, packages / "good", packages / "data", {}) == []
