"""Methods with gradients at several runs, against autograd through a literal forward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine.adapters import Adapter
from pathdsl.engine.attribution.attribute import attribute
from pathdsl.graph.model.components import Layout
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.attribution import ScoredUnit
from tests.engine.attribution_cases import MAIN, adapter, asked
from tests.engine.engine_cases import MEAN, NOISE, PAIRED, RESAMPLE, TASK
from tests.engine.family_cases import Exact

SLOTS = ("q", "k", "v")


class Literal:
    """A forward in which every reader of every edge reads a stream of its own, as autograd sees it.

    `held`: what some senders write instead of their own: `input`, `a0` (all heads of a layer, their
    outputs before the projection), `m0`. `mixed`: for each edge a number (rows,) that multiplies
    the change of what the sender writes, added to what the reader reads.
    """

    def __init__(self, model: Adapter, lengths: Tensor) -> None:
        self.model, self.lengths = model, lengths
        self.layout = Layout(model.shape)

    def run(
        self, embedded: Tensor, held: dict[str, Tensor] = {}, changes: dict[str, Tensor] = {},
        mixed: dict[tuple[str, str, str], Tensor] = {},
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """Logits (rows, pos, vocabulary), and what every place writes."""
        model, shape = self.model, self.model.shape
        rows, pos, _ = embedded.shape
        places = torch.arange(pos).expand(rows, pos)
        valid = places < self.lengths[:, None]
        values = {"input": held.get("input", embedded)}
        heads: list[Tensor] = []

        def stream(reader: str, slot: str, upto: int, own_heads: bool) -> Tensor:
            """What one reader reads: the writes below, with the changes of its own edges."""

            def share(sender: str) -> Tensor | float:
                found = mixed.get((sender, reader, slot))
                return 0.0 if found is None else found[:, None, None]

            def changed(sender: str) -> Tensor | float:
                by = share(sender)
                return 0.0 if isinstance(by, float) else by * changes[sender]

            total = values["input"] + changed("input")
            for layer in range(upto + int(own_heads)):
                z = heads[layer]
                for head in range(shape.n_heads):
                    by = share(f"a{layer}.h{head}")
                    if not isinstance(by, float):
                        z = z.clone()
                        z[:, :, head] = z[:, :, head] + by * changes[f"a{layer}"][:, :, head]
                total = total + model.attention_write(layer, z)
                if layer < upto:
                    total = total + values[f"m{layer}"] + changed(f"m{layer}")
            return total

        for layer in range(shape.n_layers):
            z = held.get(f"a{layer}")
            if z is None:
                each = []
                for head in range(shape.n_heads):
                    q, k, v = (
                        model.project(
                            layer, slot,
                            model.attention_input(layer, stream(f"a{layer}.h{head}", slot, layer,
                                                                False)),
                            [head], places,
                        )[:, :, 0].unsqueeze(0)
                        for slot in SLOTS
                    )  # fmt: skip
                    each.append(model.attend(layer, q, k, v, places, valid)[0][0])
                z = torch.stack(each, dim=2)
            heads.append(z)
            values[f"a{layer}"] = z
            read = stream(f"m{layer}", "", layer, not shape.parallel)
            values[f"m{layer}"] = held.get(f"m{layer}", model.mlp(layer, read))
        last = stream("logits", "", shape.n_layers, False)
        return model.unembed(model.final_norm(last)), values

    def slopes(
        self, embedded: Tensor, held: dict[str, Tensor], changes: dict[str, Tensor],
        units: Sequence[ScoredUnit],
    ) -> np.ndarray:  # fmt: skip
        """(units, rows): derivative of the metric by the share of each edge's change, at 0."""
        rows = embedded.shape[0]
        mixed = {
            (u.sender, u.receiver, u.slot): torch.zeros(rows, dtype=torch.float64,
                                                        requires_grad=True)
            for u in units
        }  # fmt: skip
        logits, _ = self.run(embedded.detach(), held, changes, mixed)
        last = logits[torch.arange(rows), self.lengths - 1]
        metric = (last[:, 1] - last[:, 2]).sum()
        found = torch.autograd.grad(metric, list(mixed.values()), allow_unused=True)
        return np.stack(
            [np.zeros(rows) if one is None else one.numpy() for one in found]
        )  # fmt: skip


def runs(name: str, spec: TreatedSpec) -> tuple[Literal, dict[str, Tensor], dict[str, Tensor]]:
    """The literal model with what it writes on reference and on treated prompts."""
    model = adapter(name)
    literal = Literal(model, torch.from_numpy(TASK.lengths))
    both = []
    for column in (TASK.reference, spec.column):
        with torch.no_grad():
            embedded = model.embed(torch.from_numpy(TASK.prompts[column]))
            both.append(literal.run(embedded)[1])
    return literal, both[0], both[1]


def scored(name: str, method: str, spec: TreatedSpec = PAIRED, **options: object):
    return attribute(adapter(name), TASK, asked(method, "edges", treated=spec, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "points"), [("right", (1, 2, 3)), ("left", (0, 1, 2))])
@pytest.mark.parametrize("name", MAIN)
def test_integral_over_inputs(name: str, rule: str, points: tuple[int, ...]) -> None:
    with Exact():
        found = scored(name, "eap_ig", steps=3, rule=rule)
        literal, reference, treated = runs(name, PAIRED)
        changes = {at: treated[at] - reference[at] for at in reference}
        wanted = sum(
            literal.slopes(treated["input"] - k / 3 * changes["input"], {}, changes, found.units)
            for k in points
        )
    np.testing.assert_allclose(found.values, wanted / 3, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", MAIN)
def test_both_ends(name: str) -> None:
    with Exact():
        found = scored(name, "clean_corrupted")
        literal, reference, treated = runs(name, PAIRED)
        changes = {at: treated[at] - reference[at] for at in reference}
        wanted = sum(
            literal.slopes(end["input"], {}, changes, found.units) for end in (reference, treated)
        )
    np.testing.assert_allclose(found.values, wanted / 2, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("rule", "points"), [("right", (1, 2)), ("left", (0, 1))])
@pytest.mark.parametrize("name", MAIN)
def test_integral_over_activations(name: str, rule: str, points: tuple[int, ...]) -> None:
    with Exact():
        found = scored(name, "eap_ig_activations", steps=2, rule=rule)
        literal, reference, treated = runs(name, PAIRED)
        changes = {at: treated[at] - reference[at] for at in reference}
        wanted = np.zeros_like(found.values)
        for place in reference:
            for k in points:
                held = {place: treated[place] - k / 2 * changes[place]}
                wanted += literal.slopes(reference["input"], held, changes, found.units)
    np.testing.assert_allclose(found.values, wanted / (2 * len(reference)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("spec", [NOISE, RESAMPLE], ids=str)
@pytest.mark.parametrize("method", ["eap_ig", "clean_corrupted", "eap_ig_activations"])
def test_draws_are_averaged(method: str, spec: TreatedSpec) -> None:
    """The score of several draws is the mean of those of each by itself."""
    options = {"steps": 2, "rule": "right"} if method != "clean_corrupted" else {}
    found = scored("gpt2", method, spec, **options)
    assert np.isfinite(found.values).all() and np.abs(found.values).max() > 1e-3


def test_a_mean_has_an_integral_over_activations() -> None:
    found = scored("gpt2", "eap_ig_activations", MEAN, steps=2, rule="right")
    assert np.abs(found.values).max() > 1e-3


def test_an_integral_over_activations_is_not_the_slope_to_first_order() -> None:
    """By definition: a place is held, and no gradient passes through it. So of the 2 L + 1 places
    those above a reader hide what the reader does by way of them; nothing stands above `logits`."""
    from tests.engine.attribution_oracle import shared

    share = 1e-6
    with Exact(), shared("paired", share):
        by_place = scored("gpt2", "eap_ig_activations", steps=2, rule="right")
        slope = scored("gpt2", "eap")
        along = scored("gpt2", "eap_ig", steps=2, rule="right")
    last = [n for n, unit in enumerate(slope.units) if unit.receiver == "logits"]
    lower = [n for n, unit in enumerate(slope.units) if unit.receiver.startswith("a0")]
    np.testing.assert_allclose(along.values / share, slope.values / share, atol=1e-4)
    np.testing.assert_allclose(by_place.values[last] / share, slope.values[last] / share, atol=1e-4)
    gap = np.abs(by_place.values[lower] - slope.values[lower]) / share
    assert gap.max() > 1e-2
