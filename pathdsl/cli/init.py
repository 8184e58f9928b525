"""`pathdsl init`: a first file, from a template of an experiment, a model and rows.

On a terminal it asks for what was not said, unless `--template` was: then, as everywhere else, what
is not said is the bundled model, its task, and columns of usual names.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.doctor import read_model
from pathdsl.cli.output import err, out
from pathdsl.cli.saved import save
from pathdsl.errors import ExitCode, PathdslError

if TYPE_CHECKING:
    from pathdsl.checking.starting.templates import Template

__all__ = ["init"]

QUESTIONS = {
    "reference": "Column of the prompts",
    "treated": "Column of what treated paths carry",
    "answer": "Column of the right answer",
    "wrong": "Column of the wrong answer, - for none",
}


def init(
    template: Annotated[
        str | None, typer.Option("--template", "-t", metavar="NAME", help="Which experiment.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="WHERE", help="folder:PATH, hf:ID@COMMIT, bundled:NAME."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="ROWS", help="A file, or a generator: 'ioi(take: 60)'."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="COLUMN", help="The prompts.")
    ] = None,
    treated: Annotated[
        str | None,
        typer.Option("--treated", metavar="COLUMN", help="What treated paths carry."),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option("--positions", metavar="A,B", help="Named tokens; all that rows name."),
    ] = None,
    answer: Annotated[
        str | None, typer.Option("--answer", metavar="COLUMN", help="The right next token.")
    ] = None,
    wrong: Annotated[
        str | None, typer.Option("--wrong", metavar="COLUMN", help='The wrong one; "" for none.')
    ] = None,
    heads: Annotated[
        str | None, typer.Option("--heads", metavar="A,B", help="The heads it is about: a9.h6.")
    ] = None,
    early: Annotated[
        str | None, typer.Option("--early", metavar="A,B", help="Heads before, or knocked out.")
    ] = None,
    edges: Annotated[
        str | None, typer.Option("--edges", metavar="FILE", help="Edges of another program.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="The `.circuit` file to write."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
) -> None:
    """Write a small file that lints clean and runs: a model, rows, a metric, claims, a control.

    On a terminal it asks, unless `--template` says which experiment. Without `--model` it is about
    a bundled model. Where heads are not said, those of another model are placeholders.
    """
    from pathdsl.checking.starting.draft import ROLES, Wanted, draft, guessed, rows_of
    from pathdsl.checking.starting.templates import template_named, templates, usual_rows

    if listed:
        out(_list(templates()))
        raise typer.Exit(ExitCode.AS_EXPECTED)
    asks = template is None and _on_terminal()
    if asks:
        out(_list(templates()))
        template = _template_asked(templates()[0].name, template_named)
    try:
        chosen = template_named(template or "")
        ask = _Asking(on=asks)
        typed = model or ask.for_("Model", chosen.model)
        source = read_model(typed)
        typed = f"{source.kind}:{typed.partition(':')[2] or typed}"
        target = _target(where or ask.for_("File to write", f"{chosen.name}.circuit"))
        _not_there(target, force)
        usual = usual_rows(chosen, typed)
        rows = rows_of(data or ask.for_("Rows, a file or a generator", usual), target)
        columns = {
            role: given
            if given is not None
            else ask.for_(QUESTIONS[role], guessed(role, rows, chosen), optional=role == "wrong")
            for role, given in zip(ROLES, (reference, treated, answer, wrong), strict=True)
        }
        if positions is None and rows.positions:
            positions = ask.for_("Positions", ",".join(rows.positions))
        own = typed == chosen.model
        if heads is None and chosen.heads and not own:
            heads = ask.for_("Heads, as in a9.h6,a9.h9", "")
        if early is None and chosen.early and not own:
            early = ask.for_("Earlier heads", "")
        if edges is None and chosen.edges and not own:
            edges = ask.for_("File of edges", "")
        wanted = Wanted(
            **columns,
            no_wrong=wrong == "" or (asks and not columns["wrong"]),
            positions=None if positions is None else _words(positions),
            heads=_words(heads),
            early=_words(early),
            edges=edges or "",
        )
        made = draft(chosen, target, source, typed, rows, wanted)
    except PathdslError as error:
        complain(error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    beside = [(target.parent / name, content) for name, content in made.beside]
    for path, _ in beside:
        _not_there(path, force)
    files: list[tuple[Path, bytes]] = [*beside, (target, made.text.encode())]
    for path, content in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not save(path, content):
            raise typer.Exit(ExitCode.WRONG_INPUT)
    lines = [f"wrote {path}" for path, _ in files]
    out("\n".join([*lines, f"next: pathdsl check {shlex.quote(str(target))}", ""]))
    raise typer.Exit(ExitCode.AS_EXPECTED)


class _Asking:
    """Asks on a terminal; elsewhere every answer is the default."""

    def __init__(self, *, on: bool) -> None:
        self.on = on

    def for_(self, question: str, default: str, *, optional: bool = False) -> str:
        """The answer to a question; an empty line means the default, `-` nothing."""
        if not self.on:
            return default
        given: str = typer.prompt(question, default=default, show_default=bool(default)).strip()
        return "" if given == "-" and optional else given


def _template_asked(first: str, named: Callable[[str], Template]) -> str:
    """The name of a template, asked for until it is one."""
    while True:
        given: str = typer.prompt("Template", default=first).strip()
        try:
            return named(given).name
        except PathdslError as error:
            complain(error.diagnostics)


def _on_terminal() -> bool:
    return all(one is not None and one.isatty() for one in (sys.stdin, sys.stdout))


def _list(known: Sequence[Template]) -> str:
    """A line for each template."""
    width = max(len(one.name) for one in known)
    return "".join(f"  {one.name:{width}}  {one.about}\n" for one in known)


def _words(given: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (given or "").split(",") if word.strip())


def _target(where: str) -> Path:
    target = Path(where)
    if target.suffix != ".circuit":
        raise typer.BadParameter(f"`--out {where}`: a file of this language ends in `.circuit`")
    return target


def _not_there(path: Path, force: bool) -> None:
    """Leave with 2 where a file is there that is not to be written over."""
    if path.exists() and not force:
        err(f"`{path}` is there already: `--force` writes over it, `-o FILE` elsewhere\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
