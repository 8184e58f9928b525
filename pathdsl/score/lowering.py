"""From the syntax of `let` and `claim` to quantities over all prompts.

Averages, p-values, scores, other lets (put in place of their names) and arithmetic. What stands
inside an average is per prompt: see `pathdsl.score.context`.

Source: docs/language.md, `let` and `claim`.
"""

from __future__ import annotations

from typing import cast

from pathdsl.graph.paths import pathset
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import AVERAGING, STATISTICS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.walk import quantities
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.quantity import Constant, Op, Operator, Scalar
from pathdsl.score.rounds import Steps
from pathdsl.score.scores.lower import lower_score
from pathdsl.score.scores.pvalues import p_value
from pathdsl.score.session import Bindings, Member, PathAlgebra, Resolver, Session

__all__ = ["Lowering", "member_named"]


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
                return (yield from self.let(name, expr, {}))
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

    def let(self, name: str, at: ast.Node, bindings: Bindings) -> Steps:
        """The quantity of a `let`, its loop variable bound by `bindings`."""
        decl = self.context.program.lets.get(name)
        if decl is None:
            raise fault("PD423", f"`{name}` is no quantity", at)
        if decl.loop is not None and not bindings:
            raise fault(
                "PD426", f"`{name}` has many members", at, help=f"name one, `{name}[a0.h0]`"
            )
        # A let that several name, or one names twice, is one object, lowered once.
        key = name, "".join(member.label for member in bindings.values())
        if key not in self._lets:
            if name in self._reached(decl):
                raise fault("PD425", f"`{name}` is defined by itself", at)
            self._lets[key] = yield from self.scalar(decl.expression, bindings)
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
        member = member_named(self.context.resolver, decl.loop, expr, bindings)
        return (yield from self.let(expr.name.name, expr, {decl.loop.variable.name: member}))


def member_named(
    resolver: Resolver, loop: ast.Loop, expr: ast.Subscript, bindings: Bindings
) -> Member:
    """The member that a subscript names; its position may be left out where it is clear."""
    reference = expr.member
    if isinstance(reference, ast.Name) and reference.name in bindings:
        labels = [bindings[reference.name].label]
    else:
        named = ast.Loop(variable=loop.variable, members=reference, span=expr.span)
        labels = [m.label for m in resolver.loop(named)]
    members = resolver.loop(loop)
    meant = [m for m in members if m.label in labels]
    meant = meant or [m for m in members if m.label.partition("@")[0] in labels]
    if len(labels) != 1 or len(meant) != 1:
        raise fault(
            "PD426",
            f"`{expr.name.name}` has no single member `{', '.join(labels)}`",
            expr,
            help=f"its members are {', '.join(f'`{m.label}`' for m in members[:6])}"
            + (", …" if len(members) > 6 else ""),
        )
    return meant[0]
