"""The search: scores of a task's units, circuits by them, and what circuits do on the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pathdsl.checking.discovery.wanted import ACDC, STEADY, Wanted
from pathdsl.checking.methodology import weights_sha256
from pathdsl.discover.acdc import Order, OrderDependence, acdc_orders
from pathdsl.discover.certificate import Certificate, certificate
from pathdsl.engine.attribution.units import edge_units
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.session import EngineSession
from pathdsl.errors import PathdslError
from pathdsl.graph.model.components import HEAD, MLP, Layout
from pathdsl.graph.paths.pathset import (
    ANY_EDGE,
    FULL,
    NONE,
    Nodes,
    PathSet,
    Regular,
    Star,
    cat,
    minus,
)
from pathdsl.lang.signatures.attribution import AttributionRecord
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.attribution import Attribution, Scored
from pathdsl.score.kept.file import Kept, read_kept, write_kept
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.selection import HALF, Asked, Selection, select
from pathdsl.score.kept.stability import Choose, Stability, stability, steady
from pathdsl.score.metrics import Metric
from pathdsl.score.quantity import RowMetric

__all__ = ["LEVEL", "SAMPLES", "Search", "asked_of", "scores_of", "sizes"]

SAMPLES = 200
"""Bootstrap samples of the prompts, for stability and steady edges."""
LEVEL = 0.95
AHEAD = 8
"""Removals of ACDC that are asked for at once."""
LADDER = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6)
"""The shares of all units that are measured, the smallest first, until a goal is reached."""
HALVINGS = 5
"""How often the last step of the ladder is halved to come nearer to the goal."""


def asked_of(
    record: AttributionRecord,
    steps: int | None,
    rule: str | None,
    metric: Metric,
    treated: TreatedSpec,
    task: str,
) -> Attribution:
    """An attribution of edges, or of nodes where the method has no scores of edges; `steps` and
    `rule` are the method's own where they are None."""
    return Attribution(
        method=record.name,
        steps=record.steps if steps is None else steps,
        rule=next(iter(record.rules), "") if rule is None else rule,
        metric=RowMetric(metric=metric, run=RunSpec(task=task, kind="reference")),
        treated=treated,
        task=task,
        of="edges" if record.edges else "nodes",
        by_position=False,
        reader=None,
    )


Attribute = Callable[[EngineSession, Attribution, TaskSpec], Scored]


def scores_of(
    session: EngineSession,
    asked: Attribution,
    spec: TaskSpec,
    metric: Metric,
    rows: tuple[str, ...],
    clusters: Sequence[int],
    path: Path,
    attribute: Attribute,
    unit: str,
) -> tuple[Kept, bool]:
    """The scores, and whether an interrupted discovery had kept them already.

    They are kept as soon as they are there: `path` is that of their index.
    """
    assert session.model is not None
    weights = session.model.weights
    said: Mapping[str, str | int] = {
        "of": asked.of,
        "method": asked.method,
        "steps": asked.steps,
        "rule": asked.rule,
        "metric": metric.canonical,
        "metric_unit": unit,
        "treated": str(spec.treated),
        "task": asked.task,
        "model": weights_sha256(weights) if weights else session.model.source.written,
        "data": session.tasks[asked.task].facts.get("rows", ""),
        "version": version("pathdsl"),
    }
    before = _read(path, Layout(session.planner.shape))
    if before is not None and before.rows == rows:
        if all(getattr(before, key) == value for key, value in said.items()):
            return before, True
    session.meter.start(f"scores by {asked.method}")
    scored = attribute(session, asked, spec)
    session.meter.end()
    kept = Kept(
        scored=scored,
        rows=rows,
        clusters=tuple(int(one) for one in clusters),
        **said,  # type: ignore[arg-type]
    )
    write_kept(path, kept)
    return kept, False


def _read(path: Path, layout: Layout) -> Kept | None:
    try:
        return read_kept(path, layout)
    except (OSError, PathdslError):
        return None  # none there, or of something else: scored anew


@dataclass(slots=True)
class Search:
    """A search on the rows of one task.

    `nodes`: whether circuits are of nodes. `means` has a score for each unit, `graph` the edges;
    for a circuit of nodes `names` has the heads and MLPs that are scored.
    """

    session: EngineSession
    task: str
    metric: Metric
    wanted: Wanted
    layout: Layout
    kept: Kept | None
    graph: EdgeGraph
    names: tuple[str, ...]
    values: np.ndarray
    _among: np.ndarray | None = None

    @classmethod
    def of(
        cls, session: EngineSession, task: str, metric: Metric, wanted: Wanted, kept: Kept | None
    ) -> Search:
        """A search by these scores; without any by removal, over all edges of the model."""
        layout = Layout(session.planner.shape)
        if kept is None:
            graph = EdgeGraph.of(edge_units(layout.shape), layout)
            return cls(session, task, metric, wanted, layout, None, graph, (), np.zeros((0, 0)))
        if kept.of == "edges":
            graph = EdgeGraph.of(kept.scored.units, layout)
            return cls(session, task, metric, wanted, layout, kept, graph, (), kept.scored.values)
        inner = {str(one) for one in layout.components if one.kind in (HEAD, MLP)}
        at = [
            n
            for n, unit in enumerate(kept.scored.units)
            if not unit.receiver and unit.sender in inner
        ]
        names = tuple(kept.scored.units[n].sender for n in at)
        return cls(
            session, task, metric, wanted, layout, kept, EdgeGraph.of((), layout), names,
            kept.scored.values[at],
        )  # fmt: skip

    @property
    def units(self) -> int:
        """How many units a circuit may have."""
        return len(self.names) or len(self.graph)

    @property
    def clusters(self) -> tuple[int, ...]:
        """What is resampled together."""
        assert self.kept is not None
        return self.kept.clusters

    # ---------------------------------------------------------------- circuits

    def select(self, n: int, rule: str | None = None, means: np.ndarray | None = None) -> Selection:
        """The circuit of at most n units by the rule that is asked for, or another one."""
        rule = rule or self.wanted.select
        means = self.values.mean(axis=1) if means is None else means
        if self.names:
            return self._of_nodes(n, means)
        among = None
        if rule == STEADY:
            if self._among is None:
                self._among = steady(
                    self.values, self.clusters, level=LEVEL, samples=SAMPLES, seed=self.wanted.seed
                )
            rule, among = "top", self._among
        asked = Asked(n=n, signed=self.wanted.signed, share=HALF, among=among)
        return select(rule, self.graph, means, asked)

    def _of_nodes(self, n: int, means: np.ndarray) -> Selection:
        keys = -means if self.wanted.signed else np.abs(means)
        order = sorted(range(len(keys)), key=lambda i: (-keys[i], self.names[i]))
        chosen = np.zeros(len(keys), dtype=bool)
        chosen[order[:n]] = True
        return Selection(
            chosen=chosen, dangling=(), tied=(), proven=None, total=float(keys[chosen].sum())
        )

    def path_set(self, chosen: np.ndarray) -> PathSet:
        """The paths of a circuit."""
        if not self.names:
            return self.graph.path_set(chosen)
        members = [self.layout.named[self.names[i]] for i in np.flatnonzero(chosen)]
        if not members:
            return NONE
        inside = Nodes(mask=sum(1 << one for one in members), named=True)
        end = Nodes(mask=1 << self.layout.logits)
        between = Star(inner=cat(ANY_EDGE, inside))
        return Regular(regex=cat(Nodes(mask=1), between, ANY_EDGE, end))

    def stability(self, n: int) -> Stability | None:
        """What bootstrap samples of the prompts make of the circuit; None for one of nodes."""
        if self.kept is None or self.names:
            return None
        return stability(
            self.graph, self.values, self.clusters, choose=self._choose(n), n=n,
            signed=self.wanted.signed, samples=self._samples, seed=self.wanted.seed,
        )  # fmt: skip

    def certificate(self, n: int) -> Certificate | None:
        """Which edges the majority of all halves of the prompts (of their clusters) would have, for
        all edges together; None for a circuit of nodes and where nothing can be halved."""
        units = len(set(self.clusters)) if self.kept is not None else 0
        if self.names or units < 2:
            return None
        return certificate(
            self.graph, self.values, self.clusters, choose=self._choose(n), n=n,
            signed=self.wanted.signed, drawn=units // 2, samples=self._samples,
            seed=self.wanted.seed, level=LEVEL, together=True,
        )  # fmt: skip

    def _choose(self, n: int) -> Choose | None:
        """What takes a circuit from the means of a sample; None for the top n."""
        if self.wanted.select == "top":
            return None
        return lambda means: self.select(n, means=means).chosen

    @property
    def _samples(self) -> int:
        """How many: a rule that solves a program each time takes its time."""
        return SAMPLES if self.wanted.select != "ilp" else 20

    # ---------------------------------------------------------------- what circuits do

    def _run(self, paths: PathSet, label: str) -> RunSpec:
        return RunSpec(task=self.task, kind="treat", paths=minus(FULL, paths), label=label)

    def of_rows(self, circuits: Sequence[PathSet]) -> list[np.ndarray]:
        """(rows,) float64 of the metric, for the reference run, the treated run and each circuit
        with all else treated."""
        runs = [
            RunSpec(task=self.task, kind="reference", label="reference"),
            RunSpec(task=self.task, kind="treated", label="treated"),
            *(self._run(one, f"circuit {n}") for n, one in enumerate(circuits, start=1)),
        ]
        return self._values(runs)

    def treated(self, sets: Sequence[PathSet]) -> list[np.ndarray]:
        """(rows,) float64 of the metric, for the reference run and for each set treated."""
        runs = [
            RunSpec(task=self.task, kind="reference", label="reference"),
            *(
                RunSpec(task=self.task, kind="treat", paths=one, label=f"set {n}")
                for n, one in enumerate(sets, start=1)
            ),
        ]
        return self._values(runs)

    def _values(self, runs: Sequence[RunSpec]) -> list[np.ndarray]:
        measures = self.metric.measures
        self.session.measures([(run, measure) for run in runs for measure in measures])
        return [
            self.metric.evaluate({m: self.session.value(run, m) for m in measures}).mean(axis=0)
            for run in runs
        ]

    def faithfulness(self, circuits: Sequence[PathSet]) -> list[float]:
        """How much of the way from the treated run to the reference run each circuit keeps, on
        average; NaN where the two runs do not differ on average."""
        reference, treated, *found = (values.mean() for values in self.of_rows(circuits))
        way = reference - treated
        if abs(way) <= self.session.rounding() * max(1.0, abs(reference)):
            return [math.nan] * len(found)
        return [float((value - treated) / way) for value in found]

    def explained(self, circuits: Sequence[PathSet]) -> list[float]:
        """The same prompt by prompt: 1 where each prompt has its reference value, 0 where all is as
        far from it as when everything is treated; 0 where nothing is."""
        reference, treated, *found = self.of_rows(circuits)
        way = float(np.abs(treated - reference).sum())
        return [1 - float(np.abs(one - reference).sum()) / way if way else 0.0 for one in found]

    def distances(self, circuits: Sequence[np.ndarray]) -> list[float]:
        """The mean KL of each circuit from the reference run, over the vocabulary at END."""
        measure = Measure(kind="kl", position="END")
        runs = [self._run(self.path_set(one), f"{int(one.sum())} edges") for one in circuits]
        self.session.measures([(run, measure) for run in runs])
        return [float(self.session.value(run, measure).mean()) for run in runs]

    def by_removal(self) -> OrderDependence:
        """ACDC in three orders."""
        assert self.wanted.method == ACDC and self.wanted.tau is not None
        search = acdc_orders(self.graph, tau=self.wanted.tau, seed=self.wanted.seed, ahead=AHEAD)
        values: list[float] | None = None
        meter, asked = self.session.meter, 0
        try:
            while True:
                circuits = next(search) if values is None else search.send(values)
                asked += len(circuits)
                values = self.distances(circuits)
                meter.start(f"removals, {asked:,} circuits measured")
        except StopIteration as stop:
            found: OrderDependence = stop.value
            return found


def first_order(found: OrderDependence) -> np.ndarray:
    """The circuit of the order in which ACDC visits heads by itself."""
    return found.found[Order()].chosen


def sizes(total: int, most: int | None = None) -> list[int]:
    """Sizes of the ladder in units, ascending; of `most` at most these many."""
    found = sorted({max(1, int(share * total)) for share in LADDER} - {total})
    if most is None or len(found) <= most:
        return found
    step = len(found) / most
    return sorted({found[min(len(found) - 1, int((i + 0.999) * step))] for i in range(most)})
