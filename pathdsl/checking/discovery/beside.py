"""What stands beside a circuit: those of other rules and sizes, judged on the same rows, and the
rest."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pathdsl.checking.check import check_file
from pathdsl.checking.discovery.found import Areas
from pathdsl.checking.discovery.searched import LEVEL, Search
from pathdsl.checking.discovery.wanted import BOUND_AT, IN_EACH, Places
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.discover.write import circuit_json
from pathdsl.engine.session import EngineSession
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.selections import SELECTIONS
from pathdsl.score.attribution import Attribution
from pathdsl.score.kept.file import unit_name
from pathdsl.score.kept.stability import Rivals, Subject, rivals
from pathdsl.score.statistics.unverified import FalseNegativeBound

__all__ = ["areas_of", "beside_others", "bound_outside", "without_proofs"]

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
        if rule != search.wanted.select and (signed or not SELECTIONS[rule].by_sign)
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
            Subject(name=rule, chosen=one, values=(of_rows - treated) / way)
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
    if search.wanted.bound is None or search.kept is None or asked is None:
        return None
    from pathdsl.engine.attribution.exact import bound_unverified

    known = search.names or search.graph.names
    left = {known[n] for n in np.flatnonzero(~chosen)}
    rest = [(one, None) for one in search.kept.scored.units if unit_name(one) in left]
    session.meter.start(f"random subsets of {len(rest):,} units outside of the circuit")
    return bound_unverified(
        without_proofs(session), session.adapter.shape, asked, rest, share=IN_EACH,
        subsets=search.wanted.bound, confidence=BOUND_AT, seed=search.wanted.seed,
    )  # fmt: skip


def areas_of(
    search: Search, places: Places, judge: Mapping[str, Any], options: CheckOptions
) -> Areas | None:
    """`cpr` and `cmd` of the ranking on the rows that judge; None where they were not asked for.

    They are measured by the text of a file that has the judging task of the one that was written.
    """
    if not search.wanted.curves or search.kept is None:
        return None
    graph, layout = search.graph, search.layout
    falls = (0.0 - search.values.mean(axis=1)).tolist()  # as in files of EAP-IG
    every = np.ones(len(graph), dtype=bool)
    edges = {
        (layout.label(u), layout.label(v), slot): fall
        for (u, v, slot), fall in zip(graph.triples(every), falls, strict=True)
    }
    search.session.meter.start("circuits of all sizes")
    with tempfile.TemporaryDirectory(prefix="pathdsl-") as folder:
        ranked = Path(folder) / "ranked.json"
        ranked.write_text(circuit_json(edges, layout), encoding="utf-8")
        pieces, metric = judge["pieces"], search.metric.name
        task = f", task: {judge['task']}" if len(judge["tasks"]) > 1 else ""
        lets = [
            f'let {name} = {score}(edges("{ranked.as_posix()}"), rank: {rank}, '
            f"metric: {metric}{task})"
            for name, score, rank in (
                ("area_signed", "cpr", "signed"), ("area_absolute", "cmd", "absolute")
            )
        ]  # fmt: skip
        text = "\n\n".join(
            [*judge["uses"], pieces.model, *judge["tasks"], *pieces.groups, pieces.metric, *lets]
        )
        outcome = check_file(str(places.circuit), options, text + "\n")
    judgement = outcome.judgement
    if judgement is None:
        return None
    cpr, cmd = judgement.quantities
    signed, absolute = (
        next(one.points for one in judgement.curves if name in one.names)
        for name in ("area_signed", "area_absolute")
    )
    warnings = tuple(one for one in outcome.diagnostics if one.code == "PD545")
    return Areas(cpr=cpr, cmd=cmd, signed=signed, absolute=absolute, warnings=warnings)
