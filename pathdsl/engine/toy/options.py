"""What the config of a checkpoint says, in the fields of the reference module.

Fields are those of TransformerLens' configs of any version. Each is computed, or says nothing of
what is computed (how weights were made, hooks, devices), or asks for something that is not computed
and is refused where it does so. What none of these is was written by a training script; it is named
and not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pathdsl.engine.toy.checkpoint import refused
from pathdsl.graph.model.toy import ACTIVATIONS, NORMS

__all__ = ["Options", "known_sizes", "options_of"]

# Field -> the letter of its size in `pathdsl.engine.toy.layouts`.
SIZES = {
    "n_heads": "h", "n_key_value_heads": "g", "d_head": "k", "d_model": "d", "d_mlp": "m",
    "d_vocab": "v", "d_vocab_out": "o",
}  # fmt: skip
_COMPUTED = (
    *SIZES, "n_layers", "n_ctx", "attn_only", "gated_mlp", "parallel_attn_mlp", "act_fn", "eps",
    "normalization", "normalization_type", "final_rms", "positional_embedding_type",
    "shortformer_pos", "rotary_dim", "rotary_base", "rotary_adjacent_pairs", "attention_dir",
    "attn_scale", "use_attn_scale", "scale_attn_by_inverse_layer_idx", "attn_coeff",
    "use_local_attn", "window_size", "attn_types", "windows", "attn_scores_soft_cap",
    "output_logits_soft_cap",
)  # fmt: skip
# What says nothing of what is computed from the weights.
_IDLE = (
    "model_name", "tokenizer_name", "tokenizer_prepends_bos", "default_prepend_bos", "device",
    "n_devices", "dtype", "seed", "init_mode", "init_weights", "initializer_range", "n_params",
    "use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in", "use_hook_tokens",
    "original_architecture", "architecture", "from_checkpoint", "checkpoint_index",
    "checkpoint_label_type", "checkpoint_value", "trust_remote_code", "default_padding_side",
    "ungroup_grouped_query_attention", "decoder_start_token_id", "norm_topk_prob", "model_type",
)  # fmt: skip
# Field -> the values with which it asks for nothing.
_NOT_COMPUTED: Mapping[str, tuple[object, ...]] = {
    "use_qk_norm": (False, None), "use_normalization_before_and_after": (False, None),
    "post_embedding_ln": (False, None), "num_experts": (None, 0), "load_in_4bit": (False, None),
    "use_NTK_by_parts_rope": (False, None), "use_yarn_rope": (False, None),
    "rotary_scaling_factor": (1, 1.0, None), "rotary_base_local": (None,), "rope_scaling": (None,),
    "relative_attention_max_distance": (None,), "relative_attention_num_buckets": (None,),
    "tie_word_embeddings": (False, None), "experts_per_token": (None, 0),
}  # fmt: skip
_BESIDE = (  # of those switches
    "NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor", "NTK_by_parts_factor",
    "NTK_original_ctx_len", "yarn_factor", "yarn_attention_factor", "yarn_beta_fast",
    "yarn_beta_slow", "yarn_original_max_position_embeddings",
)  # fmt: skip
# What `TransformerBridge.boot_native` reads and leaves out without a word.
_NOT_IN_BRIDGE = ("parallel_attn_mlp", "scale_attn_by_inverse_layer_idx", "use_local_attn")
_ALIASES = {"swish": "silu", "gelu_pytorch_tanh": "gelu_new", "relu_squared": "relu2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`fields` of the reference module but for sizes, and what of the config was not read."""

    fields: Mapping[str, Any]
    defaults: tuple[str, ...]
    unread: tuple[str, ...]


def known_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """The sizes that a config gives, by letter."""
    found = {}
    for name, letter in SIZES.items():
        value = config.get(name)
        if value is None or (name == "d_vocab_out" and value == -1):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _wrong(name, value, "a whole number above 0")
        found[letter] = value
    return found


def options_of(
    config: Mapping[str, Any], n_layers: int, *, attn_only: bool, norms: str, final: str,
    places: bool, bare: bool | None, bridge: bool,
) -> Options:  # fmt: skip
    """The fields that a config and the keys of a checkpoint give together.

    `norms`, `final`: `LN` or `RMS` where the keys have weights of one, "" where they have none.
    `places`: whether there are learned positions. `bare`: whether the layout has no norms where the
    keys have none, None where the config must say it. `bridge`: as of the layout.

    Raises EngineError PD674 for what is not computed, contradicts the keys or must be said.
    """
    for name, idle in _NOT_COMPUTED.items():
        if name in config and config[name] not in idle:
            raise refused(
                "PD674",
                f"the config asks for `{name}: {config[name]}`, which is not computed",
                notes=("a toy model computes what docs/toys.md lists",),
            )
    for name in _NOT_IN_BRIDGE if bridge else ():
        if _switch(config, name):
            raise refused(
                "PD674",
                f"the config says `{name}`, which the model of TransformerLens 4 does not compute",
                notes=("the weights were trained without it",),
                advice=f'--config FILE with {{"{name}": false}}',
            )
    fields: dict[str, Any] = {
        "attn_only": attn_only,
        "normalization_type": _norm(config, norms, bare),
        "parallel_attn_mlp": _switch(config, "parallel_attn_mlp"),
    }
    fields["final_rms"] = _final(config, fields["normalization_type"], final)
    if not attn_only:
        fields["act_fn"] = _activation(config)
    _positions(config, fields, places, bridge)
    _attention(config, fields, n_layers, bridge)
    for name in ("eps", "attn_scores_soft_cap", "output_logits_soft_cap"):
        if config.get(name) is not None:
            fields[name] = config[name]
    defaults = [name for name in ("eps", "attention_dir") if config.get(name) is None]
    if fields["normalization_type"] is None and "eps" in defaults:
        defaults.remove("eps")
    known = (*_COMPUTED, *_IDLE, *_NOT_COMPUTED, *_BESIDE)
    unread = tuple(name for name in config if name not in known)
    return Options(fields=fields, defaults=tuple(defaults), unread=unread)


def _wrong(name: str, value: object, wanted: str) -> Exception:
    return refused("PD674", f"`{name}` of the config is `{value}`, wanted {wanted}")


def _switch(config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return bool(value)


def _norm(config: Mapping[str, Any], norms: str, bare: bool | None) -> str | None:
    """The kind of the norms, from the config where the keys do not say it."""
    given = [name for name in ("normalization_type", "normalization") if name in config]
    by_case = {one.lower(): one for one in NORMS}
    if not given:
        if norms:
            return norms
        if bare is None:
            raise refused(
                "PD674",
                "the weights hold no norms, and the config does not say `normalization_type`",
                notes=("norms without weights (`LNPre`, `RMSPre`) leave nothing in a checkpoint",),
                advice='--config FILE with {"normalization_type": null}',
            )
        return None
    value = config[given[0]]
    kind = None if value is None else by_case.get(str(value).lower(), "")
    if kind == "":
        raise _wrong(given[0], value, f"null or one of {', '.join(f'`{one}`' for one in NORMS)}")
    weighted = kind if kind in ("LN", "RMS") else ""
    if weighted != norms:
        has = f"weights of {norms} norms" if norms else "no weights of norms"
        raise refused(
            "PD674",
            f"`{given[0]}` of the config is `{value}`, and the checkpoint has {has}",
            notes=("with `LNPre` and `RMSPre` norms have no weights: these were folded away",),
        )
    return kind


def _final(config: Mapping[str, Any], norm: str | None, final: str) -> bool:
    """Whether the norm before the unembedding is an RMSNorm beside LayerNorms."""
    said = _switch(config, "final_rms") and norm is not None
    if norm in ("LN", "RMS") and (norm == "LN" or final != "RMS"):
        own = final == "RMS"
        if "final_rms" in config and own != said and final:
            raise refused(
                "PD674",
                f"`final_rms` of the config is {str(said).lower()}, and `ln_final` has the weights "
                f"of a norm of kind {final}",
            )
        return own
    return said and norm != "RMS"


def _activation(config: Mapping[str, Any]) -> str:
    value = config.get("act_fn")
    if value is None:
        raise refused(
            "PD674",
            "the config does not say `act_fn`, and weights do not show it",
            advice='--config FILE with {"act_fn": "relu"}',
        )
    name = str(value).lower()
    name = _ALIASES.get(name, name)
    if name not in ACTIVATIONS:
        listed = ", ".join(f"`{one}`" for one in ACTIVATIONS)
        raise _wrong("act_fn", value, f"one of {listed}")
    return name


def _positions(
    config: Mapping[str, Any], fields: dict[str, Any], places: bool, bridge: bool
) -> None:
    kind = config.get("positional_embedding_type")
    if _switch(config, "shortformer_pos"):
        kind = "shortformer"
    if kind is None:
        kind = "standard" if places else "none"
    if kind not in ("standard", "rotary", "shortformer", "none"):
        raise _wrong(
            "positional_embedding_type", kind, "`standard`, `rotary`, `shortformer` or `none`"
        )
    if places != (kind in ("standard", "shortformer")):
        raise refused(
            "PD674",
            f"`positional_embedding_type` is `{kind}`, and the checkpoint has "
            f"{'' if places else 'no '}learned positions",
        )
    fields["positional_embedding_type"] = kind
    if kind == "rotary":
        for name in ("rotary_dim", "rotary_base"):
            if config.get(name) is not None:
                fields[name] = config[name]
        fields["rotary_adjacent_pairs"] = bridge or _switch(config, "rotary_adjacent_pairs")


def _attention(
    config: Mapping[str, Any], fields: dict[str, Any], n_layers: int, bridge: bool
) -> None:
    direction = config.get("attention_dir")
    coefficient = config.get("attn_coeff")
    if coefficient is not None:
        fields["attn_coeff"] = coefficient
        if direction not in ("causal", "bidirectional"):
            raise refused(
                "PD674",
                f"`attention_dir` of the config is `{direction}`, wanted `causal` or "
                "`bidirectional`",
                notes=("the code of Clock and Pizza has no mask: its heads see every position",),
                advice='--config FILE with {"attention_dir": "bidirectional"}',
            )
    if direction is not None:
        if direction not in ("causal", "bidirectional"):
            raise _wrong("attention_dir", direction, "`causal` or `bidirectional`")
        fields["attention_dir"] = direction
    scale = config.get("attn_scale")
    if config.get("use_attn_scale") is False:
        scale = -1 if bridge else 1.0  # version 4 takes it for the usual one
    if scale is not None and scale != -1:
        fields["attn_scale"] = scale
    name = "scale_attn_by_inverse_layer_idx"
    fields[name] = _switch(config, name)
    if config.get("windows") is not None:
        fields["windows"] = config["windows"]
    if not _switch(config, "use_local_attn"):
        return
    kinds, window = config.get("attn_types"), config.get("window_size")
    if not isinstance(kinds, list) or len(kinds) != n_layers or set(kinds) - {"global", "local"}:
        raise _wrong("attn_types", kinds, f"`global` or `local` for each of {n_layers} layers")
    fields["windows"] = [window if kind == "local" else None for kind in kinds]
