"""The OPT adapter against the unmodified `transformers` model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load.source import ModelSource, vet_config
from tests.engine import decoder_cases as cases

ODD = {
    "plain": {},
    "no_biases": {"enable_bias": False},
    "bare_norms": {"layer_norm_elementwise_affine": False},
    "no_final_norm": {"_remove_final_layer_norm": True},
    "narrow_words": {"word_embed_proj_dim": 5},
    "narrow_words_no_norm": {"word_embed_proj_dim": 5, "_remove_final_layer_norm": True},
    "untied": {"tie_word_embeddings": False},
    "gelu": {"activation_function": "gelu", "ffn_dim": 7},
    "one_head": {"num_attention_heads": 1, "num_hidden_layers": 1, "layerdrop": 0.5},
}


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    cases.check_forward("opt", "eager", **ODD[name])


def test_fused_attention() -> None:
    cases.check_forward("opt", "sdpa")
    cases.check_stays_in_float64("opt")
    cases.check_stays_in_float64("gpt_neox")


def test_half_precision_and_padding() -> None:
    cases.check_half("opt")
    cases.check_padding("opt")


@pytest.mark.parametrize("name", ["plain", "no_biases", "no_final_norm", "narrow_words"])
def test_parts_and_stream(name: str) -> None:
    cases.check_parts_agree("opt", **ODD[name])
    cases.check_stream("opt", **ODD[name])


def test_positions_start_at_row_two() -> None:
    model = cases.make("opt")
    adapter, decoder = adapter_for(model), model.model.decoder
    ids = torch.tensor([[4, 1, 7]])
    wanted = decoder.embed_tokens(ids) + decoder.embed_positions.weight[2:5]
    assert torch.equal(adapter.embed(ids), wanted)


def test_unit_of_noise_is_that_of_the_stream() -> None:
    model = cases.make("opt", word_embed_proj_dim=5)
    decoder = model.model.decoder
    entering = decoder.project_in(decoder.embed_tokens.weight).detach().double()
    assert adapter_for(model).embedding_std() == pytest.approx(
        float(entering.std(correction=0)), rel=1e-5
    )
    plain = cases.make("opt")
    weight = plain.model.decoder.embed_tokens.weight.detach().double()
    assert adapter_for(plain).embedding_std() == pytest.approx(float(weight.std(correction=0)))


def test_patch_of_one_head_is_that_of_hooks() -> None:
    cases.check_head_patch("opt")
    cases.check_head_patch("opt", word_embed_proj_dim=5, enable_bias=False)


def test_self_check() -> None:
    cases.check_proofs("opt", _remove_final_layer_norm=True)
    cases.check_proofs("opt", "sdpa")
    assert adapter_for(cases.make("opt", "sdpa").double()).precision == torch.float64
    assert adapter_for(cases.make("opt").half()).precision == torch.float16


def test_from_disk(tmp_path: Path) -> None:
    saved: dict[str, torch.Tensor] = {}
    cases.check_from_disk("opt", tmp_path, saved)


def test_refusals() -> None:
    part, norm = "model.decoder.layers.1.self_attn.out_proj", "model.decoder.layers.1"
    cases.check_refusals("opt", f"{norm}.final_layer_norm", part, "model.decoder.embed_tokens")


def test_norms_after_each_part() -> None:
    for attention in ("eager", "sdpa"):
        cases.check_forward("opt", attention, do_layer_norm_before=False)
    model = cases.make("opt", do_layer_norm_before=False)
    shape = vet_config(ModelSource(kind="folder", location="x"), model.config.to_dict())
    assert shape == adapter_for(model).shape and shape.normed_stream
    cases.check_proofs("opt", do_layer_norm_before=False)
    cases.check_head_patch("opt", do_layer_norm_before=False)
    mixed = cases.make("opt")
    mixed.model.decoder.layers[1].do_layer_norm_before = False
    assert cases.code_of(mixed) == "PD612"
