"""Node references without names: groups put in their place, and one spelling for equal references.

group movers @END = { a3.h1, a3.h2 }
node_text(bare_nodes(movers))          # "{a3.h1, a3.h2}"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pathdsl.lang import ast

__all__ = ["as_position", "bare_nodes", "node_text", "position_text"]


def bare_nodes(ref: ast.NodeRef, groups: Mapping[str, ast.GroupDecl]) -> ast.NodeRef:
    """The same nodes without positions, names of groups replaced by their members."""
    match ref:
        case ast.Name(name=name) if name in groups:
            return bare_nodes(groups[name].nodes, groups)
        case ast.NodeSet(members=(only,), excluded=()):
            return bare_nodes(only, groups)
        case ast.NodeSet(members=members, excluded=excluded):
            return replace(
                ref,
                members=tuple(bare_nodes(one, groups) for one in members),
                excluded=tuple(bare_nodes(one, groups) for one in excluded),
                at=None,
            )
        case _:
            return replace(ref, at=None)


def node_text(ref: ast.NodeRef) -> str:
    """A reference as the language writes it: `a9.h[0..2]`, `{a9.h9, m0, except m1}`."""
    match ref:
        case ast.HeadRef(layer=layer, head=head):
            return f"a{_indices(layer)}.h{_indices(head)}"
        case ast.KvRef(layer=layer, group=group):
            return f"a{_indices(layer)}.kv{_indices(group)}"
        case ast.NeuronRef(layer=layer, neuron=neuron):
            return f"m{_indices(layer)}.n{_indices(neuron)}"
        case ast.MlpRef(layer=layer):
            return f"m{_indices(layer)}"
        case ast.ResidRef(layer=layer):
            return f"r{_indices(layer)}"
        case ast.Word(word=word):
            return word
        case ast.Name(name=name):
            return name
        case ast.NodeSet(members=members, excluded=excluded):
            left_out = [f"except {node_text(one)}" for one in excluded[:1]]
            parts = [*map(node_text, members), *left_out, *map(node_text, excluded[1:])]
            return "{" + ", ".join(parts) + "}"
        case ast.NodesFile(path=path):
            options = [f", {one.keyword}: {_value(one.value)}" for one in ref.options]
            return f'nodes("{path}"' + "".join(options) + ")"


def as_position(node: ast.Node) -> ast.Position | None:
    """What a node means where a position is wanted: `S1`, `S1+1`, `{S1, S2}`; None for others."""
    match node:
        case ast.Position():
            return node
        case ast.Name(name=name, at=None, span=span):
            return ast.Position(name=name, span=span)
        case ast.NodeSet(members=members, excluded=(), at=None, span=span):
            among = [as_position(one) for one in members]
            if among and None not in among:
                return ast.Position(among=tuple(filter(None, among)), span=span)
    return None


def position_text(position: ast.Position | None) -> str:
    """`S1+1`, `[3]`, `S1..S2`, `{S1, S2}`; `END` for a place that is not written.

    It is what `str` gives of a position on a model.
    """
    if position is None:
        return "END"
    if position.among:
        inside = (position_text(one).strip("{}") for one in position.among)  # sets taken apart
        return "{" + ", ".join(inside) + "}"
    if position.ends:
        first, last = map(position_text, position.ends)
        if first[0] == last[0] == "[":
            return f"{first[:-1]}..{last[1:]}"
        return f"{first}..{last}"
    if not position.name:
        return f"[{position.variable or position.index}]"
    return f"{position.name}{position.offset:+d}" if position.offset else position.name


def _value(value: ast.Node) -> str:
    """The value of an option of a file: a number as written, or a word."""
    return value.written if isinstance(value, ast.Number) else getattr(value, "name", "")


def _indices(which: ast.Indices) -> str:
    if which.every:
        return "*"
    parts = [str(low) if low == high else f"{low}..{high}" for low, high in which.ranges]
    return parts[0] if which.single else "[" + ", ".join(parts) + "]"
