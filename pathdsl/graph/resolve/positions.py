"""What the spelling of two positions says about how they stand to each other.

Edges keep their position; keys and values read where the sender stands, never later than the head
where attention is causal (docs/language.md, Edges).

    distance(S1, S1+1)   1
    is_after(END, S2)    True: nothing stands behind END
"""

from __future__ import annotations

from pathdsl.graph.model.components import HEAD, LOGITS, Layout, NodeKind, bits
from pathdsl.graph.paths.pathset import Nodes, Pos, Rel, Slot
from pathdsl.record import record

Labels = tuple[tuple[Slot, Rel | None], ...]
"""Inputs that an arrow names, each with a relation."""


def distance(sender: Pos | None, receiver: Pos | None) -> int | None:
    """How far the receiver stands behind the sender, where the spelling decides it.

    One name with two offsets is read as one token, which holds for every name of a single position.
    """
    if sender is None or receiver is None or sender.name != receiver.name:
        return None
    if sender.parts or receiver.parts:
        return None
    if not sender.name:
        return receiver.index - sender.index
    return receiver.offset - sender.offset


def is_after(sender: Pos | None, receiver: Pos | None) -> bool:
    """Whether the sender provably stands behind the receiver, at each of its places.

    `END` stands behind every other name; a name that is the last token itself is written `END`.
    `ANSWER` may name the tokens of an answer behind the prompt.
    """
    if sender is None or receiver is None:
        return False
    if sender.parts or receiver.parts:
        firsts, lasts = _outermost(sender, 0), _outermost(receiver, -1)
        return all(is_after(first, last) for first in firsts for last in lasts)
    apart = distance(sender, receiver)
    if apart is not None:
        return apart < 0
    return (
        sender.name == "END" and sender.offset == 0 and receiver.name not in ("", "END", "ANSWER")
    )


def _outermost(pos: Pos, end: int) -> list[Pos]:
    """The single places among which the first (0) or the last (-1) one of a position is."""
    parts = pos.among or pos.ends[end:][:1]
    return [one for part in parts for one in _outermost(part, end)] if parts else [pos]


@record
class Step:
    """One arrow: its labels (None: any input), and whether nodes may stand between."""

    labels: Labels | None
    reach: bool
    layout: Layout


def place_fault(step: Step, sender: Nodes, receiver: Nodes) -> str | None:
    """The code of the fault that the positions of two places cause.

    Empty when some pair of them has the edge; None when layers or inputs forbid every pair.
    """
    layout = step.layout
    found: str | None = None
    seen: set[tuple[NodeKind, int]] = set()
    for v in reversed(tuple(bits(receiver.mask))):
        component = layout.components[v]
        if not sender.mask & readable(layout, v, step.labels):
            continue
        if step.labels is not None and not reads_any(layout, v, step.labels):
            continue
        if (component.kind, component.layer) in seen:
            continue
        seen.add((component.kind, component.layer))
        code = _position_fault(step, sender, receiver.at, v)
        if code == "":
            return ""
        found = found or code
    return found


def readable(layout: Layout, v: int, labels: tuple[tuple[Slot, Rel | None], ...] | None) -> int:
    """The mask of the components that a component reads by inputs of these labels, None: by any."""
    found = 0
    for slot, _ in labels or ():
        found |= layout.senders_into(v, slot)
    return layout.senders_of[v] if labels is None else found


def edge_possible(
    layout: Layout, sender: Nodes, v: int, to: Pos | None, slot: Slot | None, relation: Rel | None
) -> bool:
    """Whether one input of component `v`, standing at `to`, may read these senders' position."""
    labels = ((slot, relation),) if slot else None
    return _position_fault(Step(labels=labels, reach=False, layout=layout), sender, to, v) == ""


def reads_any(layout: Layout, v: int, labels: Labels) -> bool:
    """Whether component `v` has one of these inputs."""
    return any(slot in layout.slots_of(v) for slot, _ in labels)


def _position_fault(step: Step, sender: Nodes, to: Pos | None, v: int) -> str:
    layout = step.layout
    component = layout.components[v]
    if component.kind is LOGITS or sender.at is None or to is None:
        return ""
    if layout.shape.causal and is_after(sender.at, to):
        moves = component.kind is HEAD and (
            step.labels is None or any(slot != "q" for slot, _ in step.labels)
        )
        if moves or step.reach:
            return "PD203"
        return "PD202" if distance(sender.at, to) else ""
    if step.reach:
        between = readable(layout, v, step.labels) & layout.heads_mask
        if any(sender.mask & layout.senders_of[h] for h in bits(between)):
            return ""
    apart = distance(sender.at, to)
    if component.kind is not HEAD:
        return "PD202" if apart else ""
    labels = step.labels or (("q", None), ("k", None), ("v", None))
    worst = ""
    for slot, relation in labels:
        if slot not in layout.slots_of(v) or not sender.mask & layout.senders_into(v, slot):
            continue
        if slot == "q":
            code = "PD202" if apart else ""
        elif apart is not None and relation is not None and not relation.holds(apart):
            code = "PD213"
        elif apart is not None and not layout.shape.sees(component.layer, apart):
            code = "PD204"
        else:
            code = ""
        if code == "":
            return ""
        worst = max(worst, code)
    return worst
