"""What else a token column could have been read as, and which token its first row is.

A digit is a token, and the number of one; JSON made by other tools turns one into the other. An
answer by itself may be another token than the one that continues the prompt. What was read stays
what it is, and whoever looks at the report sees it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pathdsl.engine.data.faults import DataFaults, shown
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.data.tokens import Encoder, Ids, Prompt
from pathdsl.errors import Severity
from pathdsl.lang.signatures.calls import DATA_FILES

__all__ = [
    "continuations", "first_tokens", "vet_bos", "vet_continuations", "vet_prompts", "vet_readings",
]  # fmt: skip

Row = Mapping[str, Any]
_DIGITS = re.compile(r"[0-9]{1,18}\Z")


def _items(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_id(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def vet_readings(
    rows: Sequence[Row],
    spec: TaskSpec,
    answers: Sequence[str],
    prompts: Sequence[Prompt | None],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD353 where all of a token column could be ids as well as texts, with both readings.

    And PD359 where it holds both kinds. Columns that `ids:` or `texts:` lists are left alone.
    """
    if encoder.tokenizer is None:
        return  # texts are refused, so that ids are all that is read
    for column in answers:
        cells = [(row["id"], _items(row[column])) for row in rows if row.get(column, []) != []]
        items = [item for _, cell in cells for item in cell]
        if column in (*spec.data.ids, *spec.data.texts) or not items:
            continue
        ids = sum(map(_is_id, items))
        if 0 < ids < len(items):
            _mixed(column, cells, spec.data, encoder, faults)
        elif ids == len(items):
            texts = [{**row, column: [*map(str, _items(row.get(column, [])))]} for row in rows]
            if _all_one(texts, column, spec, prompts, encoder):
                _note(cells[0], column, spec.data, encoder, faults)
        elif all(isinstance(item, str) and _DIGITS.match(item) for item in items):
            in_range = max(int(str(item)) for item in items) < encoder.shape.n_logits
            if in_range and _all_one(rows, column, spec, prompts, encoder):
                _note(cells[0], column, spec.data, encoder, faults)


def _all_one(
    rows: Sequence[Row],
    column: str,
    spec: TaskSpec,
    prompts: Sequence[Prompt | None],
    encoder: Encoder,
) -> bool:
    """Whether every text of a column is one token, as the task reads them."""
    if not spec.continued:
        return all(encoder.is_one(one) for row in rows for one in _items(row.get(column, [])))
    found = [ids for row in continuations(rows, column, prompts, encoder) for ids in row.values()]
    return all(ids is not None and (spec.whole or len(ids) == 1) for ids in found)


def _note(
    cell: tuple[str, list[object]],
    column: str,
    data: DataCall,
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    row, (item, *_) = cell
    as_text, as_id = _both(str(item), encoder)
    read, other = (as_id, as_text) if _is_id(item) else (as_text, as_id)
    faults.add(
        "PD353",
        f"row `{row}`, column `{column}`: {shown(item)} is read as {read}, and could be {other}",
        row=row,
        about=column,
        notes=(f"say which it is: `ids: [{column}]` or `texts: [{column}]`",),
        advice=_declared(data, column, "ids" if _is_id(item) else "texts"),
        severity=Severity.WARNING,
        span=data.span,
    )


def _declared(data: DataCall, column: str, kind: Literal["ids", "texts"]) -> str:
    """The data source with the column declared to be what it was read as."""
    ids = (*data.ids, column) if kind == "ids" else data.ids
    texts = (*data.texts, column) if kind == "texts" else data.texts
    return "data = " + replace(data, ids=ids, texts=texts).written


def _both(digits: str, encoder: Encoder) -> tuple[str, str]:
    """A number as a text and as an id, in words."""
    alone = encoder.alone(digits)
    known = 0 <= int(digits) < encoder.shape.d_vocab
    as_id = f"the id {int(digits)}" + (f", `{encoder.words([int(digits)])[0]}`" if known else "")
    if len(alone) != 1:
        return f"the text `{digits}`, {len(alone)} tokens", as_id
    return f"the text `{digits}`, id {alone[0]}", as_id


def _mixed(
    column: str,
    cells: Sequence[tuple[str, list[object]]],
    data: DataCall,
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD359 with the first of each kind."""
    an_id = next((row, item) for row, cell in cells for item in cell if _is_id(item))
    texts = ((row, item) for row, cell in cells for item in cell if isinstance(item, str))
    a_text = next(texts, None)
    if a_text is None:
        return  # neither texts nor ids: a fault of its own
    as_text, as_id = _both(str(an_id[1]), encoder)
    _tell_mixed(
        column,
        f"row `{a_text[0]}` has the text {shown(a_text[1])}, row `{an_id[0]}` {shown(an_id[1])}, "
        f"read as {as_id}, and could be {as_text}",
        data,
        faults,
    )


def _tell_mixed(column: str, how: str, data: DataCall, faults: DataFaults) -> None:
    faults.add(
        "PD359",
        f"column `{column}` mixes texts and ids: {how}",
        about=column,
        advice=_declared(data, column, "texts"),
        severity=Severity.WARNING,
        span=data.span,
    )


def vet_prompts(
    prompts: Mapping[str, Sequence[Prompt | None]],
    rows: Sequence[Row],
    data: DataCall,
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD359 where some prompts of a column are texts and others ids.

    And PD353 where all cells of CSV are lists of numbers, which could be texts as well.
    """
    for column, found in prompts.items():
        file = DATA_FILES.get(data.name)
        could_be_texts = file is not None and file.untyped and encoder.tokenizer is not None
        ids = found[0].ids if found[0] is not None and found[0].text is None else ()
        if (
            could_be_texts
            and ids
            and column not in data.ids
            and all(one is not None and one.text is None for one in found)
        ):
            faults.add(
                "PD353",
                f"row `{rows[0]['id']}`, column `{column}`: {shown(list(ids))} is read as ids, "
                f"beginning with {ids[0]}, `{encoder.words(ids[:1])[0]}`, and could be a text",
                row=rows[0]["id"],
                about=column,
                notes=(f"say which it is: `ids: [{column}]` or `texts: [{column}]`",),
                advice=_declared(data, column, "ids"),
                severity=Severity.WARNING,
                span=data.span,
            )
        kinds: dict[bool, str] = {}
        for row, prompt in zip(rows, found, strict=True):
            if prompt is not None:
                kinds.setdefault(prompt.text is None, row["id"])
        if len(kinds) == 2:
            _tell_mixed(
                column,
                f"the prompt of row `{kinds[False]}` is a text, that of row `{kinds[True]}` a "
                "list, read as token ids",
                data,
                faults,
            )


def vet_bos(
    prompts: Mapping[str, Sequence[Prompt | None]],
    rows: Sequence[Row],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD355 where texts begin with the token that is put in front of them anyway."""
    made = encoder.tokenizer
    if made is None or made.bos_token_id is None or encoder.bos is False or encoder.around:
        return
    if encoder.bos is None and not made("", add_special_tokens=True)["input_ids"]:
        return  # nothing is put in front: a text that has it twice has it twice
    who, twice = "`bos = true`" if encoder.bos else "the tokenizer", (made.bos_token_id,) * 2
    for column, found in prompts.items():
        doubled = [
            row["id"]
            for row, prompt in zip(rows, found, strict=True)
            if prompt is not None
            and prompt.ids[:2] == twice
            and (prompt.text or "").startswith(made.bos_token)
        ]
        if doubled:
            faults.add(
                "PD355",
                f"row `{doubled[0]}`, column `{column}`: the prompt begins with "
                f"`{made.bos_token}`, and {who} puts another one in front of it",
                row=doubled[0],
                about=column,
                notes=(
                    f"so on {len(doubled)} of {len(rows)} rows",
                    "with `bos = false` nothing is put in front, and texts are read as written",
                ),
                advice="bos = false",
                severity=Severity.WARNING,
            )


# ------------------------------------------------------------------------------- continuations


def continuations(
    rows: Sequence[Row], column: str, prompts: Sequence[Prompt | None], encoder: Encoder
) -> list[dict[str, Ids | None]]:
    """For every row the ids by which each text of a column continues the row's prompt."""
    asked = [
        (place, prompt, item)
        for place, (row, prompt) in enumerate(zip(rows, prompts, strict=True))
        if prompt is not None and column in row
        for item in _items(row[column])
        if isinstance(item, str)
    ]
    found: list[dict[str, Ids | None]] = [{} for _ in rows]
    ids = encoder.continued([prompt for _, prompt, _ in asked], [item for *_, item in asked])
    for (place, _, item), continued in zip(asked, ids, strict=True):
        found[place][item] = continued
    return found


def vet_continuations(
    rows: Sequence[Row],
    column: str,
    prompts: Sequence[Prompt | None],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD356 where a text of a column continues its prompt with another single token.

    Not where two words would be run into one, and with a blank between them the token is the one
    that is read: a tokenizer that puts a blank before a lone word does what is meant there.
    """
    others = []
    for i, found in enumerate(continuations(rows, column, prompts, encoder)):
        for item, ids in found.items():
            alone = encoder.alone(item)
            if ids is not None and len(ids) == 1 and ids != alone:
                others.append((i, item, alone, ids))
    asked = [prompt for i, *_ in others if (prompt := prompts[i]) is not None]
    behind = encoder.continued(asked, [f" {item}" for _, item, *_ in others])
    told = [
        (*one, spaced == one[2])
        for one, prompt, spaced in zip(others, asked, behind, strict=True)
        if spaced != one[2] or not (prompt.text or "")[-1:].isalnum() or not one[1][:1].isalnum()
    ]
    if not told:
        return
    i, item, alone, ids, as_read = told[0]
    *words, other = encoder.words([*alone, *ids])
    by_itself = (
        f"is read as `{words[0]}`, id {alone[0]}" if len(alone) == 1 else "is no token alone"
    )
    faults.add(
        "PD356",
        f"row `{rows[i]['id']}`, column `{column}`: {shown(item)} {by_itself}, and the prompt goes "
        f"on with `{other}`, id {ids[0]}",
        row=rows[i]["id"],
        about=column,
        notes=(
            f"so on {len({one[0] for one in told})} of {len(rows)} rows",
            *(("with a blank between them it is the token that is read",) * as_read),
            "`tokens = continued` in the task reads the token that continues the prompt",
        ),
        advice="tokens = continued",
        severity=Severity.WARNING,
    )


# ------------------------------------------------------------------------------- what was read


def first_tokens(
    answers: Mapping[str, Sequence[Ids]], encoder: Encoder
) -> dict[str, tuple[tuple[str, int], ...]]:
    """The tokens of each column on the first row, as text and id."""
    return {
        column: tuple(zip(encoder.logits(ids[0]), ids[0], strict=True))
        for column, ids in answers.items()
        if ids
    }
