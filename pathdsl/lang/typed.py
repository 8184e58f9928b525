"""What an expression is: its unit, and whether it is per prompt or over the prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pathdsl.lang import ast

__all__ = ["MEASURED", "OPEN", "Level", "Typed", "Unit"]

Unit = Literal["logits", "nats", "prob", "none"]
Level = Literal["constant", "prompt", "quantity"]

MEASURED: dict[str, Unit] = {
    "logit": "logits",
    "prob": "prob",
    "logprob": "nats",
    "kl": "nats",
    "reverse_kl": "nats",
    "rank": "none",
    "top1": "none",
    "attention": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What an expression is: `unit` None is a bare number, which takes the other side's.

    `known` is False where a fault, reported elsewhere, leaves the unit open. `percent` keeps the
    place of a percent sign that has not met a unit yet.
    """

    unit: Unit | None = None
    level: Level = "constant"
    percent: ast.Node | None = None
    known: bool = True


OPEN = Typed(known=False)
