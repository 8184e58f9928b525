"""The sessions of docs/python.md, run from the top; blocks marked `pandas` only where it is."""

from __future__ import annotations

import doctest
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.test_readme import FENCE, ROOT

PAGE = ROOT / "docs" / "python.md"


def sessions(page: Path) -> list[tuple[str, str, int]]:
    """Each block of Python: the words after its fence, its text, its line."""
    text = page.read_text(encoding="utf-8")
    return [
        (fence[2].strip(), fence[3], text.count("\n", 0, fence.start()) + 1)
        for fence in FENCE.finditer(text)
        if fence[1] == "python"
    ]


def test_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "hypotheses", tmp_path / "hypotheses")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    told: list[str] = []
    blocks = sessions(PAGE)
    assert len(blocks) >= 7
    for words, text, line in blocks:
        assert words in ("", "pandas") and ">>> " in text
        if words == "pandas" and find_spec("pandas") is None:
            continue
        test = doctest.DocTestParser().get_doctest(text, names, PAGE.name, str(PAGE), line)
        doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
        names = test.globs
    assert not told, "".join(told)
