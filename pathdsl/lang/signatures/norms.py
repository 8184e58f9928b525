"""What a task's `layernorm` and `routing` may say: a record for each way to scale a mixed copy, and
for each way to choose its experts.

Source: docs/language.md, `task`.
"""

from __future__ import annotations

from pathdsl.record import record

__all__ = ["NORM_MODES", "ROUTINGS", "NormMode", "Routing"]


@record
class NormMode:
    """One mode; the first is the usual one.

    `frozen`: whether components with kept and treated paths have the reference run's scales.
    `adjective`: `with frozen norms`. `said`: as the method says it. `other`: the mode that a claim
    is judged in again, to see whether its verdict hangs on the choice.
    """

    name: str
    frozen: bool
    adjective: str
    said: str
    other: str


NORM_MODES = {
    mode.name: mode
    for mode in (
        NormMode(
            name="recompute", frozen=False, adjective="recomputed", said="recomputed",
            other="frozen",
        ),
        NormMode(
            name="frozen", frozen=True, adjective="frozen",
            said="frozen: a component with kept and treated paths has the scales of the reference "
            "run",
            other="recompute",
        ),
    )
}  # fmt: skip


@record
class Routing:
    """One way in which mixtures of experts route; the first is the usual one.

    `frozen`: whether MLPs with kept and treated paths have the reference run's experts, with their
    weights. `said`: as the method says it.
    """

    name: str
    frozen: bool
    said: str


ROUTINGS = {
    routing.name: routing
    for routing in (
        Routing(
            name="recompute", frozen=False,
            said="recomputed: each copy of an MLP takes the experts that its own input is given",
        ),
        Routing(
            name="frozen", frozen=True,
            said="frozen: an MLP with kept and treated paths has the experts of the reference run, "
            "with their weights",
        ),
    )
}  # fmt: skip
