"""`%%circuit` in a notebook: what is shown, what is refused, what stays in the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pathdsl.editor.magic import Linted, Refused, circuit
from tests.cli.run import INDUCTION

WRONG = INDUCTION.replace("within(previous, match)", "within(previous, mach)")
PLACE = "18:31"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    return tmp_path


def test_lint_shows_every_fault_with_its_place_and_its_repair() -> None:
    found = circuit("--lint", WRONG)
    assert isinstance(found, Linted) and not found.ok
    assert f"<cell>:{PLACE}" in repr(found)
    assert "did you mean `match`?" in repr(found)
    html = found._repr_html_()
    assert f"&lt;cell&gt;:{PLACE}" in html and "#cf222e" in html and "<cell>" not in html
    clean = circuit("--lint", INDUCTION.replace("claim control", "claim  control"))
    assert isinstance(clean, Linted) and clean.ok and "no faults" in clean._repr_html_()


def test_a_check_is_a_result() -> None:
    from pathdsl.api import Result

    result = circuit("--take 30 --only sufficient", INDUCTION)
    assert isinstance(result, Result)
    assert [one.name for one in result.claims] == ["sufficient"]
    assert "supported" in result._repr_html_() and "not the published scope" in result._repr_html_()
    again = circuit("--take 30 --only sufficient --text", INDUCTION)
    assert isinstance(again, str) and "sufficient" in again
    wrong = circuit("", WRONG)
    assert isinstance(wrong, Result)
    assert f"&lt;cell&gt;:{PLACE}" in wrong._repr_html_()


def test_a_named_cell_is_a_file_that_others_use(folder: Path) -> None:
    library = "group movers @END = { a1.h2 }\n"
    found = circuit("lib.circuit --lint", library)
    assert isinstance(found, Linted) and found.ok
    assert (folder / "lib.circuit").read_text() == library
    user = 'use "lib.circuit"\n' + INDUCTION.replace("within(previous, match)", "through(movers)")
    assert isinstance(circuit("--lint", user), Linted)
    read = circuit("lib.circuit --lint")
    assert isinstance(read, Linted) and read.path == "lib.circuit"


@pytest.mark.parametrize(
    ("line", "cell", "why"),
    [
        ("", None, "name a file"),
        ("x.txt", "let a = 1", "does not end in `.circuit`"),
        ("no/such/x.circuit", "let a = 1", "cannot be written"),
        ("--check --lint", "let a = 1", "not allowed with"),
        ("--lint --only x", "let a = 1", "is of a check"),
        ("--take many", INDUCTION, "invalid int value"),
        ("--take 0", INDUCTION, "at least one row"),
        ("--only sufficent", INDUCTION, "did you mean `sufficient`?"),
        ("--what", INDUCTION, "unrecognized arguments"),
        ("'x", INDUCTION, "quotation"),
    ],
)
def test_slips_in_the_line_are_told(line: str, cell: str | None, why: str) -> None:
    with pytest.raises(Refused, match=why.replace("?", r"\?")):
        circuit(line, cell)


def test_in_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "pathdsl")
        shell.run_cell_magic("circuit", "lib.circuit --lint", "group g @END = { a1.h2 }\n")
        done = shell.run_cell(f"%%circuit --lint\n{WRONG}", store_history=True)
        assert isinstance(done.result, Linted)
        shown, _ = shell.display_formatter.format(done.result)
        assert {"text/plain", "text/html"} <= set(shown)
        assert "did you mean `match`?" in shown["text/plain"]
        capsys.readouterr()
        shell.run_cell("%%circuit --take 0\nlet a = 1\n")
        told = capsys.readouterr()
        assert "UsageError: %%circuit: `take=0`: at least one row" in told.err + told.out
        assert "Traceback" not in told.err + told.out
    finally:
        InteractiveShell.clear_instance()
