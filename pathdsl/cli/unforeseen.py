"""What nobody foresaw: said in a line or two, for one file alone, and with the exit code 3.

A file that breaks the checker takes no other file's result with it::

    guard = Guard()
    for name in names:
        with guard.of(name):
            …
    code = max(code, guard.code)
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from pathdsl.cli.complaints import complain
from pathdsl.cli.output import err
from pathdsl.errors import Diagnostic, ExitCode, PathdslError

__all__ = ["Guard", "debugging", "is_of_command_line", "tell"]

_debug = [False]


def debugging(on: bool) -> None:
    """Whether the traceback of an unexpected failure is shown."""
    _debug[0] = on


def tell(error: BaseException, name: str = "") -> ExitCode:
    """Say what happened, to the file `name` if it is about one; the exit code for it."""
    where = f"`{name}`: " if name else ""
    if isinstance(error, MemoryError):
        err(f"error: {where}memory ran out\n")
        return ExitCode.MACHINE_FAILED
    if _debug[0]:
        err(traceback.format_exc())
    if isinstance(error, OSError) and error.strerror:
        complain([refused(error, where)])
        return ExitCode.MACHINE_FAILED
    err(f"{where}this is a bug in pathdsl: {type(error).__name__}: {error}\n")
    if not _debug[0]:
        err("run it again with `--debug` for the traceback, and report it with the file\n")
    return ExitCode.MACHINE_FAILED


def refused(error: OSError, where: str = "") -> Diagnostic:
    """PD666: the system did not do what it was asked for."""
    about = f" `{error.filename}`" if isinstance(error.filename, str) else ""
    return Diagnostic(
        code="PD666",
        message=f"{where}the system refused{about}: {(error.strerror or str(error)).lower()}",
        help="see that there is room, permission and a free file number, and run it again",
    )


def is_of_command_line(error: BaseException) -> bool:
    """Whether the parser of the command line raised it: its ends and its complaints.

    These are classes of its own library or of click, by version; all have an exit code.
    """
    return hasattr(error, "exit_code") or type(error).__name__ == "Abort"


class Guard:
    """Keeps what nobody foresaw to the file that it happened to."""

    def __init__(self) -> None:
        self.code = ExitCode.AS_EXPECTED

    @contextmanager
    def of(self, name: str, leave: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        """Whatever happens to the file is told, and `code` is what the worst of it exits with.

        `leave`: exceptions that the caller takes.
        """
        try:
            yield
        except leave:
            raise
        except PathdslError as error:
            complain(error.diagnostics)
            self.code = max(self.code, error.exit_code)
        except Exception as error:
            if is_of_command_line(error):
                raise
            self.code = max(self.code, tell(error, name))
