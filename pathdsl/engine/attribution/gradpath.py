"""Gradients along a way that follows the model: EAP with GradPath.

Zhang et al. 2025 (arXiv:2502.06852). With x the values of `input` in the reference run, x' those of
the treated run and G the logits at every token of the prompt,

    y(0) = x,   y(j+1) = y(j) - g / |g|,   g the gradient of |G(y(j)) - G(x')|^2 at y(j)

and an edge's score is the sender's change times the mean gradient at what the receiver reads, over

    rule `left`     y(1) … y(m), as in the paper
    rule `right`    y(0) … y(m - 1), the reference run with them

Each step has the length 1, whatever the model: it is taken for each prompt, over all of its tokens,
those before the first change included. Where g is 0, as between equal prompts, the way stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pathdsl.engine.adapters.base import layers
from pathdsl.engine.attribution.chunks import Chunk
from pathdsl.engine.attribution.cost import POINTS
from pathdsl.engine.attribution.edges import EdgeScores
from pathdsl.engine.attribution.sides import Side
from pathdsl.engine.attribution.tape import Tape
from pathdsl.engine.run.measure import VOCAB_CHUNK

__all__ = ["by_gradient_path"]


def by_gradient_path(chunk: Chunk) -> Tensor:
    """(units, rows, pos) of every edge, or summed over positions (units, rows, 1)."""
    scores = EdgeScores(chunk)
    for side in chunk.sides():
        scores.along(side, _way(chunk, side))
    return scores.values


def _way(chunk: Chunk, side: Side) -> Iterator[tuple[Tape, float]]:
    """The runs whose gradients count, each with its share; a run is let go of before the next."""
    steps, share = chunk.asked.steps, 1 / (chunk.asked.steps * chunk.draws)
    # `left` counts from the treated end, as everywhere; the way here begins at the reference.
    points = {steps - k for k in POINTS[chunk.asked.rule](steps)}
    goal = _Goal(chunk, side)
    at = chunk.tape.embedded
    for j in range(max(points) + 1):
        tape = chunk.tape_of(at) if j else chunk.reference()
        if j < max(points):
            at = goal.nearer(tape)
        if j in points:
            yield tape, share
        del tape  # before the next one is made


class _Goal:
    """The logits of one treated run at all tokens, and steps towards them."""

    def __init__(self, chunk: Chunk, side: Side) -> None:
        self.adapter, self.rules = chunk.adapter, chunk.rules
        with torch.no_grad():
            *_, last = layers(chunk.adapter, side.input, chunk.lengths)
        self.row, self.pos = torch.nonzero(chunk.tape.valid, as_tuple=True)
        step = max(VOCAB_CHUNK // chunk.adapter.shape.n_logits, 1)
        self.parts = [slice(start, start + step) for start in range(0, len(self.row), step)]
        stream = last.after[self.row, self.pos]
        with torch.no_grad():
            self.logits = [self._logits(stream[part]) for part in self.parts]

    def _logits(self, stream: Tensor) -> Tensor:
        """(tokens, vocabulary) from the final stream at some tokens, (tokens, d)."""
        return self.adapter.unembed(self.adapter.final_norm(stream, self.rules.scales))

    def nearer(self, tape: Tape) -> Tensor:
        """The next point of the way, (rows, pos, d), from the run at the last one."""
        gradient = torch.zeros_like(tape.final)
        for part, wanted in zip(self.parts, self.logits, strict=True):
            row, pos = self.row[part], self.pos[part]
            leaf = tape.final[row, pos].detach().requires_grad_()
            with torch.enable_grad():
                logits = self._logits(leaf)
            (found,) = torch.autograd.grad(logits, leaf, 2 * (logits.detach() - wanted))
            gradient[row, pos] = found
        for layer in reversed(tape.layers):
            gradient = layer.back(gradient).before
        length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1)
        return tape.embedded - torch.where(length > 0, gradient / length, 0.0)
