"""From rows to `TaskData`: prompts tokenised, answers single tokens, positions indices, all vetted.

Every fault of every row is looked for before any is reported, each with the row, the column and
what would work. No torch: a fast tokenizer of `transformers` comes in as an argument.

    spec = task_spec(program.tasks["ioi"], program.tasks)
    rows = load_rows(spec, Path("hypotheses"))
    task, warnings = build_task(spec, rows, tokenizer, shape, answer_columns=["io", "s"])
    resolve_positions(task, Pos(name="S1", offset=1))
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pathdsl.engine.data.answers import vet_room, with_branches
from pathdsl.engine.data.chat import chat_of, chat_texts
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.given import spans_of
from pathdsl.engine.data.places import own_places
from pathdsl.engine.data.positions import next_tokens, resolve_positions
from pathdsl.engine.data.readings import (
    first_tokens,
    vet_bos,
    vet_continuations,
    vet_prompts,
    vet_readings,
)
from pathdsl.engine.data.repeats import near_copies, numbered, repeats_of, vet_repeats
from pathdsl.engine.data.rows import LoadedRows, Row, check_ids, load_rows, named, rows_hash
from pathdsl.engine.data.task import DataCall, Filter, Scalar, TaskSpec, task_spec
from pathdsl.engine.data.tokens import Encoder, Ids, Prompt
from pathdsl.engine.data.treated import (
    unchanged_rows,
    vet_branch,
    vet_means,
    vet_treated,
)
from pathdsl.engine.data.vetted import (
    answers_of,
    check_columns,
    check_crossed,
    check_lengths,
    free_columns,
    labels_of,
    positions_of,
    prompts_of,
    read_of,
)
from pathdsl.errors import Diagnostic
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.signatures.calls import DATA_FILES
from pathdsl.lang.signatures.treated import ROW
from pathdsl.plan.readout import ANSWER
from pathdsl.plan.taskdata import Apart, TaskData
from pathdsl.plan.treated import EVERY, TreatedSpec

__all__ = [
    "DataCall",
    "Filter",
    "LoadedRows",
    "Row",
    "TaskSpec",
    "build_task",
    "load_rows",
    "next_tokens",
    "resolve_positions",
    "task_spec",
]


MOST_PARTS = 24
"""Values of the label that a task is split by; more than a table can be read for."""


def build_task(
    spec: TaskSpec,
    rows: LoadedRows | Sequence[Row],
    tokenizer: Any | None,
    shape: ModelShape,
    *,
    treated: Iterable[TreatedSpec] = (),
    prompt_columns: Collection[str] = (),
    answer_columns: Iterable[str] = (),
    elsewhere: Collection[str] = (),
    summed: Collection[TreatedSpec] = (),
) -> tuple[TaskData, tuple[Diagnostic, ...]]:
    """The task's arrays, and the warnings about its rows.

    `treated`: treated values that runs name besides the task's own; `prompt_columns`: prompts that
    are run for another reason; `answer_columns`: token columns that metrics read (`next` needs no
    column), and `elsewhere` those of them that are read at other places than END only; `summed`:
    those of `treated` that nothing but a sum of an action reads. Raises
    DataError with every fault of every row: PD324, PD328 to PD344, PD348, PD349, PD354, PD357,
    PD370 to PD373.
    """
    faults = DataFaults(spec.name, spec.data.span or spec.span)
    given = rows.rows if isinstance(rows, LoadedRows) else rows
    table = [named(row, i) for i, row in enumerate(given, start=1)]
    if not table:
        faults.add("PD324", "there are no rows")
        faults.stop()
    check_ids(table, faults)
    answer_columns = list(answer_columns)
    read = read_of(spec, treated, prompt_columns, answer_columns)
    specs, columns, answers, needed = read.treated, read.prompts, read.answers, read.labels
    check_columns(table, read, faults)

    from_file = spec.data.name in DATA_FILES
    texts = spec.data.texts if from_file else answers
    chat = chat_of(tokenizer, faults) if spec.chat else None
    if chat is not None:
        counted = spans_of(table, spec.reference)
        table = chat_texts(table, columns, counted, chat, tokenizer, faults)
    if spec.chat:
        faults.stop()
    around = chat.fact if chat is not None else ""
    encoder = Encoder(
        tokenizer, shape, spec.bos, faults, texts=texts, generated=not from_file, around=around
    )
    prompts = prompts_of(table, columns, encoder)
    free = free_columns(specs, [spec.reference, *prompt_columns])
    check_lengths(table, spec.reference, prompts, free, encoder, faults)
    positions = positions_of(table, spec, prompts[spec.reference], encoder, faults)
    reference = prompts[spec.reference]
    apart: dict[str, Apart] = {}
    for column in free:
        own = own_places(table, column, reference, prompts[column], positions, encoder, faults)
        apart |= {column: own} if own is not None else {}
    tokens = {name: answers_of(table, name, reference, spec, encoder) for name in answers}
    if spec.whole:
        _vet_whole(table, spec, reference, positions, tokens, encoder, faults)
    vet_bos(prompts, table, encoder, faults)
    if from_file:
        vet_readings(table, spec, answers, reference, encoder, faults)
        vet_prompts(prompts, table, spec.data, encoder, faults)
    for name in () if spec.continued else answers:
        if name not in elsewhere:
            vet_continuations(table, name, reference, encoder, faults)
    added = rows.added if isinstance(rows, LoadedRows) else frozenset()
    labels = labels_of(table, (set(columns) | added) - needed, faults, needed)
    check_crossed(spec, labels, faults)
    if spec.split_by in labels and len(set(labels[spec.split_by])) > MOST_PARTS:
        faults.add(
            "PD351",
            f"`split_by = {spec.split_by}` has {len(set(labels[spec.split_by])):,} values, "
            f"and at most {MOST_PARTS} are told apart",
            advice="split by a coarser label, or leave `split_by` out",
        )
    faults.stop()

    facts = {"chat_template": chat.sha256} if chat is not None else {}
    task = _assemble(
        spec, specs, rows, facts, table, prompts, tokens, positions, labels, apart, encoder
    )
    if spec.whole:
        task = with_branches(task, encoder)
    vet_repeats(task, spec, faults)
    for one in specs:
        for found in vet_treated(task, one, summed=one in summed and one != spec.treated).all:
            faults.keep(found)
    for one in specs:
        as_written = task.facts.get("data", spec.data.written) == spec.data.written
        vet_means(task, one, faults, counted=as_written and not from_file)
        for column, branch in task.branches.items():
            vet_branch(task, column, branch, one, faults)
    faults.stop()
    unchanged: dict[TreatedSpec | None, np.ndarray] = {
        one: where for one in specs if (where := unchanged_rows(task, one)).any()
    }
    if spec.treated in unchanged:
        unchanged[None] = unchanged[spec.treated]
    longest = task.longest and replace(task.longest, unchanged=unchanged)
    return replace(task, unchanged=unchanged, longest=longest), faults.warnings


def _vet_whole(
    rows: Sequence[Row],
    spec: TaskSpec,
    reference: Sequence[Prompt | None],
    positions: Mapping[str, object],
    answers: Mapping[str, Sequence[Ids]],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD331 (no room behind the prompts) and PD366 (the name of a position)."""
    lengths = [len(prompt.ids) if prompt is not None else 0 for prompt in reference]
    vet_room([row["id"] for row in rows], lengths, answers, encoder, faults)
    if ANSWER in positions or ANSWER in spec.positions:
        faults.add(
            "PD366",
            f"the rows give a position `{ANSWER}`, which with `answers = whole` names the tokens "
            "of the answer",
            about=ANSWER,
            advice="give the position of the rows another name",
        )


def _assemble(
    spec: TaskSpec,
    treated: Sequence[TreatedSpec],
    rows: LoadedRows | Sequence[Row],
    facts: Mapping[str, str],
    table: Sequence[Row],
    prompts: Mapping[str, Sequence[Prompt | None]],
    answers: Mapping[str, tuple[tuple[int, ...], ...]],
    positions: Mapping[str, tuple[tuple[int, ...], ...]],
    labels: Mapping[str, tuple[str | int | float | bool, ...]],
    apart: Mapping[str, Apart],
    encoder: Encoder,
) -> TaskData:
    """The arrays of rows that have passed all checks."""
    reference = [prompt for prompt in prompts[spec.reference] if prompt is not None]
    lengths = np.array([len(prompt.ids) for prompt in reference], dtype=np.int64)
    arrays = {}
    for column, found in prompts.items():
        width = (apart[column].lengths if column in apart else lengths).max()
        arrays[column] = np.zeros((len(table), int(width)), dtype=np.int64)
        for i, prompt in enumerate(found):
            if prompt is not None:
                arrays[column][i, : len(prompt.ids)] = prompt.ids
    grouping = {spec.cluster, spec.crossed, spec.split_by, *(one.by for one in treated)}
    grouping -= {"", ROW}
    others: list[Sequence[Hashable]] = [*answers.values(), *positions.values()]
    others += [labels[name] for name in sorted(grouping)]
    for column, places in apart.items():
        others.append([prompt.ids if prompt is not None else () for prompt in prompts[column]])
        others += places.positions.values()
    aligned = {column: ids for column, ids in arrays.items() if column not in apart}
    repeats = repeats_of(aligned, lengths, spec.reference, spec.treated, treated, others)
    facts = {**(rows.facts if isinstance(rows, LoadedRows) else {}), **facts}
    added = rows.added if isinstance(rows, LoadedRows) else frozenset()
    facts.setdefault("rows", rows_hash(table))
    facts["special_tokens"] = encoder.fact
    everywhere = {one.column for one in treated if one.at == (EVERY,)}
    special = encoder.special if everywhere else frozenset()
    if everywhere:
        read = {*everywhere, spec.reference}
        met = special & {token for c in read for p in prompts[c] if p for token in p.ids}
        words = " ".join(f"`{word}`" for word in encoder.words(sorted(met)))
        facts["left_out"] = words or "no token"
    crossed = numbered(labels[spec.crossed]) if spec.crossed else None
    ids = arrays[spec.reference]
    key, drawn = _hashes(spec, facts["rows"], table, ids, lengths, labels, encoder)
    if repeats is not None and len(kept := _without_copies(table, added)) < len(table):
        rest = [table[i] for i in kept]
        parts = {name: [values[i] for i in kept] for name, values in labels.items()}
        own = _hashes(spec, rows_hash(rest, added), rest, ids[kept], lengths[kept], parts, encoder)
        key, drawn = (f"{seeds}:{whole}" for seeds, whole in zip(own, (key, drawn), strict=True))
    return TaskData(
        name=spec.name,
        row_ids=tuple(row["id"] for row in table),
        reference=spec.reference,
        prompts=arrays,
        lengths=lengths,
        answers=answers,
        positions=positions,
        labels=labels,
        clusters=_clusters(spec, len(table), labels),
        crossed=crossed,
        tokens=tuple(encoder.words(prompt.ids) for prompt in reference),
        first_answers=first_tokens(answers, encoder),
        repeats=repeats,
        near_copies=near_copies(arrays[spec.reference], lengths),
        facts=facts,
        apart=apart,
        special=special,
        key=key,
        drawn=drawn,
    )


def _clusters(spec: TaskSpec, n: int, labels: Mapping[str, Sequence[Scalar]]) -> np.ndarray:
    """(rows,) int64: the clusters that the task declares, a row each where it declares none."""
    return numbered(labels[spec.cluster]) if spec.cluster else np.arange(n, dtype=np.int64)


def _without_copies(table: Sequence[Row], added: Collection[str]) -> list[int]:
    """The places of rows that are equal to none before them but for the id and `added` columns."""
    first: dict[str, int] = {}
    for place, row in enumerate(table):
        bare = {k: value for k, value in row.items() if k != "id" and k not in added}
        first.setdefault(json.dumps(bare, sort_keys=True, default=str), place)
    return list(first.values())


def _hashes(
    spec: TaskSpec,
    rows: str,
    table: Sequence[Row],
    ids: np.ndarray,
    lengths: np.ndarray,
    labels: Mapping[str, Sequence[Scalar]],
    encoder: Encoder,
) -> tuple[str, str]:
    """`key` and `drawn` of some rows, whose own hash is `rows`.

    Of rows, their tokens and what is resampled; not which further columns this task happens to use.
    """
    shared = [rows, spec.reference, encoder.fact, spec.cluster]
    shared += [spec.crossed] if spec.crossed else []
    content = hashlib.sha256(json.dumps(shared).encode())
    content.update(ids.tobytes())
    content.update(lengths.tobytes())
    row_ids = tuple(row["id"] for row in table)
    drawn = hashlib.sha256(json.dumps([rows, row_ids]).encode())
    drawn.update(_clusters(spec, len(table), labels).tobytes())
    drawn.update(numbered(labels[spec.crossed]).tobytes() if spec.crossed else b"")
    return content.hexdigest(), drawn.hexdigest()
