"""What every score shares: its task, metric and scope, and the runs and means made of them.

With C = `keep(P)`, M = `reference` and the empty circuit `keep(none)`, a `scope: S` makes the
first `treat(S - P)` and the last `treat(S)`: paths outside S keep the reference input in all runs.
For knockouts K, C without K is `keep(P - through(K))` and M without K is `keep(full - through(K))`,
which treats exactly the paths through K (inside the scope).

`average` of the task decides how a ratio is taken over prompts: the ratio of the means, or the mean
of each prompt's ratio; published circuits differ by that choice alone (Miller et al. 2024,
arXiv:2407.08734).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.plan.runs import RunSpec
from pathdsl.score.lowering import Lowering
from pathdsl.score.metrics import Metric
from pathdsl.score.quantity import (
    Aggregate,
    Part,
    RowExpr,
    RowMetric,
    RowOp,
    Scalar,
    difference,
    mean,
    ratio,
)  # fmt: skip
from pathdsl.score.session import Bindings, Unit

__all__ = ["Knockouts", "Setting", "names_of"]

Knockouts = tuple[Unit, ...]


def names_of(units: Sequence[Unit]) -> str:
    """`{a9.h9@END, a9.h6@END}`, or `{}`."""
    return "{" + ", ".join(unit.label for unit in units) + "}"


def _written(left: RunSpec, right: RunSpec | None) -> str:
    return f"m({left.label})" if right is None else f"(m({left.label}) - m({right.label}))"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """One score's surroundings.

    `title` is how its path set is written, `position` where a score that reads tokens reads them.
    """

    lowering: Lowering
    bindings: Bindings
    task: str
    metric: Metric | None
    scope: PathSet | None
    mean_of_ratios: bool
    position: str = "END"
    title: str = "P"

    # ---------------------------------------------------------------------------------------------
    # Runs
    # ---------------------------------------------------------------------------------------------

    def reference(self) -> RunSpec:
        """M."""
        return RunSpec(task=self.task, kind="reference", label="reference")

    def treat(self, paths: PathSet, label: str) -> RunSpec:
        """`treat(P)` inside the scope."""
        treated = self.lowering.treated_paths("treat", paths, self.scope)
        return RunSpec(task=self.task, kind="treat", paths=treated, label=label)

    def keep(self, paths: PathSet, label: str) -> RunSpec:
        """`keep(P)` inside the scope."""
        treated = self.lowering.treated_paths("keep", paths, self.scope)
        return RunSpec(task=self.task, kind="treat", paths=treated, label=label)

    def empty(self) -> RunSpec:
        """`keep(none)`: the whole scope treated."""
        return self.keep(self.lowering.algebra.NONE, "keep(none)")

    def circuit_without(self, paths: PathSet, units: Knockouts) -> RunSpec:
        """C without K."""
        if not units:
            return self.keep(paths, f"keep({self.title})")
        kept = self.lowering.algebra.minus(paths, self.lowering.resolver.through(units))
        return self.keep(kept, f"keep({self.title} - through({names_of(units)}))")

    def model_without(self, units: Knockouts) -> RunSpec:
        """M without K."""
        if not units:
            return self.reference()
        cut = self.lowering.resolver.through(units)
        return self.treat(cut, f"treat(through({names_of(units)}))")

    # ---------------------------------------------------------------------------------------------
    # Values
    # ---------------------------------------------------------------------------------------------

    def rows(self, run: RunSpec) -> RowMetric:
        """The score's metric on a run."""
        assert self.metric is not None  # the choice of metric has raised PD420 otherwise
        return RowMetric(metric=self.metric, run=run)

    def total(self, run: RunSpec, part: Part | None = None) -> Aggregate:
        """F(R): the mean of the metric."""
        return mean(self.rows(run), self.task, f"F({run.label})", part)

    def average(self, rows: RowExpr, label: str, part: Part | None = None) -> Aggregate:
        """The mean of any per-prompt expression."""
        return mean(rows, self.task, label, part)

    def quotient(
        self, above: tuple[RunSpec, RunSpec | None], below: tuple[RunSpec, RunSpec | None],
        part: Part | None = None,
    ) -> Scalar:  # fmt: skip
        """(F(a) - F(b)) / (F(c) - F(d)), or the mean of each prompt's, as `average` says."""
        if not self.mean_of_ratios:
            return ratio(self.between(*above, part), self.between(*below, part))
        top, bottom = self._row_between(*above), self._row_between(*below)
        label = f"mean({_written(*above)} / {_written(*below)})"
        return self.average(RowOp(op="/", args=(top, bottom)), label, part)

    def between(self, left: RunSpec, right: RunSpec | None, part: Part | None = None) -> Scalar:
        """F(left) - F(right), or F(left)."""
        first = self.total(left, part)
        return first if right is None else difference(first, self.total(right, part))

    def _row_between(self, left: RunSpec, right: RunSpec | None) -> RowExpr:
        first = self.rows(left)
        return first if right is None else RowOp(op="-", args=(first, self.rows(right)))
