"""Prompts as pieces with names on them, for a look at rows: tokens where a model's tokenizer is at
hand, else words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pathdsl.engine.data.chat import chat_of, chat_texts
from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.given import SPAN_COLUMN, row_positions, spans_of
from pathdsl.engine.data.rows import Row
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.data.tokens import Encoder, Prompt
from pathdsl.graph.model.shape import ModelShape

__all__ = ["ShownPrompt", "shown_prompts"]

_WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPrompt:
    """One prompt of a row: its pieces in order, and which of them have names.

    `changed`: the pieces that are not those of the reference prompt, where both have as many.
    """

    column: str
    pieces: tuple[str, ...]
    names: Mapping[str, tuple[int, ...]]
    changed: frozenset[int] = frozenset()


def shown_prompts(
    spec: TaskSpec,
    row: Row,
    columns: Sequence[str],
    tokenizer: Any | None,
    shape: ModelShape | None,
) -> list[ShownPrompt]:
    """The prompts of a row in these columns, the reference first, with the places that it names.

    Without a tokenizer or a shape texts are cut into words. Raises DataError PD328 to PD337, PD342,
    PD348 and PD370 to PD373 with what is wrong with the row.
    """
    faults = DataFaults(spec.name, spec.data.span or spec.span)
    around = ""
    if spec.chat and (chat := chat_of(tokenizer, faults)) is not None:
        counted_in = spans_of([row], spec.reference)
        asked = [spec.reference, *columns]
        (row,), around = chat_texts([row], asked, counted_in, chat, tokenizer, faults), chat.fact
    faults.stop()
    cut = {}
    for column in dict.fromkeys([spec.reference, *columns]):
        if column in row:
            cut[column] = _cut(spec, row, column, tokenizer, shape, faults, around)
        elif column == spec.reference:
            faults.add(
                "PD328", f"row `{row['id']}` has no column `{column}`", row=row["id"], about=column
            )
    faults.stop()
    (prompt, own), counted = cut[spec.reference], cut.get(SPAN_COLUMN)
    places = row_positions(row, prompt, counted[0] if counted else None, lambda _: own, faults)
    faults.stop()
    return [
        ShownPrompt(
            column=column,
            pieces=pieces,
            names=places if column == spec.reference else {},
            changed=frozenset(i for i, piece in enumerate(pieces) if piece != own[i])
            if len(pieces) == len(own)
            else frozenset(),
        )
        for column, (_, pieces) in cut.items()
    ]


def _cut(
    spec: TaskSpec,
    row: Row,
    column: str,
    tokenizer: Any | None,
    shape: ModelShape | None,
    faults: DataFaults,
    around: str,
) -> tuple[Prompt, tuple[str, ...]]:
    """A prompt and its pieces; where there is no tokenizer, words stand for tokens."""
    value = row[column]
    if shape is not None and (tokenizer is not None or not isinstance(value, str)):
        encoder = Encoder(tokenizer, shape, spec.bos, faults, around=around)
        prompt = encoder.prompt(row["id"], column, value)
        return (prompt, encoder.words(prompt.ids)) if prompt is not None else (Prompt(ids=()), ())
    if isinstance(value, str):
        same = len(value) == len(str(row.get(SPAN_COLUMN, "")))
        offsets = _words(value, _edges(row) if same else set())
        prompt = Prompt(ids=tuple(range(len(offsets))), text=value, offsets=offsets)
        return prompt, tuple(value[start:end] for start, end in offsets)
    if isinstance(value, list) and all(type(one) is int for one in value):
        return Prompt(ids=tuple(value)), tuple(map(str, value))
    faults.add(
        "PD329",
        f"row `{row['id']}`, column `{column}`: wanted a text or a list of ids",
        row=row["id"],
    )
    return Prompt(ids=()), ()


def _edges(row: Row) -> set[int]:
    """The characters at which the row's spans begin and end."""
    edges: set[int] = set()
    spans = row.get("spans")
    for span in spans.values() if isinstance(spans, Mapping) else ():
        for one in span if isinstance(span, list) else ():
            edges.update(one if isinstance(one, list) else [one])
    return edges


def _words(text: str, edges: set[int]) -> tuple[tuple[int, int], ...]:
    """Where the words of a text stand, cut where a named place ends within one."""
    found = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        first = end - len(match[0].lstrip())
        cuts = [start, *(one for one in sorted(edges) if first < one < end), end]
        found += list(pairwise(cuts))
    return tuple(found)
