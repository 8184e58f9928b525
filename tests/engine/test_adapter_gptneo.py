"""The GPT-Neo adapter against the unmodified `transformers` model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.load.source import ModelSource, vet_config
from pathdsl.errors import LanguageError
from pathdsl.graph.model.decoders import gpt_neo_shape
from tests.engine import decoder_cases as cases

ODD = {
    "plain": {},
    "all_global": {"attention_types": [[["global"], 2]]},
    "all_local_one": {"attention_types": [[["local"], 2]], "window_size": 1},
    "long_window": {"window_size": 50},
    "three": {"num_layers": 3, "attention_types": [[["local"], 1], [["global", "local"], 1]],
              "window_size": 4},
    "untied": {"tie_word_embeddings": False},
    "relu": {"activation_function": "relu", "intermediate_size": None},
    "one_head": {"num_heads": 1, "layer_norm_epsilon": 1e-2},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_decomposed_forward_is_the_plain_one(name: str) -> None:
    cases.check_forward("gpt_neo", "eager", **ODD[name])


def test_half_precision_and_padding() -> None:
    cases.check_half("gpt_neo")
    cases.check_padding("gpt_neo")


def test_parts_and_stream() -> None:
    cases.check_parts_agree("gpt_neo")
    cases.check_stream("gpt_neo")


def test_local_layers_see_their_window_alone() -> None:
    adapter = adapter_for(cases.make("gpt_neo"))
    assert adapter.shape.windows == (2, None)
    seen = adapter.mask(0, torch.tensor([[3]]), 5)
    assert seen.tolist() == [[[False, False, True, True, False]]]
    assert adapter.mask(1, torch.tensor([[3]]), 5).sum() == 4


def test_scores_are_not_scaled() -> None:
    adapter = adapter_for(cases.make("gpt_neo"))
    q, k = torch.randn(3, 4), torch.randn(5, 4)
    assert torch.allclose(adapter.scores(0, q, k), q @ k.T)


def test_who_owns_which_bias() -> None:
    adapter = adapter_for(cases.make("gpt_neo"))
    assert not adapter.project(0, "v", torch.zeros(1, 8)).any()
    assert adapter.write_bias(0).abs().min() > 0


def test_patch_of_one_head_is_that_of_hooks() -> None:
    cases.check_head_patch("gpt_neo")


def test_self_check() -> None:
    cases.check_proofs("gpt_neo")
    assert adapter_for(cases.make("gpt_neo").double()).precision == torch.float32


def test_from_disk(tmp_path: Path) -> None:
    prefix = "transformer.h.0.attn.attention"
    saved = {f"{prefix}.bias": torch.ones(1, 1, 4, 4), f"{prefix}.masked_bias": torch.ones(())}
    cases.check_from_disk("gpt_neo", tmp_path, saved)


def test_refusals() -> None:
    part = "transformer.h.1.attn.attention.out_proj"
    cases.check_refusals("gpt_neo", "transformer.h.1.ln_2", part, "transformer.wte")
    changed = cases.make("gpt_neo")
    changed.config.window_size = 3
    assert cases.code_of(changed) == "PD612"
    changed.config.window_size = 0
    assert cases.code_of(changed) == "PD612"


def test_shape_from_a_config() -> None:
    config = {"model_type": "gpt_neo", "hidden_size": 8, "num_heads": 2, "num_layers": 24,
              "vocab_size": 5}  # fmt: skip
    shape = gpt_neo_shape(config)
    assert shape.windows == (None, 256) * 12
    assert (shape.d_mlp, shape.n_positions, shape.parallel) == (32, 2048, False)
    listed = gpt_neo_shape(config | {"num_layers": 1, "attention_layers": ["local"]})
    assert listed.windows == (256,)
    source = ModelSource(kind="folder", location="x")
    for odd, code in (
        ({"num_layers": 3}, "PD615"),
        ({"window_size": 0}, "PD612"),
        ({"attention_types": [[["sparse"], 24]]}, "PD612"),
        ({"num_heads": 3}, "PD615"),
    ):
        with pytest.raises(LanguageError) as caught:
            vet_config(source, config | odd)
        assert caught.value.diagnostics[0].code == code
