"""The program `generate`: it understands signals before it imports anything that takes time."""

from __future__ import annotations

from typing import NoReturn

from store import signals


def main() -> NoReturn:
    """Run the command line and exit."""
    signals.understand("generate")
    from generate.cli import main as run

    run()


if __name__ == "__main__":
    main()
