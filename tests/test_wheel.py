"""The wheel holds what a check needs: the code, the grammar with its tables, the bundled models."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from pathdsl.models import MODELS

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    find_spec("hatchling") is None, reason="hatchling is not installed; it builds the wheel"
)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_is_in_the_wheel(contents: set[str]) -> None:
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "pathdsl").rglob("*.py")}
    assert modules <= contents


def test_grammars_are_in_the_wheel(contents: set[str]) -> None:
    grammars = {f"pathdsl/grammars/{p.name}" for p in (ROOT / "grammars").iterdir() if p.is_file()}
    assert {"pathdsl/grammars/circuit.lark", "pathdsl/grammars/circuit.tables.json"} <= grammars
    assert grammars <= contents


def test_templates_and_schemas_are_in_the_wheel(contents: set[str]) -> None:
    folders = ("pathdsl/report/page/templates", "pathdsl/report/data/schema")
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).iterdir()
        if path.is_file()
    }
    assert len(files) >= 6 and files <= contents


@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_bundled_models_are_in_the_wheel(contents: set[str], name: str) -> None:
    folder = f"pathdsl/models/data/{name}"
    assert {f"{folder}/config.json", f"{folder}/model.safetensors"} <= contents


def test_nothing_but_the_package_is_in_the_wheel(contents: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in contents} == {"pathdsl"}
    assert not [name for name in contents if "__pycache__" in name]


def test_the_wheel_says_that_it_has_types(contents: set[str]) -> None:
    assert "pathdsl/py.typed" in contents
