"""Which backward is taken: the model's own, or one that a method puts in its place.

The forward is the model's in every case. Rules change what a local derivative is:

- a norm's scale may be a constant (`layernorm = frozen`, the LN-rule of layer-wise relevance
  propagation, GIM);
- an activation may have its quotient `act(z) / z` for a derivative (identity rule; Jafari et al.
  2025, arXiv:2508.21258), and each factor of a gated product half of its gradient (half-rule);
- the softmax of attention may have the derivative at a temperature, and the gradients into q, k and
  v a factor each (GIM; Edin et al. 2025, arXiv:2505.17630).
"""

from __future__ import annotations

from dataclasses import dataclass

from pathdsl.engine.adapters.norms import Held

__all__ = ["FROZEN", "GIM", "PLAIN", "RELP", "Rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One backward.

    `held`: scales of norms of the residual stream are constants; `held_inside`: those of norms of
    queries and keys, too. `quotient`: activations have their quotient for a derivative, and gated
    products halves. `temperature`: of the softmax, 1 for its own derivative. `q`, `k`, `v`: by what
    the gradients that arrive at queries, keys and values are multiplied.
    """

    held: bool
    held_inside: bool
    quotient: bool
    temperature: float
    q: float
    k: float
    v: float

    @property
    def scales(self) -> Held | None:
        """What calls that apply norms of the stream are given."""
        return Held() if self.held else None

    @property
    def inside(self) -> Held | None:
        """What projections are given, whose norms are those of queries and keys."""
        return Held() if self.held_inside else None


PLAIN = Rules(
    held=False, held_inside=False, quotient=False, temperature=1.0, q=1.0, k=1.0, v=1.0
)  # fmt: skip
FROZEN = Rules(
    held=True, held_inside=False, quotient=False, temperature=1.0, q=1.0, k=1.0, v=1.0
)  # fmt: skip
RELP = Rules(
    held=True, held_inside=True, quotient=True, temperature=1.0, q=1.0, k=1.0, v=1.0
)  # fmt: skip
GIM = Rules(
    held=True, held_inside=True, quotient=False, temperature=2.0, q=0.25, k=0.25, v=0.5
)  # fmt: skip
