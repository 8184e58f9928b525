"""`pathdsl import`: a circuit of another program as a `.circuit` file."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pathdsl.cli.complaints import complain
from pathdsl.cli.doctor import with_loader
from pathdsl.cli.options import readable
from pathdsl.cli.output import err, out
from pathdsl.errors import Diagnostic, ExitCode, LanguageError, PathdslError

if TYPE_CHECKING:
    from pathdsl.discover.imported import Chosen, Cut, Draft
    from pathdsl.graph.formats.circuit import Circuit
    from pathdsl.graph.formats.records import FormatRecord
    from pathdsl.graph.model.shape import ModelShape

__all__ = ["format_named", "import_"]

COLUMNS = ("reference", "treated", "answer", "wrong")
"""Options that name a column of the rows."""


class NanPlace(StrEnum):
    """Where NaN stands among scores."""

    FIRST = "first"
    LAST = "last"


class RankLevel(StrEnum):
    """What is ranked."""

    EDGES = "edges"
    NODES = "nodes"


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A circuit of another program.")],
    origin: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="Its format, if its content leaves it open."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="The `.circuit` file to write."),
    ] = None,
    top: Annotated[
        str | None,
        typer.Option("--top", metavar="N", help="Keep the N, or N%, of largest absolute score."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", help="Keep absolute scores of at least X."),
    ] = None,
    signed: Annotated[
        bool, typer.Option("--signed", help="Rank by score, not by absolute score.")
    ] = False,
    level: Annotated[
        RankLevel | None, typer.Option("--level", help="Rank edges or nodes, where both can be.")
    ] = None,
    nan: Annotated[
        NanPlace | None, typer.Option("--nan", help="Where NaN ranks; most tools: first.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="WHERE", help="folder:PATH, hf:ID@COMMIT, bundled:NAME."),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="DATA", help='FILE.jsonl, FILE.csv, …, or "ioi(take: 60)".'),
    ] = None,
    reference: Annotated[
        str, typer.Option("--reference", metavar="COLUMN", help="The prompts.")
    ] = "prompt",
    treated: Annotated[
        str, typer.Option("--treated", metavar="COLUMN", help="What other paths carry.")
    ] = "other",
    answer: Annotated[
        str, typer.Option("--answer", metavar="COLUMN", help="The token whose logit is read.")
    ] = "answer",
    wrong: Annotated[
        str, typer.Option("--wrong", metavar="COLUMN", help='The token taken off; "" for none.')
    ] = "wrong",
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Import what is left where a part cannot be said.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over files that are there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one object.")] = False,
) -> None:
    """Write a `.circuit` file of a circuit that another program found, and say what is lost.

    Nothing in the file is run: tensors are read with `weights_only`, pickles are refused. Without
    `--model` and `--rows` the file has placeholders, and `pathdsl lint` says what to fill in.
    """
    from pathdsl.discover.imported import choose, draft_text, layout_for, shape_of_file
    from pathdsl.graph.formats.circuit import UnusableFile
    from pathdsl.lang.render import screen

    if top is not None and threshold is not None:
        raise typer.BadParameter("`--top` and `--threshold` are two ways to choose: give one")
    if top is None and threshold is None and (signed or nan is not None):
        option = "--signed" if signed else "--nan"
        raise typer.BadParameter(f"`{option}` orders nothing without `--top` or `--threshold`")
    if origin is not None:
        format_named(origin, "--from")
    cut = _cut(top, threshold, signed, level, nan)
    loader, shape = _model(model)
    if not Path(file).name:
        raise typer.BadParameter(f"`{file}` is a folder")
    target = Path(where) if where else Path(Path(file).with_suffix(".circuit").name)
    if target.suffix != ".circuit":
        raise typer.BadParameter(f"`--out {target}`: a file of this language ends in `.circuit`")
    beside = target.with_suffix(".edges.json")
    try:
        circuit = _circuit(file, origin)
        if not allow_loss:
            _refuse_loss(circuit)
        known = shape or shape_of_file(circuit)
        layout = layout_for(circuit, known)
        sizes = circuit.model.n_layers, circuit.model.n_heads
        if isinstance(cut.top, float) and shape is None and None in sizes:
            raise UnusableFile(
                f"`--top {top}` is a share of a model, and it does not say which", code="PD448",
                advice="name the model: `--model hf:ID`, or keep a number of edges",
            )  # fmt: skip
        chosen = choose(circuit, layout, cut)
        if shape is not None:
            circuit = _with_model(circuit, shape)
        text, edges = draft_text(
            circuit, chosen, layout,
            _draft(file, circuit, chosen, target, beside, loader, rows,
                   (reference, treated, answer, wrong)),
        )  # fmt: skip
    except UnusableFile as error:
        said = f"`{file}` cannot be used: {screen(str(error))}"
        complain([Diagnostic(code=error.code, message=said,
                             help=_with_name(error.advice, file), notes=error.notes)])  # fmt: skip
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    written = [(target, text.encode())] + ([(beside, edges)] if edges is not None else [])
    _write(written, force)
    _tell(file, circuit, chosen, [str(path) for path, _ in written], as_json, model, rows)
    raise typer.Exit(ExitCode.AS_EXPECTED)


def _cut(
    top: str | None, threshold: float | None, signed: bool, level: RankLevel | None,
    nan: NanPlace | None,
) -> Cut:  # fmt: skip
    import math

    from pathdsl.checking.discovery.wanted import Unwanted, read_share_or_count
    from pathdsl.discover.imported import Cut

    if threshold is not None and (math.isnan(threshold) or (not signed and threshold <= 0)):
        raise typer.BadParameter(f"`--threshold {threshold:g}` leaves nothing out")
    count: int | float | None = None
    if top is not None:
        try:
            count = read_share_or_count(top, "--top")
        except Unwanted as error:
            raise typer.BadParameter(str(error)) from error
    return Cut(
        top=count, threshold=threshold, signed=signed,
        level=None if level is None else level.value,
        nan=None if nan is None else nan.value,
    )  # fmt: skip


def _model(where: str | None) -> tuple[str, ModelShape | None]:
    """The loader of a model as the language writes it, and its shape where it is at hand."""
    from pathdsl.lang.placeholders import MODEL

    if where is None:
        return f'hf("{MODEL}")', None
    from pathdsl.engine.load.source import parse_override, shape_of

    with readable():
        _, source = parse_override(f"m={with_loader(where)}")
    try:
        shape = shape_of(source)
    except LanguageError as error:
        complain(error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    dtype = f", dtype: {source.dtype}" if source.dtype else ""
    typed = json.dumps(source.typed or source.location, ensure_ascii=False)
    revision = f", revision: {json.dumps(source.revision)}" if source.revision else ""
    return f"{source.kind}({typed}{revision}{dtype})", shape


def _refuse_loss(circuit: Circuit) -> None:
    """Raise PD446 where what is not carried over makes another circuit."""
    from pathdsl.graph.formats.circuit import UnusableFile

    if parts := [str(one) for one in circuit.lost if one.changes]:
        raise UnusableFile(
            f"it says more than is read: {'; '.join(parts)}", code="PD446",
            advice="`--allow-loss` imports what is left, as another circuit",
        )  # fmt: skip


def _with_name(advice: str, file: str) -> str:
    """The repair with the file's own name, quoted where it stands in Python."""
    quoted = advice.replace('"FILE.json"', json.dumps(f"{file}.json"))
    return quoted.replace('"FILE"', json.dumps(file)).replace("FILE", file)


def format_named(name: str, option: str, *more: str, writes: bool = False) -> FormatRecord:
    """The format of that name; typer.BadParameter where there is none.

    `more` are names too. `writes`: those that are written are the known ones.
    """
    from pathdsl.graph.formats.records import FORMATS
    from pathdsl.near import did_you_mean

    named = {name: one for one in FORMATS for name in (one.name, *one.called)}
    if name not in named:
        hint = did_you_mean(name, [*more, *named])
        known = ", ".join([*more, *(one.name for one in FORMATS if one.writes or not writes)])
        raise typer.BadParameter(
            f"`{option} {name[:40]}` is no format: {hint or 'one of ' + known}"
        )
    return named[name]


def _circuit(file: str, origin: str | None) -> Circuit:
    """The circuit of a file; leaves with 2 where it cannot be read."""
    from pathdsl.graph.formats.circuit import UnusableFile
    from pathdsl.graph.formats.content import content_of, is_archive
    from pathdsl.graph.formats.records import read_content
    from pathdsl.limits import EDGE_FILE_BYTES
    from pathdsl.reading import read_file

    try:
        data = read_file(file, EDGE_FILE_BYTES.most + 1, named=True)
    except OSError as error:
        err(f"`{file}` cannot be read: {(error.strerror or str(error)).lower()}\n")
        raise typer.Exit(ExitCode.WRONG_INPUT) from error
    if len(data) > EDGE_FILE_BYTES.most:
        raise UnusableFile(f"it has more than the {EDGE_FILE_BYTES.most:,} bytes that are read")
    if is_archive(data):
        from pathdsl.engine.load.tensors import read_tensors

        return read_content(read_tensors(data), origin or "")
    return read_content(content_of(data), origin or "")


def _with_model(circuit: Circuit, shape: ModelShape) -> Circuit:
    """The circuit, its model said in full."""
    from dataclasses import replace

    facts = replace(
        circuit.model, n_layers=shape.n_layers, n_heads=shape.n_heads, d_model=shape.d_model,
        parallel=shape.parallel,
    )  # fmt: skip
    return replace(circuit, model=facts)


def _draft(
    file: str, circuit: Circuit, chosen: Chosen, target: Path, beside: Path, loader: str,
    rows: str | None, columns: tuple[str, str, str, str],
) -> Draft:  # fmt: skip
    from pathdsl.discover.imported import Draft
    from pathdsl.lang.placeholders import ROWS
    from pathdsl.lang.render import screen

    for option, word in zip(COLUMNS, columns, strict=True):
        if not re.fullmatch(r"[A-Za-z_]\w*", word) and (word or option != "wrong"):
            raise typer.BadParameter(f"`--{option} {word}` is no name of a column")
    if rows is None:
        data = f'jsonl("{ROWS}")'
    else:
        data = _rows_with(rows, target, columns)
    name = re.sub(r"\W", "_", target.stem, flags=re.ASCII)
    reference, treated, answer, wrong = columns
    title = f"The circuit of {screen(Path(file).name)[:80]}, {_title(circuit)}"
    about = [
        f"Imported from `{screen(Path(file).name)[:80]}`, {_title(circuit)}.",
        f"Kept: {chosen.said}.",
        *(f"Note: {one}." for one in chosen.remarks),
        *([f"A score there: {circuit.scores}."] if circuit.scores and _scored(circuit) else []),
        *(f"Not carried over: {one}." for one in circuit.lost),
    ]
    return Draft(
        name=f"of_{name}", title=title.replace('"', "'"), about=tuple(about), model=loader,
        data=data, reference=reference, treated=treated, answer=answer, wrong=wrong,
        beside=beside.name,
    )  # fmt: skip


def _rows_with(rows: str, target: Path, columns: tuple[str, ...]) -> str:
    """Rows as the language writes them; leaves with 2 where they are none or lack a column."""
    from pathdsl.checking.starting.draft import rows_of
    from pathdsl.near import did_you_mean, quoted

    try:
        found = rows_of(rows, target, "--rows")
    except PathdslError as error:
        complain(error.diagnostics)
        raise typer.Exit(error.exit_code) from error
    for option, word in zip(COLUMNS, columns, strict=True):
        if word and word not in found.columns:
            known = ", ".join(map(quoted, found.columns[:12]))
            hint = did_you_mean(word, found.columns) or f"it has {known}"
            raise typer.BadParameter(
                f"`{rows}` has no column `{word}`, `--{option}` names another: {hint}"
            )
    return found.data


def _title(circuit: Circuit) -> str:
    from pathdsl.graph.formats.records import FORMATS

    return next(one.title for one in FORMATS if one.name == circuit.format)


def _scored(circuit: Circuit) -> bool:
    entries = [*(circuit.edges or {}).values(), *circuit.nodes.values()]
    return any(entry.score is not None for entry in entries)


def _write(files: list[tuple[Path, bytes]], force: bool) -> None:
    from pathdsl.whole import write_whole

    if not force:
        for path, _ in files:
            if path.exists():
                err(f"`{path}` is there already: `--force` writes over it, `-o FILE` elsewhere\n")
                raise typer.Exit(ExitCode.WRONG_INPUT)
    for path, data in files:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as error:
            err(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}\n")
            raise typer.Exit(ExitCode.WRONG_INPUT) from error


def _tell(
    file: str, circuit: Circuit, chosen: Chosen, written: list[str], as_json: bool,
    model: str | None, rows: str | None,
) -> None:  # fmt: skip
    """The report: what was read, what is kept, what is not carried over."""
    from pathdsl.lang.render import screen

    if as_json:
        found = {
            "file": file, "format": circuit.format, "kept": chosen.said,
            "edges": None if chosen.edges is None else len(chosen.edges),
            "nodes": len(chosen.nodes), "scores": circuit.scores, "remarks": list(chosen.remarks),
            "not_carried": [
                {"what": one.what, "count": one.count, "why": one.why} for one in circuit.lost
            ],
            "written": written,
        }  # fmt: skip
        out(json.dumps(found, indent=2, ensure_ascii=False) + "\n", verbatim=True)
        return
    lines = [f"{file}: {_title(circuit)}", f"  kept: {chosen.said}"]
    lines += [f"  note: {one}" for one in chosen.remarks]
    if circuit.scores and _scored(circuit):
        lines.append(f"  a score: {circuit.scores}")
    lines += [f"  not carried over: {one}" for one in circuit.lost]
    lines += [f"wrote {one}" for one in written]
    missing = [word for word, given in (("model", model), ("rows", rows)) if given is None]
    if missing:
        lines.append(f"fill in the {' and the '.join(missing)}: pathdsl lint {written[0]}")
    out("".join(f"{screen(line)}\n" for line in lines))
