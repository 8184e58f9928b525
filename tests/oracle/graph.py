"""The causal graph at position level: nodes, steps, paths, and the marks that edges cross.

A path is the tuple of its steps from `input` to `logits`. `all_paths` lists every one of them,
which is only possible for the smallest models.

Source: `language.md` section 4, `semantics.md` section 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pathdsl.lang import ast
from pathdsl.lang.walk import walk

PlaceNode = tuple[str] | tuple[str, int] | tuple[str, int, int]
"""("input",), ("a", layer, head), ("m", layer), ("logits",); a residual mark is ("r", layer).
Neuron j of an MLP that stands apart is ("n", layer, j), and ("m", layer) is then the rest."""

INPUT: PlaceNode = ("input",)
LOGITS: PlaceNode = ("logits",)


class Step(NamedTuple):
    """One node of a path: where it stands and which input of the next node it goes into.

    `into` is "q", "k" or "v" where the next node is a head, otherwise None. The edge from one step
    to the next thus has the slot `step.into`, the sender's position `step.position` and the
    receiver's position `next.position`.
    """

    node: PlaceNode
    position: int
    into: str | None = None


Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One prompt: how many tokens it has and where its named positions are."""

    length: int
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What names mean, how large the model is, and where positions are on each row.

    `bindings` holds loop variables: each is bound to a node reference. `parallel`: an MLP does not
    read the heads of its own layer. `recurrent`: the layers whose one head is a recurrence, which
    reads all tokens up to its own through `v`. `n_kv_heads` 0: every head has keys and values of
    its own. `neurons`: the (layer, neuron) that stand apart. `keys_from`: for each layer the one
    whose keys and values its heads read, where some read others than their own.
    """

    n_layers: int
    n_heads: int
    rows: tuple[Row, ...]
    has_mlp: bool = True
    parallel: bool = False
    n_kv_heads: int = 0
    recurrent: frozenset[int] = frozenset()
    neurons: frozenset[tuple[int, int]] = frozenset()
    keys_from: tuple[int, ...] = ()
    groups: Mapping[str, ast.GroupDecl] = field(default_factory=dict)
    paths: Mapping[str, ast.PathExpr] = field(default_factory=dict)
    bindings: Mapping[str, ast.NodeRef] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        file: ast.File,
        *,
        n_layers: int,
        n_heads: int,
        rows: tuple[Row, ...],
        has_mlp: bool = True,
        keys_from: tuple[int, ...] = (),
    ) -> Environment:
        """The environment of a parsed file, for a model of that size on these rows."""
        groups = {s.name.name: s for s in file.statements if isinstance(s, ast.GroupDecl)}
        paths = {s.name.name: s.path for s in file.statements if isinstance(s, ast.PathDecl)}
        return cls(
            n_layers=n_layers,
            n_heads=n_heads,
            rows=rows,
            has_mlp=has_mlp,
            neurons=neurons_of(file),
            keys_from=keys_from,
            groups=groups,
            paths=paths,
        )


def neurons_of(file: ast.File) -> frozenset[tuple[int, int]]:
    """Every (layer, neuron) that a file names by number."""
    found: set[tuple[int, int]] = set()
    for node in walk(file):
        if isinstance(node, ast.NeuronRef):
            layers, neurons = (
                [i for low, high in which.ranges for i in range(low, high + 1)]
                for which in (node.layer, node.neuron)
            )
            found |= {(layer, neuron) for layer in layers for neuron in neurons}
    return frozenset(found)


def heads_of(layer: int, env: Environment) -> list[PlaceNode]:
    """The heads of a layer."""
    return [("a", layer, head) for head in range(1 if layer in env.recurrent else env.n_heads)]


def senders(node: PlaceNode, env: Environment) -> list[PlaceNode]:
    """Every node that `node` has a direct edge from: all that wrote to the stream before it."""
    if node == INPUT:
        return []
    found: list[PlaceNode] = [INPUT]
    for layer in range(env.n_layers):
        heads = heads_of(layer, env)
        mlp: list[PlaceNode] = [("m", layer)] if env.has_mlp else []
        mlp += [("n", layer, j) for at, j in sorted(env.neurons) if at == layer]
        if node[0] == "a" and node[1] == layer:
            return found
        if node[0] in ("m", "n") and node[1] == layer:
            return found if env.parallel else found + heads
        found += heads
        found += mlp
    return found


def place_of_reading(node: PlaceNode, slot: str | None, env: Environment) -> PlaceNode:
    """A node that reads the stream where this input of `node` does: the node itself, or a head of
    the layer whose keys and values it is given."""
    if env.keys_from and node[0] == "a" and slot in ("k", "v"):
        return ("a", env.keys_from[node[1]], node[2])
    return node


def reads(node: PlaceNode, position: int) -> list[tuple[str | None, int]]:
    """The (slot, position) pairs at which `node`, standing at `position`, reads the stream."""
    if node[0] != "a":
        return [(None, position)]
    earlier = range(position + 1)
    return [("q", position)] + [(slot, key) for slot in ("k", "v") for key in earlier]


def all_paths(env: Environment, read_position: int) -> Iterator[Path]:
    """Every input-to-logits path that ends at `read_position`."""

    def back(suffix: Path) -> Iterator[Path]:
        first = suffix[0]
        if first.node == INPUT:
            yield suffix
        for slot, position in reads(first.node, first.position):
            for sender in senders(place_of_reading(first.node, slot, env), env):
                yield from back((Step(sender, position, slot), *suffix))

    return back((Step(LOGITS, read_position),))


def layer_of(node: PlaceNode, env: Environment) -> int:
    """The layer of a node: -1 for `input`, n_layers for `logits`."""
    match node[0]:
        case "input":
            return -1
        case "logits":
            return env.n_layers
        case _:
            return int(node[1])  # type: ignore[misc]


def items_of(path: Path, env: Environment) -> Path:
    """The path with the residual marks that its edges cross put between its nodes.

    An edge crosses `rL` when its sender is in a layer before L (`input` is before layer 0) and its
    receiver in layer L or later (`logits` is layer n_layers). A mark stands where the sender does.
    """
    items: list[Step] = []
    for step, after in zip(path, (*path[1:], None), strict=True):
        items.append(step)
        if after is not None:
            reader = place_of_reading(after.node, step.into, env)
            crossed = range(layer_of(step.node, env) + 1, layer_of(reader, env) + 1)
            items += [Step(("r", layer), step.position, step.into) for layer in crossed]
    return tuple(items)
