"""Paths: arrows, chains, repeats, set algebra and built-in path sets, as written."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pathdsl.lang.ast.base import Argument, Node, Slot
from pathdsl.lang.ast.nodes import NodeRef
from pathdsl.record import record


@record
class Relation(Node):
    """`prev`, `same`, `window(3)`, `offset(-2)`; `size` is the number in brackets (as written)."""

    kind: Literal["prev", "same", "window", "offset"]
    size: int | None = None


@record
class SlotRelation(Node):
    """Slots and the relation that binds them: `k,v: window(3)`; no relation: anywhere."""

    slots: tuple[Slot, ...]
    relation: Relation | None = None


@record
class Arrow(Node):
    """`->`, `-[q]->`, `~>`, `~[k: prev]~>`; no `labels` means any input of the receiver."""

    reach: bool = False
    labels: tuple[SlotRelation, ...] = ()


@record
class Hop(Node):
    """One arrow and what it leads to, inside a chain."""

    arrow: Arrow
    target: PathExpr


@record
class Repeat(Node):
    """`(-> mlp)*`, `(…)+`, `(…)?`, `(…){1,3}`: a section of hops repeated; `most` None: no end.

    `written` keeps the author's quantifier for the formatter: "*", "+", "?", "{2}", "{1,3}".
    """

    hops: tuple[Hop, ...]
    least: int
    most: int | None
    written: str = field(compare=False, default="")


@record
class Chain(Node):
    """`A -> B (-> mlp)* -> C`; `first` is a node reference or a bracketed sub-path."""

    first: PathExpr
    steps: tuple[Hop | Repeat, ...]


@record
class Choice(Node):
    """`P | Q | R`."""

    options: tuple[PathExpr, ...]


@record
class SetOp(Node):
    """`P & Q` or `P - Q`, left to right."""

    op: Literal["&", "-"]
    left: PathExpr
    right: PathExpr


@record
class Group(Node):
    """`( P )`: brackets as written."""

    inner: PathExpr


@record
class Full(Node):
    """`full`: every path."""


@record
class NonePath(Node):
    """`none`: no path."""


@record
class Through(Node):
    """`through(a, b)`: paths that visit one of these nodes or cross one of these marks."""

    nodes: tuple[NodeRef, ...]


@record
class Within(Node):
    """`within(a, b)`: paths that visit only these, `input` and `logits` aside."""

    nodes: tuple[NodeRef, ...]


@record
class Edges(Node):
    """`edges { a -> b; b -[v]-> c -> logits }`: each chain lists each of its edges."""

    chains: tuple[Chain, ...]


@record
class EdgesFile(Node):
    """`edges("file.json", top: 200)`: a circuit in the EAP-IG/MIB format."""

    path: str
    options: tuple[Argument, ...] = ()


@record
class RandomLike(Node):
    """`random_like(P, seed: 0)`."""

    inner: PathExpr
    options: tuple[Argument, ...] = ()


@record
class RandomEdges(Node):
    """`random_edges(count: 40, like: P, seed: 0)`."""

    options: tuple[Argument, ...] = ()


CompleteSet = (
    SetOp | Full | NonePath | Through | Within | Edges | EdgesFile | RandomLike | RandomEdges
)
"""Path sets from `input` to `logits`, which cannot be a step of a path."""
PathExpr = NodeRef | Chain | Choice | Group | CompleteSet
