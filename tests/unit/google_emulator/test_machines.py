"""Regions, machines and images that Vertex AI refuses, by Google's discovery client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from sandbox.google.vertex.images import is_training_image
from sandbox.google.vertex.machines import problems
from tests.unit.google_emulator.conftest import PROJECT

PARENT = f"projects/{PROJECT}/locations/europe-west4"


@pytest.mark.parametrize(
    ("spec", "location", "training", "text"),
    [
        ({"machineType": "n1-standard-2"}, "europe-west4", False, None),
        # The two uses have lists of their own.
        ({"machineType": "n1-standard-2"}, "europe-west4", True, "not supported for custom training"),
        ({"machineType": "n1-standard-96"}, "europe-west4", False, "not supported for prediction"),
        ({"machineType": "n1-standard-96"}, "europe-west4", True, None),
        ({"machineType": "ct5lp-hightpu-1t"}, "us-west1", False, None),
        ({"machineType": "ct5lp-hightpu-1t"}, "europe-west4", False, "only available in us-west1"),
        (
            {"machineType": "g2-standard-24", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 2},
            "us-east1",
            False,
            None,
        ),
        (
            {"machineType": "g2-standard-24", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 3},
            "us-east1",
            False,
            "1, 2 are",
        ),
        (
            {"machineType": "g2-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
            "us-east1",
            False,
            "has NVIDIA_L4, not NVIDIA_TESLA_T4",
        ),
        (
            {"machineType": "n1-standard-32", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
            "us-east1",
            False,
            "2, 4 are",
        ),
        (
            {"machineType": "n1-standard-16", "acceleratorType": "NVIDIA_TESLA_V100", "acceleratorCount": 8},
            "us-east1",
            False,
            None,
        ),
        (
            {"machineType": "e2-standard-4", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
            "us-east1",
            False,
            "is not supported on machine type",
        ),
        ({"machineType": "e2-standard-4", "acceleratorCount": 1}, "us-east1", False, "needs an accelerator_type"),
    ],
)
def test_a_machine_is_one_of_the_published(
    spec: dict[str, Any], location: str, training: bool, text: str | None
) -> None:
    found = problems(spec, "machine_spec", location, training=training)
    if text is None:
        assert found == []
    else:
        [(path, why)] = found
        assert path.startswith("machine_spec.") and text in why


@pytest.mark.parametrize(
    ("image", "readable"),
    [
        ("europe-west4-docker.pkg.dev/p/r/image:1", True),
        ("gcr.io/p/image", True),
        ("library/python:3", True),
        ("docker.io/library/python", True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/image:1", False),
        ("quay.io/a/b", False),
        ("localhost/a", False),
    ],
)
def test_training_reads_googles_registries_and_docker_hub(image: str, readable: bool) -> None:
    assert is_training_image(image) is readable


def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(HttpError) as caught:
        call.execute()
    found: dict[str, Any] = json.loads(caught.value.content)["error"]
    return found


def test_a_job_names_each_field_that_cannot_be_had(discovery: Any) -> None:
    jobs = discovery("aiplatform", "v1").projects().locations().customJobs()
    pool = {"machineSpec": {"machineType": "huge-1"}, "containerSpec": {"imageUri": "quay.io/a/b"}}
    error = refused(jobs.create(parent=PARENT, body={"displayName": "j", "jobSpec": {"workerPoolSpecs": [pool]}}))
    fields = [one["field"] for one in error["details"][0]["fieldViolations"]]
    at = "custom_job.job_spec.worker_pool_specs[0]"
    assert fields == [f"{at}.machine_spec.machine_type", f"{at}.container_spec.image_uri"]


def test_a_location_is_one_that_the_description_names(discovery: Any) -> None:
    locations = discovery("aiplatform", "v1").projects().locations()
    assert locations.endpoints().list(parent=PARENT.replace("europe-west4", "us-central1")).execute() == {}
    error = refused(locations.endpoints().list(parent=PARENT.replace("europe-west4", "mars-north1")))
    assert error["status"] == "PERMISSION_DENIED" and "locations/mars-north1" in error["message"]
