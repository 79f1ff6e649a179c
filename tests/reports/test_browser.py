"""The report in a real browser, opened from a file with the network off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.reports.conftest import invoke
from tests.reports.planted import plant

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


def _drawn(page: Chrome, panel: str, figure: str, mark: str) -> int:
    """Return how many marks of a kind the view of a figure in sight has."""
    return len(page.find_elements(By.CSS_SELECTOR, f"#panel-{panel} .{figure} .view:not(.away) .mark-{mark} path"))


def _show(page: Chrome, dataset: str, family: str) -> str:
    _one(page, f"#tab-{dataset}").click()
    _one(page, f"#tab-{dataset}-{family}").click()
    return f"{dataset}-{family}"


def test_every_tab_and_switch_works_without_errors_or_requests(page: Chrome) -> None:
    for dataset in ("mnist", "digits"):
        _one(page, f"#tab-{dataset}").click()
        for family in ("vit", "cnn", "dnn"):
            _one(page, f"#tab-{dataset}-{family}").click()
            assert _one(page, f"#panel-{dataset}-{family}").is_displayed()
            assert len(_visible(page, ".panel.family")) == 1
            for button in _visible(page, f"#panel-{dataset}-{family} :is(button[data-view], input, summary)"):
                button.click()
    _one(page, "#theme").click()
    _wait(page)
    assert _log(page, "browser") == []
    assert [url for url in _requests(page) if not url.startswith(LOCAL)] == []


def test_every_chart_is_drawn_and_described(page: Chrome) -> None:
    charts = page.find_elements(By.CSS_SELECTOR, ".chart")
    # Of DNN and CNN where all is there, six of them of forms; two for convergence alone; one beside each answer.
    assert len(charts) == (9 + 6) + (7 + 6) + 2 + 2 + 4
    for chart in charts:
        assert "Digits" in (said := chart.get_attribute("aria-label") or "") or "MNIST" in said
        assert chart.find_elements(By.CSS_SELECTOR, ".mark-line path")


def test_depths_are_switched_in_all_figures(page: Chrome) -> None:
    panel = _show(page, "digits", "dnn")
    figures = {"convergence": 4, "pruning": 4, "quantization": 8, "epochs": 8, "shapes": 1 + 3 + 9 + 27}
    assert {name: _drawn(page, panel, name, "line") for name in figures} == figures
    _one(page, f"#panel-{panel} [data-depth='3']").click()
    fewer = {"convergence": 3, "pruning": 3, "quantization": 6, "epochs": 6, "shapes": 1 + 3 + 27}
    WebDriverWait(page, 10).until(lambda w: {name: _drawn(w, panel, name, "line") for name in fewer} == fewer)


def test_depths_are_switched_in_the_figure_beside_an_answer_alone(page: Chrome) -> None:
    panel = _show(page, "digits", "dnn")
    beside = ".beside-answer figure:has([data-figure='digits/dnn/reach'])"

    def lines() -> int:
        return len(page.find_elements(By.CSS_SELECTOR, f"{beside} .mark-line path"))

    before = _drawn(page, panel, "convergence", "line")
    assert lines() == 4
    _one(page, f"{beside} [data-depth='2']").click()
    WebDriverWait(page, 10).until(lambda _: lines() == 3)
    assert _drawn(page, panel, "convergence", "line") == before


def test_the_last_depth_stays(page: Chrome) -> None:
    panel = _show(page, "digits", "dnn")
    boxes = page.find_elements(By.CSS_SELECTOR, f"#panel-{panel} [data-depth]")
    for box in boxes:
        box.click()
    assert [box.is_selected() for box in boxes] == [False, False, False, True]


def test_replicates_are_shown_on_demand(page: Chrome) -> None:
    panel = _show(page, "digits", "cnn")
    before = _drawn(page, panel, "convergence", "symbol")
    _one(page, f"#panel-{panel} [data-replicates]").click()
    # Ten sizes and six replicates.
    WebDriverWait(page, 10).until(lambda window: _drawn(window, panel, "convergence", "symbol") == before + 60)


def test_a_capacity_is_chosen_by_list_and_by_click(page: Chrome) -> None:
    panel = _show(page, "digits", "cnn")
    choice = Select(_one(page, f"#panel-{panel} [data-capacity]"))
    curve = f"#panel-{panel} .pruning .mark-area path"
    before = _one(page, curve).get_attribute("d")
    choice.select_by_value("3")
    WebDriverWait(page, 10).until(lambda window: _one(window, curve).get_attribute("d") != before)
    dots = page.find_elements(By.CSS_SELECTOR, f"#panel-{panel} .convergence .view:not(.away) path[aria-label*='mean']")
    dots[-1].click()
    WebDriverWait(page, 10).until(lambda _: choice.first_selected_option.text == "32")


def test_the_plateau_is_seen_close_up(page: Chrome) -> None:
    panel = _show(page, "digits", "dnn")
    _one(page, f"#panel-{panel} [data-close-up]").click()
    figure = f"#panel-{panel} .convergence .view:not(.away) .chart"
    WebDriverWait(page, 10).until(lambda window: "20%" not in _one(window, figure).text)
    assert "100%" in _one(page, figure).text


TICKS = """
const [panel, figure] = arguments;
const place = document.querySelector(`#panel-${panel} .${figure} .view:not(.away) .chart`);
const scales = {};
for (const tick of place.querySelectorAll(".role-axis-label text")) if (+getComputedStyle(tick).opacity) {
    const axis = tick.closest(".role-axis").getAttribute("aria-label").slice(0, 1);
    (scales[axis] ??= []).push(tick.textContent);
}
for (const labels of Object.values(scales)) labels.sort((a, b) => parseFloat(a) - parseFloat(b));
return scales;
"""
WHEEL = """
const [panel, held] = arguments;
const place = document.querySelector(`#panel-${panel} .convergence .view:not(.away) .chart`);
const { left, top, width, height } = place.querySelector("svg").getBoundingClientRect();
const at = { clientX: left + 0.75 * width, clientY: top + 0.15 * height, deltaY: -240 };
const event = new WheelEvent("wheel", { ...at, bubbles: true, cancelable: true, [held]: true });
return place.querySelector("svg").dispatchEvent(event);
"""


def _ticks(page: Chrome, panel: str, figure: str) -> dict[str, list[str]]:
    """Return the labels in sight on the axes of a figure, by X and Y."""
    found: dict[str, list[str]] = page.execute_script(TICKS, panel, figure)
    return found


def _wait_for_ticks(page: Chrome, panel: str, figure: str, axis: str, *, zoomed: bool, before: list[str]) -> list[str]:
    WebDriverWait(page, 10).until(lambda w: (_ticks(w, panel, figure)[axis] != before) == zoomed)
    return _ticks(page, panel, figure)[axis]


def test_the_wheel_zooms_linked_figures_and_scrolls_alone(page: Chrome) -> None:
    panel = _show(page, "digits", "dnn")
    whole = {name: _ticks(page, panel, name) for name in ("convergence", "quantization", "pruning")}
    # An event that nobody prevented scrolls the page.
    assert page.execute_script(WHEEL, panel, "altKey") is True
    assert _ticks(page, panel, "convergence") == whole["convergence"]
    assert page.execute_script(WHEEL, panel, "ctrlKey") is False
    sizes = _wait_for_ticks(page, panel, "convergence", "X", zoomed=True, before=whole["convergence"]["X"])
    assert "1" not in sizes
    assert "50" in sizes
    # Sizes are those of the quantization figure too, accuracy that of all; the pruning ratio is another axis.
    assert _ticks(page, panel, "quantization")["X"] != whole["quantization"]["X"]
    assert _ticks(page, panel, "pruning")["Y"] != whole["pruning"]["Y"]
    assert _ticks(page, panel, "pruning")["X"] == whole["pruning"]["X"]
    _one(page, f"#panel-{panel} .convergence [data-zoom='reset']").click()
    for name, ticks in whole.items():
        for axis in "XY":
            _wait_for_ticks(page, panel, name, axis, zoomed=False, before=ticks[axis])


def test_zoom_and_pan_by_keyboard(page: Chrome) -> None:
    panel = _show(page, "digits", "cnn")
    whole = _ticks(page, panel, "pruning")["X"]
    button = _one(page, f"#panel-{panel} .pruning [data-zoom='in']")
    reset = _one(page, f"#panel-{panel} .pruning [data-zoom='reset']")
    assert not reset.is_enabled()
    button.send_keys(Keys.ENTER, "+", "+")
    middle = _wait_for_ticks(page, panel, "pruning", "X", zoomed=True, before=whole)
    assert {"0%", "100%"}.isdisjoint(middle)
    button.send_keys(*[Keys.ARROW_RIGHT] * 12)
    right = _wait_for_ticks(page, panel, "pruning", "X", zoomed=True, before=middle)
    # It stops at the end of the data.
    assert right[-1] == "100%"
    button.send_keys(Keys.ESCAPE)
    _wait_for_ticks(page, panel, "pruning", "X", zoomed=False, before=whole)
    assert not reset.is_enabled()


def test_a_zoomed_figure_is_dragged_and_a_whole_one_is_not(page: Chrome) -> None:
    panel = _show(page, "digits", "cnn")
    chart = _one(page, f"#panel-{panel} .convergence .view:not(.away) .chart")
    whole = _ticks(page, panel, "convergence")["X"]
    choice = Select(_one(page, f"#panel-{panel} [data-capacity]")).first_selected_option.text

    def drag() -> None:
        ActionChains(page).move_to_element(chart).click_and_hold().move_by_offset(-300, 0).release().perform()

    drag()
    assert _ticks(page, panel, "convergence")["X"] == whole
    for _ in range(3):
        _one(page, f"#panel-{panel} .convergence [data-zoom='in']").click()
    middle = _wait_for_ticks(page, panel, "convergence", "X", zoomed=True, before=whole)
    drag()
    moved = _wait_for_ticks(page, panel, "convergence", "X", zoomed=True, before=middle)
    assert whole.index(moved[0]) > whole.index(middle[0])
    # A drag is no click: what was chosen stays.
    assert Select(_one(page, f"#panel-{panel} [data-capacity]")).first_selected_option.text == choice
    ActionChains(page).double_click(chart).perform()
    _wait_for_ticks(page, panel, "convergence", "X", zoomed=False, before=whole)


def test_the_axis_is_switched_to_parameters(page: Chrome) -> None:
    panel = _show(page, "digits", "cnn")
    figure = f"#panel-{panel} .convergence"
    assert "Channels" in _one(page, f"{figure} .view:not(.away) .chart").text
    _one(page, f"{figure} button[data-view='parameters']").click()
    assert "Trainable parameters" in _one(page, f"{figure} .view:not(.away) .chart").text


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_figures_are_saved_with_their_own_colours(page: Chrome, tmp_path: Path, kind: str) -> None:
    panel = _show(page, "digits", "cnn")
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    _one(page, f"#panel-{panel} .convergence [data-save='{kind}']").click()
    out = tmp_path / f"digits-cnn-convergence-capacity.{kind}"
    WebDriverWait(page, 10).until(lambda _: out.exists() and out.stat().st_size > 5000)
    if kind == "svg":
        assert "var(" not in out.read_text(encoding="utf-8")


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


@pytest.mark.parametrize("width", [390, pytest.param(1024, marks=pytest.mark.slow), 1920])
def test_nothing_sticks_out_at_any_width(page: Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.refresh()
    _wait(page)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    for chart in _visible(page, ".chart svg"):
        assert chart.size["width"] <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_long_name_of_ones_own_fits_a_phone(browser: Chrome, tmp_path: Path) -> None:
    plant(tmp_path / "own.duckdb", datasets=("a_very_long_name_of_photographs_of_my_own_flowers",), families=("vit",))
    out = tmp_path / "own.html"
    result = invoke("render", "--no-claims", "--store", str(tmp_path / "own.duckdb"), "--out", str(out))
    assert result.exit_code == 0, result.output
    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(out.as_uri())
    _wait(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_shows_every_family(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(_visible(page, ".panel.family")) == 6
    assert _visible(page, ".no-print") == []
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
