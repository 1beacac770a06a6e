"""The commands over versions of data, and the way from a live endpoint to its data."""

import json
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from model_packaging import data_version
from model_packaging.cli import app
from model_packaging.data.trace import trace_package
from model_packaging.jobs.publish import publish_candidate
from model_packaging.package import Package
from model_packaging.publish import publish
from tests.unit.data.conftest import sales
from tests.unit.packaging.conftest import packed


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result.stdout


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    return str(result.exception)


def test_record_show_and_diff(csv: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    printed = run("data", "record", str(csv), "--name", "sales", "--time", "day", "--output", str(first)).strip()
    assert printed == json.loads(first.read_bytes())["digest"] == data_version(csv, name="x")["digest"]
    assert json.loads(first.read_bytes())["origin"] == str(csv)
    sales(1000, shift=20).to_csv(csv, index=False)
    run("data", "record", str(csv), "--name", "sales", "--output", str(second), "--parent", str(first))
    assert json.loads(second.read_bytes())["parent"] == printed
    shown = run("data", "show", str(second))
    assert f"parent       {printed}" in shown and "rows         1,000" in shown
    told = run("data", "diff", str(first), str(second))
    assert next(line for line in told.splitlines() if "PSI" in line).startswith("price: PSI")
    assert json.loads(run("data", "diff", str(first), str(csv), "--json"))["distribution"]["price"]["level"] == "major"


def test_two_folders_of_parquet_are_compared_from_the_command_line(tmp_path: Path) -> None:
    for folder, shift in (("old", 0), ("new", 20)):
        (tmp_path / folder).mkdir()
        for part in range(2):
            sales(1000, shift, seed=part).to_parquet(tmp_path / folder / f"part-{part}.parquet")
    told = run("data", "diff", str(tmp_path / "old"), str(tmp_path / "new")).splitlines()
    assert told[0] == "rows: 2,000 → 2,000" and told[1].startswith("price: PSI ") and ", major; mean " in told[1]
    assert told[2:] == ["day: PSI 0, stable", "flag: PSI 0, stable", "plan: PSI 0, stable"]
    found = json.loads(run("data", "diff", str(tmp_path / "old"), str(tmp_path / "new"), "--json"))
    assert found["rows"] == [2000, 2000] and found["distribution"]["price"]["level"] == "major"
    assert run("data", "diff", str(tmp_path / "old"), str(tmp_path / "old")).strip() == "the same content"


def test_a_package_or_the_data_itself_is_a_version_too(csv: Path, churn: Package) -> None:
    assert churn.data["digest"] in run("data", "show", str(churn.path))
    assert json.loads(run("data", "show", str(csv), "--json"))["rows"] == 1000
    assert refused("data", "show", "nothing.csv") == "no such data file: nothing.csv"


def test_a_file_that_is_no_version_is_refused_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "version.json"
    path.write_text('{"digest": "md5:1", "rows": -1}')
    text = refused("data", "show", str(path))
    assert "digest" in text and "rows" in text and "name" in text


def test_croissant_says_what_the_specification_asks_for(csv: Path) -> None:
    document = json.loads(run("data", "show", str(csv), "--croissant"))
    assert document["@type"] == "sc:Dataset"
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    [file] = document["distribution"]
    assert file["@type"] == "cr:FileObject" and file["encodingFormat"] == "text/csv"
    assert file["sha256"] == data_version(csv, name="x")["files"][0]["sha256"]
    [rows] = document["recordSet"]
    fields = {field["name"]: field for field in rows["field"]}
    assert {name: field["dataType"] for name, field in fields.items()} == {
        "day": "sc:Text", "price": "sc:Float", "flag": "sc:Integer", "plan": "sc:Text", "mail": "sc:Text",
    }  # fmt: skip
    identifiers = {file["@id"]}
    for field in rows["field"]:
        assert field["source"]["fileObject"]["@id"] in identifiers
        assert field["source"]["extract"]["column"] == field["name"]


@pytest.mark.parametrize("name", ["sales.csv", "sales.parquet"])
def test_croissants_own_library_loads_a_record(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    import mlcroissant

    path = tmp_path / name
    table = sales(20)
    table.to_parquet(path) if name.endswith(".parquet") else table.to_csv(path, index=False)
    (tmp_path / "croissant.json").write_text(run("data", "show", str(path), "--croissant"))
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")  # raises where the document has errors
    assert "not standard" not in caplog.text
    record = next(iter(dataset.records("rows")))
    assert (record["rows/price"], record["rows/plan"]) == (table["price"][0], table["plan"][0].encode())


# trace


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory, churn: Package) -> Package:
    data = data_version(sales(), name="sales", time="day", origin="s3://lake/sales", parent=churn.data["digest"])
    return packed(tmp_path_factory.mktemp("packages") / "child", data=data)


def lineage(bucket: str, package: Package, parent: str | None) -> None:
    """As `modelberth job publish` writes it."""
    key = f"candidates/churn/{package.digest.removeprefix('sha256:')}.json"
    record = {"lineage": {"parent": parent, "data": package.data["digest"], "execution": "arn:aws:sagemaker:run-7"}}
    put(bucket, key, json.dumps(record).encode())


def put(bucket: str, key: str, content: bytes) -> None:
    s3: Any = boto3.client("s3")
    s3.put_object(Bucket=bucket.removeprefix("s3://"), Key=key, Body=content)


@pytest.fixture
def bucket(aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket of the test's own: moto keeps what others wrote for as long as the process."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    name = f"models-{uuid.uuid4()}"
    s3: Any = boto3.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return f"s3://{name}"


def serve(address: str, name: str, **environment: str) -> None:
    folder, _, digest = address.partition("@")
    sagemaker: Any = boto3.client("sagemaker")
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/served",
        PrimaryContainer={
            "Image": "modelberth:1",
            "Environment": environment or {"MODELBERTH_PACKAGE_DIGEST": digest},
            "ModelDataSource": {
                "S3DataSource": {"S3Uri": f"{folder}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            },
        },
    )
    variant = {"VariantName": "blue", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_from_the_endpoint_to_the_data(bucket: str, churn: Package, child: Package) -> None:
    publish(churn, bucket)
    address = publish(child, bucket)
    lineage(bucket, child, churn.digest)
    serve(address, "churn-live")
    lines = run("trace", "churn-live").splitlines()
    assert lines[0] == "variant      blue"
    assert lines[1] == f"package      churn {child.digest}"
    assert f"  data       sales {child.data['digest']}, 1,000 rows, 2026-01-01 to 2026-02-11" in lines
    assert "  origin     s3://lake/sales" in lines and f"  follows    {churn.digest}" in lines
    assert lines[-3] == f"package      churn {churn.digest}"
    assert lines[-1].startswith(f"  data       customers {churn.data['digest']}")
    [served] = json.loads(run("trace", "churn-live", "--json"))
    assert [one["digest"] for one in served["line"]] == [child.digest, churn.digest]


def test_a_retrained_candidate_is_traced_to_its_code_its_data_and_its_parent(
    bucket: str, churn: Package, child: Package
) -> None:
    def retrained(package: Package, champion: str | None, **known: str) -> str:
        verdict = {"digest": package.digest, "passed": True, "champion": champion}
        return publish_candidate(package, verdict, bucket, "churn", known)

    first = retrained(churn, None, given_data=churn.data["digest"], execution="run-1")
    code, given = "sha256:" + "c" * 64, "sha256:" + "d" * 64
    second = retrained(
        child,
        churn.digest,
        given_data=given,
        code=code,
        code_version="c0ffee",
        entrypoint="train.py",
        execution="run-2",
    )
    serve(second, "retrained")
    assert run("trace", "retrained").splitlines() == [
        "variant      blue",
        f"package      churn {child.digest}",
        f"  at         {second}",
        f"  data       sales {child.data['digest']}, 1,000 rows, 2026-01-01 to 2026-02-11",
        "  origin     s3://lake/sales",
        f"  data from  {churn.data['digest']}",
        f"  trained on {given}",
        f"  code       {code}, c0ffee",
        "  made by    run-2",
        f"  follows    {churn.digest}",
        f"package      churn {churn.digest}",
        f"  at         {first}",
        f"  data       customers {churn.data['digest']}, 400 rows",  # what it was given, so not told twice
        "  made by    run-1",
    ]


def test_a_line_ends_where_a_parent_is_gone_or_comes_again(bucket: str, churn: Package, child: Package) -> None:
    address = publish(child, bucket)
    lineage(bucket, child, "sha256:" + "0" * 64)
    [only] = trace_package(address)
    assert only.lineage["parent"] == "sha256:" + "0" * 64
    lineage(bucket, child, child.digest)
    assert len(trace_package(address)) == 1
    lineage(bucket, child, churn.digest)
    publish(churn, bucket)
    lineage(bucket, churn, child.digest)
    assert [one.digest for one in trace_package(address)] == [child.digest, churn.digest]


def test_a_package_on_this_machine_is_traced_too(churn: Package) -> None:
    assert churn.data["digest"] in run("trace", str(churn.path))


def test_what_cannot_be_traced_is_said(bucket: str, child: Package) -> None:
    assert refused("trace", "no-such-endpoint").startswith("cannot trace the endpoint no-such-endpoint: ")
    address = publish(child, bucket)
    serve(address, "foreign", OTHER="1")
    assert refused("trace", "foreign") == "the variant blue of foreign serves no package: foreign"
    key = f"packages/churn/{child.digest.removeprefix('sha256:')}/data.json"
    put(bucket, key, b"{}")
    assert refused("trace", address).startswith(f"data.json: not the one that {bucket}/packages/churn/")
