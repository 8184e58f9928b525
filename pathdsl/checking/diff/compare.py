"""`diff`: two path sets of two files beside one another, on the graph and on the tasks they share.

found = compare(program_a, "main", program_b, "nodes", CheckOptions())
found.graphs.over("edge").part("united"), [row.difference.interval for row in found.rows]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathdsl.checking.diff.graphs import SMALLER, Graphs, compare_graphs, other_graph
from pathdsl.checking.diff.joined import join
from pathdsl.checking.diff.shared import SharedTask, forced, sharing
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import resolver_of
from pathdsl.errors import Diagnostic, ExitCode, LanguageError
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import Program
from pathdsl.lang.serving import model_of

if TYPE_CHECKING:
    from pathdsl.checking.diff.scores import Scored, Scores

__all__ = ["FEW_EDGES", "Difference", "compare"]

FEW_EDGES = 0.5
"""Rivals have at most this share of the smaller one's edges in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What two path sets share and how far apart they score.

    `graph` is the model of A on whose graph both lie, "" where its models have one graph. `why`
    says what was not measured and why. `scores` is None where nothing was to be measured.
    """

    graph: str
    graphs: Graphs
    tasks: tuple[SharedTask, ...]
    within: str
    why: tuple[str, ...]
    scores: Scores | None = None

    @property
    def rows(self) -> tuple[Scored, ...]:
        """What was measured."""
        return self.scores.rows if self.scores is not None else ()

    def rivals(self, row: Scored) -> bool:
        """Whether the two score alike here, not as no path at all does, and share few edges."""
        few = self.graphs.over("edge").part(SMALLER) <= FEW_EDGES
        return few and row.said == "alike" and not row.as_nothing

    @property
    def exit_code(self) -> ExitCode:
        """0 where all that was asked for was compared; else that of the check that stopped."""
        if self.scores is None or not self.scores.faults:
            return ExitCode.AS_EXPECTED
        return self.scores.outcome.exit_code


def compare(
    a: Program,
    first: str,
    b: Program,
    second: str,
    options: CheckOptions,
    *,
    task: str | None = None,
    scores: Sequence[str] = ("faithfulness",),
    within: str = "5%",
    graph_only: bool = False,
) -> Difference:
    """The path set `first` of A beside `second` of B.

    `task`: of A, to measure on whether B has one like it or not; those that both have if None.
    Raises PathdslError where a set has faults or the two have no graph in common, PD667.
    """
    graph, resolver = _common(
        _choices(a, options, task), resolver_of(b, options) if b.model else None, b
    )
    both = join(a, b, b.paths)
    own = Resolver(both.program, resolver.shape, resolver.sets.max_states)
    graphs = compare_graphs(own, both, a, b, first, second)
    if graph_only:
        why = ("the graph alone was asked for",)
        return Difference(graph=graph, graphs=graphs, tasks=(), within=within, why=why)
    found = sharing(a, b) if task is None else forced(a, task)
    measured: Scores | None = None
    if found.tasks:
        from pathdsl.checking.diff.scores import score_both

        measured = score_both(
            join(a, b, [second]), first, second, found.tasks, scores, within, options
        )
    return Difference(
        graph=graph, graphs=graphs, tasks=found.tasks, within=within, why=found.why, scores=measured
    )


def _choices(a: Program, options: CheckOptions, task: str | None) -> dict[str, Resolver]:
    """The graphs that A's path set may lie on, by a model of each; that of a task where one is."""
    first = resolver_of(a, options)
    if not first.others:
        return {"": first}
    found: dict[str, Resolver] = {}
    for name in [task] if task is not None else a.tasks:
        model = model_of(a, name)
        if model is not None and first.on(name) not in found.values():
            found[model.name.name] = first.on(name)
    return found


def _common(
    choices: Mapping[str, Resolver], other: Resolver | None, b: Program
) -> tuple[str, Resolver]:
    """The first graph that is one of B's, too; any is where B names no model. Raises PD667."""
    others = () if other is None else other.graphs
    why = ""
    for name, resolver in choices.items():
        whys = [other_graph(resolver, one) for one in others]
        if not all(whys) or not whys:
            return name, resolver
        why = why or whys[0]
    raise LanguageError(
        Diagnostic(
            code="PD667",
            message=f"the two circuits lie on different graphs: {why}",
            span=b.model.source.span if b.model is not None else None,
            label="the model of B",
            help="compare circuits of models that have the same layers and heads",
        )
    )
