"""Files as nobody should write them: nothing raises, and what is told is what `lint` tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pathdsl.checking.prepare import vet_file
from pathdsl.editor.completing import completions
from pathdsl.editor.document import Document
from pathdsl.editor.hover import hover
from pathdsl.editor.renaming import Refused, definition, references, rename

IOI = (Path(__file__).parents[2] / "hypotheses" / "quickstart" / "ioi.circuit").read_text("utf-8")
FILES = {
    "empty": "",
    "blank": "\n\n",
    "no text": "let a = 1\n\0\n",
    "windows": IOI.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + IOI,
    "deep": "path p = " + "(" * 1000,
    "words": "hello world\n" * 5,
    "comment": "# only",
    "cut": IOI[:900],
    "circle": "path a = b\npath b = a\nlet x = effect(a)\n" * 2,
    "later version": 'circuit c { needs = "9.9" }\n' + IOI,
    "twice": "let a = 1\n" * 50,
    "uses itself": 'use "x.circuit"\n' + IOI,
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_whatever_a_file_holds(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.circuit").write_text(text, encoding="utf-8")
    document = Document("x.circuit", text, lambda path: None)
    document.seen(document.look())
    found = [
        (f.code, f.message, document.version.here(f.span) if f.span else None)
        for f in document.faults
    ]
    wanted = [
        (f.code, f.message, (f.span.start, f.span.end) if f.span else None)
        for f in vet_file("x.circuit", text)[1]
    ]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    for at in range(0, min(len(text), 2000) + 1, 13):
        hover(document, at), completions(document, at)
        definition(document, at), references(document, at)
    for at in range(0, min(len(text), 1000), 97):
        try:
            rename(document, at, "another")
        except Refused as why:
            assert str(why)
    for n in range(3):
        document.change(text[:n] + "x" + text[n:])
        assert document.seen(document.look())


def test_a_rename_leaves_the_file_saying_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("suppressor", "LD", "main", "carry", "h", "total", "ioi", "mini", "s_copier"):
        document = Document("x.circuit", IOI, lambda path: None)
        document.seen(document.look())
        before = [(f.code, f.severity) for f in document.faults]
        declared = re.search(rf"^[a-z]+ ({name})\b|\bfor ({name}) in", IOI, re.MULTILINE)
        assert declared is not None
        at = declared.start(declared.lastindex or 0)
        spans = rename(document, at, "quite_another")
        assert len(spans) >= 1
        text = IOI
        places = sorted((document.version.here(one) or (0, 0) for one in spans), reverse=True)
        for start, end in places:
            assert text[start:end] == name
            text = text[:start] + "quite_another" + text[end:]
        document.change(text)
        document.seen(document.look())
        assert [(f.code, f.severity) for f in document.faults] == before
        there = next(at for at in range(len(text)) if text.startswith("quite_another", at))
        assert len(rename(document, there, name)) == len(spans)
