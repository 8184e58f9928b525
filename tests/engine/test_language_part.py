"""Models that read images, of which the part for text is loaded: the whole model on text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText

from pathdsl.engine.load.language_part import WHOLES, language_name, language_part
from pathdsl.engine.load.source import ModelSource, config_of, vet_config
from pathdsl.engine.load.weights import load
from pathdsl.errors import PathdslError

TEXT: Mapping[str, Any] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_DELTAS = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
            "shared_expert_intermediate_size": 8}  # fmt: skip
_VIT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 16, "patch_size": 4}  # fmt: skip
_QWEN = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
         "out_hidden_size": 32, "patch_size": 4, "num_position_embeddings": 16}  # fmt: skip
# model type -> what its text has besides, what reads images
MODELS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "gemma3": ({}, _VIT),
    "gemma4": ({"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
                "global_head_dim": 16},
               {**_VIT, "num_key_value_heads": 2, "head_dim": 8}),
    "gemma4_small": ({"hidden_size_per_layer_input": 4, "num_kv_shared_layers": 1,
                      "global_head_dim": 16, "vocab_size_per_layer_input": 64,
                      "num_hidden_layers": 3, "use_double_wide_mlp": True,
                      "layer_types": ["sliding_attention", "full_attention", "full_attention"]},
                     {**_VIT, "num_key_value_heads": 2, "head_dim": 8}),
    "qwen3_5": (_DELTAS, _QWEN),
    "qwen3_5_moe": ({**_DELTAS, **_EXPERTS}, _QWEN),
    "mistral3": ({}, {**_VIT, "head_dim": 8}),
    "llama4": ({"num_local_experts": 2, "intermediate_size_mlp": 24},
               {**_VIT, "vision_output_dim": 16, "projector_input_dim": 16,
                "projector_output_dim": 16}),
}  # fmt: skip
STREAMED = ("gemma3", "gemma4_small", "qwen3_5_moe", "qwen3_5", "mistral3")


def at(folder: Path) -> ModelSource:
    return ModelSource(kind="folder", location=str(folder), name="m", dtype="float32")


def save(kind: str, folder: Path) -> Any:
    """A random whole model in a folder."""
    text, images = MODELS[kind]
    config = AutoConfig.for_model(
        kind.removesuffix("_small"), text_config={**TEXT, **text}, vision_config={**images}
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.save_pretrained(folder)
    return model


def some_ids() -> torch.Tensor:
    return torch.randint(3, 64, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", MODELS)
def test_it_is_the_whole_model_on_text(kind: str, tmp_path: Path) -> None:
    whole, ids = save(kind, tmp_path), some_ids()
    loaded = load(at(tmp_path))
    assert loaded.facts["architecture"].endswith(
        f"ForCausalLM, the text of a {kind.removesuffix('_small')}"
    )
    assert loaded.adapter.shape == vet_config(at(tmp_path), config_of(at(tmp_path)) or {})
    with torch.no_grad():
        wanted = whole(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        assert torch.equal(loaded.adapter.plain_forward(ids), wanted)
        parts = loaded.adapter.decomposed_forward(ids)
    assert (parts - wanted).abs().max() <= 1e-4 * max(1.0, float(wanted.abs().max()))
    if kind in STREAMED:
        streamed = load(at(tmp_path), streamed=True)
        with torch.no_grad():
            assert torch.equal(streamed.adapter.plain_forward(ids), wanted)
        assert dict(streamed.weights) == dict(loaded.weights)


@pytest.mark.parametrize(("kind", "parts"), WHOLES.items())
def test_the_usual_sizes_are_those_of_transformers(
    kind: str, parts: Mapping[str, Mapping[str, object]]
) -> None:
    for text, usual in parts.items():
        own = AutoConfig.for_model(text).to_dict()
        assert {name: own[name] for name in usual} == usual
        sparse = language_part({"model_type": kind, "text_config": {"model_type": text}})
        assert sparse == {**usual, "model_type": text, "part_of": kind}
    first = next(iter(parts))
    assert language_part({"model_type": kind, "text_config": {}})["model_type"] == first
    assert AutoConfig.for_model(kind, text_config={}).text_config.model_type in parts


def test_a_config_as_it_is_published() -> None:
    """Gemma 3 of 4B leaves out heads, positions and the vocabulary."""
    config = language_part({
        "model_type": "gemma3", "vision_config": {"hidden_size": 1152},
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
                        "model_type": "gemma3_text", "sliding_window": 1024,
                        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}},
    })  # fmt: skip
    shape = vet_config(at(Path("nowhere")), config)
    assert (shape.n_layers, shape.n_heads, shape.d_head, shape.d_vocab) == (34, 8, 256, 262208)
    assert shape.window(0) == 1024 and shape.window(5) is None


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("language_model.model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"),
        ("model.language_model.norm.weight", "model.norm.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("lm_head.weight", "lm_head.weight"),
        (
            "model.language_model.embed_tokens_per_layer.weight",
            "model.embed_tokens_per_layer.weight",
        ),
        ("vision_tower.encoder.layers.0.norm.weight", None),
        ("model.visual.blocks.0.norm.weight", None),
        ("mtp.layers.0.norm.weight", None),
    ],
)
def test_names_of_weights(name: str, own: str | None) -> None:
    assert language_name(name) == own


def test_what_is_missing_or_left_over_in_the_part_is_told(tmp_path: Path) -> None:
    save("gemma3", tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    gone = "language_model.model.layers.1.mlp.up_proj.weight"
    for changed, said in (
        ({k: v for k, v in weights.items() if k != gone}, "model.layers.1.mlp.up_proj.weight"),
        ({**weights, "language_model.model.layers.1.probe.weight": weights[gone].clone()},
         "model.layers.1.probe.weight"),
    ):  # fmt: skip
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(PathdslError) as caught:
            load(at(tmp_path))
        (found,) = caught.value.diagnostics
        assert found.code == "PD605" and said in " ".join(found.notes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "PD608"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "PD604"),
        ({"text_config": {"model_type": "t5"}}, "PD607"),
    ],
)
def test_what_the_whole_says_is_heard(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "vision_config": {"a": 1}, "text_config": {}, **changes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = at(tmp_path)
    with pytest.raises(PathdslError) as caught:
        vet_config(source, config_of(source) or {})
    assert caught.value.diagnostics[0].code == code
