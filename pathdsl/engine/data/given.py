"""Where positions are, as a row gives it: indices or character spans.

A row gives `"positions": {"S2": 11}` (an index or a list of indices, special tokens included) or
`"spans": {"S2": [58, 62]}` (a word's characters in the prompt, or a list of such pairs; the tokens
that overlap them). `END`, the last token, needs no entry, nor does `MASK` where a task lists it and
its prompts hold mask tokens of the tokenizer. Under the name of a prompt column either has an
object: where positions are in that column's prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from pathdsl.engine.data.cells import json_repair
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.table import Row
from pathdsl.engine.data.tokens import Prompt
from pathdsl.lang.rowtext import WORD_PLACES

__all__ = ["END", "MASK", "PLACES", "SPAN_COLUMN", "row_positions", "spans_of"]

END = "END"
MASK = "MASK"
"""The mask tokens of a prompt, where a task lists this name and its rows do not give it."""

PLACES = ("positions", "spans", WORD_PLACES)
"""The fields of a row that say where positions are."""

SPAN_COLUMN = "prompt"
"""The column whose characters the spans of a row count."""

Words = Callable[[Sequence[int]], Sequence[str]]
"""Ids as text, for messages."""


def spans_of(rows: Sequence[Row], reference: str) -> str:
    """The column whose characters spans count: `prompt` where there is one, else the reference."""
    return SPAN_COLUMN if all(SPAN_COLUMN in row for row in rows) else reference


def row_positions(
    row: Row, prompt: Prompt, span_prompt: Prompt | None, words: Words, faults: DataFaults
) -> dict[str, tuple[int, ...]]:
    """The token indices of every name that one row gives, sorted; faults are noted.

    `prompt` is the reference prompt, `span_prompt` the one that spans count characters of, and
    `words` says its tokens.
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
                row=row["id"],
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
                row=row["id"],
                about=name,
            )
        elif not indices:
            faults.add(
                "PD348",
                f"row `{row['id']}`: position `{name}` is an empty set",
                row=row["id"],
                about=name,
            )
        elif outside := [i for i in indices if not 0 <= i < len(prompt.ids)]:
            faults.add(
                "PD336",
                f"row `{row['id']}`: position `{name}` is {outside[0]}, the prompt has tokens 0 to "
                f"{len(prompt.ids) - 1}",
                row=row["id"],
                about=name,
                notes=(_listing(words, prompt),),
            )
        else:
            found[name] = tuple(sorted(set(indices)))
    for name, value in spans.items():
        if name not in given and not (isinstance(value, Mapping) and name in row):
            several = isinstance(value, list) and value and isinstance(value[0], list)
            parts = [
                _of_span(row["id"], name, one, span_prompt, words, faults)
                for one in (value if several else [value])
            ]
            if all(parts):
                found[name] = tuple(sorted({index for part in parts for index in part}))
    _of_words(row, prompt, {*given, *spans}, found, words, faults)
    found[END] = (len(prompt.ids) - 1,)
    return found


def _of_words(
    row: Row,
    prompt: Prompt,
    others: Collection[str],
    found: dict[str, tuple[int, ...]],
    words: Words,
    faults: DataFaults,
) -> None:
    """Add the places of `word_idxs`, which do not count special tokens in front of a text."""
    given = row.get(WORD_PLACES)
    before = next((i for i, (a, b) in enumerate(prompt.offsets) if b > a), 0)
    for name, index in given.items() if isinstance(given, Mapping) else ():
        if name in others:
            continue
        if type(index) is not int:
            faults.add(
                "PD329",
                f"row `{row['id']}`: `{name}` of `{WORD_PLACES}` is no index",
                row=row["id"],
                about=name,
            )
        elif not 0 <= index + before < len(prompt.ids):
            faults.add(
                "PD336",
                f"row `{row['id']}`: `{name}` of `{WORD_PLACES}` is {index}, the prompt has tokens "
                f"0 to {len(prompt.ids) - 1 - before} after its special ones",
                row=row["id"],
                about=name,
                notes=(_listing(words, prompt),),
            )
        else:
            found[name] = (index + before,)


def _of_span(
    row: str,
    name: str,
    value: object,
    prompt: Prompt | None,
    words: Words,
    faults: DataFaults,
) -> tuple[int, ...]:
    """The tokens that overlap a word's characters; a token may reach out of it only over blanks."""
    ends = list(value) if isinstance(value, list | tuple) else []
    well_formed = len(ends) == 2 and all(type(i) is int for i in ends)
    if not well_formed or prompt is None or prompt.text is None:
        why = "has no text prompt to count in" if well_formed else "is not [start, end]"
        faults.add("PD329", f"row `{row}`: span `{name}` {why}", row=row, about=name)
        return ()
    start, end = ends
    text = prompt.text
    if not 0 <= start < end <= len(text):
        faults.add(
            "PD336",
            f"row `{row}`: span `{name}` is [{start}, {end}], the prompt has {len(text)} "
            "characters",
            row=row,
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
            row=row,
            about=name,
            notes=(_listing(words, prompt),),
        )
        return ()
    return indices


def _listing(words: Words, prompt: Prompt) -> str:
    parts = " ".join(f"{i}:`{word}`" for i, word in enumerate(words(prompt.ids)))
    return f"tokens: {parts}"
