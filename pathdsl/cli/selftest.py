"""`pathdsl selftest`: does the checker give the answers that are known by construction?"""

from __future__ import annotations

import typer

from pathdsl.cli.options import NoColor
from pathdsl.cli.output import out, view_of
from pathdsl.errors import ExitCode

__all__ = ["selftest"]


def selftest(no_color: NoColor = False) -> None:
    """Check the checker against the bundled models whose circuits are known by construction."""
    from pathdsl.checking.selftest import selftest as run
    from pathdsl.report.text.selftest import selftest_report

    found = run()
    view = view_of(no_color=no_color)
    out(selftest_report(found, view))
    good = all(trial.holds for trial in found)
    raise typer.Exit(ExitCode.AS_EXPECTED if good else ExitCode.MACHINE_FAILED)
