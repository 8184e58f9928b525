"""Gemma 4 with experts beside its MLPs: against the plain forward, the tree, and null."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.adapters.norms import ROUTING, Given, Noted
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import EngineError, LanguageError
from pathdsl.graph.paths.pathset import FULL
from tests.engine import test_adapter_gemma4 as gemma4
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import REFERENCE, Opened, from_tree
from tests.oracle.gemma4 import Gemma4

EXPERTS: dict[str, Any] = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2,
                           "moe_intermediate_size": 6}  # fmt: skip


def make(seed: int = 0, **changes: object) -> Any:
    model = gemma4.make(seed, **{**EXPERTS, **changes})
    with torch.no_grad():
        for block in model.model.layers:  # which are 1 in all models that are made
            block.router.per_expert_scale.add_(torch.rand(4))
    return model


def opened(seeds: tuple[int, ...]) -> Iterator[Opened]:
    return gemma4.opened(seeds, **EXPERTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decomposed_forward_is_the_plain_one(dtype: torch.dtype) -> None:
    for scalars in (gemma4.SCALARS, (1.0, 1.0, 1.0)):
        model = make(scalars=scalars).to(dtype)
        for lengths in (torch.tensor([9, 9, 9]), torch.tensor([9, 4, 1])):
            assert gemma4.worst(model, lengths) < 1e-4
            with Exact():
                assert dtype != torch.float64 or gemma4.worst(model, lengths) < 1e-10


@pytest.mark.parametrize(("norms", "routing"), [(False, False), (True, False), (False, True),
                                                (True, True)])  # fmt: skip
def test_engine_is_the_literal_tree(norms: bool, routing: bool) -> None:
    moved = 0
    with Exact(), torch.no_grad():
        for one in opened((203, 206)):
            parts = replace(Gemma4.of(one.adapter.model), norms=norms, routing=routing)  # type: ignore[attr-defined]
            one = replace(one, frozen=norms, routed=routing)
            found = one.logits(list(dict.fromkeys([one.run(one.treated), REFERENCE])))
            tree = from_tree(replace(one, frozen=norms or routing), parts)
            gemma4.same(found[0], tree, one.case.text)
            gemma4.same(found[-1], one.plain("reference"), one.case.text)
            moved += bool(np.abs(found[0] - found[-1]).max() > 1e-3)
    assert moved >= 1


def test_null_pair() -> None:
    one = next(opened((203,)))
    plan = one.plan([one.run(one.treated), one.run(FULL), REFERENCE])
    with torch.no_grad():
        assert prove_null_pair(plan, one.task, one.adapter, 1e-6).holds


def test_a_noted_routing_that_is_given_is_the_mlp() -> None:
    adapter, resid = adapter_for(make().double()), torch.randn(7, 16).double()
    with Exact(), torch.no_grad():
        noted = Noted()
        wanted = adapter.mlp(1, resid, noted)
        whole = noted.found[ROUTING]
        assert bool(((whole != 0).sum(-1) == 2).all())
        same = adapter.mlp(1, resid, Given(scales=noted.found))
        torch.testing.assert_close(same, wanted, rtol=0, atol=1e-12)
        turned = Given(scales={ROUTING: whole.roll(1, 0)}, own_norms=True)
        assert float((adapter.mlp(1, resid, turned) - wanted).abs().max()) > 1e-2


def test_shape_config_and_refusals(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    source = ModelSource(kind="folder", location=str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    shape = vet_config(source, config)
    assert load(source).adapter.shape == shape
    assert shape.mixture is not None and all(shape.mixture.layers)
    assert shape.used_units(0) == 2 * 6 + shape.d_mlp
    for changes in ({"num_experts": None}, {"top_k_experts": 5}):
        with pytest.raises(LanguageError) as caught:
            vet_config(source, {**config, **changes})
        assert caught.value.diagnostics[0].code == "PD615"
    missing = make()
    del missing.model.layers[1].pre_feedforward_layernorm_2
    with pytest.raises(EngineError, match="pre_feedforward_layernorm_2"):
        adapter_for(missing)
