"""Models that are no plain decoder of text, told from their config by what they are."""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.graph.model.builds import MIXTURES
from pathdsl.graph.model.families import SHAPES

__all__ = ["other_kind"]

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_INPUTS = {"vision_config": "images", "audio_config": "sound", "speech_config": "sound"}

_CONVOLVES = (
    "has short convolutions in place of attention in some of its layers",
    "a convolution mixes neighbouring tokens without heads, and no node stands for it",
    "use a model with attention in every layer",
)
_PREDICTS = (
    "carries several streams side by side (AltUp), of which each layer predicts and corrects one "
    "from the others",
    "there is no one residual stream that heads and MLPs write to",
    "use a Gemma with one stream: Gemma 1, 2 or 3",
)
# model_type that no adapter takes apart -> what it does, why that is in the way, a repair
_STRUCTURES: Mapping[str, tuple[str, str, str]] = {
    "bitnet": (
        "rounds weights and what they read at every call, and norms all heads of a layer together "
        "before they are projected (`attn_sub_norm`)",
        "no head writes to the residual stream by itself, and what it writes is no linear map of "
        "its value",
        "use a model with unrounded weights",
    ),
    "gemma3n": _PREDICTS,
    "gemma3n_text": _PREDICTS,
    "lfm2": _CONVOLVES,
    "lfm2_moe": _CONVOLVES,
    "lfm3": _CONVOLVES,
}


def other_kind(config: Mapping[str, object]) -> tuple[str, str, str] | None:
    """Message, note and repair for structures that are refused by name, experts, inputs beside
    text and encoders; None for a decoder."""
    kind = str(config.get("model_type") or "unknown")
    inner = config.get("text_config")
    text: Mapping[str, object] = inner if isinstance(inner, Mapping) else {}
    if found := _STRUCTURES.get(str(kind)):
        what, why, repair = found
        return f"`{kind}` {what}, and no adapter takes it apart", why, repair
    for key in () if kind in SHAPES or str(text.get("model_type")) in SHAPES else _EXPERTS:
        if count := config.get(key) or text.get(key):
            return (
                f"`{kind}` is a mixture of experts (`{key}: {count}`), and no adapter takes this "
                "one apart",
                f"mixtures of the model types {', '.join(f'`{name}`' for name in MIXTURES)} are",
                "use one of these, or a model with one MLP in each layer",
            )
    for key, what in _INPUTS.items():
        if config.get(key):
            own = str(text.get("model_type"))
            return (
                f"`{kind}` reads {what} beside text (`{key}`), and no adapter takes it apart",
                "`input` is the token embedding; other inputs have no node",
                f"use the model of text alone, model type `{own}`"
                if own in SHAPES
                else "use a model of text alone",
            )
    if config.get("is_encoder_decoder"):
        return (
            f"`{kind}` has an encoder beside its decoder (`is_encoder_decoder`), and no adapter "
            "takes it apart",
            "the encoder's outputs have no node",
            "use a decoder-only model",
        )
    return None
