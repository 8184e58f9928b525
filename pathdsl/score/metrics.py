r"""Metrics: expressions over what is measured at the logits of one run, one number per prompt.

A metric is kept as a sympy expression whose symbols stand for measures (`logit(io)@END`), built
from the syntax tree by constructors alone; no text is ever parsed as Python. That one object gives
the canonical spelling (so that equal metrics are equal whatever the order they were written in),
the LaTeX of the report and, through `lambdify`, the numpy function that evaluates it. A measure
alone and the difference of two, which most metrics are, are kept as `Difference`: the same to all
of these, without the import of sympy.

Source: docs/language.md, `metric`; the logit difference is Wang et al. 2022 (arXiv:2211.00593),
section 2.1; KL as a metric of faithfulness Conmy et al. 2023 (arXiv:2304.14997).

    metric LD: logits = logit(io) - logit(s)
    compile_metric(decl).canonical        # "logit(io)@END - logit(s)@END"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, assert_never

import numpy as np

from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.measures import MEASURES, MeasureRecord, nodes_in
from pathdsl.lang.spelling import bare_nodes, node_text, position_text
from pathdsl.lang.walk import strip
from pathdsl.plan.readout import Measure
from pathdsl.score.faults import fault

if TYPE_CHECKING:
    import sympy

__all__ = ["Difference", "Metric", "atom", "compile_metric", "exact"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One symbol, or one less another one, by their names."""

    first: str
    second: str = ""

    @property
    def free_symbols(self) -> frozenset[str]:
        """The names of its symbols."""
        return frozenset([self.first, self.second] if self.second else [self.first])

    def __str__(self) -> str:
        """As sympy spells it, which sorts the terms by name."""
        if not self.second:
            return self.first
        if self.first < self.second:
            return f"{self.first} - {self.second}"
        return f"-{self.second} + {self.first}"

    def expression(self) -> sympy.Expr:
        """The same as sympy has it."""
        from sympy import Symbol

        first = Symbol(self.first, real=True)
        return first - Symbol(self.second, real=True) if self.second else first


def _kept(expression: sympy.Expr) -> sympy.Expr | Difference:
    """An expression as metrics keep it, one way for equal ones."""
    import sympy

    if isinstance(expression, sympy.Symbol):
        return Difference(expression.name)
    if isinstance(expression, sympy.Add) and len(expression.args) == 2:
        for first, second in (expression.args, expression.args[::-1]):
            if isinstance(first, sympy.Symbol) and isinstance(-second, sympy.Symbol):
                return Difference(first.name, (-second).name)
    return expression


def _whole(expression: sympy.Expr | Difference) -> sympy.Expr:
    return expression.expression() if isinstance(expression, Difference) else expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number per prompt of any run; equal when the expression is.

    `measures` are in the order of their spelling and stand for the symbols of `expression`.
    `denominators`: what the expression divides by, each a metric of its own. `position` is where
    the metric reads when all its measures agree, else "".
    """

    name: str = field(compare=False)
    expression: sympy.Expr | Difference
    measures: tuple[Measure, ...]
    denominators: tuple[Metric, ...] = field(compare=False, default=())

    @property
    def canonical(self) -> str:
        """One spelling for equal metrics."""
        return _spelled(self.expression)

    @property
    def position(self) -> str:
        """The position that every measure reads, or "" where they differ."""
        positions = {m.position for m in self.measures if m.at_position}
        return positions.pop() if len(positions) == 1 else ""

    @property
    def discrete(self) -> bool:
        """True when the values are exact (ranks, hits), so that rounding does not move them."""
        return all(m.record.exact for m in self.measures)

    @property
    def of_writes(self) -> bool:
        """Whether it is made of what components write, which has no bound that the logits have."""
        return any(m.record.reads == "write" for m in self.measures)

    @property
    def latex(self) -> str:
        r"""`\operatorname{logit}(\mathrm{io}) - …`; positions appear where they are not END."""
        import sympy

        names = {sympy.Symbol(_spelling(m), real=True): _latex(m) for m in self.measures}
        return str(sympy.latex(_whole(self.expression), symbol_names=names))

    def evaluate(self, values: Mapping[Measure, np.ndarray]) -> np.ndarray:
        """The metric from its measures, elementwise; any shape that they share."""
        arrays = [np.asarray(values[m], dtype=np.float64) for m in self.measures]
        with np.errstate(all="ignore"):
            result = _function(self.expression, tuple(_spelling(m) for m in self.measures))(*arrays)
        shape = np.broadcast_shapes(*(a.shape for a in arrays)) if arrays else ()
        return np.broadcast_to(np.asarray(result, dtype=np.float64), shape)

    @property
    def linear(self) -> bool:
        """Whether its derivative by each measure is a number."""
        if isinstance(self.expression, Difference):
            return True
        import sympy

        symbols = self.expression.free_symbols
        return not any(sympy.diff(self.expression, one).free_symbols for one in symbols)

    def slopes(self, values: Mapping[Measure, np.ndarray]) -> dict[Measure, np.ndarray]:
        """The metric's derivative by each of its measures, elementwise as `evaluate`.

        Where `abs`, `min` and `max` have a corner it is the mean of both sides.
        """
        import sympy

        found = {}
        for measure in self.measures:
            symbol = sympy.Symbol(_spelling(measure), real=True)
            slope = replace(self, expression=_kept(sympy.diff(_whole(self.expression), symbol)))
            found[measure] = slope.evaluate(values)
        return found


@lru_cache(maxsize=256)
def _spelled(expression: sympy.Expr | Difference) -> str:
    return str(expression)


@lru_cache(maxsize=256)
def _function(
    expression: sympy.Expr | Difference, names: tuple[str, ...]
) -> Callable[..., np.ndarray]:
    if isinstance(expression, Difference) and expression.free_symbols <= {*names}:
        first = names.index(expression.first)
        if not expression.second:
            return lambda *arrays: arrays[first]
        second = names.index(expression.second)
        return lambda *arrays: arrays[first] - arrays[second]
    import sympy

    expression = _whole(expression)
    symbols = [sympy.Symbol(name, real=True) for name in names]
    return sympy.lambdify(symbols, expression, modules="numpy", dummify=True)


def _spelling(measure: Measure) -> str:
    layer, head = measure.head or (0, 0)
    match measure.record.reads:
        case "head":
            return f"{measure.kind}(a{layer}.h{head},{measure.query}->{measure.key})"
        case "copy":
            sign = ",negated" if measure.negated else ""
            places = ",".join(measure.of)
            return f"{measure.kind}(a{layer}.h{head},[{places}],{measure.top}{sign})"
        case _:
            return f"{measure.kind}({', '.join(_inside(measure))})@{measure.position}"


def _inside(measure: Measure) -> tuple[str, ...]:
    """What a measure at one position is called with."""
    if measure.record.reads == "reference":
        return ("reference",)
    return tuple(part for part in (measure.nodes, measure.column, measure.run) if part)


def _latex(measure: Measure) -> str:
    def text(value: str) -> str:
        plain = value.replace("_", r"\_").replace("{", r"\{").replace("}", r"\}")
        return r"\mathrm{" + plain + "}"

    kind = measure.kind.replace("_", r"\_")
    layer, head = measure.head or (0, 0)
    if measure.record.reads == "copy":
        places = ", ".join(map(text, measure.of))
        sign = "-" if measure.negated else ""
        return rf"\operatorname{{{kind}}}_{{{sign}{layer}.{head}}}^{{{measure.top}}}({places})"
    if measure.of_head:
        arrow = rf"{text(measure.query)}\to {text(measure.key)}"
        return rf"\operatorname{{{kind}}}_{{{layer}.{head}}}({arrow})"
    at = "" if measure.position == "END" else rf"_{{@{text(measure.position)}}}"
    return rf"\operatorname{{{kind}}}{at}({', '.join(map(text, _inside(measure)))})"


def atom(measure: Measure) -> Metric:
    """The metric that is one measure."""
    name = _spelling(measure)
    return Metric(name=name, expression=Difference(name), measures=(measure,))


def exact(number: ast.Number) -> sympy.Rational:
    """The number as written, as a fraction: 0.1 is 1/10."""
    import sympy

    fraction = Fraction(repr(float(number.value)))
    return sympy.Rational(fraction.numerator, fraction.denominator)


def compile_metric(
    decl: ast.MetricDecl, groups: Mapping[str, ast.GroupDecl] | None = None
) -> Metric:
    """The metric of a declaration.

    `groups` are needed where `attention` names its head by a group of one. Raises LanguageError
    with PD423 for what cannot stand in a metric and PD430 where `attention` has not one head.
    """
    builder = _Builder(decl, groups or {})
    expression = builder.plain(decl.expression) or builder.build(decl.expression)
    return builder.metric(decl.name.name, expression, builder.denominators)


class _Builder:
    """Walks one metric's expression, collecting measures and denominators."""

    def __init__(self, decl: ast.MetricDecl, groups: Mapping[str, ast.GroupDecl]) -> None:
        self.decl = decl
        self.groups = groups
        self.measured: dict[str, Measure] = {}
        self.denominators: list[sympy.Expr] = []

    def metric(
        self, name: str, expression: sympy.Expr | Difference, divided: list[sympy.Expr]
    ) -> Metric:
        if not isinstance(expression, Difference):
            expression = _kept(expression)
        # All measures of the declaration stay, even where terms cancel: a value per prompt needs
        # at least one of them for its shape.
        symbols = expression.free_symbols
        used = {s if isinstance(s, str) else s.name for s in symbols} or set(self.measured)
        return Metric(
            name=name,
            expression=expression,
            measures=tuple(self.measured[n] for n in sorted(used)),
            denominators=tuple(
                self.metric(f"{name} (denominator)", d, []) for d in divided if d.free_symbols
            ),
        )

    def plain(self, expr: ast.Node) -> Difference | None:
        """A measure, or the difference of two; None for any other expression."""
        match strip(expr):
            case ast.Call() as call:
                one = self.measured_by(call)
                return Difference(self.named(one)) if one is not None else None
            case ast.Binary(op="-", left=left, right=right):
                first, second = self.plain(left), self.plain(right)
                if first is None or second is None or first.second or second.second:
                    return None
                return Difference(first.first, second.first) if first != second else None
        return None

    def named(self, measure: Measure) -> str:
        """The symbol of a measure, which is noted."""
        self.measured[_spelling(measure)] = measure
        return _spelling(measure)

    def build(self, expr: ast.Node) -> sympy.Expr:
        import sympy

        match expr:
            case ast.Number():
                return exact(expr)
            case ast.Bracket(inner=inner):
                return self.build(inner)
            case ast.Unary(operand=operand):
                return sympy.Mul(sympy.Integer(-1), self.build(operand))
            case ast.Binary():
                return self.binary(expr)
            case ast.Call():
                return self.call(expr)
            case _:
                raise fault("PD423", "this cannot stand in a metric", expr)

    def binary(self, expr: ast.Binary) -> sympy.Expr:
        import sympy

        left, right = self.build(expr.left), self.build(expr.right)
        match expr.op:
            case "+":
                return sympy.Add(left, right)
            case "-":
                return sympy.Add(left, sympy.Mul(sympy.Integer(-1), right))
            case "*":
                return sympy.Mul(left, right)
            case "/":
                self.denominators.append(right)
                return sympy.Mul(left, sympy.Pow(right, sympy.Integer(-1)))
            case "^":
                return sympy.Pow(left, right)
            case _:
                assert_never(expr.op)

    def call(self, expr: ast.Call) -> sympy.Expr:
        import sympy

        if (one := self.measured_by(expr)) is not None:
            return sympy.Symbol(self.named(one), real=True)
        functions = {"abs": sympy.Abs, "min": sympy.Min, "max": sympy.Max}
        return functions[expr.name](*(self.build(argument.value) for argument in expr.arguments))

    def measured_by(self, expr: ast.Call) -> Measure | None:
        """The measure that a call is; None for a function of others."""
        values = [a.value for a in expr.arguments]
        at = position_text(expr.at or self.decl.at)
        record = MEASURES.get(expr.name)
        if record is not None and record.reads in ("write", "copy"):
            return self.of_nodes(record, expr, at)
        match record.reads if record is not None else "", values:
            case "answer", [ast.Name(name=column)]:
                return Measure(kind=expr.name, column=column, position=at)
            case "reference" | "nothing", _:
                return Measure(kind=expr.name, position=at)
            case "head", [ast.AttentionArgs() as args, *_]:
                return self.of_head(expr.name, args)
        if expr.name in ("abs", "min", "max") and values:
            return None
        raise fault("PD423", f"`{expr.name}` cannot stand in a metric", expr)

    def of_nodes(self, record: MeasureRecord, expr: ast.Call, at: str) -> Measure:
        given = resolve_arguments(record, expr.arguments)
        ref = next(nodes_in(expr))
        if record.reads == "copy":
            return Measure(
                kind=record.name,
                head=self.head(ref, record),
                of=tuple(position_text(one) for one in given["of"]),  # type: ignore[attr-defined]
                top=given.integer("top"),
                negated=bool(given["negated"]),
            )
        bare, run = bare_nodes(ref, self.groups), given.get("run")
        return Measure(
            kind=record.name,
            column=str(given.get("answer", "")),
            position=at,
            nodes=node_text(bare),
            ref=bare,
            run=run.which if isinstance(run, ast.PlainRun) else "",
        )

    def of_head(self, kind: str, args: ast.AttentionArgs) -> Measure:
        return Measure(
            kind=kind,
            head=self.head(args.head, MEASURES[kind]),
            query=position_text(args.query),
            key=position_text(args.key),
        )

    def head(self, node: ast.NodeRef, record: MeasureRecord) -> tuple[int, int]:
        match node:
            case ast.HeadRef(layer=layer, head=head) if layer.single and head.single:
                return layer.ranges[0][0], head.ranges[0][0]
            case ast.NodeSet(members=(only,), excluded=()):
                return self.head(only, record)
            case ast.Name(name=name) if name in self.groups:
                return self.head(self.groups[name].nodes, record)
        raise fault(
            "PD430",
            f"`{record.name}` measures one head",
            node,
            help=f"name a single head, `{record.example}`",
        )
