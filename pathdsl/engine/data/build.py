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
from pathdsl.engine.data.places import free_columns, own_places
from pathdsl.engine.data.positions import (
    MASK,
    PLACES,
    SPAN_COLUMN,
    next_tokens,
    resolve_positions,
    row_positions,
    spans_of,
)
from pathdsl.engine.data.readings import (
    continuations,
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
    columns_of,
    unchanged_rows,
    vet_branch,
    vet_means,
    vet_treated,
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
    specs = list(dict.fromkeys(one for one in (spec.treated, *treated) if one is not None))
    columns = dict.fromkeys([spec.reference, *prompt_columns])
    columns |= dict.fromkeys(c for one in specs for c in columns_of(one))
    answers = [name for name in dict.fromkeys(answer_columns) if name != "next"]
    needed = {name for name in (spec.cluster, spec.crossed, spec.split_by) if name}
    needed |= {one.by for one in specs if one.by not in ("", ROW)}
    _check_columns(table, [*columns, *answers, *sorted(needed)], answers, faults)

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
    prompts = _prompts(table, list(columns), encoder)
    free = free_columns(specs, [spec.reference, *prompt_columns])
    _check_lengths(table, spec.reference, prompts, free, encoder, faults)
    positions = _positions(table, spec, prompts[spec.reference], encoder, faults)
    reference = prompts[spec.reference]
    apart: dict[str, Apart] = {}
    for column in free:
        own = own_places(table, column, reference, prompts[column], positions, encoder, faults)
        apart |= {column: own} if own is not None else {}
    tokens = {name: _answers(table, name, reference, spec, encoder) for name in answers}
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
    labels = _labels(table, (set(columns) | added) - needed, faults, needed)
    _check_crossed(spec, labels, faults)
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


def _check_columns(
    rows: Sequence[Row], columns: Iterable[str], answers: Collection[str], faults: DataFaults
) -> None:
    """Note PD328 for every row that lacks a column that is used."""
    for column in dict.fromkeys(columns):
        lacking = [row for row in rows if column not in row]
        everywhere = len(lacking) == len(rows) > 1
        for row in lacking[:1] if everywhere else lacking:
            have = ", ".join(f"`{name}`" for name in row if name not in ("id", *PLACES))
            faults.add(
                "PD328",
                f"no row has a column `{column}`"
                if everywhere
                else f"row `{row['id']}` has no column `{column}`",
                row="" if everywhere else row["id"],
                about=column,
                notes=(f"row `{row['id']}` has {have or 'none'}",) if row is lacking[0] else (),
                advice=f"where no metric shall read it here: `metric NAME on TASK = … {column} …`"
                if everywhere and column in answers
                else "",
            )


def _prompts(
    rows: Sequence[Row], columns: Sequence[str], encoder: Encoder
) -> dict[str, list[Prompt | None]]:
    return {
        column: [
            encoder.prompt(row["id"], column, row[column]) if column in row else None
            for row in rows
        ]
        for column in columns
    }


def _check_lengths(
    rows: Sequence[Row],
    reference: str,
    prompts: Mapping[str, Sequence[Prompt | None]],
    free: Collection[str],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD334 for every row whose prompts differ in length, with both token lists.

    `free`: columns whose prompts may.
    """
    for column, found in prompts.items():
        if column in free:
            continue
        for row, ours, theirs in zip(rows, prompts[reference], found, strict=True):
            if ours is None or theirs is None or len(ours.ids) == len(theirs.ids):
                continue
            faults.add(
                "PD334",
                f"row `{row['id']}`: `{reference}` has {len(ours.ids)} tokens, "
                f"`{column}` has {len(theirs.ids)}",
                row=row["id"],
                about=column,
                notes=tuple(
                    f"{name}: " + " ".join(f"`{word}`" for word in encoder.words(prompt.ids))
                    for name, prompt in ((reference, ours), (column, theirs))
                ),
                advice="use words of equal length in tokens; a mean at named places takes any, "
                f"`mean({column}, at: [END])`",
            )


def _answers(
    rows: Sequence[Row],
    column: str,
    reference: Sequence[Prompt | None],
    spec: TaskSpec,
    encoder: Encoder,
) -> tuple[Ids, ...]:
    """The accepted tokens of one column, row by row; () with the fault noted."""
    after = None
    if spec.continued:
        after = continuations(rows, column, reference, encoder)
    if spec.whole:
        assert after is not None
        return tuple(
            encoder.whole(row["id"], column, row[column], after[i]) if column in row else ()
            for i, row in enumerate(rows)
        )
    return tuple(
        encoder.answer(row["id"], column, row[column], after[i] if after is not None else None)
        if column in row
        else ()
        for i, row in enumerate(rows)
    )


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


def _positions(
    rows: Sequence[Row],
    spec: TaskSpec,
    reference: Sequence[Prompt | None],
    encoder: Encoder,
    faults: DataFaults,
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The indices of every name that all rows have; PD335 where a listed one is missing."""
    by_row: list[dict[str, tuple[int, ...]]] = []
    quiet = Encoder(
        encoder.tokenizer, encoder.shape, encoder.bos, DataFaults(), around=encoder.around
    )
    for row, prompt in zip(rows, reference, strict=True):
        if prompt is None:
            continue  # reported already
        counted: Prompt | None = prompt
        if row.get("spans") and spec.reference != SPAN_COLUMN and SPAN_COLUMN in row:
            counted = quiet.prompt(row["id"], SPAN_COLUMN, row[SPAN_COLUMN])
            if counted is not None and len(counted.ids) != len(prompt.ids):
                faults.add(
                    "PD334",
                    f"row `{row['id']}`: spans count characters of `{SPAN_COLUMN}`, which has "
                    f"{len(counted.ids)} tokens, `{spec.reference}` {len(prompt.ids)}",
                    row=row["id"],
                    about="spans",
                )
                continue
        own = row_positions(row, prompt, counted, encoder.words, faults)
        by_row.append(own)
        given = [row[field] for field in PLACES if isinstance(row.get(field), Mapping)]
        for name in spec.positions:
            if any(name in field for field in given):
                continue
            masked = [i for i, one in enumerate(prompt.ids) if one == encoder.mask]
            if name == MASK and masked:
                own[MASK] = tuple(masked)
                continue
            why = ""
            if name == MASK and encoder.tokenizer is not None:
                why = ", and its prompt holds no mask token"
            faults.add(
                "PD335",
                f"row `{row['id']}` gives no position `{name}`{why}",
                row=row["id"],
                about=name,
                advice=f'"positions": {{"{name}": 3}}',
            )
    shared = [n for n in (by_row[0] if by_row else {}) if all(n in one for one in by_row)]
    return {name: tuple(one[name] for one in by_row) for name in shared}


def _labels(
    rows: Sequence[Row], prompts: set[str], faults: DataFaults, needed: set[str]
) -> dict[str, tuple[str | int | float | bool, ...]]:
    """The fields that are one value in every row; PD329 where one that is used is not."""
    labels = {}
    names = [name for name in rows[0] if name not in prompts and name not in ("id", *PLACES)]
    for name in dict.fromkeys([*names, *sorted(needed)]):
        if not all(name in row for row in rows):
            continue
        wrong = [row for row in rows if not isinstance(row[name], str | int | float)]
        if not wrong:
            labels[name] = tuple(row[name] for row in rows)
        elif name in needed:
            for row in wrong:
                faults.add(
                    "PD329",
                    f"row `{row['id']}`, column `{name}`: wanted one text or number to group by",
                    row=row["id"],
                    about=name,
                )
    return labels


def _check_crossed(
    spec: TaskSpec, labels: Mapping[str, tuple[str | int | float | bool, ...]], faults: DataFaults
) -> None:
    """PD360 where the values of two fields do not cross; a part of a task has what it is left."""
    if not (spec.crossed and spec.cluster in labels and spec.crossed in labels) or spec.filters:
        return
    for own, other in ((spec.cluster, spec.crossed), (spec.crossed, spec.cluster)):
        if len(set(labels[own])) < 2:
            faults.add(
                "PD360", f"`{own}` has the same value in all rows, and nothing crosses it",
                advice=f"cluster = {other}",
            )  # fmt: skip
            return
    pairs = len(set(zip(labels[spec.cluster], labels[spec.crossed], strict=True)))
    for inner, outer in ((spec.crossed, spec.cluster), (spec.cluster, spec.crossed)):
        if pairs == len(set(labels[inner])):
            faults.add(
                "PD360",
                f"each value of `{inner}` stands beside one value of `{outer}` only: they do not "
                f"cross, and clusters of `{outer}` hold those of `{inner}`",
                advice=f"cluster = {outer}",
            )
            return


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
