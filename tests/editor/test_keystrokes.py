"""A keystroke costs what it changes: counted, and timed with room to spare."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.editor import keystrokes, opened, text_of
from pathdsl.checking.prepare import vet_file
from pathdsl.editor import statements as module
from pathdsl.editor.document import Document
from pathdsl.editor.statements import Statements
from pathdsl.lang.syntax.parse import parse

ROOT = Path(__file__).parents[2]
EVERY = (ROOT / "tests" / "cases" / "every_form.circuit").read_text(encoding="utf-8")
IOI = (ROOT / "hypotheses" / "quickstart" / "ioi.circuit").read_text(encoding="utf-8")


def test_a_keystroke_parses_one_statement_of_a_thousand_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = text_of(1000)
    read = Statements("x.circuit")
    before = read.read(text)
    parsed: list[int] = []
    once = module.parse_piece
    monkeypatch.setattr(module, "parse_piece", lambda *a: (parsed.append(1), once(*a))[1])
    at = text.index("<= 10%", len(text) // 2)
    after = read.read(text[:at] + "<= 20%" + text[at + 6 :])
    assert len(parsed) == 1 and len(after.fresh) == 1
    pairs = zip(before.file.statements, after.file.statements, strict=True)
    assert sum(one is not other for one, other in pairs) == 1
    moved = read.read("# a line more\n" + text)
    assert len(parsed) == 1  # what was written before is known, wherever it stands now
    pairs = zip(before.file.statements, moved.file.statements, strict=True)
    assert all(one is other for one, other in pairs)


def test_a_keystroke_on_a_thousand_lines_takes_less_than_fifty_milliseconds() -> None:
    text = text_of(1000)
    document, _, _ = opened(text)
    taken = keystrokes(document, text)
    assert sorted(taken)[len(taken) // 2] < 0.05


@pytest.mark.parametrize("text", [EVERY, IOI], ids=["every form", "ioi"])
def test_what_is_kept_says_what_a_new_parse_says(text: str) -> None:
    """Random edits: the same trees, and faults at the same places, as of the text alone."""
    draws = random.Random(7)
    read = Statements("x.circuit")
    read.read(text)
    pieces = ["a9.h9", "claim", "\n", "}", "{", '"', "# ", "let x = 1\n", " ", "@END", "->", "é😀"]
    for _ in range(120):
        start = draws.randrange(len(text))
        end = min(len(text), start + draws.choice([0, 0, 1, 5, 40]))
        changed = text[:start] + draws.choice([*pieces, ""]) + text[end:]
        version = read.read(changed)
        file, faults = parse(changed, "x.circuit")
        assert version.file.statements == file.statements
        assert [one.name for one in version.file.broken] == [one.name for one in file.broken]
        found = []
        for fault in version.faults:
            assert fault.span is not None
            found.append((fault.code, fault.message, *(version.here(fault.span) or (-1, -1))))
        wanted = [(f.code, f.message, f.span.start, f.span.end) for f in faults if f.span]
        assert sorted(found) == sorted(wanted)
        for statement in version.file.statements:
            place = version.here(statement.span)
            assert place is not None
            kept = version.source.text[statement.span.start : statement.span.end]
            assert changed[place[0] : place[1]] == kept
            assert version.there(place[0]) == statement.span.start
        if draws.random() < 0.3:
            text = changed


def test_after_a_rest_the_faults_are_those_of_lint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draws = random.Random(3)
    text = IOI
    document = Document("x.circuit", text, lambda path: None)
    document.seen(document.look())
    words = ["main", "carrier", "LD", "a9.h9", "@S9", "total", "0.5", ""]
    for _ in range(12):
        at = draws.randrange(len(text))
        changed = text[:at] + draws.choice(words) + text[at + draws.choice([0, 3]) :]
        document.change(changed)
        assert document.seen(document.look())
        found = [
            (f.code, f.message, document.version.here(f.span) if f.span else None)
            for f in document.faults
        ]
        wanted = [
            (f.code, f.message, (f.span.start, f.span.end) if f.span else None)
            for f in vet_file("x.circuit", changed)[1]
        ]
        assert sorted(found, key=str) == sorted(wanted, key=str)
