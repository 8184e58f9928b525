"""The command `pathdsl`: runs one verb of the command line, turns every end into an exit code.

A plain command line of a quick verb (`pathdsl.cli.quick`) is answered at once; every other one is
read by typer (`pathdsl.cli.app`), whose import alone takes longer than to lint a file. No traceback
reaches a user: what nobody foresaw is reported as a bug, with `--debug` for the traceback.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

from pathdsl.cli.complaints import complain
from pathdsl.cli.output import err, lost, set_up
from pathdsl.cli.quick import answered
from pathdsl.cli.store import forget, interrupted
from pathdsl.cli.unforeseen import debugging, is_of_command_line, tell
from pathdsl.errors import ExitCode, PathdslError

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    """The typer application, `app`, which is imported where somebody asks for it."""
    if name == "app":
        from pathdsl.cli.app import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    set_up()
    code = _run(given, debug)
    missing = lost()
    if missing is not None:
        complain([missing])
        code = ExitCode.MACHINE_FAILED
    sys.exit(code)


def _run(arguments: list[str], debug: bool) -> int:
    debugging(debug)
    forget()
    try:
        quick = answered(arguments)
        if quick is not None:
            return quick
        from pathdsl.cli.app import app

        code = int(app(args=arguments, prog_name="pathdsl", standalone_mode=False) or 0)
        if code == ExitCode.INTERRUPTED:  # which is how typer tells of Ctrl-C
            err(interrupted())
        return code
    except SystemExit as end:
        if isinstance(end.code, int):
            return end.code
        return ExitCode.AS_EXPECTED if end.code is None else ExitCode.WRONG_INPUT
    except KeyboardInterrupt:
        err(interrupted())
        return ExitCode.INTERRUPTED
    except PathdslError as error:
        complain(error.diagnostics)
        return error.exit_code
    except BaseException as error:
        show = getattr(error, "show", None)
        if show is not None and is_of_command_line(error):
            told = io.StringIO()
            show(file=told)
            err(told.getvalue().replace(": Value error, ", ": "))  # the vetting library's words
            return int(getattr(error, "exit_code", ExitCode.WRONG_INPUT))
        return tell(error)
