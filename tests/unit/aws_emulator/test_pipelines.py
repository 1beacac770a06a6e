"""Pipelines, driven by plain boto3. Sources stand in sandbox/aws/pipelines.py and pipeline_definition.py."""

import json
from typing import Any

import pytest

from sandbox.aws.api import ApiError
from sandbox.aws.pipeline_definition import Unresolved, parse, walk
from tests.unit.aws_emulator.conftest import IMAGE, Account, refused, wait_for
from tests.unit.aws_emulator.test_jobs import body, processing, training

ARN = "arn:aws:sagemaker:eu-central-1:123456789012"


def train_step(account: Account, name: str = "Train", **more: Any) -> dict[str, Any]:
    arguments = training(account, **more)
    del arguments["TrainingJobName"]
    return {"Name": name, "Type": "Training", "Arguments": arguments}


def process_step(account: Account, name: str, source: Any, target: Any, **environment: Any) -> dict[str, Any]:
    arguments = processing(account, Environment=environment)
    del arguments["ProcessingJobName"]
    arguments["ProcessingInputs"][0]["S3Input"]["S3Uri"] = source
    arguments["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = target
    return {"Name": name, "Type": "Processing", "Arguments": arguments}


def fail_step(name: str, message: Any = "no", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}


def definition(*steps: dict[str, Any], parameters: list[dict[str, Any]] | None = None) -> str:
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters or [], "Steps": list(steps)})


def make(account: Account, text: str, **more: Any) -> str:
    name = account.name("pipeline")
    account("sagemaker").create_pipeline(PipelineName=name, PipelineDefinition=text, RoleArn=account.role, **more)
    return name


def start(account: Account, pipeline: str, **more: Any) -> str:
    return str(account("sagemaker").start_pipeline_execution(PipelineName=pipeline, **more)["PipelineExecutionArn"])


def ended(account: Account, execution: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The execution at its end, and its steps by name."""

    def probe() -> dict[str, Any] | None:
        found = account("sagemaker").describe_pipeline_execution(PipelineExecutionArn=execution)
        return found if found["PipelineExecutionStatus"] in {"Succeeded", "Failed", "Stopped"} else None

    told = wait_for(probe)
    steps = account("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
    return told, {one["StepName"]: one for one in steps["PipelineExecutionSteps"]}


def test_an_execution_runs_its_steps_in_order_as_real_jobs(account: Account) -> None:
    results = {
        "Std:Join": {
            "On": "/",
            "Values": ["s3://bucket/run", {"Get": "Execution.PipelineExecutionId"}, {"Get": "Parameters.Number"}],
        }
    }
    report = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}
    # Second stands first: the order is that of the references.
    text = definition(
        process_step(account, "Second", report, results, SUFFIX={"Get": "Parameters.Suffix"}),
        process_step(account, "First", "s3://bucket/text/", "s3://bucket/first"),
        parameters=[
            {"Name": "Suffix", "Type": "String"},
            {"Name": "Number", "Type": "Integer", "DefaultValue": 7},
        ],
    )
    pipeline = make(account, text)
    execution = start(account, pipeline, PipelineParameters=[{"Name": "Suffix", "Value": "!"}])
    told, steps = ended(account, execution)
    assert told["PipelineExecutionStatus"] == "Succeeded", [one.get("FailureReason") for one in steps.values()]
    number = execution.rsplit("/", 1)[-1]
    assert execution == f"{ARN}:pipeline/{pipeline}/execution/{number}" and len(number) == 12
    assert list(steps) == ["Second", "First"]  # the newest first
    assert steps["First"]["EndTime"] <= steps["Second"]["StartTime"]
    job = steps["First"]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    assert job.startswith(f"pipelines-{number}-First-")
    # container.py reads only .txt files, and First's report is one.
    assert body(account, f"s3://bucket/run/{number}/7/report.txt") == b"WORDS!"
    assert account("sagemaker").describe_pipeline_definition_for_execution(PipelineExecutionArn=execution)[
        "PipelineDefinition"
    ] == (text)
    given = account("sagemaker").list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)
    assert given["PipelineParameters"] == [{"Name": "Suffix", "Value": "!"}]
    listed = account("sagemaker").list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]
    assert [(one["PipelineExecutionArn"], one["PipelineExecutionStatus"]) for one in listed] == [
        (execution, "Succeeded")
    ]


def test_a_failed_step_fails_the_execution_and_its_dependents_do_not_start(account: Account) -> None:
    train = train_step(account, HyperParameters={"fail": "yes"})
    model = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    after = process_step(account, "After", model, "s3://bucket/after")
    beside = process_step(account, "Beside", "s3://bucket/text/", "s3://bucket/beside")
    last = process_step(account, "Last", "s3://bucket/text/", "s3://bucket/last") | {"DependsOn": ["After"]}
    told, steps = ended(account, start(account, make(account, definition(train, after, beside, last))))
    assert told["PipelineExecutionStatus"] == "Failed"
    assert told["FailureReason"] == "Step failure: One or multiple steps failed."
    assert {name: one["StepStatus"] for name, one in steps.items()} == {"Train": "Failed", "Beside": "Succeeded"}
    assert steps["Train"]["FailureReason"] == "ClientError: AlgorithmError: the data are too few, exit code: 1"


def test_a_job_that_cannot_be_made_fails_its_step_with_the_services_words(account: Account) -> None:
    step = process_step(account, "Lost", "s3://bucket/text/", "s3://bucket/lost")
    step["Arguments"]["AppSpecification"]["ImageUri"] = IMAGE.replace("test:1", "absent:1")
    _, steps = ended(account, start(account, make(account, definition(step))))
    assert steps["Lost"]["FailureReason"].endswith("absent:1 not found.")
    step = process_step(account, "Wrong", "s3://bucket/text/", "s3://bucket/lost", SUFFIX=["no", "text"])
    _, steps = ended(account, start(account, make(account, definition(step))))
    assert "Environment.SUFFIX" in steps["Wrong"]["FailureReason"]


def test_conditions_choose_by_a_property_file(account: Account) -> None:
    script = 'import sys; open(sys.argv[1] + "/scores.json", "w").write(\'{"auc": [0.7]}\')'
    judge = process_step(account, "Judge", "s3://bucket/text/", "s3://bucket/judged")
    judge["Arguments"]["AppSpecification"] |= {
        "ContainerEntrypoint": ["python3", "-c", script],
        "ContainerArguments": ["/opt/ml/processing/out"],
    }
    judge["PropertyFiles"] = [{"PropertyFileName": "Scores", "OutputName": "out", "FilePath": "scores.json"}]
    auc = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Judge.PropertyFiles.Scores"}, "Path": "auc[0]"}}
    good = {"Type": "GreaterThanOrEqualTo", "LeftValue": auc, "RightValue": {"Get": "Parameters.Least"}}
    text = definition(
        judge,
        {
            "Name": "Good",
            "Type": "Condition",
            "Arguments": {
                "Conditions": [good],
                "IfSteps": [process_step(account, "Keep", "s3://bucket/text/", "s3://bucket/kept")],
                "ElseSteps": [fail_step("Refuse", {"Std:Join": {"On": " ", "Values": ["auc is", auc]}})],
            },
        },
        parameters=[{"Name": "Least", "Type": "Float", "DefaultValue": 0.6}],
    )
    pipeline = make(account, text)
    told, steps = ended(account, start(account, pipeline))
    assert told["PipelineExecutionStatus"] == "Succeeded", [one.get("FailureReason") for one in steps.values()]
    assert steps["Good"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    assert "Keep" in steps and "Refuse" not in steps
    told, steps = ended(account, start(account, pipeline, PipelineParameters=[{"Name": "Least", "Value": "0.9"}]))
    assert told["PipelineExecutionStatus"] == "Failed"
    assert "Keep" not in steps and steps["Refuse"]["FailureReason"] == "auc is 0.7"


def test_a_stopped_execution_stops_its_jobs_and_starts_no_more(account: Account) -> None:
    train = train_step(account, HyperParameters={"seconds": "60"})
    last = fail_step("Last", DependsOn=["Train"])
    pipeline = make(account, definition(train, last))
    execution = start(account, pipeline)
    number = execution.rsplit("/", 1)[-1]
    wait_for(lambda: [one for one in account.handle.get("processes") if number in one["name"] and one["program"]])
    assert refused(account("sagemaker").delete_pipeline, PipelineName=pipeline)[0] == "ConflictException"
    account("sagemaker").stop_pipeline_execution(PipelineExecutionArn=execution)
    told, steps = ended(account, execution)
    assert told["PipelineExecutionStatus"] == "Stopped"
    assert {name: one["StepStatus"] for name, one in steps.items()} == {"Train": "Stopped"}
    assert not [one for one in account.handle.get("processes") if number in one["name"]]
    assert refused(account("sagemaker").stop_pipeline_execution, PipelineExecutionArn=execution)[0] == (
        "ValidationException"
    )


def test_a_repeated_token_answers_once(account: Account) -> None:
    pipeline = make(account, definition(fail_step("No")))
    token = "t" * 32
    first = start(account, pipeline, ClientRequestToken=token)
    assert start(account, pipeline, ClientRequestToken=token) == first
    code, _ = refused(
        account("sagemaker").start_pipeline_execution,
        PipelineName=pipeline,
        ClientRequestToken=token,
        PipelineExecutionDisplayName="other",
    )
    assert code == "ConflictException"
    assert start(account, pipeline) != first


def test_pipelines_are_made_changed_listed_and_deleted(account: Account) -> None:
    sagemaker = account("sagemaker")
    text = definition(fail_step("No"))
    pipeline = make(account, text, Tags=[{"Key": "a", "Value": "1"}], PipelineDescription="d")
    arn = f"{ARN}:pipeline/{pipeline}"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    code, message = refused(
        sagemaker.create_pipeline, PipelineName=pipeline, PipelineDefinition=text, RoleArn=account.role
    )
    assert (code, f"({pipeline}) already exists" in message) == ("ValidationException", True)
    other = definition(fail_step("Other"))
    account("s3").put_object(Bucket="bucket", Key="other.json", Body=other)
    sagemaker.update_pipeline(
        PipelineName=pipeline, PipelineDefinitionS3Location={"Bucket": "bucket", "ObjectKey": "other.json"}
    )
    told = sagemaker.describe_pipeline(PipelineName=arn)
    assert (told["PipelineDefinition"], told["PipelineDescription"], told["PipelineStatus"]) == (other, "d", "Active")
    assert [one["PipelineName"] for one in sagemaker.list_pipelines(PipelineNamePrefix=pipeline)["PipelineSummaries"]]
    execution = start(account, pipeline)
    ended(account, execution)
    sagemaker.delete_pipeline(PipelineName=pipeline)
    for function, name in (
        (sagemaker.describe_pipeline, {"PipelineName": pipeline}),
        (sagemaker.start_pipeline_execution, {"PipelineName": pipeline}),
        (sagemaker.describe_pipeline_execution, {"PipelineExecutionArn": execution}),
    ):
        assert refused(function, **name)[0] == "ResourceNotFound"


def test_roles_and_parameters_are_checked(account: Account) -> None:
    sagemaker, text = account("sagemaker"), definition(fail_step("No"))
    stranger = account.make_role(account.name("stranger"), "lambda.amazonaws.com")
    code, message = refused(
        sagemaker.create_pipeline, PipelineName="stranger", PipelineDefinition=text, RoleArn=stranger
    )
    assert code == "ValidationException" and message.startswith(f"Could not assume role {stranger}.")
    parameters = [
        {"Name": "Count", "Type": "Integer"},
        {"Name": "Kind", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
    ]
    pipeline = make(account, definition(fail_step("No"), parameters=parameters))
    given = [
        {"Name": "Count", "Value": "many"},
        {"Name": "Kind", "Value": "c"},
        {"Name": "Other", "Value": "1"},
    ]
    _, message = refused(sagemaker.start_pipeline_execution, PipelineName=pipeline, PipelineParameters=given)
    assert message == (
        "Invalid pipeline parameters: parameter [Count] is no Integer: many; "
        "parameter [Kind] is none of ['a', 'b']: c; unknown parameter [Other]."
    )
    _, message = refused(sagemaker.start_pipeline_execution, PipelineName=pipeline)
    assert "parameter [Count] has neither a value nor a default" in message


def with_steps(*steps: Any, **more: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps), **more})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is no JSON object"),
        ('{"Version": "2019-01-01"}', "Version must be 2020-12-01, it is '2019-01-01'"),
        ('{"Version": "2020-12-01"}', "Steps is no list"),
        (with_steps(1), "Steps[0]: Name must be"),
        (with_steps(fail_step("a"), fail_step("a")), "step names must be unique, [a] is not"),
        (with_steps({"Name": "a", "Type": "Cook", "Arguments": {}}), "step [a]: Type 'Cook' is not one of"),
        (with_steps({"Name": "a", "Type": "Training"}), "step [a] has no Arguments"),
        (with_steps(fail_step("a", DependsOn=["b"])), "step [a] depends on [b], which is no step"),
        (with_steps(fail_step("a", DependsOn="b")), "DependsOn is no list"),
        (with_steps(fail_step("a", {"Get": "Steps.b.X"})), "step [a] depends on [b], which is no step"),
        (with_steps(fail_step("a", {"Get": "Parameters.p"})), "undeclared parameter: Parameters.p"),
        (with_steps(fail_step("a", {"Get": "Execution.Mood"})), "unknown reference: Execution.Mood"),
        (with_steps(fail_step("a", {"Get": 3})), "unknown reference: 3"),
        (with_steps(fail_step("a", DependsOn=["b"]), fail_step("b", DependsOn=["a"])), "in a cycle"),
        (with_steps({"Name": "a", "Type": "Condition", "Arguments": {}}), "step [a] has no Conditions"),
        (with_steps(Parameters=[{"Name": "p", "Type": "Number"}]), "parameter [p]: Type must be one of"),
        (with_steps(Parameters=[{"Name": "p", "Type": "Integer", "DefaultValue": "1"}]), "'1' is no Integer"),
        (with_steps(Parameters={}), "Parameters is no list"),
    ],
)
def test_a_broken_definition_is_refused_with_its_problem(text: str, problem: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert caught.value.code == "ValidationException"
    assert caught.value.message.startswith("Unable to parse pipeline definition: ")
    assert problem in caught.value.message


def test_a_broken_definition_is_refused_by_the_service(account: Account) -> None:
    code, message = refused(
        account("sagemaker").create_pipeline, PipelineName="broken", PipelineDefinition="{", RoleArn=account.role
    )
    assert code == "ValidationException" and "it is not JSON" in message


def test_properties_are_followed_by_member_name_and_index() -> None:
    value = {"Outputs": [{"OutputName": "a-b", "Uri": "x"}, {"OutputName": "c", "Uri": "y"}]}
    assert walk(value, ".Outputs['c'].Uri", "r") == "y"
    assert walk(value, ".Outputs[0].Uri", "r") == "x"
    for path in (".Outputs['z'].Uri", ".Outputs[5]", ".Absent", ".Outputs!"):
        with pytest.raises(Unresolved, match=r"^r "):
            walk(value, path, "r")
