"""What adapters of encoders have in common: heads that see all of the prompt, a prediction head.

A masked language model of `transformers` is a stack of blocks whose attention is not causal, and
behind the last stream layers of its own before the unembedding, `decoder(norm(act(dense(x))))`.
These belong to `logits`: they are nonlinear, and read the whole stream at one position.

Padding is never computed on by the unmodified model here: rows of one length go through it
together. In float64 the mask that `transformers` makes has queries that see nothing, at padding,
whose values are nan.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pathdsl.engine.adapters.blocks import BlockAdapter

__all__ = ["EncoderAdapter"]


class EncoderAdapter(BlockAdapter):
    """The parts of one encoder; see `pathdsl.engine.adapters.base.Adapter` for each call.

    A subclass verifies the model first, and gives the layers before its unembedding.
    """

    def transformed(self, normed: Tensor) -> Tensor:
        """What the unembedding reads of the last stream, (..., d) -> (..., d)."""
        raise NotImplementedError

    def unembed(self, normed: Tensor) -> Tensor:
        """Logits over the vocabulary, (..., d) -> (..., d_vocab)."""
        return super().unembed(self.transformed(normed))

    def unembed_columns(self, normed: Tensor, ids: Tensor) -> Tensor:
        """Logits of chosen tokens, (rows, n, d) with ids (rows, c) -> (rows, n, c)."""
        return super().unembed_columns(self.transformed(normed), ids)

    def unembed_part(self, normed: Tensor, ids: Tensor) -> Tensor:
        """There is none: raises ValueError (`ModelShape.prediction_head`)."""
        raise ValueError("a logit behind a prediction head is no sum of parts")

    def plain_forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (rows, pos, d_vocab) of the unmodified model, rows without their padding."""
        return _by_length(ids, lengths, self._logits)

    def final_stream(self, ids: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(rows, pos, d): the unmodified model's last stream, before the final norm if it is one
        of the stream's own, and the logits of the same pass."""
        call, width = super().final_stream, self.shape.d_model
        found = _by_length(ids, lengths, lambda prompts: torch.cat(call(prompts), dim=-1))
        return found[..., :width], found[..., width:]

    def _logits(self, ids: Tensor) -> Tensor:
        ids = ids.to(self._device)
        logits: Tensor = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return logits


def _by_length(ids: Tensor, lengths: Tensor | None, call: Callable[[Tensor], Tensor]) -> Tensor:
    """What a call gives for prompts (rows, pos) without padding, put together; 0 at padding."""
    if lengths is None:
        return call(ids)
    lengths = lengths.to(ids.device)
    found: Tensor | None = None
    for length in sorted(set(lengths.tolist())):
        rows = (lengths == length).nonzero()[:, 0]
        part = call(ids[rows, :length])
        if found is None:
            found = part.new_zeros((*ids.shape, part.shape[-1]))
        found[rows.to(part.device), :length] = part
    assert found is not None
    return found
