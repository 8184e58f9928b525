"""Distances between two runs on a prompt as records: what `faithfulness(…, by: D)` compares."""

from __future__ import annotations

from typing import Literal

from pathdsl.lang.signatures.kinds import Unit
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.record import record

__all__ = ["DISSIMILARITIES", "Dissimilarity"]


@record
class Dissimilarity:
    """A distance between two runs on a prompt, after `by:`: of a metric's values, or a divergence.

    A `power` of the metric has a unit of its own where the metric has one.
    """

    name: str
    unit: Unit | Literal["metric", "power"]

    @property
    def reads_metric(self) -> bool:
        """Whether it compares values of a metric."""
        return self.unit in ("metric", "power")


DISSIMILARITIES = {
    one.name: one
    for one in (
        Dissimilarity(name="absolute", unit="metric"),
        Dissimilarity(name="squared", unit="power"),
        *(
            Dissimilarity(name=measure.name, unit=measure.unit)
            for measure in MEASURES.values()
            if measure.reads == "reference"
        ),
    )
}
