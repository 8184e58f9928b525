"""Random path sets to compare a hypothesis with.

`random_like` renames the units of a path set one to one, the same everywhere in it, to other
components of the same kind and layer; where a layer has none left, to the nearest layer that keeps
every unit on a path. Neurons are drawn from all neurons of their MLP. Names that P mentions are
never drawn. With `over`, the other units of the set stay what they are.

`random_edges` draws listed edges, as many per class (kind of sender, kind of receiver, slot) as the
set to imitate has, all on complete paths. It starts from the edges of that set and changes them by
steps that keep this true: one edge for another of its class, or all edges of one node to a node
that has none. In an acyclic graph all edges lie on complete paths exactly when every node that
receives also sends and the other way round, so each step is checked locally.

Source: random circuits of equal size, Shi et al. 2024; draws are `pathdsl.draws.Draws`.

    renamed(paths, renaming(sets, paths, seed=0), layout)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Literal

from pathdsl.draws import Draws
from pathdsl.graph.controls.edge_draws import EdgeClass, RawEdge, draw_edges
from pathdsl.graph.controls.walks import draw_walks
from pathdsl.graph.files.eap import listed
from pathdsl.graph.model.components import HEAD, MLP, RECURRENCE, Layout, NodeKind, bits
from pathdsl.graph.paths.neurons import (
    atom_mask,
    atom_text,
    atoms,
    intersect,
    neuron_bit,
    neuron_of,
    node_of,
    subtract,
    told_apart,
    unite,
)
from pathdsl.graph.paths.pathset import (
    Listed,
    ListedEdge,
    Nodes,
    PathSet,
    Rewriting,
)
from pathdsl.graph.paths.sets import PathSets
from pathdsl.graph.paths.units import NodeUnit, named_nodes, on_paths, places_of

__all__ = ["Renaming", "random_edges", "rename_unit", "renamed", "renaming"]

ATTEMPTS = 50
Renaming = Mapping[int, int]


def renaming(
    sets: PathSets, paths: PathSet, seed: int, over: Sequence[Nodes] | None = None
) -> Renaming:
    """Component to component for every unit of the set; ValueError where none is found.

    `over`: for those units alone that stand in one of these places.
    """
    layout = sets.layout
    named = list(dict.fromkeys(places_of(named_nodes(paths), layout)))
    units = on_paths(sets, paths, named)
    if not units:
        raise ValueError("it names no heads, MLPs or neurons")
    renamed_units = units if over is None else [u for u in units if _lies_in(u, over, layout)]
    if not renamed_units:
        raise ValueError("`over:` names none of its units")
    components = list(dict.fromkeys(unit.component for unit in renamed_units))
    taken = frozenset(unit.component for unit in named)
    whole = [c for c in components if neuron_of(c, layout) is None]
    for kind in (HEAD, RECURRENCE, MLP):
        mentioned = [c for c in whole if layout.kind(c) is kind]
        free = [i for i in bits(layout.any_mask) if layout.kind(i) is kind and i not in taken]
        if len(mentioned) > len(free):
            wanted = f"{len(mentioned)} {kind.plural if len(mentioned) > 1 else kind.plural[:-1]}"
            those = f"it names {wanted}" if over is None else f"`over:` names {wanted} of it"
            raise ValueError(f"{those} and the model has {len(free) or 'no'} others")
    for attempt in range(ATTEMPTS):
        draws = Draws(seed, "random_like", str(attempt))
        mapping = _draw(sets, paths, whole, taken, draws)
        mapping |= _draw_neurons(layout, set(components) - set(whole), taken, draws)
        if _keeps_steps(sets, paths, units, mapping):
            return mapping
    raise ValueError(f"none of {ATTEMPTS} draws kept every unit on a path")


def rename_unit(unit: NodeUnit, mapping: Renaming, layout: Layout) -> NodeUnit:
    """The unit that takes this one's place."""
    component, spared = _atom(unit.component, unit.spared, mapping, layout)
    name = atom_text(component, spared, layout)
    return replace(unit, component=component, spared=spared, name=name)


def renamed(paths: PathSet, mapping: Renaming, layout: Layout) -> PathSet:
    """A path set with its named components exchanged; words keep their meaning."""

    def nodes(place: Nodes) -> Nodes:
        return replace(place, mask=_mask(place.mask, mapping, layout)) if place.named else place

    def edges(edge: ListedEdge) -> Iterable[ListedEdge]:
        return (_renamed_edge(edge, mapping, layout),)

    return Rewriting(nodes=nodes, edges=edges).paths(paths)


def random_edges(
    sets: PathSets,
    like: PathSet,
    count: int | None,
    seed: int,
    by: Literal["classes", "walks"] = "classes",
) -> Listed:
    """Listed edges without positions, class by class as many as `like` has on its paths.

    With `count`, the classes are scaled to that total by largest remainder. By walks the number of
    edges alone is matched (`pathdsl.graph.controls.walks`). Raises ValueError where no such set is
    found.
    """
    layout = sets.layout
    present = sets.product(like).edges()
    start = sorted((u, v, slot or "") for u, v, slot in present)
    if told_apart(like, layout):
        raise ValueError("the set to imitate names neurons, and edges of neurons are not drawn")
    if not start:
        raise ValueError("the set to imitate has no edges on a path")
    if by == "walks":
        edges = draw_walks(layout, len(start) if count is None else count, seed)
        return listed(_another(edges, start), layout)
    classes: dict[EdgeClass, int] = {}
    for u, v, slot in start:
        key = (layout.kind(u).name, layout.kind(v).name, slot)
        classes[key] = classes.get(key, 0) + 1
    sizes = classes if count is None else _scaled(classes, count)
    edges = draw_edges(layout, start, sizes, seed, ATTEMPTS)
    return listed(_another(edges, start), layout)


def _another(edges: list[RawEdge], start: list[RawEdge]) -> list[RawEdge]:
    """These edges; ValueError where they are those to imitate, which would control nothing."""
    if sorted(edges) == sorted(start):
        raise ValueError(
            f"the {len(start):,} edges that are drawn are those of the set to imitate; in a small "
            "model `by: walks` or another seed may find others"
        )
    return edges


# -------------------------------------------------------------------------------------------------


def _lies_in(unit: NodeUnit, places: Iterable[Nodes], layout: Layout) -> bool:
    """Whether a unit stands in one of these places; a place without a position is everywhere."""
    return any(
        place.at in (None, unit.at) and bool(intersect(unit.mask, place.mask, layout))
        for place in places
    )


def _atom(index: int, spared: int, mapping: Renaming, layout: Layout) -> tuple[int, int]:
    """What takes the place of one node; an MLP that moves takes along which neurons it spares."""
    new = mapping.get(index, index)
    moved = 0
    for i in bits(spared):
        neuron = neuron_of(mapping.get(i, i), layout)
        assert neuron is not None  # an MLP spares neurons only
        moved |= 1 << neuron_bit(layout.components[new].layer, neuron[1], layout)
    return new, moved


def _mask(mask: int, mapping: Renaming, layout: Layout) -> int:
    result = 0
    for i, spared in atoms(mask, layout):
        result = unite(result, atom_mask(*_atom(i, spared, mapping, layout)), layout)
    return result


def _renamed_edge(edge: ListedEdge, mapping: Renaming, layout: Layout) -> ListedEdge:
    named = _mask(edge.named_senders, mapping, layout)
    receiver, spared = edge.receiver, edge.spared
    if edge.named_receiver:
        receiver, spared = _atom(receiver, spared, mapping, layout)
    words = subtract(edge.senders, edge.named_senders, layout)
    return replace(
        edge,
        senders=unite(words, named, layout),
        named_senders=named,
        receiver=receiver,
        spared=spared,
    )


def _draw_neurons(
    layout: Layout, wanted: Set[int], taken: Set[int], draws: Draws
) -> dict[int, int]:
    """Other neurons of the same MLPs, one for each; ValueError where an MLP has too few."""
    by_layer: dict[int, list[int]] = {}
    for index in sorted(wanted):
        by_layer.setdefault(node_of(index, layout).layer, []).append(index)
    mapping: dict[int, int] = {}
    for layer, indices in by_layer.items():
        bits_of = (neuron_bit(layer, j, layout) for j in range(layout.shape.d_mlp))
        free = [index for index in bits_of if index not in taken]
        if len(free) < len(indices):
            raise ValueError(
                f"it names {len(indices)} neurons of m{layer}, which has {len(free)} others"
            )
        mapping |= zip(indices, draws.sample(free, len(indices)), strict=True)
    return mapping


def _draw(
    sets: PathSets,
    paths: PathSet,
    components: Sequence[int],
    taken: frozenset[int],
    draws: Draws,
) -> dict[int, int]:
    """One renaming: first within each layer, then what is left over to the nearest layers."""
    layout = sets.layout
    free: dict[tuple[NodeKind, int], list[int]] = {}
    for i, c in enumerate(layout.components):
        if i not in taken and layout.any_mask >> i & 1:
            free.setdefault((layout.kind(i), c.layer), []).append(i)
    free = {key: draws.shuffled(pool) for key, pool in free.items()}
    mapping: dict[int, int] = {}
    left = []
    for component in draws.shuffled(sorted(components)):
        if pool := free.get((layout.kind(component), layout.layer_of[component])):
            mapping[component] = pool.pop()
        else:
            left.append(component)
    for component in left:
        mapping[component] = _nearest(sets, paths, component, free, mapping, draws)
    return mapping


def _nearest(
    sets: PathSets,
    paths: PathSet,
    component: int,
    free: dict[tuple[NodeKind, int], list[int]],
    mapping: dict[int, int],
    draws: Draws,
) -> int:
    """A free component in the nearest layer that keeps the moved components on a path."""
    layout = sets.layout
    kind, layer = layout.kind(component), layout.layer_of[component]
    layers = [at for (k, at), pool in free.items() if k is kind and pool]
    order = sorted(draws.shuffled(sorted(layers)), key=lambda at: abs(at - layer))
    for at in order:
        tried = free[kind, at][-1]
        moved = {**mapping, component: tried}
        units = [NodeUnit(component=c, name="") for c in moved.values()]
        if len(on_paths(sets, renamed(paths, moved, layout), units)) == len(units):
            return free[kind, at].pop()
    return free[kind, order[0]].pop()


def _keeps_steps(
    sets: PathSets, paths: PathSet, units: Sequence[NodeUnit], mapping: Renaming
) -> bool:
    moved = [rename_unit(unit, mapping, sets.layout) for unit in units]
    return len(on_paths(sets, renamed(paths, mapping, sets.layout), moved)) == len(moved)


def _scaled(classes: Mapping[EdgeClass, int], count: int) -> dict[EdgeClass, int]:
    """Class sizes in proportion that sum to `count`, by largest remainder; ties by class."""
    if count < 1:
        raise ValueError(f"`count: {count}` draws no edge")
    total = sum(classes.values())
    sizes = {key: size * count // total for key, size in classes.items()}
    rest = sorted(classes, key=lambda key: (-(classes[key] * count % total), key))
    for key in rest[: count - sum(sizes.values())]:
        sizes[key] += 1
    return sizes
