"""From the syntax of `let` and `claim` to quantities over all prompts.

Averages, p-values, scores, other lets (put in place of their names) and arithmetic. What stands
inside an average is per prompt: see `pathdsl.score.context`.

Source: docs/language.md, `let` and `claim`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from pathdsl.graph.paths import pathset
from pathdsl.graph.resolve.instances import Index, Instance, in_common, members_of, ranging
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import AVERAGING, STATISTICS, resolve_arguments
from pathdsl.lang.signatures.correlations import (
    CORRELATION,
    RANKED,
    correlated,
    is_correlation,
)
from pathdsl.lang.signatures.members import over_of
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.walk import quantities
from pathdsl.limits import MEMBERS
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.quantity import (
    Among,
    Constant,
    Correlation,
    Op,
    Operator,
    RowOp,
    Scalar,
    Worst,
    difference,
    is_constant,
    mean,
    ratio,
    requests,
    summed,
)
from pathdsl.score.rounds import Steps, gather, ordered
from pathdsl.score.scores.knockouts import enough_to_split
from pathdsl.score.scores.lower import lower_score
from pathdsl.score.scores.pvalues import p_value
from pathdsl.score.selection import best_of, halved_tasks, halves_of, how_many
from pathdsl.score.session import Bindings, PathAlgebra, Resolver, Session

__all__ = ["Lowering"]

ALONE = Instance()


class Lowering:
    """Lowers the expressions of one program; a let is lowered once."""

    def __init__(
        self,
        program: Program,
        resolver: Resolver,
        session: Session,
        algebra: PathAlgebra = pathset,
    ) -> None:
        self.context = Context(program, resolver, session, algebra)
        self._lets: dict[tuple[str, str], Scalar] = {}
        self._indices: dict[str, Index] = {}
        self._members = 0

    def scalar(self, expr: ast.Node, bindings: Bindings) -> Steps:
        """A quantity, as a generator that yields what searches for knockouts ask for."""
        match expr:
            case ast.Number(value=value):
                return Constant(value=value)
            case ast.Bracket(inner=inner):
                return (yield from self.scalar(inner, bindings))
            case ast.Unary(operand=operand):
                return Op(op="neg", args=((yield from self.scalar(operand, bindings)),))
            case ast.Binary(op=op, left=left, right=right):
                first = yield from self.scalar(left, bindings)
                second = yield from self.scalar(right, bindings)
                return Op(op=op, args=(first, second))
            case ast.Call() if over_of(expr, self.context.program.kind) is not None:
                return (yield from self.over(expr, bindings))
            case ast.Call() if is_correlation(expr, self.context.program.kind):
                return (yield from self.correlation(expr, bindings))
            case ast.Call(name=name) if name in AVERAGING:
                return self.context.aggregate(expr, bindings)
            case ast.Call(name=name) if name in P_VALUES:
                return (yield from p_value(self.context, expr, bindings))
            case ast.Call(name=name, arguments=arguments) if name in STATISTICS:
                args: list[Scalar] = []
                for argument in arguments:
                    args.append((yield from self.scalar(argument.value, bindings)))
                return Op(op=cast(Operator, name), args=tuple(args))
            case ast.Name(name=name):
                return (yield from self.let(name, expr))
            case ast.Subscript():
                return (yield from self.subscript(expr, bindings))
            case ast.Score():
                return (yield from lower_score(self.context, expr, bindings))
            case _:
                raise fault(
                    "PD423",
                    "this is no number over all prompts",
                    expr,
                    help="an average makes one of a metric, `mean(LD(reference))`",
                )

    def over(self, call: ast.Call, bindings: Bindings) -> Steps:
        """A function over members: each is lowered, and what they ask for is asked together."""
        found = over_of(call, self.context.program.kind)
        assert found is not None
        record, over = found
        members = members_of(self.context.program, self.context.resolver, over, bindings)
        self._members += len(members)
        if self._members > MEMBERS.most:
            raise fault(
                MEMBERS.code,
                f"functions over members have more than {MEMBERS.most:,} of them together",
                over.loop,
                help="range over fewer nodes",
            )
        values = yield from gather([self.scalar(m.of(over.value), m.bindings) for m in members])
        threshold = 0.0
        if over.bound is not None:
            bounds = yield from gather([self.scalar(m.of(over.bound), m.bindings) for m in members])
            if all(is_constant(bound) for bound in bounds) and len({*bounds}) == 1:
                threshold = self.context.evaluator.estimate(bounds[0])
            else:
                values = [difference(v, b) for v, b in zip(values, bounds, strict=True)]
        named = tuple(zip((m.label for m in members), values, strict=True))
        match record.makes:
            case "extreme":
                return Worst(which=cast(Literal["max", "min"], record.name), members=named)
            case "addition":
                whole = summed(values)
                return ratio(whole, Constant(value=len(values))) if record.divided else whole
            case "counting":
                relation = cast(Literal["<", "<=", ">", ">="], over.relation)
                return Among(relation=relation, threshold=threshold, members=named)
            case "selection":
                return (yield from self.best(call, named))

    def best(self, call: ast.Call, members: Sequence[tuple[str, Scalar]]) -> Steps:
        """The mean of the members with the largest values, chosen on one half of the prompts."""
        count = how_many(call.arguments[0].value, len(members))
        values = [member for _, member in members]
        tasks = halved_tasks(values, call)
        for task in tasks:
            enough_to_split(self.context.session, task, call, "take more rows")
        halves = halves_of([self.context.session.tasks[task] for task in tasks], call)
        yield ordered(map(requests, values))
        return best_of(members, count, self.context.evaluator, halves)

    def correlation(self, call: ast.Call, bindings: Bindings) -> Steps:
        """The correlation of two families over their members, or of two numbers per prompt."""
        program, resolver = self.context.program, self.context.resolver
        options = resolve_arguments(CORRELATION, call.arguments)
        ranked = RANKED[options.word("by")]
        found = in_common(program, resolver, call)
        if not found:
            x, y = (self.context.row(side, bindings) for side in correlated(call))
            task = self.context.rows_of(RowOp(op="-", args=(x, y)), call)
            labels = [self.context.text(side, bindings) for side in correlated(call)]
            means = [mean(rows, task, text) for rows, text in zip((x, y), labels, strict=True)]
            return Correlation(ranked=ranked, names=(), xs=(means[0],), ys=(means[1],))
        values = []
        for let, members in found:
            each = [self.let(let.name.name, call, member) for member in members]
            values.append(tuple((yield from gather(each))))
        names = tuple(member.label for member in found[0][1])
        return Correlation(ranked=ranked, names=names, xs=values[0], ys=values[1])

    def let(self, name: str, at: ast.Node, member: Instance = ALONE) -> Steps:
        """The quantity of a `let`, or of one member of it."""
        decl = self.context.program.lets.get(name)
        if decl is None:
            raise fault("PD423", f"`{name}` is no quantity", at)
        if decl.loop is not None and not member.label:
            raise fault(
                "PD426", f"`{name}` has many members", at, help=f"name one, `{name}[a0.h0]`"
            )
        # A let that several name, or one names twice, is one object, lowered once.
        key = name, member.label
        if key not in self._lets:
            if name in self._reached(decl):
                raise fault("PD425", f"`{name}` is defined by itself", at)
            expression = member.of(decl.expression)
            self._lets[key] = yield from self.scalar(expression, member.bindings)
        return self._lets[key]

    def _reached(self, decl: ast.LetDecl) -> set[str]:
        """The names of all lets that a let is made of, directly or not."""
        found: set[str] = set()
        pending = [decl]
        while pending:
            for node in quantities(pending.pop().expression):
                if node.name in self.context.program.lets and node.name not in found:
                    found.add(node.name)
                    pending.append(self.context.program.lets[node.name])
        return found

    def subscript(self, expr: ast.Subscript, bindings: Bindings) -> Steps:
        """`direct[a9.h9]`, or `direct[h]` inside a loop over `h`."""
        decl = self.context.program.lets.get(expr.name.name)
        if decl is None or decl.loop is None:
            raise fault("PD426", f"`{expr.name.name}` has no members", expr)
        name = expr.name.name
        if name not in self._indices:
            program = self.context.program
            resolver = ranging(program, self.context.resolver, decl)
            self._indices[name] = Index(program, resolver, decl.loop)
        return (yield from self.let(name, expr, self._indices[name].named(expr, bindings)))
