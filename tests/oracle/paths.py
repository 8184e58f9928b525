"""Does one input-to-logits path belong to a path expression? Naive, path by path.

A path is the tuple of its steps from `input` to `logits`, with positions. Before matching it is
written out as a sequence of *items*: its nodes and, between two nodes, the residual marks `r0`,
`r1`, … that the edge crosses, in order. A sub-path expression matches from one item to another; a
path belongs to the completed set of a sub-path expression when some stretch of its items matches,
since every beginning and every end is supplied.

Source: `language.md` sections 4 and 5. Example::

    env = Environment.of(file, n_layers=2, n_heads=2, rows=(Row(length=4),))
    kept = [p for p in all_paths(env, read_position=3) if matches(env.paths["P"], env, p, 0)]
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from pathdsl.lang import ast

from .graph import (
    INPUT,
    LOGITS,
    Environment,
    Path,
    PlaceNode,
    Row,
    Step,
    all_paths,
    items_of,
    layer_of,
    reads,
    senders,
)

__all__ = [
    "INPUT",
    "LOGITS",
    "Environment",
    "MeaninglessError",
    "Path",
    "PlaceNode",
    "Row",
    "Step",
    "all_paths",
    "items_of",
    "layer_of",
    "matches",
    "reads",
    "senders",
]


class MeaninglessError(ValueError):
    """An expression that the language gives no meaning to."""


# -------------------------------------------------------------------------------------------------
# Positions and node references
# -------------------------------------------------------------------------------------------------


def indices_at(at: ast.Position, row: Row) -> tuple[int, ...]:
    """The positions that `@…` stands for on a row; an error if one is outside the prompt."""
    if at.among:
        return tuple(place for one in at.among for place in indices_at(one, row))
    if at.ends:
        first, last = (indices_at(end, row) for end in at.ends)
        inside = [p for p in range(row.length) if p >= min(first) and p <= max(last)]
        if not inside:
            raise MeaninglessError("an empty span")
        return tuple(inside)
    if at.index is not None:
        places: tuple[int, ...] = (at.index,)
    elif at.name == "END":
        places = (row.length - 1 + at.offset,)
    else:
        places = tuple(place + at.offset for place in row.positions[at.name])
    if not places or any(not 0 <= place < row.length for place in places):
        raise MeaninglessError(f"position {at.name}{at.offset:+d} is empty or outside the prompt")
    return places


def one_place(*written: ast.Position | None) -> ast.Position | None:
    """The one `@` among those written on a member, its set and its group; different ones clash."""
    places = [at for at in written if at is not None]
    if any(at != places[0] for at in places):
        raise MeaninglessError("a second, different position")
    return places[0] if places else None


def listed(indices: ast.Indices, number: int) -> bool:
    """Whether a layer or head number is among those written."""
    return indices.every or any(low <= number <= high for low, high in indices.ranges)


def member(
    ref: ast.NodeRef,
    item: Step,
    env: Environment,
    row: Row,
    at: ast.Position | None = None,
) -> bool:
    """Whether the item (a node or mark at its position) is one that `ref` stands for.

    `at` is the position put on what surrounds `ref`: its set, its group.
    """
    node = item.node
    match ref:
        case ast.NodeSet(members=members, excluded=excluded):
            place = one_place(at, ref.at)
            return any(member(m, item, env, row, place) for m in members) and not any(
                member(x, item, env, row) for x in excluded
            )
        case ast.Name(name=name) if name in env.bindings:
            return member(env.bindings[name], item, env, row, one_place(at, ref.at))
        case ast.Name(name=name) if name in env.groups:
            group = env.groups[name]
            return member(group.nodes, item, env, row, one_place(at, ref.at, group.at))
        case ast.Name(name=name):
            raise MeaninglessError(f"`{name}` is not a node or a group")
        case ast.HeadRef(layer=layers, head=heads):
            named = node[0] == "a" and listed(layers, node[1]) and listed(heads, node[2])
        case ast.KvRef(layer=layers, group=groups):
            size = env.n_heads // (env.n_kv_heads or env.n_heads)
            named = node[0] == "a" and listed(layers, node[1]) and listed(groups, node[2] // size)
        case ast.MlpRef(layer=layers):
            named = node[0] in ("m", "n") and listed(layers, node[1])
        case ast.NeuronRef(layer=layers, neuron=neurons):
            named = node[0] == "n" and listed(layers, node[1]) and listed(neurons, node[2])
        case ast.ResidRef(layer=layers):
            named = node[0] == "r" and listed(layers, node[1])
        case ast.Word(word="attn"):
            named = node[0] == "a"
        case ast.Word(word="mlp"):
            named = node[0] in ("m", "n")
        case ast.Word(word="any"):
            named = node[0] in ("a", "m", "n")
        case ast.Word(word=word):
            named = node == (word,)
        case _:
            raise MeaninglessError(f"not executed: {type(ref).__name__}")
    place = one_place(at, ref.at)
    if place is None:
        return named
    if isinstance(ref, ast.Word) and ref.word == "logits":
        raise MeaninglessError("`logits` takes no position")
    return named and item.position in indices_at(place, row)


def speaks_of_input(ref: ast.NodeRef, env: Environment) -> bool:
    """Whether `input` is written in a reference, itself or through a set or group."""
    match ref:
        case ast.Word(word="input"):
            return True
        case ast.NodeSet(members=members):
            return any(speaks_of_input(m, env) for m in members)
        case ast.Name(name=name) if name in env.bindings:
            return speaks_of_input(env.bindings[name], env)
        case ast.Name(name=name) if name in env.groups:
            return speaks_of_input(env.groups[name].nodes, env)
        case _:
            return False


NODE_REFS = (
    ast.HeadRef, ast.KvRef, ast.MlpRef, ast.NeuronRef, ast.ResidRef, ast.Word, ast.Name,
    ast.NodeSet,
)  # fmt: skip


# -------------------------------------------------------------------------------------------------
# Edges
# -------------------------------------------------------------------------------------------------


def related(relation: ast.Relation | None, sender: int, head: int) -> bool:
    """Whether a key or value position stands in the relation to the head's own position."""
    if relation is None:
        return True
    size = relation.size
    match relation.kind:
        case "prev":
            return sender == head - 1
        case "same":
            return sender == head
        case "window":
            assert size is not None
            return head - size + 1 <= sender <= head
        case "offset":
            assert size is not None
            return sender == head + size


def labelled(arrow: ast.Arrow, sender: Step, receiver: Step) -> bool:
    """Whether the edge from `sender` to `receiver` is one that the arrow's labels allow."""
    return not arrow.labels or any(
        sender.into in label.slots and related(label.relation, sender.position, receiver.position)
        for label in arrow.labels
    )


def edge_listed(edges: ast.Edges, sender: Step, receiver: Step, env: Environment, row: Row) -> bool:
    """Whether some chain of `edges { … }` lists this edge."""
    for chain in edges.chains:
        left = chain.first
        for hop in chain.steps:
            if not isinstance(hop, ast.Hop) or hop.arrow.reach:
                raise MeaninglessError("a chain in `edges` holds direct edges only")
            right = hop.target
            if not isinstance(left, NODE_REFS) or not isinstance(right, NODE_REFS):
                raise MeaninglessError("a chain in `edges` holds nodes only")
            if (
                member(left, sender, env, row)
                and member(right, receiver, env, row)
                and labelled(hop.arrow, sender, receiver)
            ):
                return True
            left = right
    return False


# -------------------------------------------------------------------------------------------------
# Sub-paths: from which item to which items does an expression match?
# -------------------------------------------------------------------------------------------------


def is_node(item: Step) -> bool:
    """Whether an item is a node of the graph, not a residual mark."""
    return item.node[0] != "r"


def sub(expr: ast.PathExpr, items: Path, start: int, env: Environment, row: Row) -> set[int]:
    """The items at which a stretch that begins at `start` and matches `expr` can end."""
    match expr:
        case ast.Name(name=name) if name in env.paths:
            if expr.at is not None:
                raise MeaninglessError(f"`{name}` is a path and takes no position")
            return sub(env.paths[name], items, start, env, row)
        case ast.Group(inner=inner):
            return sub(inner, items, start, env, row)
        case ast.Choice(options=options):
            return {end for option in options for end in sub(option, items, start, env, row)}
        case ast.Chain(first=first, steps=steps):
            ends = sub(first, items, start, env, row)
            for step in steps:
                ends = after(step, items, ends, env, row)
            return ends
    if not isinstance(expr, NODE_REFS):
        raise MeaninglessError(f"a complete path set inside a chain: {type(expr).__name__}")
    return {start} if member(expr, items[start], env, row) else set()


def after(
    step: ast.Hop | ast.Repeat,
    items: Path,
    starts: Iterable[int],
    env: Environment,
    row: Row,
) -> set[int]:
    """The items reached from one of `starts` by one hop or by a repeated section."""
    if isinstance(step, ast.Hop):
        return {end for start in starts for end in hop(step, items, start, env, row)}
    reached: set[int] = set()
    ends, times = set(starts), 0
    while ends and (step.most is None or times <= step.most):
        if times >= step.least:
            reached |= ends
        for inner in step.hops:
            ends = after(inner, items, ends, env, row)
        times += 1
    return reached


def hop(step: ast.Hop, items: Path, start: int, env: Environment, row: Row) -> set[int]:
    """The items reached from `start` by one arrow and its target."""
    node = next((k for k in range(start + 1, len(items)) if is_node(items[k])), None)
    if node is None:
        return set()
    ends: set[int] = set()
    for landing in range(start + 1, node + 1):  # the marks on the way, then the next node
        found = sub(step.target, items, landing, env, row)
        if found and landing < node and step.arrow.labels:
            raise MeaninglessError("an arrow that leads to a residual mark takes no labels")
        if landing == node:
            sender = next(items[k] for k in range(start, -1, -1) if is_node(items[k]))
            found = found if labelled(step.arrow, sender, items[node]) else set()
        ends |= found
    if step.arrow.reach and items[node].node[0] in (
        "a",
        "m",
        "n",
    ):  # a node between: (-> any)*
        ends |= hop(step, items, node, env, row)
    return ends


# -------------------------------------------------------------------------------------------------
# Complete path sets
# -------------------------------------------------------------------------------------------------


def matches(expr: ast.PathExpr, env: Environment, path: Path, row: int) -> bool:
    """Whether `path` is in the complete path set that `expr` denotes on row number `row`."""
    return complete(expr, items_of(path, env), env, env.rows[row])


def complete(expr: ast.PathExpr, items: Path, env: Environment, row: Row) -> bool:
    """`matches` on the items of a path: complete forms directly, sub-paths by supplied ends."""
    match expr:
        case ast.Full():
            return True
        case ast.NonePath():
            return False
        case ast.Group(inner=inner):
            return complete(inner, items, env, row)
        case ast.Name(name=name) if name in env.paths:
            if expr.at is not None:
                raise MeaninglessError(f"`{name}` is a path and takes no position")
            return complete(env.paths[name], items, env, row)
        case ast.Choice(options=options):
            return any(complete(option, items, env, row) for option in options)
        case ast.SetOp(op=op, left=left, right=right):
            first, second = (complete(side, items, env, row) for side in (left, right))
            return first and second if op == "&" else first and not second
        case ast.Through(nodes=nodes):
            return any(member(ref, item, env, row) for ref in nodes for item in items)
        case ast.Within(nodes=nodes):
            return visits_only(nodes, items, env, row)
        case ast.Edges():
            steps = [item for item in items if is_node(item)]
            pairs = pairwise(steps)
            return all(edge_listed(expr, left, right, env, row) for left, right in pairs)
        case _:
            return any(sub(expr, items, start, env, row) for start in range(len(items)))


def visits_only(nodes: tuple[ast.NodeRef, ...], items: Path, env: Environment, row: Row) -> bool:
    """`within(…)`: each node between the ends is listed; so is `input` where it is mentioned."""
    for item in items:
        free = item.node == LOGITS or (
            item.node == INPUT and not any(speaks_of_input(ref, env) for ref in nodes)
        )
        if is_node(item) and not free and not any(member(ref, item, env, row) for ref in nodes):
            return False
    return True
