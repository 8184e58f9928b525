"""Paths and nodes that are on no prompt (PD223), or on some only (PD224)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathdsl.errors import Diagnostic, ExitCode, Severity
from pathdsl.lang.program import load_program
from pathdsl.score.check import CheckOptions, check_file
from pathdsl.score.presence import used_paths

FILE = """
circuit c {{ language = 1 }}
model toy = bundled("induction-2l")
task t {{
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
  positions = [X, Y]
}}
path p = {path}
metric L{at}: logits = logit(right) - logit(wrong)
claim c: mean(L(reference) - L(treat(p))) > -100 at 95% confidence
"""


def faults(
    folder: Path, path: str, places: list[tuple[int, int]], at: str = ""
) -> list[Diagnostic]:
    rows = [
        {"id": f"row-{i}", "prompt": [1, 2 + i % 3, 3, 4, 5, 6],
         "other": [6, 5, 4, 3, 2 + i % 2, 1], "right": 1, "wrong": 2, "positions": {"X": x, "Y": y}}
        for i, (x, y) in enumerate(places)
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = FILE.format(path=path, at=at)
    (folder / "x.circuit").write_text(text)
    outcome = check_file(str(folder / "x.circuit"), CheckOptions())
    found = [d for d in outcome.diagnostics if d.code in ("PD223", "PD224")]
    wrong = [d for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert not [d.message for d in wrong if d not in found]
    wanted = any(d.severity is Severity.ERROR for d in found)
    assert (outcome.exit_code is ExitCode.WRONG_INPUT) == wanted
    return found


BEFORE, AFTER = (1, 3), (3, 1)
ROUTE = "input@X -[v]-> a0.h1@Y -[v]-> a1.h2 -> logits"


def test_a_path_on_every_prompt(tmp_path: Path) -> None:
    assert faults(tmp_path, ROUTE, [BEFORE] * 4) == []


def test_a_path_on_no_prompt(tmp_path: Path) -> None:
    found = faults(tmp_path, ROUTE, [AFTER] * 4)
    assert [d.code for d in found] == ["PD223"] and found[0].severity is Severity.ERROR
    assert found[0].message == "the path set `p` holds no path on any prompt of task `t`"
    assert "row-0" in found[0].notes[0] and found[0].help and found[0].span is not None


def test_a_path_on_some_prompts(tmp_path: Path) -> None:
    found = faults(tmp_path, ROUTE, [BEFORE, AFTER, BEFORE, AFTER, AFTER])
    assert {d.code for d in found} == {"PD224"}
    assert found[0].message == "the path set `p` has no path on 3 of 5 prompts of task `t`"
    assert found[0].notes == ("row `row-1` is the first",)
    assert all(d.severity is Severity.WARNING for d in found)


def test_a_node_on_no_prompt(tmp_path: Path) -> None:
    either = f"({ROUTE}) | (input@X -[v]-> a0.h0@X -[v]-> a1.h1@Y -> logits)"
    found = faults(tmp_path, either, [BEFORE] * 3)
    # a1.h1@Y goes straight to `logits`, which is read at END alone.
    assert {d.code for d in found} == {"PD223"}
    assert sorted(d.message for d in found) == [
        "`a0.h0@X` of `p` lies on no path on any prompt of task `t`",
        "`a1.h1@Y` of `p` lies on no path on any prompt of task `t`",
    ]


def test_a_node_on_some_prompts(tmp_path: Path) -> None:
    either = f"({ROUTE}) | (input@X -[v]-> a0.h0@Y -[v: same]-> a1.h1@Y -> logits)"
    found = faults(tmp_path, either, [(1, 5), BEFORE, BEFORE])
    assert {d.code for d in found} == {"PD224"}
    assert {d.message for d in found} == {
        "`a0.h0@Y` of `p` has no path on 2 of 3 prompts of task `t`",
        "`a1.h1@Y` of `p` has no path on 2 of 3 prompts of task `t`",
    }


def test_where_the_metric_reads_counts(tmp_path: Path) -> None:
    """A head at Y reaches `logits` where a metric reads them at Y."""
    route = "input@X -[v]-> a1.h2@Y -> logits"
    assert [d.code for d in faults(tmp_path, route, [BEFORE] * 3)] == ["PD223"]
    assert faults(tmp_path, route, [BEFORE] * 3, at=" @Y") == []


@pytest.mark.parametrize("path", ["full - through(a0.h0)", "within(attn)", "a1.h2 -> logits"])
def test_paths_without_positions(tmp_path: Path, path: str) -> None:
    assert faults(tmp_path, path, [AFTER] * 3) == []


def test_only_paths_that_are_run_are_asked_about() -> None:
    text = (
        "path inner = a0.h0\npath outer = (inner) -> logits\npath unused = a1.h1\n"
        "let d = mean(L(treat(outer)))\nclaim c: faithfulness(last) > 0\npath last = m0\n"
    )
    program, _ = load_program("x.circuit", text)
    assert used_paths(program) == ["outer", "last"]
