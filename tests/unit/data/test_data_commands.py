"""The commands over versions of data, and the way from a live endpoint to its data."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from model_packaging import data_version
from model_packaging.cli import app
from model_packaging.data.trace import trace_package
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
def child(tmp_path_factory: pytest.TempPathFactory) -> Package:
    data = data_version(sales(), name="sales", time="day", origin="s3://lake/sales")
    return packed(tmp_path_factory.mktemp("packages") / "child", data=data)


def lineage(bucket: Any, package: Package, parent: str | None) -> None:
    """As `modelberth job publish` writes it."""
    key = f"candidates/churn/{package.digest.removeprefix('sha256:')}.json"
    record = {"lineage": {"parent": parent, "data": package.data["digest"], "execution": "arn:aws:sagemaker:run-7"}}
    bucket.put_object(Bucket="models", Key=key, Body=json.dumps(record).encode())


@pytest.fixture
def models(aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    client: Any = boto3.client("s3")
    if not any(one["Name"] == "models" for one in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client


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


def test_from_the_endpoint_to_the_data(models: Any, churn: Package, child: Package) -> None:
    publish(churn, "s3://models")
    address = publish(child, "s3://models")
    lineage(models, child, churn.digest)
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


def test_a_line_ends_where_a_parent_is_gone_or_comes_again(models: Any, churn: Package, child: Package) -> None:
    address = publish(child, "s3://models")
    lineage(models, child, "sha256:" + "0" * 64)
    [only] = trace_package(address)
    assert only.lineage["parent"] == "sha256:" + "0" * 64
    lineage(models, child, child.digest)
    assert len(trace_package(address)) == 1
    lineage(models, child, churn.digest)
    publish(churn, "s3://models")
    lineage(models, churn, child.digest)
    assert [one.digest for one in trace_package(address)] == [child.digest, churn.digest]


def test_a_package_on_this_machine_is_traced_too(churn: Package) -> None:
    assert churn.data["digest"] in run("trace", str(churn.path))


def test_what_cannot_be_traced_is_said(models: Any, child: Package) -> None:
    assert refused("trace", "no-such-endpoint").startswith("cannot trace the endpoint no-such-endpoint: ")
    address = publish(child, "s3://models")
    serve(address, "foreign", OTHER="1")
    assert refused("trace", "foreign") == "the variant blue of foreign serves no package: foreign"
    key = f"packages/churn/{child.digest.removeprefix('sha256:')}/data.json"
    models.put_object(Bucket="models", Key=key, Body=b"{}")
    assert refused("trace", address).startswith("data.json: not the one that s3://models/packages/churn/")
