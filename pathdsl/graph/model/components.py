"""Components of a model in a fixed order, and sets of them as bit masks.

`input` is component 0; then, layer by layer, its heads and its MLP; `logits` comes last. The order
is topological: a component reads only components before it. A set of components is a Python
integer with bit `i` for component `i`, so that set algebra over thousands of automaton states stays
cheap. What bits behind `logits` mean, and how neurons become components of their own, is said in
`pathdsl.graph.paths.neurons`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from pathdsl.graph.model.shape import ModelShape

Slot = Literal["q", "k", "v"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """What is true of all nodes of one kind.

    `slots` are its inputs, None for one without a name. `spelling` is filled in with a component.
    `after_heads`: it reads the heads of its own layer too, where the block is not parallel.
    """

    name: str
    plural: str
    spelling: str
    slots: tuple[Slot | None, ...]
    after_heads: bool = False


INPUT = NodeKind(name="input", plural="inputs", spelling="input", slots=())
HEAD = NodeKind(name="head", plural="heads", spelling="a{0.layer}.h{0.head}", slots=("q", "k", "v"))
MLP = NodeKind(name="mlp", plural="MLPs", spelling="m{0.layer}", slots=(None,), after_heads=True)
NEURON = NodeKind(
    name="neuron", plural="neurons", spelling="m{0.layer}.n{0.numbers}", slots=(None,),
    after_heads=True,
)  # fmt: skip
RECURRENCE = replace(HEAD, name="recurrence", plural="recurrences", slots=("v",))
"""What the one head of a layer is whose heads a recurrence stands in the place of."""
LOGITS = NodeKind(name="logits", plural="logits", spelling="logits", slots=(None,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One node of the computational graph; `layer` is -1 for `input`, n_layers for `logits`.

    `neurons`: of a component of kind NEURON, the hidden units of its MLP that it stands for.
    """

    kind: NodeKind
    layer: int
    head: int = -1
    neurons: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.kind.spelling.format(self)

    @property
    def numbers(self) -> str:
        """The neurons as they are written: `7`, `[0..63, 70]`."""
        runs: list[list[int]] = []
        for number in sorted(self.neurons):
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        parts = [str(low) if low == high else f"{low}..{high}" for low, high in runs]
        return parts[0] if len(self.neurons) == 1 else f"[{', '.join(parts)}]"


def bits(mask: int) -> Iterator[int]:
    """The indices of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Layout:
    """The components of one shape, and the masks that the language's words stand for.

    `neurons`: for layers whose MLP is split, the groups of its hidden units that are components of
    their own; they stand behind the layer's MLP, which is then the rest of it.
    """

    def __init__(
        self, shape: ModelShape, neurons: Mapping[int, tuple[tuple[int, ...], ...]] | None = None
    ) -> None:
        self.shape = shape
        self.neurons = neurons or {}
        components = [Component(kind=INPUT, layer=-1)]
        self._first: list[int] = []
        for layer in range(shape.n_layers):
            self._first.append(len(components))
            components += [
                Component(kind=HEAD, layer=layer, head=head)
                for head in range(shape.heads_in(layer))
            ]
            if shape.has_mlp:
                components.append(Component(kind=MLP, layer=layer))
                components += [
                    Component(kind=NEURON, layer=layer, neurons=group)
                    for group in self.neurons.get(layer, ())
                ]
        components.append(Component(kind=LOGITS, layer=shape.n_layers))
        self.components: tuple[Component, ...] = tuple(components)
        self._index = {component: i for i, component in enumerate(components)}

    def index(self, component: Component) -> int:
        """The place of a component in the order."""
        return self._index[component]

    @cached_property
    def named(self) -> Mapping[str, int]:
        """The components by their spelling, `a9.h6`."""
        return {str(component): i for i, component in enumerate(self.components)}

    def head(self, layer: int, head: int) -> int:
        """The index of a head."""
        return self._first[layer] + head

    def mlp(self, layer: int) -> int:
        """The index of a layer's MLP, or of the rest of it where it is split."""
        return self._first[layer] + self.shape.heads_in(layer)

    def heads_of(self, layer: int) -> range:
        """The indices of a layer's heads."""
        return range(self._first[layer], self.mlp(layer))

    def parts_of_mlp(self, layer: int) -> range:
        """The indices of a layer's MLP and of those of its neurons that are components."""
        first = self.mlp(layer)
        return range(first, first + 1 + len(self.neurons.get(layer, ())))

    @property
    def logits(self) -> int:
        """The index of `logits`, the last component."""
        return len(self.components) - 1

    @cached_property
    def layer_of(self) -> tuple[int, ...]:
        """The layer of every component."""
        return tuple(component.layer for component in self.components)

    @cached_property
    def heads_mask(self) -> int:
        """All heads."""
        return sum(1 << i for i, c in enumerate(self.components) if c.kind is HEAD)

    @cached_property
    def mlps_mask(self) -> int:
        """All MLPs, neurons with them."""
        return sum(1 << i for i, c in enumerate(self.components) if c.kind in (MLP, NEURON))

    @cached_property
    def any_mask(self) -> int:
        """All heads and MLPs."""
        return self.heads_mask | self.mlps_mask

    @cached_property
    def below(self) -> tuple[int, ...]:
        """`below[k]`: components whose output stands in the stream that enters layer k (k ≤ L)."""
        return tuple(
            sum(1 << i for i, c in enumerate(self.components) if c.layer < k)
            for k in range(self.shape.n_layers + 1)
        )

    @cached_property
    def standing(self) -> tuple[int, ...]:
        """`standing[s]`: components whose output stands in the residual stream at stage s.

        Stage 2l is the entry of layer l (the last one: the final norm's), stage 2l+1 follows its
        attention.
        """
        masks = []
        for layer in range(self.shape.n_layers):
            heads = sum(1 << head for head in self.heads_of(layer))
            masks += [self.below[layer], self.below[layer] | heads]
        return (*masks, self.below[self.shape.n_layers])

    @cached_property
    def senders_of(self) -> tuple[int, ...]:
        """For each component the mask of the components that it reads, by any of its inputs."""
        masks = [0]  # `input` reads nothing
        for component in self.components[1:]:
            masks.append(self.below[component.layer])
            if component.kind.after_heads and not self.shape.parallel:
                masks[-1] |= self.heads_mask & self.below[component.layer + 1]
        return tuple(masks)

    def senders_into(self, index: int, slot: str | None) -> int:
        """The mask of the components that one input of a component reads."""
        layer = self.layer_of[index]
        entry = self.shape.entry(layer, slot)
        return self.senders_of[index] if entry == layer else self.below[entry]

    @cached_property
    def alike(self) -> tuple[int, ...]:
        """For each component the mask of those that read the same senders into the same inputs."""
        readers: dict[tuple[int, int, tuple[Slot | None, ...]], int] = {}
        keys = [
            (self.layer_of[i], senders, self.slots_of(i))
            for i, senders in enumerate(self.senders_of)
        ]
        for i, key in enumerate(keys):
            readers[key] = readers.get(key, 0) | 1 << i
        return tuple(readers[key] for key in keys)

    def slots_of(self, index: int) -> tuple[Slot | None, ...]:
        """The inputs of a component: q, k, v of a head, v alone of one that is a recurrence; one
        unnamed input of an MLP or `logits`."""
        return self.kind(index).slots

    def kind(self, index: int) -> NodeKind:
        """What a component is; a head that is a recurrence is one."""
        component = self.components[index]
        if component.kind is HEAD and self.shape.recurs(component.layer):
            return RECURRENCE
        return component.kind

    def label(self, index: int) -> str:
        """The spelling of a component, `a9.h6`; `rest of m5` where neurons of it stand apart."""
        component = self.components[index]
        rest = component.kind is MLP and component.layer in self.neurons
        return f"rest of {component}" if rest else str(component)

    def edges(self) -> Iterator[tuple[int, int, Slot | None]]:
        """Every edge as (sender, receiver, slot): by receiver, then slot, then sender."""
        for receiver in range(len(self.components)):
            for slot in self.slots_of(receiver):
                for sender in bits(self.senders_into(receiver, slot)):
                    yield sender, receiver, slot

    def n_edges(self) -> int:
        """Edges of the graph, q, k and v of a head counted apart (GPT-2 small: 32,491)."""
        return sum(
            self.senders_into(i, slot).bit_count()
            for i in range(len(self.components))
            for slot in self.slots_of(i)
        )
