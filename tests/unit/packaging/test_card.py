"""The card: what it says first, that it knows every alarm, and that a real browser shows all of it."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from modelberth import vocabulary

from model_packaging.alarms import ALARM_TEXTS
from model_packaging.card import render
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
        assert f"| `{name}` | {kind.description} | {kind.text.means} | {kind.action} |" in page


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


@pytest.mark.parametrize("width", [1100, 420])
def test_a_browser_shows_the_whole_card(browser: Any, original: Package, width: int) -> None:
    from selenium.webdriver.common.by import By

    browser.set_window_size(width, 1600)
    browser.get((original.path / "card.html").as_uri())
    assert browser.title == "churn: model card"
    headings = [element.text for element in browser.find_elements(By.TAG_NAME, "h2")]
    assert headings == [
        *("In short", "Metrics", "Behaviour on the hold-out", "Segments", "Inputs"),
        *("Architecture", "Training data", "Operations", "Environment"),
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
    browser.find_element(By.TAG_NAME, "summary").click()
    assert '"tenure"' in browser.find_element(By.CSS_SELECTOR, "details pre").text
    assert browser.get_log("browser") == [], "the page breaks its own content security policy, or misses something"
