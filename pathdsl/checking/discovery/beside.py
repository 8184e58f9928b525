"""What stands beside a circuit: those of other rules, judged on the same rows, and the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pathdsl.checking.discovery.searched import LEVEL, Search
from pathdsl.checking.outcome import FileOutcome
from pathdsl.discover.selection import SELECTIONS
from pathdsl.engine.session import EngineSession
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.score.attribution import Attribution
from pathdsl.score.kept.file import unit_name
from pathdsl.score.kept.stability import Rivals, Subject, rivals
from pathdsl.score.statistics.unverified import FalseNegativeBound

__all__ = ["beside_others", "bound_outside", "without_proofs"]

RIVALS = ("top", "greedy", "pnr")
"""The rules whose circuits of the same size stand beside the one that was found."""
MARGIN, SHARED = 0.05, 0.67
"""Rivals: circuits that keep the same within this share of the way from the treated run to the
reference run, and have less than this share of their edges in common."""
RIVAL_SAMPLES = 2_000


def without_proofs(session: EngineSession) -> EngineSession:
    """A session on the same model whose plans prove nothing: what is written is proved again.

    Hundreds of circuits are measured and thrown away; the proofs would cost as much again. What it
    measures lies apart in the store, where no check finds it.
    """
    recall = session.recall.apart() if session.recall is not None else None
    return EngineSession(
        session.planner, None, model=session.model, recall=recall, meter=session.meter
    )


def beside_others(
    search: Search, chosen: np.ndarray, size: int, outcome: FileOutcome, judge: str
) -> tuple[Rivals, ...]:
    """Circuits of the same size by the other rules, beside this one on the rows that judge."""
    if search.kept is None or search.names or not isinstance(outcome.session, EngineSession):
        return ()
    signed = ATTRIBUTIONS[search.wanted.method].signed
    others = {
        rule: search.select(size, rule).chosen
        for rule in RIVALS
        if rule != search.wanted.select and (signed or not SELECTIONS[rule].shares)
    }
    circuits = {search.wanted.select: chosen}
    for rule, one in others.items():
        if one.any() and not any((one == known).all() for known in circuits.values()):
            circuits[rule] = one
    if len(circuits) < 2:
        return ()
    beside = replace(search, session=without_proofs(outcome.session), task=judge)
    reference, treated, *values = beside.of_rows(
        [search.path_set(one) for one in circuits.values()]
    )
    way = float((reference - treated).mean())
    if abs(way) <= search.session.rounding() * max(1.0, abs(float(reference.mean()))):
        return ()
    found = rivals(
        [
            Subject(name=rule, chosen=one, values=of_rows / way)
            for (rule, one), of_rows in zip(circuits.items(), values, strict=True)
        ],
        outcome.session.tasks[judge].clusters.tolist(),
        margin=MARGIN,
        shared=SHARED,
        level=LEVEL,
        samples=RIVAL_SAMPLES,
        seed=search.wanted.seed,
    )
    return tuple(one for one in found if one.names[0] == search.wanted.select)


def bound_outside(
    session: EngineSession, search: Search, chosen: np.ndarray, asked: Attribution | None
) -> FalseNegativeBound | None:
    """What the units outside of the circuit may still do; None where it was not asked for."""
    if not search.wanted.bound or search.kept is None or asked is None:
        return None
    from pathdsl.engine.attribution.exact import bound_unverified

    known = search.names or search.graph.names
    left = {known[n] for n in np.flatnonzero(~chosen)}
    rest = [(one, None) for one in search.kept.scored.units if unit_name(one) in left]
    session.meter.start(f"random subsets of {len(rest):,} units outside of the circuit")
    return bound_unverified(
        without_proofs(session), session.adapter.shape, asked, rest, seed=search.wanted.seed
    )
