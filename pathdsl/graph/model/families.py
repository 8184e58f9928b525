"""Which families there are: the `model_type` of a config and the function to its shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pathdsl.graph.model.builds import BUILDS
from pathdsl.graph.model.decoders import (
    bloom_shape,
    built_shape,
    falcon_shape,
    gpt2_shape,
    gpt_neo_shape,
    gpt_neox_shape,
    gptj_shape,
    mpt_shape,
    opt_shape,
)
from pathdsl.graph.model.encoders import (
    bert_shape,
    modernbert_decoder_shape,
    modernbert_shape,
    roberta_shape,
)
from pathdsl.graph.model.gemma4 import gemma4_shape
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.model.toy import TOY, toy_spec

__all__ = ["BY_LAYER", "SHAPES", "toy_shape"]


def toy_shape(config: Mapping[str, object]) -> ModelShape:
    """The shape of a toy model, of the project's own reference module."""
    spec = toy_spec(config)
    return ModelShape(
        family=TOY,
        n_layers=spec.n_layers,
        n_heads=spec.n_heads,
        d_model=spec.d_model,
        d_head=spec.d_head,
        d_mlp=spec.d_mlp,
        d_vocab=spec.d_vocab,
        n_positions=spec.n_ctx,
        has_mlp=spec.d_mlp > 0,
        parallel=spec.parallel and spec.d_mlp > 0,
        windows=spec.windows if any(spec.windows) else (),
        n_kv_heads=spec.n_kv_heads,
        gated_mlp=spec.gated_mlp,
        normed_hidden=spec.act_fn == "solu_ln",
        mixed_hidden=spec.act_fn in ("solu", "solu_ln"),
        d_vocab_out=0 if spec.d_out == spec.d_vocab else spec.d_out,
        bent_pattern=spec.attn_coeff != 1.0,
        causal=spec.causal,
    )


# Model types of which `per_layer_config` is read.
BY_LAYER = ("gemma4_text",)

# model_type of a config -> its shape. Keys are those of `pathdsl.engine.adapters.FAMILIES`.
SHAPES: dict[str, Callable[[Mapping[str, object]], ModelShape]] = {
    "gpt2": gpt2_shape,
    "gpt_neo": gpt_neo_shape,
    "gptj": gptj_shape,
    "gpt_neox": gpt_neox_shape,
    "opt": opt_shape,
    "falcon": falcon_shape,
    "bloom": bloom_shape,
    "mpt": mpt_shape,
    "gemma4_text": gemma4_shape,
    "bert": bert_shape,
    "roberta": roberta_shape,
    "modernbert": modernbert_shape,
    "modernbert-decoder": modernbert_decoder_shape,
    TOY: toy_shape,
    **dict.fromkeys(BUILDS, built_shape),
}
