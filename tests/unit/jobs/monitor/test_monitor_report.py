"""The page as a browser shows it, and that it says what report.json says."""

import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from model_packaging.jobs.monitor.report import html

from .conftest import Case, customers, rows_of

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not BROWSER or not DRIVER:
        pytest.skip("no browser to open the page in: install chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
            options.add_argument(f"--{argument}")
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_window_size(1100, 1600)
        yield driver
        driver.quit()


def _spoilt(case: Case) -> dict[str, Any]:
    frame = customers(400, seed=8)
    frame["charge"] += 15
    frame.loc[frame.index % 3 == 0, "plan"] = "<script>alert(1)</script> a name that is much too long"
    frame.loc[frame.index % 2 == 0, "tenure"] = 3
    case.serve(rows_of(frame))
    case.send([{**rows_of(frame)[0], "tenure": "<b>twelve</b>"}])
    case.write(["{"])
    return case.run()


def test_the_page_in_a_browser(case: Case, browser: Any) -> None:
    report = _spoilt(case)
    browser.get(report["page"].as_uri())
    assert browser.get_log("browser") == []
    resources = "return performance.getEntriesByType('resource').length"
    assert browser.execute_script(resources) == 0
    find = browser.find_elements
    verdict = find("css selector", ".verdict")[0]
    assert verdict.text == report["verdict"]["sentence"]
    assert verdict.location["y"] < 100
    drift = [row.text for row in find("css selector", ".drift tbody tr")]
    ranked = sorted(report["features"], key=lambda name: -report["features"][name]["psi"])
    assert [text.split()[0] for text in drift] == ranked
    assert [text.split()[1] for text in drift] == [f"{report['features'][name]['psi']:.3f}" for name in ranked]
    text = find("tag name", "body")[0].text
    assert "<b>twelve</b>" in text
    assert not find("css selector", "script, li b")
    charts = find("tag name", "svg")
    assert len(charts) == 4 + 2 + 3  # inputs, those of them that are numbers, predictions
    assert all(chart.size["width"] > 100 and chart.size["height"] > 30 for chart in charts)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(wide) == 0
    clipped = """
        return [...document.querySelectorAll('svg text')].filter(text => {
            const inner = text.getBoundingClientRect(), outer = text.closest('svg').getBoundingClientRect();
            return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
        }).map(text => text.textContent)"""
    assert browser.execute_script(clipped) == []


def test_bars_stand_for_the_shares(case: Case, browser: Any) -> None:
    report = _spoilt(case)
    browser.get(report["page"].as_uri())
    bins = report["features"]["paperless"]["bins"][:2]
    chart = browser.find_element("css selector", 'svg[aria-label^="paperless:"]')
    heights = browser.execute_script(
        "return [...arguments[0].querySelectorAll('rect[fill^=\"#\"]')].map(bar => +bar.getAttribute('height'))", chart
    )
    shares = np.array([[one["training"], one["traffic"]] for one in bins]).ravel()
    assert np.array(heights) / max(heights) == pytest.approx(shares / shares.max(), abs=0.01)


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_little_traffic_gives_a_page_too(case: Case, browser: Any, rows: int) -> None:
    if rows:
        case.serve(rows_of(customers(rows)))
    report = case.run()
    browser.get(report["page"].as_uri())
    assert browser.find_element("css selector", ".verdict").text == report["verdict"]["sentence"]
    assert len(browser.find_elements("tag name", "svg")) == (9 if rows else 0)


def test_a_wide_model_shows_the_inputs_that_drifted_most(case: Case) -> None:
    case.serve(rows_of(customers(200)))
    report = case.run()
    report.pop("page")
    one = report["features"]["tenure"]
    report["features"] = {f"input {number}": {**one, "psi": number / 1000} for number in range(10_000)}
    page = html(report)
    assert "input 9999<" in page and "input 9800<" in page and "input 9799<" not in page
    assert "9,800 more, with lower PSI, are in report.json" in page


def test_curves_stand_for_the_shares(case: Case, browser: Any) -> None:
    report = _spoilt(case)
    browser.get(report["page"].as_uri())
    for name in ("tenure", "charge"):
        chart = browser.find_element("css selector", f'svg[aria-label="{name}: cumulative distributions"]')
        drawn = browser.execute_script(
            "return [...arguments[0].querySelectorAll('polyline')].map(line => [...line.points].map(p => [p.x, p.y]))",
            chart,
        )
        curve = report["features"][name]["curve"]
        for line, side in zip(drawn, ("training", "traffic"), strict=True):
            _, down = np.array(line).T
            assert 1 - down / 84 == pytest.approx(np.array(curve[side]), abs=0.002)
        gaps = np.abs(np.subtract(curve["training"], curve["traffic"]))
        assert report["features"][name]["test"]["statistic"] >= gaps.max() - 1e-12
