"""Positions and nodes of the computational graph, as written."""

from __future__ import annotations

from typing import Literal

from pathdsl.errors import Span
from pathdsl.lang.ast.base import Argument, Node
from pathdsl.record import record


@record
class Position(Node):
    """`@S1+1`, `@END`, `@[3]`: a name with an offset, or an absolute index (then `name` is "").

    `[-2]`, counted from the end, is `END-1`. `variable` is the loop variable of `@[i]`, which
    stands for an index. A span `S1..S2` has its first and last place in `ends`, a set `{S1, S2}`
    its members in `among`; these have no name and no index of their own.
    """

    name: str = ""
    offset: int = 0
    index: int | None = None
    variable: str = ""
    ends: tuple[Position, ...] = ()
    among: tuple[Position, ...] = ()

    @property
    def parts(self) -> tuple[Position, ...]:
        """The positions that a span or a set is made of; () for a single place."""
        return self.ends or self.among

    @property
    def backwards(self) -> bool:
        """Whether the spelling of a span alone says that it holds no place."""
        if not self.ends:
            return False
        first, last = self.ends
        if first.index is not None and last.index is not None:
            return last.index < first.index
        return first.name == last.name != "" and last.offset < first.offset

    @classmethod
    def of_index(cls, index: int, span: Span) -> Position:
        """The place of an index; one that is counted from the end is a place before `END`."""
        if index < 0:
            return cls(name="END", offset=index + 1, span=span)
        return cls(index=index, span=span)


@record
class Indices(Node):
    """Which layers or heads: `9`, `*`, `[7..9]`, `[0,6]`, `[0..2,6]`; `ranges` has both ends in."""

    every: bool = False
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def single(self) -> bool:
        """Whether it is one number as it is written."""
        return not self.every and [low == high for low, high in self.ranges] == [True]


@record
class HeadRef(Node):
    """`a9.h6`, `a9.h*`, `a9`, `a[7..9].h*`, `a9.h[0,6]`."""

    layer: Indices
    head: Indices
    at: Position | None = None


@record
class KvRef(Node):
    """`a9.kv2`, `a9.kv*`, `a[7..9].kv0`, `a9.kv[0,1]`: the query heads that share those keys and
    values."""

    layer: Indices
    group: Indices
    at: Position | None = None


@record
class MlpRef(Node):
    """`m5`, `m[0..3]`, `m*`."""

    layer: Indices
    at: Position | None = None


@record
class NeuronRef(Node):
    """`m5.n1337`, `m5.n[0..63]`."""

    layer: Indices
    neuron: Indices
    at: Position | None = None


@record
class ResidRef(Node):
    """`r5`, `r[0..12]`: a mark on the edge that crosses the entry of that layer."""

    layer: Indices
    at: Position | None = None


@record
class Word(Node):
    """A built-in set: `input`, `logits`, `attn`, `mlp`, `any`."""

    word: Literal["input", "logits", "attn", "mlp", "any"]
    at: Position | None = None


@record
class Name(Node):
    """A name as written, with the position put on it if any: group, path, loop variable, field."""

    name: str
    at: Position | None = None


@record
class NodeSet(Node):
    """`{a9.h9, name_mover, except a9.h6}`; `at` is a position put on the whole set."""

    members: tuple[NodeRef, ...]
    excluded: tuple[NodeRef, ...] = ()
    at: Position | None = None


@record
class NodesFile(Node):
    """`nodes("file.json", top: 200)`: the nodes that a file in the EAP-IG/MIB format says."""

    path: str
    options: tuple[Argument, ...] = ()
    at: Position | None = None


@record
class Windows(Node):
    """`windows(m[0..47], 5)`: every run of `size` neighbours, one member of a loop each.

    `by` is "layer" where whole layers are the neighbours.
    """

    nodes: NodeRef
    size: int
    by: str = ""


NodeRef = HeadRef | KvRef | MlpRef | NeuronRef | ResidRef | Word | Name | NodeSet | NodesFile
