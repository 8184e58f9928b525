"""Named positions: from a row's indices or character spans to token indices, and back by name.

A row gives `"positions": {"S2": 11}` (an index or a list of indices, special tokens included) or
`"spans": {"S2": [58, 62]}` (a word's characters in the prompt; the tokens that overlap it). `END`,
the last token, needs no entry. Offsets (`S1+1`) apply to each index and are checked per row. Under
the name of a prompt column either has an object: where positions are in that column's prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pathdsl.engine.data.cells import json_repair
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.rows import Row
from pathdsl.engine.data.tokens import Encoder, Prompt
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import EVERY

__all__ = [
    "END",
    "PLACES",
    "next_tokens",
    "position_mask",
    "resolve_positions",
    "row_positions",
]

END = "END"
PLACES = ("positions", "spans")
"""The fields of a row that say where positions are."""


def row_positions(
    row: Row, prompt: Prompt, span_prompt: Prompt | None, encoder: Encoder, faults: DataFaults
) -> dict[str, tuple[int, ...]]:
    """The token indices of every name that one row gives, sorted; faults are noted.

    `prompt` is the reference prompt, `span_prompt` the one that spans count characters of.
    PD329 (type), PD336 (outside the prompt), PD337 (splits a token), PD348 (empty set).
    """
    found: dict[str, tuple[int, ...]] = {}
    given = row.get("positions") or {}
    spans = row.get("spans") or {}
    for name, field in (("positions", given), ("spans", spans)):
        if not isinstance(field, Mapping):
            faults.add(
                "PD329",
                f"row `{row['id']}`: `{name}` is no object",
                about=name,
                advice=json_repair(str(field)) or '"positions": {"S2": 11}',
            )
            return {END: (len(prompt.ids) - 1,)}
    for name, value in given.items():
        if isinstance(value, Mapping) and name in row:
            continue  # where positions are in that column
        indices = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in indices):
            faults.add(
                "PD329",
                f"row `{row['id']}`: position `{name}` is `{value}`, wanted an index or a list of "
                "indices",
                about=name,
            )
        elif not indices:
            faults.add("PD348", f"row `{row['id']}`: position `{name}` is an empty set", about=name)
        elif outside := [i for i in indices if not 0 <= i < len(prompt.ids)]:
            faults.add(
                "PD336",
                f"row `{row['id']}`: position `{name}` is {outside[0]}, the prompt has tokens 0 to "
                f"{len(prompt.ids) - 1}",
                about=name,
                notes=(_listing(encoder, prompt),),
            )
        else:
            found[name] = tuple(sorted(set(indices)))
    for name, value in spans.items():
        if name not in given and not (isinstance(value, Mapping) and name in row):
            indices = _of_span(row["id"], name, value, span_prompt, encoder, faults)
            if indices:
                found[name] = indices
    found[END] = (len(prompt.ids) - 1,)
    return found


def _of_span(
    row: str,
    name: str,
    value: object,
    prompt: Prompt | None,
    encoder: Encoder,
    faults: DataFaults,
) -> tuple[int, ...]:
    """The tokens that overlap a word's characters; a token may reach out of it only over blanks."""
    ends = list(value) if isinstance(value, list | tuple) else []
    well_formed = len(ends) == 2 and all(type(i) is int for i in ends)
    if not well_formed or prompt is None or prompt.text is None:
        why = "has no text prompt to count in" if well_formed else "is not [start, end]"
        faults.add("PD329", f"row `{row}`: span `{name}` {why}", about=name)
        return ()
    start, end = ends
    text = prompt.text
    if not 0 <= start < end <= len(text):
        faults.add(
            "PD336",
            f"row `{row}`: span `{name}` is [{start}, {end}], the prompt has {len(text)} "
            "characters",
            about=name,
        )
        return ()
    indices = tuple(i for i, (a, b) in enumerate(prompt.offsets) if a < end and b > start)
    outside = [
        i
        for i in indices
        if text[prompt.offsets[i][0] : start].strip() or text[end : prompt.offsets[i][1]].strip()
    ]
    if outside or not indices:
        what = "lies on no token"
        if outside:
            a, b = prompt.offsets[outside[0]]
            what = f"splits the token `{text[a:b]}`"
        faults.add(
            "PD337",
            f"row `{row}`: span `{name}` (`{text[start:end]}`) {what}",
            about=name,
            notes=(_listing(encoder, prompt),),
        )
        return ()
    return indices


def _listing(encoder: Encoder, prompt: Prompt) -> str:
    parts = " ".join(f"{i}:`{word}`" for i, word in enumerate(encoder.words(prompt.ids)))
    return f"tokens: {parts}"


# ------------------------------------------------------------------------------- by name


def resolve_positions(task: TaskData, pos: Pos) -> tuple[tuple[int, ...], ...]:
    """For every row the token indices of a position, sorted.

    Raises DataError: PD338 for a name that the rows do not have, PD336 with every row on which it
    lies outside the prompt.
    """
    faults = DataFaults(task.name)
    if not pos.name:
        named: Sequence[tuple[int, ...]] = [(pos.index,)] * task.n_rows
    else:
        if pos.name not in task.positions:
            known = ", ".join(f"`{one}`" for one in task.positions)
            faults.add(
                "PD338",
                f"no position `{pos.name}`, the rows have {known}",
                advice=f"positions = [{pos.name}]",
            )
            faults.stop()
        named = [tuple(i + pos.offset for i in indices) for indices in task.positions[pos.name]]
    for row, length, indices in zip(task.row_ids, task.lengths, named, strict=True):
        if not indices:
            faults.add("PD348", f"row `{row}`: position `{pos}` is an empty set")
        for place in indices:
            if not 0 <= place < length:
                faults.add(
                    "PD336",
                    f"row `{row}`: position `{pos}` is {place}, the prompt has tokens 0 to "
                    f"{int(length) - 1}",
                )
                break
    faults.stop()
    return tuple(named)


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
            notes=("`next` is the token after the position read; the last has none",),
            advice="logit(next) @END-1",
        )
        faults.stop()
    ids = task.prompts[task.reference]
    return tuple(
        tuple(int(ids[row, place + 1]) for place in indices) for row, indices in enumerate(places)
    )


def position_mask(task: TaskData) -> Callable[[Pos], np.ndarray]:
    """Positions of a task, or `EVERY` one, as (rows, pos) masks; raises DataError PD336, PD338."""

    def mask(pos: Pos) -> np.ndarray:
        if pos == EVERY:
            return task.ordinary
        out = np.zeros((task.n_rows, task.n_pos), bool)
        for row, places in enumerate(resolve_positions(task, pos)):
            out[row, list(places)] = True
        return out

    return mask
