"""What expressions are lowered in: metrics, tasks and runs of one program, and rows of numbers.

Inside `mean`, `median`, `quantile` and `std` an expression is per prompt: metrics of runs, numbers,
`abs`, `min`, `max` and arithmetic. `treat(P)` is a run with P as its treated paths, `keep(P)` is
`treat(full - P)`, and `scope: S` makes them `treat(P & S)` and `treat(S - P)`.

Source: docs/language.md, Runs and `let`; the operator is Goldowsky-Dill et al. 2023
(arXiv:2304.05969).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.graph.resolve.places import text_of
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.reach import reach
from pathdsl.lang.serving import averages_ratios, choose_task, fields_of, named_option, placed
from pathdsl.lang.signatures.correlations import CORRELATION
from pathdsl.lang.signatures.kinds import literal
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.statistics import AVERAGING, STATISTICS
from pathdsl.lang.spelling import position_text
from pathdsl.lang.walk import strip
from pathdsl.plan.runs import RunSpec, Subject, under_text
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.score.curves import Curve
from pathdsl.score.faults import fault
from pathdsl.score.metrics import Metric, compile_metric
from pathdsl.score.quantity import (
    Aggregate,
    Operator,
    RowExpr,
    RowMetric,
    RowNumber,
    RowOp,
    Scalar,
    row_metrics,
)  # fmt: skip
from pathdsl.score.session import Bindings, PathAlgebra, Resolver, Session
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.under import Interventions

__all__ = ["Context"]

_DRAWN = (ast.RandomLike, ast.RandomEdges)


class Context:
    """One program on one model and its rows; compiled metrics are kept.

    `curves` holds, by each area that was lowered, what it is over. `judges`: whether values are
    read of which nothing that is measured hangs; they may not be there where it is False.
    """

    def __init__(
        self, program: Program, resolver: Resolver, session: Session, algebra: PathAlgebra
    ) -> None:
        self.program = program
        self.resolver = resolver
        self.session = session
        self.algebra = algebra
        self.evaluator = Evaluator(session)
        self.curves: dict[Scalar, Curve] = {}
        self.judges = True
        self._metrics: dict[tuple[str, str], Metric] = {}
        self.interventions = Interventions(program, resolver, lambda r, task: self.run(r, task, {}))

    # ---------------------------------------------------------------------------------------------
    # Names
    # ---------------------------------------------------------------------------------------------

    def metric(
        self, name: str, at: ast.Node | None = None, read: ast.Position | None = None
    ) -> Metric:
        """The compiled metric of that name, read at `read`; PD423 where there is none."""
        key = name, position_text(read) if read is not None else ""
        if key not in self._metrics:
            decl = self.program.metrics.get(name)
            if decl is None:
                raise fault("PD423", f"`{name}` is no metric", at)
            self._metrics[key] = compile_metric(placed(decl, read), self.program.groups)
        return self._metrics[key]

    def task(self, metric: str | None, asked: str | None, at: ast.Node) -> str:
        """The task of a metric's run or of a score; PD421 where several could be meant."""
        decl = self.program.metrics.get(metric) if metric is not None else None
        choice = choose_task(self.program, decl, asked)
        if choice.name is None or choice.name not in self.session.tasks:
            raise fault(
                "PD421",
                "it is not clear which task is meant",
                at,
                help="name it, `task: " + (choice.candidates or tuple(self.program.tasks))[0] + "`",
            )
        return choice.name

    def mean_of_ratios(self, task: str) -> bool:
        """Whether the task's `average` is `mean_of_ratios`."""
        return averages_ratios(self.program, self.program.tasks.get(task))

    def split_by(self, task: str) -> str:
        """The label by which the task's claims are reported; "" where it names none."""
        decl = self.program.tasks.get(task)
        field = fields_of(self.program, decl).get("split_by") if decl is not None else None
        return str(literal(field.value)) if field is not None else ""

    def text(self, node: ast.Node, bindings: Bindings = {}) -> str:
        """The source of a node on one line, loop variables by their members; "" without source."""
        return text_of(self.program, node, bindings)

    def counted_on(self, score: ast.Score) -> Resolver:
        """The graph on which a score counts: that of its task's model.

        Raises LanguageError PD239 where models differ in their nodes and no task is named.
        """
        named = named_option(score.options, "task")
        if named is None and self.resolver.others:
            tasks = [name for name in self.program.tasks if name in self.session.tasks]
            raise fault(
                "PD239",
                "the models of this file differ in their nodes: on which is this counted?",
                score,
                help=f"`task: {tasks[0]}`, or another task of the model that is meant",
            )
        return self.resolver.on(named or "")

    # ---------------------------------------------------------------------------------------------
    # Runs
    # ---------------------------------------------------------------------------------------------

    def run(self, run: ast.Run, task: str, bindings: Bindings) -> RunSpec:
        """The run spec of `reference`, `treated`, `treat(…)` or `keep(…)`."""
        blocks = self.interventions.blocks(run.blocks, task)
        made = RunSpec(
            task=task, kind="reference", under=under_text(blocks), blocks=blocks,
            label=self.text(run, bindings), form=self.text(run),
        )  # fmt: skip
        if isinstance(run, ast.PlainRun):
            return replace(made, kind=run.which)
        options = {o.keyword: o.value for o in run.options}
        resolver = self.resolver.on(task)
        paths = resolver.path_set(run.paths, bindings)
        scope: PathSet | None = None
        if "scope" in options:
            scope = resolver.path_set(options["scope"], bindings)  # type: ignore[arg-type]
        subject = self.subject(
            run.paths,
            paths,
            self.text(run.paths, bindings),
            lambda other: self.treated_paths(run.which, other, scope),
        )
        treats = self.treated_paths(run.which, paths, scope)
        made = replace(made, kind="treat", paths=treats, subject=subject)
        return self.with_treated(made, options.get("treated"))

    def with_treated(self, run: RunSpec, treated: ast.Node | None) -> RunSpec:
        """The run with a treated value of its own, None for that of its task.

        `treated: reference with NAME` puts the treated side under NAME as well.
        """
        if not isinstance(treated, ast.PlainRun):
            return replace(run, treated=treated_spec(treated) if treated is not None else None)
        task = run.task
        column = self.session.tasks[task].reference
        of_reference = treated.which == "reference"
        of_treated = (*run.blocks, *self.interventions.blocks(treated.blocks, task))
        return replace(
            run,
            treated=TreatedSpec(kind="paired", column=column) if of_reference else None,
            of_treated=of_treated,
            under=under_text(run.blocks, of_treated),
        )

    def subject(
        self,
        expr: ast.PathExpr,
        paths: PathSet,
        text: str,
        treated: Callable[[PathSet], PathSet],
    ) -> Subject | None:
        """What a run of this path set is about; None for `full` and `none`, which are baselines."""
        if isinstance(strip(expr), ast.Full | ast.NonePath):
            return None
        return Subject(
            paths=paths,
            text=text,
            treated=treated,
            drawn=any(isinstance(n, _DRAWN) for n in reach(self.program, expr)),
        )

    def treated_paths(self, which: str, paths: PathSet, scope: PathSet | None) -> PathSet:
        """The set T such that the run is `treat(T)`."""
        base = self.algebra.FULL if scope is None else scope
        if which == "keep":
            return self.algebra.minus(base, paths)
        return paths if scope is None else self.algebra.intersection(paths, scope)

    # ---------------------------------------------------------------------------------------------
    # Per prompt
    # ---------------------------------------------------------------------------------------------

    def row(self, expr: ast.Node, bindings: Bindings) -> RowExpr:
        """A per-prompt expression; PD423 for what has no value per prompt."""
        match expr:
            case ast.Number(value=value):
                return RowNumber(value=value)
            case ast.Bracket(inner=inner):
                return self.row(inner, bindings)
            case ast.Unary(operand=operand):
                return RowOp(op="neg", args=(self.row(operand, bindings),))
            case ast.Binary(op=op, left=left, right=right):
                return RowOp(op=op, args=(self.row(left, bindings), self.row(right, bindings)))
            case ast.Call(name=name, arguments=arguments) if (
                name in STATISTICS and name not in AVERAGING
            ):
                args = tuple(self.row(a.value, bindings) for a in arguments)
                return RowOp(op=cast(Operator, name), args=args)
            case ast.Call(name=name, arguments=arguments) if name in self.program.metrics:
                return self.measured(name, expr, arguments, bindings)
            case _:
                raise fault("PD423", "this has no value for each prompt", expr)

    def measured(
        self, name: str, at: ast.Call, arguments: tuple[ast.Argument, ...], bindings: Bindings
    ) -> RowMetric:
        """`LD(RUN, task: gn)`."""
        runs = [a.value for a in arguments if not a.keyword]
        asked = next((literal(a.value) for a in arguments if a.keyword == "task"), None)
        if len(runs) != 1 or not isinstance(runs[0], ast.PlainRun | ast.PathRun):
            raise fault("PD423", f"`{name}` is measured on one run", at)
        task = self.task(name, asked if isinstance(asked, str) else None, at)
        metric = self.metric(name, at, at.at)
        return RowMetric(metric=metric, run=self.run(runs[0], task, bindings))

    def aggregate(self, call: ast.Call, bindings: Bindings) -> Aggregate:
        """`mean(x)`, `median(x)`, `quantile(x, 90%)`, `std(x)`."""
        values = [a.value for a in call.arguments]
        rows = self.row(values[0], bindings)
        task = self.rows_of(rows, call)
        q = literal(values[1]) if len(values) > 1 else None
        return Aggregate(
            kind=call.name,  # type: ignore[arg-type]
            rows=rows,
            task=task,
            q=float(q) if isinstance(q, int | float) else 0.5,
            label=self.text(call, bindings),
        )

    def rows_of(self, rows: RowExpr, call: ast.Call) -> str:
        """The task whose rows an expression pairs; PD423 for none, PD427 for several."""
        tasks = list(dict.fromkeys(m.run.task for m in row_metrics(rows)))
        if not tasks:
            raise fault("PD423", f"`{call.name}` is over a number that no prompt changes", call)
        shared = {data.drawn or data.key or t for t in tasks if (data := self.session.tasks[t])}
        if len(shared) > 1:
            raise fault(
                "PD427",
                "rows of " + " and ".join(f"`{t}`" for t in tasks) + " are paired, but differ",
                call,
                help=_without_pairs(call),
            )
        return tasks[0]


def _without_pairs(call: ast.Call) -> str:
    """What compares tasks whose rows do not pair, "" where nothing does."""
    if call.name in P_VALUES:
        return ""
    if call.name == CORRELATION.name:
        return (
            "correlate over members, `let x for h in attn = …` of one task and `let y for h in "
            "attn = …` of the other"
        )
    return f"take the means first, `{call.name}(…) - {call.name}(…)`"
