"""What is known of a store to write commands with that continue it."""

from __future__ import annotations

from pathlib import Path

from analyze.study import Study, once
from store.advice import DEFAULT_STORE, Advice, gathered


@once
def advice_in(study: Study) -> Advice:
    """Return the advice of the store that a study was read from."""
    return gathered(study.query, study.path or Path(DEFAULT_STORE))
