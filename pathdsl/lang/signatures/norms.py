"""What a task's `layernorm` may say: a record for each way to scale a mixed copy.

Source: docs/language.md, `task`.
"""

from __future__ import annotations

from pathdsl.record import record

__all__ = ["NORM_MODES", "NormMode"]


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
