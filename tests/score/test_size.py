"""`size(P, in: node | edge)`, `overlap(…, over: head)`, and the warnings about what misleads."""

from __future__ import annotations

from pathlib import Path

import pytest

import pathdsl
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.check import check_graph
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import load_program
from tests.graph.helpers import shape

HEAD = """circuit sized "Sized" { language = 1 }
model mini = bundled("ioi-mini")
task ioi { data = mini_ioi(take: 12, seed: 0); reference = prompt; treated = prompt_abc }
metric LD: logits = logit(io) - logit(s)
group movers @END = { a3.h1, a3.h2 }
path main = within({attn, mlp, except a3.h1})
path early = through(a0.h1@S1, a1.h2@END, a2.h0)
path late = through(a0.h1@END, a1.h2@END)
"""


def faults(*lines: str) -> list[Diagnostic]:
    program, found = lint_file("sized.circuit", HEAD + "\n".join(lines) + "\n")
    if any(one.severity is Severity.ERROR for one in found):
        return found
    of_model = shape_of(source_from(program.model, Path()))
    return [*found, *check_graph(program, of_model)]


def codes(*lines: str) -> list[str]:
    return [one.code for one in faults(*lines)]


def values(folder: Path, *lines: str) -> dict[str, float]:
    path = folder / "sized.circuit"
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    outcome = pathdsl.check(str(path)).outcome
    assert outcome.judgement is not None, [one.message for one in outcome.diagnostics]
    return {one.name: one.estimate for one in outcome.judgement.quantities}


def test_sizes_are_counted_and_are_what_reports_say(tmp_path: Path) -> None:
    path = tmp_path / "sized.circuit"
    lines = (
        "let nodes = size(main, in: node)",
        "let n_edges = size((main), in: edge)",
        "let all = size(full, in: edge)",
        "let nothing = size(none, in: node) + size(none, in: edge)",
        "let listed = size(edges { input -> a0.h1 -> logits; input -> logits }, in: edge)",
        "let by_set = size(movers, in: edge) - size(through(movers), in: edge)",
        "let inside = size(within(movers), in: node)",
        "let each for h in movers = size(through(h), in: edge)",
        "let most = max(h in movers: size(through(h), in: edge))",
        "claim small: size(main, in: edge) / size(full, in: edge) <= 95%",
    )
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    outcome = pathdsl.check(str(path)).outcome
    assert outcome.judgement is not None and outcome.claimed is not None
    found = {one.name: one.estimate for one in outcome.judgement.quantities}
    size = outcome.claimed.sets[0].size
    assert size is not None
    assert (found["nodes"], found["n_edges"], found["all"]) == (
        size.nodes,
        size.edges,
        size.of_edges,
    )
    assert found["nothing"] == found["by_set"] == 0
    assert found["listed"] == 5  # three inputs of the head, and two edges into `logits`
    assert found["inside"] == 2
    assert found["most"] == max(found["each[a3.h1@END]"], found["each[a3.h2@END]"])
    (claim,) = outcome.judgement.claims
    assert claim.verdict == "supported"


def test_the_edges_of_gpt2() -> None:
    program, _ = load_program("none.circuit", "path all = full\n")
    resolver = Resolver(program, shape(12, 12))
    assert len(resolver.edge_set(resolver.path_set(program.paths["all"].path))) == 32_491


def test_a_share_is_one_count_by_another() -> None:
    assert "PD403" in codes("claim c: size(main, in: edge) <= 10%")
    assert "PD403" in codes("let n = size(main, in: edge)\nclaim c: (n) <= 10%")
    assert "PD403" not in codes("claim c: size(main, in: edge) / size(full, in: edge) <= 10%")
    assert "PD403" not in codes("claim c: paths(main) <= 10%")  # a file may say so since 0.1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("let x = size(main)", "PD113"),
        ("let x = size(in: node)", "PD113"),
        ("let x = size(main, in: heads)", "PD110"),
        ("let x = size(main, late, in: node)", "PD117"),
        ("let x = size(reference, in: node)", "PD021"),
        ("let x = size(1 + 2, in: node)", "PD021"),
        ("let x = size(nowhere, in: node)", "PD101"),
        ("let x = mean(through(main))", "PD021"),
        ("let x = mean(edges { input -> logits })", "PD021"),
    ],
)
def test_what_is_no_size(line: str, code: str) -> None:
    assert code in codes(line)


def test_columns_and_metrics_keep_names_that_came_to_mean_something() -> None:
    text = (
        'circuit c "C" { language = 1 }\nmodel m = bundled("ioi-mini")\n'
        'task t { data = jsonl("rows.jsonl"); reference = prompt; treated = other }\n'
        "metric size = logit(edges) - logit(within) + logit(through) - logit(in)\n"
        "let x = mean(size(reference))\nlet y = effect(full, metric: size)\n"
    )
    found = [f.code for f in lint_file("c.circuit", text)[1] if f.severity is Severity.ERROR]
    assert found == ["PD300"]  # the file of rows is not there


def test_it_is_printed_as_it_is_written() -> None:
    text = HEAD + "let x = size( within(movers,a0.h1) ,in : edge)\n"
    printed = format_text(text, "sized.circuit").splitlines()
    assert printed[-1] == "let x = size(within(movers, a0.h1), in: edge)"


def test_heads_are_compared_whatever_their_position(tmp_path: Path) -> None:
    found = values(
        tmp_path,
        "let heads = overlap(early, late, over: head)",
        "let nodes = overlap(early, late, over: node)",
        "let by_default = overlap(early, late)",
        "let on_paths = overlap(early, main, over: head)",
        "let first = overlap(late, early, over: head, as: of_first)",
    )
    assert found["heads"] == pytest.approx(2 / 3)
    assert found["nodes"] == found["by_default"] == pytest.approx(1 / 4)
    assert found["on_paths"] == pytest.approx(15 / 16)
    assert found["first"] == 1


def test_a_group_named_head_is_meant(tmp_path: Path) -> None:
    found = values(
        tmp_path, "group head = { a0.h1 }", "let x = overlap(early, late, over: head)",
        "let y = overlap(early, late, over: { a0.h1 })",
    )  # fmt: skip
    assert found["x"] == found["y"] == 1


def test_an_overlap_that_hangs_on_positions_is_told() -> None:
    (told,) = [one for one in faults("let x = overlap(early, late)") if one.code == "PD534"]
    assert "`a0.h1@S1` and `a0.h1@END`" in told.message
    assert "2 heads in both sets, 1 node" in told.label
    for quiet in (
        "let x = overlap(early, late, over: node)",
        "let x = overlap(early, late, over: head)",
        "let x = overlap(early, late, over: edge)",
        "let x = overlap(late, through(movers))",
        "let x = overlap(late, main)",
        "let x = overlap(late, late)",
    ):
        assert "PD534" not in codes(quiet), quiet
    assert "PD534" in codes("let x for p in [late, main] = overlap(early, p)")


def test_a_check_tells_it_too(tmp_path: Path) -> None:
    path = tmp_path / "sized.circuit"
    path.write_text(HEAD + "let x = overlap(early, late)\n", encoding="utf-8")
    assert "PD534" in {one.code for one in pathdsl.check(str(path)).outcome.diagnostics}


BARE = ("movers", "{a3.h1, a3.h2}", "attn", "a3", "a[0..1].h2", "mlp", "kept_set", "(movers)")


@pytest.mark.parametrize("nodes", BARE)
@pytest.mark.parametrize(
    "quantity",
    [
        "faithfulness({})", "minimality({})", "completeness({}, knockouts: groups)",
        "mean(LD(keep({})))", "chance(faithfulness({}))", "accuracy(keep({}), answer: io)",
    ],
)  # fmt: skip
def test_a_set_of_nodes_that_is_kept_is_told(nodes: str, quantity: str) -> None:
    lines = "path kept_set = movers", f"let x = {quantity.format(nodes)}"
    (told,) = [one for one in faults(*lines) if one.code == "PD533"]
    assert "`within(" in told.help and "kept_set" not in told.help


@pytest.mark.parametrize(
    "quantity",
    [
        "faithfulness(through(movers))", "faithfulness(within(movers))", "faithfulness(main)",
        "faithfulness(a3.h1)", "mean(LD(keep(a3.h1@END)))", "effect(movers)",
        "mean(LD(treat(movers)))", "faithfulness(random_like(movers))", "overlap(movers, main)",
        "faithfulness(movers -> logits)", "faithfulness(full - movers)", "paths(movers)",
        "faithfulness(main, scope: movers)", "size(movers, in: edge)", "faithfulness({a3.h1})",
    ],
)  # fmt: skip
def test_a_set_of_nodes_that_is_treated_or_spelled_out_is_not(quantity: str) -> None:
    assert "PD533" not in codes(f"let x = {quantity}")


def test_groups_of_a_loop_are_told_and_single_nodes_are_not() -> None:
    assert "PD533" in codes("let x for g in [movers, a0] = faithfulness(g)")
    assert "PD533" not in codes("let x for h in attn = mean(LD(keep(h)))")


@pytest.mark.parametrize(
    ("line", "code", "help"),
    [
        ("metric X @S2 on ioi = logit(io)", "PD001", "`metric X on ioi @S2 = …`"),
        ("path P = input (-> mlp | -[v]-> attn)* -> logits", "PD020", "`(-> {mlp, attn})*`"),
        ("claim c: 0.2 < mean(LD(reference)) < 0.8", "PD001", "`x ~= 0.5 within 0.3`"),
        ("claim c: 0.2 <= mean(LD(reference)) <= 0.8 at 95% confidence", "PD001", "two claims"),
    ],
)  # fmt: skip
def test_help_shows_the_form_that_works(line: str, code: str, help: str) -> None:
    (told,) = [one for one in faults(line) if one.severity is Severity.ERROR]
    assert told.code == code and help in told.help


def test_the_forms_that_help_shows_work() -> None:
    found = faults(
        "metric X on ioi @S2 = logit(io)",
        "path P = input (-> {mlp, attn})* -> logits - (input ~[q,k]~> attn ~> logits)",
        "let x = mean(X(keep(P)))",
    )
    assert [one.message for one in found if one.severity is Severity.ERROR] == []
