"""Statements and the file that holds them, as written."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pathdsl.errors import Span
from pathdsl.lang.ast.base import Node, Slot
from pathdsl.lang.ast.loops import Loop
from pathdsl.lang.ast.nodes import Name, NodeRef, NodeSet, Position
from pathdsl.lang.ast.paths import PathExpr
from pathdsl.lang.ast.values import Call, Expr, Number
from pathdsl.record import record


@record
class Field(Node):
    """`name = value` inside a block."""

    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@record
class CircuitDecl(Node):
    """`circuit ioi "title" { … }`."""

    name: Name
    title: str = ""
    fields: tuple[Field, ...] = ()


@record
class UseDecl(Node):
    """`use "other.circuit"`."""

    path: str
    path_span: Span = field(compare=False, repr=False)


@record
class ModelDecl(Node):
    """`model gpt2 = hf("id", revision: "…", dtype: float32)`."""

    name: Name
    source: Call


@record
class Condition(Node):
    """`n_demos >= 4`, or `ok(reference) == 1` where `left` is a metric called with a run."""

    left: Name | Call
    relation: Literal["==", "!=", "<", "<=", ">", ">=", "~="]
    value: Expr


@record
class TaskDecl(Node):
    """`task ioi { … }`, or `task abba = ioi where template == "abba"` (then `base` is set).

    A `where` of one `LABEL == VALUE` stands in `where_field` and `where_value`, any other in
    `conditions`; `where` has the conditions of both forms.
    """

    name: Name
    fields: tuple[Field, ...] = ()
    base: Name | None = None
    where_field: Name | None = None
    where_value: Expr | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def where(self) -> tuple[Condition, ...]:
        """The conditions that a row of `base` has to meet, in their order."""
        if self.where_field is None or self.where_value is None:
            return self.conditions
        span = Span(
            path=self.where_field.span.path,
            start=self.where_field.span.start, end=self.where_value.span.end,
        )  # fmt: skip
        return (Condition(left=self.where_field, relation="==", value=self.where_value, span=span),)


@record
class GroupDecl(Node):
    """`group induction @S2 = { a5.h5, a5.h8 }`."""

    name: Name
    at: Position | None
    nodes: NodeSet


@record
class PathDecl(Node):
    """`path main = input ~> a9.h9 ~> logits`."""

    name: Name
    path: PathExpr


@record
class MetricDecl(Node):
    """`metric LD on ioi @S2: logits = logit(io) - logit(s)`; `at` is the position it reads."""

    name: Name
    task: Name | None
    unit: Name | None
    expression: Expr
    at: Position | None = None


@record
class LetDecl(Node):
    """`let direct for h in attn: logits = mean(…)`."""

    name: Name
    loop: Loop | None
    unit: Name | None
    expression: Expr


@record
class Action(Node):
    """One line of an `intervene` block: `verb` is pattern, block, zero, scale, set or add.

    `pattern(H@Q) = uniform(P)` · `block(H -> P)` · `zero q|v(H)` · `scale H = 2.0` ·
    `set H = RUN` · `add r5 = mean(a) - mean(b)`. `more`: slots of `zero` beside the first.
    """

    verb: Literal["pattern", "block", "zero", "scale", "set", "add"]
    node: NodeRef
    slot: Slot | None = None
    key: Position | None = None
    value: Expr | None = None
    more: tuple[Slot, ...] = ()

    @property
    def inside(self) -> bool:
        """Whether it acts inside heads, and not on a value."""
        return self.verb not in ("scale", "set", "add")


@record
class InterveneDecl(Node):
    """`intervene repair { … }`."""

    name: Name
    actions: tuple[Action, ...]


@record
class Emergence(Node):
    """`emerges(…) <= 64000` around the condition of a claim: by which step it holds for good.

    `relation` is as it reads with `emerges` on the left, `call` the span of that call.
    """

    relation: Literal["<", "<=", ">", ">=", "~="]
    step: Expr
    call: Span = field(compare=False, repr=False)


@record
class ClaimDecl(Node):
    """`claim NAME [for v in SET]: A REL B [within D] [at C% confidence] [by M] [expect V]`.

    Of `claim NAME: emerges(A REL B) <= STEP` `left`, `relation` and `right` are the condition,
    judged at each revision of a series, and `emerges` is what is claimed of the steps.
    """

    name: Name
    loop: Loop | None
    left: Expr
    relation: Literal["<", "<=", ">", ">=", "~="]
    right: Expr
    within: Expr | None = None
    confidence: Number | None = None
    methods: tuple[Call, ...] = ()
    expect: Literal["supported", "refuted"] = "supported"
    text: str = ""
    emerges: Emergence | None = None


Statement = (
    CircuitDecl | UseDecl | ModelDecl | TaskDecl | GroupDecl | PathDecl | MetricDecl | LetDecl
    | InterveneDecl | ClaimDecl
)  # fmt: skip


@record
class File(Node):
    """One parsed file: its statements in the author's order.

    `broken` has the names of statements that could not be read: they are not unknown names.
    """

    path: str = field(compare=False)
    statements: tuple[Statement, ...] = ()
    broken: tuple[Name, ...] = field(default=(), compare=False)
