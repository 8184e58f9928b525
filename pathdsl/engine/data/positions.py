"""Named positions: from a name to the token indices of every row.

Offsets (`S1+1`) apply to each index and are checked per row. How a row gives its positions is in
`pathdsl.engine.data.given`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pathdsl.engine.data.faults import DataFaults
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.readout import ANSWER, BEFORE_ANSWER
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import EVERY

__all__ = [
    "indices_of",
    "next_tokens",
    "position_mask",
    "resolve_positions",
    "token_at",
]

TOKEN = "token number"
"""The name of a place counted from the beginning, in tasks in which some prompts have none there.

No file can write it.
"""


# ------------------------------------------------------------------------------- by name


def resolve_positions(task: TaskData, pos: Pos) -> tuple[tuple[int, ...], ...]:
    """For every row the token indices of a position, sorted.

    Raises DataError: PD338 for a name that the rows do not have, PD336 with every row on which it
    lies outside the prompt; of spans PD348 with every row on which they are empty, and PD236 where
    an end that is moved is several tokens.
    """
    faults = DataFaults(task.name)
    if task.whole and pos.name == ANSWER:
        return _of_answers(task, pos)
    own = {ANSWER} if task.whole else set()
    for name in sorted(pos.names - task.positions.keys() - own):
        known = ", ".join(f"`{one}`" for one in task.positions)
        faults.add(
            "PD338",
            f"no position `{name}`, the rows have {known}",
            advice=f"positions = [{name}]",
        )
    faults.stop()
    for part in pos.among:
        resolve_positions(task, part)
    named = indices_of(task, pos)
    if pos.ends:
        _vet_span(task, pos, named, faults)
    # What rows name was vetted when they were read; in self-checks it may be inside an answer.
    moved = not pos.parts and (pos.offset or not pos.name)
    lengths = task.prompt_lengths if moved else task.lengths
    for row, length, indices in zip(task.row_ids, lengths, named, strict=True):
        if not indices and not pos.names & _unread(task):
            faults.add("PD348", f"row `{row}`: position `{pos}` is an empty set", row=row)
        for place in indices:
            if not 0 <= place < length:
                faults.add(
                    "PD336",
                    f"row `{row}`: position `{pos}` is {place}, the prompt has tokens 0 to "
                    f"{int(length) - 1}",
                    row=row,
                    advice=f"the tokens of an answer are `{ANSWER}`, not `{pos}`"
                    if task.whole and pos.offset > 0
                    else "",
                )
                break
    faults.stop()
    return named


def indices_of(task: TaskData, pos: Pos) -> tuple[tuple[int, ...], ...]:
    """The same unvetted, for a position whose names the rows have; () where there is none.

    A span goes from the first token of its first end to the last one of its last end; to the end of
    the prompt where it is to go to answers and none stands behind the prompts.
    """
    if task.whole and pos.name == ANSWER:
        return _of_answers(task, pos)
    if pos.among:
        parts = [indices_of(task, part) for part in pos.among]
        return tuple(tuple(sorted(set().union(*row))) for row in zip(*parts, strict=True))
    if pos.ends:
        firsts, lasts = (indices_of(task, end) for end in pos.ends)
        if pos.ends[1].names & _unread(task):
            lasts = tuple((n - 1,) for n in task.lengths.tolist())
        return tuple(
            tuple(range(min(first), max(last) + 1)) if first and last else ()
            for first, last in zip(firsts, lasts, strict=True)
        )
    if not pos.name:
        return ((pos.index,),) * task.n_rows
    return tuple(tuple(i + pos.offset for i in indices) for indices in task.positions[pos.name])


def _unread(task: TaskData) -> frozenset[str]:
    """`ANSWER` where answers are read whole and none stands behind these prompts."""
    return frozenset([ANSWER] if task.whole and task.appended is None else [])


def _vet_span(
    task: TaskData, pos: Pos, named: Sequence[tuple[int, ...]], faults: DataFaults
) -> None:
    """Raise a DataError for the rows on which a span has an unclear end, or holds no token."""
    ends = [resolve_positions(task, end) for end in pos.ends]
    for end, places in zip(pos.ends, ends, strict=True):
        for row, indices in zip(task.row_ids, places, strict=True):
            if end.offset and len(indices) > 1:
                faults.add(
                    "PD236",
                    f"row `{row}`: `{end.name}` is {len(indices)} tokens, and `{pos}` is to end "
                    f"at `{end}`",
                    row=row,
                    notes=(
                        "each token is moved for itself, so a part of the name would be inside",
                    ),
                    advice=f"name the place in the rows, or write `{end.name}`, all of it included",
                )
    for row, first, last, indices in zip(task.row_ids, *ends, named, strict=True):
        if not indices and first and last:
            faults.add(
                "PD348",
                f"row `{row}`: `{pos}` is empty: it begins at token {min(first)} and ends at "
                f"token {max(last)}",
                row=row,
                advice="choose the rows that have it: a label in the rows, and `where`",
            )
    faults.stop()


def _of_answers(task: TaskData, pos: Pos) -> tuple[tuple[int, ...], ...]:
    """The tokens of the answers behind the prompts, or with -1 where each of them is predicted.

    Without answers behind them that is no token, or the prompt's last one. Raises DataError PD366.
    """
    if pos.offset not in (0, -1):
        faults = DataFaults(task.name)
        faults.add(
            "PD366",
            f"`{pos}` is another place for answers of other lengths",
            notes=(f"`{BEFORE_ANSWER}` is the token before each token of the answer",),
            advice=f"@{BEFORE_ANSWER}",
        )
        faults.stop()
    ends = task.prompt_lengths.tolist()
    if task.appended is None:
        return tuple((end - 1,) if pos.offset else () for end in ends)
    return tuple(
        tuple(range(end + pos.offset, end + count + pos.offset))
        for end, count in zip(ends, task.appended.tolist(), strict=True)
    )


def next_tokens(task: TaskData, pos: Pos) -> tuple[tuple[int, ...], ...]:
    """For every row the ids of the tokens that follow a position, in the order of its indices.

    Raises DataError PD347 where on some rows nothing follows (as at END), and what
    `resolve_positions` raises.
    """
    places = resolve_positions(task, pos)
    ends = [
        row
        for row, (indices, length) in enumerate(zip(places, task.lengths, strict=True))
        if any(place + 1 >= length for place in indices)
    ]
    if ends:
        others = f", nor on {len(ends) - 1} others" if len(ends) > 1 else ""
        faults = DataFaults(task.name)
        faults.add(
            "PD347",
            f"row `{task.row_ids[ends[0]]}`: no token follows `{pos}`{others}",
            row=task.row_ids[ends[0]],
            notes=("`next` is the token after the position read; the last has none",),
            advice="logit(next) @END-1",
        )
        faults.stop()
    ids = task.prompts[task.reference]
    return tuple(
        tuple(int(ids[row, place + 1]) for place in indices) for row, indices in enumerate(places)
    )


def token_at(task: TaskData, index: int) -> Pos:
    """The token `[index]` of every prompt, as a position that some of them may lack."""
    shortest = min(int(rows.prompt_lengths.min()) for rows in (task, *task.branches.values()))
    return Pos(index=index) if index < shortest else Pos(name=TOKEN, offset=index)


def position_mask(task: TaskData) -> Callable[[Pos], np.ndarray]:
    """Positions of a task, or `EVERY` one, as (rows, pos) masks; raises DataError PD336, PD338."""

    def mask(pos: Pos) -> np.ndarray:
        if pos == EVERY:
            return task.ordinary
        if any(one.name == TOKEN for one in pos.among):
            return np.logical_or.reduce([mask(one) for one in pos.among])
        if pos.name == TOKEN:
            return np.asarray(task.valid & (np.arange(task.n_pos) == pos.offset))
        out = np.zeros((task.n_rows, task.n_pos), bool)
        for row, places in enumerate(resolve_positions(task, pos)):
            out[row, list(places)] = True
        return out

    return mask
