"""The program `analyze`: it understands signals before it imports anything that takes time."""

from __future__ import annotations

import os
from typing import NoReturn

from store import signals


def main() -> NoReturn:
    """Run the command line and exit."""
    signals.understand("analyze")
    # Matrices are small here: a second thread costs more than it brings, and on a busy machine many times more.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from analyze.cli import main as run

    run()


if __name__ == "__main__":
    main()
