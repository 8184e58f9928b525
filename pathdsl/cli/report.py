"""`pathdsl report`: results as HTML pages, as LaTeX for a paper, or as Markdown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pathdsl.checking.options import CheckOptions
from pathdsl.cli.checked import checked, failed, files_with
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
from pathdsl.cli.unforeseen import Guard
from pathdsl.errors import ExitCode, overall
from pathdsl.lang.fence import FREE
from pathdsl.reading import read_file
from pathdsl.report.numbers import many

__all__ = ["report"]

INDEX_ENDS = ".md"
"""What an index of a folder ends in: it is Markdown."""


def report(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="`.circuit` files and folders of them, or what `check --format json` printed "
            "(`.json`); with `--index` a folder.",
        ),
    ],
    to: Annotated[
        ReportFormat | None,
        typer.Option(
            "--to",
            help="What to write; if absent what OUT ends in, html, or text with `--referee`.",
        ),
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
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Where; standard output if absent. A folder gets index.html and a page for each "
            "file: one that is there, a name ending in /, or of several files one without suffix.",
        ),
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
    """Write results for readers elsewhere; exits as the check that it reports.

    `.circuit` files are checked first. `.json` files are only laid out: no model is read, and the
    report says so. One whose numbers were changed is refused.
    """
    from pathdsl.report.content.file import headline, provenance
    from pathdsl.report.figures.files import NEEDED, has_matplotlib
    from pathdsl.report.formats import format_of, write
    from pathdsl.report.text.referee import referee as referee_text

    if index:
        others = {
            "--to": to is not None and format_of(to.value).suffix != INDEX_ENDS,
            "--referee": referee,
            "--figures": figures is not None, "--only": only is not None, "--locked": locked,
            "--model": models, "--set": sets, "--seed": seed is not None,
            "--both-norms": both_norms,
        }  # fmt: skip
        for name, given in others.items():
            if given:
                raise typer.BadParameter(f"`--index` checks nothing and takes no `{name}`")
        _write_index(files, Path(output) if output is not None else None, allow_outside)
        raise typer.Exit(ExitCode.AS_EXPECTED)
    style = to.value if to is not None else _style_of(output, referee)
    if ("referee" if referee else "report") not in format_of(style).makers:
        raise typer.BadParameter(
            f"`--to {style}` has no section for a referee"
            if referee
            else f"`--to {style}` goes with `--referee`; `pathdsl check` prints the whole report"
        )
    if figures is not None and not has_matplotlib():
        raise typer.BadParameter(f"`--figures`: {NEEDED}")
    has_pages = "pages" in format_of(style).makers
    folder = _folder(output, style, referee)
    stored = [file for file in files if file.endswith(".json")]
    if stored:
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
                    f"`{name}` changes a check, and `{stored[0]}` is the result of one: give the "
                    "`.circuit` file"
                )
        if len(stored) < len(files):
            other = next(file for file in files if file not in stored)
            raise typer.BadParameter(
                f"`{stored[0]}` is a result and `{other}` is to be checked: write a report of "
                "each, or keep the result of the check first, `pathdsl check "
                f"{other} --format json > FILE.json`"
            )
        result = _joined(stored)
    else:
        options = read_options(
            sets=sets, seed=seed, models=models, memory=memory, max_states=max_states,
            max_copies=max_copies, only=only, device=device, threads=threads,
            allow_inconclusive=allow_inconclusive, both_norms=both_norms, locked=locked,
            allow_outside=allow_outside,
        )  # fmt: skip
        result = _checked(files, options, store=not (no_cache or locked))
    if folder is None and output is not None and has_pages and not referee:
        if len(result["files"]) > 1 and not Path(output).suffix:
            folder = Path(output)
    if figures is not None:
        _write_figures(figures, result)
    if folder is not None:
        _write_pages(folder, result, style, checked=not stored)
    elif referee and to is None and output is None:  # for whoever sits before the terminal
        out(referee_text(result, not stored, view_of()))
    else:
        text = write(result, style, checked=not stored, referee=referee)
        if output is None:
            out(text)
        elif not save(Path(output), text):
            raise typer.Exit(ExitCode.WRONG_INPUT)
    if output is not None:
        several = len(result["files"]) > 1
        if folder is not None:
            err(f"{folder / 'index.html'}: {many(len(result['files']), 'page')}\n")
        for one in result["files"]:
            said = f" ({provenance(one)})" if stored else ""
            where = f"{one['path']}: " if several else ""
            err(f"{output}: {where}{headline(one)}{said}\n")
    raise typer.Exit(result["exit_code"])


def _style_of(output: str | None, referee: bool) -> str:
    """The format that a file ends in; typer.BadParameter where it is another program's."""
    from pathdsl.report.formats import taken_by

    suffix = Path(output).suffix.lower() if output and not _is_folder(output) else ""
    if not suffix:
        return "text" if referee else "html"
    known = taken_by("referee" if referee else "report")
    for one in known:
        if suffix == one.suffix:
            return one.name
    ends = ", ".join(f"`{one.suffix}`" for one in known)
    raise typer.BadParameter(
        f"`-o {output}`: no format is known by `{suffix}`; there are {ends}, and `--to` writes any "
        "of them under another name"
    )


def _is_folder(output: str) -> bool:
    return os.path.isdir(output) or output.endswith(("/", os.sep))


def _folder(output: str | None, style: str, referee: bool) -> Path | None:
    """The folder that pages are to be written to; None where one document is."""
    from pathdsl.report.formats import format_of

    if output is None or not _is_folder(output):
        return None
    if referee or "pages" not in format_of(style).makers:
        what = "--referee" if referee else f"--to {style}"
        raise typer.BadParameter(f"`{what}` writes one document: `-o` names a file, not a folder")
    return Path(output)


def _checked(files: Sequence[str], options: CheckOptions, *, store: bool) -> Mapping[str, Any]:
    """The object of all files, checked now; leaves with 2 where folders hold none."""
    from pathdsl.checking.lock.pinned import with_unpinned
    from pathdsl.report.data.result import check_object, file_object

    names = files_with(files, options)
    if not names:
        err(no_files(files))
        raise typer.Exit(ExitCode.WRONG_INPUT)
    objects, codes, guard = [], [], Guard()
    with result_store(off=not store) as opened:
        options = replace(options, store=opened)
        for name in names:
            outcome = failed(name, options)
            with guard.of(name):
                outcome = with_unpinned(checked(name, options))
            if outcome.judgement is None and outcome.diagnostics:
                complain(outcome.diagnostics, outcome.sources)
            codes.append(outcome.exit_code)
            objects.append(file_object(outcome))
    return check_object(objects, overall(codes))


def _joined(files: Sequence[str]) -> Mapping[str, Any]:
    """What was read of one result, or of several together."""
    from pathdsl.report.data.result import check_object

    results = [_read(file) for file in files]
    if len(results) == 1:
        return results[0]
    code = overall(ExitCode(result["exit_code"]) for result in results)
    return check_object([file for result in results for file in result["files"]], code)


def _write_pages(folder: Path, result: Mapping[str, Any], style: str, *, checked: bool) -> None:
    from pathdsl.report.formats import write_pages

    _make_folder(folder, "-o")
    for name, text in write_pages(result, style, checked=checked):
        if not save(folder / name, text):
            raise typer.Exit(ExitCode.WRONG_INPUT)


def _make_folder(folder: Path, option: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"`{option} {folder}`: no folder can be made there: {error.strerror}"
        ) from error


def _write_index(folders: Sequence[str], output: Path | None, allow_outside: bool) -> None:
    """The index of a folder; links are from the folder of `output`, from `folder` without it."""
    from pathdsl.checking.lock.index import index_of
    from pathdsl.report.page.index import index_markdown

    folder = folders[0]
    if len(folders) > 1:
        raise typer.BadParameter(f"`--index` takes one folder, and `{folders[1]}` is another")
    if not os.path.isdir(folder):
        raise typer.BadParameter(f"`--index` lists the files of a folder, and `{folder}` is none")
    if output is not None and output.suffix.lower() in (".html", ".htm", ".tex"):
        raise typer.BadParameter(
            f"`--index` writes Markdown, and `{output}` ends as a page does; `pathdsl report "
            f"{folder} -o FOLDER/` checks the files and writes such pages"
        )
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

    _make_folder(folder, "--figures")
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
