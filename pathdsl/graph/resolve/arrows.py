"""What is written on an arrow: inputs of the receiver, and how far back they read.

labels_of(`-[k,v: prev]->`, …)     (("k", Rel(1, 1)), ("v", Rel(1, 1)))
"""

from __future__ import annotations

from pathdsl.graph.paths.pathset import Rel, Slot
from pathdsl.graph.resolve.places import fault
from pathdsl.lang import ast

__all__ = ["Labels", "labels_of"]

Labels = tuple[tuple[Slot, Rel | None], ...] | None


def labels_of(arrow: ast.Arrow, *, causal: bool) -> Labels:
    """The (slot, relation) pairs written on an arrow; None for any input.

    `causal`: whether heads see no later position; an offset to one is PD203 then.
    """
    if not arrow.labels:
        return None
    return tuple(
        (slot, _relation_of(label.relation, causal))
        for label in arrow.labels
        for slot in label.slots
    )


def _relation_of(relation: ast.Relation | None, causal: bool) -> Rel | None:
    """The distances, head's position minus position read, at which a relation holds."""
    if relation is None:
        return None
    size = relation.size or 0
    match relation.kind:
        case "prev":
            return Rel(least=1, most=1)
        case "same":
            return Rel(least=0, most=0)
        case "window":
            if size < 1:
                raise fault("PD116", "a window holds at least one position", relation)
            return Rel(least=0, most=size - 1)
        case "offset":
            if size > 0 and causal:
                raise fault(
                    "PD203",
                    f"`offset(+{size})` stands behind the head, and attention here looks back",
                    relation,
                    help=f"`offset(-{size})` is {size} before",
                )
            return Rel(least=-size, most=-size)
