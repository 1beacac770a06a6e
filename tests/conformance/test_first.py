"""The first deployments of a model: before any package exists, one that does not start, and the first good one."""

import json
import re
from typing import Any

import pytest

from model_packaging.errors import ModelberthError
from tests.conformance.conftest import wait_for
from tests.conformance.test_life import JSON
from tests.conformance.world import BROKEN, MODEL, World

pytestmark = pytest.mark.timeout(600)


def outputs(world: World) -> dict[str, Any]:
    return json.loads(world.stack.outputs())[MODEL]


def test_without_a_package_all_but_the_endpoint_comes_up_and_the_first_candidate_is_trained(world: World) -> None:
    world.configure("none", champion="none")
    world.up()
    found = outputs(world)
    assert found.keys() == {"bucket", "retraining"}
    world.up("--expect-no-changes")
    job = found["retraining"]["job_name"]
    run = world.start_job(job)
    wait_for(lambda: world.runs(job)[run] != "executing", 240, "the first training ends")
    assert world.runs(job)[run] == "succeeded", world.why(job, run)
    bucket = found["bucket"]["url"]
    (digest,) = {key.split("/")[2] for key in world.objects(bucket) if key.startswith(f"packages/{MODEL}/")}
    assert world.is_the_same_model(bucket, digest, "good")


def test_a_first_model_that_does_not_start_is_an_error_with_the_end_of_its_log(world: World) -> None:
    world.configure(BROKEN, champion="none")
    with pytest.raises(ModelberthError) as refused:
        world.up()
    text = str(refused.value)
    assert "does not reproduce its recorded predictions" in text
    assert "Traceback" not in text
    # What the error says to do brings the good model up.
    world.configure("good", champion="none")
    replaced = re.search(r"pulumi up --replace '(urn:pulumi:conformance::modelberth::[^']+)'", text)
    world.up(*(["--replace", replaced.group(1)] if replaced else []))
    endpoint = outputs(world)["endpoint"]["name"]
    examples = world.package("good").examples
    answer = json.loads(world.predict(endpoint, json.dumps({"instances": examples["inputs"]}), JSON, JSON))
    assert [one["label"] for one in answer["predictions"]] == [one["label"] for one in examples["predictions"]]
    world.up("--expect-no-changes")


def test_all_of_it_goes(world: World) -> None:
    world.destroy()
    assert world.everything() == world.before
