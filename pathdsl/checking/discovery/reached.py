"""What the score of a goal is of one circuit after the other, on the rows that find.

The score is lowered as that of any file, by the text of a file that has the circuit; its runs go by
the session of the search, so that no weights are read again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathdsl.checking.discovery.goal import Goal, Unwanted
from pathdsl.checking.discovery.searched import Search
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import Ready, prepare
from pathdsl.discover.write import circuit_json
from pathdsl.engine.session import EngineSession
from pathdsl.errors import LanguageError, PathdslError, errors_in
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.lint import lint_file
from pathdsl.lang.loops import sides_of
from pathdsl.lang.program import Program
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.lowering import Lowering
from pathdsl.score.rounds import drive

__all__ = ["Reaching"]

NAME, CLAIM = "sought", "reached"
"""What the circuit and the claim are called in the texts that are measured."""


@dataclass(slots=True)
class Reaching:
    """A goal that is measured; `text` is the file on the finding rows, `folder` takes circuits.

    `ready` has the rows with all columns that the goal reads; `session` comes with the search.
    """

    goal: Goal
    path: str
    text: str
    options: CheckOptions
    folder: Path
    taken: frozenset[str]
    ready: Ready | None = None
    session: EngineSession | None = None

    def _named(self, word: str) -> str:
        while word in self.taken:
            word += "_"
        return word

    def _program(self, circuit: str) -> Program:
        """The file with a circuit and the goal as a claim; Unwanted where the language refuses."""
        name, claim = self._named(NAME), self._named(CLAIM)
        more = f"path {name} = {circuit}\n{self.goal.claim(claim, name)}\n"
        program, faults = lint_file(self.path, self.text + more, self.options.fence)
        if wrong := errors_in(faults):
            raise self._refused(LanguageError(wrong))
        return program

    def _refused(self, error: PathdslError) -> Unwanted:
        first = error.diagnostics[0]
        help = f"; {first.help}" if first.help else ""
        return Unwanted(f"`--until {self.goal}`: {first.message} ({first.code}){help}")

    def _edges(self, graph: EdgeGraph, layout: Layout, chosen: np.ndarray) -> str:
        edges = {
            (layout.label(u), layout.label(v), slot): 0.0 for u, v, slot in graph.triples(chosen)
        }
        path = self.folder / "circuit.json"
        path.write_text(circuit_json(edges, layout), encoding="utf-8")
        return f'edges("{path.as_posix()}")'

    def vetted(self, graph: EdgeGraph, layout: Layout) -> int:
        """How many runs one circuit takes, by the plan of all edges. Raises Unwanted."""
        whole = np.ones(len(graph), dtype=bool)
        program = self._program(self._edges(graph, layout, whole))
        try:
            self.ready = prepare(program, self.options)
            asked = self.ready.first_round().requests
        except PathdslError as error:
            raise self._refused(error) from error
        return len({run for run, _ in asked})

    def value(self, search: Search, chosen: np.ndarray) -> float:
        """The score of a circuit, nan where it has none. Raises Unwanted."""
        assert self.ready is not None
        if self.session is None:
            planner, own = self.ready.planner, search.session
            recall = own.recall.with_planner(planner) if own.recall is not None else None
            self.session = EngineSession(
                planner, None, model=own.model, recall=recall, meter=own.meter
            )
        if not chosen.any():
            return math.nan
        if search.names:
            members = ", ".join(search.names[i] for i in np.flatnonzero(chosen))
            program = self._program(f"within({members})")
        else:
            program = self._program(self._edges(search.graph, search.layout, chosen))
        resolver = Resolver(program, self.ready.planner.shape, MAX_STATES)
        left, *_ = sides_of(program.claims[0])
        try:
            lowering = Lowering(program, resolver, self.session)
            node = drive({"goal": lowering.scalar(left, {})}, self.session)["goal"]
        except LanguageError:  # of a circuit so small that it has no such score
            return math.nan
        return lowering.context.evaluator.estimate(node)
