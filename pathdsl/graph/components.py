"""Components of a model in a fixed order, and sets of them as bit masks.

`input` is component 0; then, layer by layer, its heads and its MLP; `logits` comes last. The order
is topological: a component reads only components before it. A set of components is a Python
integer with bit `i` for component `i`, so that set algebra over thousands of automaton states stays
cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pathdsl.graph.shape import ModelShape

Kind = Literal["input", "head", "mlp", "logits"]

HEAD_SLOTS = ("q", "k", "v")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One node of the computational graph; `layer` is -1 for `input`, n_layers for `logits`."""

    kind: Kind
    layer: int
    head: int = -1

    def __str__(self) -> str:
        match self.kind:
            case "head":
                return f"a{self.layer}.h{self.head}"
            case "mlp":
                return f"m{self.layer}"
            case _:
                return self.kind


def bits(mask: int) -> Iterator[int]:
    """The indices of the bits that are set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Layout:
    """The components of one shape, and the masks that the language's words stand for."""

    def __init__(self, shape: ModelShape) -> None:
        self.shape = shape
        components = [Component(kind="input", layer=-1)]
        for layer in range(shape.n_layers):
            components += [
                Component(kind="head", layer=layer, head=head) for head in range(shape.n_heads)
            ]
            if shape.has_mlp:
                components.append(Component(kind="mlp", layer=layer))
        components.append(Component(kind="logits", layer=shape.n_layers))
        self.components: tuple[Component, ...] = tuple(components)
        self._index = {component: i for i, component in enumerate(components)}
        self._stride = shape.n_heads + int(shape.has_mlp)

    def index(self, component: Component) -> int:
        """The place of a component in the order."""
        return self._index[component]

    def head(self, layer: int, head: int) -> int:
        """The index of a head."""
        return 1 + layer * self._stride + head

    def mlp(self, layer: int) -> int:
        """The index of a layer's MLP."""
        return 1 + layer * self._stride + self.shape.n_heads

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
        return sum(1 << i for i, c in enumerate(self.components) if c.kind == "head")

    @cached_property
    def mlps_mask(self) -> int:
        """All MLPs."""
        return sum(1 << i for i, c in enumerate(self.components) if c.kind == "mlp")

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
    def senders_of(self) -> tuple[int, ...]:
        """For each component the mask of the components that it reads."""
        masks = []
        for component in self.components:
            match component.kind:
                case "input":
                    masks.append(0)
                case "mlp" if not self.shape.parallel:
                    own = sum(1 << self.head(component.layer, h) for h in range(self.shape.n_heads))
                    masks.append(self.below[component.layer] | own)
                case _:
                    masks.append(self.below[component.layer])
        return tuple(masks)

    def slots_of(self, index: int) -> tuple[str | None, ...]:
        """The inputs of a component: q, k, v of a head; one unnamed input of an MLP or `logits`."""
        match self.components[index].kind:
            case "head":
                return HEAD_SLOTS
            case "input":
                return ()
            case _:
                return (None,)

    def label(self, index: int) -> str:
        """The spelling of a component, `a9.h6`."""
        return str(self.components[index])

    def n_edges(self) -> int:
        """Edges of the graph, q, k and v of a head counted apart (GPT-2 small: 32,491)."""
        return sum(
            len(self.slots_of(i)) * self.senders_of[i].bit_count()
            for i in range(len(self.components))
        )
