"""The public surface of the package is a list that somebody typed, and importing it is cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pathdsl

ROOT = Path(__file__).parents[1]
QUICKSTART = ROOT / "hypotheses" / "quickstart" / "induction.circuit"


def test_all_lists_exactly_the_public_names() -> None:
    helpers = {"annotations", "TYPE_CHECKING", "Any"}
    members = {
        name
        for name in dir(pathdsl)
        if not name.startswith("_") and not inspect.ismodule(getattr(pathdsl, name))
    }
    assert sorted(members - helpers | {"__version__"}) == pathdsl.__all__


def test_every_public_name_is_there_and_no_other() -> None:
    for name in pathdsl.__all__:
        assert name in dir(pathdsl) and getattr(pathdsl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Limit'"):
        pathdsl.Limit  # noqa: B018


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pathdsl.__version__ == project["version"]


def test_every_public_function_says_what_it_does() -> None:
    for name in pathdsl.__all__:
        value = getattr(pathdsl, name)
        if inspect.isfunction(value):
            assert inspect.getdoc(value)
            assert "return" in value.__annotations__


def test_importing_the_package_imports_nothing_else() -> None:
    heavy = ("lark", "numpy", "torch", "transformers", "networkx", "sympy")
    script = (
        "import sys, pathdsl\n"
        f"found = {{m.split('.')[0] for m in sys.modules}} & set({heavy!r})\n"
        "print(sorted(found | {m for m in sys.modules if m.startswith('pathdsl.')}))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parse_reads_a_file_without_faults() -> None:
    file, faults = pathdsl.parse(QUICKSTART.read_text(encoding="utf-8"), str(QUICKSTART))
    assert not faults
    assert len(file.statements) > 10


def test_check_judges_the_quickstart_file() -> None:
    result = pathdsl.check(QUICKSTART)
    assert result.exit_code == 0, result.diagnostics
    assert result.claims and all(claim.as_expected for claim in result.claims)
