"""Toy models: attention alone or with MLPs, any norm or none, positions of four kinds.

Takes a `pathdsl.engine.toy.model.ToyModel` apart along the residual stream; see there for what it
computes. Without norms every reader reads the stream itself, so that a frozen norm is the same
model. With `shortformer` positions are no part of `input`: queries and keys read the stream plus a
constant of their position. With `attn_coeff` below one rows of a pattern do not sum to one.

    >>> from pathdsl.engine.toy.model import ToyConfig, ToyModel
    >>> small = ToyConfig(n_layers=1, d_model=8, n_heads=2, d_head=3, n_ctx=5, d_vocab=7,
    ...     d_vocab_out=2, attn_only=True, normalization_type=None)
    >>> adapter = ToyAdapter(ToyModel(small).eval())
    >>> adapter.decomposed_forward(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.blocks import BlockAdapter
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.engine.toy.model import (
    ToyAttention,
    ToyBlock,
    ToyMlp,
    ToyModel,
    ToyRMSNorm,
    activated,
    capped,
    rotated,
    shares,
)
from pathdsl.graph.model.families import toy_shape
from pathdsl.graph.model.toy import ToySpec

__all__ = ["ToyAdapter"]


def _parts(spec: ToySpec) -> dict[str, type[nn.Module]]:
    """Every module of a model by path, with its class."""

    def norm(kind: str) -> type[nn.Module]:
        if not kind:
            return nn.Identity
        return ToyRMSNorm if kind.startswith("RMS") else nn.LayerNorm

    outside: dict[str, type[nn.Module]] = {
        "embed": nn.Embedding,
        "blocks": nn.ModuleList,
        "ln_final": norm(spec.final_norm),
        "unembed": nn.Linear,
    }
    if spec.positions in ("standard", "shortformer"):
        outside["pos_embed"] = nn.Embedding
    block: dict[str, type[nn.Module]] = {
        "": ToyBlock,
        ".ln1": norm(spec.norm),
        ".attn": ToyAttention,
        **{f".attn.{name}": nn.Linear for name in "qkvo"},
    }
    if spec.d_mlp:
        block |= {
            ".ln2": norm(spec.norm),
            ".mlp": ToyMlp,
            ".mlp.up": nn.Linear,
            ".mlp.gate": nn.Linear if spec.gated_mlp else nn.Identity,
            ".mlp.ln": norm("LN" if spec.act_fn == "solu_ln" else ""),
            ".mlp.down": nn.Linear,
        }
    return parts_of(outside, "blocks", spec.n_layers, block)


class ToyAdapter(BlockAdapter):
    """The parts of one toy model; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules and
    mixed weights, PD608 for quantised weights, PD618 in training mode.
    """

    _narrowest = torch.float64

    def __init__(self, model: nn.Module) -> None:
        spec = model.spec if isinstance(model, ToyModel) else None
        check_parts(model, ToyModel, "a toy model", {} if spec is None else _parts(spec), ())
        assert spec is not None
        whole: Any = model
        super().__init__(
            model, toy_shape(whole.config.to_dict()), blocks=whole.blocks,
            final=whole.ln_final if spec.final_norm else None, head=whole.unembed,
        )  # fmt: skip
        self.spec = spec
        times = spec.n_heads // spec.n_kv_heads
        self._stored = [head // times for head in range(spec.n_heads)]

    def embed(self, ids: Tensor) -> Tensor:
        """The token embedding, with positions where these are part of it, -> (rows, pos, d)."""
        embedded: Tensor = self.model.embed(ids.to(self._device))
        if self.spec.positions == "standard":
            places = torch.arange(ids.shape[-1], device=self._device)
            embedded = embedded + self.model.pos_embed(places)
        return embedded

    # ---------------------------------------------------------------- attention

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before attention, if there is one, (..., d) -> (..., d)."""
        return self._normed(self.blocks[layer].ln1, resid, scales, "scale_attention")

    def _normed(self, norm: nn.Module, x: Tensor, scales: Scales | None, kind: str) -> Tensor:
        return apply(norm, x, scales, kind) if self.spec.norm else x

    def project(
        self,
        layer: int,
        slot: Slot,
        normed: Tensor,
        heads: Sequence[int] | None = None,
        positions: Tensor | None = None,
        scales: Scales | None = None,
    ) -> Tensor:
        """q, k or v with bias at its position, (..., d) -> (..., n_heads_selected, d_head)."""
        if positions is None:
            positions = torch.arange(normed.shape[-2], device=normed.device)
        if self._adds_places(slot):
            normed = normed + self.model.pos_embed(positions.to(normed.device))
        return super().project(layer, slot, normed, heads, positions, scales)

    def _adds_places(self, slot: Slot) -> bool:
        """Whether positions are added to what this input of attention reads."""
        return self.spec.positions == "shortformer" and slot != "v"

    def input_weight(self, layer: int, slot: Slot) -> Tensor | None:
        """One input of attention by query head; None where positions are added to what it reads."""
        return None if self._adds_places(slot) else self._input_weight(layer, slot)[0]

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        part = getattr(self.blocks[layer].attn, slot)
        weight = part.weight.unflatten(0, (-1, self.spec.d_head))
        bias = None if part.bias is None else part.bias.unflatten(0, (-1, self.spec.d_head))
        if slot == "q" or self.spec.n_kv_heads == self.spec.n_heads:
            return weight, bias
        return weight[self._stored], None if bias is None else bias[self._stored]

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attn.o
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q and k rotated by their positions where the model does so."""
        return x if slot == "v" else rotated(self.spec, x, positions)

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by."""
        return None if self.spec.scores_cap is not None else 1 / self.spec.divisor(layer)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled and capped scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        product = torch.matmul(q, k.transpose(-1, -2)) / self.spec.divisor(layer)
        return capped(product, self.spec.scores_cap)

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern; keys where `mask` is False get exactly 0."""
        return shares(self.spec, scores, mask)

    # ---------------------------------------------------------------- MLP

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, and what multiplies its result, (..., d) -> (..., d_mlp)."""
        block = self.blocks[layer]
        x = self._normed(block.ln2, resid, scales, "scale_mlp")
        if self.spec.gated_mlp:
            return block.mlp.gate(x), block.mlp.up(x)
        return block.mlp.up(x), None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation, with the norm of `solu_ln`."""
        out: Tensor = self.blocks[layer].mlp.ln(activated(self.spec, before))
        return out

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.down
        return part

    # ---------------------------------------------------------------- unembedding

    def _capped(self, logits: Tensor) -> Tensor:
        return capped(logits, self.spec.logits_cap)
