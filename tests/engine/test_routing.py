"""Mixtures of experts: their routing recomputed and frozen, against the literal tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.mixtures import mixed
from pathdsl.engine.adapters.norms import ROUTING, Given, Noted
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.graph.paths.pathset import FULL, NONE, Combined
from pathdsl.plan.liveness import cost
from tests import seeds as counts
from tests.engine.family_cases import Exact, make, some_ids
from tests.engine.test_families_tree import opened
from tests.engine.tree_cases import REFERENCE, Opened
from tests.oracle.cases import oracle_logits
from tests.oracle.gated import Gated

EXACT = 1e-9
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "llama4")
HELD = (  # family, norms, routing
    ("mixtral", False, True), ("llama4", False, True), ("gpt_oss", True, True),
    ("qwen2_moe", True, False),
)  # fmt: skip


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT, err_msg=text)


def from_tree(one: Opened) -> np.ndarray:
    """(rows, vocabulary) logits by the literal definition, with what is held of the reference."""
    model = one.adapter.model  # type: ignore[attr-defined]
    parts = replace(Gated.of(model), norms=one.frozen, routing=one.routed)
    held = one.frozen or one.routed
    rows = range(len(one.case.rows))
    return np.stack([oracle_logits(one.case, row, parts, frozen=held) for row in rows])


def cases(name: str, norms: bool, routing: bool, seeds: tuple[int, ...]) -> Iterator[Opened]:
    for one in opened(name, seeds):
        yield replace(one, frozen=norms, routed=routing)


@pytest.mark.parametrize("seeds", counts.chunks("gated"))
@pytest.mark.parametrize(("name", "norms", "routing"), HELD)
def test_engine_is_the_literal_tree(
    name: str, norms: bool, routing: bool, seeds: tuple[int, ...]
) -> None:
    other = []
    with Exact(), torch.no_grad():
        for one in cases(name, norms, routing, seeds):
            found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
            same(found[0], from_tree(one), one.case.text)
            same(found[-1], one.plain("reference"), one.case.text)
            free = replace(one, routed=False).logits([one.run(one.treated)])
            other.append(bool(np.abs(free[0] - found[0]).max() > 1e-3))
    assert len(other) >= len(seeds) - 1
    assert any(other) == routing  # the two ways to route are not the same thing


@pytest.mark.parametrize("name", ["qwen2_moe", "gpt_oss", "llama4"])
def test_treating_nothing_and_everything(name: str) -> None:
    with Exact(), torch.no_grad():
        for one in list(cases(name, False, True, counts.CASES["gated"].default))[:3]:
            one = replace(one, case=replace(one.case, treated="paired"))
            rest = Combined(op="-", left=FULL, right=one.paths)
            everything = Combined(op="|", left=one.paths, right=rest)
            nothing = Combined(op="&", left=one.paths, right=rest)
            found = one.logits([one.run(paths) for paths in (NONE, FULL, nothing, everything)])
            for place in (0, 2):
                same(found[place], one.plain("reference"), one.case.text)
            for place in (1, 3):
                same(found[place], one.plain("treated"), one.case.text)


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_null_pair(name: str) -> None:
    one = next(cases(name, False, True, counts.CASES["gated"].default))
    with Exact(), torch.no_grad():
        plan = one.plan([one.run(one.treated), one.run(one.paths), REFERENCE])
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-10)
    assert proof.holds, proof


@pytest.mark.parametrize("name", MIXTURES)
def test_a_noted_routing_that_is_given_is_the_mlp(name: str) -> None:
    """And with another token's routing it is not."""
    adapter = adapter_for(make(name).double())
    (layer,) = [k for k in range(3) if adapter.shape.routes(k)][:1]
    resid = torch.randn(7, 16, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        noted = Noted()
        wanted = adapter.mlp(layer, resid, noted)
        whole = noted.found[ROUTING]
        mixture = adapter.shape.mixture
        assert mixture is not None and whole.shape == (7, mixture.n_experts)
        assert bool(((whole != 0).sum(-1) == mixture.top).all())
        given = Given(scales={ROUTING: whole}, own_norms=True)
        torch.testing.assert_close(adapter.mlp(layer, resid, given), wanted, rtol=0, atol=1e-12)
        turned = Given(scales={ROUTING: whole.roll(1, 0)}, own_norms=True)
        assert float((adapter.mlp(layer, resid, turned) - wanted).abs().max()) > 1e-2


def test_tokens_are_computed_each_by_itself() -> None:
    """Any split of the tokens gives the same, up to the rounding of products of other sizes."""
    for name in MIXTURES:
        adapter = adapter_for(make(name).double())
        resid = torch.randn(40, 16, generator=torch.Generator().manual_seed(3)).double()
        with torch.no_grad(), Exact():
            whole = adapter.mlp(1, resid)
            parts = torch.cat([adapter.mlp(1, part) for part in resid.split(7)])
            again = adapter.mlp(1, resid)
        assert torch.equal(whole, again)
        torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)


def test_an_empty_input_and_experts_that_nobody_uses() -> None:
    def expert(number: int, x: torch.Tensor) -> torch.Tensor:
        return (number + 1) * x

    x = torch.eye(3)
    chosen = torch.tensor([[4, 0], [4, 2], [0, 2]])
    weights = torch.tensor([[0.5, 0.25], [1.0, 1.0], [0.0, 2.0]])
    found = mixed(x, weights, chosen, 6, expert, inward=False)
    assert torch.equal(found.diagonal(), torch.tensor([2.75, 8.0, 6.0]))
    empty = mixed(x[:0], weights[:0], chosen[:0], 6, expert, inward=True)
    assert empty.shape == (0, 3)


def test_the_count_is_of_the_experts_that_are_used() -> None:
    """Twice as many experts cost no more but in the router."""
    costs = []
    for n_experts in (4, 8):
        one = next(opened("mixtral"))
        model = make("mixtral", num_local_experts=n_experts, num_hidden_layers=2)
        shape = adapter_for(model).shape
        plan = replace(one, adapter=adapter_for(model)).plan([REFERENCE])
        costs.append(cost(plan, 4, 2).plain_run)
        assert shape.used_units(0) == 2 * 20
    tokens = int(one.task.lengths.sum())
    assert costs[1] - costs[0] == tokens * 2 * 4 * 16


def test_padding_reaches_no_token() -> None:
    adapter, ids, lengths = adapter_for(make("mixtral").double()), some_ids(), torch.tensor([9, 4])
    other = torch.where(torch.arange(9) < lengths[:, None], ids[:2], (ids[:2] + 1) % 11)
    with torch.no_grad(), Exact():
        one, two = (adapter.decomposed_forward(x, lengths) for x in (ids[:2], other))
    torch.testing.assert_close(one[1, :4], two[1, :4], rtol=0, atol=1e-12)
