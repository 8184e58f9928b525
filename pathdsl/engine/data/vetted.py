"""The steps from rows to tokens that need no arrays, each with what it says of wrong rows.

`pathdsl.engine.data.build` takes all of them, and a look at rows without a model
(`pathdsl.engine.data.at_hand`) those that need no tokenizer.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

from pathdsl.engine.data.asked import Contrast
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.given import MASK, PLACES, SPAN_COLUMN, row_positions
from pathdsl.engine.data.readings import continuations
from pathdsl.engine.data.table import Row
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.data.tokens import Encoder, Ids, Prompt
from pathdsl.errors import Diagnostic, Severity
from pathdsl.lang.signatures.treated import ROW
from pathdsl.plan.treated import TreatedSpec
from pathdsl.record import record

__all__ = [
    "Read", "answers_of", "check_columns", "check_crossed", "check_lengths", "free_columns",
    "labels_of", "not_one", "of_one_token", "on_all", "own_everywhere", "positions_of",
    "prompts_of", "read_of", "same_answers",
]  # fmt: skip


@record
class Read:
    """What is read of the rows of a task: prompt columns, token columns, labels.

    `treated`: the treated values that read them, that of the task first.
    """

    treated: tuple[TreatedSpec, ...]
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    labels: frozenset[str]


def read_of(
    spec: TaskSpec,
    treated: Iterable[TreatedSpec],
    prompt_columns: Iterable[str],
    answer_columns: Iterable[str],
) -> Read:
    """What a task reads, and besides what runs and metrics do; the reference prompt is first."""
    specs = dict.fromkeys(one for one in (spec.treated, *treated) if one is not None)
    prompts = dict.fromkeys([spec.reference, *prompt_columns])
    prompts |= dict.fromkeys(column for one in specs for column in one.columns)
    labels = {name for name in (spec.cluster, spec.crossed, spec.split_by) if name}
    return Read(
        treated=tuple(specs),
        prompts=tuple(prompts),
        answers=tuple(name for name in dict.fromkeys(answer_columns) if name != "next"),
        labels=frozenset({one.by for one in specs if one.by not in ("", ROW)} | labels),
    )


def free_columns(specs: Collection[TreatedSpec], fixed: Collection[str]) -> tuple[str, ...]:
    """The columns that only means at named places read, whose prompts may be of any length.

    `fixed`: those that are read otherwise, too.
    """
    aligned = {*fixed, *(one.column for one in specs if not one.placed)}
    return tuple(dict.fromkeys(s.column for s in specs if s.placed and s.column not in aligned))


def check_columns(rows: Sequence[Row], read: Read, faults: DataFaults) -> None:
    """Note PD328 for every row that lacks a column that is used."""
    for column in dict.fromkeys([*read.prompts, *read.answers, *sorted(read.labels)]):
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
                if everywhere and column in read.answers
                else "",
            )


def prompts_of(
    rows: Sequence[Row], columns: Sequence[str], encoder: Encoder
) -> dict[str, list[Prompt | None]]:
    """The prompts of each column, row by row, None with the fault noted."""
    return {
        column: [
            encoder.prompt(row["id"], column, row[column]) if column in row else None
            for row in rows
        ]
        for column in columns
    }


def check_lengths(
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


def answers_of(
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


def positions_of(
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
        given = [row[field] for field in PLACES if isinstance(row.get(field), Mapping)]
        masked: tuple[int, ...] = ()
        for name in spec.positions:
            if any(name in field for field in given):
                continue
            why = ""
            if name == MASK:
                if prompt is None:
                    continue
                masked = tuple(i for i, one in enumerate(prompt.ids) if one == encoder.mask)
                if masked:
                    continue
                if encoder.tokenizer is not None:
                    why = ", and its prompt holds no mask token"
            faults.add(
                "PD335",
                f"row `{row['id']}` gives no position `{name}`{why}",
                row=row["id"],
                about=name,
                advice=f'"positions": {{"{name}": 3}}',
            )
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
        by_row.append({**own, MASK: masked} if masked else own)
    shared = [n for n in (by_row[0] if by_row else {}) if all(n in one for one in by_row)]
    return {name: tuple(one[name] for one in by_row) for name in shared}


def labels_of(
    rows: Sequence[Row], prompts: set[str], faults: DataFaults, needed: Collection[str]
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


def check_crossed(
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


def own_everywhere(why: str, advice: str, faults: DataFaults) -> None:
    """Note PD358: no row has a treated value of its own."""
    faults.add(
        "PD358",
        f"the treated value is the reference's own: {why}",
        advice=advice,
        notes=("treating any path changes nothing, so that every effect is 0 by construction",),
    )


def on_all(rows: Sequence[str]) -> str:
    """All rows of a task, by their ids, in words."""
    return f"on all {len(rows)} rows" if len(rows) > 1 else f"on row `{rows[0]}`"


def same_answers(
    rows: Sequence[str],
    answers: Mapping[str, Sequence[Hashable]],
    contrasts: Iterable[Contrast],
    faults: DataFaults,
) -> None:
    """Note PD363 where two answers that a metric takes apart are the same: it is 0 there.

    `answers`: by column what is read of each row, equal where the tokens are. An error where it is
    so on every row, as every effect is then 0 by construction.
    """
    for one in contrasts:
        if not all(column in answers for column in one.columns):
            continue
        pairs = zip(*(answers[column] for column in one.columns), strict=True)
        same = [row for row, (right, wrong) in zip(rows, pairs, strict=False) if right == wrong]
        words = " and ".join(f"`{column}`" for column in one.columns)
        if len(same) == len(rows):
            faults.add(
                "PD363",
                f"{on_all(rows)} {words} are the same, so that `{one.metric}` is 0 in every run",
                advice="give the wrong answer in a column of its own",
            )
        elif same:
            faults.add(
                "PD363",
                f"row `{same[0]}`: {words} are the same, so that `{one.metric}` is 0 in every run",
                row=same[0],
                notes=(f"so on {len(same)} of {len(rows)} rows",),
                advice="give the wrong answer in a column of its own",
                severity=Severity.WARNING,
            )


def not_one(task: str, ids: Sequence[str], answers: Sequence[Ids], column: str) -> str:
    """Which rows have several tokens in a column, in words; "" where none has."""
    several = [row for row, found in enumerate(answers) if len(found) > 1]
    if not several:
        return ""
    row = several[0]
    others = f", nor have {len(several) - 1} others" if len(several) > 1 else ""
    count = len(answers[row])
    return f"task `{task}`: row `{ids[row]}` has {count} tokens in `{column}`, not one{others}"


def of_one_token(said: str, column: str, measure: str) -> Diagnostic:
    """PD350 of a measure that has no meaning for a set of tokens; `said`: as of `not_one`."""
    return Diagnostic(
        code="PD350",
        message=f"{said}, and `{measure}` is of one token",
        help=f"logprob({column})",
    )
