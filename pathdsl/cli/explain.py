"""`pathdsl explain`: a diagnostic code, a word, a name in a file, or a data generator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.checked import file_and_name, program_of
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import AllowOutside, Models, NoColor, read_options
from pathdsl.cli.output import err, out, view_of
from pathdsl.errors import ExitCode, PathdslError
from pathdsl.lang import ast
from pathdsl.lang.only import asked_name
from pathdsl.near import did_you_mean

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.lang.program import Program
    from pathdsl.report.text.style import View

__all__ = ["explain"]


def explain(
    subject: Annotated[
        str, typer.Argument(metavar="CODE|WORD|FILE:NAME|GENERATOR", help="What to explain.")
    ],
    models: Models = [],
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Explain a code (PD203), a word (keep), a name in a file (ioi.circuit:main) or a generator
    (ioi)."""

    view = view_of(no_color=no_color)
    text = _page(subject, view)
    if text is None:
        text = _generator(subject, view)
    if text is None:
        text = _word(subject, view)
    if text is None and (":" in subject or subject.endswith(".circuit")):
        text = _named(subject, models, allow_outside, view)
    if text is None:
        err(_unknown(subject))
        raise typer.Exit(ExitCode.WRONG_INPUT)
    out(text)
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _page(subject: str, view: View) -> str | None:
    """The page of a code or of its kebab-case name."""
    from pathdsl.lang.rules import pages
    from pathdsl.report.text.explain_page import page_text

    by_code = pages()
    by_name = {page.name: page for page in by_code.values()}
    page = by_code.get(subject.upper()) or by_name.get(subject.lower())
    return page_text(page, view) if page is not None else None


def _generator(subject: str, view: View) -> str | None:
    from pathdsl import tasks
    from pathdsl.report.text.explain_task import generator_text

    if not re.fullmatch(r"\w+", subject) or subject not in tasks.names():
        return None
    return generator_text(tasks.get(subject), view)


def _word(subject: str, view: View) -> str | None:
    from pathdsl.lang.words import words_named
    from pathdsl.report.text.explain_word import word_text

    senses = words_named(subject)
    return word_text(senses, view) if senses else None


def _named(subject: str, models: list[str], allow_outside: bool, view: View) -> str:
    """A name in a file; prints faults and leaves with 2 where there is none."""
    from pathdsl.checking.prepare import resolver_of
    from pathdsl.report.text.explain_name import described, file_text

    path, name = file_and_name(subject)
    options = read_options(models=models, allow_outside=allow_outside)
    program = program_of(path, options)
    if not name:
        return file_text(program, view)
    asked, name = name, asked_name(name)
    if program.find(name) is None:
        names = list(dict.fromkeys([*program.origin, *(c.name.name for c in program.claims)]))
        hint = did_you_mean(name, names) or "it declares " + ", ".join(f"`{n}`" for n in names)
        err(f"no `{name}` in `{path}`; {hint}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    try:
        text = described(name, program, lambda: resolver_of(program, options), view)
        if isinstance(program.find(name), ast.ClaimDecl | ast.LetDecl):
            text += _runs(program, asked, options, view)
        return text
    except PathdslError as error:
        complain(error.diagnostics, program.sources)
        raise typer.Exit(error.exit_code) from error


def _runs(program: Program, name: str, options: CheckOptions, view: View) -> str:
    """The runs that a claim or let asks for; reads the rows, and loads no weights."""
    from pathdsl.checking.options import UnknownName
    from pathdsl.checking.prepare import prepare
    from pathdsl.report.text.explain_name import runs_text

    try:
        asked = prepare(program, options).first_round(name)
    except PathdslError as error:
        fault = error.diagnostics[0]
        return f"\n  its runs are known once `pathdsl plan` passes: {fault.code} {fault.message}\n"
    if not asked.names:
        raise typer.BadParameter(f"`{program.path}:{name}`: {UnknownName.member(name).why}")
    return runs_text(asked, view)


def _unknown(subject: str) -> str:
    from pathdsl import tasks
    from pathdsl.lang.rules import pages
    from pathdsl.lang.words import all_words

    if subject[:2].upper() == "PD":
        known = list(pages())
    else:
        words = dict.fromkeys(word.name for word in all_words())
        known = [*words, *tasks.names(), *(page.name for page in pages().values())]
    usage = "wanted a code (PD203), a word of the language (keep), FILE:NAME, or a generator ("
    hint = did_you_mean(subject, known)
    return f"nothing is known of `{subject}`; {hint or usage + ', '.join(tasks.names()) + ')'}\n"
