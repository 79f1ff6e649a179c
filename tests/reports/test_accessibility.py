"""The report as axe-core sees it, in every tab, in both themes and on a phone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PACKAGE = "axe-core@4"
RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(
    ({ violations, passes }) => done({
        passed: passes.length,
        found: violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0].html.slice(0, 200)}`),
    }),
    (error) => done({ passed: 0, found: [`critical ${error}`] }),
);
"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Source of axe-core, which npm fetches; the tests are skipped where it cannot."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    options = ["--prefix", str(folder), "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run([npm, "install", *options, PACKAGE], cwd=folder, check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm cannot install {PACKAGE}: is there a network?")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def page(browser: Chrome, report: Path) -> Chrome:
    browser.get("about:blank")
    browser.get(report.as_uri())
    ready = "return document.documentElement.dataset.ready === 'true'"
    WebDriverWait(browser, 30).until(lambda window: window.execute_script(ready))
    return browser


def _serious(page: Chrome) -> list[str]:
    """Return the serious and critical violations of what is in sight."""
    said = page.execute_async_script(RUN)
    assert said["passed"] > 10, said
    return [line for line in said["found"] if line.startswith(("serious", "critical"))]


TABS = (("digits", "dnn"), ("mnist", "vit"))


@pytest.mark.parametrize(
    ("theme", "tabs"),
    [("light", TABS[:1]), ("dark", TABS[-1:]), pytest.param("light", TABS, marks=pytest.mark.slow)],
)
def test_no_serious_violation_in_any_tab(page: Chrome, axe: str, theme: str, tabs: Sequence[tuple[str, str]]) -> None:
    """The dark theme changes colours alone: one tab shows all of them."""
    page.execute_script(axe)
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    for dataset, family in tabs:
        page.find_element(By.ID, f"tab-{dataset}").click()
        page.find_element(By.ID, f"tab-{dataset}-{family}").click()
        for summary in page.find_elements(By.CSS_SELECTOR, "details:not([open]) > summary"):
            if summary.is_displayed():
                summary.click()
        assert _serious(page) == [], (dataset, family)


def test_no_serious_violation_on_a_phone(page: Chrome, axe: str) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_script(axe)
    violations = _serious(page)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert violations == []


def test_a_picture_without_words_is_found(page: Chrome, axe: str) -> None:
    page.execute_script(axe)
    page.execute_script("document.body.append(Object.assign(new Image(), {src: 'data:,'}))")
    assert any("image-alt" in line for line in _serious(page))
