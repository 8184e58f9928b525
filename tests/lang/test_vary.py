"""Variants of a file: what each axis writes and what it leaves out; all can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.errors import Severity
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, TASK
from pathdsl.lang.vary import (
    AXES,
    Cell,
    apply,
    base_of,
    flatten,
    one_at_a_time,
    product_of,
    product_size,
    relocate,
    silent,
    values_of,
)

ROOT = Path(__file__).parents[2]
HEAD = CIRCUIT + MODEL + TASK.replace("}", "  positions = [S1, S2]\n}") + METRIC
AT = " at 95% confidence\n"


def cell(*lines: str, head: str = HEAD) -> Cell:
    program, faults = load_program("example.circuit", head + "\n".join(lines) + "\n")
    assert faults == [], [fault.message for fault in faults]
    return base_of(program, [claim.name.name for claim in program.claims])


def line(found: Cell, start: str) -> str:
    """The statement of a cell that begins so, on one line."""
    text = found.text.split(f"\n{start}", 1)[1].split("\n\n", 1)[0].split("\nclaim")[0]
    return " ".join(f"{start}{text}".split())


@pytest.mark.parametrize("name", ["induction", "ioi", "wrong"])
def test_every_cell_of_the_quickstart_is_a_file_without_faults(name: str) -> None:
    path = str(ROOT / "hypotheses" / "quickstart" / f"{name}.circuit")
    program, _ = load_program(path)
    base = base_of(program, [claim.name.name for claim in program.claims])
    cells = [base, *one_at_a_time(base, values_of(base))]
    assert len(cells) > 10
    for one in cells:
        assert not one.fault
        wrong = [d for d in lint_file(path, one.text)[1] if d.severity is Severity.ERROR]
        assert wrong == [], (one.name, wrong)
        assert format_text(one.text, path) == one.text
        assert set(one.claims) | set(one.left_out) == set(base.claims)
        assert "use " not in one.text.splitlines()


def test_what_no_claim_needs_is_taken_out() -> None:
    found = cell(
        "let a = mean(LD(reference))", "let b = a - 1", "let c = effect(mlp)",
        f"claim x: b > 0{AT}", f"claim y: c < 0{AT}",
    )  # fmt: skip
    assert "let c" in found.text
    alone = found.only(["x"])
    assert "let a" in alone.text and "let b" in alone.text
    assert "let c" not in alone.text and "claim y" not in alone.text


def test_a_program_of_several_files_becomes_one(tmp_path: Path) -> None:
    (tmp_path / "lib" / "data").mkdir(parents=True)
    (tmp_path / "lib" / "tasks.circuit").write_text(
        'task t {\n  data = jsonl("data/rows.jsonl", take: 40)\n  reference = prompt\n'
        '  treated = other\n}\npath p = edges("circuits/c.json", top: 3)\ngroup g = { a0.h1 }\n',
        encoding="utf-8",
    )
    main = tmp_path / "main.circuit"
    main.write_text(
        'circuit m "M" {\n  language = 1\n}\nuse "lib/tasks.circuit"\nmodel x = folder("weights")\n'
        f"{METRIC}claim c: effect(p) < 0{AT}",
        encoding="utf-8",
    )
    program, faults = load_program(str(main))
    assert faults == []
    text = flatten(program)
    assert '"lib/data/rows.jsonl"' in text and 'edges("lib/circuits/c.json"' in text
    assert 'folder("weights")' in text and "use " not in text and "group g" in text
    away = relocate(text, str(main), tmp_path / "deep" / "er")
    assert '"../../lib/data/rows.jsonl"' in away and 'folder("../../weights")' in away
    back = relocate(away, str(tmp_path / "deep" / "er" / "main.circuit"), tmp_path)
    assert back == text


def test_blanks_and_comments_may_stand_before_a_path(tmp_path: Path) -> None:
    sets = 'path p = edges ( # the "best"\n  "c.json", top: 3)\ngroup g = { nodes(  "g.json" ) }\n'
    text = relocate(sets, str(tmp_path / "a.circuit"), tmp_path / "deep")
    assert '"../c.json"' in text and '"../g.json"' in text and '# the "best"' in text


def test_positions_are_dropped_from_nodes_and_not_from_metrics() -> None:
    found = cell(
        "metric Q @S2: logits = logit(io) @S1", "group g @S2 = { a1.h2, a0 }",
        "path p = input@S1 -[k: prev]-> g -> logits",
        f"claim c for h in {{a1@END}}: effect(h@END, metric: Q) < 0{AT}",
        f"claim d: effect(p, metric: Q) < 0{AT}",
    )  # fmt: skip
    assert values_of(found)["positions"] == ("off",)
    off = apply(found, "positions", "off")
    assert "metric Q @S2: logits = logit(io) @S1" in off.text
    assert line(off, "group g") == "group g = { a1.h2, a0 }"
    assert line(off, "path p") == "path p = input -[k: prev]-> g -> logits"
    assert "claim c for h in {a1}: effect(h, metric: Q)" in off.text
    assert "positions = [S1, S2]" in " ".join(off.text.split())
    assert "no node" in silent(cell(f"claim c: effect(a1.h2) < 0{AT}"))["positions"]


@pytest.mark.parametrize(
    ("treated", "values"),
    [
        ("prompt_abc", "zero; mean(prompt_abc); resample(prompt_abc)"),
        (
            "mean(prompt_abc, by: template)",
            "zero; prompt_abc; resample(prompt_abc, by: template)",
        ),
        ("resample(prompt_abc, draws: 2)", "zero; prompt_abc; mean(prompt_abc)"),
    ],
)
def test_treated_values_come_from_the_prompts_of_the_files_own(treated: str, values: str) -> None:
    head = HEAD.replace("prompt_abc", treated)
    found = cell(f"claim c: effect(a1.h2) < 0{AT}", head=head)
    assert "; ".join(values_of(found)["treated"]) == values
    changed = apply(found, "treated", "zero")
    assert "treated = zero" in " ".join(changed.text.split())


def test_zero_takes_the_prompts_of_the_generator() -> None:
    found = cell(f"claim c: effect(a1) < 0{AT}", head=HEAD.replace("prompt_abc", "zero"))
    values = values_of(found)["treated"]
    assert "prompt_abc" in values and "mean(prompt_abc)" in values
    assert "prompt" not in values and "zero" not in values


def test_what_a_treated_value_does_not_reach_is_said() -> None:
    found = cell(
        f"claim own: mean(LD(treat(a1.h2, treated: zero))) > 0{AT}",
        f"claim task: mean(LD(treat(a1.h2))) > 0{AT}",
        f"claim right: accuracy(reference, answer: io) > 0{AT}",
    )  # fmt: skip
    changed = apply(found, "treated", "zero")
    assert changed.claims == ("task",)
    assert set(changed.left_out) == {"own", "right"}
    frozen = apply(found, "layernorm", "frozen")
    assert frozen.claims == ("own", "task") and "layernorm = frozen" in frozen.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mean(LD(treat(m3))) / mean(LD(reference))", "mean(LD(treat(m3)) / LD(reference))"),
        (
            "1 - mean(LD(treat(m3)) - LD(treated)) / mean(LD(reference) - LD(treated))",
            "1 - mean((LD(treat(m3)) - LD(treated)) / (LD(reference) - LD(treated)))",
        ),
    ],
)
def test_quotients_written_out_are_averaged_in_the_other_order(one: str, other: str) -> None:
    found = apply(cell(f"claim c: {one} <= 10%{AT}"), "average", "mean_of_ratios")
    assert line(found, "claim c:").startswith(f"claim c: {other} <=")
    head = HEAD.replace("reference = prompt\n", "reference = prompt\n  average = mean_of_ratios\n")
    found = apply(cell(f"claim c: {other} <= 10%{AT}", head=head), "average", "ratio_of_means")
    assert one.removeprefix("1 - ") in line(found, "claim c:")


def test_average_concerns_quotients() -> None:
    found = cell(
        f"claim share: faithfulness(a1.h2) > 10%{AT}",
        f"claim gap: faithfulness(a1.h2, as: gap) < 10{AT}",
        f'claim area: cpr(edges("scores.json"), rank: signed) > 10%{AT}',
    )
    changed = apply(found, "average", "mean_of_ratios")
    assert changed.claims == ("share", "area") and "average = mean_of_ratios" in " ".join(
        changed.text.split()
    )


@pytest.mark.parametrize(
    ("path", "edges", "nodes"),
    [
        (
            "input -> a0.h1 -[v]-> a1.h2 -> logits",
            "input -> a0.h1 a0.h1 -[v]-> a1.h2 a1.h2 -> logits",
            "within(a0.h1, a1.h2)",
        ),
        (
            "input@S1 (-> {a0, mlp@S1})* -[k,v]-> a3.h1 -> logits",
            "input@S1 -> {a0, mlp@S1} {a0, mlp@S1} -> {a0, mlp@S1} "
            "{input@S1, {a0, mlp@S1}} -[k,v]-> a3.h1 a3.h1 -> logits",
            "within(input@S1, {a0, mlp@S1}, a3.h1)",
        ),
        (
            "input (-> m0)? -> (a1.h0 | a1.h1) (-> mlp)+ -> logits",
            "input -> m0 {input, m0} -> {a1.h0, a1.h1} {a1.h0, a1.h1} -> mlp mlp -> mlp "
            "mlp -> logits",
            "within(m0, a1.h0, a1.h1, mlp)",
        ),
        (
            "input (-> m0)* (-> {a1.h0, m1})* (-> g)* -> logits",
            "input -> m0 {input, m0} -> {a1.h0, m1} {a1.h0, m1} -> {a1.h0, m1} "
            "{input, m0, {a1.h0, m1}} -> g {input, m0, {a1.h0, m1}, g} -> logits",
            "within(m0, {a1.h0, m1}, g)",
        ),
        ("input -> logits", "input -> logits", "within(input)"),
        ("(one)", "input -> a0.h3 a0.h3 -> logits", "within(a0.h3)"),
    ],
)
def test_a_drawing_is_read_as_its_edges_or_nodes(path: str, edges: str, nodes: str) -> None:
    found = cell(
        "path one = input -> a0.h3 -> logits",
        "group g = { a2.h0 }",
        f"path p = {path}",
        f"claim c: effect(p) < 0{AT}",
    )
    read = line(apply(found, "reading", "edges"), "path p_as_edges")
    assert read.replace(";", "") == f"path p_as_edges = edges {{ {edges} }}"
    read = line(apply(found, "reading", "nodes"), "path p_as_nodes")
    assert read == f"path p_as_nodes = {nodes}"
    assert "effect(p_as_nodes)" in apply(found, "reading", "nodes").text


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a0.h1 -> a1.h2 -> logits", "does not begin"),
        ("input -> a1.h2", "does not end"),
        ("input ~> a1.h2 -> logits", "any nodes between"),
        ("within(a1.h2)", "by either reading"),
        ("through(a1.h2) - through(a0.h1)", "not drawn"),
    ],
)
def test_a_drawing_that_cannot_be_listed_says_why(path: str, why: str) -> None:
    found = cell(f"path p = {path}", f"claim c: effect(p) < 0{AT}")
    assert "reading" not in values_of(found)
    assert why in silent(found)["reading"]


def test_a_list_of_edges_is_read_as_nodes_only() -> None:
    found = cell("path p = edges { input -> a0.h1 -> logits }", f"claim c: effect(p) < 0{AT}")
    assert values_of(found)["reading"] == ("nodes",)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("metric M: logits = logit(io) - logit(s)", "prob", "metric M: prob = prob(io)"),
        ("metric M: logits = logit(io) - logit(s)", "top1", "metric M = top1(io)"),
        ("metric M on ioi @S2: logits = logit(io)", "logprob",
         "metric M on ioi @S2: nats = logprob(io)"),
        ("metric M: prob = prob(io) @S2 - prob(s) @S1", "logit_difference",
         "metric M: logits = logit(io) @S2 - logit(s) @S1"),
    ],
)  # fmt: skip
def test_metrics_are_made_of_the_same_answers(metric: str, value: str, text: str) -> None:
    head = HEAD.replace(METRIC, "")
    found = cell(metric, f"claim c: faithfulness(a1.h2) >= 10%{AT}", head=head)
    assert text in apply(found, "metric", value).text


def test_thresholds_in_a_unit_do_not_carry_over() -> None:
    found = cell(
        "let total: logits = mean(LD(reference))",
        f"claim sign: effect(a1.h2) < 0{AT}", f"claim size: effect(a1.h2) < 2{AT}",
        f"claim share: faithfulness(a1.h2) >= 10%{AT}", f"claim let_sign: total > 0{AT}",
        f"claim ratio: mean(LD(treat(a1))) / total <= 10%{AT}", f"claim n: paths(a1) > 3{AT}",
    )  # fmt: skip
    changed = apply(found, "metric", "prob")
    assert changed.claims == ("sign", "share", "let_sign", "ratio")
    assert "unit" in changed.left_out["size"] and "metric" in changed.left_out["n"]
    assert "let total = mean(LD(reference))" in changed.text
    assert "ratio" in apply(found, "metric", "logprob").left_out
    assert "share" not in apply(found, "metric", "logprob").left_out


def test_one_answer_makes_no_difference() -> None:
    head = HEAD.replace("logit(io) - logit(s)", "logit(io)")
    found = cell(f"claim c: faithfulness(a1.h2) >= 10%{AT}", head=head)
    assert "logit_difference" not in values_of(found)["metric"]
    assert "too few answers" in apply(found, "metric", "logit_difference").left_out["c"]


@pytest.mark.parametrize(
    ("claim", "swapped"),
    [
        ("effect(a1.h2) < 0", "mean(LD(treated) - LD(keep(a1.h2))) < 0"),
        ("mean(LD(treat(a1.h2))) > 0",
         "mean((LD(reference) + LD(treated) - LD(keep(a1.h2)))) > 0"),
        ("mean(LD(keep(a1.h2, scope: mlp), task: ioi)) > 0",
         "mean((LD(reference, task: ioi) + LD(treat(full, scope: mlp), task: ioi) - "
         "LD(treat(a1.h2, scope: mlp), task: ioi))) > 0"),
        ("faithfulness(a1.h2) >= 10%",
         "(mean(LD(reference) - LD(treat(a1.h2))) / mean(LD(reference) - LD(treated))) >= 10%"),
    ],
)  # fmt: skip
def test_the_same_is_measured_from_the_other_run(claim: str, swapped: str) -> None:
    found = apply(cell(f"claim c: {claim}{AT}"), "direction", "swapped")
    assert f"claim c: {swapped} at 95%" in found.text


def test_direction_keeps_the_order_of_averaging() -> None:
    both = cell(f"claim c: faithfulness(a1.h2) >= 10%{AT}")
    for axis, value in (("average", "mean_of_ratios"), ("direction", "swapped")):
        both = apply(both, axis, value)
    assert "mean((LD(reference) - LD(treat(a1.h2))) / (LD(reference) - LD(treated)))" in both.text


def test_scores_without_another_side_are_left_out() -> None:
    found = cell(
        f"claim c: minimality(a1.h2) >= 10{AT}",
        f"claim d: effect(a1.h2) < 0{AT}",
        f"claim e: effect(a1.h2, as: rms) > 0{AT}",  # a root of a mean square is no mean
    )
    left = apply(found, "direction", "swapped").left_out
    assert "minimality" in left["c"] and "effect" in left["e"] and "d" not in left


def test_the_product_has_every_combination_once() -> None:
    found = cell("path p = input@S1 -> a1.h2 -> logits", f"claim c: faithfulness(p) >= 10%{AT}")
    values = {"treated": ["zero", "mean(prompt_abc)"], "positions": ["off"], "metric": ["prob"]}
    cells = list(product_of(found, values))
    assert len(cells) == product_size(values) == 11
    assert len({one.name for one in cells}) == 11
    last = cells[-1]
    assert [axis for axis, _ in last.changes] == ["positions", "treated", "metric"]
    assert "prob = prob(io)" in last.text and "@S1" not in last.text
    assert {axis.name for axis in AXES} >= set(values)


def test_a_value_that_is_no_language_is_the_cells_fault() -> None:
    found = apply(cell(f"claim c: effect(a1.h2) < 0{AT}"), "treated", "mean(")
    assert found.fault.startswith("[PD0") and not found.text
    assert apply(found, "metric", "prob").fault == found.fault


def test_each_task_takes_the_values_that_it_has_prompts_for() -> None:
    other = TASK.replace("task ioi", "task zeros").replace("prompt_abc", "zero")
    other = other.replace("}", "  layernorm = frozen\n}")
    found = cell(
        "task part = zeros where template == 1",
        f"claim a: effect(a1, task: ioi) < 0{AT}",
        f"claim b: mean(LD(treat(a1), task: part)) < 0{AT}",
        head=HEAD + other,
    )
    zero = apply(found, "treated", "zero")
    assert zero.claims == ("a",) and "its task has that value" in zero.left_out["b"]
    other_mean = apply(found, "treated", "mean(prompt_abc)")
    assert other_mean.claims == ("a", "b")
    frozen = apply(found, "layernorm", "frozen")
    assert frozen.claims == ("a",) and frozen.left_out["b"] == "its task says so already"
    assert apply(found, "layernorm", "recompute").claims == ("b",)
