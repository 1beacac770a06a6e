"""Pipeline jobs of Vertex AI: a compiled pipeline's containers really run, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from sandbox.google.store import Projects
from tests.unit.google_emulator.conftest import PROJECT, PYTHON, bucket_for_programs, point_aiplatform, wait_for

PARENT = f"projects/{PROJECT}/locations/europe-west4"
ENDED = {"PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED"}

WRITE = "import sys, pathlib; p = pathlib.Path(sys.argv[2]); p.parent.mkdir(parents=True, exist_ok=True); "


def component(label: str, inputs: dict[str, str], outputs: dict[str, str], **more: Any) -> dict[str, Any]:
    def kinds(given: dict[str, str]) -> dict[str, Any]:
        return {
            "parameters": {name: {"parameterType": kind} for name, kind in given.items() if kind != "artifact"},
            "artifacts": {
                name: {"artifactType": {"schemaTitle": "system.Dataset"}}
                for name, kind in given.items()
                if kind == "artifact"
            },
        }

    return {"executorLabel": label, "inputDefinitions": kinds(inputs), "outputDefinitions": kinds(outputs), **more}


def program(text: str, *arguments: str) -> dict[str, Any]:
    return {"container": {"image": PYTHON, "command": ["python3", "-c", text], "args": list(arguments)}}


def pipeline(tasks: dict[str, Any], components: dict[str, Any], executors: dict[str, Any], **more: Any) -> Any:
    return {
        "pipelineInfo": {"name": "tested"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.7.0",
        "root": {"dag": {"tasks": tasks}, **more},
        "components": components,
        "deploymentSpec": {"executors": executors},
    }


def task(name: str, after: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    found = {"taskInfo": {"name": name}, "componentRef": {"name": f"comp-{name}"}, **more}
    return found | ({"dependentTasks": list(after)} if after else {})


TWO = pipeline(
    {
        "make": task(
            "make",
            inputs={"parameters": {"rows": {"componentInputParameter": "rows"}}},
        ),
        "use": task(
            "use",
            inputs={
                "parameters": {
                    "count": {"taskOutputParameter": {"producerTask": "make", "outputParameterKey": "count"}},
                    "text": {"runtimeValue": {"constant": "of {{$.inputs.parameters['rows']}}"}},
                },
                "artifacts": {"data": {"taskOutputArtifact": {"producerTask": "make", "outputArtifactKey": "data"}}},
            },
        ),
    },
    {
        "comp-make": component(
            "exec-make", {"rows": "NUMBER_INTEGER"}, {"count": "NUMBER_INTEGER", "data": "artifact"}
        ),
        "comp-use": component(
            "exec-use",
            {"count": "NUMBER_INTEGER", "text": "STRING", "data": "artifact"},
            {"told": "STRING"},
        ),
    },
    {
        "exec-make": program(
            "import sys, pathlib\n"
            "for path, text in ((sys.argv[2], sys.argv[1]), (sys.argv[3], 'row\\n' * int(sys.argv[1]))):\n"
            "    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)\n"
            "    pathlib.Path(path).write_text(text)\n",
            "{{$.inputs.parameters['rows']}}",
            "{{$.outputs.parameters['count'].output_file}}",
            "{{$.outputs.artifacts['data'].path}}",
        ),
        "exec-use": program(
            WRITE + "rows = len(open(sys.argv[1]).readlines()); p.write_text(f'{rows} {sys.argv[3]} {sys.argv[4]}')",
            "{{$.inputs.artifacts['data'].path}}",
            "{{$.outputs.parameters['told'].output_file}}",
            "{{$.inputs.parameters['count']}}",
            "{{$.inputs.parameters['text']}}",
        ),
    },
    inputDefinitions={"parameters": {"rows": {"parameterType": "NUMBER_INTEGER", "defaultValue": 2}}},
)


@pytest.fixture(scope="module")
def bucket(emulator: Handle) -> Any:
    return bucket_for_programs(emulator, "pipelines")


@pytest.fixture
def locations(discovery: Any, bucket: Any) -> Any:
    return discovery("aiplatform", "v1").projects().locations()


def body(spec: Any, **config: Any) -> dict[str, Any]:
    return {
        "displayName": "tested",
        "pipelineSpec": spec,
        "runtimeConfig": {"gcsOutputDirectory": "gs://pipelines/root", **config},
    }


def ended(locations: Any, name: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        job = locations.pipelineJobs().get(name=name).execute()
        return job if job["state"] in ENDED else None

    found = wait_for(probe, 60)
    assert found is not None
    return found


def run(locations: Any, spec: Any, **config: Any) -> dict[str, Any]:
    made = locations.pipelineJobs().create(parent=PARENT, body=body(spec, **config)).execute()
    return ended(locations, made["name"])


def details(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["taskName"]: one for one in job["jobDetail"]["taskDetails"]}


def states(job: dict[str, Any]) -> dict[str, str]:
    return {name: one["state"] for name, one in details(job).items()}


def test_what_a_task_gives_the_next_one_gets(emulator: Handle, locations: Any, bucket: Any) -> None:
    job = run(locations, TWO, parameterValues={"rows": 3})
    assert job["state"] == "PIPELINE_STATE_SUCCEEDED", job
    found = details(job)
    assert states(job) == {"tested": "SUCCEEDED", "make": "SUCCEEDED", "use": "SUCCEEDED"}
    assert found["make"]["parentTaskId"] == found["tested"]["taskId"]
    assert found["make"]["execution"]["metadata"] == {"input:rows": 3, "output:count": 3}
    assert found["use"]["execution"]["metadata"]["output:told"] == "3 3 of 3"
    [artifact] = found["make"]["outputs"]["data"]["artifacts"]
    job_id, task_id = job["name"].rpartition("/")[2], found["make"]["taskId"]
    assert artifact["uri"] == f"gs://pipelines/root/{job_id}/{task_id}/data"
    assert bucket.blob(f"root/{job_id}/{task_id}/data").download_as_text() == "row\n" * 3
    assert found["use"]["inputs"]["data"]["artifacts"][0]["uri"] == artifact["uri"]
    main = locations.customJobs().get(name=found["use"]["executorDetail"]["containerDetail"]["mainJob"]).execute()
    assert main["state"] == "JOB_STATE_SUCCEEDED"
    listing = locations.pipelineJobs().list(parent=PARENT, filter='display_name="tested"').execute()
    assert "jobDetail" not in listing["pipelineJobs"][0]
    assert emulator.get("processes") == []


FAILS = "import sys; sys.exit(5)"


def three(**more: Any) -> Any:
    """`fails`, `after`, which needs it, and `other`, which does not; `cleans` comes after both however they end."""
    executors = {"exec-fails": program(FAILS), "exec-after": program("pass"), "exec-other": program("pass")}
    tasks = {
        "fails": task("fails", **more),
        "after": task("after", ("fails",)),
        "other": task("other"),
        "cleans": task(
            "cleans",
            ("after", "other"),
            triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
            inputs={"parameters": {"status": {"taskFinalStatus": {"producerTask": "fails"}}}},
        ),
    }
    executors["exec-cleans"] = program(
        "import sys, json; sys.exit(json.loads(sys.argv[1])['state'] != 'FAILED')", "{{$.inputs.parameters['status']}}"
    )
    names = {name: {"status": "STRUCT"} if name == "cleans" else {} for name in tasks}
    components = {f"comp-{name}": component(f"exec-{name}", inputs, {}) for name, inputs in names.items()}
    return pipeline(tasks, components, executors)


def test_a_failed_task_keeps_those_that_need_it_from_running(locations: Any) -> None:
    job = run(locations, three(retryPolicy={"maxRetryCount": 2}))
    assert job["state"] == "PIPELINE_STATE_FAILED" and job["error"]["code"] == 9
    assert "The DAG failed because some tasks failed. The failed tasks are: [fails]." in job["error"]["message"]
    assert states(job) == {
        "tested": "FAILED",
        "fails": "FAILED",
        "after": "NOT_TRIGGERED",
        "other": "SUCCEEDED",
        "cleans": "SUCCEEDED",
    }
    fails = details(job)["fails"]
    assert "exited with a non-zero status of 5" in fails["error"]["message"]
    # The first attempt and two more.
    assert len(fails["executorDetail"]["containerDetail"]["failedMainJobs"]) == 3


def test_a_condition_decides_over_a_part_of_the_pipeline(locations: Any) -> None:
    inner = {"dag": {"tasks": {"inner": task("inner")}}}
    inner["inputDefinitions"] = {"parameters": {"pipelinechannel--go": {"parameterType": "STRING"}}}
    condition = {"condition": "inputs.parameter_values['pipelinechannel--go'] == 'yes'"}
    channel = {"parameters": {"pipelinechannel--go": {"componentInputParameter": "go"}}}
    spec = pipeline(
        {"condition-1": {"componentRef": {"name": "comp-part"}, "inputs": channel, "triggerPolicy": condition}},
        {"comp-part": inner, "comp-inner": component("exec-inner", {}, {})},
        {"exec-inner": program("pass")},
        inputDefinitions={"parameters": {"go": {"parameterType": "STRING"}}},
    )
    assert states(run(locations, spec, parameterValues={"go": "no"})) == {
        "tested": "SUCCEEDED",
        "condition-1": "NOT_TRIGGERED",
    }
    assert states(run(locations, spec, parameterValues={"go": "yes"}))["inner"] == "SUCCEEDED"


def test_the_same_task_is_not_run_twice_where_it_may_be_cached(locations: Any) -> None:
    spec = json.loads(json.dumps(TWO))
    spec["root"]["dag"]["tasks"]["make"]["cachingOptions"] = {"enableCache": True}
    assert states(run(locations, spec, parameterValues={"rows": 7}))["make"] == "SUCCEEDED"
    again = run(locations, spec, parameterValues={"rows": 7})
    assert states(again)["make"] == "SKIPPED" and states(again)["use"] == "SUCCEEDED"
    assert states(run(locations, spec, parameterValues={"rows": 8}))["make"] == "SUCCEEDED"


def test_a_cancelled_pipeline_ends_its_jobs(emulator: Handle, locations: Any) -> None:
    spec = pipeline(
        {"long": task("long"), "later": task("later", ("long",))},
        {"comp-long": component("exec-long", {}, {}), "comp-later": component("exec-long", {}, {})},
        {"exec-long": program("import time; time.sleep(60)")},
    )
    made = locations.pipelineJobs().create(parent=PARENT, body=body(spec), pipelineJobId="long-one").execute()
    assert made["name"].endswith("/pipelineJobs/long-one")
    wait_for(lambda: emulator.get("processes"))
    with pytest.raises(HttpError, match="cancel it before"):
        locations.pipelineJobs().delete(name=made["name"]).execute()
    locations.pipelineJobs().cancel(name=made["name"], body={}).execute()
    job = ended(locations, made["name"])
    assert (job["state"], job["error"]["code"]) == ("PIPELINE_STATE_CANCELLED", 1)
    assert states(job) == {"tested": "CANCELLED", "long": "CANCELLED"}
    assert emulator.get("processes") == []


def test_a_command_can_depend_on_whether_an_input_is_there(locations: Any) -> None:
    words = [
        '{"IfPresent": {"InputName": "name", "Then": ["--name", "{{$.inputs.parameters[\'name\']}}"], "Else": "none"}}',
        '{"Concat": ["a-", "{{$.pipeline_job_name}}"]}',
    ]
    text = "import sys; from pathlib import Path; p = Path(sys.argv[1]); p.parent.mkdir(parents=True, exist_ok=True); "
    text += "p.write_text(' '.join(sys.argv[2:]))"
    made = component("exec-tell", {"name": "STRING"}, {"told": "STRING"})
    made["inputDefinitions"]["parameters"]["name"]["isOptional"] = True
    spec = pipeline(
        {"tell": task("tell", inputs={"parameters": {"name": {"componentInputParameter": "name"}}})},
        {"comp-tell": made},
        {"exec-tell": program(text, "{{$.outputs.parameters['told'].output_file}}", *words)},
        inputDefinitions={"parameters": {"name": {"parameterType": "STRING", "isOptional": True}}},
    )
    for given, said in (({"name": "x"}, "--name x"), ({}, "none")):
        job = run(locations, spec, parameterValues=given)
        told = details(job)["tell"]["execution"]["metadata"]["output:told"]
        assert told == f"{said} a-{job['name'].rpartition('/')[2]}"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda spec: spec["components"].pop("comp-use"), "Its component is not in the spec"),
        (lambda spec: spec["root"]["dag"]["tasks"]["make"].update(dependentTasks=["use"]), "depend on each other"),
        (lambda spec: spec["root"]["dag"]["tasks"]["make"].update(dependentTasks=["none"]), "no task of the same DAG"),
        (lambda spec: spec["deploymentSpec"]["executors"].pop("exec-use"), "Its executor exec-use is not in the spec"),
        (lambda spec: spec["root"]["inputDefinitions"].clear(), "The pipeline has no parameter rows"),
        (lambda spec: spec["root"]["dag"]["tasks"]["make"].update(parameterIterator={}), "does not emulate loops"),
    ],
)
def test_a_pipeline_that_cannot_run_is_refused(locations: Any, change: Any, text: str) -> None:
    spec = json.loads(json.dumps(TWO))
    change(spec)
    with pytest.raises(HttpError, match=text):
        locations.pipelineJobs().create(parent=PARENT, body=body(spec, parameterValues={"rows": 1})).execute()


@pytest.fixture
def vertex(emulator: Handle, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # The library looks for the bucket of the pipeline's root by itself.
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    # It asks Google itself, over gRPC, for the number of the project that owns the bucket.
    number = "google.cloud.aiplatform.utils.resource_manager_utils.get_project_number"
    monkeypatch.setattr(number, lambda project, credentials=None: Projects().number(project))
    point_aiplatform(emulator, credentials)
    yield aiplatform
    aiplatform.initializer.global_config.__init__()


def test_the_library_runs_a_compiled_pipeline(vertex: Any, locations: Any, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(TWO))
    job = vertex.PipelineJob("tested", str(path), pipeline_root="gs://pipelines/lib", parameter_values={"rows": 1})
    job.submit(service_account="pipeline@test-project.iam.gserviceaccount.com")
    ended(locations, job.resource_name)
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED"
    assert {one.task_name for one in job.task_details} == {"tested", "make", "use"}
    job.delete()
    with pytest.raises(HttpError, match="does not exist"):
        locations.pipelineJobs().get(name=job.resource_name).execute()
