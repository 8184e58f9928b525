"""The syntax tree of a `.circuit` file: what was written, and where.

One frozen class per form of the language; every node carries the `Span` it was written at. Spans do
not take part in equality, so `parse(format(x)) == parse(x)` is a law that tests can state.

The tree is unresolved: a `Name` may be a group, a path, a loop variable or nothing at all.
`pathdsl.lang.check` resolves names and reports faults; `pathdsl.plan.lower` gives meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pathdsl.errors import Span

Slot = Literal["q", "k", "v"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all syntax nodes."""

    span: Span = field(compare=False, repr=False)


# -------------------------------------------------------------------------------------------------
# Positions and nodes of the computational graph
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(Node):
    """`@S1+1`, `@END`, `@[3]`: a name with an offset, or an absolute index (then `name` is "")."""

    name: str = ""
    offset: int = 0
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indices(Node):
    """Which layers or heads: `9`, `*`, `[7..9]`, `[0,6]`, `[0..2,6]`; `ranges` has both ends in."""

    every: bool = False
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRef(Node):
    """`a9.h6`, `a9.h*`, `a9`, `a[7..9].h*`, `a9.h[0,6]`."""

    layer: Indices
    head: Indices
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpRef(Node):
    """`m5`, `m[0..3]`, `m*`."""

    layer: Indices
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronRef(Node):
    """`m5.n1337`, `m5.n[0..63]`: reserved; checked, refused when executed."""

    layer: Indices
    neuron: Indices
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidRef(Node):
    """`r5`, `r[0..12]`: a mark on the edge that crosses the entry of that layer."""

    layer: Indices
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word(Node):
    """A built-in set: `input`, `logits`, `attn`, `mlp`, `any`."""

    word: Literal["input", "logits", "attn", "mlp", "any"]
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    """A name as written, with the position put on it if any: group, path, loop variable, field."""

    name: str
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSet(Node):
    """`{a9.h9, name_mover, except a9.h6}`; `at` is a position put on the whole set."""

    members: tuple[NodeRef, ...]
    excluded: tuple[NodeRef, ...] = ()
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows(Node):
    """`windows(m[0..47], 5)`: every run of `size` neighbours, one member of a loop each."""

    nodes: NodeRef
    size: int


NodeRef = HeadRef | MlpRef | NeuronRef | ResidRef | Word | Name | NodeSet


# -------------------------------------------------------------------------------------------------
# Paths
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation(Node):
    """`prev`, `same`, `window(3)`, `offset(-2)`; `size` is the number in brackets (as written)."""

    kind: Literal["prev", "same", "window", "offset"]
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRelation(Node):
    """Slots and the relation that binds them: `k,v: window(3)`; no relation: anywhere."""

    slots: tuple[Slot, ...]
    relation: Relation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow(Node):
    """`->`, `-[q]->`, `~>`, `~[k: prev]~>`; no `labels` means any input of the receiver."""

    reach: bool = False
    labels: tuple[SlotRelation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop(Node):
    """One arrow and what it leads to, inside a chain."""

    arrow: Arrow
    target: PathExpr


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat(Node):
    """`(-> mlp)*`, `(…)+`, `(…)?`, `(…){1,3}`: a section of hops repeated; `most` None: no end.

    `written` keeps the author's quantifier for the formatter: "*", "+", "?", "{2}", "{1,3}".
    """

    hops: tuple[Hop, ...]
    least: int
    most: int | None
    written: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain(Node):
    """`A -> B (-> mlp)* -> C`; `first` is a node reference or a bracketed sub-path."""

    first: PathExpr
    steps: tuple[Hop | Repeat, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Node):
    """`P | Q | R`."""

    options: tuple[PathExpr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOp(Node):
    """`P & Q` or `P - Q`, left to right."""

    op: Literal["&", "-"]
    left: PathExpr
    right: PathExpr


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(Node):
    """`( P )`: brackets as written."""

    inner: PathExpr


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Node):
    """`full`: every path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NonePath(Node):
    """`none`: no path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Through(Node):
    """`through(a, b)`: paths that visit one of these nodes or cross one of these marks."""

    nodes: tuple[NodeRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Within(Node):
    """`within(a, b)`: paths that visit only these, `input` and `logits` aside."""

    nodes: tuple[NodeRef, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges(Node):
    """`edges { a -> b; b -[v]-> c -> logits }`: each chain lists each of its edges."""

    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgesFile(Node):
    """`edges("file.json", top: 200)`: a circuit in the EAP-IG/MIB format."""

    path: str
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomLike(Node):
    """`random_like(P, seed: 0)`."""

    inner: PathExpr
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomEdges(Node):
    """`random_edges(count: 40, like: P, seed: 0)`."""

    options: tuple[Argument, ...] = ()


PathExpr = (
    HeadRef | MlpRef | NeuronRef | ResidRef | Word | Name | NodeSet
    | Chain | Choice | SetOp | Group | Full | NonePath | Through | Within
    | Edges | EdgesFile | RandomLike | RandomEdges
)  # fmt: skip


# -------------------------------------------------------------------------------------------------
# Values, runs and expressions
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Node):
    """A number; `80%` has value 0.8 and `percent` set. `written` keeps the author's spelling."""

    value: float
    percent: bool = False
    integer: bool = False
    written: str = field(compare=False, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class String(Node):
    """A quoted text, unescaped."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bool(Node):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListValue(Node):
    """`[IO, S1, S2]`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapValue(Node):
    """`{ a9.h0: backup_mover }`: only as the `given:` of a score."""

    items: tuple[tuple[NodeRef, NodeRef], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument(Node):
    """One argument of a call; `keyword` is "" for a positional one."""

    keyword: str = ""
    value: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionArgs(Node):
    """`attention(a9.h9, END -> IO)`: the mass that `head` at `query` puts on `key`."""

    head: NodeRef
    query: Position
    key: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun(Node):
    """`reference` or `treated`; `under` is the intervention of `RUN with NAME`."""

    which: Literal["reference", "treated"]
    under: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRun(Node):
    """`treat(P, scope: S, treated: zero)` or `keep(P, …)`; `options` are the keyword arguments."""

    which: Literal["treat", "keep"]
    paths: PathExpr
    options: tuple[Argument, ...] = ()
    under: Name | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscript(Node):
    """`direct[a9.h9]`: one member of a `let … for`."""

    name: Name
    member: NodeRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`-x`."""

    operand: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Node):
    """`a + b` and the like; `^` is power."""

    op: Literal["+", "-", "*", "/", "^"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket(Node):
    """`( x )` as written."""

    inner: Expr


Run = PlainRun | PathRun
Expr = (
    Number | String | Bool | ListValue | MapValue | Name | Call | AttentionArgs | PlainRun | PathRun
    | Score | Subscript | Unary | Binary | Bracket | Position | HeadRef | MlpRef | NeuronRef
    | ResidRef | Word | NodeSet | Windows | Chain | Choice | SetOp | Group | Full | NonePath
    | Through | Within | Edges | EdgesFile | RandomLike | RandomEdges
)  # fmt: skip


# -------------------------------------------------------------------------------------------------
# Statements
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Node):
    """`name = value` inside a block."""

    name: str
    value: Expr
    name_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop(Node):
    """`for h in SET`."""

    variable: Name
    members: NodeRef | Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitDecl(Node):
    """`circuit ioi "title" { … }`."""

    name: Name
    title: str = ""
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UseDecl(Node):
    """`use "other.circuit"`."""

    path: str
    path_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDecl(Node):
    """`model gpt2 = hf("id", revision: "…", dtype: float32)`."""

    name: Name
    source: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDecl(Node):
    """`task ioi { … }`, or `task abba = ioi where template == "abba"` (then `base` is set)."""

    name: Name
    fields: tuple[Field, ...] = ()
    base: Name | None = None
    where_field: Name | None = None
    where_value: Expr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDecl(Node):
    """`group induction @S2 = { a5.h5, a5.h8 }`."""

    name: Name
    at: Position | None
    nodes: NodeSet


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDecl(Node):
    """`path main = input ~> a9.h9 ~> logits`."""

    name: Name
    path: PathExpr


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDecl(Node):
    """`metric LD on ioi @S2: logits = logit(io) - logit(s)`; `at` is the position it reads."""

    name: Name
    task: Name | None
    unit: Name | None
    expression: Expr
    at: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetDecl(Node):
    """`let direct for h in attn: logits = mean(…)`."""

    name: Name
    loop: Loop | None
    unit: Name | None
    expression: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Node):
    """One line of an `intervene` block: `verb` is pattern, block, zero, scale or set.

    `pattern(H@Q) = uniform(P)` · `block(H -> P)` · `zero v(H)` · `scale H = 2.0` · `set H = RUN`.
    """

    verb: Literal["pattern", "block", "zero", "scale", "set"]
    node: NodeRef
    slot: Slot | None = None
    key: Position | None = None
    value: Expr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterveneDecl(Node):
    """`intervene repair { … }`."""

    name: Name
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDecl(Node):
    """`claim NAME [for v in SET]: A REL B [within D] [at C% confidence] [by M] [expect refuted]`."""

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


Statement = (
    CircuitDecl | UseDecl | ModelDecl | TaskDecl | GroupDecl | PathDecl | MetricDecl | LetDecl
    | InterveneDecl | ClaimDecl
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class File(Node):
    """One parsed file: its statements in the author's order.

    `broken` has the names of statements that could not be read: they are not unknown names.
    """

    path: str = field(compare=False)
    statements: tuple[Statement, ...] = ()
    broken: tuple[Name, ...] = field(default=(), compare=False)
