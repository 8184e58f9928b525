"""`python -m pathdsl` is the command `pathdsl`."""

from __future__ import annotations

import gc
import sys

SHORT = ("lint", "fmt", "explain")
SELDOM = (200_000, 20, 20)
"""When garbage is looked for. As is usual 700, a tenth of a check of stored values, which makes
150,000 and never looks, and of planning."""


def run() -> None:
    """Run the command line and leave with its exit code.

    The short verbs mostly import and build small objects that live to the end; looking for garbage
    among them takes a tenth of their time, so they do without.
    """
    if any(word in SHORT for word in sys.argv[1:2]):
        gc.disable()
    else:
        gc.set_threshold(*SELDOM)
    from pathdsl.cli.main import main

    main()


if __name__ == "__main__":
    run()
