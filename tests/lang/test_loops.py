"""Loops over lists, of several variables, and functions over members: syntax, checks, lints."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.check import check_graph
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.loops import meant_nodes, substituted, values_of, variants
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.serving import metrics_read, tasks_read
from pathdsl.lang.syntax.parse import parse

HEAD = """circuit loops "Loops" {
  language = 1
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 60, seed: 0)
  reference = prompt
  treated   = prompt_abc
}

task abba = ioi where order == "abba"

group movers @END = { a3.h1, a3.h2 }
group early  @END = { a0.h0, a0.h2 }

path late   = movers -> logits
path direct = early -> logits

metric LD: logits = logit(io) - logit(s)
metric P: prob    = prob(io)

let used = mean(LD(reference, task: ioi)) - effect(late, metric: LD, task: abba)
let probable: prob = effect(direct, metric: P, task: ioi)

claim control: faithfulness(random_like(late), task: ioi, metric: LD) > 1 expect refuted
"""


def linted(*lines: str) -> list[Diagnostic]:
    return lint_file("loops.circuit", HEAD + "\n" + "\n".join(lines) + "\n")[1]


def codes(*lines: str) -> set[str]:
    return {fault.code for fault in linted(*lines)} - {"PD502", "PD104"}


def program(*lines: str) -> Program:
    return load_program("loops.circuit", HEAD + "\n" + "\n".join(lines) + "\n")[0]


# -------------------------------------------------------------------------------------------------
# Syntax
# -------------------------------------------------------------------------------------------------

FORMS = [
    "let of for g in [movers, early]: logits = effect(through(g))",
    "let heat for r in r[0..24], p in [S1, S2+1, END]: logits = effect(through(r@p))",
    "let layer for l in windows(attn, 1, by: layer): logits = effect(through(l@END))",
    "let at_token for i in [0..5] = effect(through(m0@[i]))",
    "let some for i in [0, 3, 7] = effect(through(m0@[i]))",
    "let whole for p in [movers -> logits, late] = paths(p)",
    "let diff = heat[r5, S2] - heat[r5, S2+1] + at_token[3] + of[movers]",
    "claim in_each for t in [ioi, abba]: faithfulness(late, task: t) >= 80% by holm()",
    "claim few: share(h in attn: effect(through(h)) < -0.1) <= 5% at 95% confidence",
    "claim some: max(r in r[0..31], p in [S1]: effect(through(r@p))) >= 80%",
    "let nested = mean(h in attn: max(p in [S1, END]: abs(effect(through(h@p)))))",
]


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_read_and_printed_as_it_is_written(text: str) -> None:
    _, faults = parse(text, "a.circuit")
    assert faults == []
    assert format_text(text, "a.circuit") == text + "\n"


def test_old_fields_of_a_loop_are_those_of_its_first_variable() -> None:
    (let,) = parse("let x for r in r[0..2], p in [S1] = heat[r, p]", "a")[0].statements
    assert isinstance(let, ast.LetDecl) and let.loop is not None
    assert let.loop.variable.name == "r" and isinstance(let.loop.members, ast.ResidRef)
    assert [one.variable.name for one in let.loop.bindings] == ["r", "p"]
    assert isinstance(let.expression, ast.Subscript) and len(let.expression.more) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("let x for i in [5..0] = 1", "PD017"),
        ("let x for h in attn, h in mlp = 1", "PD018"),
        ("let x for l in windows(attn, 1, by: head) = 1", "PD019"),
        ("let x for l in windows(attn, 1, of: layer) = 1", "PD019"),
        ("let x = share(h in attn)", "PD014"),
        ("let x = max(h in attn, effect(h))", "PD001"),
        ("let x for t in en, zh = 1", "PD001"),
    ],
)
def test_what_is_no_loop_is_told(text: str, code: str) -> None:
    assert [fault.code for fault in parse(text, "a.circuit")[1]] == [code]


# -------------------------------------------------------------------------------------------------
# Checks
# -------------------------------------------------------------------------------------------------

GOOD = [
    "let of for g in [movers, early]: logits = effect(through(g), metric: LD, task: ioi)",
    "let on_ for t in [ioi, abba]: logits = mean(LD(reference, task: t))",
    "let by for m in [LD]: logits = mean(m(reference, task: ioi))",
    "let pp for p in [late, direct] = faithfulness(p, metric: LD, task: ioi)",
    "let qq for p in [late & full, none] = paths(p)",
    "let at_ for p in [S1, S1+1, END]: logits = effect(through(m0@p), metric: LD, task: ioi)",
    "let near for p in [S1]: logits = effect(through(m0@p+1), metric: LD, task: ioi)",
    "let ii for i in [0..3]: logits = effect(through(m0@[i]), metric: LD, task: ioi)",
    "let ss for s in [0..3] = faithfulness(random_like(late, seed: s), metric: LD, task: ioi)",
    "let ll for x in [used, twice] = x\nlet twice = 2 * used",
    "let sets for g in [{a0.h0, a1.h0}, movers] = paths(through(g))",
    "let ww for l in windows(attn, 1, by: layer) = effect(through(l@END), metric: LD, task: ioi)",
    "let sh = share(h in attn: abs(effect(through(h), metric: LD, task: ioi)) > 1)",
    "let mm: logits = sum(g in [movers, early]: effect(through(g), metric: LD, task: ioi))",
    "let pc = share(t in [ioi, abba]: accuracy(reference, answer: io, task: t) > 50%)",
    "let hh for r in r[0..3], p in [S1, END]: logits = effect(through(r@p), metric: LD, task: ioi)"
    "\nclaim cc for r in r[0..3], p in [S1, END]: hh[r, p] < 9 at 95% confidence by holm()",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_variable_stands_where_what_it_ranges_over_may_stand(text: str) -> None:
    name = text.split()[1]
    text = text.replace("let by for", "let by_ for")
    assert [f for f in linted(text) if f.code not in ("PD104", "PD501", "PD502")] == [], name


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("let x for g in [] = paths(g)", "PD116", "empty"),
        ("let x for g in [movers, late] = paths(g)", "PD115", "one kind"),
        ("let x for g in [movers, S1] = paths(g)", "PD115", "a position among sets of nodes"),
        ("let x for g in [movers, movers] = paths(g)", "PD114", "twice"),
        ("let x for g in [mover] = paths(g)", "PD101", "`mover`"),
        ("let x for g in [control] = paths(g)", "PD111", "`control` is a claim"),
        ("let x for i in [0.5] = paths(late)", "PD115", "whole number"),
        ("let x for i in [0..5000] = paths(late)", "PD116", "1,000"),
        (f"let x for i in [0..999], j in [0..{99}] = paths(late)", "PD116", "100,000 members"),
        ("let x for S1 in [END] = paths(through(m0@S1))", "PD107", "hides a position"),
        ("let x for late in [movers] = paths(late)", "PD107", "hides a path"),
        ("let x for h in attn = max(h in mlp: paths(through(h)))", "PD107", "hides another"),
        ("let x for p in [S1] = paths(through(p))", "PD101", "`S1`"),
        ("let x for t in [ioi] = paths(through(t))", "PD111", "`ioi` is a task"),
        ("let x for p in [S1, S9+1] = paths(through(m0@p))", "PD109", "S9"),
        ("let x = paths(through(m0@[i]))", "PD101", "no variable over indices"),
        ("let x for r in r0, p in [S1] = paths(through(r@p))\nlet y = x[r0]", "PD127", "`r` and"),
        ("let x for p in [S1] = paths(through(m0@p))\nlet y = x[S2]", "PD101", "no item"),
        ("let x for m in [LD, P] = mean(m(reference, task: ioi))", "PD401", "different units"),
        ("let x for a in [y] = a\nlet y = x[y]", "PD108", "itself"),
        ("let x = share(h in attn: paths(through(h)))", "PD113", "condition"),
        ("let x = max(h in attn: paths(through(h)) > 1)", "PD115", "condition"),
        ("let x = max(h in attn: paths(through(h)), 1)", "PD117", "one argument"),
        ("let x = share(h in attn: paths(through(h)) ~= 1)", "PD110", "compares"),
        ("let x = max(h in attn: LD(reference, task: ioi))", "PD405", "per prompt"),
        ("let x = mean(max(h in attn: LD(reference, task: ioi)))", "PD405", "per prompt"),
        ("let x = abs(h in attn: paths(through(h)))", "PD115", "over members"),
        ("let x = share(h in attn: used > 1 + LD(reference, task: ioi))", "PD405", "prompt"),
        ("let x = sum(m in [LD, P]: mean(m(reference, task: ioi)))", "PD401", "different units"),
        ("let x = sum(h in movrs: paths(through(h)))", "PD101", "movrs"),
    ],
)
def test_what_cannot_be_is_told(text: str, code: str, word: str) -> None:
    found = [f for f in linted(text) if f.severity is Severity.ERROR]
    assert code in {f.code for f in found}, found
    said = [f.message + f.label + "".join(f.notes) for f in found if f.code == code]
    assert any(word in one for one in said), said


def test_a_fault_of_one_item_says_which() -> None:
    (fault,) = [f for f in linted("let x for g in [late, full & late, direct] = paths(through(g))")
                if f.code == "PD111" and "with g = late" in f.notes]  # fmt: skip
    assert fault.message == "`late` is a path, wanted a group"


def test_a_fault_of_every_item_is_told_once_and_plainly() -> None:
    found = linted("let x for t in [ioi, abba]: logits = mean(LD(treat(gone), task: t))")
    (fault,) = [f for f in found if f.code == "PD101"]
    assert fault.notes == ()


# -------------------------------------------------------------------------------------------------
# Lints
# -------------------------------------------------------------------------------------------------


def test_a_correction_is_asked_for_where_a_product_makes_many_claims() -> None:
    claim = "claim x for r in r0, p in {}: effect(through(r@p), metric: LD, task: ioi) > 0 "
    assert "PD503" in codes(claim.format("[S1, END]") + "at 95% confidence")
    assert "PD503" not in codes(claim.format("[S1, END]") + "at 95% confidence by holm()")
    assert "PD503" not in codes(claim.format("[END]") + "at 95% confidence")


@pytest.mark.parametrize(
    ("index", "told"), [("r1, S1", True), ("r, S1", False), ("r1, p", True), ("r, p", False)]
)
def test_a_claim_about_a_place_of_a_sweep_is_told(index: str, told: bool) -> None:
    let = "let hh for r in r[0..3], p in [S1, END] = effect(through(r@p), metric: LD, task: ioi)"
    loop = " for " + ", ".join(
        one for one in ("r in r[0..3]", "p in [S1, END]") if one[0] in index.split(", ")
    )
    claim = f"claim x{loop if loop != ' for ' else ''}: hh[{index}] > 0 at 95% confidence by holm()"
    assert ("PD521" in codes(let, claim)) is told


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ("windows(attn, 3)", True),
        ("windows(a[1..2].h*, 2)", True),
        ("windows(a1.h*, 2)", False),
        ("windows(attn, 2, by: layer)", False),
        ("windows(m*, 2)", False),
        ("windows(movers, 2)", False),
        ("windows({attn}, 2)", True),
    ],
)
def test_windows_of_heads_over_a_border_are_told(windows: str, told: bool) -> None:
    text = f"let x for w in {windows} = effect(through(w), metric: LD, task: ioi)"
    assert ("PD531" in codes(text)) is told


def test_what_a_claim_reads_is_read_with_the_items_in_place() -> None:
    found = program("claim x for t in [ioi, abba], m in [LD, P]: mean(m(reference, task: t)) > 0")
    claim = next(c for c in found.claims if c.name.name == "x")
    nodes = meant_nodes(found, claim)
    assert tasks_read(found, nodes) == {"ioi", "abba"}
    assert set(metrics_read(found, nodes)) == {"LD", "P"}
    assert len(variants(found, claim)) == 4


def test_many_combinations_are_looked_at_so_that_every_item_is_seen() -> None:
    text = "let x for i in [0..99], j in [0..49] = paths(through(m0@[i])) + paths(through(m0@[j]))"
    found = program(text)
    assert len(variants(found, found.lets["x"])) == 100


def test_a_position_moves_a_position_and_a_variable_of_a_function_stays() -> None:
    found = program("let x for p in [S1+1] = effect(m0@p+1) + max(p in [S2]: paths(through(m0@p)))")
    (loop,) = [d.loop for d in found.lets.values() if d.name.name == "x"]
    assert loop is not None
    values = {"p": values_of(loop.members, found.sources)[0]}
    inner = substituted(found.lets["x"].expression, values)
    assert isinstance(inner, ast.Binary)
    moved = next(n for n in (inner.left.subjects) if isinstance(n, ast.MlpRef))  # type: ignore[union-attr]
    assert moved.at is not None and (moved.at.name, moved.at.offset) == ("S1", 2)
    assert inner.right == found.lets["x"].expression.right  # type: ignore[union-attr]


def test_the_graph_is_checked_for_every_member(tmp_path: Path) -> None:
    lines = (
        "let x for g in [movers, {a9.h0}]: logits = effect(through(g), metric: LD, task: ioi)",
        "let y = share(h in {a0.h0, m7}: effect(through(h), metric: LD, task: ioi) > 0)",
    )
    found = program(*lines)
    assert found.model is not None
    faults = check_graph(found, shape_of(source_from(found.model, str(tmp_path))))
    assert {fault.code for fault in faults} == {"PD205"}
    assert len(faults) == 2
    assert any("with g = {a9.h0}" in fault.notes for fault in faults)


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("let x for p in [S1, END] = effect(through(r1@p))", []),
        ("let x for i in [1..3] = effect(through(r1@[i]))", []),
        ("let x for m in [LD, P] = mean(m(reference))", []),
        ("let x for r in r[0..2], p in [S1, END] = effect(through(r@p), metric: LD)", []),
        ("let x for r in r[0..2], p in [S1, END] = effect(through(r), metric: LD)", ["p"]),
        ("let x for r in r[0..2], p in [S1, END] = effect(through(r1@p), metric: LD)", ["r"]),
        ("let x for p in [S1, END] = effect(through(r1@END), metric: LD)", ["p"]),
    ],
)
def test_a_variable_that_stands_nowhere_is_told(text: str, unused: list[str]) -> None:
    told = [fault.message for fault in linted(text) if "loop variable" in fault.message]
    assert told == [f"the loop variable `{name}` is never used" for name in unused]
