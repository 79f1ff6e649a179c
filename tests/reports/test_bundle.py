"""The script of the charts, which is kept between reports."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from reports import bundle

MADE = "let $t6=1;<!--x</script>" + "y" * 200 + "window.vegaEmbed=$t6;"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Snippets that were bundled, of a converter that makes a small script."""
    snippets: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def javascript_bundle(snippet: str) -> str:
        snippets.append(snippet)
        return MADE

    monkeypatch.setattr(vl_convert, "javascript_bundle", javascript_bundle)
    return snippets


def script() -> str:
    """Return the script as a process of its own would."""
    return bundle.vega_embed.__wrapped__()


def test_the_script_is_bundled_once_and_the_same_from_the_cache(made: list[str]) -> None:
    first = script()
    assert first == script() == MADE.replace("<!--", "<\\!--").replace("</script", "<\\/script")
    assert made == [bundle.SNIPPET]
    assert bundle.cache_file().read_text() == MADE


def test_a_script_that_was_cut_short_is_bundled_again(made: list[str]) -> None:
    whole = script()
    bundle.cache_file().write_text(MADE[:-30])
    assert script() == whole
    assert len(made) == 2


def test_without_a_place_to_keep_it_each_report_bundles(made: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert script() == script()
    assert len(made) == 2


def test_the_converters_bundle_ends_as_the_check_expects() -> None:
    assert bundle.END in vl_convert.javascript_bundle(bundle.SNIPPET).encode()[-100:]
