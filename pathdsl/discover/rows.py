"""The rows that found a circuit, as hashes of their tokens: who judges it later is held to them.

For each row one hash over the token ids of its two prompts, in either order, and one over those of
its reference prompt. Tokens that the tokenizer was given as special ones are left out. So neither
another name, order, copy or file of a row makes another row of it, nor `bos`, nor another treated
value. And for each row those of all prompts that its line of data holds, read or not, so that the
same line by other columns is the same row.

    record = record_of(task, spec, tokenizer, {"data": "ioi(take: 100)"}, rows)
    read_record(Path("found.rows.json")) == record
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.data.tokens import special_ids
from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.limits import RECORD_BYTES
from pathdsl.plan.taskdata import TaskData
from pathdsl.reading import read_file
from pathdsl.strictjson import JsonFault, read_json

__all__ = [
    "RECORD_VERSION", "RowRecord", "found_by", "read_record", "record_of", "record_text",
    "row_hashes", "tokenizer_sha256",
]  # fmt: skip

RECORD_VERSION = 1
HASH = 32
"""Hexadecimal digits of the hash of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRecord:
    """The rows that found a circuit.

    `references` and `pairs`: for each row the hash of its reference prompt, and of it and its
    treated prompt together; where what is treated is no prompt of the row's own (a mean, zero),
    both are of the reference prompt. `lines`: for each row the hashes of all prompts in its line of
    data; () in records that were written before there were any. `tokenizer`: the sha256 of the
    tokenizer, "" for none. `said`: what a reader may want to know of the rows; nothing depends on
    it.
    """

    tokenizer: str
    references: tuple[str, ...]
    pairs: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    said: Mapping[str, str]


def record_of(
    task: TaskData,
    spec: TaskSpec,
    tokenizer: Any | None,
    said: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
) -> RowRecord:
    """The record of a task's rows; `rows` are their lines of data, in the same order."""
    references, pairs = row_hashes(task, spec, special_ids(tokenizer))
    return RowRecord(
        tokenizer=tokenizer_sha256(tokenizer),
        references=references,
        pairs=pairs,
        lines=tuple(_line_hashes(row, tokenizer) for row in rows),
        said=dict(said),
    )


def _line_hashes(row: Mapping[str, Any], tokenizer: Any | None) -> tuple[str, ...]:
    """The hashes of what may be a prompt in a line: texts and lists of ids, from two tokens on."""
    special, found = special_ids(tokenizer), set()
    for value in row.values():
        ids: Sequence[object] = ()
        if isinstance(value, str) and tokenizer is not None:
            ids = tokenizer(value, add_special_tokens=False)["input_ids"]
        elif isinstance(value, list | tuple) and all(type(one) is int for one in value):
            ids = value
        kept = [str(one) for one in ids if one not in special]
        if len(kept) > 1:
            found.add(_digest(" ".join(kept)))
    return tuple(sorted(found))


def tokenizer_sha256(tokenizer: Any | None) -> str:
    """The sha256 of a tokenizer as records and locks have it, "" for none."""
    from pathdsl.engine.load.weights import tokenizer_hash

    return tokenizer_hash(tokenizer)


def row_hashes(
    task: TaskData, spec: TaskSpec, special: frozenset[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(rows,) hashes of the reference prompts, and of both prompts of each row."""
    references = _prompt_hashes(task, special)
    if spec.treated is None or not spec.treated.how.own_run:
        return references, references
    treated = _prompt_hashes(task.reading(spec.treated.column), special)
    both = zip(references, treated, strict=True)
    return references, tuple(_digest(" ".join(sorted(pair))) for pair in both)


def _prompt_hashes(task: TaskData, special: frozenset[int]) -> tuple[str, ...]:
    ids, lengths = task.prompts[task.reference], task.prompt_lengths
    return tuple(
        _digest(" ".join(str(one) for one in row[:n] if one not in special))
        for row, n in zip(ids.tolist(), lengths.tolist(), strict=True)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:HASH]


# ------------------------------------------------------------------------------- on disk


def record_text(record: RowRecord) -> str:
    """The record as JSON, one hash a line: the same record is the same text."""
    held: dict[str, Any] = {
        "pairs": list(record.pairs),
        "record_version": RECORD_VERSION,
        "references": list(record.references),
        "said": dict(record.said),
        "tokenizer": record.tokenizer,
    }
    if record.lines:
        held["lines"] = [" ".join(line) for line in record.lines]
    whole = held | {"sha256": _whole(held)}
    return json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def _whole(held: Mapping[str, Any]) -> str:
    text = json.dumps(held, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path) -> RowRecord:
    """The record in a file; raises LanguageError PD380 where it is missing or damaged."""

    def refuse(why: str) -> LanguageError:
        return LanguageError(
            Diagnostic(
                code="PD380",
                message=f"the record of the discovery rows, `{path.name}`, {why}",
                notes=("without it nobody can see whether a row that found the circuit judges it",),
                help="restore the file that `pathdsl discover` wrote, or discover anew",
            )
        )

    try:
        data = read_file(path, RECORD_BYTES.most + 1)
    except OSError as error:
        raise refuse(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > RECORD_BYTES.most:
        raise refuse(f"has more than the {RECORD_BYTES.most:,} bytes that are read at most")
    try:
        held = read_json(data)
    except JsonFault as error:
        raise refuse(f"is damaged: line {error.line}, column {error.column}: {error}") from error
    if not isinstance(held, dict):
        raise refuse("is damaged: it is no JSON object")
    if held.get("record_version") != RECORD_VERSION:
        raise refuse(f"is of no version that is known here, which is {RECORD_VERSION}")
    lists = [held.get(key) for key in ("references", "pairs")]
    lines = held.get("lines", [])
    if not (
        isinstance(lines, list)
        and all(isinstance(one, str) and all(map(_is_hash, one.split())) for one in lines)
        and len(lines) in (0, len(lists[0]) if isinstance(lists[0], list) else 0)
    ):
        raise refuse("is damaged: a part of it is missing, or is of another kind")
    if not (
        all(isinstance(one, list) and all(map(_is_hash, one)) for one in lists)
        and len({len(one) for one in lists}) == 1  # type: ignore[arg-type]
        and lists[0]
        and isinstance(held.get("tokenizer"), str)
        and isinstance(said := held.get("said"), dict)
        and all(isinstance(one, str) for one in said.values())
    ):
        raise refuse("is damaged: a part of it is missing, or is of another kind")
    if held.get("sha256") != _whole({k: v for k, v in held.items() if k != "sha256"}):
        raise refuse("is damaged: it is not the one that was written")
    return RowRecord(
        tokenizer=held["tokenizer"],
        references=tuple(held["references"]),
        pairs=tuple(held["pairs"]),
        lines=tuple(tuple(one.split()) for one in lines),
        said=said,
    )


def _is_hash(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) == HASH and not set(value) - set("0123456789abcdef")
    )


def found_by(record: RowRecord, task: TaskData, spec: TaskSpec, tokenizer: Any | None) -> list[int]:
    """The rows of a task, by their places, that are among those of a record.

    A row is where its reference prompt is, or both its prompts, or where all prompts that it reads
    stand in one line of data that found the circuit.
    """
    references, pairs, special = set(record.references), set(record.pairs), special_ids(tokenizer)
    lines: dict[str, set[int]] = {}
    for n, line in enumerate(record.lines):
        for one in line:
            lines.setdefault(one, set()).add(n)
    hashes = zip(*row_hashes(task, spec, special), strict=True)
    own = spec.treated is not None and spec.treated.how.own_run
    read = [_prompt_hashes(task, special)]
    if own and spec.treated is not None:
        read.append(_prompt_hashes(task.reading(spec.treated.column), special))
    found = []
    for n, ((one, both), prompts) in enumerate(zip(hashes, zip(*read, strict=True), strict=True)):
        shared = set.intersection(*(lines.get(prompt, set()) for prompt in prompts))
        if one in references or both in pairs or shared:
            found.append(n)
    return found
