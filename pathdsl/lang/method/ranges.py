"""Lint of the method: claims that cannot fail, and that cannot hold, by what they are made of.

What a side may be follows from the ranges of measures, statistics and scores
(`pathdsl.lang.signatures.ranges`). Expressions that are written alike are one value, so that
`X ~= X`, `X - X` and `X / X` say nothing, whatever X is.

Source: docs/scores.md, Ranges.
"""

from __future__ import annotations

from math import isfinite

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, source_text, warning
from pathdsl.lang.program import Program
from pathdsl.lang.serving import choose_metric
from pathdsl.lang.signatures.calls import resolve_arguments, resolve_options
from pathdsl.lang.signatures.correlations import RANGE, correlated, is_correlation
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.members import OverRecord, over_of
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.ranges import ANY, NOT_BELOW_0, Range, apply, point
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.lang.walk import compared, strip, walk

__all__ = ["REPAIR", "Ranges", "check_ranges", "decided"]

_PLAIN = (ast.Number, ast.Unary, ast.Binary, ast.Bracket)
REPAIR = "claim what the model could fail: a nearer threshold, a smaller margin, another run"


def check_ranges(program: Program) -> Faults:
    """PD526 for every claim whose relation is decided by the ranges of its sides."""
    ranges = Ranges(program)
    for claim in program.claims:
        holds = ranges.decides(claim)
        if holds is not None:
            yield warning(
                "PD526",
                *decided(claim, holds, ranges.why(claim)),
                help=REPAIR,
            )


def decided(claim: ast.ClaimDecl, holds: bool, why: str) -> tuple[str, Span, str]:
    """Message, place and label of a claim that holds, or does not, whatever the model does."""
    control = not holds and claim.expect == "refuted"
    verb = "fail" if holds else "hold"
    more = ", so that it is no control" if control else ""
    return f"`{claim.name.name}` cannot {verb}{more}: {why}", claim.name.span, "whatever it runs on"


class Ranges:
    """Where the expressions of one program lie; lets and metrics are looked at once."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._forms: dict[object, int] = {}
        self._lets: dict[str, int] = {}
        self._known: dict[tuple[str, str], Range] = {}

    # ---------------------------------------------------------------------------------------------
    # Claims
    # ---------------------------------------------------------------------------------------------

    def decides(self, claim: ast.ClaimDecl) -> bool | None:
        """Whether a claim holds whatever the model does; None where that depends on the model."""
        apart = self.difference(claim.left, claim.right)
        margin = point(0.0) if claim.within is None else self.of(claim.within)
        record = RELATIONS[claim.relation]
        match record.asks:
            case "above":
                return _above(apart, record.strict)
            case "below":
                return _above(Range(-apart.high, -apart.low), record.strict)
            case "around":
                if -margin.low <= apart.low and apart.high <= margin.low:
                    return True
                return False if apart.low > margin.high or apart.high < -margin.high else None

    def difference(self, left: ast.Node, right: ast.Node) -> Range:
        """One side less the other."""
        if self.form(left) == self.form(right):
            return point(0.0)
        return apply("-", self.of(left), self.of(right))

    def why(self, claim: ast.ClaimDecl) -> str:
        """What decides a claim, in words."""
        left, right = self.of(claim.left), self.of(claim.right)
        if self.form(claim.left) == self.form(claim.right):
            return "both sides are the same"
        texts = [
            f"`{source_text(self.program, strip(side))}` is {_words(span)}"
            for side, span in ((claim.left, left), (claim.right, right))
            if span.bounded and not all(isinstance(node, _PLAIN) for node in walk(side))
        ]
        return " and ".join(texts) or "its sides differ by a fixed number"

    # ---------------------------------------------------------------------------------------------
    # Expressions
    # ---------------------------------------------------------------------------------------------

    def of(self, expr: ast.Node) -> Range:
        """Where an expression lies, per prompt or over the prompts."""
        match expr:
            case ast.Number(value=value):
                return point(value)
            case ast.Bracket(inner=inner):
                return self.of(inner)
            case ast.Unary(operand=operand):
                inner_range = self.of(operand)
                return Range(-inner_range.high, -inner_range.low)
            case ast.Binary():
                return self._binary(expr)
            case ast.Call() if (found := over_of(expr, self.program.kind)) is not None:
                return self._over(*found)
            case ast.Call() if is_correlation(expr, self.program.kind):
                sides = correlated(expr)
                same = len(sides) == 2 and self.form(sides[0]) == self.form(sides[1])
                return point(1.0) if same else RANGE
            case ast.Call():
                return self._call(expr)
            case ast.Score():
                return self._score(expr)
            case ast.Name(name=name) if name in self.program.lets:
                return self._once("let", name, self.program.lets[name].expression)
            case ast.Subscript(name=ast.Name(name=name)) if name in self.program.lets:
                return self._once("let", name, self.program.lets[name].expression)
            case _:
                return ANY

    def _over(self, record: OverRecord, over: ast.OverMembers) -> Range:
        """Where a function over members lies: where they do, but for a sum and a share of them."""
        if record.makes == "counting":
            return Range(0.0, 1.0)
        return self.of(over.value) if record.makes == "extreme" or record.divided else ANY

    def _once(self, kind: str, name: str, expr: ast.Node) -> Range:
        key = kind, name
        if key not in self._known:
            self._known[key] = ANY  # a circle of lets, which is a fault of its own
            self._known[key] = self.of(expr)
        return self._known[key]

    def _binary(self, expr: ast.Binary) -> Range:
        left, right = self.of(expr.left), self.of(expr.right)
        found = apply(expr.op, left, right)
        if expr.op in ("-", "/", "*") and self.form(expr.left) == self.form(expr.right):
            match expr.op:
                case "-":
                    return point(0.0)
                case "/":
                    return point(1.0)
                case _:
                    return Range(max(found.low, NOT_BELOW_0.low), found.high)
        return found

    def _call(self, expr: ast.Call) -> Range:
        name, program = expr.name, self.program
        if name in STATISTICS:
            args = [self.of(argument.value) for argument in expr.arguments]
            return STATISTICS[name].range(args) if args else ANY
        if name in P_VALUES:
            return P_VALUES[name].range(resolve_arguments(P_VALUES[name], expr.arguments))
        if name in program.metrics:
            return self._once("metric", name, program.metrics[name].expression)
        return MEASURES[name].range if name in MEASURES else ANY

    def _score(self, score: ast.Score) -> Range:
        record, options = SCORES[score.name], resolve_options(score)
        form = record.form(str(options["as"]) if options.get("as") is not None else None)
        name = choose_metric(self.program, score).name if form.reads_metric else None
        metric = self.program.metrics.get(name or "")
        of_metric = ANY if metric is None else self._once("metric", name or "", metric.expression)
        fixed = self._fixed(score)
        value = getattr(form.fixed, fixed) if fixed else None
        return point(value) if value is not None else form.range(of_metric, options)

    def _fixed(self, score: ast.Score) -> str:
        """`none`, `full` or `same` where a score is of such a set; "" for any other."""
        scopes = [option.value for option in score.options if option.keyword == "scope"]
        subjects = [self.form(subject) for subject in score.subjects]
        if len(subjects) == 2:
            return "same" if subjects[0] == subjects[1] else ""
        if not subjects:
            return ""
        if subjects[0] == self._number("none"):
            return "none"
        if subjects[0] == self._number("full") or subjects[0] in map(self.form, scopes):
            return "full"
        return ""

    # ---------------------------------------------------------------------------------------------
    # What is written alike
    # ---------------------------------------------------------------------------------------------

    def form(self, node: object) -> int:
        """A number for what an expression says: equal ones have one, whatever lets they name."""
        match node:
            case ast.Bracket() | ast.Group():
                return self.form(strip(node))
            case ast.Name(name=name) if name in self.program.lets:
                if name not in self._lets:
                    self._lets[name] = -1
                    self._lets[name] = self.form(self.program.lets[name].expression)
                return self._lets[name]
            case ast.Name(name=name, at=None) if name in self.program.paths:
                inner = strip(self.program.paths[name].path)
                alias = isinstance(inner, ast.Name | ast.Full | ast.NonePath)
                return self.form(inner) if alias and inner != node else self._number(("path", name))
            case ast.Full():
                return self._number("full")
            case ast.NonePath():
                return self._number("none")
            case ast.PathRun(options=(), under=None):
                return self._number(self._run(node))
            case ast.PlainRun(under=None):
                return self._number(node.which)
            case ast.Number():
                return self._number(node.value)
            case ast.Node():
                parts = [self.form(getattr(node, name)) for name in compared(node)]
                return self._number((type(node).__name__, *parts))
            case tuple():
                return self._number(tuple(self.form(item) for item in node))
            case _:
                return self._number((type(node).__name__, str(node)))

    def _run(self, run: ast.PathRun) -> object:
        """`keep(full)` and `treat(none)` are the reference run, and the other way round."""
        paths = self.form(run.paths)
        ends = {
            self._number("full"): run.which == "keep",
            self._number("none"): run.which != "keep",
        }
        if paths in ends:
            return "reference" if ends[paths] else "treated"
        return run.which, paths

    def _number(self, form: object) -> int:
        return self._forms.setdefault(form, len(self._forms))


def _words(span: Range) -> str:
    if span.is_point:
        return f"always {span.low:g}"
    if not isfinite(span.high):
        return f"at least {span.low:.3g}"
    if not isfinite(span.low):
        return f"at most {span.high:.3g}"
    return f"between {span.low:.3g} and {span.high:.3g}"


def _above(apart: Range, strict: bool) -> bool | None:
    if apart.low > 0 or (apart.low == 0 and not strict):
        return True
    if apart.high < 0 or (apart.high == 0 and strict):
        return False
    return None
