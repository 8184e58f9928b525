"""Node references to components: `a[7..9].h*`, groups, sets with `except`, loop variables.

A *place* is a set of components at one position (`pathdsl.graph.paths.pathset.Nodes`); a residual
mark is no component and has a type of its own. Everything here raises `LanguageError` with one
diagnostic that points at the reference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.graph.files.eap import UnusableFile, read_nodes_file
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.neurons import (
    atom_mask,
    atom_text,
    atoms,
    host,
    intersect,
    neuron_bit,
    subtract,
)
from pathdsl.graph.paths.pathset import Nodes, Pos
from pathdsl.lang import ast
from pathdsl.lang.fence import outside
from pathdsl.lang.program import Program
from pathdsl.lang.render import screen
from pathdsl.lang.signatures.calls import CIRCUIT_FILES, resolve_arguments
from pathdsl.lang.written import written
from pathdsl.record import record


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Mark:
    """The entry of `layer` (n_layers: the final norm), crossed at `at`."""

    layer: int
    at: Pos | None = None


@record
class Member:
    """One value of a loop variable: some nodes or some residual marks, and how to print them.

    `parts` are the labels of the single nodes of a window. The value of a variable over a list has
    a label alone.
    """

    label: str
    nodes: tuple[Nodes, ...] = ()
    marks: tuple[Mark, ...] = ()
    parts: tuple[str, ...] = ()


Bindings = Mapping[str, Member]


def fault(
    code: str, message: str, node: ast.Node, *, label: str = "", help: str = ""
) -> LanguageError:
    """One diagnostic at a syntax node, as an exception to raise."""
    return LanguageError(
        Diagnostic(code=code, message=message, span=node.span, label=label, help=help)
    )


@contextmanager
def read_for(program: Program, ref: ast.EdgesFile | ast.NodesFile) -> Iterator[Path]:
    """The path of a circuit file that lies where it may; what goes wrong with it is told at `ref`.

    Raises LanguageError PD217 or what an `UnusableFile` raised inside says.
    """
    path = Path(ref.span.path).parent / ref.path
    if not program.fence.holds(path):
        raise LanguageError(outside(ref.path, ref.span))
    if os.path.exists(path) and not os.path.isfile(path):
        raise fault("PD217", f"`{ref.path}` cannot be used: it is no file", ref)
    try:
        yield path
    except (OSError, ValueError) as error:
        code, advice = "PD217", ""
        if isinstance(error, UnusableFile):
            code, advice = error.code, error.advice
        said = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        message = f"`{ref.path}` cannot be used: {screen(said)}"
        raise fault(code, message, ref, help=advice) from error


def text_of(program: Program, node: ast.Node, bindings: Bindings) -> str:
    """The source of a node on one line, loop variables by their members; "" without source."""
    labels = {name: member.label for name, member in bindings.items()}
    listed = [name for name, m in bindings.items() if not (m.nodes or m.marks)]
    return written(program, node, labels, listed)


def pos_of(position: ast.Position | None) -> Pos | None:
    """The resolved form of a written position."""
    if position is None:
        return None
    if position.among:
        return Pos.of_all(one for part in position.among if (one := pos_of(part)) is not None)
    if position.ends:
        return Pos(ends=tuple(one for end in position.ends if (one := pos_of(end)) is not None))
    if position.index is not None:
        return Pos(index=position.index)
    return Pos(name=position.name, offset=position.offset)


def indices(which: ast.Indices, count: int, what: str, node: ast.Node) -> tuple[int, ...]:
    """The layer or head numbers meant, in the author's order; out of range is PD205."""
    if which.every:
        return tuple(range(count))
    numbers: dict[int, None] = {}
    for low, high in which.ranges:
        if high >= count or low > high:
            wrong = f"{low}..{high}" if low > high else str(high)
            raise fault(
                "PD205",
                f"there is no {what} {wrong}: this model has {what}s 0 to {count - 1}",
                node,
                label=f"{what} {wrong} does not exist",
            )
        numbers |= dict.fromkeys(range(low, high + 1))
    return tuple(numbers)


class Places:
    """Expands node references of one program on one layout."""

    def __init__(self, program: Program, layout: Layout) -> None:
        self.program = program
        self.layout = layout
        self._groups: dict[str, tuple[Nodes, ...]] = {}
        self._open: list[str] = []
        self._files: dict[tuple[Path, ast.NodesFile], Nodes] = {}

    def nodes(self, ref: ast.NodeRef, bindings: Bindings) -> tuple[Nodes, ...]:
        """The places that a reference to components means; marks and paths are faults here."""
        member = self.member(ref, bindings)
        if member.marks:
            raise fault(
                "PD208",
                "a residual mark is not a node; it stands between two arrows or in `through(…)`",
                ref,
                label="not a node",
                help="write `through(r5@END)`",
            )
        return member.nodes

    def marks(self, ref: ast.PathExpr, bindings: Bindings) -> tuple[Mark, ...]:
        """The residual marks that a reference means; () when it means nodes."""
        match ref:
            case ast.ResidRef(layer=layer, at=at):
                layers = indices(layer, self.layout.shape.n_layers + 1, "residual mark", ref)
                return tuple(Mark(layer=i, at=pos_of(at)) for i in layers)
            case ast.Name(name=name, at=position) if name in bindings:
                return tuple(
                    Mark(layer=m.layer, at=self._one_at(m.at, pos_of(position), ref))
                    for m in bindings[name].marks
                )
            case ast.NodeSet(members=members):
                parts = [self.marks(member, bindings) for member in members]
                if any(parts) and not all(parts):
                    raise fault(
                        "PD208", "a set holds either nodes or residual marks, not both", ref
                    )
                if any(parts):
                    kept = [
                        Mark(layer=m.layer, at=self._one_at(m.at, pos_of(ref.at), ref))
                        for part in parts
                        for m in part
                    ]
                    gone = [mark for e in ref.excluded for mark in self.marks(e, bindings)]
                    return tuple(
                        mark
                        for mark in dict.fromkeys(kept)
                        if not any(g.layer == mark.layer and g.at in (None, mark.at) for g in gone)
                    )
                return ()
            case _:
                return ()

    def member(self, ref: ast.NodeRef, bindings: Bindings) -> Member:
        """Everything a reference means, nodes or marks."""
        marks = self.marks(ref, bindings)
        if marks:
            return Member(label="", marks=marks)
        return Member(label="", nodes=self._nodes(ref, bindings, None))

    def singles(self, ref: ast.NodeRef | ast.Windows, bindings: Bindings) -> tuple[Member, ...]:
        """The members that a `for` ranges over, one component, mark or window each."""
        if isinstance(ref, ast.Windows):
            single = self.singles(ref.nodes, bindings)
            what = "nodes"
            if ref.by:
                single, what = self._layers(single), "layers"
            if not 1 <= ref.size <= len(single):
                raise fault(
                    "PD205", f"a window of {ref.size} does not fit into {len(single)} {what}", ref
                )
            windows = [single[i : i + ref.size] for i in range(len(single) - ref.size + 1)]
            return tuple(
                Member(
                    label=one[0].label if ref.by and ref.size == 1
                    else f"{one[0].label}..{one[-1].label}",
                    nodes=tuple(n for m in one for n in m.nodes),
                    marks=tuple(k for m in one for k in m.marks),
                    parts=tuple(label for m in one for label in m.parts or (m.label,)),
                )
                for one in windows
            )  # fmt: skip
        member = self.member(ref, bindings)
        if member.marks:
            return tuple(
                Member(label=f"r{mark.layer}" + (f"@{mark.at}" if mark.at else ""), marks=(mark,))
                for mark in member.marks
            )
        return tuple(
            Member(
                label=atom_text(i, spared, self.layout) + (f"@{place.at}" if place.at else ""),
                nodes=(replace(place, mask=atom_mask(i, spared), named=True),),
            )
            for place in member.nodes
            for i, spared in atoms(place.mask, self.layout)
        )

    def _layers(self, single: tuple[Member, ...]) -> tuple[Member, ...]:
        """The members of each layer as one, the lowest layer first: `a5`, `m5@END`, `r5`."""
        layers: dict[int, list[Member]] = {}
        for member in single:
            layers.setdefault(self._layer(member), []).append(member)
        found = []
        for layer, members in sorted(layers.items()):
            labels = [member.label.partition("@") for member in members]
            kinds = {name[:1] for name, _, _ in labels}
            places = {place for _, _, place in labels}
            at = f"@{places.pop()}" if len(places) == 1 and "" not in places else ""
            found.append(
                Member(
                    label=(f"{kinds.pop()}{layer}" if len(kinds) == 1 else f"layer {layer}") + at,
                    nodes=tuple(n for m in members for n in m.nodes),
                    marks=tuple(k for m in members for k in m.marks),
                    parts=tuple(m.label for m in members),
                )
            )
        return tuple(found)

    def _layer(self, member: Member) -> int:
        if member.marks:
            return member.marks[0].layer
        index, _ = next(atoms(member.nodes[0].mask, self.layout))
        components = self.layout.components
        return components[index if index < len(components) else host(index, self.layout)].layer

    # ---------------------------------------------------------------------------------------------

    def _nodes(self, ref: ast.NodeRef, bindings: Bindings, outer: Pos | None) -> tuple[Nodes, ...]:
        shape, layout = self.layout.shape, self.layout
        at = self._one_at(pos_of(ref.at), outer, ref)
        match ref:
            case ast.HeadRef(layer=layer, head=head):
                return tuple(
                    Nodes(mask=1 << layout.head(i, j), at=at, named=True)
                    for i in indices(layer, shape.n_layers, "layer", ref)
                    for j in self._heads(head, i, ref)
                )
            case ast.KvRef(layer=layer, group=group):
                return tuple(
                    Nodes(mask=1 << layout.head(i, j), at=at, named=True)
                    for i in indices(layer, shape.n_layers, "layer", ref)
                    for g in self._kv_groups(group, i, ref)
                    for j in shape.heads_of_group(g, i)
                )
            case ast.MlpRef(layer=layer):
                if not shape.has_mlp:
                    raise fault("PD205", "this model has no MLPs", ref)
                return tuple(
                    Nodes(mask=1 << layout.mlp(i), at=at, named=True)
                    for i in indices(layer, shape.n_layers, "layer", ref)
                )
            case ast.NeuronRef():
                return self._neurons(ref, at)
            case ast.ResidRef():
                raise fault("PD208", "a residual mark is not a node", ref)
            case ast.Word(word="logits") if at is not None:
                raise fault(
                    "PD124",
                    "`logits` is reached where the metric reads and takes no position",
                    ref,
                    label=f"put at `@{at}`",
                    help=f"give the position to the metric: `metric NAME @{at} = …`",
                )
            case ast.Word(word=word):
                masks = {
                    "input": 1,
                    "logits": 1 << layout.logits,
                    "attn": layout.heads_mask,
                    "mlp": layout.mlps_mask,
                    "any": layout.any_mask,
                }
                return (Nodes(mask=masks[word], at=at),)
            case ast.Name(name=name):
                return self._named(ref, name, bindings, at)
            case ast.NodeSet(members=members, excluded=excluded):
                kept = [n for m in members for n in self._nodes(m, bindings, at)]
                gone = [n for m in excluded for n in self._nodes(m, bindings, None)]
                for out in gone:
                    met = [p.at for p in kept if intersect(p.mask, out.mask, layout)]
                    if out.at is not None and met and (None in met or out.at not in met):
                        raise fault(
                            "PD214",
                            f"`except …@{out.at}` takes out nodes that the set puts elsewhere",
                            ref,
                            label=f"no member stands at `@{out.at}` alone",
                            help="take the node out everywhere, `except a9.h6`, or write "
                            "`P - through(a9.h6@END)`",
                        )
                return _without(kept, gone, layout)
            case ast.NodesFile():
                key = Path(ref.span.path).parent, replace(ref, at=None)
                if key not in self._files:
                    self._files[key] = self._file(ref)
                return (replace(self._files[key], at=at),)
        raise fault("PD208", "this is not a set of nodes", ref)

    def _file(self, ref: ast.NodesFile) -> Nodes:
        options = resolve_arguments(CIRCUIT_FILES["nodes"], ref.options)
        signed = options.word("rank") == "signed"
        with read_for(self.program, ref) as path:
            return read_nodes_file(path, self.layout, options["top"], signed=signed)  # type: ignore[arg-type]

    def _heads(self, which: ast.Indices, layer: int, ref: ast.HeadRef) -> tuple[int, ...]:
        """The heads meant in one layer, in the author's order."""
        shape = self.layout.shape
        high = max((high for _, high in which.ranges), default=0)
        if shape.recurs(layer) and 0 < high < shape.n_heads:
            raise fault(
                "PD205",
                f"there is no head {high} in layer {layer}: a recurrence (`linear_attention`) "
                "stands in the place of its heads, as one node",
                ref,
                label=f"h{high} does not exist",
                help=f"write `a{layer}.h0`, or `a{layer}.h*`",
            )
        count = shape.n_heads if high >= shape.n_heads else shape.heads_in(layer)
        return indices(which, count, "head", ref)

    def _kv_groups(self, which: ast.Indices, layer: int, ref: ast.KvRef) -> tuple[int, ...]:
        """The key/value groups meant in one layer, in the author's order."""
        count = self.layout.shape.groups_of(layer)
        high = max((high for _, high in which.ranges), default=0)
        if high >= count:
            range_ = f"kv0 to kv{count - 1}" if count > 1 else "kv0"
            raise fault(
                "PD205",
                f"there is no key/value group {high}: layer {layer} has "
                f"{count} key/value group{'s' * (count > 1)}: {range_}",
                ref,
                label=f"kv{high} does not exist",
            )
        return indices(which, count, "key/value group", ref)

    def _neurons(self, ref: ast.NeuronRef, at: Pos | None) -> tuple[Nodes, ...]:
        """Neurons in the author's order, layer by layer."""
        shape = self.layout.shape
        if not shape.has_mlp:
            raise fault("PD205", "this model has no MLPs, and so no neurons", ref)
        if shape.no_neurons:
            raise fault(
                "PD212",
                f"neurons of this model (`{shape.family}`) write nothing of their own",
                ref,
                label=shape.no_neurons,
                help="name the whole MLP, `m5`",
            )
        layers = indices(ref.layer, shape.n_layers, "layer", ref)
        if routed := [i for i in layers if shape.routes(i)]:
            raise fault(
                "PD256",
                f"`m{routed[0]}` is a mixture of experts, whose neurons are no nodes",
                ref,
                label="a router weights what these neurons write",
                help=f"name the whole MLP, `m{routed[0]}`",
            )
        neurons = indices(ref.neuron, shape.d_mlp, "neuron", ref)
        runs: list[list[int]] = []  # neighbours are one place: their order is that of the mask
        for j in neurons:
            if runs and j == runs[-1][1] + 1:
                runs[-1][1] = j
            else:
                runs.append([j, j])
        return tuple(
            Nodes(
                mask=((1 << high - low + 1) - 1) << neuron_bit(i, low, self.layout),
                at=at,
                named=True,
            )
            for i in layers
            for low, high in runs
        )

    def _named(
        self, ref: ast.Name, name: str, bindings: Bindings, at: Pos | None
    ) -> tuple[Nodes, ...]:
        if name in bindings:
            nodes = bindings[name].nodes
        elif name in self.program.groups:
            nodes = self._group(name, ref)
        else:
            raise fault("PD208", f"`{name}` is not a set of nodes", ref, label="nodes wanted here")
        return tuple(replace(n, at=self._one_at(n.at, at, ref)) for n in nodes)

    def _group(self, name: str, ref: ast.Node) -> tuple[Nodes, ...]:
        """The members of a group; each group is expanded once."""
        if name not in self._groups:
            if name in self._open:
                raise fault("PD108", f"`{name}` is defined by itself", ref)
            group = self.program.groups[name]
            self._open.append(name)
            try:
                self._groups[name] = self._nodes(group.nodes, {}, pos_of(group.at))
            finally:
                self._open.pop()
        return self._groups[name]

    def _one_at(self, own: Pos | None, outer: Pos | None, ref: ast.Node) -> Pos | None:
        """The position of a member that has one, is given one by its set, or both the same."""
        if own is not None and outer is not None and own != outer:
            raise fault(
                "PD121",
                f"this stands at `@{own}` already and is put at `@{outer}`",
                ref,
                label="two positions for one node",
                help="name the position once, on the group or on the member",
            )
        return own if own is not None else outer


def _without(kept: list[Nodes], gone: list[Nodes], layout: Layout) -> tuple[Nodes, ...]:
    """Set difference; an excluded node without a position goes wherever it stands."""
    result: list[Nodes] = []
    for place in kept:
        mask = place.mask
        for out in gone:
            if out.at is None or out.at == place.at:
                mask = subtract(mask, out.mask, layout)
        if mask and replace(place, mask=mask) not in result:
            result.append(replace(place, mask=mask))
    return tuple(result)
