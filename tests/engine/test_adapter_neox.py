"""The GPT-NeoX adapter against the unmodified `transformers` model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.graph.check import check_graph
from pathdsl.graph.model.decoders import gpt_neox_shape
from tests.engine import decoder_cases as cases
from tests.graph.helpers import program

YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0, "partial_rotary_factor": 0.5,
        "original_max_position_embeddings": 4}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 100.0, "partial_rotary_factor": 1.0}
ODD = {
    "plain": {},
    "sequential": {"use_parallel_residual": False},
    "no_bias": {"attention_bias": False},
    "whole_head": {"rotary_pct": 1.0},
    "no_rotary": {"rotary_pct": 0.1},
    "base": {"rotary_emb_base": 100},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 10.0}},
    "yarn": {"rope_parameters": YARN},
    "dynamic": {"rope_parameters": DYNAMIC},
    "tied": {"tie_word_embeddings": True},
    "gelu_new": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2},
    "one_head": {"num_attention_heads": 1, "num_hidden_layers": 1},
}


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    cases.check_forward("gpt_neox", "eager", **ODD[name])


@pytest.mark.parametrize("name", ["plain", "sequential"])
def test_fused_attention(name: str) -> None:
    cases.check_forward("gpt_neox", "sdpa", **ODD[name])


def test_half_precision_and_padding() -> None:
    cases.check_half("gpt_neox")
    cases.check_padding("gpt_neox")


@pytest.mark.parametrize("parallel", [True, False])
def test_parts_and_stream(parallel: bool) -> None:
    cases.check_parts_agree("gpt_neox", use_parallel_residual=parallel)
    cases.check_stream("gpt_neox", use_parallel_residual=parallel)
    cases.check_stream("gpt_neox", use_parallel_residual=parallel, attention_bias=False)


@pytest.mark.parametrize("parallel", [True, False])
def test_patch_of_one_head_is_that_of_hooks(parallel: bool) -> None:
    cases.check_head_patch("gpt_neox", use_parallel_residual=parallel)


def test_q_k_v_lie_head_by_head() -> None:
    model = cases.make("gpt_neox")
    adapter, x = adapter_for(model), torch.randn(1, 8)
    fused = model.gpt_neox.layers[0].attention.query_key_value(x).view(2, 3, 4)
    for number, slot in enumerate(("q", "k", "v")):
        found = adapter.project(0, slot, x, positions=torch.zeros(1, dtype=torch.long))
        assert torch.allclose(found[0], fused[:, number], atol=1e-6)


def test_self_check() -> None:
    cases.check_proofs("gpt_neox")
    cases.check_proofs("gpt_neox", use_parallel_residual=False)


def test_from_disk(tmp_path: Path) -> None:
    prefix = "gpt_neox.layers.0.attention"
    saved = {f"{prefix}.bias": torch.ones(4, 4), f"{prefix}.rotary_emb.inv_freq": torch.ones(1)}
    cases.check_from_disk("gpt_neox", tmp_path, saved)


def test_refusals() -> None:
    part = "gpt_neox.layers.1.attention.dense"
    norm = "gpt_neox.layers.1.post_attention_layernorm"
    cases.check_refusals("gpt_neox", norm, part, "gpt_neox.embed_in")
    mixed = cases.make("gpt_neox")
    mixed.gpt_neox.layers[1].use_parallel_residual = False
    assert cases.code_of(mixed) == "PD612"


def test_rotary_wider_than_a_head() -> None:
    model = cases.make("gpt_neox", hidden_size=6, rotary_pct=1.0)
    with pytest.raises(RuntimeError):
        model(cases.some_ids())
    assert cases.code_of(model) == "PD612"


CONFIG = {
    "model_type": "gpt_neox", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3,
    "intermediate_size": 16, "vocab_size": 5, "max_position_embeddings": 64,
}  # fmt: skip


def test_no_edge_from_heads_to_the_mlp_of_a_parallel_block() -> None:
    shape = gpt_neox_shape(CONFIG)
    assert shape.parallel
    (fault,) = check_graph(program("path p = a1.h1 -> m1\n"), shape)
    assert fault.code == "PD204"
    assert "parallel" in fault.message
    assert "a1.h1 -> m2" in fault.help
    assert not check_graph(program("path p = a1.h1 -> m2\n"), shape)
    sequential = gpt_neox_shape({**CONFIG, "use_parallel_residual": False})
    assert not check_graph(program("path p = a1.h1 -> m1\n"), sequential)
