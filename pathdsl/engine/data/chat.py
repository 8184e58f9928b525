"""Rows whose prompts are messages, `chat = true`: made to texts by the model's own template.

    {"prompt": [{"role": "user", "content": "Is Paris in France?"}], "spans": {"CITY": [0, 3, 8]}}

Texts come with all special tokens that the template writes, and none is put in front of them. Where
the last message is the assistant's, the model goes on with it; else the head of an answer follows.
A span is a message, counted from 0, and characters of its content.

The template runs in a process of its own (`pathdsl.engine.data.templates`), which reads no file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathdsl.engine.data.cells import json_repair
from pathdsl.engine.data.faults import Cell, DataFaults, shown
from pathdsl.engine.data.rows import Row
from pathdsl.engine.data.tokens import special_tokens
from pathdsl.errors import Severity
from pathdsl.limits import CHAT_BYTES, CHAT_CHARACTERS, CHAT_SECONDS

__all__ = ["Chat", "chat_of", "chat_texts"]

CLOCK = "2024-07-26"
"""The day on which the clock of templates stands still: prompts must not change by the day."""

_MESSAGE = '[{"role": "user", "content": "…"}]'
_MARK = "\ue000{}\ue001"  # private use: in no text
_LONGEST = 200  # characters of what a template says
Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """The chat template of a model, and the special tokens that it may write, by name."""

    template: str
    tokens: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Of the template, in hexadecimal digits."""
        return hashlib.sha256(self.template.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def fact(self) -> str:
        """What stands around the messages, for the methodology line."""
        clock = f", its clock at {CLOCK}" if "strftime_now" in self.template else ""
        return f"those of the chat template, sha256 {self.sha256[:12]}{clock}"


def chat_of(tokenizer: Any | None, faults: DataFaults) -> Chat | None:
    """The template that a tokenizer comes with; None with PD370 noted where it has none."""
    found = tokenizer.chat_template if tokenizer is not None else None
    if isinstance(found, Mapping):
        found = found.get("default")
    if isinstance(found, str) and tokenizer is not None:
        tokens = tokenizer.special_tokens_map.items()
        return Chat(
            template=found,
            tokens={k: [*map(str, v)] if isinstance(v, list) else str(v) for k, v in tokens},
        )
    who = f"the tokenizer of `{_name(tokenizer)}`" if tokenizer is not None else "the model"
    lacks = "has no chat template" if tokenizer is not None else "comes without a tokenizer"
    faults.add(
        "PD370", f"`chat = true`, and {who} {lacks}",
        notes=("a model that was not trained on chats has none: its prompts are texts",),
        advice="chat = false",
    )  # fmt: skip
    return None


def _cut(said: str) -> str:
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"


def _name(tokenizer: Any) -> str:
    return Path(str(tokenizer.name_or_path)).name or type(tokenizer).__name__


# ------------------------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class _Cell:
    """The messages of one prompt and its row's place; `marked`: those with marks as contents."""

    place: int
    column: str
    messages: Messages

    @property
    def marked(self) -> Messages:
        return [{**one, "content": _MARK.format(i)} for i, one in enumerate(self.messages)]


def chat_texts(
    rows: Sequence[Row],
    columns: Iterable[str],
    spans_of: str,
    chat: Chat,
    tokenizer: Any,
    faults: DataFaults,
) -> list[Row]:
    """The rows with texts for messages, and with spans that count characters of `spans_of`.

    Notes PD371 (no messages), PD372 (the template refuses them, or a limit is passed), PD374 (a
    message writes a special token; a warning), and of spans PD329, PD336, PD373. A prompt with a
    fault is left out of its row.
    """
    placed = any(_spans_in(row, "") for row in rows)
    names = dict.fromkeys([*columns, *([spans_of] if placed else [])])
    cells = [
        _Cell(i, name, messages)
        for name in names
        for i, row in enumerate(rows)
        if name in row and (messages := _messages(row, name, faults)) is not None
    ]
    _vet_special(rows, cells, tokenizer, faults)
    marked = [
        (cell, under)
        for cell in cells
        for under in ("", cell.column)
        if (under or cell.column == spans_of) and _spans_in(rows[cell.place], under)
    ]
    asked = [*(cell.messages for cell in cells), *(cell.marked for cell, _ in marked)]
    answers = _ask(chat, asked, faults)
    found = [{k: v for k, v in row.items() if k not in names} for row in rows]
    for cell, answer in zip(cells, answers, strict=False):
        if "prompt" in answer:
            found[cell.place][cell.column] = answer["prompt"]
            continue
        faults.add(
            "PD372",
            f"row `{rows[cell.place]['id']}`, column `{cell.column}`: the chat template refuses "
            f"these messages: {_cut(answer['fault'])}",
            row=rows[cell.place]["id"],
            about=cell.column,
        )
    for (cell, under), answer in zip(marked, answers[len(cells) :], strict=False):
        row, given = found[cell.place], rows[cell.place]
        if cell.column in row:
            contents = _contents(cell.messages, answer.get("prompt", ""), row[cell.column])
            own = {"id": row["id"], "spans": _spans_in(given, under)}
            spans = _spans(own, cell.messages, contents, faults)
            if under:
                row["spans"] = {**row["spans"], under: spans}
            elif isinstance(spans, Mapping):
                row["spans"] = {**row["spans"], **spans}
    return found


def _spans_in(row: Row, column: str) -> Any:
    """The spans that a row gives under the name of a column, or with "" beside these."""
    spans = row.get("spans")
    if not isinstance(spans, Mapping):
        return {} if column else spans
    if column:
        found = spans.get(column)
        return found if isinstance(found, Mapping) else {}
    return {k: v for k, v in spans.items() if not (isinstance(v, Mapping) and k in row)}


def _messages(row: Row, column: str, faults: DataFaults) -> Messages | None:
    """The messages of one cell, None with PD371 noted."""
    value, where = row[column], Cell(row=row["id"], column=column)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        repair = json_repair(value) if isinstance(value, str) else ""
        if isinstance(value, str) and not repair:
            whole = json.dumps([{"role": "user", "content": value}], ensure_ascii=False)
            repair = whole if len(whole) < 200 else _MESSAGE
        faults.add(
            "PD371", f"{where}: found {shown(value)}, and `chat = true` wants a list of messages",
            row=where.row,
            about=column, advice=repair or _MESSAGE,
        )  # fmt: skip
        return None
    wrong = "there is no message" if not value else ""
    for i, one in enumerate(value):
        lacking = [key for key in ("role", "content") if not isinstance(one.get(key), str)]
        others = [key for key in one if key not in ("role", "content")]
        if lacking:
            wrong = wrong or f"message {i} has no text as `{lacking[0]}`"
        elif others:
            wrong = (
                wrong or f"message {i} has {shown(others[0])}; only `role` and `content` are read"
            )
    if wrong:
        faults.add("PD371", f"{where}: {wrong}", row=where.row, about=column, advice=_MESSAGE)
        return None
    return value


def _vet_special(
    rows: Sequence[Row], cells: Sequence[_Cell], tokenizer: Any, faults: DataFaults
) -> None:
    """Note PD374 where messages write special tokens, as texts do that a template made before."""
    special = special_tokens(tokenizer).values()
    found: dict[str, list[tuple[int, int, str]]] = {}
    for cell in cells:
        for i, one in enumerate(cell.messages):
            token = next((text for text in special if text in one["content"]), None)
            if token is not None:
                found.setdefault(cell.column, []).append((cell.place, i, token))
                break
    for column, told in found.items():
        place, i, token = told[0]
        faults.add(
            "PD374",
            f"row `{rows[place]['id']}`, column `{column}`: message {i} writes `{token}`, which is "
            "read as that token",
            row=rows[place]["id"],
            about=column,
            notes=(
                f"so on {len(told)} of {len(rows)} rows",
                "messages are what is said: the template writes its tokens itself",
            ),
            severity=Severity.WARNING,
        )


# ------------------------------------------------------------------------------- spans


@dataclass(frozen=True, slots=True)
class _Written:
    """The characters `start` to `end` of a message's content, which stand in the prompt at `at`."""

    at: int
    start: int
    end: int


def _contents(messages: Messages, marked: str, text: str) -> list[_Written | None]:
    """Where the content of each message stands in the prompt, all or without blanks at its ends.

    `marked` is what the template makes of marks in the place of contents. None where the template
    writes a content in another way, or not.
    """
    nowhere: list[_Written | None] = [None] * len(messages)
    found = list(nowhere)
    at, behind = 0, marked
    for i, one in enumerate(messages):
        before, mark, behind_it = behind.partition(_MARK.format(i))
        if not mark:
            continue  # the template leaves this message out
        behind = behind_it
        at += len(before)
        after = behind.partition("\ue000")[0]
        content = one["content"]
        for kept in dict.fromkeys([content, content.strip(), content.rstrip(), content.lstrip()]):
            if text.startswith(kept + after, at):
                start = content.find(kept)
                found[i] = _Written(at=at, start=start, end=start + len(kept))
                at += len(kept)
                break
        else:
            return nowhere
    return found if text[at:] == behind else nowhere


def _spans(
    row: Row,
    messages: Messages,
    contents: Sequence[_Written | None],
    faults: DataFaults,
) -> object:
    """The spans of a row as characters of its prompt; those with a fault are left out."""
    if not isinstance(row["spans"], Mapping):
        return row["spans"]  # PD329, where positions are read
    found = {}
    for name, value in row["spans"].items():
        several = isinstance(value, list) and bool(value) and isinstance(value[0], list)
        placed = [
            _span(row["id"], name, one, messages, contents, faults)
            for one in (value if several else [value])
        ]
        if all(placed):
            found[name] = placed if several else placed[0]
    return found


def _span(
    row: str,
    name: str,
    value: object,
    messages: Messages,
    contents: Sequence[_Written | None],
    faults: DataFaults,
) -> list[int]:
    """One span as characters of the prompt; [] with the fault noted."""
    where = f"row `{row}`: span `{name}`"
    ends = list(value) if isinstance(value, list | tuple) else []
    if len(ends) != 3 or not all(type(one) is int for one in ends):
        faults.add(
            "PD329", f"{where} is not [message, start, end]", row=row, about=name,
            notes=("of a chat a span is a message, from 0, and characters of its content",),
            advice=json.dumps([0, *ends]) if len(ends) == 2 else "[0, 3, 8]",
        )  # fmt: skip
        return []
    message, start, end = ends
    if not 0 <= message < len(messages):
        what = f"is in message {message}, and there are {len(messages)}"
        faults.add("PD336", f"{where} {what}", row=row, about=name)
        return []
    length, written = len(messages[message]["content"]), contents[message]
    if not 0 <= start < end <= length:
        what = f"is [{start}, {end}] of message {message}, which has {length} characters"
        faults.add("PD336", f"{where} {what}", row=row, about=name)
        return []
    if written is None or not written.start <= start < end <= written.end:
        what = f"message {message}" if written is None else f"blanks around message {message}"
        faults.add(
            "PD373", f"{where} is in {what}, which the chat template does not write as it is",
            row=row,
            about=name, advice=json.dumps({"positions": {name: 11}})[1:-1],
        )  # fmt: skip
        return []
    return [written.at + one - written.start for one in (start, end)]


# ------------------------------------------------------------------------------- the process


def _ask(chat: Chat, asked: Sequence[Messages], faults: DataFaults) -> list[dict[str, str]]:
    """The answers of the process for templates, in order; PD372 where it passes a limit."""
    if not asked:
        return []
    head = {
        "template": chat.template, "tokens": dict(chat.tokens), "date": CLOCK,
        "characters": CHAT_CHARACTERS.most,
    }  # fmt: skip
    lines = "".join(f"{json.dumps(one)}\n" for one in (head, *asked))
    limits = [str(CHAT_BYTES.most), str(CHAT_SECONDS.most)]
    # -P: the folder of the script holds modules with names of the standard library.
    command = [sys.executable, "-P", str(Path(__file__).with_name("templates.py")), *limits]
    try:
        done = subprocess.run(
            command, input=lines.encode(), capture_output=True, timeout=CHAT_SECONDS.most
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
    except subprocess.TimeoutExpired:
        answers = []
        fault = f"it does not end within {CHAT_SECONDS.most} seconds"
    except OSError as error:
        answers, fault = [], f"its process does not start ({error.strerror or error})"
    except ValueError:
        answers, fault = [], "its process was ended"
    else:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        fault = f"its process was ended, for time or memory{said and f' ({said})'}"
    if len(answers) < len(asked):
        faults.add("PD372", f"the chat template of the model fails: {fault}")
        return []
    if len({answer.get("fault") for answer in answers}) == 1 and "fault" in answers[0]:
        # A template that does not compile says the same of every prompt.
        if len(answers) > 1:
            first = _cut(answers[0]["fault"])
            faults.add("PD372", f"the chat template of the model refuses all prompts: {first}")
            return []
    return answers
