"""What variables range over, as written: nodes, windows, edges, lists of things of one kind."""

from __future__ import annotations

from pathdsl.lang.ast.base import Node
from pathdsl.lang.ast.nodes import Name, NodeRef, Position, Windows
from pathdsl.lang.ast.paths import PathExpr
from pathdsl.record import record


@record
class Things(Node):
    """`[en, zh, fr]`: names, positions, indices (as `Number`s) or path sets, one member each."""

    items: tuple[Node, ...]


@record
class IndexRange(Node):
    """`[0..5]`, `[-3..-1]`: the indices of tokens from `first` to `last`, both included."""

    first: int
    last: int


@record
class EdgesOf(Node):
    """`edges(P)`, `edges { … }`: the edges on some path of a set, one member each."""

    paths: PathExpr


Domain = NodeRef | Windows | Things | IndexRange | EdgesOf
Thing = PathExpr | Position


@record
class Binding(Node):
    """`v in SET`, one variable of a loop."""

    variable: Name
    members: Domain


@record
class Loop(Node):
    """`for h in SET`; `more` are the further variables of `for h in SET, p in SET`."""

    variable: Name
    members: Domain
    more: tuple[Binding, ...] = ()

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All variables with what they range over, in the order of the text."""
        span = self.variable.span.to(self.members.span)
        return (Binding(variable=self.variable, members=self.members, span=span), *self.more)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all variables."""
        return (self.variable.name, *(one.variable.name for one in self.more))
