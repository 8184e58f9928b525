"""What is answered without typer is what typer reads: the same values for the same words."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pathdsl.cli.app import app
from pathdsl.cli.quick import QUICK, read
from tests.cli.run import pathdsl

ROOT = Path(__file__).parents[2]
FILE = "hypotheses/quickstart/induction.circuit"
WORDS = (
    "x.circuit", "-", "--no-color", "--allow-outside", "--format", "--format=json", "text",
    "--check", "--diff", "--nonsense", "-h", "--", "", "--no-color=1", "--format=",
)  # fmt: skip


@cache
def _command(verb: str) -> Any:
    return get_command(app).commands[verb]  # type: ignore[attr-defined]


def _typer(verb: str, words: list[str]) -> dict[str, Any] | None:
    """What typer makes of the words of a verb; None where it refuses them."""
    command = _command(verb)
    try:
        context = command.make_context(verb, list(words))
    except BaseException:
        return None
    named = {option: one.name for one in command.params for option in one.opts}
    found: dict[str, Any] = context.params
    return found | {
        option.removeprefix("--"): found[name] for option, name in named.items() if name in found
    }


@pytest.mark.parametrize("verb", QUICK)
def test_typer_reads_the_same(verb: str) -> None:
    flags, styled, _ = QUICK[verb]
    plain = 0
    for length in (1, 2, 3):
        for words in product(WORDS, repeat=length):
            given = read(words, flags, styled=styled)
            if given is None or (verb == "explain" and len(given.names) > 1):
                continue
            if given.style not in ("", "json", "text"):
                continue  # `lint` leaves it to typer
            plain += 1
            asked = _typer(verb, list(words))
            assert asked is not None, words
            names = asked.get("files") or [asked.get("subject")]
            assert list(given.names) == names, words
            for flag in flags:
                assert (flag in given.flags) == asked[flag], words
            if styled:
                assert (given.style or "text") == asked["style"], words
    assert plain > 5


@pytest.mark.parametrize("words", [
    [], ["--help"], ["x", "--format"], ["x", "--format", "xml"], ["--nope"],
    ["--format=text", "--format=text", "x"],
])  # fmt: skip
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    done = pathdsl("lint", *words, cwd=ROOT)
    assert done.returncode == (0 if "--help" in words else 2)
    assert "Usage: pathdsl lint" in done.stdout + done.stderr or "Error" in done.stderr


@pytest.mark.parametrize("line", [["lint", FILE], ["fmt", "--check", FILE], ["explain", "PD203"]])
def test_nothing_heavy_is_imported(line: list[str]) -> None:
    script = (
        "import sys\nfrom pathdsl.cli.main import main\n"
        f"try: main({line!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'typer', 'pydantic', 'numpy', 'rich', 'networkx', 'scipy', 'torch', 'jinja2',"
        " 'importlib.resources'}\n"
        "assert not heavy & {*sys.modules}, heavy & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_a_code_is_explained_in_any_case_and_by_name() -> None:
    first = pathdsl("explain", "PD203", cwd=ROOT)
    assert first.returncode == 0 and "PD203" in first.stdout
    for name in ("pd203", "position-travels-back"):
        assert pathdsl("explain", name, cwd=ROOT).stdout == first.stdout


def test_a_wrong_size_in_the_environment_is_typers_to_tell(tmp_path: Path) -> None:
    (tmp_path / "x.circuit").write_text("")
    done = pathdsl("check", "x.circuit", cwd=tmp_path, PATHDSL_CACHE_SIZE="abc")
    assert done.returncode == 2 and "Usage: pathdsl check" in done.stderr
    assert "PATHDSL_CACHE_SIZE" in done.stderr
