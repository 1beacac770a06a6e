"""The life of a model, the same on every platform. The tests go in order: each begins where the last one ended."""

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from model_packaging.errors import ModelberthError
from tests.conformance.conftest import wait_for
from tests.conformance.world import BROKEN, MODEL, World

pytestmark = pytest.mark.timeout(600)
JSON = "application/json"


def ask(world: World, endpoint: str, row: dict[str, Any]) -> dict[str, Any]:
    """One prediction for one row."""
    answer = world.predict(endpoint, json.dumps({"instances": [row]}), JSON, JSON)
    return json.loads(answer)["predictions"][0]


@contextmanager
def traffic(world: World, endpoint: str, rows: list[dict[str, Any]], threads: int = 2) -> Iterator[Counter[str]]:
    """Ask for predictions without pause while the body runs; counts answers, and failures by their text."""
    count: Counter[str] = Counter()
    stopped = threading.Event()

    def work() -> None:
        number = 0
        while not stopped.is_set():
            try:
                ask(world, endpoint, rows[number % len(rows)])
                count["answers"] += 1
            except Exception as error:
                count[f"{type(error).__name__}: {error}"] += 1
            number += 1

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield count
    finally:
        stopped.set()
        for worker in workers:
            worker.join()


def failures(count: Counter[str]) -> dict[str, int]:
    return {text: number for text, number in count.items() if text != "answers"}


def test_up_deploys(world: World) -> None:
    told = world.up()
    assert "errored" not in told


def test_predictions_are_those_of_the_package(world: World, outputs: dict[str, Any]) -> None:
    endpoint, package = outputs["endpoint"], world.package("good")
    assert endpoint["package_digest"] == package.digest
    assert world.running(endpoint["name"]) == [package.digest]
    rows, recorded = package.examples["inputs"], package.examples["predictions"]
    given = json.loads(world.predict(endpoint["name"], json.dumps({"instances": rows}), JSON, JSON))["predictions"]
    lines = world.predict(
        endpoint["name"], "\n".join(json.dumps(row) for row in rows), "application/jsonlines", "application/jsonlines"
    )
    text = io.StringIO()
    columns = [column["name"] for column in package.signature["inputs"]]
    csv.writer(text).writerows([[row[column] for column in columns] for row in rows])
    table = world.predict(endpoint["name"], text.getvalue(), "text/csv", "text/csv")
    for answer, wanted in zip(given, recorded, strict=True):
        assert answer["label"] == wanted["label"]
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)
    assert [json.loads(line)["label"] for line in lines.splitlines()] == [one["label"] for one in recorded]
    assert [line.split(",")[0] for line in table.splitlines()] == [one["label"] for one in recorded]


def test_outputs_are_the_same_on_every_platform(world: World, outputs: dict[str, Any]) -> None:
    assert outputs["endpoint"].keys() == {"name", "platform", "url", "package_digest", "invoke_command"}
    assert outputs["bucket"].keys() == {"url"}
    assert outputs["alarms"].keys() == {"names", "dashboard_url"}
    assert outputs["retraining"].keys() == {"schedule_name", "job_name"}
    assert outputs["alarms"]["names"].keys() == {"latency_p95", "error_rate", "drift.psi", "data.missing_ratio"}


def test_the_bucket_is_private_encrypted_and_versioned(world: World, outputs: dict[str, Any]) -> None:
    facts = world.bucket_facts(outputs["bucket"]["url"])
    assert facts == dict.fromkeys(facts, True)


def test_a_second_up_and_a_refresh_change_nothing(world: World) -> None:
    world.up("--expect-no-changes")
    refresh = ("refresh", "--yes", "--skip-preview", "--suppress-progress", "--diff", "--expect-no-changes")
    world.stack.do(*refresh, quiet=True)


def test_failing_replicas_raise_the_alarm_and_good_traffic_clears_it(world: World, outputs: dict[str, Any]) -> None:
    endpoint, alarm = outputs["endpoint"]["name"], outputs["alarms"]["names"]["error_rate"]
    rows = world.package("good").examples["inputs"]
    with traffic(world, endpoint, rows):
        wait_for(lambda: world.alarm_state(alarm) == "OK", 60, "error_rate is OK under good traffic")

        def broken() -> bool:
            world.break_replicas(endpoint)
            return world.alarm_state(alarm) == "ALARM"

        try:
            wait_for(broken, 60 * world.patience, "error_rate fires while replicas fail")
        finally:
            # The tests that follow begin with replicas that answer, whatever becomes of this one.
            world.heal_replicas(endpoint)
        wait_for(lambda: world.alarm_state(alarm) == "OK", 120 * world.patience, "error_rate recovers")
    for state in ("ALARM", "OK"):
        wait_for(
            lambda state=state: any(subject.startswith(state) and alarm in subject for subject in world.told()),
            30 * world.patience,
            f"the subscriber hears {state}",
        )


def test_drift_fires_its_alarm_which_starts_retraining(world: World, outputs: dict[str, Any]) -> None:
    endpoint, names = outputs["endpoint"]["name"], outputs["alarms"]["names"]
    job, monitor = outputs["retraining"]["job_name"], f"{names['drift.psi'].removesuffix('-drift-psi')}-monitor"
    assert world.runs(job) == {}
    rows = [row | {"mean_radius": row["mean_radius"] * 3} for row in world.package("good").examples["inputs"]]
    bucket = outputs["bucket"]["url"]
    before = set(world.objects(bucket))
    world.predict(endpoint, json.dumps({"instances": rows * (400 // len(rows) + 1)}), JSON, JSON)
    wait_for(
        lambda: any(key.startswith("capture/") for key in set(world.objects(bucket)) - before), 90, "captured traffic"
    )
    run = world.start_job(monitor)
    wait_for(lambda: world.runs(monitor)[run] != "executing", 120, "the monitor ends")
    assert world.runs(monitor)[run] == "succeeded", world.why(monitor, run)
    wait_for(lambda: world.alarm_state(names["drift.psi"]) == "ALARM", 60, "the drift alarm fires")
    assert world.alarm_state(names["data.missing_ratio"]) != "ALARM"
    assert any(key.startswith(f"monitoring/{MODEL}/") and key.endswith("report.html") for key in world.objects(bucket))
    (started,) = wait_for(lambda: world.runs(job), 60, "retraining starts")
    wait_for(lambda: world.runs(job)[started] != "executing", 240, "retraining ends")
    assert world.runs(job)[started] == "succeeded", world.why(job, started)
    # The same script on the same data makes the same model: the candidate is the champion again.
    (record,) = [
        key for key in world.objects(bucket) if key.startswith(f"candidates/{MODEL}/") and key.endswith(".json")
    ]
    assert world.is_the_same_model(bucket, record.split("/")[-1].removesuffix(".json"), "good")


def test_a_worse_model_is_refused_before_anything_is_touched(world: World, outputs: dict[str, Any]) -> None:
    before = world.everything()
    world.configure("worse")
    with pytest.raises(ModelberthError) as refused:
        world.up()
    text = str(refused.value)
    assert "Pulumi.conformance.yaml: modelberth:models.tumours.gate.metrics.roc_auc.min: roc_auc is 0.7" in text
    assert "must be at least 0.9" in text
    assert "worse than the champion's" in text
    assert "Traceback" not in text
    assert world.everything() == before
    assert world.running(outputs["endpoint"]["name"]) == [world.package("good").digest]


def test_an_update_under_load_loses_no_request(world: World, outputs: dict[str, Any]) -> None:
    endpoint = outputs["endpoint"]["name"]
    world.configure("better")
    with traffic(world, endpoint, world.package("good").examples["inputs"]) as count:
        world.up()
    assert failures(count) == {}
    assert count["answers"] > 20
    assert world.running(endpoint) == [world.package("better").digest]
    row, recorded = (world.package("better").examples[key][0] for key in ("inputs", "predictions"))
    assert ask(world, endpoint, row)["probabilities"] == pytest.approx(recorded["probabilities"], abs=1e-6)


def test_a_scaled_endpoint_moves_to_larger_machines_and_is_scaled_again(world: World, outputs: dict[str, Any]) -> None:
    endpoint, usual = outputs["endpoint"]["name"], world.model("better")["endpoint"]
    assert world.scaled(endpoint) is None
    scaled = usual | {"scale": {"min": 2, "max": 4}, "rollout": {"bake": "1m"}}
    world.configure("better", endpoint=scaled)
    world.up()
    assert world.scaled(endpoint) == (2, 4)
    world.configure("better", endpoint=scaled | {"compute": world.larger})
    with traffic(world, endpoint, world.package("good").examples["inputs"]) as count:
        world.up()
    assert failures(count) == {}
    assert world.scaled(endpoint) == (2, 4)
    world.up("--expect-no-changes")
    world.configure("better")
    world.up()
    assert world.scaled(endpoint) is None


def test_a_slow_model_is_rolled_back_in_its_canary_and_up_says_so(world: World, outputs: dict[str, Any]) -> None:
    endpoint, alarm = outputs["endpoint"]["name"], outputs["alarms"]["names"]["latency_p95"]
    wait_for(lambda: world.alarm_state(alarm) != "ALARM", 60, "latency is fine before")
    world.configure("slow")
    with (
        traffic(world, endpoint, world.package("good").examples["inputs"]) as count,
        pytest.raises(ModelberthError) as refused,
    ):
        world.up()
    assert f"endpoint {endpoint} was rolled back" in str(refused.value)
    assert alarm in str(refused.value)
    assert failures(count) == {}
    assert world.running(endpoint) == [world.package("better").digest]
    world.configure("better")
    world.up("--refresh")
    world.up("--expect-no-changes")
    assert world.running(endpoint) == [world.package("better").digest]


def test_a_model_that_does_not_start_leaves_the_old_one_and_shows_its_log(
    world: World, outputs: dict[str, Any]
) -> None:
    endpoint = outputs["endpoint"]["name"]
    world.configure(BROKEN)
    with pytest.raises(ModelberthError) as refused:
        world.up()
    assert f"endpoint {endpoint} was rolled back" in str(refused.value)
    assert "does not reproduce its recorded predictions" in str(refused.value)
    row = world.package("better").examples["inputs"][0]
    assert ask(world, endpoint, row)["label"] == world.package("better").examples["predictions"][0]["label"]
    assert world.running(endpoint) == [world.package("better").digest]
    world.configure("better")
    world.up("--refresh")


def test_a_schedule_yields_a_candidate(world: World, outputs: dict[str, Any]) -> None:
    job = outputs["retraining"]["job_name"]
    before = world.runs(job).keys()
    usual = world.model("better")["retraining"]
    world.configure("better", retraining=usual | {"schedule": world.soon, "parameters": {"trees": 30, "depth": 5}})
    world.up()
    started = wait_for(lambda: world.runs(job).keys() - before, 90, "the schedule fires")
    run = next(iter(started))
    world.configure("better")
    world.up()
    wait_for(lambda: world.runs(job)[run] != "executing", 240, "the run ends")
    assert world.runs(job)[run] == "succeeded", world.why(job, run)
    records = [key for key in world.objects(outputs["bucket"]["url"]) if key.startswith(f"candidates/{MODEL}/")]
    assert len([key for key in records if key.endswith(".json")]) == 2
    wait_for(lambda: "executing" not in world.runs(job).values(), 240, "no run is left")


def test_destroy_leaves_nothing(world: World) -> None:
    world.destroy()
    assert world.everything() == world.before
