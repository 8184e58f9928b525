"""Answers of several tokens, each column behind the prompts on its own: scores add them up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.errors import PathdslError
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import RowExpr, RowMetric, RowOp
from tests.engine.attribution_cases import REFERENCE, asked
from tests.engine.attribution_oracle import derivative, path_of, rows_of, shared
from tests.engine.test_whole_answers import SEEDS, Answered, answered
from tests.engine.tree_cases import spec_of


def measured(kind: str, column: str) -> RowMetric:
    return RowMetric(metric=atom(Measure(kind=kind, column=column)), run=REFERENCE)


# A product, so that what one answer counts for hangs on the other.
METRIC = RowOp(op="*", args=(measured("logprob", "answer"), measured("prob", "wrong")))
CASES = {one.opened.case.treated: one for one in filter(None, map(answered, SEEDS))}


def by_patches(one: Answered, paths: list[str]) -> np.ndarray:
    """(paths, rows): the derivative of the metric by the share of each patch.

    A share of a component's way is no value of a run, so paths count whatever they begin at.
    """
    one = replace(one, planner=replace(one.planner, by_value=False))
    text = "".join(f"path p{n} = {path}\n" for n, path in enumerate(paths))
    program, faults = load_program("oracle.circuit", text)
    assert not faults
    resolver, spec = Resolver(program, one.opened.adapter.shape), spec_of(one.opened.case)
    runs = [
        RunSpec(task="t", kind="treat", treated=spec, label=name,
                paths=resolver.path_set(program.paths[name].path))
        for name in (f"p{n}" for n in range(len(paths)))
    ]  # fmt: skip
    measures = [m for part in METRIC.args for m in part.metric.measures]  # type: ignore[union-attr]

    def metrics(share: float) -> np.ndarray:
        with shared(spec.kind, share):
            found = one.values([(run, m) for run in runs for m in measures])
        return np.stack([rows_of(METRIC, {m: found[run, m] for m in measures}) for run in runs])

    return derivative(metrics)


@pytest.mark.parametrize("treated", CASES)
@pytest.mark.parametrize(("method", "of"), [("atp", "nodes"), ("eap", "edges")])
def test_scores_are_derivatives_behind_every_answer(method: str, of: str, treated: str) -> None:
    one = CASES[treated]
    task, spec = one.planner.tasks["t"], spec_of(one.opened.case)
    assert task.branches
    scored = attribute(
        one.opened.adapter, task, asked(method, of, metric=METRIC, treated=spec)
    )  # fmt: skip
    at = [n for n, unit in enumerate(scored.units) if unit.sender not in ("", "input")][:24]
    wanted = by_patches(one, [path_of(scored.units[n]) for n in at])
    assert np.abs(wanted).max() > 1e-6
    np.testing.assert_allclose(
        scored.values[at], wanted, rtol=0, atol=1e-8 * max(1.0, float(np.abs(wanted).max()))
    )


def test_an_integral_of_a_sum_adds_up_and_of_a_product_is_refused() -> None:
    one = CASES["paired"]
    task, spec = one.planner.tasks["t"], spec_of(one.opened.case)
    first, second = measured("logprob", "answer"), measured("logprob", "wrong")

    def scored(metric: RowExpr) -> np.ndarray:
        question = asked("eap_ig", "edges", metric=metric, treated=spec, steps=2, rule="right")
        return attribute(one.opened.adapter, task, question).values

    both = scored(RowOp(op="-", args=(first, second)))
    np.testing.assert_allclose(both, scored(first) - scored(second), rtol=0, atol=1e-10)
    with pytest.raises(PathdslError) as caught:
        scored(METRIC)
    assert caught.value.diagnostics[0].code == "PD435"
