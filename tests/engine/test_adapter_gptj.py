"""The GPT-J adapter against the unmodified `transformers` model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.graph.model.decoders import gptj_shape
from tests.engine import decoder_cases as cases

ODD = {
    "plain": {},
    "whole_head": {"rotary_dim": 4},
    "one_head": {"n_head": 1, "rotary_dim": 6, "n_layer": 1},
    "tied": {"tie_word_embeddings": True},
    "relu": {"activation_function": "relu", "n_inner": None, "layer_norm_epsilon": 1e-2},
}


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    cases.check_forward("gptj", "eager", **ODD[name])


def test_half_precision_and_padding() -> None:
    cases.check_half("gptj")
    cases.check_padding("gptj")


def test_parts_and_stream() -> None:
    cases.check_parts_agree("gptj")
    cases.check_stream("gptj")


def test_rotation_is_of_neighbours_and_of_a_part() -> None:
    adapter = adapter_for(cases.make("gptj").double())
    x = torch.randn(6, 8).double()
    still = adapter.project(0, "q", x, positions=torch.zeros(6, dtype=torch.long))
    turned = adapter.project(0, "q", x, positions=torch.arange(6))
    assert torch.equal(still[..., 2:], turned[..., 2:])
    assert torch.equal(still[0], turned[0])
    angle = torch.arange(6.0).double()  # the first frequency is 1
    first, second = still[:, 0, 0], still[:, 0, 1]
    assert torch.allclose(turned[:, 0, 0], first * angle.cos() - second * angle.sin(), atol=1e-6)
    assert torch.allclose(turned[:, 0, 1], second * angle.cos() + first * angle.sin(), atol=1e-6)
    places = torch.arange(6)
    assert torch.equal(
        adapter.project(0, "v", x, positions=places),
        adapter.project(0, "v", x, positions=places * 0),
    )


def test_block_reads_one_norm_and_attention_has_no_bias() -> None:
    model = cases.make("gptj")
    adapter = adapter_for(model)
    assert adapter.shape.parallel
    assert not adapter.write_bias(0).any()
    assert not adapter.project(0, "v", torch.zeros(1, 8)).any()
    x = torch.randn(2, 8)
    block = model.transformer.h[0]
    assert torch.allclose(adapter.mlp(0, x), block.mlp(block.ln_1(x)), atol=1e-6)


def test_patch_of_one_head_is_that_of_hooks() -> None:
    cases.check_head_patch("gptj")


def test_self_check() -> None:
    cases.check_proofs("gptj")


def test_from_disk(tmp_path: Path) -> None:
    prefix = "transformer.h.1.attn"
    saved = {f"{prefix}.bias": torch.ones(1, 1, 4, 4), f"{prefix}.masked_bias": torch.ones(())}
    cases.check_from_disk("gptj", tmp_path, saved)


def test_refusals() -> None:
    part = "transformer.h.1.attn.out_proj"
    cases.check_refusals("gptj", "transformer.h.1.ln_1", part, "transformer.wte")


@pytest.mark.parametrize("width", [0, 3, 6])
def test_rotary_widths_that_transformers_cannot_run(width: int) -> None:
    model = cases.make("gptj", rotary_dim=width)
    with pytest.raises(RuntimeError):
        model(cases.some_ids())
    assert cases.code_of(model) == "PD612"


def test_shape_from_a_config() -> None:
    shape = gptj_shape({"n_embd": 8, "n_head": 2, "n_layer": 3, "vocab_size": 5, "n_inner": None})
    assert (shape.d_mlp, shape.n_positions, shape.parallel) == (32, 2048, True)
    assert shape.n_senders == 10
