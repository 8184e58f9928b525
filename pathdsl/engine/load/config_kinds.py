"""What the fields of a config must be to be used: a switch is true or false, an epsilon a number.

transformers checks some of them, by version, and reads the rest as Python does: `"no"` is true,
`true` is 1. Fields that are absent or null are left to the model's own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from pathdsl.graph.model.families import BY_LAYER
from pathdsl.limits import LAYERS, SIZE

__all__ = ["unusable"]


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _direction(value: Any) -> bool:
    return isinstance(value, bool) or value in ("all", "vision")  # the words in Gemma 4


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _word(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _layers(value: Any) -> bool:
    return _whole(value) and value <= LAYERS.most


def _size(value: Any) -> bool:
    return _whole(value) and value <= SIZE.most


_KINDS: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (
        _switch,
        "true or false",
        "add_cross_attention alibi apply_residual_connection_post_layernorm attention_bias "
        "attn_temperature_tuning norm_topk_prob qkv_bias "
        "classifier_bias decoder_bias do_layer_norm_before enable_bias is_decoder norm_bias "
        "is_encoder_decoder layer_norm_elementwise_affine mlp_bias multi_query "
        "new_decoder_architecture no_bias parallel_attn qk_norm reorder_and_upcast_attn "
        "scale_attn_by_inverse_layer_idx "
        "scale_attn_weights slow_but_exact tie_word_embeddings "
        "use_cache use_parallel_residual use_qk_norm use_sliding_window",
    ),
    (_direction, 'true, false, "all" or "vision"', "use_bidirectional_attention"),
    (
        _positive,
        "a number above 0",
        "layer_norm_epsilon layer_norm_eps norm_eps rms_norm_eps rope_theta rotary_emb_base "
        "rope_local_base_freq query_pre_attn_scalar attn_logit_softcapping "
        "final_logit_softcapping attention_multiplier embedding_multiplier residual_multiplier "
        "logits_scaling clip_qkv",
    ),
    (
        _share,
        "a number from 0 to 1",
        "attention_dropout attn_pdrop dropout embd_pdrop hidden_dropout partial_rotary_factor "
        "resid_pdrop rotary_pct activation_dropout embed_dropout resid_dropout embedding_dropout "
        "attention_probs_dropout_prob hidden_dropout_prob mlp_dropout",
    ),
    (
        _word,
        "a text",
        "activation activation_function classifier_activation hidden_act hidden_activation "
        "model_type",
    ),
    (
        _layers,
        f"a whole number, at most {LAYERS.most:,}",
        "n_layer n_layers num_hidden_layers num_layers max_window_layers",
    ),
    (
        _size,
        f"a whole number, at most {SIZE.most:,}",
        "n_head n_heads num_attention_heads num_heads num_key_value_heads num_kv_heads n_embd "
        "n_embed d_model ffn_hidden_size max_seq_len seq_length pretraining_tp hidden_size n_inner "
        "intermediate_size ffn_dim head_dim vocab_size n_positions max_position_embeddings "
        "n_ctx rotary_dim word_embed_proj_dim sliding_window window_size "
        "original_max_position_embeddings no_rope_layer_interval "
        "local_attention global_attn_every_n_layers type_vocab_size",
    ),
)


def unusable(config: Mapping[str, object]) -> tuple[str, str, tuple[str, ...]] | None:
    """The code, what is wrong with it, and more of that, where a config cannot be used."""
    if config.get("per_layer_config") and config.get("model_type") not in BY_LAYER:
        why = "layers are taken apart as alike, so that one config must hold for all of them"
        return "PD612", "has settings for single layers (`per_layer_config`)", (why,)
    wrong = [
        f"`{name}` is `{_shown(config[name])}`, wanted {wanted}"
        for good, wanted, names in _KINDS
        for name in names.split()
        if config.get(name) is not None and not good(config[name])
    ]
    return ("PD615", f"cannot be used: {wrong[0]}", tuple(wrong[1:6])) if wrong else None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
