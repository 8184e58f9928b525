"""`pathdsl report`: a result as one HTML page, as LaTeX for a paper, or as Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pathdsl.cli.checked import checked, files_with
from pathdsl.cli.complaints import complain
from pathdsl.cli.files import expand, no_files
from pathdsl.cli.formats import ReportFormat
from pathdsl.cli.options import (
    AllowInconclusive,
    AllowOutside,
    BothNorms,
    Device,
    Locked,
    MaxCopies,
    MaxStates,
    Memory,
    Models,
    NoCache,
    OnDevice,
    Only,
    Seed,
    Set,
    Threads,
    read_options,
)
from pathdsl.cli.output import err, out, view_of
from pathdsl.cli.saved import save
from pathdsl.cli.store import result_store
from pathdsl.errors import ExitCode
from pathdsl.lang.fence import FREE
from pathdsl.reading import read_file
from pathdsl.report.numbers import many

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["report"]


def report(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A `.circuit` file, or what `check --format json` printed (`.json`); with "
            "`--index` a folder.",
        ),
    ],
    to: Annotated[
        ReportFormat | None,
        typer.Option("--to", help="What to write; html if absent, text with `--referee`."),
    ] = None,
    referee: Annotated[
        bool,
        typer.Option("--referee", help="What a referee would ask, with the answers: one screen."),
    ] = False,
    index: Annotated[
        bool,
        typer.Option("--index", help="List the files of a folder by their locks; check nothing."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Where; standard output if absent."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="FOLDER",
            help="Also write the picture of every sweep there, as PNG and PDF.",
        ),
    ] = None,
    sets: Set = [],
    seed: Seed = None,
    only: Only = None,
    device: OnDevice = Device.CPU,
    models: Models = [],
    memory: Memory = None,
    max_states: MaxStates = None,
    max_copies: MaxCopies = None,
    threads: Threads = None,
    allow_inconclusive: AllowInconclusive = False,
    both_norms: BothNorms = False,
    locked: Locked = False,
    no_cache: NoCache = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Write a result for readers elsewhere; exits as the check that it reports.

    A `.circuit` file is checked first. A `.json` file is only laid out: no model is read, and the
    report says so. One whose numbers were changed is refused.
    """
    from pathdsl.checking.lock.pinned import with_unpinned
    from pathdsl.report.content.file import headline, provenance
    from pathdsl.report.figures.files import NEEDED, has_matplotlib
    from pathdsl.report.formats import format_of, write
    from pathdsl.report.text.referee import referee as referee_text

    if index:
        others = {
            "--to": to is not None and to.value != "markdown", "--referee": referee,
            "--figures": figures is not None, "--only": only is not None, "--locked": locked,
            "--model": models, "--set": sets, "--seed": seed is not None,
            "--both-norms": both_norms,
        }  # fmt: skip
        for name, given in others.items():
            if given:
                raise typer.BadParameter(f"`--index` checks nothing and takes no `{name}`")
        _write_index(file, output, allow_outside)
        raise typer.Exit(ExitCode.AS_EXPECTED)
    style = to.value if to is not None else "text" if referee else "html"
    if ("referee" if referee else "report") not in format_of(style).makers:
        raise typer.BadParameter(
            f"`--to {style}` has no section for a referee"
            if referee
            else f"`--to {style}` goes with `--referee`; `pathdsl check` prints the whole report"
        )
    if figures is not None and not has_matplotlib():
        raise typer.BadParameter(f"`--figures`: {NEEDED}")
    is_read = file.endswith(".json")
    if is_read:
        given = {
            "--set": sets, "--seed": seed is not None, "--model": models,
            "--device": device is not Device.CPU, "--memory": memory, "--max-states": max_states,
            "--max-copies": max_copies, "--both-norms": both_norms, "--no-cache": no_cache,
            "--only": only is not None, "--threads": threads, "--locked": locked,
            "--allow-inconclusive": allow_inconclusive, "--allow-outside": allow_outside,
        }  # fmt: skip
        for name, value in given.items():
            if value:
                raise typer.BadParameter(
                    f"`{name}` changes a check, and `{file}` is the result of one: give the "
                    "`.circuit` file"
                )
        result = _read(file)
    else:
        if os.path.isdir(file):
            raise typer.BadParameter(
                f"`{file}` is a folder: `pathdsl check {file} --format json > all.json`, then "
                "`pathdsl report all.json`; `--index` lists its files by their locks"
            )
        options = read_options(
            sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
            max_copies=max_copies, only=only, device=device, threads=threads,
            allow_inconclusive=allow_inconclusive, both_norms=both_norms, locked=locked,
            allow_outside=allow_outside,
        )  # fmt: skip
        files_with([file], options)
        with result_store(off=no_cache or locked) as store:
            outcome = with_unpinned(checked(file, replace(options, store=store)))
        result = _object(outcome)
    if figures is not None:
        _write_figures(figures, result)
    if referee and to is None and output is None:  # for whoever sits before the terminal
        text = referee_text(result, not is_read, view_of())
    else:
        text = write(result, style, checked=not is_read, referee=referee)
    if output is None:
        out(text)
    else:
        if not save(output, text):
            raise typer.Exit(ExitCode.WRONG_INPUT)
        for one in result["files"]:
            said = f" ({provenance(one)})" if is_read else ""
            err(f"{output}: {headline(one)}{said}\n")
    raise typer.Exit(result["exit_code"])


def _write_index(folder: str, output: Path | None, allow_outside: bool) -> None:
    """The index of a folder; links are from the folder of `output`, from `folder` without it."""
    from pathdsl.checking.lock.index import index_of
    from pathdsl.report.page.index import index_markdown

    if not os.path.isdir(folder):
        raise typer.BadParameter(f"`--index` lists the files of a folder, and `{folder}` is none")
    files = expand([folder])
    if not files:
        err(no_files([folder]))
        raise typer.Exit(ExitCode.WRONG_INPUT)
    command = f"pathdsl report --index {folder}" + (f" -o {output}" if output else "")
    home = str(output.parent) if output is not None else folder
    fence = FREE if allow_outside else None
    text = index_markdown(index_of(files, fence), home, command)
    if output is None:
        out(text)
    elif save(output, text):
        err(f"{output}: {many(len(files), 'file')}\n")
    else:
        raise typer.Exit(ExitCode.WRONG_INPUT)


def _write_figures(folder: Path, result: Mapping[str, Any]) -> None:
    from pathdsl.report.figures.files import figure_files

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"`--figures {folder}`: no folder can be made there: {error.strerror}"
        ) from error
    count = 0
    for name, written in figure_files(result):
        if not save(folder / name, written):
            raise typer.Exit(ExitCode.WRONG_INPUT)
        count += 1
    found = many(count, "file") if count else "no file, for there is no sweep that makes a picture"
    err(f"{folder}: {found}\n")


def _read(file: str) -> Mapping[str, Any]:
    from pathdsl.report.data.read import ChangedResult, NotAResult, read_result

    try:
        return read_result(read_file(file).decode("utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"cannot read `{file}`: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"`{file}` is not UTF-8 text: byte {error.start}") from error
    except NotAResult as error:
        raise typer.BadParameter(
            f"`{file}` is not what `pathdsl check --format json` prints: {error}"
        ) from error
    except ChangedResult as error:
        raise typer.BadParameter(
            f"`{file}` was changed after `pathdsl check --format json` printed it: {error}; check "
            "the `.circuit` file again"
        ) from error


def _object(outcome: FileOutcome) -> Mapping[str, Any]:
    """The object of a check made now; faults that stopped it are printed, too."""
    from pathdsl.report.data.result import check_object, file_object

    if outcome.judgement is None and outcome.diagnostics:
        complain(outcome.diagnostics, outcome.sources)
    return check_object([file_object(outcome)], outcome.exit_code)
