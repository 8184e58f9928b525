"""A release can be made: one version, and files that install and work without the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import pathdsl

ROOT = Path(__file__).parents[1]
BUILDS = pytest.mark.skipif(
    find_spec("hatchling") is None or find_spec("pip") is None,
    reason="hatchling or pip is not installed",
)
CHECKED = """model toy = bundled("induction-2l")

task copy {
  data      = induction(take: 128, seed: 0)
  reference = prompt
  treated   = prompt_other
}

metric LD: logits = logit(answer) - logit(wrong)

claim works: mean(LD(reference) - LD(treat(through(a1.h2)))) > 1 at 95% confidence
"""


def run(*command: str, cwd: Path, **surroundings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd, env={**os.environ, **surroundings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cited() -> dict[str, str]:
    """The plain fields of CITATION.cff."""
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    fields = re.findall(r"^([a-z-]+): *(.+)$", text, re.M)
    return {name: value.strip('"') for name, value in fields}


def test_every_file_has_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert newest is not None
    found = {pathdsl.__version__, project["version"], cited()["version"], newest[1]}
    assert found == {pathdsl.__version__}


def test_the_citation_has_what_its_format_requires() -> None:
    fields = cited()
    assert {"message", "title"} <= fields.keys() and fields["cff-version"] == "1.2.0"
    assert fields["type"] == "software" and fields["license"] == "MIT"
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert 'authors:\n  - name: "The pathdsl authors"\n' in text


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("hatchling", "build", "-d", str(folder), cwd=ROOT)
    return folder


@BUILDS
@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_sizes_are_those_of_the_page(built: Path, ending: str) -> None:
    (path,) = built.glob(f"*{ending}")
    page = (ROOT / "docs" / "releases.md").read_text("utf-8")
    said = re.search(rf"VERSION\S*{re.escape(ending)}` \| ([\d.]+) MB", page)
    most = re.search(r"larger than (\d+) MB", page)
    assert said is not None and most is not None
    size = path.stat().st_size / 1e6
    assert abs(size - float(said[1])) < 0.5 and size <= int(most[1])


@BUILDS
def test_the_source_has_what_its_tests_need_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops == {
        "pathdsl", "grammars", "hypotheses", "tests", "docs", "README.md", "CHANGELOG.md",
        "CITATION.cff", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml", "PKG-INFO",
        ".gitignore",
    }  # fmt: skip


@BUILDS
@pytest.mark.long
@pytest.mark.parametrize("ending", [".whl", ".tar.gz"])
def test_what_was_built_works_without_the_repository(
    built: Path, ending: str, tmp_path: Path
) -> None:
    (path,) = built.glob(f"*{ending}")
    there, work = tmp_path / "installed", tmp_path / "work"
    work.mkdir()
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--target", str(there))
    run("pip", "install", "--quiet", *options, str(path), cwd=work)
    (work / "x.circuit").write_text(CHECKED, encoding="utf-8")
    mine = {"PYTHONPATH": str(there), "PATHDSL_CACHE": str(tmp_path / "store")}
    assert run("pathdsl", "--version", cwd=work, **mine) == f"pathdsl {pathdsl.__version__}\n"
    where = "-c", "import pathdsl; print(pathdsl.__file__)"
    done = subprocess.run(
        [sys.executable, *where], cwd=work, env={**os.environ, **mine}, capture_output=True
    )
    assert done.stdout.decode().startswith(str(there))
    assert "1 claim: 1 supported" in run("pathdsl", "check", "-q", "x.circuit", cwd=work, **mine)
