"""A probability at its floor: the one fault of method that only values can show.

What `keep(P)` restores is measured from the run in which every path is treated. A probability that
is near 0 there cannot fall further, so parts of the model that work against the answer stay hidden.

Source: Zhang and Nanda 2023 (arXiv:2309.16042), on probability as a metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic
from pathdsl.graph.paths.pathset import FULL
from pathdsl.lang import ast
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import metrics_read
from pathdsl.lang.signatures.kinds import UNITS
from pathdsl.lang.signatures.measures import MEASURES, columns_in
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import walk
from pathdsl.score.faults import warning

if TYPE_CHECKING:
    from pathdsl.checking.machines import AnySession
    from pathdsl.lang.program import Program

__all__ = ["FLOOR", "at_floor"]

FLOOR = 0.05
"""The mean probability in the treated run below which it is said to be at its floor."""


def at_floor(program: Program, session: AnySession) -> list[Diagnostic]:
    """A warning (PD513) for each claim that a probability near 0 in the treated run judges.

    Left out are claims whose path set another claim judges in another unit. Only runs that were
    asked for anyway are looked at; nothing is run.
    """
    units = unit_of(program)
    bounded = {name: UNITS[units.get(name, "none")].bounded for name in program.metrics}
    means = _treated_means(session)
    found: list[Diagnostic] = []
    for claim in program.claims:
        for name in metrics_read(program, reach(program, claim)):
            columns = _columns(program.metrics[name])
            low = [means[column] for column in columns if column in means]
            if not bounded[name] or not low or max(low) >= FLOOR:
                continue
            subjects = _subjects(program, claim)
            if any(
                subjects & _subjects(program, other)
                and not all(bounded[m] for m in metrics_read(program, reach(program, other)))
                for other in program.claims
            ):
                continue
            message = f"`{name}` is {max(low):.2g} in the treated run, so nothing can lower it"
            found.append(
                warning(
                    "PD513", message, claim.name, help="judge it by a metric without a floor, too: "
                    f"`metric L: nats = logprob({columns[0]})`, or a difference of logits",
                )
            )  # fmt: skip
    return found


def _treated_means(session: AnySession) -> dict[str, float]:
    """The mean probability of each answer column in the runs whose every path is treated."""
    found: dict[str, float] = {}
    for run, measures in session.asked.items():
        if run.treated_paths is not FULL and run.treated_paths != FULL:
            continue
        for measure in measures:
            if UNITS[measure.record.unit].bounded:
                mean = float(session.value(run, measure).mean())
                found[measure.column] = max(found.get(measure.column, 0.0), mean)
    return found


def _columns(metric: ast.MetricDecl) -> list[str]:
    """The answer columns of a metric."""
    return [
        column.name
        for node in walk(metric.expression)
        if isinstance(node, ast.Call)
        and node.name in MEASURES
        and UNITS[MEASURES[node.name].unit].bounded
        for column in columns_in(node)
    ]


def _subjects(program: Program, claim: ast.ClaimDecl) -> set[str]:
    """What the claim's scores and runs are about, as written; controls by their own text."""
    found: set[str] = set()
    for node in reach(program, claim):
        paths: tuple[ast.Node, ...] = ()
        if isinstance(node, ast.PathRun):
            paths = (node.paths,)
        elif isinstance(node, ast.Score):
            paths = node.subjects
        for path in paths:
            source = program.sources.get(path.span.path)
            if source is not None:
                found.add(" ".join(source.text[path.span.start : path.span.end].split()))
    return found
