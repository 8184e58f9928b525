"""`pathdsl robustness`: the claims of a file under other choices of method."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.checking.options import CheckOptions, UnknownName
from pathdsl.cli.checked import files_with, program_of
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import (
    AllowOutside,
    Device,
    Format,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoCache,
    NoColor,
    OnDevice,
    Only,
    Quiet,
    Seed,
    Set,
    Style,
    known_names,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.saved import save
from pathdsl.cli.store import result_store
from pathdsl.errors import ExitCode, errors_in
from pathdsl.lang.only import asked_name
from pathdsl.whole import write_whole

if TYPE_CHECKING:
    from pathdsl.lang.program import Program
    from pathdsl.lang.vary import Cell

__all__ = ["EPILOG", "robustness"]

EPILOG = "\n".join(
    [
        "\b",
        "Exit codes:",
        "    0  every verdict is the same in every cell that was judged",
        "    1  some verdict flips",
        "    2  the file, an option or the data is wrong, or no cell could be judged",
        "    3  the machine failed: memory, weights, a self-check",
        "    5  no claim in the file",
    ]
)

MOST_CELLS = 64


def robustness(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file with claims.")],
    only: Only = None,
    grid: Annotated[
        list[str],
        typer.Option("--grid", metavar="FIELD[=VALUE]", help="Change this alone; may be repeated."),
    ] = [],
    full: Annotated[
        bool, typer.Option("--full", help="Every combination of the choices, not one at a time.")
    ] = False,
    max_cells: Annotated[
        int, typer.Option("--max-cells", metavar="N", min=1, help="Refuse more cells than these.")
    ] = MOST_CELLS,
    planned: Annotated[
        bool, typer.Option("--plan", help="Print the cells and what they cost; run nothing.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="DIR", help="Also write every cell as a file."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also draw it, .svg.")
    ] = None,
    style: Style = Format.TEXT,
    sets: Set = [],
    seed: Seed = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    no_cache: NoCache = False,
    quiet: Quiet = False,
    allow_outside: AllowOutside = False,
    no_color: NoColor = False,
) -> None:
    """Judge the claims of a file again under other choices of method; say which verdicts flip."""
    from pathdsl.lang.vary import base_of, one_at_a_time, product_of, product_size, silent

    if figure is not None and figure.suffix != ".svg":
        raise typer.BadParameter(f"`--figure {figure}`: wanted a name ending in .svg")
    view = view_of(no_color=no_color)
    options = read_options(
        sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
        max_copies=max_copies, only=only, device=device, allow_outside=allow_outside,
    )  # fmt: skip
    program = _program(file, options)
    options = replace(options, only=None)  # each cell holds what is asked for and nothing else
    claims = [claim.name.name for claim in program.claims]
    base = base_of(program, [asked_name(only)] if only is not None else claims)
    values = _values(base, grid)
    size = product_size(values) if full else sum(len(some) for some in values.values())
    if size > max_cells:
        raise typer.BadParameter(
            f"{size:,} cells, more than {max_cells}; choose some with `--grid FIELD=VALUE`, or "
            f"allow them with `--max-cells {size}`"
        )
    cells = list(product_of(base, values)) if full else one_at_a_time(base, values)
    if write is not None:
        _write_cells(write, [base, *cells])
    if planned or full:
        told = _costs([base, *cells], options)
        if planned:
            out(told)
            raise typer.Exit(ExitCode.AS_EXPECTED)
        if not quiet:
            err(told)
    from pathdsl.checking.robustness import judge_cells
    from pathdsl.report.data.result import dump
    from pathdsl.report.page.robustness_figure import robustness_svg
    from pathdsl.report.text.robustness import robustness_object, robustness_report

    progress = None if quiet or not sys.stderr.isatty() else _progress
    with result_store(off=no_cache) as store:
        found = judge_cells(base, cells, replace(options, store=store), only, progress)
    if only is not None and found.base.judgement is not None and not found.claims:
        with known_names():
            raise UnknownName.member(only)
    quiet_axes = silent(base) if not grid else {}
    if style is Format.JSON:
        out(dump(robustness_object(found, quiet_axes)))
    elif found.claims:
        out(robustness_report(found, quiet_axes, view))
    if not found.claims:
        wrong = errors_in(found.base.diagnostics)
        complain(wrong, found.base.sources)
    code = found.exit_code
    if figure is not None and found.claims and not save(figure, robustness_svg(found)):
        code = ExitCode.WRONG_INPUT
    raise typer.Exit(code)


def _program(file: str, options: CheckOptions) -> Program:
    """The program, vetted; leaves with 2 or 5 where there is nothing that could be judged."""
    program, only = program_of(file, options), options.only
    if not program.claims:
        err(f"nothing to judge in `{file}`: no claim\n")
        raise typer.Exit(ExitCode.NOTHING_TO_CHECK)
    files_with([file], options)
    if only is not None and asked_name(only) in program.lets:
        raise typer.BadParameter(f"`--only {only}`: that is a `let`; a claim has a verdict")
    return program


def _values(base: Cell, grid: Sequence[str]) -> dict[str, list[str]]:
    """The values to go through, by axis; raises typer.BadParameter for what is none."""
    from pathdsl.lang.vary import AXES, silent, values_of

    have = {axis: list(some) for axis, some in values_of(base).items()}
    if not grid:
        return have
    known = [axis.name for axis in AXES]
    found: dict[str, list[str]] = {}
    for text in grid:
        axis, _, value = (part.strip() for part in text.partition("="))
        if axis not in known:
            raise typer.BadParameter(f"`--grid {text}`: the choices are {', '.join(known)}")
        if axis not in have and not (axis == "treated" and value):
            raise typer.BadParameter(f"`--grid {text}`: nothing to change: {silent(base)[axis]}")
        if value and axis != "treated" and value not in have[axis]:
            raise typer.BadParameter(
                f"`--grid {text}`: the values beside the file's own are {', '.join(have[axis])}"
            )
        chosen = [value] if value else have[axis]
        found[axis] = list(dict.fromkeys([*found.get(axis, []), *chosen]))
    return {axis: found[axis] for axis in known if axis in found}


def _costs(cells: Sequence[Cell], options: CheckOptions) -> str:
    """The cells with their cost in plain forward passes, a line each, and the sum."""
    from pathdsl.checking.robustness import forwards_of
    from pathdsl.report.numbers import plain

    lines, total = [], 0.0
    for cell in cells:
        cost = forwards_of(cell, options)
        total += cost or 0.0
        text = "cannot be planned" if cost is None else f"{plain(cost, 1)} plain forward passes"
        if not cell.claims:
            text = "no claim that it applies to"
        lines.append(f"  {cell.name}: {text}")
    lines.append(
        f"{len(cells)} cells, about {plain(total, 1)} plain forward passes, searches apart"
    )
    return "\n".join(lines) + "\n"


def _write_cells(folder: Path, cells: Sequence[Cell]) -> None:
    """Write each cell as a file of its own, paths rewritten for the folder."""
    from pathdsl.lang.vary import relocate

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for i, cell in enumerate(cells):
            if not cell.text:
                continue
            stem = re.sub(r"[^A-Za-z0-9]+", "-", cell.name).strip("-")
            text = f"# {Path(cell.path).name}: {cell.name}\n" + relocate(
                cell.text, cell.path, folder
            )
            write_whole(folder / f"{i:03}-{stem}.circuit", text.encode("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"`--write {folder}`: {error.strerror}") from error


def _progress(what: str, done: int, total: int) -> None:
    err(f"[{done + 1}/{total}] {what}\n")
