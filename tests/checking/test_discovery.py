"""From a task to a file: known circuits are found, interrupted searches go on, files are whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathdsl.checking.check import check_file
from pathdsl.checking.discovery import run
from pathdsl.checking.discovery.alone import alone
from pathdsl.checking.discovery.beside import without_proofs
from pathdsl.checking.discovery.found import Discovery, Forecast
from pathdsl.checking.discovery.goal import Unwanted, read_goal
from pathdsl.checking.discovery.run import attribute, discover_by
from pathdsl.checking.discovery.wanted import PER_CIRCUIT, Wanted, read_bound, read_passes
from pathdsl.checking.machines import Machines
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import prepare
from pathdsl.discover.rows import read_record
from pathdsl.engine.session import EngineSession
from pathdsl.engine.store.store import Store
from pathdsl.errors import DataError, PlanError, errors_in
from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.paths.pathset import Listed
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.lint import lint_file
from pathdsl.models import MODELS, truth
from pathdsl.plan.runs import RunSpec
from pathdsl.report.text.discover import too_few
from pathdsl.report.text.style import View
from pathdsl.score.attribution import Attribution, Scored
from pathdsl.score.kept.stability import Stability
from pathdsl.score.metrics import compile_metric
from pathdsl.tasks import get, to_jsonl
from tests.discover.cases import edges_of

USUAL: dict[str, Any] = {
    "method": "eap", "select": "greedy", "size": None, "budget": None, "until": None, "tau": None,
    "steps": None, "rule": None, "signed": False, "bound": None, "curves": False, "task": None,
    "metric": None, "judge": None, "seed": 0, "share": 0.5, "out": None, "force": False,
}  # fmt: skip
INDUCTION = """model toy = bundled("induction-2l")

task copy {
  data      = induction(take: 60, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}

metric LD: logits = logit(answer) - logit(wrong)
"""
TRUE = set(truth("induction-2l")["true_edges"]["paired"])


def wanted(**given: Any) -> Wanted:
    return Wanted(**{**USUAL, **given})


def silent(forecast: Forecast) -> None:
    """Nobody is told."""


def known(names: set[str]) -> Callable[[EngineSession, Attribution, Any], Scored]:
    """Scores of a made-up method: about -1 for these edges, about 0 for the others."""

    def made_up(session: EngineSession, asked: Attribution, spec: Any) -> Scored:
        layout = Layout(session.planner.shape)
        units = edges_of(layout)
        rows = session.tasks[asked.task].n_rows
        if asked.by_position:
            return attribute(session, asked, spec)
        values = np.random.default_rng(0).normal(scale=0.01, size=(len(units), rows))
        for n, unit in enumerate(units):
            slot = f"<{unit.slot}>" if unit.slot else ""
            if f"{unit.sender}->{unit.receiver}{slot}" in names:
                values[n] -= 1.0
        return Scored(units=units, values=values)

    return made_up


def written(path: Path) -> set[str]:
    """The edges of the circuit in a file, positions aside."""
    program, faults = lint_file(str(path))
    assert not errors_in(faults), faults
    resolver = prepare(program, CheckOptions()).resolver
    paths, layout = resolver.path_set(program.paths["found"].path), Layout(resolver.shape)
    assert isinstance(paths, Listed)
    return {
        f"{layout.label(sender)}->{layout.label(one.receiver)}" + (f"<{one.slot}>" * bool(one.slot))
        for one in paths.edges
        for sender in bits(one.senders)
    }


def discovered(
    folder: Path, text: str = INDUCTION, scores: Any = attribute, **given: Any
) -> Discovery:
    path = folder / "task.circuit"
    path.write_text(text)
    return discover_by(scores, str(path), wanted(**given), CheckOptions(), silent)


def cases() -> list[Any]:
    hand_built = [(model.name, kind) for model in MODELS if model.hand_built
                  for kind in truth(model.name)["true_edges"]]  # fmt: skip
    usual = [("induction-2l", "paired"), ("two-hop", "zero")]
    return [
        pytest.param(*one, id="-".join(one), marks=() if one in usual else [pytest.mark.long])
        for one in hand_built
    ]


@pytest.mark.parametrize(("name", "kind"), cases())
def test_known_edges_are_found_for_each_treated_value(name: str, kind: str, tmp_path: Path) -> None:
    facts = truth(name)
    value = {"paired": facts["treated"], "mean": f"mean({facts['treated']})", "zero": "zero"}[kind]
    given = {"take": 32, "seed": 0, **facts["arguments"]}
    arguments = ", ".join(f"{key}: {one}" for key, one in given.items())
    text = (
        f'model m = bundled("{name}")\ntask t {{ data = {facts["task"]}({arguments}); '
        f"reference = prompt; treated = {value} }}\nmetric value: logits = {facts['metric']}\n"
    )
    found = discovered(tmp_path, text, method="acdc", tau=1e-4)
    assert written(tmp_path / "task_found.circuit") == set(facts["true_edges"][kind])
    assert found.orders is not None and set(found.orders.jaccard.values()) == {1.0}
    assert found.exit_code == 0


def test_exact_scores_find_them_too(tmp_path: Path) -> None:
    text = INDUCTION.replace("treated   = prompt_other", "treated   = zero")
    true = set(truth("induction-2l")["true_edges"]["zero"])
    discovered(tmp_path, text, method="exact", select="top", size=len(true))
    assert written(tmp_path / "task_found.circuit") == true


@pytest.mark.parametrize(
    ("method", "value"),
    [("eap_gp", "prompt_other"), ("peap", "prompt_other"), ("peap", "mean(prompt_other)")],
)
def test_other_estimates_find_them_too(method: str, value: str, tmp_path: Path) -> None:
    text = INDUCTION.replace("treated   = prompt_other", f"treated   = {value}")
    discovered(tmp_path, text, method=method, select="ilp", size=len(TRUE))
    assert written(tmp_path / "task_found.circuit") == TRUE


@pytest.mark.parametrize("value", ["zero", "mean(prompt_other)"])
def test_a_way_to_no_input_is_refused_before_anything_is_written(
    value: str, tmp_path: Path
) -> None:
    text = INDUCTION.replace("treated   = prompt_other", f"treated   = {value}")
    with pytest.raises(PlanError, match="PD435"):
        discovered(tmp_path, text, method="eap_gp", select="ilp", size=5)
    assert [one.name for one in tmp_path.iterdir()] == ["task.circuit"]


def test_what_is_outside_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = INDUCTION.replace("take: 60", "take: 24")
    found = discovered(tmp_path, text, known(TRUE), size=5, bound=read_bound("581W0s"))
    assert found.bound is not None and found.bound.units == 70
    assert found.bound.bound is not None and found.bound.bound < 0.01  # decoys do nothing at all
    assert found.forecast.bounding == 580


@given(st.integers(580, 10**6), st.sampled_from(["W0s", ".0W0s", " W0s"]))
def test_a_budget_of_passes_is_as_many_subsets(passes: int, behind: str) -> None:
    subsets = read_bound(f"{passes}{behind}")
    assert subsets == read_bound(str(subsets))
    assert PER_CIRCUIT * subsets <= passes < PER_CIRCUIT * (subsets + 1)
    assert read_passes(f"{passes}{behind}", "--budget") == passes
    assert read_passes(str(passes), "--budget") == passes


def test_the_file_is_whole(tmp_path: Path) -> None:
    found = discovered(tmp_path, scores=known(TRUE), size=5)
    path = tmp_path / "task_found.circuit"
    assert written(path) == TRUE
    text = path.read_text()
    assert text == found.text == format_text(text, str(path))
    assert not errors_in(lint_file(str(path))[1])
    said = " ".join(text.split())
    assert "group induction @END = { a1.h2 }" in said
    assert "group previous_token @FIRST_B = { a0.h1 }" in said
    assert found.held_out == pytest.approx(1.0) and found.finding == pytest.approx(1.0)
    assert {c.name: c.verdict.value for c in found.outcome.judgement.claims} == {
        "sufficient": "supported", "necessary": "supported", "complete": "supported",
        "control": "refuted",
    }  # fmt: skip
    record = read_record(tmp_path / "task_found.rows.json")
    assert len(record.references) == found.forecast.finding == 30
    assert found.stability is not None and found.stability.jaccard == 1.0


@pytest.mark.parametrize(
    ("clusters", "rows", "said"), [(3, 3, "3 prompts"), (29, 40, "29 clusters")]
)
def test_stability_of_few_rows_is_a_warning(clusters: int, rows: int, said: str) -> None:
    one = Stability(
        frequency=np.ones(2), jaccard=1.0, to_found=1.0, samples=200, rows=rows, clusters=clusters
    )
    assert f"Warning: samples of {said}" in "".join(too_few(one, View()))
    assert too_few(replace(one, rows=60, clusters=30), View()) == []


def test_what_judges_found_nothing_of_it(tmp_path: Path) -> None:
    """The judging rows are the others; with the whole task in their place it is refused."""
    discovered(tmp_path, scores=known(TRUE), size=5)
    path = tmp_path / "task_found.circuit"
    outcome = check_file(str(path), CheckOptions())
    assert outcome.methodology["discovered"] == "found on 30 other rows, by task_found.rows.json"
    text = path.read_text()
    data = text[text.index("jsonl(") : text.index("\n", text.index("jsonl("))]
    path.write_text(text.replace(data, "induction(take: 60, seed: 0, length: 16)"))
    refused = [
        one for one in check_file(str(path), CheckOptions()).diagnostics if one.code == "PD382"
    ]
    assert "30 of the 60 rows" in refused[0].message


def test_the_same_bits_again_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("task_found.circuit", "task_found.rows.json", "task_found.judging.jsonl")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    discovered(one, scores=known(TRUE), until=read_goal("faithfulness >= 90%"))

    def stop(self: Any, *_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pathdsl.checking.discovery.searched.Search.of_rows", stop)
        discovered(two, scores=known(TRUE), until=read_goal("faithfulness >= 90%"))
    assert not (two / names[0]).exists() and (two / "task_found.scores.json").exists()

    def scores_again(session: EngineSession, asked: Attribution, spec: Any) -> Scored:
        assert asked.by_position, "the scores were kept"
        return attribute(session, asked, spec)

    discovered(two, scores=scores_again, until=read_goal("faithfulness >= 90%"))
    for name in (*names, "task_found.scores.json", "task_found.scores.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_a_check_takes_no_value_that_the_search_left_unproved(tmp_path: Path) -> None:
    path = tmp_path / "task.circuit"
    path.write_text(INDUCTION.replace("take: 60", "take: 8"))
    store = Store(tmp_path / "store")
    options = CheckOptions(store=store)
    program, _ = lint_file(str(path))
    ready = prepare(program, options)
    session = Machines(options).session(ready, ready.planner)
    assert isinstance(session, EngineSession) and session.recall is not None
    asked = [
        session.planner.read((RunSpec(task="copy", kind="treated"), measure))
        for measure in compile_metric(program.metrics["LD"], program.groups).measures
    ]
    search = without_proofs(session)
    search.measures(asked)
    assert search.recall is not None and set(search.recall.find(asked).values) == set(asked)
    assert not session.recall.find(asked).values
    search.recall._apart = False  # nor one that came under the keys of proved values
    (plan,) = search.planner.plans(asked)
    search.recall.keep(plan, {one: search.value(*one) for one in asked}, None)
    assert not session.recall.find(asked).values
    session.measures(asked)
    assert [one.code for one in session.proofs["copy"]] == ["PD634"]
    store.close()


def test_kept_scores_of_other_rows_are_not_taken(tmp_path: Path) -> None:
    discovered(tmp_path, scores=known(TRUE), size=5)
    asked: list[str] = []

    def counted(session: EngineSession, question: Attribution, spec: Any) -> Scored:
        asked.extend([question.of] * (not question.by_position))
        return known(TRUE)(session, question, spec)

    discovered(tmp_path, scores=counted, size=5, force=True)
    assert asked == []
    discovered(tmp_path, scores=counted, size=5, force=True, seed=1)  # another half
    assert asked == ["edges"]


def test_until_takes_the_smallest_that_was_measured(tmp_path: Path) -> None:
    found = discovered(tmp_path, scores=known(TRUE), until=read_goal("faithfulness >= 95%"))
    assert found.reached and written(tmp_path / "task_found.circuit") <= TRUE
    assert [one.wanted for one in found.curve] == sorted(one.wanted for one in found.curve)
    before = [one for one in found.curve if one.wanted < found.wanted]
    assert before and all(one.value < 0.95 for one in before)


@pytest.mark.parametrize(
    ("goal", "measured"),
    [
        ("kl <= 0.05", "faithfulness(found, as: kl)"),
        ("faithfulness(as: agreement, among: right, answer: answer) >= 95%", "as: agreement"),
        ("completeness(knockouts: random(3, seed: 0), as: share) <= 20%", "completeness(found, kn"),
    ],
)
def test_until_takes_any_score_that_all_edges_reach(
    goal: str, measured: str, tmp_path: Path
) -> None:
    found = discovered(tmp_path, scores=known(TRUE), until=read_goal(goal))
    assert found.reached and found.goal is not None and found.forecast.goal == found.goal.text
    assert "claim reached: " in found.text and measured in " ".join(found.text.split())
    told = {one.name: one for one in found.outcome.judgement.claims}["reached"]
    assert found.goal.held_out == told.estimate and found.goal.interval == told.interval
    reached = read_goal(goal)
    last = next(one for one in found.curve if one.wanted == found.wanted)
    assert reached.meets(last.value)
    assert not any(reached.meets(one.value) for one in found.curve if one.wanted < found.wanted)
    assert found.goal.finding is not None and reached.meets(found.goal.finding)
    # The value on the way is that of any file about this circuit on these rows.
    assert last.value == pytest.approx(found.goal.finding, abs=0.02)


def test_curves_are_those_of_the_scores_that_were_kept(tmp_path: Path) -> None:
    found = discovered(tmp_path, scores=known(TRUE), size=5, curves=True)
    areas = found.areas
    assert areas is not None and found.forecast.curves > 0
    assert [one.edges for one in areas.signed][-2:] == [37, 75] and len(areas.absolute) == 10
    assert areas.signed[-2].estimate == pytest.approx(1.0, abs=1e-3)
    shares = [one.share for one in areas.signed]
    heights = [one.estimate for one in areas.signed]
    assert areas.cpr.estimate == pytest.approx(np.trapezoid(heights, shares), abs=1e-9)
    missed = [one.distance for one in areas.absolute]
    assert areas.cmd.estimate == pytest.approx(np.trapezoid(missed, shares), abs=1e-9)
    assert discovered(tmp_path, scores=known(TRUE), size=5, force=True).areas is None


def test_two_discoveries_into_one_file_are_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "task_found.circuit"
    with alone(path), pytest.raises(Unwanted, match="another discovery writes"):
        discovered(tmp_path, scores=known(TRUE), size=5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["task.circuit"]
    discovered(tmp_path, scores=known(TRUE), size=5)
    assert not list(tmp_path.glob(".*"))


def test_circuits_that_keep_nothing_are_no_rivals_and_not_called_equal(tmp_path: Path) -> None:
    found = discovered(tmp_path, scores=known({"input->logits"}), select="top", size=1)
    for one in found.rivals:
        assert one.idle and not one.rivals and max(one.keeps) < 0.05


def test_a_budget_says_how_many_circuits_are_measured(tmp_path: Path) -> None:
    found = discovered(tmp_path, scores=known(TRUE), budget=10.0)
    assert 1 <= len(found.curve) <= found.forecast.circuits <= 5
    assert found.forecast.scoring + found.forecast.measuring <= 10
    (tmp_path / "task_found.circuit").unlink()
    with pytest.raises(Unwanted, match=r"the least is \d"):
        discovered(tmp_path, scores=known(TRUE), budget=2.0)


def test_a_goal_that_is_not_reached_gives_the_best(tmp_path: Path) -> None:
    found = discovered(
        tmp_path, scores=known({"input->a0.h0<v>", "a0.h0->logits"}),
        until=read_goal("faithfulness >= 100%"), budget=9.0,
    )  # fmt: skip
    assert found.reached is False and found.outcome.judgement is not None


def test_rows_of_another_task_judge(tmp_path: Path) -> None:
    text = INDUCTION + (
        "\ntask others { data = induction(take: 30, seed: 9, length: 16); reference = prompt; "
        "treated = prompt_other; positions = [FIRST_A, FIRST_B] }\n"
    )
    found = discovered(
        tmp_path, text, known(TRUE), size=5, task="copy", judge="others", metric="LD"
    )
    assert (found.forecast.finding, found.forecast.judging) == (60, 30)
    assert "induction(take: 30, seed: 9, length: 16)" in found.text
    assert not (tmp_path / "task_found.judging.jsonl").exists()
    assert found.held_out == pytest.approx(1.0)
    (tmp_path / "task_found.circuit").unlink()
    with pytest.raises(Unwanted, match="rows of `others` are rows of `copy`"):
        again = text.replace("take: 30, seed: 9", "take: 30, seed: 0")
        discovered(tmp_path, again, known(TRUE), size=5, task="copy", judge="others", metric="LD")


def test_of_a_circuit_that_keeps_nothing_nothing_is_claimed(tmp_path: Path) -> None:
    """Completeness alone would be supported of it, since its parts do nothing anywhere."""
    found = discovered(tmp_path, scores=known({"input->logits"}), select="top", size=1)
    assert abs(found.finding) < 0.01 and found.edges == 1
    assert found.unclaimed.startswith("on the rows that found it the circuit keeps ")
    assert f"# No claim is drafted: {found.unclaimed}." in found.text
    assert "\nclaim" not in found.text and found.exit_code == 0
    assert found.outcome.judgement is not None and not found.outcome.judgement.claims


def test_a_share_of_a_way_that_is_not_plain_is_not_claimed(tmp_path: Path) -> None:
    rows = get("induction").rows(None, take=40, seed=0, length=12)
    for n, row in enumerate(rows):
        row.pop("spans", None)
        if n % 2:  # the metric is about nothing
            row["answer"], row["wrong"] = row["wrong"], row["answer"]
    (tmp_path / "rows.jsonl").write_text(to_jsonl(rows))
    text = INDUCTION.replace("induction(take: 60, seed: 0, length: 16)", 'jsonl("rows.jsonl")')
    text = text.replace("  positions = [FIRST_A, FIRST_B]\n", "")
    found = discovered(tmp_path, text, known(TRUE), size=6)
    assert np.isnan(found.finding) and "it is not plain that the metric differs" in found.unclaimed
    assert not found.outcome.judgement or not found.outcome.judgement.claims


def test_nothing_of_an_earlier_discovery_stays_beside_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    discovered(tmp_path, scores=known(TRUE), size=5)
    two = (
        INDUCTION
        + "task more { data = induction(take: 20, seed: 3, length: 16); "
        + ("reference = prompt; treated = prompt_other }\n")
    )
    again: dict[str, Any] = {"task": "copy", "judge": "more", "force": True, "metric": "LD"}
    found = discovered(tmp_path, two, method="acdc", tau=1e-3, **again)
    assert found.written == ("task_found.circuit", "task_found.rows.json")
    assert not (tmp_path / "task_found.judging.jsonl").exists()

    def other(path: Path, content: bytes) -> None:  # as if another one came in between
        path.write_bytes(content if path.suffix == ".circuit" else content + b" ")

    monkeypatch.setattr(run, "write_whole", other)
    with pytest.raises(Unwanted, match="another discovery wrote"):
        discovered(tmp_path, scores=known(TRUE), size=5, force=True)
    assert not (tmp_path / "task_found.circuit").exists()


def test_names_of_the_task_are_not_taken_twice(tmp_path: Path) -> None:
    text = INDUCTION.replace("LD", "found").replace("task copy", "task kept")
    found = discovered(tmp_path, text, known(TRUE), size=5)
    assert "path found_2" in found.text and "let kept_2" in found.text
    assert found.held_out == pytest.approx(1.0)


def test_nodes_are_found_by_a_method_of_nodes(tmp_path: Path) -> None:
    found = discovered(tmp_path, method="atp_qk", select="top", size=2)
    assert "within(" in found.text and found.forecast.kind == "heads and MLPs"
    assert found.edges == 2


def test_hundreds_of_edges_stand_in_a_file_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathdsl.checking.discovery.drafted.MOST_LINES", 2)
    found = discovered(tmp_path, scores=known(TRUE), size=5)
    assert 'edges("task_found.edges.json")' in found.text and not found.placed
    assert found.held_out == pytest.approx(1.0)


def test_a_damaged_record_or_rows_are_seen(tmp_path: Path) -> None:
    discovered(tmp_path, scores=known(TRUE), size=5)
    path = tmp_path / "task_found.circuit"
    rows = tmp_path / "task_found.judging.jsonl"
    rows.write_text(rows.read_text().replace("induction", "other", 1))
    codes = {one.code for one in check_file(str(path), CheckOptions()).diagnostics}
    assert codes >= {"PD321"}


def test_faults_of_the_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        discovered(tmp_path, INDUCTION.replace("FIRST_B]", "SECOND]"), known(TRUE), size=5)
