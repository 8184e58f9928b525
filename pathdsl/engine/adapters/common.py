"""What every adapter does alike: dtype and device, attention, the whole model from its parts.

Families differ in how q, k and v come about and in the dtype of scores and softmax; what is done
with them is here, once.

Attention has two implementations. `eager` holds the scores and the pattern of every head copy,
(copies x rows x queries x keys); `fused` is torch's `scaled_dot_product_attention`, which holds one
mask for all copies and gives no pattern out. Both are the same function up to rounding.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pathdsl.engine.adapters.base import Adapter, check_weights, layers, visible
from pathdsl.engine.adapters.norms import Given, Scales, apply, linear_part
from pathdsl.engine.load.streaming import rows_of
from pathdsl.graph.model.shape import ModelShape

__all__ = ["CausalAdapter", "bias_of", "scaled_bias"]


EMBEDDING_ROWS = 4096
"""Rows of the token embedding that are looked at together."""


def scaled_bias(part: nn.Linear, x: Tensor, bias: Tensor) -> Tensor:
    """A linear map whose bias, where it has one, is multiplied by `bias` (..., 1)."""
    out = functional.linear(x, part.weight)
    return out if part.bias is None else out + bias * part.bias


def bias_of(projection: nn.Linear) -> Tensor:
    """The bias of a linear map, (out,); zeros where it has none."""
    if projection.bias is None:
        return projection.weight.new_zeros(projection.out_features)
    return projection.bias


class CausalAdapter(Adapter):
    """The common parts of one decoder; see `pathdsl.engine.adapters.base.Adapter` for each call.

    A subclass verifies the model and its modules first, and says where its parts are: `blocks` of
    its layers, the norm `final` before the unembedding (None where there is none), and the `head`.
    Modules of `transformers` have no types of their own, so they are `Any` here.

    Raises what `check_weights` raises.
    """

    fused: bool = False
    _narrowest = torch.float64
    """The narrowest dtype that the family's own code passes through in a float64 model."""

    def __init__(
        self, model: nn.Module, shape: ModelShape, *, blocks: Any, final: Any, head: Any
    ) -> None:
        self._dtype, self._device = check_weights(model)
        self.model: Any = model
        self.shape = shape
        self.blocks: list[Any] = list(blocks)
        self.final = final
        self.head = head
        self._embedding_std: float | None = None
        self._known_picks: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}

    def scaling(self, layer: int) -> float | None:
        """What scores are multiplied by, or None where they are more than a scaled product."""
        return None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and residual stream."""
        return self._dtype

    @property
    def precision(self) -> torch.dtype:
        """The dtype whose rounding two ways to one number may differ by."""
        return self._narrowest if self._dtype == torch.float64 else self._dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of the model."""
        weights: Iterator[nn.Parameter] = self.model.parameters()
        return weights

    def mask(
        self, layer: int, query_positions: Tensor, n_keys: int, valid: Tensor | None = None
    ) -> Tensor:
        """(rows, nq, n_keys) bool: True where a query of this layer may read a key."""
        window, causal = self.shape.window(layer), self.shape.causal
        return visible(query_positions, n_keys, valid, window, causal=causal)

    def mix(self, pattern: Tensor, v: Tensor) -> Tensor:
        """Values weighted by the pattern, -> (..., nq, d_head)."""
        return torch.matmul(pattern, v)

    def attend(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: Tensor,
        valid: Tensor | None = None,
        *,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """q (n_heads, rows, nq, d_head), k, v (n_heads, rows, nk, d_head) -> outputs, patterns."""
        window, n_keys = self.shape.window(layer), k.shape[-2]
        every = q.shape[-2] == n_keys and self.shape.causal  # each position in order
        if self.fused and every and not want_pattern and (window is None or window >= n_keys):
            # No mask is held, and keys behind a query are passed over. Padding stands on the right,
            # where no token sees it.
            z = functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=self.scaling(layer)
            )
            return z, None
        queries = query_positions.to(q.device)
        seen = self.mask(layer, queries, k.shape[-2], valid)
        keys = torch.arange(k.shape[-2], device=q.device).expand(len(queries), -1)
        bias = self.position_bias(layer, range(self.shape.n_heads), queries, keys)
        return self.attend_masked(layer, q, k, v, seen, bias=bias, want_pattern=want_pattern)

    def position_bias(
        self, layer: int, heads: Sequence[int], queries: Tensor, keys: Tensor
    ) -> Tensor | None:
        """None: positions enter in other ways."""
        return None

    def attend_masked(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        *,
        bias: Tensor | None = None,
        want_pattern: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The same with the keys that each query may read as a mask (rows, nq, nk)."""
        if self.fused and bias is None and not want_pattern:
            # A query that sees nothing (padding) would be nan, which spreads through 0 * nan.
            seen = mask | ~mask.any(dim=-1, keepdim=True)
            z = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=seen.unsqueeze(0), scale=self.scaling(layer)
            )  # a mask of three axes would fall back to an implementation that holds the scores
            return z, None
        scores = self.scores(layer, q, k)  # (n, rows, nq, nk)
        sinks = self.sinks(layer)  # of all heads in order, which n is where there are any
        each = None if sinks is None else sinks.view(-1, 1, 1, 1)
        pattern = self.softmax(scores if bias is None else scores + bias, mask, each)
        return self.gated(layer, q, self.mix(pattern, v)), (pattern if want_pattern else None)

    def gated(self, layer: int, q: Tensor, z: Tensor) -> Tensor:
        """z itself: there are no gates."""
        return z

    def sinks(self, layer: int, heads: Sequence[int] | None = None) -> Tensor | None:
        """None: there are no sinks."""
        return None

    # ---------------------------------------------------------------- what attention writes

    @abstractmethod
    def _output_weight(self, layer: int, heads: Sequence[int] | None) -> Tensor:
        """The output projection by head, (n_heads_selected, d_head, d)."""

    def output_weight(self, layer: int) -> Tensor:
        """The output projection by head, (n_heads, d_head, d)."""
        return self._output_weight(layer, None)

    def write(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """The summed write without bias, (..., n_heads_selected, d_head) -> (..., d)."""
        weight = self._output_weight(layer, heads)
        return torch.matmul(z.flatten(-2), weight.reshape(-1, self.shape.d_model))

    def write_each(self, layer: int, z: Tensor, heads: Sequence[int] | None = None) -> Tensor:
        """Each head's own write, (..., n_heads_selected, d_head) -> (..., n_heads_selected, d)."""
        return torch.einsum("...hd,hdm->...hm", z, self._output_weight(layer, heads))

    # ---------------------------------------------------------------- MLP

    def mlp_hidden(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The MLP's hidden units, (..., d) -> (..., d_mlp)."""
        if self.shape.normed_mlp:
            raise ValueError("behind a norm, hidden units write nothing of their own")
        before, gate = self.mlp_before(layer, resid, scales)
        if torch.is_grad_enabled():
            hidden = self.mlp_activation(layer, before)
            return hidden if gate is None else hidden * gate
        hidden = self._activated_over(layer, before)
        return hidden if gate is None else hidden.mul_(gate)

    def _activated_over(self, layer: int, before: Tensor) -> Tensor:
        """The activation, for which what it reads may be written over: nothing else reads it."""
        return self.mlp_activation(layer, before)

    # ---------------------------------------------------------------- embedding, unembedding

    def noised(self, ids: Tensor, added: Tensor) -> Tensor:
        """The sender `input` with something added, (rows, pos, d)."""
        return self.embed(ids) + added

    def embedding_std(self) -> float:
        """The standard deviation of all entries of the token embedding matrix."""
        if self._embedding_std is None:
            mean = self._over_embedding(lambda rows: rows)
            self._embedding_std = math.sqrt(self._over_embedding(lambda rows: (rows - mean) ** 2))
        return self._embedding_std

    def _over_embedding(self, of: Callable[[Tensor], Tensor]) -> float:
        """The mean of a function of the entries of the token embedding matrix, in float64."""
        tokens: int = self.model.get_input_embeddings().num_embeddings
        total, count = 0.0, 0
        with torch.no_grad():
            for ids in torch.arange(tokens).split(EMBEDDING_ROWS):
                rows = self._embedding(ids).double()
                total, count = total + float(of(rows).sum()), count + rows.numel()
        return total / count

    def _embedding(self, ids: Tensor) -> Tensor:
        """Rows of the token embedding matrix as the stream gets it, (n,) ids -> (n, d)."""
        return rows_of(self.model.get_input_embeddings(), ids)

    def behind_attention(self, layer: int, total: Tensor) -> Tensor:
        """The stream behind attention: the sum as it is, without a norm of its own."""
        return total

    def behind_mlp(self, layer: int, total: Tensor) -> Tensor:
        """The stream behind the MLP: the sum as it is."""
        return total

    def final_norm(self, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm before the unembedding, (..., d) -> (..., d)."""
        return resid if self.final is None else apply(self.final, resid, scales, "scale_final")

    def unembed(self, normed: Tensor) -> Tensor:
        """Logits over the vocabulary, (..., d) -> (..., d_vocab)."""
        return self._capped(self.head(normed))

    def unembed_columns(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits of chosen tokens, (rows, n, d) with ids (rows, c) -> (rows, n, c)."""
        bias, weight = self.head.bias, rows_of(self.head, ids)  # of each row (c, d)
        ids = ids.to(weight.device, non_blocking=True)
        logits = torch.matmul(normed, weight.transpose(-1, -2))
        return self._capped(logits if bias is None else logits + bias[ids].unsqueeze(1))

    def final_norm_part(self, written: Tensor, scales: Given) -> Tensor:
        """What a part of the last stream adds to the normed one, (..., d) -> (..., d)."""
        if self.final is None:
            return written.double()
        return linear_part(self.final, written, scales.scales["scale_final"])

    def unembed_part(self, normed: Tensor, ids: Tensor) -> Tensor:
        """What it adds to the logits of chosen tokens, (n, d) with ids (n, c) -> (n, c)."""
        return torch.einsum("nd,ncd->nc", normed, rows_of(self.head, ids).double())

    def _capped(self, logits: Tensor) -> Tensor:
        """Logits as the model gives them out."""
        return logits

    # ---------------------------------------------------------------- the whole model

    def decomposed_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of ids (rows, pos), from the parts."""
        embedded = self.embed(ids)
        resid = embedded[..., : self.shape.d_model]
        for layer in layers(self, embedded, lengths):
            resid = layer.after
        return self.unembed(self.final_norm(resid))

    def plain_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of the unmodified model; padding cannot be seen."""
        ids = ids.to(self._device)
        real = torch.ones_like(ids)
        if lengths is not None:
            places = torch.arange(ids.shape[-1], device=self._device)
            real = (places < lengths.to(self._device).unsqueeze(-1)).long()
        logits: Tensor = self.model(input_ids=ids, attention_mask=real, use_cache=False).logits
        return logits

    def final_stream(self, ids: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(rows, pos, d): the unmodified model's stream before the final norm, if there is one, and
        the logits of the same pass."""
        caught: list[Tensor] = []

        def catch(module: nn.Module, inputs: tuple[Tensor, ...], out: Any = None) -> None:
            if out is None:
                caught.append(inputs[0])
            else:
                caught.append(out[0] if isinstance(out, tuple) else out)

        if self.final is not None:
            handle = self.final.register_forward_pre_hook(catch)
        else:
            handle = self.blocks[-1].register_forward_hook(catch)
        try:
            logits = self.plain_forward(ids, lengths)
        finally:
            handle.remove()
        return caught[0], logits

    def _picked(self, numbers: Sequence[int], device: torch.device) -> Tensor:
        """Numbers as an index that lies on the device already when it is asked for again."""
        key = tuple(numbers), device
        if key not in self._known_picks:
            self._known_picks[key] = torch.tensor(list(numbers), device=device)
        return self._known_picks[key]

    def _index(self, heads: Sequence[int]) -> slice | Tensor:
        """Heads as an index: a slice where they are neighbours in order, so nothing is copied.

        Otherwise on the CPU, from where it may index weights of any device.
        """
        first = heads[0] if heads else 0
        if list(heads) == list(range(first, first + len(heads))):
            return slice(first, first + len(heads))
        return torch.tensor(list(heads))
