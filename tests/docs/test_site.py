"""The site of docs/ is built, and whatever Sphinx warns of is an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT

pytest.importorskip("sphinx")
pytest.importorskip("furo")
pytest.importorskip("myst_parser")
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` writes; in a process of its own, since Sphinx leaves much behind."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", str(out / "trees"), str(DOCS), str(out / "html")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_page_is_there_and_lists_no_file_of_the_machine(site: Path) -> None:
    pages = {page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")}
    for page in pages:
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        assert str(ROOT) not in text
    assert len(pages) > 40


def test_anchors_lead_to_what_they_name(site: Path) -> None:
    """A link to `semantics.md#norms` is one to the section about norms."""
    text = (site / "semantics.html").read_text(encoding="utf-8")
    named = re.search(r'id="norms"(.*?)</h2>', text, re.DOTALL)
    assert named is not None and "frozen norms" in named[1]


def test_colours_and_docstrings(site: Path) -> None:
    assert '<div class="highlight-circuit' in (site / "language.html").read_text(encoding="utf-8")
    api = (site / "api.html").read_text(encoding="utf-8")
    assert all(f'id="pathdsl.{name}"' in api for name in ("check", "Result", "Diagnostic"))
