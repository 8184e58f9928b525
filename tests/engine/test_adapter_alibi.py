"""The adapters of BLOOM and MPT against the unmodified `transformers` models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.attribution.saturation import fixed
from pathdsl.engine.attribution.tape import Tape
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.errors import LanguageError
from tests.engine import decoder_cases as cases
from tests.engine.family_cases import Exact

# name -> family and options
ODD: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bloom": ("bloom", {}),
    "bloom_four_heads": ("bloom", {"n_head": 4, "tie_word_embeddings": False}),
    "bloom_three_heads": ("bloom", {"n_head": 3, "hidden_size": 6, "layer_norm_epsilon": 1e-2}),
    "bloom_one_layer": ("bloom", {"n_head": 1, "n_layer": 1, "slow_but_exact": True}),
    "mpt": ("mpt", {}),
    "mpt_clipped": ("mpt", {"n_heads": 4, "attn_config": {"clip_qkv": 0.5}}),
    "mpt_scaled": ("mpt", {"attn_config": {"softmax_scale": 0.3}, "tie_word_embeddings": False}),
    "mpt_three_heads": ("mpt", {"n_heads": 3, "d_model": 6, "learned_pos_emb": False}),
    "mpt_five_heads": ("mpt", {"n_heads": 5, "d_model": 10, "norm_type": "layernorm"}),
}
FAMILIES = ("bloom", "mpt")


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    family, options = ODD[name]
    cases.check_forward(family, "eager", **options)


@pytest.mark.parametrize("name", ["bloom", "mpt", "mpt_clipped"])
def test_parts_stream_and_a_patch(name: str) -> None:
    family, options = ODD[name]
    cases.check_parts_agree(family, **options)
    cases.check_stream(family, **options)
    cases.check_head_patch(family, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_and_padding(family: str) -> None:
    cases.check_half(family)
    cases.check_padding(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_self_check(family: str) -> None:
    cases.check_proofs(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_from_disk(family: str, tmp_path: Path) -> None:
    cases.check_from_disk(family, tmp_path, {})


def test_refusals() -> None:
    part, norm = "transformer.h.1.self_attention.dense", "transformer.h.1.input_layernorm"
    cases.check_refusals("bloom", norm, part, "transformer.word_embeddings")
    part, norm = "transformer.blocks.1.attn.out_proj", "transformer.blocks.1.norm_1"
    cases.check_refusals("mpt", norm, part, "transformer.wte")


def test_the_unit_of_noise_is_that_of_the_stream() -> None:
    model = cases.make("bloom")
    words = model.transformer.word_embeddings.weight.detach()
    entering = model.transformer.word_embeddings_layernorm(words).detach().double()
    found = adapter_for(model).embedding_std()
    assert found == pytest.approx(float(entering.std(correction=0)), rel=1e-5)


# ------------------------------------------------------------------------------- ALiBi


@pytest.mark.parametrize("family", FAMILIES)
def test_the_pattern_is_that_of_the_model(family: str) -> None:
    model = cases.make(family).double()
    adapter, ids = adapter_for(model), cases.some_ids()
    with Exact(), torch.no_grad():
        wanted = model(ids, output_attentions=True).attentions
        tape = Tape(adapter, adapter.embed(ids), torch.tensor([9, 9, 9]))
    for layer, pattern in zip(tape.layers, wanted, strict=True):
        assert torch.allclose(layer.pattern.transpose(0, 1), pattern, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_positions_are_those_of_queries_and_keys(family: str) -> None:
    """Of heads and keys picked out in any order; a constant of a query is none of its business."""
    adapter = adapter_for(cases.make(family).double())
    everywhere = torch.arange(9).expand(2, 9)
    queries, keys = torch.tensor([[3, 8], [8, 0]]), torch.tensor([[7, 0, 4], [1, 2, 8]])
    whole = adapter.position_bias(1, [0, 1], everywhere, everywhere)
    part = adapter.position_bias(1, [1], queries, keys)
    assert whole is not None and part is not None
    whole = whole.expand(2, 2, 9, 9)[1]
    rows = torch.arange(2)[:, None, None]
    picked = whole[rows, queries[:, :, None], keys[:, None, :]]
    change = (part[0] - picked).expand(2, 2, 3)
    assert torch.allclose(change, change[..., :1].expand_as(change))


@pytest.mark.parametrize("family", FAMILIES)
def test_fixes_of_queries_and_keys_see_the_bias(family: str) -> None:
    """Query and key fix of AtP* are a softmax recomputed, key by key."""
    adapter, ids = adapter_for(cases.make(family).double()), cases.some_ids()
    with Exact(), torch.no_grad():
        layer = Tape(adapter, adapter.embed(ids), torch.tensor([9, 9, 9])).layers[1]
        q, k = layer.q + torch.randn(layer.q.shape), layer.k + torch.randn(layer.k.shape)
        found = fixed(layer, q.double(), k.double())
        places = torch.arange(9).expand(3, 9)
        treated = adapter.attend(1, q, layer.k, layer.v, places)[0]
        assert torch.allclose(found.treated, treated, atol=1e-12)
        gradient = torch.randn(layer.z.shape).permute(2, 0, 1, 3).double()
        for at in (0, 5, 8):
            swapped = layer.k.clone()
            swapped[:, :, at] = k[:, :, at]
            moved = adapter.attend(1, layer.q, swapped, layer.v, places)[0]
            wanted = ((moved - found.z) * gradient).sum((-1, -2))
            assert torch.allclose(found.k(gradient)[..., at], wanted, atol=1e-10)


# ------------------------------------------------------------------------------- the config

BLOOM = {"model_type": "bloom", "n_embed": 8, "num_attention_heads": 2, "n_layer": 3,
         "vocab_size": 5}  # fmt: skip
MPT = {"model_type": "mpt", "d_model": 8, "n_heads": 2, "n_layers": 3, "vocab_size": 5}
SOURCE = ModelSource(kind="folder", location="x")


def test_shapes() -> None:
    shape = vet_config(SOURCE, {**BLOOM, "seq_length": 64})
    assert (shape.d_model, shape.n_heads, shape.n_layers, shape.d_mlp) == (8, 2, 3, 32)
    assert shape.n_positions == 64
    assert vet_config(SOURCE, {**BLOOM, "hidden_size": 64}) == vet_config(SOURCE, BLOOM)
    assert vet_config(SOURCE, BLOOM).n_positions == 2048
    other = {"hidden_size": 8, "n_head": 2, "num_hidden_layers": 3}
    named = {"model_type": "bloom", "vocab_size": 5, **other}
    assert vet_config(SOURCE, named) == vet_config(SOURCE, BLOOM)
    shape = vet_config(SOURCE, {**MPT, "max_seq_len": 64, "attn_config": None})
    assert (shape.d_model, shape.n_heads, shape.n_layers, shape.n_positions) == (8, 2, 3, 64)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({**BLOOM, "apply_residual_connection_post_layernorm": True}, "apply_residual_connection"),
        ({**BLOOM, "slow_but_exact": True, "pretraining_tp": 2}, "slow_but_exact"),
        *(
            ({**MPT, **changes}, next(iter(changes)))
            for changes in ({"logit_scale": 0.5}, {"no_bias": False}, {"expansion_ratio": 2},
                            {"norm_type": "rmsnorm"}, {"logit_scale": "inv_sqrt_d_model"})
        ),
        *(
            ({**MPT, "attn_config": changes}, next(iter(changes)))
            for changes in ({"alibi": False}, {"alibi_bias_max": 16}, {"qk_ln": True},
                            {"prefix_lm": True}, {"attn_type": "multiquery_attention"},
                            {"rope": True})
        ),
    ],
)  # fmt: skip
def test_options_that_are_not_computed(config: dict[str, object], word: str) -> None:
    with pytest.raises(LanguageError, match=word) as caught:
        vet_config(SOURCE, config)
    assert caught.value.diagnostics[0].code == "PD612"


def test_options_of_a_loaded_model() -> None:
    assert cases.code_of(cases.make("mpt", logit_scale=0.5)) == "PD612"
    assert cases.code_of(cases.make("mpt", attn_config={"qk_ln": True})) == "PD612"
    odd = {"apply_residual_connection_post_layernorm": True}
    assert cases.code_of(cases.make("bloom", **odd)) == "PD612"
    model = cases.make("bloom")
    model.transformer.h[1].apply_residual_connection_post_layernorm = True
    assert cases.code_of(model) == "PD612"


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_with_a_bias_is_never_fused(family: str) -> None:
    assert not adapter_for(cases.make(family), fused=True).fused
    assert not adapter_for(cases.make("falcon", "sdpa", alibi=True), fused=True).fused
