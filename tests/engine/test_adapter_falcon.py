"""The Falcon adapter against the unmodified `transformers` model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.errors import LanguageError
from pathdsl.graph.check import check_graph
from tests.engine import decoder_cases as cases
from tests.graph.helpers import program

NEW = {"new_decoder_architecture": True, "num_attention_heads": 4, "num_kv_heads": 2}
RW = {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}
# name -> attention and options
ODD: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "7b": ("eager", {"num_attention_heads": 4}),
    "7b_fused": ("sdpa", {}),
    "40b": ("eager", {**NEW, "bias": True}),
    "40b_fused": ("sdpa", NEW),
    "one_norm": ("eager", {**NEW, "num_ln_in_parallel_attn": 1}),
    "rw": ("sdpa", RW),
    "rw_rotary": ("eager", {**RW, "alibi": False}),
    "alibi_multi_query": ("sdpa", {"alibi": True, "num_attention_heads": 4}),
    "alibi_grouped": ("sdpa", {**NEW, "alibi": True}),
    "untied_gelu_new": ("eager", {"tie_word_embeddings": False, "activation": "gelu_new"}),
    "dynamic": (
        "eager", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 100.0}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    attention, options = ODD[name]
    cases.check_forward("falcon", attention, **options)


@pytest.mark.parametrize("name", ["7b", "40b", "rw"])
def test_parts_stream_and_a_patch(name: str) -> None:
    attention, options = ODD[name]
    cases.check_parts_agree("falcon", attention, **options)
    cases.check_stream("falcon", attention, **options)
    cases.check_head_patch("falcon", attention, **options)


def test_half_precision_and_padding() -> None:
    cases.check_half("falcon")
    cases.check_padding("falcon")
    cases.check_stays_in_float64("falcon")


@pytest.mark.parametrize("name", ["7b", "40b_fused", "rw"])
def test_self_check(name: str) -> None:
    attention, options = ODD[name]
    cases.check_proofs("falcon", attention, **options)


def test_from_disk(tmp_path: Path) -> None:
    cases.check_from_disk("falcon", tmp_path, {})


def test_refusals() -> None:
    part, norm = "transformer.h.1.self_attention.dense", "transformer.h.1.input_layernorm"
    cases.check_refusals("falcon", norm, part, "transformer.word_embeddings")


def test_the_mlp_is_its_own_also_where_the_module_holds_attention_as_well() -> None:
    model = cases.make("falcon").double()
    adapter, kept = adapter_for(model), []
    block = model.transformer.h[0]
    block.mlp.register_forward_hook(lambda _m, _a, out: kept.append(out))
    block.self_attention.dense.register_forward_hook(lambda _m, _a, out: kept.append(out.clone()))
    with torch.no_grad():
        resid = adapter.embed(cases.some_ids())
        model(cases.some_ids())
        attention, both = kept
        own = adapter.mlp(0, resid)
    assert torch.allclose(both - attention, own, atol=1e-12)
    assert float((both - own).abs().max()) > 1e-3


# ------------------------------------------------------------------------------- ALiBi


def test_eager_attention_adds_alibi_twice() -> None:
    """The finding for which such a model is loaded with `sdpa`; if this fails, it was mended."""
    once, twice = (cases.make("falcon", how, **RW) for how in ("sdpa", "eager"))
    block = twice.transformer.h[0].self_attention
    with torch.no_grad():
        x, places = torch.randn(1, 4, 8), torch.arange(4).expand(1, 4)
        fused = block.query_key_value(x).view(1, 4, 2, 3, 4).transpose(1, 2)
        scores = fused[..., 0, :] @ fused[..., 1, :].mT / 2
        bias = adapter_for(once).position_bias(0, [0, 1], places, places)
        assert bias is not None
        hidden = torch.full((4, 4), -1e30).triu(1)
        alibi = bias.transpose(0, 1) * 2  # before it is scaled
        mask = bias.transpose(0, 1) + hidden
        found = block(x, alibi.reshape(2, 1, 4), mask)[0]
        patterns = torch.softmax(scores + 2 * bias.transpose(0, 1) + hidden, -1)
        wanted = (patterns @ fused[..., 2, :]).transpose(1, 2).flatten(-2)
        assert torch.allclose(found, block.dense(wanted), atol=1e-6)
        ids = cases.some_ids()
        assert float((once(ids).logits - twice(ids).logits).abs().max()) > 1e-3
    assert cases.code_of(twice) == "PD612"


def test_a_falcon_with_alibi_is_loaded_with_the_attention_that_adds_it_once(tmp_path: Path) -> None:
    cases.make("falcon", "sdpa", **RW).save_pretrained(tmp_path)
    for fused in (False, True):
        loaded = load(ModelSource(kind="folder", location=str(tmp_path)), fused=fused)
        assert loaded.facts["attention"] == "sdpa"
        assert not loaded.adapter.fused
        assert cases.worst(loaded.adapter) < 1e-5


def test_alibi_is_rounded_as_in_the_model() -> None:
    """Products of slopes and positions are bfloat16, which shows from position 257 on."""
    model = cases.make(
        "falcon", "sdpa", **RW, hidden_size=24, num_attention_heads=12, max_position_embeddings=600
    )
    ids = torch.randint(cases.VOCABULARY, (1, 600), generator=torch.Generator().manual_seed(2))
    adapter = adapter_for(model.double())
    with torch.no_grad():
        found, wanted = adapter.decomposed_forward(ids), adapter.plain_forward(ids)
    assert float((found - wanted).abs().max()) < 1e-10


# ------------------------------------------------------------------------------- the config

CONFIG = {
    "model_type": "falcon", "hidden_size": 8, "num_attention_heads": 4, "num_hidden_layers": 2,
    "vocab_size": 5,
}  # fmt: skip
SOURCE = ModelSource(kind="folder", location="x")


def test_edges_by_block() -> None:
    shape = vet_config(SOURCE, CONFIG)
    assert (shape.parallel, shape.n_groups, shape.d_mlp, shape.n_positions) == (True, 1, 32, 2048)
    (fault,) = check_graph(program("path p = a1.h1 -> m1\n"), shape)
    assert fault.code == "PD204" and "parallel" in fault.message
    rw = vet_config(SOURCE, {**CONFIG, **RW})
    assert (rw.parallel, rw.n_groups) == (False, 4)
    assert not check_graph(program("path p = a1.h1 -> m1\n"), rw)
    assert vet_config(SOURCE, {**CONFIG, **NEW}).n_groups == 2
    assert vet_config(SOURCE, {**CONFIG, "n_embed": 16}).d_model == 16


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"multi_query": False, "num_kv_heads": 2}, "num_kv_heads"),
        ({**NEW, "parallel_attn": False}, "parallel_attn"),
        ({"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn"),
    ],
)
def test_what_transformers_cannot_run(changes: dict[str, object], word: str) -> None:
    with pytest.raises(LanguageError, match=word) as caught:
        vet_config(SOURCE, {**CONFIG, **changes})
    assert caught.value.diagnostics[0].code == "PD612"
    model = cases.make("falcon", **{**{"num_attention_heads": 4}, **changes})
    with pytest.raises((RuntimeError, AttributeError, UnboundLocalError)):
        model(cases.some_ids())
    with pytest.raises(Exception, match=word):
        adapter_for(model)
