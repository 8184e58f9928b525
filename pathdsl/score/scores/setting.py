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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.lang import ast
from pathdsl.lang.serving import choose_metric, form_of, named_option, treated_by, wants_metric
from pathdsl.lang.signatures.calls import Arguments, resolve_options
from pathdsl.plan.runs import RunSpec, Subject
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.metrics import Metric
from pathdsl.score.quantity import (
    Aggregate,
    Half,
    RowExpr,
    RowMetric,
    RowOp,
    Scalar,
    difference,
    mean,
    ratio,
)  # fmt: skip
from pathdsl.score.session import Bindings, Resolver, Unit

__all__ = ["Knockouts", "Setting", "names_of", "setting_of", "subject_of"]

Knockouts = tuple[Unit, ...]


def names_of(units: Sequence[Unit]) -> str:
    """`{a9.h9@END, a9.h6@END}`, or `{}`."""
    return "{" + ", ".join(unit.label for unit in units) + "}"


def _written(left: RunSpec, right: RunSpec | None) -> str:
    return f"m({left.label})" if right is None else f"(m({left.label}) - m({right.label}))"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """One score and its surroundings.

    `title` is how its path set is written, `position` where a score that reads tokens reads them.
    `treated` is the value that its runs treat with, None for that of the task.
    """

    context: Context
    score: ast.Score
    bindings: Bindings
    task: str
    metric: Metric | None
    scope: PathSet | None
    mean_of_ratios: bool
    position: str
    title: str
    treated: ast.Node | None

    # ---------------------------------------------------------------------------------------------
    # What is written
    # ---------------------------------------------------------------------------------------------

    @cached_property
    def options(self) -> Arguments:
        """The options by name, defaults filled in."""
        return resolve_options(self.score)

    @property
    def form(self) -> str:
        """The word after `as:`, or the one that leaving it out means."""
        return form_of(self.score).name

    @property
    def resolver(self) -> Resolver:
        """Path sets on the graph of the model that the task runs on."""
        return self.context.resolver.on(self.task)

    @cached_property
    def subject(self) -> ast.PathExpr:
        """P; PD423 where a run or a score stands in its place."""
        return subject_of(self.score)

    @cached_property
    def paths(self) -> PathSet:
        """The complete path set of P."""
        return self.resolver.path_set(self.subject, self.bindings)

    @cached_property
    def claimed(self) -> Subject | None:
        """P as what runs are about."""
        return self.context.subject(self.subject, self.paths, self.title, lambda other: other)

    # ---------------------------------------------------------------------------------------------
    # Runs
    # ---------------------------------------------------------------------------------------------

    def reference(self) -> RunSpec:
        """M."""
        return RunSpec(task=self.task, kind="reference", label="reference")

    def treat(self, paths: PathSet, label: str) -> RunSpec:
        """`treat(Q)` inside the scope, of a set that is not P."""
        return self._run("treat", paths, label)

    def keep(self, paths: PathSet, label: str) -> RunSpec:
        """`keep(Q)` inside the scope, of a set that is not P."""
        return self._run("keep", paths, label)

    def _run(self, which: Literal["treat", "keep"], paths: PathSet, label: str) -> RunSpec:
        if self.treated is not None:  # as a run that names its treated value is written
            label = f"{label[:-1]}, treated: {self.context.text(self.treated, self.bindings)})"
        run = RunSpec(
            task=self.task,
            kind="treat",
            paths=self.context.treated_paths(which, paths, self.scope),
            label=label,
        )
        return self.context.with_treated(run, self.treated)

    def empty(self) -> RunSpec:
        """`keep(none)`: the whole scope treated."""
        return self.keep(self.context.algebra.NONE, "keep(none)")

    def treated_alone(self) -> RunSpec:
        """`treat(P)`."""
        run = self.treat(self.paths, f"treat({self.title})")
        return self._about(
            run, lambda other: self.context.treated_paths("treat", other, self.scope)
        )

    def circuit(self) -> RunSpec:
        """C."""
        return self.circuit_without(self.paths, ())

    def circuit_without(self, paths: PathSet, units: Knockouts) -> RunSpec:
        """C without K; `paths` are those of P, or of P and a walk that extends it."""
        context, title = self.context, self.title
        if not units:
            run = self.keep(paths, f"keep({title})")
            return self._about(run, lambda other: context.treated_paths("keep", other, self.scope))
        cut = self.resolver.through(units)
        kept = context.algebra.minus(paths, cut)
        run = self.keep(kept, f"keep({title} - through({names_of(units)}))")
        return self._about(
            run,
            lambda other: context.treated_paths(
                "keep", context.algebra.minus(other, cut), self.scope
            ),
        )

    def _about(self, run: RunSpec, treated: Callable[[PathSet], PathSet]) -> RunSpec:
        claimed = self.claimed
        return run if claimed is None else replace(run, subject=replace(claimed, treated=treated))

    def model_without(self, units: Knockouts) -> RunSpec:
        """M without K."""
        if not units:
            return self.reference()
        cut = self.resolver.through(units)
        return self.treat(cut, f"treat(through({names_of(units)}))")

    # ---------------------------------------------------------------------------------------------
    # Values
    # ---------------------------------------------------------------------------------------------

    def rows(self, run: RunSpec) -> RowMetric:
        """The score's metric on a run."""
        assert self.metric is not None  # the choice of metric has raised PD420 otherwise
        return RowMetric(metric=self.metric, run=run)

    def total(self, run: RunSpec, part: Half | None = None) -> Aggregate:
        """F(R): the mean of the metric."""
        return mean(self.rows(run), self.task, f"F({run.label})", part)

    def average(self, rows: RowExpr, label: str, part: Half | None = None) -> Aggregate:
        """The mean of any per-prompt expression."""
        return mean(rows, self.task, label, part)

    def quotient(
        self, above: tuple[RunSpec, RunSpec | None], below: tuple[RunSpec, RunSpec | None],
        part: Half | None = None,
    ) -> Scalar:  # fmt: skip
        """(F(a) - F(b)) / (F(c) - F(d)), or the mean of each prompt's, as `average` says."""
        if not self.mean_of_ratios:
            return ratio(self.between(*above, part), self.between(*below, part))
        top, bottom = self._row_between(*above), self._row_between(*below)
        label = f"mean({_written(*above)} / {_written(*below)})"
        return self.average(RowOp(op="/", args=(top, bottom)), label, part)

    def between(self, left: RunSpec, right: RunSpec | None, part: Half | None = None) -> Scalar:
        """F(left) - F(right), or F(left)."""
        first = self.total(left, part)
        return first if right is None else difference(first, self.total(right, part))

    def _row_between(self, left: RunSpec, right: RunSpec | None) -> RowExpr:
        first = self.rows(left)
        return first if right is None else RowOp(op="-", args=(first, self.rows(right)))


# -------------------------------------------------------------------------------------------------
# Making one
# -------------------------------------------------------------------------------------------------


def setting_of(context: Context, score: ast.Score, bindings: Bindings) -> Setting:
    """Task, metric and scope of a score; PD420 where several metrics could be meant."""
    given = {o.keyword: o.value for o in score.options}
    name: str | None = None
    if wants_metric(score) or "metric" in given:
        choice = choose_metric(context.program, score)
        name = choice.name
        if name is None:
            raise fault(
                "PD420",
                "it is not clear which metric is meant",
                score,
                help="name it, `metric: " + (choice.candidates or ("LD",))[0] + "`",
            )
    task = context.task(name, named_option(score.options, "task"), score)
    metric = context.metric(name, score) if name is not None else None
    scope = given.get("scope")
    return Setting(
        context=context,
        score=score,
        bindings=bindings,
        task=task,
        metric=metric,
        scope=context.resolver.on(task).path_set(scope, bindings) if scope is not None else None,  # type: ignore[arg-type]
        mean_of_ratios=context.mean_of_ratios(task),
        position=(metric.position if metric is not None and "metric" in given else "") or "END",
        title=_title(context, score, bindings),
        treated=treated_by(score),
    )


def subject_of(score: ast.Score, place: int = 0) -> ast.PathExpr:
    """A path set that a score takes; PD423 where a run or a score stands in its place."""
    subject = score.subjects[place]
    if isinstance(subject, ast.PlainRun | ast.PathRun | ast.Score):
        raise fault("PD423", f"`{score.name}` takes a path set here", subject)
    return subject


def _title(context: Context, score: ast.Score, bindings: Bindings) -> str:
    """How the score's path set is written; a control that `chance` drew stands in no source."""
    if not score.subjects:
        return "P"
    subject = score.subjects[0]
    if isinstance(subject, ast.RandomLike) and subject.span == score.span:
        return f"random_like({context.text(subject.inner, bindings)}, seed: …)"
    if isinstance(subject, ast.RandomEdges) and subject.span == score.span:
        like = context.text(subject.options[0].value, bindings)
        return f"random_edges(like: {like}, by: walks, seed: …)"
    return context.text(subject, bindings) or "P"
