"""The examples in docs/ run: what is written there is what the language does.

Fenced blocks of `circuit` are told apart by the words after it:

- nothing: a complete file, which must have no error;
- `prelude`: the same, and the fragments after it on that page stand below it;
- `fragment`: statements that belong below the prelude, without error;
- `error=PD203`, `warning=PD501`: must give that code; a complete file where it names a model.

A block with `file=NAME` is put beside the examples as a file of that name. Graph checks use the
shape of the bundled model that a file names; nothing loads weights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.errors import Diagnostic, PathdslError, Severity
from pathdsl.graph.check import check_graph
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block; `files` and `prelude` are what stands before it on its page."""

    page: str
    line: int
    words: tuple[str, ...]
    text: str
    prelude: str
    files: dict[str, str]

    @property
    def wanted(self) -> tuple[str, str] | None:
        """("error", "PD203") where the block must give a code."""
        pairs = [word.partition("=") for word in self.words]
        return next(((kind, code) for kind, _, code in pairs if code.startswith("PD")), None)

    @property
    def whole(self) -> str:
        """The file that the block stands for."""
        partial = "fragment" in self.words or (self.wanted and "\nmodel " not in "\n" + self.text)
        return self.prelude + self.text if partial else self.text


def blocks(page: Path) -> list[Block]:
    text, found, prelude, files = page.read_text(encoding="utf-8"), [], "", {}
    for fence in FENCE.finditer(text):
        language, words, body = fence[1], tuple(fence[2].split()), fence[3]
        name = next((w.removeprefix("file=") for w in words if w.startswith("file=")), "")
        if name:
            files = {**files, name: body}
        if language != "circuit":
            continue
        line = text.count("\n", 0, fence.start()) + 1
        found.append(
            Block(page=page.name, line=line, words=words, text=body, prelude=prelude, files=files)
        )
        if "prelude" in words:
            prelude = body + "\n"
    return found


PAGES = sorted(DOCS.glob("*.md"))
BLOCKS = [pytest.param(b, id=f"{b.page}:{b.line}") for page in PAGES for b in blocks(page)]


def faults_of(path: Path) -> list[Diagnostic]:
    program, found = lint_file(str(path))
    if any(d.severity is Severity.ERROR for d in found) or program.model is None:
        return found
    try:
        shape = shape_of(source_from(program.model, path.parent))
    except PathdslError as error:
        return [*found, *error.diagnostics]
    return found if shape is None else [*found, *check_graph(program, shape)]


@pytest.mark.parametrize("block", BLOCKS)
def test_example(block: Block, tmp_path: Path) -> None:
    for name, text in block.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    path = tmp_path / "example.circuit"
    path.write_text(block.whole, encoding="utf-8")
    found = faults_of(path)
    if block.wanted is None:
        assert [f"{d.code} {d.message}" for d in found if d.severity is Severity.ERROR] == []
    else:
        kind, code = block.wanted
        assert (kind, code) in {(str(d.severity), d.code) for d in found}, found


@pytest.mark.parametrize("block", BLOCKS)
def test_correct_examples_are_in_canonical_form(block: Block) -> None:
    if block.wanted is None and "unformatted" not in block.words:
        assert format_text(block.text, block.page) == block.text


def test_every_statement_and_word_of_the_grammar_is_shown() -> None:
    grammar = (DOCS.parent / "grammars" / "circuit.lark").read_text(encoding="utf-8")
    words = set(re.findall(r"^[A-Z_]+\.2: /([a-z_]+)\(", grammar, re.MULTILINE))
    shown = " ".join(b.text for b in blocks(DOCS / "language.md"))
    assert {word for word in words if not re.search(rf"\b{word}\b", shown)} == set()
