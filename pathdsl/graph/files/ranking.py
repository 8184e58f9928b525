"""Every edge of a model in the order of a score file: the circuits of growing size behind a curve.

`signed` puts the largest score first, `absolute` the largest absolute score. MIB's CPR is meant for
the first and its CMD for the second, and one file gives other circuits by each.

    ranking = read_ranking(Path("scores.json"), layout, signed=True)
    ranking.first(40)                       # the circuit of the 40 edges with the largest scores

Equal scores are in the order of their names, edges without a score behind all others; `ties` says
at which sizes that decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.files.eap import (
    UnusableFile,
    listed,
    read_circuit,
    refuse_masks,
    score_of,
    unused_edges,
)
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import NONE, PathSet
from pathdsl.lang import ast

__all__ = ["SIZES", "Ranking", "read_ranking", "tie_warnings"]

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The shares of all edges at which a curve is read, rounded down to whole edges."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """The edges of a model, (sender, receiver, slot), the best first.

    `scores` are what they were ordered by, the largest first, None for none.
    """

    edges: tuple[tuple[int, int, str], ...]
    scores: tuple[float | None, ...]
    layout: Layout

    def __len__(self) -> int:
        """The number of edges of the model."""
        return len(self.edges)

    def first(self, count: int) -> PathSet:
        """The circuit of the first edges; `none` where they join no `input` with `logits`."""
        circuit = listed(sorted(self.edges[:count]), self.layout)
        return circuit if count > len(unused_edges(circuit, self.layout)) else NONE

    def ties(self) -> tuple[tuple[int, int, float | None], ...]:
        """(size, edges of one score, that score) for each size whose end lies among equal scores.

        The circuit of that size depends on the names of edges.
        """
        ties = []
        for count in dict.fromkeys(int(size * len(self)) for size in SIZES):
            if 0 < count < len(self) and self.scores[count - 1] == self.scores[count]:
                cut = self.scores[count]
                ties.append((count, self.scores.count(cut), cut))
        return tuple(ties)


def read_ranking(path: Path, layout: Layout, *, signed: bool) -> Ranking:
    """All edges of a score file, in order.

    Raises OSError and UnusableFile as `read_circuit`, and UnusableFile where the file does not list
    every edge of the model: a tenth of some of them is no tenth of the graph.
    """
    file = read_circuit(path, layout)
    if file.edges is None:
        raise UnusableFile("it is a circuit of nodes, and a curve ranks edges")
    refuse_masks(file, None)
    total = layout.n_edges()
    if len(file.edge) != total:
        raise UnusableFile(f"it ranks {len(file.edge):,} of the model's {total:,} edges")
    read = {name: score_of(entry, name) for name, entry in file.edges.items()}
    if all(score is None for score in read.values()):
        raise UnusableFile("none of its edges has a score")
    scores = {name: s if s is None or signed else abs(s) for name, s in read.items()}

    def place(name: str) -> tuple[float, str]:
        score = scores[name]
        return (math.inf if score is None else -score), name

    order = sorted(scores, key=place)
    return Ranking(
        edges=tuple(file.edge[name] for name in order),
        scores=tuple(scores[name] for name in order),
        layout=layout,
    )


def tie_warnings(ranking: Ranking, expr: ast.EdgesFile) -> Iterator[Diagnostic]:
    """PD229 for the sizes of a curve at which a file does not say which edges are meant."""
    ties = ranking.ties()
    if not ties:
        return
    notes = []
    for size, tied, score in ties:
        what = "edges without a score" if score is None else f"edges of score {score:.6g}"
        notes.append(f"the first {size:,}: the last of them is one of {tied:,} {what}")
    listed = ", ".join(f"{size:,}" for size, _, _ in ties)
    yield Diagnostic(
        code="PD229",
        message=f"`{expr.path}` does not say which edges are the first {listed}",
        span=expr.span,
        label="cut among equal scores, by the names of the edges",
        notes=tuple(notes),
        help="give these edges scores of their own",
        severity=Severity.WARNING,
    )
