"""What is measured at the logits of a run: the atoms that metrics are built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MeasureKind = Literal[
    "logit", "prob", "logprob", "rank", "top1", "top_token", "kl", "reverse_kl", "attention"
]
DIVERGENCES = ("kl", "reverse_kl")
"""The measures that compare with the reference run."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Measure:
    """One number per prompt read off one run.

    `column`: the token column (`io`; `next` = the token that follows the position read), "" for
    divergences, `top_token` and `attention`. `position`: resolved name with offset as written,
    `END`, or `[3]`; at a set of positions the measure is the mean over it. `kl` is
    KL(reference ‖ this run) and `reverse_kl` KL(this run ‖ reference), in nats. `top_token` is the
    id of the best token (for agreement). `attention`: `head` is (layer, head), of the copy that
    goes straight to `logits`; summed over `key` positions, averaged over `query` positions.
    """

    kind: MeasureKind
    column: str = ""
    position: str = "END"
    head: tuple[int, int] | None = None
    query: str = ""
    key: str = ""
