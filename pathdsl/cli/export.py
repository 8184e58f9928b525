"""`pathdsl export`: circuits in the formats of other programs."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.checked import (
    file_and_name,
    path_set_of,
    program_of,
    resolver_on,
    vet_options,
    vet_task,
)
from pathdsl.cli.complaints import complain
from pathdsl.cli.importing import format_named
from pathdsl.cli.options import AllowOutside, MaxStates, Models, read_options
from pathdsl.cli.output import err, out
from pathdsl.errors import ExitCode, LanguageError, PathdslError

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.graph.formats.circuit import Circuit, Lost
    from pathdsl.graph.formats.records import FormatRecord
    from pathdsl.graph.model.components import Layout
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.lang.program import Program

__all__ = ["export"]

LEADERBOARD = "mib"
"""A folder of files of EAP-IG, by the rules of a benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exported:
    """One file to write, and what is said of it."""

    place: str
    data: bytes
    said: str
    lost: tuple[Lost, ...]


def export(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="FILE:PATH, a path set of a file; NAME=FILE:PATH says its name there.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="mib, a leaderboard submission; eap-ig, eap-ig-pt, auto-circuit, acdc, "
            "edge-pruning, interpbench, circuitkit, node-link, graphml, dot, mermaid.",
        ),
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
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Write what is left of a circuit, and say what is lost."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
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

    record = format_named("eap-ig" if to == LEADERBOARD else to, "--to", LEADERBOARD, writes=True)
    if record.writes is None:
        raise typer.BadParameter(
            f"`--to {to}`: the format is read, and not written: {record.unwritten}"
        )
    options = read_options(models=models, max_states=max_states, allow_outside=allow_outside)
    if scores is not None and len(sources) > 1:
        err("`--scores` is of one source: keep each `NAME.scores.json` beside its `NAME.circuit`\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    vet_options([file_and_name(_named(source)[1])[0] for source in sources], options)
    made: dict[str, _Exported] = {}
    for source in sources:
        cells = to == LEADERBOARD
        one = _exported(source, record, scores, task, options, cells=cells, allow_loss=allow_loss)
        if one.place in made:
            err(f"two sources are `{one.place}`: name one otherwise, `NAME=FILE:PATH`\n")
            raise typer.Exit(ExitCode.WRONG_INPUT)
        made[one.place] = one
    _vet_places(Path(folder), made, force=force)
    for one in made.values():
        path = Path(folder, one.place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, one.data)
        except OSError as error:
            err(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}\n")
            raise typer.Exit(ExitCode.WRONG_INPUT) from error
        out(f"{path}: {one.said}\n")
        out("".join(f"  not carried over: {lost}\n" for lost in one.lost))
    if to == LEADERBOARD and _too_few(made):
        out("the leaderboard takes submissions of at least two tasks and two models\n")
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _vet_places(folder: Path, places: Iterable[str], *, force: bool) -> None:
    """Leave with 2 where a folder is a file, or a file that would be written is there."""
    if folder.is_file():
        err(f"`-o {folder}` names a file, and files go into a folder: `-o {folder.parent}/`\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    for path in () if force else (folder / place for place in places):
        if path.exists():
            err(f"`{path}` is there already: `--force` writes over it, `-o FOLDER` elsewhere\n")
            raise typer.Exit(ExitCode.WRONG_INPUT)


def _too_few(places: Iterable[str]) -> bool:
    """Whether these cells are of one task or of one model alone."""
    cells = [place.partition("/")[0].rpartition("_") for place in places]
    return min(len({task for task, _, _ in cells}), len({model for *_, model in cells})) < 2


def _exported(
    source: str,
    record: FormatRecord,
    scores: str | None,
    task: str | None,
    options: CheckOptions,
    *,
    cells: bool,
    allow_loss: bool,
) -> _Exported:
    """One source as a file of the format; leaves with 2 after the faults of it were said."""
    from pathdsl.discover.mib import FILE, cell_of, refuse, scored

    name, subject = _named(source)
    file, written = file_and_name(subject)
    program = program_of(file, options)
    vet_task(program, file, task)
    beside = scores or _beside(file)
    lost: list[Lost] = []
    try:
        resolver = resolver_on(program, file, task, options)
        layout = resolver.layout
        if cells:
            cell = cell_of(name, [task] if task else tuple(program.tasks), layout.shape)
            place = f"{cell}/{FILE}"
        else:
            place = f"{name or Path(file).stem}{record.ending}"
        if record.ranks_all and not layout.shape.has_mlp:
            raise refuse("the format has an MLP in every layer, and this model has none", "")
        if record.ranks_all and layout.shape.recurrence is not None:
            raise refuse(
                "the format has as many heads in every layer, and layers of this model have a "
                "recurrence in their place",
                "name edges one by one: `--to acdc`, `--to node-link`",
            )
        ranked, said = _scores(beside, layout) if beside else (None, "scores 1 and 0")
        chosen, count = None, "no circuit, a ranking alone"
        if written or ranked is None or not record.ranks_all:
            found = path_set_of(program, file, written or None, f"{file}:NAME")
            chosen, parts = _edges(resolver, program, found, allow_loss=allow_loss)
            lost += parts
            count = f"{len(chosen):,} in `{found}`"
        circuit = scored(layout, chosen, ranked)
        data, parts = _written(circuit, record, ranked is not None, allow_loss=allow_loss)
        lost += parts
    except PathdslError as error:
        complain(error.diagnostics, program.sources)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        err(f"`{beside}` cannot be read: {(error.strerror or str(error)).lower()}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    if not record.ranks_all and ranked is None:
        said = "no scores"
    elif "scores" not in record.carries:
        said = "scores left out"
    said = f"{layout.n_edges():,} edges, {count}; {said}"
    return _Exported(place=place, data=data, said=said, lost=tuple(lost))


def _written(
    circuit: Circuit, record: FormatRecord, ranked: bool, *, allow_loss: bool
) -> tuple[bytes, list[Lost]]:
    """The bytes of a circuit, and what the format could not say of it.

    Raises LanguageError PD446 where that makes it another circuit, and that is not allowed.
    """
    from pathdsl.errors import Diagnostic
    from pathdsl.graph.formats.circuit import Entry, Lost

    assert record.writes is not None and circuit.edges is not None
    if not ranked and not record.ranks_all:
        bare = {edge: Entry(kept=entry.kept) for edge, entry in circuit.edges.items()}
        circuit = replace(circuit, edges=bare)
    content, lost = record.writes(circuit)
    if lost and not allow_loss:
        raise LanguageError(
            Diagnostic(
                code="PD446",
                message=f"`--to {record.name}` would make another circuit of it",
                notes=tuple(f"not carried over: {one}" for one in lost),
                help="choose a format that can say it, or write what is left: `--allow-loss`",
            )
        )
    told = list(lost)
    edges = circuit.edges or {}
    if ranked and "scores" not in record.carries:
        count = len(edges)
        told.append(Lost(what="scores", count=count, why="the format has none"))
    elif ranked and not record.ranks_all:
        out_ = sum(not entry.kept for entry in edges.values())
        told.append(
            Lost(what="scores of edges outside", count=out_, why="it lists a circuit alone")
        )
    if isinstance(content, bytes):
        return content, told
    from pathdsl.engine.load.tensors import save_tensors

    return save_tensors(content), told


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


def _edges(
    resolver: Resolver, program: Program, name: str, *, allow_loss: bool
) -> tuple[Collection[str], list[Lost]]:
    """The edges of a named path set, and what more it says.

    Raises LanguageError PD246 where it is not all paths over its edges, unless that may be lost.
    """
    from pathdsl.discover.mib import refuse
    from pathdsl.errors import errors_in
    from pathdsl.graph.check import check_named
    from pathdsl.graph.files.eap import listed
    from pathdsl.graph.formats.circuit import Lost
    from pathdsl.graph.paths import pathset
    from pathdsl.graph.paths.pathset import NONE

    if faults := errors_in(check_named(resolver, name)):
        raise LanguageError(faults)
    paths = resolver.path_set(program.paths[name].path)
    product = resolver.sets.product(paths)
    edges = sorted({(u, v, slot or "") for u, v, slot in product.own_edges()})
    layout = product.layout
    whole = listed(edges, layout) if edges else NONE
    if not layout.neurons and not resolver.count(pathset.minus(whole, paths)):
        return resolver.edge_set(paths), []
    if not allow_loss:
        what = "tells neurons apart" if layout.neurons else "is not all paths over its edges"
        raise refuse(
            f"`{name}` {what}: it has positions, or names paths, and the format has edges alone",
            "export a set of edges, `path P = edges { … }`, or of nodes without positions; "
            "`--allow-loss` writes all its edges",
        )
    lost = []
    if layout.neurons:
        why = "the format has MLPs; each stands for its neurons"
        lost.append(Lost(what="neurons", count=sum(map(len, layout.neurons.values())), why=why))
    else:
        why = "it has positions, or names paths; the file has every path over its edges"
        lost.append(Lost(what=f"which paths `{name}` has", why=why))
    return {_whole(u, v, slot, layout) for u, v, slot in edges}, lost


def _whole(sender: int, receiver: int, slot: str, layout: Layout) -> str:
    """The name of an edge, its MLPs not told apart."""
    ends = [str(layout.components[i]).partition(".n")[0] for i in (sender, receiver)]
    return f"{ends[0]}->{ends[1]}" + (f"<{slot}>" if slot else "")
