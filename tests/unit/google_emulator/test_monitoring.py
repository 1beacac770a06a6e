"""Cloud Monitoring through Google's discovery client, on a clock that runs fast."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from sandbox.google.metrics import Distribution, Point, Series
from sandbox.google.monitoring.aggregation import aggregate, percentile, shape
from sandbox.google.server import Handle, start
from tests.unit.google_emulator.conftest import PROJECT, Hook, wait_for

PARENT = f"projects/{PROJECT}"
SPEED = 300.0
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    handle = start(folder=tmp_path_factory.mktemp("monitoring") / "work", speed=SPEED)
    yield handle
    failures = handle.get("failures")
    handle.stop()
    assert failures == []


@pytest.fixture(scope="module")
def monitoring(discovery: Callable[..., Any]) -> Any:
    return discovery("monitoring", "v3").projects()


@pytest.fixture
def write(monitoring: Any) -> Callable[..., None]:
    def make(metric: str, value: float, **labels: str) -> None:
        series = {
            "metric": {"type": f"custom.googleapis.com/{metric}", "labels": labels},
            "resource": {"type": "global", "labels": {}},
            "points": [
                {"interval": {"endTime": datetime.now(UTC).isoformat()}, "value": {"doubleValue": value}},
            ],
        }
        monitoring.timeSeries().create(name=PARENT, body={"timeSeries": [series]}).execute()

    return make


def filter_of(metric: str) -> str:
    return f'metric.type = "custom.googleapis.com/{metric}" AND resource.type = "global"'


def threshold(metric: str, limit: float = 0.5, duration: str = "0s", **more: Any) -> dict[str, Any]:
    aggregation = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_NEXT_OLDER"}
    return {
        "displayName": f"{metric} is high",
        "conditionThreshold": {
            "filter": filter_of(metric),
            "comparison": "COMPARISON_GT",
            "thresholdValue": limit,
            "duration": duration,
            "aggregations": [aggregation],
            **more,
        },
    }


def policy(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"displayName": "drift", "combiner": "OR", "conditions": list(conditions), **more}


def refused(request: Any, status: int, *texts: str) -> None:
    with pytest.raises(HttpError) as caught:
        request.execute()
    assert caught.value.status_code == status
    for text in texts:
        assert text in caught.value.reason


@pytest.fixture
def create(monitoring: Any, write: Callable[..., None]) -> Iterator[Callable[..., dict[str, Any]]]:
    made: list[str] = []

    def make(body: dict[str, Any]) -> dict[str, Any]:
        found = monitoring.alertPolicies().create(name=PARENT, body=body).execute()
        made.append(found["name"])
        return found

    yield make
    for name in made:
        monitoring.alertPolicies().delete(name=name).execute()


@pytest.fixture
def alerts(monitoring: Any) -> Callable[..., list[dict[str, Any]]]:
    def of(name: str, state: str = "OPEN") -> list[dict[str, Any]]:
        wanted = f'state = "{state}" AND policy.name = "{name}"'
        return monitoring.alerts().list(parent=PARENT, filter=wanted).execute().get("alerts", [])

    return of


def test_an_incident_opens_notifies_and_closes(
    emulator: Handle, monitoring: Any, write: Any, create: Any, alerts: Any, hook: Hook
) -> None:
    channels = [
        monitoring.notificationChannels().create(name=PARENT, body=body).execute()["name"]
        for body in (
            {"type": "webhook_tokenauth", "labels": {"url": f"{hook.url}?auth_token=x"}},
            {"type": "email", "labels": {"email_address": "a@example.com"}, "displayName": "us"},
        )
    ]
    write("drift", 0.1)
    documentation = {"content": "${metric.type} of ${policy.display_name}", "mimeType": "text/markdown"}
    made = create(
        policy(threshold("drift"), notificationChannels=channels, severity="ERROR", documentation=documentation)
    )
    write("drift", 0.9)
    opened = json.loads(hook.got.get(timeout=20)[1])
    assert opened["version"] == "1.2"
    incident = opened["incident"]
    assert {key: incident[key] for key in ("state", "ended_at", "observed_value", "threshold_value", "severity")} == {
        "state": "open",
        "ended_at": None,
        "observed_value": "0.900",
        "threshold_value": "0.5",
        "severity": "Error",
    }
    assert incident["condition"]["name"].startswith(made["name"] + "/conditions/")
    assert incident["documentation"]["content"] == "custom.googleapis.com/drift of drift"
    assert incident["resource"] == {"type": "global", "labels": {"project_id": PROJECT}}
    assert isinstance(incident["scoping_project_number"], int)
    [alert] = alerts(made["name"])
    assert alert["name"] == f"{PARENT}/alerts/{incident['incident_id']}"
    assert alert["policy"]["severity"] == "ERROR"
    assert monitoring.alerts().get(name=alert["name"]).execute() == alert
    write("drift", 0.2)
    closed = json.loads(hook.got.get(timeout=20)[1])["incident"]
    assert closed["incident_id"] == incident["incident_id"]
    assert closed["state"] == "closed" and closed["ended_at"] >= closed["started_at"]
    assert closed["summary"].endswith("returned to normal with a value of 0.200.")
    [alert] = alerts(made["name"], "CLOSED")
    assert alert["closeTime"] > alert["openTime"]
    mails = wait_for(lambda: len([one for one in emulator.get("outbox") if one["type"] == "email"]) == 2)
    assert mails
    refused(monitoring.notificationChannels().delete(name=channels[0]), 400, "alerting policies use it", made["name"])
    monitoring.notificationChannels().delete(name=channels[0], force=True).execute()
    kept = monitoring.alertPolicies().get(name=made["name"]).execute()
    assert kept["notificationChannels"] == [channels[1]]


def test_a_retest_window_wants_all_of_its_values(
    emulator: Handle, monitoring: Any, write: Any, create: Any, alerts: Any
) -> None:
    write("window", 0.0)
    made = create(policy(threshold("window", duration="600s")))

    def alert_after_another_value() -> list[dict[str, Any]]:
        write("window", 1.0)
        return alerts(made["name"])

    began = datetime.fromisoformat(emulator.get("health")["time"])
    [alert] = wait_for(alert_after_another_value)
    opened = datetime.fromisoformat(alert["openTime"].replace("Z", "+00:00"))
    # The window begins with the first value that violates.
    assert opened - began >= timedelta(minutes=10)


def test_missing_data_is_what_the_policy_says(create: Any, write: Any, alerts: Any) -> None:
    write("silent", 1.0)
    kept = create(policy(threshold("silent")))
    inactive = create(
        policy(threshold("silent", duration="60s", evaluationMissingData="EVALUATION_MISSING_DATA_INACTIVE"))
    )
    active = create(
        policy(threshold("silent", 5.0, duration="120s", evaluationMissingData="EVALUATION_MISSING_DATA_ACTIVE"))
    )
    absent = create(
        policy(
            {
                "displayName": "no data",
                "conditionAbsent": {
                    "filter": filter_of("silent"),
                    "duration": "120s",
                    "aggregations": [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"}],
                },
            }
        )
    )
    write("silent", 1.0)
    wait_for(lambda: alerts(kept["name"]))
    assert not alerts(absent["name"])
    wait_for(lambda: alerts(absent["name"]) and alerts(active["name"]))
    # What had its incident keeps it without data.
    assert alerts(kept["name"]) and not alerts(inactive["name"])
    write("silent", 0.0)
    wait_for(lambda: alerts(absent["name"], "CLOSED") and alerts(kept["name"], "CLOSED"))


def test_silence_closes_an_incident(create: Any, write: Any, alerts: Any) -> None:
    write("closes", 1.0)
    made = create(policy(threshold("closes"), alertStrategy={"autoClose": "1800s"}))
    write("closes", 1.0)
    wait_for(lambda: alerts(made["name"]))
    # Half an hour of the emulator's clock.
    wait_for(lambda: alerts(made["name"], "CLOSED"))


def test_a_change_of_its_condition_ends_an_incident(
    monitoring: Any, create: Any, write: Any, alerts: Any, emulator: Handle
) -> None:
    channel = {"type": "email", "labels": {"email_address": "change@example.com"}}
    name = monitoring.notificationChannels().create(name=PARENT, body=channel).execute()["name"]
    write("changed", 1.0)
    made = create(policy(threshold("changed"), notificationChannels=[name]))
    write("changed", 1.0)
    wait_for(lambda: alerts(made["name"]))
    # Another name of the policy changes no condition.
    patched = monitoring.alertPolicies().patch(name=made["name"], updateMask="display_name", body={"displayName": "b"})
    assert patched.execute()["conditions"] == made["conditions"]
    assert alerts(made["name"])
    made["conditions"][0]["conditionThreshold"]["thresholdValue"] = 7.0
    changed = monitoring.alertPolicies().patch(name=made["name"], body=made).execute()
    assert changed["conditions"][0]["name"] == made["conditions"][0]["name"]
    wait_for(lambda: alerts(made["name"], "CLOSED"))
    told = wait_for(
        lambda: [one for one in emulator.get("outbox") if one["channel"] == name and one["state"] == "closed"]
    )
    assert "condition was deleted or modified" in told[0]["message"]
    body = {"enabled": False}
    assert not monitoring.alertPolicies().patch(name=made["name"], updateMask="enabled", body=body).execute()["enabled"]


def test_conditions_are_combined_and_ratios_compared(create: Any, write: Any, alerts: Any) -> None:
    write("errors", 1.0, version="a")
    write("calls", 10.0, version="a")
    ratio = threshold(
        "errors",
        0.2,
        denominatorFilter=filter_of("calls"),
        denominatorAggregations=[{"alignmentPeriod": "600s", "perSeriesAligner": "ALIGN_SUM"}],
    )
    ratio["conditionThreshold"]["aggregations"] = ratio["conditionThreshold"]["denominatorAggregations"]
    lone = create(policy(ratio, combiner="OR"))
    both = create(policy(ratio, threshold("calls", 1e9), combiner="AND"))
    write("errors", 9.0, version="a")
    wait_for(lambda: alerts(lone["name"]))
    assert alerts(lone["name"])[0]["metric"]["labels"] == {"version": "a"}
    assert not alerts(both["name"])


def test_policies_are_refused_by_the_field(monitoring: Any, write: Any) -> None:
    write("known", 1.0)

    def asks(condition: dict[str, Any], **more: Any) -> Any:
        return monitoring.alertPolicies().create(name=PARENT, body=policy(condition, **more))

    at = "alert_policy.conditions[0].condition_threshold"
    without = threshold("known")
    without["conditionThreshold"]["filter"] = 'metric.type = "custom.googleapis.com/known"'
    refused(asks(without), 400, f"Field {at}.filter had an invalid value", 'must specify a restriction on "resource')
    refused(asks(threshold("unknown")), 404, 'Cannot find metric that matches type = "custom.googleapis.com/unknown"')
    refused(asks(threshold("known", duration="90s")), 400, f"{at}.duration", "a multiple of 60 seconds")
    refused(asks(threshold("known", comparison="COMPARISON_GE")), 400, f"{at}.comparison")
    wrong = [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_RATE"}]
    refused(
        asks(threshold("known", aggregations=wrong)), 400, "ALIGN_RATE cannot be applied to metrics with kind GAUGE"
    )
    short = [{"alignmentPeriod": "30s", "perSeriesAligner": "ALIGN_MEAN"}]
    refused(asks(threshold("known", aggregations=short)), 400, f"{at}.aggregations[0].alignment_period")
    field = threshold("known", filter=filter_of("known") + ' AND metrik.labels.a = "b"')
    refused(asks(field), 400, 'invalid field "metrik.labels.a"')
    channel = f"{PARENT}/notificationChannels/1"
    refused(asks(threshold("known"), notificationChannels=[channel]), 400, "notification_channels[0]", channel)
    refused(asks(threshold("known"), combiner="COMBINE_UNSPECIFIED"), 400, "alert_policy.combiner")
    refused(asks(threshold("known"), userLabels={"A": "b"}), 400, "alert_policy.user_labels")
    refused(asks(threshold("known"), alertStrategy={"autoClose": "60s"}), 400, "auto_close", "30 minutes")
    bad = monitoring.notificationChannels().create(name=PARENT, body={"type": "pubsub", "labels": {"topic": "t"}})
    refused(bad, 400, "projects/PROJECT/topics/TOPIC")


def test_a_channel_that_needs_a_code(emulator: Handle, monitoring: Any) -> None:
    channels = monitoring.notificationChannels()
    made = channels.create(name=PARENT, body={"type": "sms", "labels": {"number": "+15550100"}}).execute()
    assert made["verificationStatus"] == "UNVERIFIED"
    channels.sendVerificationCode(name=made["name"], body={}).execute()
    code = next(one["message"] for one in emulator.get("outbox") if one["channel"] == made["name"])
    refused(channels.verify(name=made["name"], body={"code": "G-1"}), 400, "not valid")
    assert channels.verify(name=made["name"], body={"code": code}).execute()["verificationStatus"] == "VERIFIED"
    secret = {"type": "webhook_basicauth", "labels": {"url": "http://127.0.0.1:9", "username": "u", "password": "hide"}}
    assert "hide" not in channels.create(name=PARENT, body=secret).execute()["labels"]["password"][:-4]


def test_series_are_listed_aligned_and_reduced(emulator: Handle, monitoring: Any, write: Any) -> None:
    for value, version in ((1.0, "a"), (3.0, "b")):
        write("listed", value, version=version)
    now = datetime.fromisoformat(emulator.get("health")["time"])
    given = {
        "name": PARENT,
        "filter": filter_of("listed"),
        "interval_startTime": (now - timedelta(minutes=10)).isoformat(),
        "interval_endTime": (now + timedelta(minutes=1)).isoformat(),
    }
    answer = monitoring.timeSeries().list(**given, view="FULL").execute()["timeSeries"]
    assert {one["metric"]["labels"]["version"]: one["points"][0]["value"]["doubleValue"] for one in answer} == {
        "a": 1.0,
        "b": 3.0,
    }
    [summed] = (
        monitoring.timeSeries()
        .list(
            **given,
            aggregation_alignmentPeriod="660s",
            aggregation_perSeriesAligner="ALIGN_MEAN",
            aggregation_crossSeriesReducer="REDUCE_SUM",
            aggregation_groupByFields=["resource.type"],
        )
        .execute()["timeSeries"]
    )
    assert [one["value"] for one in summed["points"]] == [{"doubleValue": 4.0}]
    assert summed["metric"] == {"type": "custom.googleapis.com/listed", "labels": {}}
    descriptor = monitoring.metricDescriptors().get(name=f"{PARENT}/metricDescriptors/custom.googleapis.com/listed")
    assert descriptor.execute()["labels"] == [{"key": "version"}]
    late = {
        "metric": {"type": "custom.googleapis.com/listed"},
        "resource": {"type": "aiplatform.googleapis.com/Endpoint"},
        "points": [{"interval": {"endTime": "2020-01-01T00:00:00Z"}, "value": {"doubleValue": 1}}],
    }
    refused(monitoring.timeSeries().create(name=PARENT, body={"timeSeries": [late]}), 400, "cannot have user-defined")
    late["resource"] = {"type": "global"}
    refused(monitoring.timeSeries().create(name=PARENT, body={"timeSeries": [late]}), 400, "more than 25h in the past")


def test_distributions_have_percentiles_and_cumulative_metrics_rates() -> None:
    buckets = {"explicitBuckets": {"bounds": [0, 100, 200]}}
    spread = Distribution(buckets, (0, 50, 50, 0), mean=100)
    assert percentile([spread], 0.5) == pytest.approx(100)
    assert percentile([spread], 0.95) == pytest.approx(190)
    assert percentile([1, 2, 3, 4, 5], 0.5) == 3
    points = [Point(NOON, NOON + timedelta(minutes=n), 60 * n * n) for n in range(1, 5)]
    restarted = Point(NOON + timedelta(minutes=4), NOON + timedelta(minutes=5), 30)
    series = Series("p", "m", {}, "global", {}, "CUMULATIVE", "INT64", [*points, restarted])
    rate = {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_RATE"}
    [found] = aggregate([series], [rate], [NOON + timedelta(minutes=n) for n in (2, 3, 5)])
    assert [one.value for one in found.points] == [3, 5, 0.5]
    assert (found.kind, found.value_type) == ("GAUGE", "DOUBLE")
    highest = {"alignmentPeriod": "180s", "perSeriesAligner": "ALIGN_MAX"}
    [found] = aggregate([series], [rate, highest], [NOON + timedelta(minutes=4)])
    assert [one.value for one in found.points] == [7]
    with pytest.raises(ValueError, match="ALIGN_MEAN cannot be applied to metrics with kind DELTA and value type DIST"):
        shape("DELTA", "DISTRIBUTION", {"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_MEAN"})


def test_the_project_has_its_descriptors(monitoring: Any, tmp_path: Path) -> None:
    channels = monitoring.notificationChannelDescriptors().list(name=PARENT).execute()["channelDescriptors"]
    assert {"email", "pubsub", "webhook_tokenauth"} <= {one["type"] for one in channels}
    body = {"type": "custom.googleapis.com/made", "metricKind": "GAUGE", "valueType": "DOUBLE"}
    descriptors = monitoring.metricDescriptors()
    made = descriptors.create(name=PARENT, body=body).execute()
    listed = descriptors.list(name=PARENT, filter='metric.type = starts_with("custom.googleapis.com/made")').execute()
    assert listed["metricDescriptors"] == [made]
    descriptors.delete(name=made["name"]).execute()
    refused(descriptors.get(name=made["name"]), 404, "Could not find descriptor")
    refused(descriptors.create(name=PARENT, body={**body, "type": "mine/x"}), 400, "metric_descriptor.type")


def test_a_dashboard_is_replaced_by_who_has_seen_it(discovery: Callable[..., Any]) -> None:
    dashboards = discovery("monitoring", "v1").projects().dashboards()
    chart = {"dataSets": [{"timeSeriesQuery": {"timeSeriesFilter": {"filter": filter_of("charted")}}}]}
    tile = {"xPos": 0, "yPos": 0, "width": 6, "height": 4, "widget": {"title": "drift", "xyChart": chart}}
    body: dict[str, Any] = {"displayName": "model", "mosaicLayout": {"columns": 12, "tiles": [tile]}}
    dashboards.create(parent=PARENT, body=body, validateOnly=True).execute()
    assert dashboards.list(parent=PARENT).execute() == {}
    made = dashboards.create(parent=PARENT, body=body).execute()
    assert made["name"].split("/")[1].isdigit() and made["mosaicLayout"] == body["mosaicLayout"]
    changed = dashboards.patch(name=made["name"], body={**made, "displayName": "other"}).execute()
    assert changed["etag"] != made["etag"]
    refused(dashboards.patch(name=made["name"], body=made), 409, "does not match the current etag")
    assert dashboards.list(parent=PARENT).execute()["dashboards"] == [changed]
    refused(dashboards.create(parent=PARENT, body={"displayName": "x"}), 400, "dashboard.layout", "gridLayout")
    wide = {**tile, "xPos": 8}
    body["mosaicLayout"] = {"columns": 12, "tiles": [tile, wide]}
    refused(dashboards.create(parent=PARENT, body=body), 400, "tiles[1]", "within the 12 columns")
    chart["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]["filter"] = 'metric.typ = "x"'
    refused(
        dashboards.create(parent=PARENT, body=body | {"mosaicLayout": {"columns": 12, "tiles": [tile]}}), 400, "typ"
    )
    dashboards.delete(name=made["name"]).execute()
    refused(dashboards.get(name=made["name"]), 404, "not found")


def test_a_topic_gets_the_incident_from_who_may_publish(
    emulator: Handle, discovery: Callable[..., Any], monitoring: Any, write: Any, create: Any
) -> None:
    pubsub = discovery("pubsub", "v1").projects()
    topic, subscription = f"{PARENT}/topics/alerts", f"{PARENT}/subscriptions/alerts"
    pubsub.topics().create(name=topic, body={}).execute()
    pubsub.subscriptions().create(name=subscription, body={"topic": topic}).execute()
    channel = {"type": "pubsub", "labels": {"topic": topic}}
    name = monitoring.notificationChannels().create(name=PARENT, body=channel).execute()["name"]
    write("published", 1.0)
    create(policy(threshold("published", 5.0, "60s"), notificationChannels=[name]))
    made = create(policy(threshold("published"), notificationChannels=[name]))
    write("published", 1.0)
    [refusal] = wait_for(lambda: [one for one in emulator.get("outbox") if one["channel"] == name])
    assert "lacks roles/pubsub.publisher" in refusal["error"]
    agent = refusal["error"].split()[0]
    binding = {"role": "roles/pubsub.publisher", "members": [agent]}
    pubsub.topics().setIamPolicy(resource=topic, body={"policy": {"bindings": [binding]}}).execute()
    write("published", 0.0)
    [message] = (
        pubsub.subscriptions().pull(subscription=subscription, body={"maxMessages": 1}).execute()["receivedMessages"]
    )
    told = json.loads(base64.b64decode(message["message"]["data"]))
    assert told["version"] == "1.2" and told["incident"]["state"] == "closed"
    assert told["incident"]["condition"]["name"] == made["conditions"][0]["name"]
