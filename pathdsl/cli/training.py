"""`pathdsl check FILE --revisions …`: the claims of a file at each checkpoint of a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pathdsl.checking.options import CheckOptions, UnknownName
from pathdsl.cli.checked import files_with
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import known_names
from pathdsl.cli.output import err, out
from pathdsl.cli.saved import save
from pathdsl.cli.store import result_store
from pathdsl.errors import ExitCode, PathdslError, errors_in
from pathdsl.lang.lint import lint_file
from pathdsl.report.formats import Settings

if TYPE_CHECKING:
    from pathdsl.checking.training.revisions import Varied
    from pathdsl.checking.training.series import Series
    from pathdsl.lang.program import Program

__all__ = ["FIGURES", "judge_revisions"]

FIGURES = (".svg", ".html")


def judge_revisions(
    files: Sequence[str],
    revisions: str,
    options: CheckOptions,
    settings: Settings,
    style: str = "text",
    *,
    figure: Path | None = None,
    store: bool = True,
) -> ExitCode:
    """Judge one file at each revision and print all of it; what the process exits with."""
    from pathdsl.checking.training.series import judge_series
    from pathdsl.report.formats import taken_by, write_series

    taken = [one.name for one in taken_by("series")]
    for wrong, why in (
        (len(files) != 1 or os.path.isdir(files[0]), "one file"),
        (style not in taken, f"no `--format {style}`: {', '.join(taken)}, or `--figure PAGE.html`"),
        (options.locked, "no `--locked`: a lock is of one model; lock the file at one revision"),
        (options.both_norms, "no `--both-norms`"),
        (figure is not None and figure.suffix not in FIGURES, "a `--figure` in .svg or .html"),
    ):  # fmt: skip
        if wrong:
            raise typer.BadParameter(f"`--revisions` takes {why}")
    (path,) = files_with(files, options) or files[:1]
    program, faults = lint_file(path, None, options.fence)
    if wrong_ones := errors_in(faults):
        complain(wrong_ones, program.sources)
        return ExitCode.WRONG_INPUT
    if program.is_library or not (program.claims or program.lets):
        err(f"nothing to judge in `{path}`: no claim and no let\n")
        return ExitCode.NOTHING_TO_CHECK
    varied = _varied(revisions, program, options)
    if varied is None:
        return ExitCode.WRONG_INPUT
    quiet = settings.view.quiet or not sys.stderr.isatty()
    with known_names(), result_store(off=not store) as opened:
        series = judge_series(
            program, faults, varied, replace(options, store=opened), None if quiet else _progress
        )
        if options.only is not None and any(at.judged for at in series.steps):
            if not (series.claims or series.quantities or series.emergences):
                raise UnknownName.member(options.only)
    out(write_series(series, style, settings.view))
    code = series.exit_code
    return code if figure is None or _drawn(figure, series) else ExitCode.WRONG_INPUT


def _varied(text: str, program: Program, options: CheckOptions) -> Varied | None:
    """The revisions; None where the model cannot be used, after that was said."""
    from pathdsl.checking.training.revisions import read_revisions

    try:
        return read_revisions(text, program, options)
    except ValueError as error:
        raise typer.BadParameter(f"`--revisions {text}`: {error}") from error
    except PathdslError as error:
        complain(list(error.diagnostics), program.sources)
        return None


def _drawn(figure: Path, series: Series) -> bool:
    from pathdsl.report.page.training_figure import training_html, training_svg

    return save(figure, training_svg(series) if figure.suffix == ".svg" else training_html(series))


def _progress(what: str, done: int, total: int) -> None:
    err(f"[{done + 1}/{total}] {what}\n")
