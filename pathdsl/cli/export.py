"""`pathdsl export`: circuits in the formats of other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.checked import file_and_name, path_set_of, program_of, resolver_on, vet_task
from pathdsl.cli.complaints import complain
from pathdsl.cli.options import AllowOutside, MaxStates, Models, read_options
from pathdsl.cli.output import err, out
from pathdsl.errors import ExitCode, PathdslError

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.graph.model.components import Layout
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.lang.program import Program

__all__ = ["ExportFormat", "export"]


class ExportFormat(StrEnum):
    """Whose format it is."""

    EAP_IG = "eap-ig"
    MIB = "mib"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exported:
    """One file to write, and what is said of it."""

    place: str
    data: bytes
    said: str


def export(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="FILE:PATH, a path set of a file; NAME=FILE:PATH says its name there.",
        ),
    ],
    to: Annotated[
        ExportFormat,
        typer.Option("--to", help="eap-ig: NAME.json, all edges; mib: a leaderboard submission."),
    ],
    folder: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go.")
    ],
    scores: Annotated[
        str | None,
        typer.Option(
            "--scores",
            metavar="FILE",
            help="Kept scores of the edges; FILE.scores.json beside the file if absent.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="On the model of this task, of several."),
    ] = None,
    models: Models = [],
    max_states: MaxStates = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Write path sets for another program; loads no weights."""
    from pathdsl.whole import write_whole

    options = read_options(models=models, max_states=max_states, allow_outside=allow_outside)
    if scores is not None and len(sources) > 1:
        err("`--scores` is of one source: keep each `NAME.scores.json` beside its `NAME.circuit`\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    made: dict[str, _Exported] = {}
    for source in sources:
        one = _exported(source, to, scores, task, options)
        if one.place in made:
            err(f"two sources are `{one.place}`: name one otherwise, `NAME=FILE:PATH`\n")
            raise typer.Exit(ExitCode.WRONG_INPUT)
        made[one.place] = one
    for one in made.values():
        path = Path(folder, one.place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, one.data)
        except OSError as error:
            err(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}\n")
            raise typer.Exit(ExitCode.WRONG_INPUT) from error
        out(f"{path}: {one.said}\n")
    if to is ExportFormat.MIB and _too_few(made):
        out("the leaderboard takes submissions of at least two tasks and two models\n")
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _too_few(places: Iterable[str]) -> bool:
    """Whether these cells are of one task or of one model alone."""
    cells = [place.partition("/")[0].rpartition("_") for place in places]
    return min(len({task for task, _, _ in cells}), len({model for *_, model in cells})) < 2


def _exported(
    source: str, to: ExportFormat, scores: str | None, task: str | None, options: CheckOptions
) -> _Exported:
    """One source as a file of the format; leaves with 2 after the faults of it were said."""
    from pathdsl.discover.mib import FILE, cell_of, importances

    name, subject = _named(source)
    file, written = file_and_name(subject)
    program = program_of(file, options)
    vet_task(program, file, task)
    beside = scores or _beside(file)
    try:
        resolver = resolver_on(program, file, task, options)
        layout = resolver.layout
        if to is ExportFormat.MIB:
            cell = cell_of(name, [task] if task else tuple(program.tasks), layout.shape)
            place = f"{cell}/{FILE}"
        else:
            place = f"{name or Path(file).stem}.json"
        ranked, said = _scores(beside, layout) if beside else (None, "scores 1 and 0")
        chosen, count = None, "no circuit, a ranking alone"
        if written or ranked is None:
            found = path_set_of(program, file, written or None, f"{file}:NAME")
            chosen = _edges(resolver, program, found)
            count = f"{len(chosen):,} in `{found}`"
        data = importances(layout, chosen, ranked)
    except PathdslError as error:
        complain(error.diagnostics, program.sources)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        err(f"`{beside}` cannot be read: {(error.strerror or str(error)).lower()}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    said = f"{layout.n_edges():,} edges, {count}; {said}"
    return _Exported(place=place, data=data, said=said)


def _named(source: str) -> tuple[str, str]:
    """`NAME=SUBJECT` in its two parts; a file whose name has a `=` is meant where there is one.

    Leaves with 2 for a name that is none of a file.
    """
    name, equals, subject = source.partition("=")
    if not equals or os.path.exists(file_and_name(source)[0]):
        return "", source
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        err(f"`{name}` is no name for a file: letters, digits, `_`, `-` and `.`\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    return name, subject


def _beside(file: str) -> str:
    """The kept scores that belong to a file by its name, "" where there are none."""
    path = Path(file).with_suffix(".scores.json")
    return str(path) if path.exists() else ""


def _scores(path: str, layout: Layout) -> tuple[Mapping[str, float], str]:
    """How far the metric falls by each edge, the mean over the prompts, and what is said of it."""
    from pathdsl.discover.mib import refuse
    from pathdsl.score.kept.file import read_kept, unit_name

    kept = read_kept(Path(path), layout)
    if not kept.of_edges:
        raise refuse(f"`{path}` scores {kept.of}, and the format ranks edges", "score the edges")
    values = kept.scored.values
    if kept.by_position:
        values = values.sum(axis=1)
    falls = 0.0 - values.mean(axis=-1)
    ranked = {unit_name(u): float(x) for u, x in zip(kept.scored.units, falls, strict=True)}
    return ranked, f"scores of `{kept.method}`, the mean fall over {len(kept.rows):,} prompts"


def _edges(resolver: Resolver, program: Program, name: str) -> frozenset[str]:
    """The edges of a named path set, which has to be all paths over them."""
    from pathdsl.discover.mib import refuse
    from pathdsl.errors import LanguageError, errors_in
    from pathdsl.graph.check import check_named
    from pathdsl.graph.files.eap import listed
    from pathdsl.graph.paths import pathset
    from pathdsl.graph.paths.pathset import NONE

    if faults := errors_in(check_named(resolver, name)):
        raise LanguageError(faults)
    paths = resolver.path_set(program.paths[name].path)
    product = resolver.sets.product(paths)
    edges = sorted({(u, v, slot or "") for u, v, slot in product.own_edges()})
    layout = product.layout
    whole = listed(edges, layout) if edges else NONE
    if layout.neurons or resolver.count(pathset.minus(whole, paths)):
        what = "tells neurons apart" if layout.neurons else "is not all paths over its edges"
        raise refuse(
            f"`{name}` {what}: it has positions, or names paths, and the format has edges alone",
            "export a set of edges, `path P = edges { … }`, or of nodes without positions",
        )
    return resolver.edge_set(paths)
