"""`pathdsl selftest`: does the checker give the answers that are known by construction?"""

from __future__ import annotations

import sys

import typer

from pathdsl.cli.options import NoColor
from pathdsl.cli.output import colour_on, columns, out
from pathdsl.errors import ExitCode

__all__ = ["selftest"]


def selftest(no_color: NoColor = False) -> None:
    """Check the checker against the bundled models whose circuits are known by construction."""
    from pathdsl.checking.selftest import selftest as run
    from pathdsl.report.text.selftest import selftest_report
    from pathdsl.report.text.style import View

    found = run()
    view = View(width=columns(), colour=colour_on(sys.stdout, off=no_color))
    out(selftest_report(found, view))
    good = all(trial.holds for trial in found)
    raise typer.Exit(ExitCode.AS_EXPECTED if good else ExitCode.MACHINE_FAILED)
