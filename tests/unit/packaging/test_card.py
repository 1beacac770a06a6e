"""The card: what it says first, that it knows every alarm, and that a real browser shows all of it."""

import copy
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from modelberth import vocabulary

from model_packaging import ModelberthError
from model_packaging.alarms import ALARM_TEXTS
from model_packaging.card import render
from model_packaging.card.content import checks, lineage, windows
from model_packaging.card.export import FORMATS, export
from model_packaging.card.summary import Finding, ranked, summary
from model_packaging.package import Package


def validation(**changes: Any) -> dict[str, Any]:
    return {
        "metrics": {"roc_auc": {"value": 0.7, "interval": [0.65, 0.75]}, "accuracy": {"value": 0.9}},
        "cross_validation": {"metrics": {"roc_auc": {"mean": 0.8, "std": 0.02}}},
        "curves": {"confusion": {"classes": ["no", "yes"], "matrix": [[85, 5], [5, 5]]}},
        "segments": {
            "plan": {
                "basic": {"rows": 60, "metrics": {"roc_auc": 0.72}},
                "pro": {"rows": 40, "metrics": {"roc_auc": 0.61}},
                "tiny": {"rows": 2, "metrics": {}},
            },
            "region": {"north": {"rows": 100, "metrics": {"roc_auc": 0.7}}},
        },
        "importance": {
            "metric": "roc_auc",
            "features": {"age": {"mean": 0.01, "std": 0.001}, "tenure": {"mean": 0.2, "std": 0.02}},
        },
        **changes,
    }


def test_the_summary_judges() -> None:
    assert summary(validation()) == [
        Finding("roc_auc", "0.7", "95 % interval 0.65 to 0.75; worse than in cross-validation, 0.8 ± 0.02"),
        Finding("accuracy", "0.9", "no better than always answering no, 0.9"),
        Finding("weakest segment", "plan pro", "roc_auc 0.61 on 40 rows; on all 0.7"),
        Finding("leans most on", "tenure", "shuffled, roc_auc drops by 0.2 ± 0.02; then age"),
    ]


def test_of_an_error_the_largest_is_the_weakest() -> None:
    def entry(error: float) -> dict[str, Any]:
        return {"rows": 50, "metrics": {"root_mean_squared_error": error}}

    found = validation(
        metrics={"root_mean_squared_error": {"value": 3.0}},
        cross_validation={"metrics": {"root_mean_squared_error": {"mean": 5.0, "std": 0.5}}},
        segments={"plan": {"basic": entry(2.0), "pro": entry(4.0)}},
        curves={},
        importance={},
    )
    assert [(item.label, item.value) for item in summary(found)] == [
        ("root_mean_squared_error", "3"),
        ("weakest segment", "plan pro"),
    ]
    assert summary(found)[0].note == "better than in cross-validation, 5 ± 0.5"
    assert ranked(found["segments"]["plan"], "root_mean_squared_error") == ["pro", "basic"]


@pytest.mark.parametrize("document", [{}, {"metrics": {"own": 3}}, {"metrics": {"f1": None}}])
def test_what_is_not_told_is_not_said(document: dict[str, Any]) -> None:
    assert summary(document) == []


def test_the_weakest_segments_are_drawn_when_there_are_many(original: Package) -> None:
    segments = {f"s{number:02}": {"rows": 40, "metrics": {"roc_auc": number / 100}} for number in range(30)}
    documents = {**original.documents, "validation.json": validation(segments={"plan": segments})}
    page = render(dict(original.manifest), documents, "")["card.html"]
    drawn = page[page.index('aria-label="roc_auc by plan"') :].partition("</figure>")[0]
    assert ">s00<" in drawn and ">s19<" in drawn
    assert ">s20<" not in drawn


def test_metrics_alone_make_a_card(original: Package) -> None:
    documents = {**original.documents, "validation.json": {"metrics": {"f1": 0.8125}}}
    card = render(dict(original.manifest), documents, "")
    assert all("0.8125" in text for text in card.values())


def test_every_alarm_of_a_stack_is_explained(original: Package) -> None:
    assert list(ALARM_TEXTS) == list(vocabulary.ALARMS)
    page = (original.path / "card.md").read_text()
    for name, kind in vocabulary.ALARMS.items():
        assert kind.text is ALARM_TEXTS[name]
        row = f"| `{name}` | {kind.description} | {kind.text.means} | {kind.action} |"
        assert (row in page) == ("binary" in kind.text.tasks), name


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and its driver (Debian packages chromium and chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    profile = tmp_path_factory.mktemp("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield found
    found.quit()


def show(browser: Any, page: Path, width: int, scheme: str = "light") -> None:
    """Open a page as a phone or a screen would; a window cannot be as narrow as a phone."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())


OVERLAPS = """
const found = [];
for (const svg of document.querySelectorAll('svg')) {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [boxes[i][1], boxes[j][1]];
    const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (width > 1 && height > 3) found.push([svg.getAttribute('aria-label'), boxes[i][0], boxes[j][0]]);
  }
}
return found;
"""


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (390, "light")])
def test_a_browser_shows_the_whole_card(browser: Any, original: Package, width: int, scheme: str) -> None:
    from selenium.webdriver.common.by import By

    show(browser, original.path / "card.html", width, scheme)
    assert browser.title == "churn: model card"
    headings = [element.text for element in browser.find_elements(By.TAG_NAME, "h2")]
    assert headings == [
        *("In short", "Intended use", "Metrics", "Leakage checks", "Behaviour on the hold-out", "Segments", "Inputs"),
        *("Architecture", "Training data", "Lineage", "Operations", "Environment"),
    ]
    text = browser.find_element(By.TAG_NAME, "main").text
    assert original.data["digest"] in text
    assert f"{original.validation['metrics']['roc_auc']['value']:.4g}" in text
    assert len(browser.find_elements(By.CSS_SELECTOR, "tr.weakest")) == 1
    drawings = browser.find_elements(By.TAG_NAME, "svg")
    assert len(drawings) == 8
    for drawing in drawings:
        assert drawing.size["width"] > 250 and drawing.size["height"] > 150
        assert drawing.get_attribute("aria-label")
    beyond = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert beyond <= 0, "nothing may stick out of the page"
    assert browser.execute_script(OVERLAPS) == []
    requests = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert requests == [], "the page stands alone"
    ink = browser.execute_script("return getComputedStyle(document.body).color")
    assert (ink == "rgb(27, 36, 48)") == (scheme == "light")
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    text = browser.find_element(By.TAG_NAME, "main").text
    assert '"tenure"' in text and "OneHotEncoder" in text and "logisticregression" in text
    assert browser.get_log("browser") == [], "the page breaks its own content security policy, or misses something"


EVIL = "</title></script><script>document.title='ran'</script>--><img src=x onerror=alert(1)> $x_ | `a`\n# b"


def evil(package: Package) -> Package:
    """A stranger's package whose texts would like to run and to break out, and which brings its own HTML."""
    documents = copy.deepcopy(package.documents)
    validation = documents["validation.json"]
    validation["segments"] = {EVIL: {EVIL: {"rows": 50, "metrics": {"roc_auc": 0.5}}}}
    validation["importance"] = {"metric": EVIL, "features": {EVIL: {"mean": 0.1, "std": 0.01}}}
    validation["leakage"]["target"] = {EVIL: 1.0}
    validation["curves"]["confusion"]["classes"] = [EVIL, "b"]
    documents["data.json"] |= {"name": EVIL, "origin": EVIL, "time_range": [EVIL, EVIL]}
    manifest = package.manifest | {"description": EVIL, "intended_use": EVIL}
    manifest["model"] = {"type": EVIL, "steps": [{"name": EVIL, "type": EVIL, "parameters": {EVIL: EVIL}}]}
    return replace(package, documents=documents, manifest=manifest)


def test_a_strangers_texts_stay_texts(browser: Any, original: Package, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    page.write_text(export(evil(original), "html"))
    assert "default-src 'none'" in page.read_text()
    show(browser, page, 1100)
    assert browser.title == "churn: model card"
    assert browser.execute_script("return document.querySelectorAll('script, img, iframe, object').length") == 0
    assert EVIL.split("\n")[0] in browser.execute_script("return document.querySelector('.lead').textContent")
    assert browser.get_log("browser") == []
    markdown = export(evil(original), "markdown")
    assert "<script" not in markdown and "<img" not in markdown
    assert not [line for line in markdown.splitlines() if line.startswith("# b")]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["validation.json"].update(metrics={"roc_auc": {"value": 0.5, "interval": "wide"}}),
        lambda d: d["validation.json"].update(curves={"roc": {"false_positive_rate": [1]}}),
        lambda d: d["validation.json"].update(segments={"plan": {"a": 3}}),
        lambda d: d["validation.json"].update(importance={"metric": 1, "features": {"a": {}}}),
        lambda d: d["baseline.json"]["features"].update(tenure={"kind": "numeric", "count": 1, "missing": "x"}),
    ],
)
def test_documents_of_an_odd_shape_are_an_error_for_people_or_no_matter(
    original: Package, format: str, change: Any
) -> None:
    documents = copy.deepcopy(original.documents)
    change(documents)
    try:
        text = export(replace(original, documents=documents), format)
    except ModelberthError as error:
        assert "churn: no card can be made of its documents" in str(error)
    else:
        assert text


def test_the_card_tells_what_the_checks_found() -> None:
    found = {
        "duplicates": {"rows": 4, "ratio": 0.01},
        "target": {"churned": 1.0},
        "time": {"rows": 2, "last_training": "2024-02", "first_holdout": "2024-01"},
    }
    assert [(one.name, one.found, one.note) for one in checks({"leakage": found})] == [
        ("duplicates across the split", True, "4 hold-out rows, 1 %, have the inputs of a training row"),
        ("target in the features", True, "may tell the target by itself: churned (1)"),
        (
            "time order",
            True,
            "2 hold-out rows do not come after the training rows; training ends 2024-02, the hold-out begins 2024-01",
        ),
    ]
    clean = {"duplicates": {"rows": 0, "ratio": 0}, "target": {}, "time": None}
    assert [one.found for one in checks({"leakage": clean})] == [False, False, None]
    assert checks({}) == []


def test_the_card_tells_the_windows_of_a_backtest(original: Package) -> None:
    told = [{"fitted": 10 * n, "tested": 5, "from": f"2024-0{n}", "to": f"2024-0{n + 1}"} for n in (1, 2)]
    folded = {"splitter": "time", "metrics": {"roc_auc": {"mean": 0.7, "std": 0.1, "folds": [0.6, 0.8]}}}
    validation = original.validation | {"cross_validation": folded | {"windows": told}}
    found = windows(validation)
    assert found is not None and found.backtest and found.metric == "roc_auc"
    assert [(one.fitted, one.period, one.value) for one in found.windows] == [
        (10, "2024-01 to 2024-02", 0.6),
        (20, "2024-02 to 2024-03", 0.8),
    ]
    package = replace(original, documents=original.documents | {"validation.json": validation})
    assert "### Backtest windows" in export(package, "markdown")
    assert "2024-01 to 2024-02" in export(package, "html")


PARENT = "sha256:" + "7" * 64


def told(original: Package) -> Package:
    documents = copy.deepcopy(original.documents)
    documents["data.json"]["parent"] = PARENT
    return replace(original, documents=documents)


RECORD = {"parent": "sha256:" + "8" * 64, "execution": "arn:aws:sagemaker:eu-west-1:1:pipeline/p/execution/e"}


@pytest.mark.parametrize("format", FORMATS)
def test_every_form_tells_use_format_data_and_lineage(original: Package, format: str) -> None:
    package = replace(told(original), manifest=original.manifest | {"intended_use": "Calls, not prices."})
    text = export(package, format, "s3://models/packages/churn/0", RECORD)
    for part in ("Calls, not prices.", original.data["digest"], PARENT, *RECORD.values()):
        assert part in text
    if format != "vertex":  # which shows neither a model's form nor its parameters
        assert "by skops, without pickles" in text or format == "huggingface"


def test_a_champion_seen_in_training_is_the_parent(original: Package) -> None:
    documents = {"holdout.json": {"champion": {"digest": PARENT}}}
    assert lineage(documents, None) == {"parent package": PARENT}
    assert lineage(documents, RECORD)["parent package"] == RECORD["parent"]


def test_a_pickle_is_warned_of(original: Package) -> None:
    pickled = replace(original, manifest=original.manifest | {"format": "sklearn-pickle"})
    for format in ("html", "markdown", "huggingface", "sagemaker"):
        assert "runs code" in export(pickled, format) or "runs whatever code" in export(pickled, format)
        assert "runs code" not in export(original, format)


def test_the_stack_file_of_the_card_is_a_stack_file(original: Package) -> None:
    from modelberth.spec import ALARMS

    block = re.search(r"```yaml\n(.*?)```", export(original, "markdown"), re.DOTALL)
    assert block is not None
    model = yaml.safe_load(block[1])["config"]["modelberth:models"]["churn"]
    assert model["package"] == "./packages/churn"
    for name, rule in model["alarms"].items():
        ((side, value),) = rule.items()
        assert side == ALARMS[name].side and ALARMS[name].parse(value) > 0


PEOPLES_KEYS = ("CustomDetails", "Metadata")


def pascal(value: Any) -> Any:
    """The names of CreateModelCard as CloudFormation writes them."""
    if isinstance(value, list):
        return [pascal(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {"".join(word.capitalize() for word in key.split("_")): one for key, one in value.items()}
    return {key: one if key in PEOPLES_KEYS else pascal(one) for key, one in named.items()}


def sagemaker_schema() -> dict[str, Any]:
    """AWS's own schema of AWS::SageMaker::ModelCard, as cfn-lint ships it."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::SageMaker::ModelCard").schema
    definitions = {name: one for name, one in schema["definitions"].items() if name != "Tag"}  # not of the content
    return {"definitions": definitions, "$ref": "#/definitions/Content"}


def test_sagemaker_takes_the_card(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    import jsonschema
    from moto import mock_aws

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for package in (original, evil(original)):
        text = export(package, "sagemaker", "s3://models/packages/churn/0", RECORD)
        content = json.loads(text)
        jsonschema.validate(pascal(content), sagemaker_schema())
        assert len(text) <= 100_000
    (evaluation,) = content["evaluation_details"]
    assert evaluation["metric_groups"][0]["metric_data"][0]["name"] == "accuracy"
    with mock_aws():
        client = boto3.client("sagemaker", region_name="eu-west-1")
        client.create_model_card(ModelCardName="churn", Content=text, ModelCardStatus="Draft")
        assert json.loads(client.describe_model_card(ModelCardName="churn")["Content"]) == content


def test_the_schema_refuses_what_sagemaker_would(original: Package) -> None:
    import jsonschema

    content = json.loads(export(original, "sagemaker"))
    content["intended_uses"]["risk_rating"] = "None"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(pascal(content), sagemaker_schema())


def test_vertex_takes_the_evaluation_and_the_labels(original: Package) -> None:
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    for package in (original, evil(original)):
        found = json.loads(export(package, "vertex", "s3://models/packages/churn/0", RECORD))
        evaluation = json_format.ParseDict(found["model_evaluation"], aiplatform_v1.ModelEvaluation.pb()())
        model = json_format.ParseDict(found["model"], aiplatform_v1.Model.pb()())
        assert all(re.fullmatch(r"[a-z0-9_-]{1,63}", text) for pair in model.labels.items() for text in pair)
    assert evaluation.metrics_schema_uri.endswith("/classification_metrics_1.0.0.yaml")
    assert evaluation.metrics.struct_value["auRoc"] == original.validation["metrics"]["roc_auc"]["value"]
    assert len(evaluation.metrics.struct_value["confusionMatrix"]["rows"]) == 2


def test_the_hub_reads_the_readme(original: Package) -> None:
    from huggingface_hub import ModelCard

    for package in (original, evil(original)):
        card = ModelCard(export(package, "huggingface"))
        results = {one.metric_name: one for one in card.data.eval_results or []}
        assert card.data.model_name == "churn" and card.data.library_name == "sklearn"
        assert results["roc_auc"].metric_value == original.validation["metrics"]["roc_auc"]["value"]
        assert results["brier"].metric_type == "brier_score"
        assert results["roc_auc"].dataset_revision == original.data["digest"]
        assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()


def test_only_the_page_has_plots_drawn(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_packaging.card import plots

    drawn: list[Any] = []
    monkeypatch.setattr(plots, "plots", lambda validation: drawn.append(validation) or {"ROC": "<svg></svg>"})
    for format in FORMATS:
        assert ("<svg" in export(original, format)) == (format == "html")
    assert len(drawn) == 1


def test_the_command_writes_each_form(original: Package, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from model_packaging.cli import app

    for format in FORMATS:
        target = tmp_path / format
        done = CliRunner().invoke(
            app, ["card", str(original.path), "--format", format, "--output", str(target)], catch_exceptions=False
        )
        assert done.exit_code == 0 and target.read_text() == export(original, format)
    done = CliRunner().invoke(app, ["card", str(original.path)])
    assert done.stdout == original.read("card.md").decode()


def test_the_commands_forms_are_those_that_there_are() -> None:
    from model_packaging.card.command import _Format

    assert [one.value for one in _Format] == list(FORMATS)
