"""`pathdsl explain`: a diagnostic code, a name in a file, or a data generator."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.named import NO_MEMBER
from pathdsl.cli.options import AllowOutside, Models, NoColor, read_scope
from pathdsl.cli.output import colour_on, columns, err, out
from pathdsl.errors import ExitCode, PathdslError
from pathdsl.lang import ast
from pathdsl.lang.only import asked_name
from pathdsl.near import did_you_mean

if TYPE_CHECKING:
    from pathdsl.cli.opened import Opened

__all__ = ["explain"]


def explain(
    subject: Annotated[
        str, typer.Argument(metavar="CODE|FILE:NAME|GENERATOR", help="What to explain.")
    ],
    models: Models = [],
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Explain a code (PD203), a name in a file (ioi.circuit:main) or a generator (ioi)."""
    from pathdsl.report.text.style import View

    view = View(width=columns(), colour=colour_on(sys.stdout, off=no_color))
    text = _page(subject, view)
    if text is None:
        text = _generator(subject, view)
    if text is None and (":" in subject or subject.endswith(".circuit")):
        text = _named(subject, models, allow_outside, view)
    if text is None:
        err(_unknown(subject))
        raise typer.Exit(ExitCode.WRONG_INPUT)
    out(text)
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _page(subject: str, view: object) -> str | None:
    """The page of a code or of its kebab-case name."""
    from pathdsl.lang.rules import pages
    from pathdsl.report.text.explain_page import page_text

    known = pages()
    by_name = {page.name: page for page in known.values()}
    page = known.get(subject.upper()) or by_name.get(subject.lower())
    return page_text(page, view) if page is not None else None  # type: ignore[arg-type]


def _generator(subject: str, view: object) -> str | None:
    from pathdsl import tasks
    from pathdsl.report.text.explain_task import generator_text

    if not re.fullmatch(r"\w+", subject) or subject not in tasks.names():
        return None
    return generator_text(tasks.get(subject), view)  # type: ignore[arg-type]


def _named(subject: str, models: list[str], allow_outside: bool, view: object) -> str:
    """A name in a file; prints faults and leaves with 2 where there is none."""
    from pathdsl.cli.opened import open_file
    from pathdsl.report.text.explain_name import described, file_text

    path, _, name = subject.rpartition(":")
    if not path or (not os.path.exists(path) and os.path.exists(subject)):
        path, name = subject, ""
    opened = open_file(path, read_scope([], None, models, None, None, None, allow_outside))
    if isinstance(opened, ExitCode):
        raise typer.Exit(opened)
    program = opened.program
    if not name:
        return file_text(program, view)  # type: ignore[arg-type]
    asked, name = name, asked_name(name)
    if program.find(name) is None:
        known = list(dict.fromkeys([*program.origin, *(c.name.name for c in program.claims)]))
        hint = did_you_mean(name, known) or "it declares " + ", ".join(f"`{n}`" for n in known)
        err(f"no `{name}` in `{path}`; {hint}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    try:
        told = described(name, program, opened.resolver, view)  # type: ignore[arg-type]
        if isinstance(program.find(name), ast.ClaimDecl | ast.LetDecl):
            told += _runs(opened, asked, view)
        return told
    except PathdslError as error:
        complain(error.diagnostics, program.sources)
        raise typer.Exit(error.exit_code) from error


def _runs(opened: Opened, name: str, view: object) -> str:
    """The runs that a claim or let asks for; reads the rows, and loads no weights."""
    from pathdsl.checking.check import prepare
    from pathdsl.report.text.explain_name import runs_text
    from pathdsl.score.requests import first_round

    try:
        ready = prepare(opened.path, opened.program, opened.scope.check_options(None))
        asked = first_round(opened.program, ready.resolver, ready.data, name)
    except PathdslError as error:
        told = error.diagnostics[0]
        return f"\n  its runs are known once `pathdsl plan` passes: {told.code} {told.message}\n"
    if not asked.names:
        raise typer.BadParameter(f"`{opened.path}:{name}`: {NO_MEMBER}")
    return runs_text(asked, view)  # type: ignore[arg-type]


def _unknown(subject: str) -> str:
    from pathdsl import tasks
    from pathdsl.lang.rules import pages

    known = [*pages(), *(page.name for page in pages().values()), *tasks.names()]
    hint = did_you_mean(subject, known)
    wanted = "wanted a code (PD203), FILE:NAME, or a generator (" + ", ".join(tasks.names()) + ")"
    return f"nothing is known of `{subject}`; {hint or wanted}\n"
