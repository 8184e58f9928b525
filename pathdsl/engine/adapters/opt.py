"""OPT: learned positions from row 2 of their table, separate q, k and v, norm before each part.

Takes a `transformers.OPTForCausalLM` apart along the residual stream::

    r = project_in(embed_tokens(ids)) + embed_positions(positions)
    for layer: r += out_proj(z);  r += fc2(act(fc1(final_layer_norm(r))))
    logits = lm_head(project_out(final_layer_norm(r)))

and honours every option of `OPTConfig` that changes the forward pass: `enable_bias`,
`layer_norm_elementwise_affine`, `activation_function`, `_remove_final_layer_norm` (no final norm),
`word_embed_proj_dim` (the two projections are linear, and belong to `input` and to the
unembedding). With `do_layer_norm_before: false` (opt-350m alone) norms are of the residual stream
itself, behind each sum, and parts read the stream as it is (`ModelShape.normed_stream`).

Queries are scaled before they meet keys; under eager attention the softmax is in float32 whatever
the dtype of the model.

Source of the architecture: Zhang et al. 2022 (arXiv:2205.01068); `transformers/models/opt/
modeling_opt.py`.

    >>> from transformers import OPTConfig, OPTForCausalLM
    >>> small = OPTConfig(vocab_size=7, max_position_embeddings=8, hidden_size=8, ffn_dim=16,
    ...                   num_hidden_layers=1, num_attention_heads=2)
    >>> adapter = OptAdapter(OPTForCausalLM(small).eval())
    >>> adapter.decomposed_forward(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import OPTForCausalLM
from transformers.models.opt.modeling_opt import (
    OPTAttention,
    OPTDecoder,
    OPTDecoderLayer,
    OPTLearnedPositionalEmbedding,
    OPTModel,
)

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import opt_shape

__all__ = ["OptAdapter"]

_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "model": OPTModel,
    "model.decoder": OPTDecoder,
    "model.decoder.embed_tokens": nn.Embedding,
    "model.decoder.embed_positions": OPTLearnedPositionalEmbedding,
    "model.decoder.layers": nn.ModuleList,
    "lm_head": nn.Linear,
}
_BLOCK_PARTS = {
    "": OPTDecoderLayer,
    ".self_attn": OPTAttention,
    ".self_attn.q_proj": nn.Linear,
    ".self_attn.k_proj": nn.Linear,
    ".self_attn.v_proj": nn.Linear,
    ".self_attn.out_proj": nn.Linear,
    ".self_attn_layer_norm": nn.LayerNorm,
    ".fc1": nn.Linear,
    ".fc2": nn.Linear,
    ".final_layer_norm": nn.LayerNorm,
}


class OptAdapter(BlockAdapter):
    """The parts of one OPT; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules and
    mixed weights, PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        whole: Any = model
        check_parts(model, OPTForCausalLM, "OPT", _parts(whole.config), ("activation_fn",))
        decoder = whole.model.decoder
        shape = opt_shape(whole.config.to_dict())
        if any(layer.do_layer_norm_before is shape.normed_stream for layer in decoder.layers):
            raise refuse("PD612", "a layer differs from the config in `do_layer_norm_before`")
        super().__init__(
            model, shape, blocks=decoder.layers, final=decoder.final_layer_norm, head=whole.lm_head
        )
        if whole.config._attn_implementation != "eager" and self._dtype == torch.float64:
            self._narrowest = torch.float64
        self._tokens, self._places = decoder.embed_tokens, decoder.embed_positions
        self._into, self._out_of = decoder.project_in, decoder.project_out

    def embed(self, ids: Tensor) -> Tensor:
        """Token plus position embedding, (rows, pos) ids -> (rows, pos, d)."""
        places = torch.arange(ids.shape[-1], device=self._device)
        tokens = self._tokens(ids.to(self._device))
        if self._into is not None:
            tokens = self._into(tokens)
        return tokens + self._places.weight[places + self._places.offset]

    def _embedding(self, ids: Tensor) -> Tensor:
        """Rows of the token embedding matrix as the stream gets it, (n,) ids -> (n, d)."""
        weight = super()._embedding(ids)
        if self._into is not None:
            weight = weight.double() @ self._into.weight.detach().double().t()
        return weight

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, (..., d) -> (..., d)."""
        if self.shape.normed_stream:
            return resid
        return apply(self.blocks[layer].self_attn_layer_norm, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        return self._by_head(getattr(self.blocks[layer].self_attn, f"{slot}_proj"))

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].self_attn.out_proj
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """Queries scaled, as the model does it: before they meet keys."""
        return x * self.blocks[layer].self_attn.scaling if slot == "q" else x

    def scaling(self, layer: int) -> float | None:
        """1: queries are scaled before they meet keys."""
        return 1.0

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scores of scaled queries, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2))

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        if not self.shape.normed_stream:
            resid = apply(block.final_layer_norm, resid, scales, "scale_mlp")
        before: Tensor = block.fc1(resid)
        return before, None

    def behind_attention(self, layer: int, total: Tensor) -> Tensor:
        """The stream behind attention, (..., d) -> (..., d): normed where norms come after it."""
        norm = self.blocks[layer].self_attn_layer_norm
        return norm(total) if self.shape.normed_stream else total

    def behind_mlp(self, layer: int, total: Tensor) -> Tensor:
        """The same behind the MLP, (..., d) -> (..., d)."""
        norm = self.blocks[layer].final_layer_norm
        return norm(total) if self.shape.normed_stream else total

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].activation_fn, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].fc2
        return part

    def unembed(self, normed: Tensor) -> Tensor:
        """Logits over the vocabulary, (..., d) -> (..., d_vocab)."""
        return super().unembed(self._projected(normed))

    def unembed_columns(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits of chosen tokens, (rows, n, d) with ids (rows, c) -> (rows, n, c)."""
        return super().unembed_columns(self._projected(normed), ids)

    def unembed_part(self, normed: Tensor, ids: Tensor) -> Tensor:
        """What a part of the normed stream adds to logits, (n, d) with ids (n, c) -> (n, c)."""
        if self._out_of is not None:  # a linear map without bias
            normed = normed @ self._out_of.weight.double().mT
        return super().unembed_part(normed, ids)

    def _projected(self, normed: Tensor) -> Tensor:
        return normed if self._out_of is None else self._out_of(normed)


def _parts(config: object) -> dict[str, type[nn.Module]]:
    """Every module of an OPT of this config, with its class."""
    parts = parts_of(
        _MODEL_PARTS,
        "model.decoder.layers",
        int(getattr(config, "num_hidden_layers", 0)),
        _BLOCK_PARTS,
    )
    if getattr(config, "do_layer_norm_before", True) and not getattr(
        config, "_remove_final_layer_norm", False
    ):
        parts["model.decoder.final_layer_norm"] = nn.LayerNorm
    if getattr(config, "word_embed_proj_dim", None) != getattr(config, "hidden_size", None):
        parts["model.decoder.project_in"] = parts["model.decoder.project_out"] = nn.Linear
    return parts
