"""Frozen norms: the engine against the literal tree, laws, and a direct effect by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.olmo.modeling_olmo import OlmoLayerNorm
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

from pathdsl.engine.adapters.norms import Given, Noted, apply
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.engine.self_check import prove_null_pair
from pathdsl.errors import LanguageError
from pathdsl.graph.paths.pathset import FULL, NONE, Combined
from pathdsl.plan.build import build_plans
from pathdsl.plan.liveness import cost
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import REFERENCE as PLAIN
from pathdsl.plan.steps import SCALES
from tests import seeds as counts
from tests.engine import test_families_tree as gated
from tests.engine import test_families_tree_b as decoders
from tests.engine.family_cases import Exact
from tests.engine.tree_cases import REFERENCE, Opened, from_tree, open_case, position_mask
from tests.oracle.blocks import Blocks
from tests.oracle.strategies import seeded_case

EXACT = 1e-9
GATED = ("llama", "qwen3", "olmo", "olmo2", "phi3", "gemma", "gemma2", "gemma3")
DECODERS = (
    "gpt_neo_local", "gptj", "gpt_neox_parallel", "gpt_neox_sequential", "opt", "falcon_two_norms",
    "bloom",
)  # fmt: skip


def same(found: np.ndarray, wanted: np.ndarray, text: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=EXACT, err_msg=text)


def opened(seeds: Iterable[int]) -> Iterator[Opened]:
    """The cases of some seeds that the language accepts, with frozen norms."""
    for seed in seeds:
        try:
            yield replace(open_case(seeded_case(seed)), frozen=True)
        except LanguageError:
            continue


def compare(one: Opened, parts: object = None) -> bool:
    """Assert that the engine is the tree; whether recomputed norms give other logits."""
    runs = list(dict.fromkeys([one.run(one.treated), one.run(one.paths), REFERENCE]))
    found = one.logits(runs)
    same(found[0], from_tree(one, parts), one.case.text)
    same(found[-1], one.plain("reference"), one.case.text)
    recomputed = replace(one, frozen=False).logits(runs[:1])
    return bool(np.abs(recomputed[0] - found[0]).max() > 1e-3)


@pytest.mark.parametrize("seeds", counts.chunks("frozen"))
def test_engine_is_the_literal_tree(seeds: tuple[int, ...]) -> None:
    """Paired, mean and zero values, relations and positions, as the cases are drawn."""
    other = [compare(one) for one in opened(seeds)]
    assert len(other) >= 5
    assert sum(other) >= 2  # frozen and recomputed norms are not the same thing


@pytest.mark.parametrize("seeds", counts.chunks("gated"))
@pytest.mark.parametrize("name", GATED)
def test_engine_is_the_literal_tree_of_gated_families(name: str, seeds: tuple[int, ...]) -> None:
    with Exact(), torch.no_grad():
        other = [compare(replace(one, frozen=True)) for one in gated.opened(name, seeds)]
    assert len(other) >= len(seeds) - 1 and sum(other) >= 1


@pytest.mark.parametrize("seeds", counts.chunks("decoders"))
@pytest.mark.parametrize("name", DECODERS)
def test_engine_is_the_literal_tree_of_decoders(name: str, seeds: tuple[int, ...]) -> None:
    with Exact(), torch.no_grad():
        other = [
            compare(replace(one, frozen=True), Blocks.of(one.adapter.model))  # type: ignore[attr-defined]
            for one in decoders.opened(name, seeds)
        ]
    assert len(other) >= 4 and sum(other) >= 1


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "olmo2", "gptj"])
def test_treating_nothing_and_everything(name: str) -> None:
    """Written so that every path goes through masks and blends, and as constants of the algebra."""
    cases = {
        "gpt2": opened(range(400, 406)),
        "gptj": decoders.opened("gptj", range(300, 304)),
    }
    with Exact(), torch.no_grad():
        for one in cases.get(name) or islice(gated.opened(name), 4):
            one = replace(one, case=replace(one.case, treated="paired"), frozen=True)
            rest = Combined(op="-", left=FULL, right=one.paths)
            everything = Combined(op="|", left=one.paths, right=rest)
            nothing = Combined(op="&", left=one.paths, right=rest)
            runs = [NONE, FULL, nothing, everything]
            found = one.logits([one.run(paths) for paths in runs])
            for place in (0, 2):
                same(found[place], one.plain("reference"), one.case.text)
            for place in (1, 3):
                same(found[place], one.plain("treated"), one.case.text)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "gpt_neox_parallel"])
def test_null_pair(name: str) -> None:
    """Treated = reference changes nothing: a frozen scale is then the norm's own."""
    match name:
        case "gpt2":
            one = next(opened(range(400, 410)))
        case "gemma2":
            one = next(gated.opened(name))
        case _:
            one = next(decoders.opened(name))
    one = replace(one, frozen=True)
    with Exact(), torch.no_grad():
        plan = one.plan([one.run(one.treated), one.run(one.paths), REFERENCE])
        proof = prove_null_pair(plan, one.task, one.adapter, 1e-10)
    assert proof.holds, proof


def test_a_limit_changes_nothing_but_batches() -> None:
    for one in opened(range(400, 404)):
        runs = [one.run(one.treated), one.run(one.paths)]
        same(one.logits(runs, memory=1), one.logits(runs), one.case.text)


def test_the_direct_effect_of_a_head_by_hand() -> None:
    """A head's treated write in the reference run's last stream, normed with that run's scale."""
    (case,) = [replace(seeded_case(401), text="path P = a1.h0 -> logits\n", path="P", scope=None)]
    case = replace(case, treated="paired", run="treat")
    one = replace(open_case(case), frozen=True)
    model = one.adapter.model  # type: ignore[attr-defined]
    size = model.config.n_embd // model.config.n_head
    kept: dict[str, torch.Tensor] = {}
    body = model.transformer

    def note(name: str) -> Callable[..., None]:
        def hook(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            kept[name] = inputs[0].detach()

        return hook

    handles = [
        body.h[1].attn.c_proj.register_forward_pre_hook(note("z")),
        body.ln_f.register_forward_pre_hook(note("last")),
    ]
    wanted, own = [], []
    for row in case.rows:
        with torch.no_grad():
            model(torch.tensor([row.treated]))
            treated = dict(kept)
            model(torch.tensor([row.reference]))
            z, last = kept["z"][0, -1], kept["last"][0, -1]
            moved = (treated["z"][0, -1] - z)[:size] @ body.h[1].attn.c_proj.weight[:size]
            deviation = (last.var(correction=0) + body.ln_f.eps).sqrt()
            mixed = last + moved
            normed = (mixed - mixed.mean()) / deviation * body.ln_f.weight + body.ln_f.bias
            wanted.append(model.lm_head(normed).numpy())
            own.append(model.lm_head(body.ln_f(mixed)).numpy())
    for handle in handles:
        handle.remove()
    # The direct path alone: MLP 1 reads the head's reference value.
    (found,) = one.logits([one.run(one.treated)])
    same(found, np.stack(wanted), case.text)
    (recomputed,) = replace(one, frozen=False).logits([one.run(one.treated)])
    same(recomputed, np.stack(own), case.text)
    assert np.abs(found - recomputed).max() > 1e-3


def test_direct_effects_add_up() -> None:
    """The final norm is linear in its centred input once its scale is given."""
    text = "path P = a0.h0 -> logits\npath S = m1 -> logits\n"
    case = replace(seeded_case(401), text=text, scope="S", treated="mean")
    one = replace(open_case(case), frozen=True)
    both = Combined(op="|", left=one.paths, right=one.scope)
    runs = [one.run(paths) for paths in (NONE, one.paths, one.scope, both)]
    none, first, second, together = one.logits(runs)
    same(together - none, (first - none) + (second - none), text)
    none, first, second, together = replace(one, frozen=False).logits(runs)
    assert np.abs((together - none) - (first - none) - (second - none)).max() > 1e-3


def test_plans_keep_scales_of_the_reference_run_and_count_them() -> None:
    one = next(opened(range(400, 410)))
    run = one.run(one.treated)
    plan, plain = one.plan([run]), replace(one, frozen=False).plan([run])
    kinds = {kind: source for source, kind, _ in plan.plain_need if kind in SCALES}
    assert "scale_final" in kinds and set(kinds.values()) == {PLAIN}
    assert not any(kind in SCALES for _, kind, _ in plain.plain_need)
    assert plan.frozen and not plain.frozen
    assert cost(plan, 8, None).row_bytes > cost(plain, 8, None).row_bytes


def test_attention_of_a_treated_head_has_its_own_scale() -> None:
    """A pattern that is read off the treated run is that run's, whatever the norm mode."""
    case = replace(seeded_case(401), text="path P = full\n", scope=None, treated="paired")
    one = open_case(case)
    measure = Measure(kind="attention", head=(1, 0), query="END", key="[0]")
    found = []
    for frozen in (False, True):
        (plan,) = build_plans(
            one.adapter.shape,
            "t",
            one.task.valid,
            position_mask(one.task),
            [(one.run(FULL), measure)],
            frozen=frozen,
        )
        values = execute(plan, one.task, one.adapter, Settings())
        found.append(values[0, measure])
    np.testing.assert_array_equal(found[0], found[1])


MODULES = {
    "layer": nn.LayerNorm(8),
    "layer_bare": nn.LayerNorm(8, elementwise_affine=False),
    "olmo": OlmoLayerNorm(8),
    "llama": LlamaRMSNorm(8),
    "olmo2": Olmo2RMSNorm(8),
    "gemma2": Gemma2RMSNorm(8),
    "gemma3": Gemma3RMSNorm(8),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MODULES)
def test_a_norm_with_its_own_scale_given_is_the_module(name: str, dtype: torch.dtype) -> None:
    """In every dtype to its rounding: conversions are in the order of the module."""
    module = copy.deepcopy(MODULES[name])
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(8, generator=generator))
        module = module.to(dtype)
        x = (3 * torch.randn(50, 8, generator=generator) + 1).to(dtype)
        noted = Noted()
        wanted = apply(module, x, noted, "scale_mlp")
        assert torch.equal(wanted, module(x))
        scale = noted.found["scale_mlp"]
        given = apply(module, x, Given(scales={"scale_mlp": scale}), "scale_mlp")
        assert given.dtype == dtype and scale.shape == (50, 1)
        rounding = torch.finfo(torch.float32 if dtype == torch.float64 else dtype).eps
        error = float((given - wanted).abs().double().max() / wanted.abs().double().max())
        assert error <= (
            1e-14 if name.startswith("layer") and dtype == torch.float64 else 4 * rounding
        )
        twice = apply(module, x, Given(scales={"scale_mlp": 2 * scale}), "scale_mlp")
        assert not torch.allclose(twice, wanted, atol=0.1)


def test_a_scale_that_is_not_given_is_no_scale_of_its_own() -> None:
    with pytest.raises(KeyError):
        apply(nn.LayerNorm(8), torch.ones(1, 8), Given(scales={}), "scale_final")
