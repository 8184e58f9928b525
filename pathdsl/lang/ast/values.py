"""Values, runs and expressions, as written."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pathdsl.errors import Span
from pathdsl.lang.ast.base import Argument, Node
from pathdsl.lang.ast.loops import Loop
from pathdsl.lang.ast.nodes import Name, NodeRef, Position, Windows
from pathdsl.lang.ast.paths import PathExpr
from pathdsl.record import record


@record
class Number(Node):
    """A number; `80%` has value 0.8 and `percent` set. `written` keeps the author's spelling."""

    value: float
    percent: bool = False
    integer: bool = False
    written: str = field(compare=False, default="")


@record
class String(Node):
    """A quoted text, unescaped."""

    value: str


@record
class Bool(Node):
    """`true` or `false`."""

    value: bool


@record
class ListValue(Node):
    """`[IO, S1, S2]`."""

    items: tuple[Expr, ...]


@record
class MapValue(Node):
    """`{ a9.h0: backup_mover }`: only as the `given:` of a score."""

    items: tuple[tuple[NodeRef, NodeRef], ...]


@record
class Call(Node):
    """`name(args)`: a loader, generator, treated value, statistic, metric of a run, method.

    Runs, scores and path sets have classes of their own below. Arguments of `over:`, `like:` and
    the like may be path expressions or node references; `attention` takes an `AttentionArgs`.
    `at` is the position of a measured term, `logit(io) @S2`; it overrides the metric's own.
    """

    name: str
    arguments: tuple[Argument, ...] = ()
    at: Position | None = None
    name_span: Span = field(compare=False, repr=False)


@record
class AttentionArgs(Node):
    """`attention(a9.h9, END -> IO)`: the mass that `head` at `query` puts on `key`."""

    head: NodeRef
    query: Position
    key: Position


@record
class PlainRun(Node):
    """`reference` or `treated`; `under` is the intervention of `RUN with NAME`.

    `also`: the names behind the first of `RUN with [A, B]`.
    """

    which: Literal["reference", "treated"]
    under: Name | None = None
    also: tuple[Name, ...] = ()

    @property
    def blocks(self) -> tuple[Name, ...]:
        """The interventions that it stands under, in the order in which they act."""
        return () if self.under is None else (self.under, *self.also)


@record
class PathRun(Node):
    """`treat(P, scope: S, treated: zero)` or `keep(P, …)`; `options` are the keyword arguments."""

    which: Literal["treat", "keep"]
    paths: PathExpr
    options: tuple[Argument, ...] = ()
    under: Name | None = None
    also: tuple[Name, ...] = ()

    @property
    def blocks(self) -> tuple[Name, ...]:
        """The interventions that it stands under, in the order in which they act."""
        return () if self.under is None else (self.under, *self.also)


@record
class Score(Node):
    """`faithfulness(P, as: ratio)` and the other scores of a path set (or of two, or of a run).

    `name` is one of faithfulness, completeness, minimality, effect, accuracy, overlap, paths,
    chance. `subjects` are the leading arguments: path sets; a run for `accuracy` (and an optional
    second run for nothing else); a `Score` for `chance`.
    """

    name: str
    subjects: tuple[PathExpr | Run | Score, ...]
    options: tuple[Argument, ...] = ()
    name_span: Span = field(compare=False, repr=False)


@record
class Subscript(Node):
    """`direct[a9.h9]`: one member of a `let … for`.

    `more` are the further indices of `heat[r5, S2]`, one for each variable of the loop.
    """

    name: Name
    member: NodeRef | Position | Number
    more: tuple[NodeRef | Position | Number, ...] = ()


@record
class OverMembers(Node):
    """`h in attn: effect(through(h)) < -0.1`: what a function over members takes.

    `share` takes a condition, `value` against `bound`; the others a `value` alone.
    """

    loop: Loop
    value: Expr
    relation: Literal["<", "<=", ">", ">=", "~="] | None = None
    bound: Expr | None = None

    @property
    def sides(self) -> tuple[Expr, ...]:
        """What is taken of each member: a value, or both sides of a condition."""
        return (self.value,) if self.bound is None else (self.value, self.bound)


@record
class Compared(Node):
    """`faithfulness(P) >= 80%` between the brackets of a call: the condition of `emerges`."""

    left: Expr
    relation: Literal["<", "<=", ">", ">=", "~="]
    right: Expr


@record
class Unary(Node):
    """`-x`."""

    operand: Expr


@record
class Binary(Node):
    """`a + b` and the like; `^` is power."""

    op: Literal["+", "-", "*", "/", "^"]
    left: Expr
    right: Expr


@record
class Bracket(Node):
    """`( x )` as written."""

    inner: Expr


Run = PlainRun | PathRun
Expr = (
    Number | String | Bool | ListValue | MapValue | Call | AttentionArgs | Run | Score
    | OverMembers | Compared | Subscript | Unary | Binary | Bracket | Position | Windows | PathExpr
)  # fmt: skip
