"""What `pathdsl check` does: judge the claims of files and print what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pathdsl.checking.options import CheckOptions
from pathdsl.cli.checked import checked, failed, files_with
from pathdsl.cli.files import no_files
from pathdsl.cli.output import err, out
from pathdsl.cli.saved import save
from pathdsl.cli.store import result_store
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, overall
from pathdsl.report.formats import Settings, document_of

__all__ = ["judge_files"]


def judge_files(
    files: Sequence[str],
    options: CheckOptions,
    settings: Settings,
    style: str = "text",
    *,
    values: Path | None = None,
    store: bool = True,
    shared: Path | None = None,
) -> ExitCode:
    """Check files and folders and print each in a format; what the process exits with.

    `values` is a file for every metric of every run; `store`: keep results, and find them, in the
    folder `shared` instead of the user's store where it is given.
    """
    codes: list[ExitCode] = []
    rows: list[dict[str, object]] = []
    document = document_of(style, "check", settings)
    names = files_with(files, options)
    guard = Guard()
    with result_store(off=not store or options.locked, shared=shared) as opened:
        options = replace(options, store=opened)
        for name in names:
            outcome = failed(name, options)
            with guard.of(name):
                outcome = checked(name, options, quiet=settings.view.quiet)
            codes.append(outcome.exit_code)
            out(document.checked(outcome))
            if values is not None:
                from pathdsl.report.data.values import values_of

                rows += values_of(outcome)
    code = overall(codes)
    if values is not None and not _write_values(values, rows):
        code = ExitCode.WRONG_INPUT
    out(document.end(code))
    if not names:
        err(no_files(files))
    return code


def _write_values(path: Path, rows: list[dict[str, object]]) -> bool:
    from pathdsl.report.data.values import as_csv, as_jsonl

    return save(path, as_csv(rows) if path.suffix == ".csv" else as_jsonl(rows))
