"""Tiny random toy models, one variant for each switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from pathdsl.engine.toy.model import ToyConfig, ToyModel
from pathdsl.graph.model.toy import TOY

SMALL: Mapping[str, Any] = {
    "n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 3, "n_ctx": 12, "d_vocab": 11,
    "d_mlp": 12, "act_fn": "relu", "normalization_type": None,
}  # fmt: skip
_BARE = {"qkv_bias": False, "o_bias": False, "mlp_bias": False, "unembed_bias": False}
_ROTARY = {"positional_embedding_type": "rotary", "d_head": 6}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "no_norm": {},
    "ln": {"normalization_type": "LN", "act_fn": "gelu"},
    "ln_pre": {"normalization_type": "lnpre", "eps": 1e-2},
    "ln_pre_final_rms": {"normalization_type": "LNPre", "final_rms": True},
    "ln_final_rms": {"normalization_type": "LN", "final_rms": True, "act_fn": "gelu_fast"},
    "rms": {"normalization_type": "RMS", "act_fn": "silu"},
    "rms_pre": {"normalization_type": "RMSPre", "act_fn": "relu2"},
    "attn_only": {"attn_only": True, "normalization_type": "LN", **_BARE},
    "attn_only_no_norm": {"attn_only": True, **_BARE},
    "shortformer": {
        "positional_embedding_type": "shortformer", "attn_only": True, "normalization_type": "LN",
    },
    "shortformer_mlp": {"positional_embedding_type": "shortformer", "act_fn": "gelu_new"},
    "rotary": {**_ROTARY, "rotary_dim": 4, "rotary_base": 50},
    "rotary_pairs": {**_ROTARY, "rotary_adjacent_pairs": True},
    "no_positions": {"positional_embedding_type": "none"},
    "llama_like": {
        **_ROTARY, **_BARE, "normalization_type": "RMS", "gated_mlp": True, "act_fn": "silu",
        "rotary_adjacent_pairs": True,
    },
    "gated_bias": {"gated_mlp": True, "act_fn": "tanh"},
    "grouped": {"n_key_value_heads": 1, "normalization_type": "LN"},
    "parallel": {"parallel_attn_mlp": True, "normalization_type": "LN", "act_fn": "gelu_new"},
    "solu": {"act_fn": "solu", "normalization_type": "LN"},
    "solu_gated": {"act_fn": "solu", "gated_mlp": True},
    "solu_ln": {"act_fn": "solu_ln", "normalization_type": "LN"},
    "solu_ln_pre": {"act_fn": "solu_ln", "normalization_type": "LNPre"},
    "caps": {"attn_scores_soft_cap": 1.5, "output_logits_soft_cap": 3.0},
    "windows": {"windows": [2, None, 2]},
    "attn_scale": {"attn_scale": 0.7, "scale_attn_by_inverse_layer_idx": True},
    "attn_coeff": {"attn_coeff": 0.3},
    "uniform": {"attn_coeff": 0.0},
    "more_logits": {"d_vocab_out": 14},
    "brackets": {"attention_dir": "bidirectional", "normalization_type": "LN"},
    "pizza": {"attention_dir": "bidirectional", "attn_coeff": 0.2, "d_vocab_out": 14, **_BARE},
}  # fmt: skip


def make(name: str = "no_norm", seed: int = 0, **options: Any) -> ToyModel:
    """A random model of one variant in float32, whose weights are far from their first values."""
    fields = {**SMALL, **VARIANTS[name], **options}
    if fields.get("windows"):
        fields["windows"] = fields["windows"][: fields["n_layers"]]
    torch.manual_seed(seed)
    model = ToyModel(ToyConfig(**fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn(parameter.shape))
    return model


__all__ = ["SMALL", "TOY", "VARIANTS", "make"]
