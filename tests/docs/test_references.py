"""What comments, docstrings and pages refer to is there: headings, files, modules and names."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.test_imports import PACKAGE, ROOT, dotted, modules

PAGES = sorted((ROOT / "docs").glob("*.md"))
SOURCES = sorted(p for p in PACKAGE.rglob("*") if p.suffix in (".py", ".jinja"))
GRAMMAR = ROOT / "grammars" / "circuit.lark"

_PAGE = re.compile(r"[\w/.-]*\b\w+\.md\b")
_PATH = re.compile(r"(?<![\w/.~-])(?:docs|grammars|hypotheses|pathdsl|tests)/[\w/.-]*\w")
_NAME = re.compile(r"(?<![\w/.-])pathdsl(?:\.[A-Za-z_]\w*)+")
# What a file may be called that this program writes.
_WRITTEN = {"report.md", "MODEL_CARD.md"}


def text_of(path: Path) -> str:
    """A file as one line, without the marks of comments and code."""
    return re.sub(r"\s+(?:#\s+)?", " ", path.read_text(encoding="utf-8")).replace("`", "")


def headings(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").replace("`", "")
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def test_headings_that_the_code_refers_to() -> None:
    """`docs/semantics.md, Intervals`: the page, and after a comma its heading."""
    lost = []
    for source in SOURCES:
        text = text_of(source)
        for match in _PAGE.finditer(text):
            page, rest = ROOT / match.group(), text[match.end() :]
            if match.group() in _WRITTEN:
                continue
            headed = rest.startswith(", ") and page.parent.name == "docs"
            if not page.is_file() or (
                headed and not any(rest[2:].startswith(heading) for heading in headings(page))
            ):
                lost.append(f"{source.relative_to(ROOT)}: {match.group()}{rest[:40]}")
    assert lost == []


def test_files_that_are_named_exist() -> None:
    lost = [
        f"{source.relative_to(ROOT)}: {match.group()}"
        for source in [*SOURCES, *PAGES, ROOT / "README.md", GRAMMAR]
        for match in _PATH.finditer(text_of(source))
        if "/NAME" not in match.group() and not (ROOT / match.group()).exists()
    ]
    assert lost == []


def test_modules_and_names_that_are_named_exist() -> None:
    lost = [
        f"{source.relative_to(ROOT)}: {match.group()}"
        for source in [*SOURCES, *PAGES, ROOT / "README.md", GRAMMAR]
        for match in _NAME.finditer(text_of(source))
        if not exists(match.group().removesuffix(".NAME"))
    ]
    assert lost == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, something defined in one, or a member of a class there."""
    module = name
    while module not in modules():
        module = module.rpartition(".")[0]
    tree: ast.AST | None = modules()[module][1]
    for part in name.removeprefix(module).split(".")[1:]:
        tree = dict(defined(tree)).get(part) if tree is not None else None
        if tree is None:
            return False
    return True


def defined(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that a module or class defines at its top, what it imports with them."""
    for node in getattr(tree, "body", []):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node
            case ast.Assign(targets=targets):
                yield from ((t.id, t) for t in targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case ast.If():  # TYPE_CHECKING
                yield from defined(node)
            case ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name, alias) for alias in names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):  # imported when asked for
                yield from defined(node)


@cache
def with_examples() -> list[str]:
    # Every worker asks while it collects: no module is parsed for that.
    return [dotted(p) for p in SOURCES if p.suffix == ".py" and ">>> " in p.read_text("utf-8")]


@pytest.mark.parametrize("module", with_examples())
def test_examples_in_docstrings(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted and not results.failed
