"""What is asked of an attribution, and what it gives: a score for each unit and prompt, as data.

The score of a unit estimates, prompt by prompt, what the metric changes by when the unit alone
carries its treated value and all else its reference value: `m(treat(unit)) - m(reference)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pathdsl.plan.treated import TreatedSpec
from pathdsl.record import record
from pathdsl.score.quantity import RowExpr

__all__ = ["Attribution", "Scored", "ScoredUnit"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ScoredUnit:
    """What has a score: a node, an input of one, or an edge, by the names of its components.

    A node's output has a `sender` and no receiver, an input of a node a `receiver` (with its
    `slot`, "" where it has none) and no sender, an edge both.
    """

    sender: str = ""
    receiver: str = ""
    slot: str = ""


@record
class Attribution:
    """One attribution of a task.

    `method`: a name of `pathdsl.lang.signatures.attribution`; `steps` and `rule` are those of its
    integral, 0 and "" without one. `metric`: the metric of the reference run that is attributed.
    `treated`: the treated value. `of`: which units. `by_position`: whether each position has its
    score, or they are summed over positions.
    """

    method: str
    steps: int
    rule: str
    metric: RowExpr
    treated: TreatedSpec
    task: str
    of: Literal["nodes", "edges", "neurons"]
    by_position: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Scores (units, rows), or (units, positions, rows) by position: float64, in the metric's unit.

    Where a prompt has no token at a position its score is 0.
    """

    units: tuple[ScoredUnit, ...]
    values: np.ndarray
