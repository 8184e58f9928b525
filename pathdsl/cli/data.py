"""`pathdsl data`: the rows of a data source or of a task, as JSONL or as prompts to look at."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.checked import file_and_name, program_of, vet_options
from pathdsl.cli.complaints import complain
from pathdsl.cli.doctor import read_model
from pathdsl.cli.options import (
    AllowOutside,
    Models,
    NoColor,
    Seed,
    Set,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.errors import ExitCode, PathdslError
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.near import did_you_mean

if TYPE_CHECKING:
    from pathdsl.checking.rows import TaskRows
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.lang.fence import Fence
    from pathdsl.lang.program import Program

__all__ = ["data"]


def data(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="CALL|FILE:TASK", help="A source as in `'ioi(take: 3)'`, or a file's task."
        ),
    ],
    show: Annotated[
        int | None,
        typer.Option(
            "--show", metavar="N", min=1, help="Show N prompts, positions under their tokens."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="A,B", help="Prompt columns to show; all if absent."),
    ] = None,
    models: Models = [],
    sets: Set = [],
    seed: Seed = None,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Write rows as JSONL, or show prompts with positions under their tokens; loads no weights.

    With a model, words that are not one token of its tokenizer are left out of what is drawn, and
    prompts are shown as its tokens: for a task its own, for a call that of `--model WHERE`.
    """
    from pathdsl.checking.rows import CALLED, rows_of
    from pathdsl.report.numbers import many
    from pathdsl.report.text.rows import shown_text
    from pathdsl.tasks import to_jsonl

    if columns is not None and show is None:
        raise typer.BadParameter("`--columns` is for `--show N`; JSONL has all columns")
    sources, view = {}, view_of(no_color=no_color)
    try:
        if _is_call(subject):
            model = _model(models)
            options = read_options(sets=sets, seed=seed, allow_outside=allow_outside)
            program, task = _program(subject, options.fence), CALLED
        else:
            model = None
            options = read_options(sets=sets, seed=seed, models=models, allow_outside=allow_outside)
            path, task = file_and_name(subject)
            vet_options([path], options)
            program = program_of(path, options)
            task = _task(program, task)
            sources = dict(program.sources)
        found = rows_of(program, task, options, model)
        if show is None:
            out(to_jsonl(found.rows), verbatim=True)
        else:
            asked = _columns(columns, found)
            out(shown_text(found, asked, show, view))
    except PathdslError as error:
        complain(error.diagnostics, sources)
        raise typer.Exit(error.exit_code) from error
    if found.taken and show is None:
        err(f"{found.taken}\n")
    if found.open:
        rows = many(len(found.rows), "row")
        err(
            f"`where {found.open}` is decided by runs of the model, which are not made here: of "
            f"these {rows} the task has those that `pathdsl check` keeps\n"
        )
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _program(call: str, fence: Fence | None) -> Program:
    from pathdsl.checking.rows import called

    try:
        return called(call, fence)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _is_call(subject: str) -> bool:
    """Whether a source of rows is meant, and no file that there is."""
    from pathdsl.tasks import names

    if not subject.strip(" :"):
        raise typer.BadParameter("wanted a call as in `ioi(take: 3)`, or FILE:TASK")
    there = os.path.exists(subject) or os.path.exists(subject.rpartition(":")[0])
    if there:
        kind = next(
            (one.name for one in DATA_FILES.values() if subject.lower().endswith(one.endings)), ""
        )
        if kind and os.path.isfile(subject):
            call = f"{kind}({json.dumps(subject, ensure_ascii=False)})"
            raise typer.BadParameter(f"`{subject}` is a file of rows: {shlex.quote(call)}")
        return False
    if subject not in names() and re.fullmatch(r"\w+", subject):
        hint = did_you_mean(subject, names()) or "there are " + ", ".join(names())
        raise typer.BadParameter(f"no generator and no file `{subject}`; {hint}")
    return "(" in subject or subject in names()


def _model(models: list[str]) -> ModelSource | None:
    """The one model of a call."""
    if len(models) > 1:
        raise typer.BadParameter("a call has one model: `--model folder:PATH`")
    return read_model(models[0].removeprefix("model=")) if models else None


def _columns(asked: str | None, found: TaskRows) -> tuple[str, ...]:
    """The prompt columns to show."""
    if asked is None:
        return found.prompts
    names = tuple(name.strip() for name in asked.split(","))
    for name in names:
        if not all(name in row for row in found.rows):
            hint = did_you_mean(name, found.prompts) or f"there are {', '.join(found.prompts)}"
            raise typer.BadParameter(f"`--columns`: no prompt column `{name}`; {hint}")
    return names


def _task(program: Program, name: str) -> str:
    """The task of a file that is meant; leaves with 2 where none is."""
    if name in program.tasks:
        return name
    names = ", ".join(f"`{one}`" for one in program.tasks) or "none"
    hint = did_you_mean(name, program.tasks) or f"its tasks are {names}"
    what = f"no task `{name}` in `{program.path}`" if name else f"write `{program.path}:TASK`"
    err(f"{what}; {hint}\n")
    raise typer.Exit(ExitCode.WRONG_INPUT)
