"""Tiny random models of the families built like Llama, and a mode that takes float32 out of them.

These families compute norms, softmax and rotations in float32 whatever the dtype, in `transformers`
and in the adapters alike, so two float64 computations of the same number may differ by 1e-6.
`Exact()` turns every such conversion into one to float64, in both, and then equality is asked for
to 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM

SMALL: Mapping[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_CAPS = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 3.0}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention"]
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 100.0,
        "original_max_position_embeddings": 8}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 100.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8}  # fmt: skip
LONG = {"rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.1],
        "long_factor": [3.0], "partial_rotary_factor": 0.5}  # fmt: skip

_DELTAS = {"layer_types": ["linear_attention", "full_attention", "linear_attention"],
           "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 3,
           "linear_value_head_dim": 5, "linear_conv_kernel_dim": 3,
           "rope_parameters": {"rope_type": "default", "rope_theta": 100.0,
                               "partial_rotary_factor": 1.0}}  # fmt: skip
_FEW = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6}

# name of a variant -> model type, changes to SMALL
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("llama", {}),
    "llama_biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama_wide_heads": ("llama", {"head_dim": 6, "num_key_value_heads": 1}),
    "llama_rope_llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama_rope_yarn": ("llama", {"rope_parameters": YARN}),
    "llama_rope_dynamic": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 100.0}},
    ),
    "mistral": ("mistral", {"sliding_window": 3}),
    "mistral_full": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3": ("qwen3", {"head_dim": 6, "attention_bias": True}),
    "olmo": ("olmo", {"clip_qkv": 0.3, "attention_bias": True}),
    "olmo2": ("olmo2", {"attention_bias": True}),
    "smollm3": (
        "smollm3",
        {"no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 2},
    ),
    "phi3": ("phi3", {"sliding_window": 4}),
    "phi3_long": ("phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 16}),
    "gemma": ("gemma", {"head_dim": 6}),
    "gemma2": ("gemma2", {"head_dim": 6, "sliding_window": 3, "attention_bias": True,
                          "query_pre_attn_scalar": 5, **_CAPS}),
    "gemma2_no_caps": ("gemma2", {"head_dim": 6, "sliding_window": 3,
                                  "attn_logit_softcapping": None,
                                  "final_logit_softcapping": None}),
    "gemma3": ("gemma3_text", {"head_dim": 6, "sliding_window": 3, "layer_types": _KINDS,
                               "query_pre_attn_scalar": 5, "final_logit_softcapping": 3.0}),
    "mixtral": ("mixtral", {"num_local_experts": 4}),
    "mixtral_window": ("mixtral", {"num_local_experts": 3, "num_experts_per_tok": 1,
                                   "sliding_window": 3, "head_dim": 6}),
    "qwen2_moe": ("qwen2_moe", {**_FEW, "shared_expert_intermediate_size": 10,
                                "mlp_only_layers": [1]}),
    "qwen2_moe_sparse": ("qwen2_moe", {**_FEW, "shared_expert_intermediate_size": 10,
                                       "decoder_sparse_step": 2, "norm_topk_prob": True,
                                       "use_sliding_window": True, "sliding_window": 3}),
    "qwen3_moe": ("qwen3_moe", {**_FEW, "head_dim": 6, "norm_topk_prob": True}),
    "qwen3_moe_window": ("qwen3_moe", {**_FEW, "head_dim": 6, "attention_bias": True,
                                       "mlp_only_layers": [0], "use_sliding_window": True,
                                       "sliding_window": 3}),
    "olmoe": ("olmoe", {"num_experts": 4, "num_experts_per_tok": 2, "clip_qkv": 0.8}),
    "olmoe_free": ("olmoe", {"num_experts": 4, "num_experts_per_tok": 3, "norm_topk_prob": True,
                             "attention_bias": True}),
    "gpt_oss": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 6,
                            "sliding_window": 3, "swiglu_limit": 1.5,
                            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}),
    "gpt_oss_rope_yarn": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2,
                                      "head_dim": 6, "sliding_window": 3,
                                      "rope_parameters": {**YARN, "truncate": False}}),
    "granite_swa": ("granite_swa", {"sliding_window": 3, "embedding_multiplier": 1.5,
                                    "logits_scaling": 2.0, "residual_multiplier": 0.7,
                                    "attention_multiplier": 0.4, "mlp_bias": True,
                                    "layer_rope_theta": [100.0, 0, 50.0]}),
    "granite_swa_plain": ("granite_swa", {"sliding_window": 3, "attention_bias": True}),
    "qwen3_5": ("qwen3_5_text", {"head_dim": 6, "attention_bias": True,
                                 "layer_types": ["full_attention"] * 3,
                                 "rope_parameters": {"rope_type": "default", "rope_theta": 100.0,
                                                     "partial_rotary_factor": 1.0}}),
    "llama4": ("llama4_text", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 6,
                               "intermediate_size_mlp": 24, "interleave_moe_layer_step": 2,
                               "attention_chunk_size": 16, "no_rope_layer_interval": 2,
                               "floor_scale": 2}),
    "llama4_plain": ("llama4_text", {"num_local_experts": 3, "head_dim": 6, "use_qk_norm": False,
                                     "intermediate_size_mlp": 24, "attention_bias": True,
                                     "attn_temperature_tuning": False}),
}  # fmt: skip

_BY_KIND = {"full_attention": {"rope_type": "default", "rope_theta": 100.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
_GROWTH = {"rope_theta": 100.0, "llama_4_scaling_beta": 0.4, "original_max_position_embeddings": 2}
_HALF = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
# The same for families that came later, which fewer cases are drawn of.
LATER: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "olmo3": ("olmo3", {"sliding_window": 3, "layer_types": _KINDS, "attention_bias": True,
                        "rope_parameters": _BY_KIND}),
    "starcoder2": ("starcoder2", {"sliding_window": 3}),
    "starcoder2_bare": ("starcoder2", {"use_bias": False}),
    "granite": ("granite", {"embedding_multiplier": 3.0, "residual_multiplier": 0.6,
                            "attention_multiplier": 0.4, "logits_scaling": 2.5,
                            "attention_bias": True, "mlp_bias": True}),
    "phi": ("phi", {"qk_layernorm": True, "rope_parameters": _HALF}),
    "phi_bare": ("phi", {}),
    "ministral": ("ministral", {"sliding_window": 3, "layer_types": _KINDS, "head_dim": 6}),
    "ministral3": ("ministral3", {"sliding_window": 3, "head_dim": 6,
                                  "rope_parameters": {"rope_type": "default", **_GROWTH}}),
    "ministral3_rope_yarn": ("ministral3", {"head_dim": 6, "rope_parameters": {
        **YARN, "llama_4_scaling_beta": 0.4}}),
    "stablelm": ("stablelm", {"qk_layernorm": True, "use_qkv_bias": True,
                              "rope_parameters": _HALF}),
    "stablelm_parallel": ("stablelm", {"use_parallel_residual": True, "rope_parameters": _HALF}),
    "cohere": ("cohere", {"use_qk_norm": True, "logit_scale": 0.3, "attention_bias": True}),
    "cohere_bare": ("cohere", {"head_dim": 6}),
    "cohere2": ("cohere2", {"sliding_window": 3, "layer_types": _KINDS, "logit_scale": 2.0}),
    "glm": ("glm", {"head_dim": 6}),
    "glm4": ("glm4", {"head_dim": 6, "attention_bias": False}),
    "seed_oss": ("seed_oss", {"head_dim": 6, "mlp_bias": True}),
    "seed_oss_out_bias": ("seed_oss", {"head_dim": 4, "attention_bias": False,
                                       "attention_out_bias": True}),
    "arcee": ("arcee", {"mlp_bias": True}),
    "exaone4": ("exaone4", {"sliding_window": 3, "layer_types": _KINDS, "head_dim": 6}),
    "exaone4_full": ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 3}),
    "nemotron": ("nemotron", {"attention_bias": True, "mlp_bias": True}),
    "nemotron_wide_heads": ("nemotron", {"head_dim": 6, "hidden_act": "silu"}),
    "hunyuan": ("hunyuan_v1_dense", {"head_dim": 6, "attention_bias": True}),
    "hunyuan_rope_alpha": ("hunyuan_v1_dense", {"head_dim": 6, "rope_parameters": {
        "rope_type": "dynamic", "factor": 1.0, "alpha": 50.0, "rope_theta": 100.0}}),
    "ernie": ("ernie4_5", {"head_dim": 6, "use_bias": True}),
    "ernie_untied": ("ernie4_5", {"head_dim": 4, "tie_word_embeddings": False}),
}  # fmt: skip
# Layers whose one head is a DeltaNet, which checks of heads pass by.
RECURRENT: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "qwen3_5_deltas": ("qwen3_5_text", {"head_dim": 6, **_DELTAS}),
    "qwen3_5_moe": ("qwen3_5_moe_text", {"head_dim": 6, **_DELTAS, **_FEW,
                                         "shared_expert_intermediate_size": 10}),
    "qwen3_next": ("qwen3_next", {"head_dim": 6, **_DELTAS, **_FEW, "mlp_only_layers": [0],
                                  "shared_expert_intermediate_size": 10}),
}  # fmt: skip
EVERY = {**FAMILIES, **LATER, **RECURRENT}


def make(name: str, seed: int = 0, std: float = 0.3, **changes: object) -> torch.nn.Module:
    """A random model of one variant in float32, eval mode; no weight keeps its first value."""
    kind, options = EVERY[name]
    config = AutoConfig.for_model(kind, **{**SMALL, **options, **changes})
    torch.manual_seed(seed)
    made = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = AutoModelForCausalLM.from_config(config, **made).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(std * torch.randn(parameter.shape))
    return model


def some_ids(rows: int = 3, pos: int = 9) -> torch.Tensor:
    return torch.randint(11, (rows, pos), generator=torch.Generator().manual_seed(1))


class Exact(TorchFunctionMode):
    """Within it every conversion to float32 is one to float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls `func` with float64 where float32 is asked for."""
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if x is torch.float32 else x for x in args)
        given = {k: torch.float64 if x is torch.float32 else x for k, x in (kwargs or {}).items()}
        return func(*args, **given)
