"""The claims of a file over the grid: what is judged, what flips, what is worst, what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.robustness import (
    ClaimRobustness,
    Judged,
    Robustness,
    forwards_of,
    judge_cells,
)
from pathdsl.engine.load.source import shape_of, source_from
from pathdsl.errors import ExitCode
from pathdsl.graph.paths import pathset
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.lang.vary import Cell, apply, base_of, one_at_a_time
from pathdsl.score.results import ClaimResult, Verdict

TEXT = """circuit induction "Two heads copy what came after the last time" {
  language   = 1
}

model m = bundled("induction-2l")

task t {
  data      = induction(take: 40, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}

group previous @FIRST_B = { a0.h1 }
group match    @END     = { a1.h2 }

path drawn = input@FIRST_A -[v]-> previous -[k]-> match -> logits
path wider = input (-> previous)* (-> {a0.h2, m0})* -> match -> logits

metric LD: logits = logit(answer) - logit(wrong)

claim share: faithfulness(drawn) <= 10% at 95% confidence
claim lost for h in {previous, match}: mean(LD(reference) - LD(treat(through(h)))) > 1 at 95% confidence by holm()
"""  # noqa: E501


def base(path: Path, *claims: str) -> Cell:
    path.write_text(TEXT, encoding="utf-8")
    return base_of(load_program(str(path))[0], claims or ("share", "lost"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Robustness:
    whole = base(tmp_path_factory.mktemp("grid") / "case.circuit")
    values = {
        "positions": ["off"],
        "treated": ["zero", "mean(no_such_column)"],
        "direction": ["swapped"],
        "metric": ["prob"],
    }
    return judge_cells(whole, one_at_a_time(whole, values), CheckOptions())


def result(found: Robustness, claim: str, cell: str) -> Judged:
    row = next(one for one in found.claims if one.name == claim)
    return next(one for one in row.cells if one.cell.name == cell)


def test_every_claim_has_every_cell(found: Robustness) -> None:
    names = ["share", "lost[a0.h1@FIRST_B]", "lost[a1.h2@END]"]
    assert [claim.name for claim in found.claims] == names
    assert all(len(claim.cells) == 5 for claim in found.claims)
    assert found.gone == {}


def test_a_cell_is_what_its_text_gives_alone(found: Robustness) -> None:
    for cell in ("positions = off", "treated = zero", "direction = swapped"):
        judged = result(found, "share", cell)
        alone = check_file(judged.cell.path, CheckOptions(), judged.cell.text)
        assert alone.judgement is not None and judged.result is not None
        same = next(c for c in alone.judgement.claims if c.name == "share")
        assert (same.estimate, same.interval, same.verdict) == (
            judged.result.estimate, judged.result.interval, judged.result.verdict,
        )  # fmt: skip


def test_members_are_known_without_their_positions(found: Robustness) -> None:
    judged = result(found, "lost[a0.h1@FIRST_B]", "positions = off")
    assert judged.result is not None and judged.result.name == "lost[a0.h1]"


def test_a_cell_that_cannot_be_judged_says_why(found: Robustness) -> None:
    judged = result(found, "share", "treated = mean(no_such_column)")
    assert judged.result is None and judged.applies
    assert judged.why.startswith("[PD") and "no_such_column" in judged.why
    assert not result(found, "lost[a1.h2@END]", "metric = prob").applies


def test_the_swapped_direction_is_the_arithmetic_of_both_runs(tmp_path: Path) -> None:
    path = tmp_path / "both.circuit"
    lets = (
        "path asked = input@END -[q]-> match -> logits\n"
        "let kept = mean(LD(keep(asked)))\nlet base = mean(LD(treated))\n"
        "let total = mean(LD(reference))\nlet gone = mean(LD(treat(asked)))\n"
    )
    text = TEXT.replace("faithfulness(drawn)", "faithfulness(asked)") + lets
    path.write_text(text.replace("= prompt_other", "= zero"), encoding="utf-8")
    outcome = check_file(str(path), CheckOptions())
    assert outcome.judgement is not None
    value = {q.name: q.estimate or 0.0 for q in outcome.judgement.quantities}
    whole = base_of(load_program(str(path))[0], ["share"])
    swapped = apply(whole, "direction", "swapped")
    judged = judge_cells(whole, [swapped], CheckOptions()).claims[0]
    recovered = (value["kept"] - value["base"]) / (value["total"] - value["base"])
    destroyed = (value["total"] - value["gone"]) / (value["total"] - value["base"])
    assert judged.own.estimate == pytest.approx(recovered, abs=1e-6)
    other = judged.cells[0].result
    assert other is not None and other.estimate == pytest.approx(destroyed, abs=1e-6)
    assert abs(recovered - destroyed) > 0.1  # query and key are needed together
    assert judged.flipped(judged.cells[0]) and judged.worst is judged.cells[0]


@pytest.mark.parametrize("name", ["drawn", "wider"])
def test_readings_hold_the_drawing_and_one_another(name: str, tmp_path: Path) -> None:
    text = TEXT.replace("faithfulness(drawn)", f"faithfulness({name})")
    program, _ = load_program("case.circuit", text)
    whole = base_of(program, ["share"])
    cells = {value: apply(whole, "reading", value) for value in ("edges", "nodes")}
    source = source_from(program.model, tmp_path, {})  # type: ignore[arg-type]
    shape = shape_of(source)
    assert shape is not None

    def paths(cell: Cell, of: str) -> tuple[Resolver, pathset.PathSet]:
        resolver = Resolver(cell.program, shape, 10_000)
        return resolver, resolver.path_set(cell.program.paths[of].path)

    resolver, drawn = paths(whole, name)
    _, edges = paths(cells["edges"], f"{name}_as_edges")
    _, nodes = paths(cells["nodes"], f"{name}_as_nodes")
    assert resolver.edge_set(edges) == resolver.edge_set(drawn)
    assert resolver.node_set(edges) == resolver.node_set(nodes) == resolver.node_set(drawn)
    for smaller, larger in ((drawn, edges), (edges, nodes)):
        assert resolver.count(pathset.minus(smaller, larger)) == 0
        assert resolver.count(smaller) <= resolver.count(larger)
    assert resolver.count(edges) < resolver.count(nodes)


def test_costs_are_known_without_weights(tmp_path: Path) -> None:
    whole = base(tmp_path / "case.circuit", "share")
    cost = forwards_of(whole, CheckOptions())
    assert cost is not None and 1 < cost < 10
    assert forwards_of(apply(whole, "treated", "mean(nothing)"), CheckOptions()) is None


# ---------------------------------------------------------------------------- flips and worst


def claimed(verdict: str, estimate: float | None, expected: str = "supported") -> ClaimResult:
    return ClaimResult(
        declared="c", verdict=Verdict(verdict), expected=Verdict(expected),
        as_expected=verdict == expected, estimate=estimate, interval=None, relation=">=",
        threshold=0.5, within=None, confidence=0.95, level=0.95, n=40,
    )  # fmt: skip


def row(own: ClaimResult, *others: ClaimResult | None) -> ClaimRobustness:
    cells = [Cell(path="x", changes=(("treated", str(i)),)) for i, _ in enumerate(others)]
    judged = (Judged(cell=c, result=r) for c, r in zip(cells, others, strict=True))
    return ClaimRobustness(name="c", own=own, cells=tuple(judged))


@pytest.mark.parametrize(
    ("others", "worst"),
    [
        ([("supported", 0.9), ("supported", 0.7)], 1),
        ([("supported", 0.6), ("inconclusive", 0.55)], 1),
        ([("refuted", 0.2), ("undefined", None), ("refuted", 0.1)], 2),
        ([("inconclusive", 0.4), ("undefined", None)], 1),
    ],
)
def test_the_worst_case_is_the_furthest_from_what_is_expected(
    others: list[tuple[str, float | None]], worst: int
) -> None:
    found = row(claimed("supported", 0.8), None, *(claimed(*one) for one in others))
    assert found.worst is found.cells[1 + worst]
    assert len(found.flips) == sum(verdict != "supported" for verdict, _ in others)


def test_a_control_is_worst_where_it_passes() -> None:
    own = claimed("refuted", 0.1, "refuted")
    found = row(own, claimed("refuted", 0.3, "refuted"), claimed("refuted", 0.2, "refuted"))
    assert found.worst is found.cells[0] and not found.flips
    found = row(own, claimed("supported", 0.6, "refuted"), claimed("undefined", None, "refuted"))
    assert found.worst is found.cells[0] and len(found.flips) == 2


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([claimed("supported", 0.6)], ExitCode.AS_EXPECTED),
        ([claimed("supported", 0.6), None], ExitCode.AS_EXPECTED),
        ([claimed("refuted", 0.1)], ExitCode.NOT_AS_EXPECTED),
        ([None], ExitCode.WRONG_INPUT),
    ],
)
def test_exit_codes(found: Robustness, others: list[ClaimResult | None], code: ExitCode) -> None:
    one = row(claimed("supported", 0.8), *others)
    cells = tuple(judged.cell for judged in one.cells)
    assert Robustness(base=found.base, cells=cells, claims=(one,)).exit_code is code
