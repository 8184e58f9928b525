"""Reads a task's rows: files and data sets with their hash, generators by name, filters.

Row ids are texts: the row's own `id`, else the number of its line (in CSV: of its row), from 1. The
order is that of the file. `take` with a `seed` draws rows without replacement and keeps that order;
without a seed the first rows are taken. Filters apply after `take`, so that `task abba = ioi where
template == "abba"` is a part of `ioi`.

In a CSV file all cells are texts, except those that hold a JSON list or object: `[5, 6]`,
`{"S2": 3}`. `ids:` and `texts:` say of a column how it is to be read, in both kinds of files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from pathdsl.draws import Draws
from pathdsl.engine.data.cells import read_columns
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.select import select
from pathdsl.engine.data.sources import Reader, dataset_rows, json_rows, parquet_rows
from pathdsl.engine.data.table import Row, csv_rows, jsonl_rows, named
from pathdsl.engine.data.task import Hits, Scalar, TaskSpec
from pathdsl.engine.data.tokens import word_fits
from pathdsl.errors import Diagnostic
from pathdsl.lang.fence import FREE, Fence, outside
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.lang.signatures.kinds import Kind
from pathdsl.near import did_you_mean
from pathdsl.reading import read_file
from pathdsl.record import record

__all__ = ["LoadedRows", "Row", "check_ids", "load_rows", "named", "rows_hash"]

_SHORTEST_HASH = 4


@record
class LoadedRows:
    """Rows with their ids filled in; `facts` (`data`, `data_sha256`, `rows`) for the methodology.

    `facts["rows"]` is the hash of the rows themselves: tasks with equal ones share their rows.
    `taken` says which rows of a file were taken, `where` what filtered them, and `rows_before` how
    many there were before that; they are missing where nothing was left out. `added`: columns that
    came after such rows were published, and that no hash of rows counts. `lines`: row id to the
    line of the file on which it begins, from 1; none for a generator's rows. `counted`: what they
    count, the `line` or, where a file has none, the `row`.
    """

    rows: list[Row]
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    added: frozenset[str] = frozenset()
    lines: Mapping[str, int] = field(default_factory=dict)
    counted: str = "line"


def load_rows(
    task: TaskSpec,
    base_dir: Path,
    overrides: Mapping[str, int] | None = None,
    fence: Fence = FREE,
    known: Hits | None = None,
    tokenizer: Any | None = None,
) -> LoadedRows:
    """The rows that a task names; a file is relative to `base_dir`.

    `overrides`: `take` and `seed` in the place of the file's. `fence`: where a file may lie.
    `known`: what was measured for conditions on runs; others leave no row out, and
    `facts["open"]` names them. `tokenizer`: by which a generator chooses its words.
    Raises DataError PD320 to PD327, PD328 (no such field to filter by), PD339 (two rows of one id),
    PD305 (no number to compare), PD375 (too few words) and PD664 (outside of the fence), with
    everything found.
    """
    faults = DataFaults(task.name, task.data.span or task.span)
    call = task.data
    arguments: dict[str, Scalar] = {**call.arguments, **(overrides or {})}
    facts = {}
    added: frozenset[str] = frozenset()
    lines: dict[str, int] = {}
    counted = "line"
    if call.name in DATA_FILES:
        if "take" not in arguments and "seed" not in call.arguments:
            arguments.pop("seed", None)  # `--seed` for all tasks: nothing is drawn here
        counted = DATA_FILES[call.name].counted
        if DATA_FILES[call.name].hub:
            _check_arguments(call.name, arguments, faults)
            numbered, digest = dataset_rows(call, base_dir, fence, faults)
            digest = digest or rows_hash([row for _, row in numbered])
            _vet_hash(f"the data set `{call.path}`", digest, task, faults)
        else:
            content, digest = _read(task, base_dir / call.path, faults, fence)
            _check_arguments(call.name, arguments, faults)
            faults.stop()
            numbered = _READERS[call.name](call, content, faults)
        facts["data_sha256"] = digest
        faults.stop()
        rows, lines = [row for _, row in numbered], {row["id"]: line for line, row in numbered}
        rows = read_columns(rows, call.ids, call.texts, faults)
        of_file, rows = len(rows), _take(rows, arguments, faults)
        if len(rows) < of_file:
            facts["taken"] = _taken(len(rows), of_file, arguments.get("seed"))
    else:
        arguments = _usable(task, arguments, overrides or {}, faults)
        rows, left_out, added = _generate(task, arguments, tokenizer, faults)
        if left_out:
            facts["taken"] = left_out
    facts["data"] = replace(call, arguments=arguments).written
    if task.filters:
        facts["where"] = " and ".join(map(str, task.filters))
        facts["rows_before"] = str(len(rows))
        still = [one for one in task.filters if one.run and one.measured not in (known or {})]
        if still:
            facts["open"] = " and ".join(map(str, still))
    rows = select(rows, task, faults, known or {}, whole=not overrides)
    faults.stop()
    if not rows:
        of_file = call.name in DATA_FILES
        faults.add(
            "PD324",
            f"`{call.path}` has no rows" if of_file else f"`{call.name}` gives no rows",
            advice="" if of_file else "data = ioi(take: 256, seed: 0)",
        )
    check_ids(rows, faults)
    faults.stop()
    facts["rows"] = rows_hash(rows, added)
    return LoadedRows(
        rows=rows, facts=facts, warnings=faults.warnings, added=added, lines=lines, counted=counted
    )


def check_ids(rows: Sequence[Row], faults: DataFaults) -> None:
    """Note PD339 for every row whose id another row before it has."""
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            faults.add("PD339", f"two rows have the id `{row['id']}`", row=row["id"])
        seen.add(row["id"])


def rows_hash(rows: Sequence[Row], added: Collection[str] = ()) -> str:
    """sha256 of the rows in order, whatever the order of their keys, `added` columns left out."""
    counted = [{k: v for k, v in row.items() if k not in added} for row in rows] if added else rows
    canonical = json.dumps(
        list(counted), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


# ------------------------------------------------------------------------------- files


def _read(task: TaskSpec, path: Path, faults: DataFaults, fence: Fence) -> tuple[bytes, str]:
    """The bytes of a data file and its sha256, checked against the task's."""
    if not task.data.path:
        faults.add("PD327", f"`{task.data.name}` names no file", advice='jsonl("rows.jsonl")')
        faults.stop()
    if not fence.holds(path):
        faults.keep(outside(task.data.path, task.data.span))
        faults.stop()
    try:
        content = read_file(path)
    except OSError as error:
        faults.add(
            "PD320",
            f"the data file `{path}` cannot be read: {error.strerror or error}",
            notes=("a data file is relative to the file that names it",),
        )
        faults.stop()
        raise
    digest = hashlib.sha256(content).hexdigest()
    _vet_hash(f"the data file `{path}`", digest, task, faults)
    return content, digest


def _vet_hash(what: str, digest: str, task: TaskSpec, faults: DataFaults) -> None:
    """Note PD321 where rows are not those of the hash that the task names."""
    wanted = task.data.arguments.get("sha256")
    if wanted is not None:
        prefix = str(wanted).lower()
        if len(prefix) < _SHORTEST_HASH or set(prefix) - set("0123456789abcdef"):
            faults.add(
                "PD321",
                f'`sha256: "{wanted}"` is not at least {_SHORTEST_HASH} hexadecimal digits',
                advice=f'sha256: "{digest}"',
            )
        elif not digest.startswith(prefix):
            faults.add(
                "PD321",
                f"{what} is not the one that was meant",
                notes=(f"the file says sha256 {wanted}", f"found sha256 {digest}"),
                advice=f'sha256: "{digest}"',
            )


def _check_arguments(name: str, arguments: Mapping[str, Scalar], faults: DataFaults) -> None:
    taken = [
        one.name
        for one in DATA_FILES[name].parameters
        if not one.by_place and one.kind is not Kind.COLUMNS
    ]
    for key, value in arguments.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if key not in taken:
            known = ", ".join(f"`{one}:`" for one in taken)
            faults.add("PD327", f"`{name}` has no argument `{key}:`, only {known}")
        elif key == "take" and not (whole and int(value) >= 1):
            faults.add("PD327", f"`take` is {value!r}, wanted a whole number from 1")
        elif key == "seed" and not whole:
            faults.add("PD327", f"`seed` is {value!r}, wanted a whole number")


_READERS: dict[str, Reader] = {
    "jsonl": jsonl_rows,
    "csv": csv_rows,
    "json": json_rows,
    "parquet": parquet_rows,
}


def _take(rows: list[Row], arguments: Mapping[str, Scalar], faults: DataFaults) -> list[Row]:
    if "take" not in arguments:
        return rows
    take = int(arguments["take"])
    if take > len(rows):
        faults.add(
            "PD325",
            f"`take: {take}` asks for more rows than the {len(rows)} of the file",
            advice=f"take: {len(rows)}",
        )
        return rows
    if "seed" not in arguments:
        return rows[:take]
    places = Draws(int(arguments["seed"]), "take").sample(range(len(rows)), take)
    return [rows[place] for place in sorted(places)]


def _taken(count: int, of_file: int, seed: Scalar | None) -> str:
    if seed is None:
        return f"the first {count:,} of the {of_file:,} rows of the file"
    return f"{count:,} of the {of_file:,} rows of the file, drawn by seed {seed}"


# ------------------------------------------------------------------------------- generators


def _usable(
    task: TaskSpec,
    arguments: dict[str, Scalar],
    overrides: Mapping[str, int],
    faults: DataFaults,
) -> dict[str, Scalar]:
    """The arguments that the generator of a task takes, those that it does not take refused."""
    from pathdsl import tasks

    name = task.data.name
    try:
        generator = tasks.get(name)
    except KeyError:
        every = (*DATA_FILES, *tasks.names())
        listed = ", ".join(f"`{one}`" for one in every)
        faults.add(
            "PD326", f"no source of rows `{name}`", notes=(f"there are {listed}",),
            advice=did_you_mean(name, every),
        )  # fmt: skip
        faults.stop()
        raise
    except TypeError as error:
        faults.add("PD326", str(error))
        faults.stop()
        raise
    known = {parameter.name for parameter in generator.parameters}
    # `--seed` for all tasks must not fail on one that draws nothing.
    arguments = {k: v for k, v in arguments.items() if k in known or k not in overrides}
    for found in generator.faults(**arguments):
        faults.add("PD327", f"generator `{name}`: {found}")
    for keyword in (word for word in ("ids", "texts") if getattr(task.data, word)):
        faults.add("PD327", f"generator `{name}`: `{keyword}:` is for files")
    if task.data.path:
        faults.add("PD327", f"generator `{name}` takes arguments by name, `take: 256`")
    faults.stop()
    return arguments


def _generate(
    task: TaskSpec, arguments: Mapping[str, Scalar], tokenizer: Any | None, faults: DataFaults
) -> tuple[list[Row], str, frozenset[str]]:
    """The rows, which words were left out of them, and the columns that no hash counts."""
    from pathdsl import tasks
    from pathdsl.tasks.base import TooFewWords

    made = tasks.get(task.data.name)
    fits = word_fits(tokenizer) if tokenizer is not None and made.words else None
    try:
        rows = made.rows(fits, **arguments)
    except TooFewWords as error:
        faults.add(
            "PD375",
            f"generator `{made.name}`: {error}",
            notes=(made.left_out(fits),) if fits is not None else (),
            advice="rows of your own in a file, or a model with another tokenizer",
        )
        faults.stop()
        raise
    left_out = made.left_out(fits) if fits is not None else ""
    return [named(row, i) for i, row in enumerate(rows, start=1)], left_out, made.added
