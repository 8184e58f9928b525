"""Paths and nodes that are on no prompt (PD223), or on some only (PD224)."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from pathdsl.checking import probe
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import prepare
from pathdsl.checking.presence import used_paths
from pathdsl.checking.probe import Probe
from pathdsl.engine.data.positions import position_mask
from pathdsl.errors import Diagnostic, ExitCode, Severity, errors_in
from pathdsl.graph.paths.pathset import PathSet, Pos, intersection
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program

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


# ------------------------------------------------------------------------------- wherever written

MINI = """circuit c { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data      = mini_ioi(take: 12, seed: 3)
  reference = prompt
  treated   = prompt_abc
}
task other {
  data      = mini_ioi(take: 12, seed: 4)
  reference = prompt
  treated   = prompt_abc
}
metric LD on ioi: logits       = logit(io) - logit(s)
metric at_S2 on ioi @S2: logits = logit(io) - logit(s)
metric mass on ioi             = attention(a3.h1, S2 -> S1)
group late = { a3.h1@S1 }
"""
END, S1 = "through(a3.h2@END)", "through(a3.h1@S1)"
EARLY, LATE = "through(a1.h1@S1)", "through(a0.h0@S2)"  # S2 is never read at S1
# What enters the final norm, and what heads of the last layer write, is read at END alone.
NOWHERE = [
    "let e = mean(LD(treat(through(r4@S1))))",
    "let e for r in {r3@S1, r4@S1} = mean(LD(treat(through(r))))",
    "let e for r in r[3..4]@S1 = mean(LD(treat(through(r)) ) - LD(reference))",
    "let e for h in {a3.h1@S1, a3.h2@END} = mean(LD(treat(h -> logits)))",
    "let e for h in {a3.h1@S1, a3.h2@END} = effect(through(h), metric: LD)",
    "let e for w in windows({a3.h1@S1, a3.h2@END}, 1) = mean(LD(treat(through(w))))",
    "claim e for h in {a3.h2@END, a3.h1@S1}: mean(LD(treat(h -> logits))) < 1 at 90% confidence",
    "let e = mean(LD(treat(late)))",
    "let e = effect(late, metric: LD)",
    "path p = late -> logits\nlet e = mean(LD(keep(p)))",
    f"let e = mean(LD(treat(full, scope: {S1})))",
    f"let e = mean(LD(treat({EARLY}, scope: {LATE})))",
    f"let e = mean(LD(keep({EARLY}, scope: {LATE})))",
    f"let e = faithfulness({EARLY}, scope: {LATE}, metric: LD)",
    f"let e = accuracy(treat(through(a3.h1@END)), answer: io, scope: {S1}, task: ioi)",
    f"path p = {EARLY}\nlet e = mean(LD(treat(p, scope: {LATE})))",
    f"let e = mean(LD(treat(random_like({S1}, seed: 1))))",
    f"let e = chance(effect({S1}, metric: LD), among: 5)",
    f"let e = accuracy(treat({S1}), answer: io, task: ioi)",
    f"let e = overlap({S1}, {END})",
    f"let e = paths({S1})",
    "let e = mean(LD(treat(through(a3.h1@S1, a3.h2@END))))",
    "let e = mean(LD(treat(through(r4@S1, a3.h2@END))))",
    "let e = mean(LD(treat(through(r4@S1, r4@END))))",
    "let e = minimality(within(a3.h1, a3.h2), over: {a3.h1@S1}, metric: LD)",
    f"let e = mean(at_S2(treat({END})))",
    "let e = mean(at_S2(treat(through(r4@END))))",
]
SOMEWHERE = [
    "let e = mean(LD(treat(through(r3@S1))))",
    "let e for r in r[0..4]@END = mean(LD(treat(through(r))))",
    "let e = mean(at_S2(treat(through(r4@S2))))",
    "let e = mean(mass(treat(through(a0.h1@S1))))",
    "let e = mean(LD(treat(none)))",
    "let e = effect(through(a3.h1@END), scope: none, metric: LD)",
    "let e = minimality(within(a3.h1, a3.h2), over: {a3.h1@END}, metric: LD)",
    "let e = mean(LD(treat(random_like(within(a3.h1@END, mlp), seed: 1))))",
]


def said(folder: Path, lines: str) -> list[Diagnostic]:
    """What is said before anything runs."""
    from pathdsl.checking.prepare import prepare
    from pathdsl.checking.presence import check_presence

    path = folder / "x.circuit"
    path.write_text(MINI + lines + "\n")
    program, found = load_program(str(path))
    assert found == []
    ready = prepare(program, CheckOptions())
    return check_presence(program, ready.resolver, ready.planner)


@pytest.mark.parametrize("lines", NOWHERE)
def test_a_set_without_a_path_is_an_error_wherever_it_is_written(
    lines: str, tmp_path: Path
) -> None:
    found = said(tmp_path, lines)
    assert {d.code for d in found} == {"PD223"} and all(d.span is not None for d in found)


@pytest.mark.parametrize("lines", SOMEWHERE)
def test_a_set_with_a_path_is_none(lines: str, tmp_path: Path) -> None:
    assert said(tmp_path, lines) == []


def test_the_members_of_a_loop_are_named_together(tmp_path: Path) -> None:
    loop = "let e for h in {a3.h[0..3]@S1, a3.h[0..3]@END}: logits = mean(LD(treat(through(h))))"
    (found,) = said(tmp_path, loop)
    assert found.notes[-1] == "with h = `a3.h0@S1`, `a3.h1@S1`, `a3.h2@S1`, `a3.h3@S1`"
    assert found.help.startswith("take them out of the `for h in …`")


def test_only_the_tasks_that_a_quantity_measures_on_are_asked(tmp_path: Path) -> None:
    found = said(tmp_path, f"let e = mean(LD(treat({S1})))")
    assert [d.message for d in found] == ["this path set holds no path on any prompt of task `ioi`"]


def test_a_loop_over_nothing_is_an_error(tmp_path: Path) -> None:
    text = MINI + "claim c for h in {late, except late}: mean(LD(treat(h))) < 1 at 90% confidence\n"
    (tmp_path / "x.circuit").write_text(text)
    outcome = check_file(str(tmp_path / "x.circuit"), CheckOptions())
    (fault,) = [d for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert fault.code == "PD209" and outcome.exit_code is ExitCode.WRONG_INPUT


EDGES = (
    "input@X -[v]-> a0.h1@Y -[v]-> a1.h2 -> logits", "through(a0.h1@X)", "through(a1)",
    "(input@Y -[v: same]-> a0.h2@Y -[k]-> a1.h0@X -> logits) | through(a0.h0@Y)",
    "input@X ~> {a0.h0, a0.h1}@Y -> logits", "within({a0.h1, a0.h2}@Y, {a1.h2})",
    "full - through(a0)",
)  # fmt: skip


@pytest.mark.parametrize("steps", [0, 20_000])
@pytest.mark.parametrize("first", [0, 3, 5])
def test_rows_of_a_set_are_the_same_beside_others(
    steps: int, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe's sets share what they have in common; each is asked here on a probe of its own."""
    monkeypatch.setattr(probe, "SHARED_STEPS", steps)
    faults(tmp_path, ROUTE, [BEFORE, AFTER, (1, 5), (2, 2), (5, 4), (0, 1)])
    program, _ = load_program(str(tmp_path / "x.circuit"))
    ready = prepare(program, CheckOptions())
    task = ready.planner.tasks["t"]
    names = parsed(tmp_path, ready.resolver)
    read = position_mask(task)(Pos(name="END"))
    together = Probe(ready.resolver, ready.planner, task, read)
    seen = set()
    for paths in (*names[first:], *names[:first]):
        alone = Probe(ready.resolver, ready.planner, task, read).rows_with(paths)
        assert (together.rows_with(paths) == alone).all()
        seen.add(alone.tobytes())
    assert len(seen) > 3


def parsed(folder: Path, resolver: Resolver) -> list[PathSet]:
    """The sets of `EDGES`, and what each two of them share."""
    text = (folder / "x.circuit").read_text()
    (folder / "y.circuit").write_text(
        text + "".join(f"path e{i} = {one}\n" for i, one in enumerate(EDGES))
    )
    program, found = load_program(str(folder / "y.circuit"))
    assert not errors_in(found)
    sets = [resolver.path_set(program.paths[f"e{i}"].path) for i in range(len(EDGES))]
    return sets + [intersection(a, b) for a, b in pairwise(sets)]
