"""Marks of the residual stream as units, against autograd and against exact patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.attribute import attribute
from pathdsl.engine.data.positions import position_mask
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.treated import TreatedSpec
from tests.engine.attribution_cases import DIFFERENCE, MAIN, adapter, asked, model_of
from tests.engine.attribution_oracle import by_engine
from tests.engine.engine_cases import PAIRED, SPECS, TASK
from tests.engine.family_cases import Exact
from tests.oracle.crossed import BAD, GOOD, Crossed

torch.set_num_threads(1)


@pytest.mark.parametrize("name", [*MAIN, "olmo2"])
def test_the_slope_of_the_stream_times_its_change(name: str) -> None:
    with Exact():
        found = attribute(adapter(name), TASK, asked("atp", "marks", by_position=True))
        pooled = attribute(adapter(name), TASK, asked("atp", "marks"))
        model = model_of(name)
        crossed = Crossed(model)
        assert [unit.sender for unit in found.units] == [
            f"r{layer}" for layer in range(len(crossed.blocks) + 1)
        ]
        for row in range(4):
            length = int(TASK.lengths[row])
            reference, treated = (
                TASK.prompts[c][row, :length].tolist() for c in ("prompt", "other")
            )
            with torch.no_grad():
                other = crossed.streams(treated)
            run = crossed.streams(reference)
            metric = run.logits[-1, GOOD] - run.logits[-1, BAD]
            slopes = torch.autograd.grad(metric, run.into)
            wanted = torch.stack(
                [
                    ((b - a) * g).sum(-1)
                    for a, b, g in zip(run.into, other.into, slopes, strict=True)
                ]
            ).detach()
            np.testing.assert_allclose(found.values[:, :length, row], wanted, rtol=0, atol=1e-10)
            np.testing.assert_allclose(pooled.values[:, row], wanted.sum(1), rtol=0, atol=1e-10)


def derivatives(name: str, spec: TreatedSpec, frozen: bool) -> None:
    """Every mark that no reader reads alone: what a treated stream is all of is a treated value,
    and a share of the way to what is written is no share of the way to what is read."""
    model = adapter(name)
    with Exact():
        found = attribute(model, TASK, asked("atp", "marks", treated=spec, by_position=True),
                          frozen=frozen)  # fmt: skip
    first, last = (model.shape.n_layers if model.shape.parallel else 0), model.shape.n_layers
    layers = range(first, last + int(not frozen))  # frozen, the final norm has a scale of its own
    places = {at: position_mask(TASK)(Pos.parse(at)).T for at in ("S", "END")}
    after = [row for row in range(TASK.n_rows) if not any(at[0, row] for at in places.values())]
    paths = [f"through(r{layer}@{at})" for layer in layers for at in places]
    if not paths:
        return
    wanted = by_engine(model, paths, DIFFERENCE, spec, frozen=frozen)[:, after]
    ours = np.stack(
        [(found.values[n] * at).sum(axis=0)[after] for n in layers for at in places.values()]
    )
    worst = np.abs(ours - wanted).max()
    # A whole stream moves far: differences are exact to fewer digits than those of one node.
    assert len(after) > 3 and worst < 1e-7 * max(1.0, float(np.abs(wanted).max())), worst


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", MAIN)
def test_it_is_the_derivative_of_the_exact_patch(name: str, frozen: bool) -> None:
    derivatives(name, PAIRED, frozen)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_under_every_treated_value(spec: TreatedSpec) -> None:
    derivatives("gpt2", spec, False)


@pytest.mark.parametrize("method", ["relp", "gim"])
def test_other_backwards(method: str) -> None:
    """At `r0` it is the node `input`, and at the final stream nothing above it has a rule."""
    with Exact():
        model = adapter("llama")
        marks = attribute(model, TASK, asked(method, "marks", by_position=True))
        nodes = attribute(model, TASK, asked(method, "nodes", by_position=True))
        edges = attribute(model, TASK, asked(method, "edges"))
    np.testing.assert_allclose(marks.values[0], nodes.values[0], rtol=0, atol=1e-12)
    last = [n for n, unit in enumerate(edges.units) if unit.receiver == "logits"]
    np.testing.assert_allclose(marks.values[-1].sum(0), edges.values[last].sum(0), atol=1e-11)
