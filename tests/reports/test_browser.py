"""The report in a real browser, opened from a file with the network off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

LOCAL = ("file:", "data:", "blob:", "chrome:", "about:")


@pytest.fixture
def page(browser: Chrome, report: Path) -> Chrome:
    browser.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    # What earlier tests logged is not this one's.
    browser.get("about:blank")
    _log(browser, "performance")
    _log(browser, "browser")
    browser.get(report.as_uri())
    _wait(browser)
    return browser


def _wait(browser: Chrome) -> None:
    ready = "return document.documentElement.dataset.ready === 'true'"
    WebDriverWait(browser, 30).until(lambda window: window.execute_script(ready))


def _log(browser: Chrome, kind: str) -> list[dict[str, str]]:
    """Entries since the last call."""
    entries: list[dict[str, str]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def _one(page: Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def _visible(page: Chrome, selector: str) -> list[WebElement]:
    return [element for element in page.find_elements(By.CSS_SELECTOR, selector) if element.is_displayed()]


def _requests(page: Chrome) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in _log(page, "performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def _marks(page: Chrome) -> int:
    """Dots and lines drawn in the chart that is in sight."""
    return len(_visible(page, ".chart .mark-symbol path, .chart .mark-line path"))


def test_every_tab_and_switch_works_without_errors_or_requests(page: Chrome) -> None:
    for dataset in ("mnist", "digits"):
        _one(page, f"#tab-{dataset}").click()
        for family in ("vit", "cnn", "dnn"):
            _one(page, f"#tab-{dataset}-{family}").click()
            assert _one(page, f"#panel-{dataset}-{family}").is_displayed()
            assert len(_visible(page, ".panel.family")) == 1
            for button in _visible(page, "button[data-view], [data-replicates], [data-depth], summary"):
                button.click()
    _one(page, "#theme").click()
    _wait(page)
    assert _log(page, "browser") == []
    assert [url for url in _requests(page) if not url.startswith(LOCAL)] == []


def test_every_chart_is_drawn_and_described(page: Chrome) -> None:
    charts = page.find_elements(By.CSS_SELECTOR, ".chart")
    assert len(charts) >= 8
    for chart in charts:
        assert "Mean test accuracy on" in (chart.get_attribute("aria-label") or "")
        assert chart.find_elements(By.CSS_SELECTOR, ".mark-line path")


def test_depths_and_replicates_are_switched(page: Chrome) -> None:
    _one(page, "#tab-digits").click()
    _one(page, "#tab-digits-dnn").click()
    lines = "#panel-digits-dnn .view:not(.away) .chart .mark-line path"
    assert len(page.find_elements(By.CSS_SELECTOR, lines)) == 4
    _one(page, "#panel-digits-dnn [data-depth='3']").click()
    WebDriverWait(page, 10).until(lambda window: len(window.find_elements(By.CSS_SELECTOR, lines)) == 3)
    before = _marks(page)
    _one(page, "#panel-digits-dnn [data-replicates]").click()
    # Three depths of ten sizes and six replicates.
    WebDriverWait(page, 10).until(lambda window: _marks(window) == before + 180)


def test_the_axis_is_switched_to_parameters(page: Chrome) -> None:
    _one(page, "#tab-digits").click()
    _one(page, "#tab-digits-cnn").click()
    assert "Channels" in _one(page, "#panel-digits-cnn .view:not(.away) .chart").text
    _one(page, "#panel-digits-cnn button[data-view='parameters']").click()
    assert "Trainable parameters" in _one(page, "#panel-digits-cnn .view:not(.away) .chart").text


def test_tabs_follow_the_keyboard_and_the_address(page: Chrome, report: Path) -> None:
    _one(page, "#tab-digits").send_keys(Keys.ARROW_RIGHT)
    assert page.switch_to.active_element.get_attribute("id") == "tab-mnist"
    assert _one(page, "#panel-mnist").is_displayed()
    page.get(f"{report.as_uri()}#mnist/cnn")
    page.refresh()
    _wait(page)
    assert _one(page, "#panel-mnist-cnn").is_displayed()


def test_theme_follows_the_system_until_it_is_chosen(page: Chrome) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    assert page.execute_script(ground) == "rgb(20, 23, 27)"
    _one(page, "#theme").click()
    assert page.execute_script(ground) == "rgb(255, 255, 255)"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [390, 1024, 1920])
def test_nothing_sticks_out_at_any_width(page: Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.refresh()
    _wait(page)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    for chart in _visible(page, ".chart svg"):
        assert chart.size["width"] <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_shows_every_family(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(_visible(page, ".panel.family")) == 6
    assert _visible(page, ".no-print") == []
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
