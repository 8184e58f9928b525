"""The attributions of a session: each computed once, proved, kept in the store, read unit by unit.

An attribution is asked for as one request, whose run has the treated value and whose measure says
the rest (`pathdsl.plan.readout.ESTIMATE`). What computes it is `pathdsl.engine.attribution`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.runs import Request
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.attribution import Attribution, Scored, ScoredUnit

__all__ = ["Place", "ScoredValues", "asked_in", "null_of", "proof_of"]


def asked_in(request: Request) -> Attribution:
    """What a normal request of an attribution asks for."""
    run, measure = request
    asked: Attribution = measure.asked
    return asked if run.treated is None else replace(asked, treated=run.treated)


def null_of(asked: Attribution, reference: str) -> Attribution:
    """The same with the reference prompts in the place of the treated value."""
    return replace(asked, treated=TreatedSpec(kind="paired", column=reference))


def proof_of(asked: Attribution, scored: Scored, rows: int, tolerance: float) -> Proof:
    """The proof that no unit has a score where the treated value is the reference's own."""
    return Proof(
        code="PD634",
        name="null pair has no effect",
        error=float(np.abs(scored.values).max(initial=0.0)),
        tolerance=tolerance,
        compared=f"`by: {asked.method}`, {len(scored.units):,} units on {rows} prompts, "
        "treated := reference",
    )


Place = tuple[str, str, str, Pos | None]
"""A unit, by sender, receiver and slot, and where it is read."""


class ScoredValues:
    """The scores of one session, by the request that asked for them; `read`: which were read."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self._found: dict[Request, Scored] = {}
        self.read: dict[tuple[Request, Place], None] = {}
        self._places: dict[Request, dict[ScoredUnit, int]] = {}

    def __contains__(self, request: Request) -> bool:
        return _key(request) in self._found

    def keep(self, request: Request, scored: Scored) -> None:
        """Take the scores of a normal request."""
        self._found.setdefault(_key(request), scored)

    def update(self, other: ScoredValues, but: Collection[str] = ()) -> None:
        """Take what another session has, of all tasks but some."""
        for request, scored in other._found.items():
            if request[0].task not in but:
                self._found.setdefault(request, scored)

    def whole(self, request: Request) -> Scored:
        """All scores of a normal request; KeyError where it was not computed."""
        return self._found[_key(request)]

    def of(self, request: Request, unit: tuple[str, str, str], at: Pos | None) -> np.ndarray:
        """(1, rows) float64: the score of one unit, summed over the positions `at`; of shares the
        mean over them.

        Raises LookupError for a unit that the method did not score.
        """
        key = _key(request)
        scored = self._found[key]
        self.read[request, (*unit, at)] = None
        if key not in self._places:
            self._places[key] = {one: i for i, one in enumerate(scored.units)}
        sender, receiver, slot = unit
        place = self._places[key].get(ScoredUnit(sender=sender, receiver=receiver, slot=slot))
        if place is None:
            raise LookupError(f"no score of {unit} by {request[1].text}")
        values = scored.values[place]
        if at is not None:
            mask = position_mask(self.planner.tasks[request[0].task])(at).T
            values = np.where(mask, values[: len(mask)], 0.0).sum(axis=0)
            if not ATTRIBUTIONS[request[1].asked.method].effect:
                values = values / np.maximum(mask.sum(axis=0), 1)
        return np.asarray(values, dtype=np.float64)[None, :]


def _key(request: Request) -> Request:
    run, measure = request
    return run.identity, measure
