"""The script that draws the charts on the page: Vega-Embed with Vega and Vega-Lite, as vl-convert bundles them."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from store import files
from store.errors import MinarchError

SNIPPET = "window.vegaEmbed = vegaEmbed;"
# What stands at the end of a bundle: a file that was cut short lacks it.
END = b"window.vegaEmbed="


@cache
def vega_embed() -> str:
    """Return the script, safe inside a script element.

    Bundling takes as long as all charts of a report together, and gives the same script for each version of vl-convert:
    it is kept in the user's cache folder, where that can be written.
    """
    bundle = _kept() or _bundled()
    return bundle.decode().replace("</script", "<\\/script").replace("<!--", "<\\!--")


def cache_file() -> Path:
    """Return where the script is kept.

    Raises:
        RuntimeError: there is no home folder.
    """
    return files.cache_folder() / f"vega-embed-{version('vl-convert-python')}.js"


def _kept() -> bytes | None:
    with suppress(OSError, RuntimeError):
        bundle = cache_file().read_bytes()
        return bundle if END in bundle[-100:] else None
    return None


def _bundled() -> bytes:
    import vl_convert

    bundle: bytes = vl_convert.javascript_bundle(SNIPPET).encode()
    # No place to keep it is no fault: the next report bundles again.
    with suppress(OSError, RuntimeError, MinarchError):
        kept = cache_file()
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write(kept, bundle)
    return bundle
