"""The shapes of encoders, BERT, RoBERTa and ModernBERT, and of ModernBERT's decoder.

Functions take a config as a plain mapping (`config.json`). Each raises ValueError for a missing
field and for counts that cannot be, UnsupportedConfig for what no decomposition exists of.
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.graph.model.fields import (
    UnsupportedConfig,
    divided,
    integer,
    rotary_positions,
)
from pathdsl.graph.model.shape import ModelShape

_LEARNED = ("absolute",)
"""Kinds of positions of a BERT that `transformers` computes."""


def bert_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a BERT."""
    return _post_norm_encoder(config, "bert", 30522, 0)


def roberta_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a RoBERTa, whose positions begin behind the number of its padding token."""
    return _post_norm_encoder(config, "roberta", 50265, integer(config, "pad_token_id", 1) + 1)


def _post_norm_encoder(
    config: Mapping[str, object], family: str, d_vocab: int, first: int
) -> ModelShape:
    """`first`: the row of the position table that is the first position's."""
    if config.get("is_decoder"):
        raise UnsupportedConfig("an encoder that is run as a decoder (`is_decoder`)")
    positions = config.get("position_embedding_type") or "absolute"
    if positions not in _LEARNED:
        raise UnsupportedConfig(f"positions of type `{positions}` (`position_embedding_type`)")
    d_model, n_heads = (
        integer(config, "hidden_size", 768),
        integer(config, "num_attention_heads", 12),
    )
    n_positions = integer(config, "max_position_embeddings", 512)
    return ModelShape(
        family=family,
        n_layers=integer(config, "num_hidden_layers", 12),
        n_heads=n_heads,
        d_model=d_model,
        d_head=divided(d_model, n_heads),
        d_mlp=integer(config, "intermediate_size", 3072),
        d_vocab=integer(config, "vocab_size", d_vocab),
        n_positions=n_positions - first,
        n_kv_heads=n_heads,
        causal=False,
        normed_stream=True,
        prediction_head=True,
    )


def modernbert_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a ModernBERT: `local_attention // 2` positions before and behind are seen."""
    return _modernbert(config, causal=False)


def modernbert_decoder_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of its decoder: `local_attention // 2` positions are seen, the own one included."""
    return _modernbert(config, causal=True)


def _modernbert(config: Mapping[str, object], *, causal: bool) -> ModelShape:
    d_model, n_heads = (
        integer(config, "hidden_size", 768),
        integer(config, "num_attention_heads", 12),
    )
    n_layers, every = (
        integer(config, "num_hidden_layers", 22),
        config.get("global_attn_every_n_layers"),
    )
    if every is None:
        every = 3
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ValueError("config has no integer `global_attn_every_n_layers`")
    kinds = config.get("layer_types")
    if kinds is None:
        kinds = [f"{'sliding' if layer % every else 'full'}_attention" for layer in range(n_layers)]
    if not isinstance(kinds, list | tuple) or len(kinds) != n_layers:
        raise ValueError(f"`layer_types` does not describe {n_layers} layers")
    if strange := sorted(set(map(str, kinds)) - {"full_attention", "sliding_attention"}):
        raise UnsupportedConfig(f"the config has layers of type `{strange[0]}`")
    d_head = divided(d_model, n_heads)
    if config.get("head_dim") not in (None, d_head):
        raise UnsupportedConfig(
            f"heads of this family are {d_head} wide, and `head_dim: {config['head_dim']}` is "
            "read by its rotations alone"
        )
    half = integer(config, "local_attention", 128) // 2
    if causal:  # which `transformers` saves beside it, and takes before it
        half = integer(config, "sliding_window", half)
    window = half + int(not causal)
    if window < 1:
        raise ValueError("`local_attention` is too small for a window")
    return ModelShape(
        family=str(config.get("model_type")),
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_mlp=integer(config, "intermediate_size", 1152),
        d_vocab=integer(config, "vocab_size", 50368),
        n_positions=rotary_positions({"max_position_embeddings": 8192, **config}),
        windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
        n_kv_heads=n_heads,
        gated_mlp=True,
        causal=causal,
        prediction_head=True,
    )
