"""A circuit as a `.circuit` file that a person can read and edit.

Edges with the same senders into the same inputs are one line, nodes of one role or place a group.
Where hundreds of edges are left, they stand in a circuit file (the JSON of EAP-IG and MIB) beside.

    edge_lines([("input", "a0.h1", "v"), ("a0.h1", "logits", "")], (), {}, layout)
    circuit_text(Draft(…))                       # in canonical form
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pathdsl.graph.files.eap import edge_name
from pathdsl.graph.model.components import HEAD, MLP, Layout
from pathdsl.lang.format.layout import format_text

__all__ = ["Draft", "Edge", "NodeGroup", "circuit_json", "circuit_text", "edge_lines", "grouped"]

Edge = tuple[str, str, str]
"""Sender, receiver and slot, "" for an MLP and `logits`."""
WIDTH = 100
SLOTS = ("q", "k", "v")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """A group of the file: `members` are nodes in the order of the model, `place` "" for any.

    `why` is the comment behind it, "" for none.
    """

    name: str
    members: tuple[str, ...]
    place: str
    why: str

    def text(self) -> str:
        """The statement."""
        at = f" @{self.place}" if self.place else ""
        why = f"    # {self.why}" if self.why else ""
        return f"group {self.name}{at} = {{ {', '.join(self.members)} }}{why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Everything that a discovered file says; texts are statements of the language.

    `about`: lines of the comment at the top. `path` is the expression of the path set `hypothesis`.
    `note`: the comment in front of the claims.
    """

    name: str
    title: str
    hypothesis: str
    record: str
    about: tuple[str, ...]
    uses: tuple[str, ...]
    model: str
    tasks: tuple[str, ...]
    groups: tuple[NodeGroup, ...]
    path: str
    metrics: tuple[str, ...]
    lets: tuple[str, ...]
    note: str
    claims: tuple[str, ...]


def circuit_text(draft: Draft) -> str:
    """The file, in canonical form."""
    record = json.dumps(draft.record, ensure_ascii=False)
    title = json.dumps(draft.title, ensure_ascii=False)
    parts = [
        "\n".join(_comment(draft.about)) + f"\ncircuit {draft.name} {title} {{\n  language = 1\n"
        f"  hypothesis = {draft.hypothesis}\n  discovered = {record}    "
        "# the rows that found it, which do not judge it\n}",
        *("\n".join(draft.uses),),
        draft.model,
        *draft.tasks,
        "\n".join(one.text() for one in draft.groups),
        f"path {draft.hypothesis} = {draft.path}",
        "\n".join(draft.metrics),
        "\n".join(draft.lets),
        "\n".join([*_comment((draft.note,)), *draft.claims]),
    ]
    text = "\n\n".join(part for part in parts if part.strip())
    return format_text(text + "\n", f"{draft.name}.circuit")


def _comment(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield from (f"# {part}" for part in textwrap.wrap(line, WIDTH - 2, break_on_hyphens=False))


# ------------------------------------------------------------------------------- edges


def edge_lines(
    edges: Collection[Edge], groups: Sequence[NodeGroup], at: Mapping[str, str], layout: Layout
) -> tuple[str, ...]:
    """Lines of an `edges { … }` that list exactly these edges.

    A line is senders, an arrow with the inputs, and receivers, from `input` to `logits`. A group is
    named where all its members are meant; the others stand by name. `at`: the places of nodes.
    """
    order = layout.named
    into: dict[str, dict[str, set[str]]] = {}
    for sender, receiver, slot in edges:
        into.setdefault(receiver, {}).setdefault(slot, set()).add(sender)
    lines: dict[tuple[str, frozenset[str]], list[str]] = {}
    for receiver in sorted(into, key=order.__getitem__):
        by_senders: dict[frozenset[str], list[str]] = {}
        for slot in sorted(into[receiver], key=lambda one: ("", *SLOTS).index(one)):
            by_senders.setdefault(frozenset(into[receiver][slot]), []).append(slot)
        for senders, slots in by_senders.items():
            every = slots == [""] or slots == list(SLOTS)
            arrow = "->" if every else f"-[{','.join(slots)}]->"
            lines.setdefault((arrow, senders), []).append(receiver)
    return tuple(
        f"{_set(senders, groups, at, layout)} {arrow} {_set(receivers, groups, at, layout)}"
        for (arrow, senders), receivers in lines.items()
    )


def _set(
    nodes: Collection[str], groups: Sequence[NodeGroup], at: Mapping[str, str], layout: Layout
) -> str:
    """Some nodes as the language writes them: whole groups by name, the rest one by one."""
    left = set(nodes)
    parts: list[str] = []
    for group in groups:
        if left and set(group.members) <= left:
            parts.append(group.name)
            left -= set(group.members)
    order = layout.named
    for place in dict.fromkeys(at.get(node, "") for node in sorted(left, key=order.__getitem__)):
        there = [node for node in left if at.get(node, "") == place]
        parts += [f"{one}@{place}" if place else one for one in _ranges(there, layout)]
    return parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _ranges(nodes: Collection[str], layout: Layout) -> list[str]:
    """Nodes of one place, all heads of a layer as `a3`, MLPs of layers in a row as `m[0..3]`."""
    components = [layout.components[i] for i in sorted(layout.named[one] for one in nodes)]
    found: list[tuple[int, str]] = []
    heads: dict[int, list[int]] = {}
    runs: list[list[int]] = []
    for one in components:
        if one.kind is HEAD:
            heads.setdefault(one.layer, []).append(one.head)
        elif one.kind is MLP:
            if runs and runs[-1][-1] == one.layer - 1:
                runs[-1].append(one.layer)
            else:
                runs.append([one.layer])
        else:
            found.append((layout.index(one), str(one)))
    for layer, some in heads.items():
        if len(some) == layout.shape.heads_in(layer) > 1:
            text = f"a{layer}"
        else:
            listed = ", ".join(map(str, some))
            text = f"a{layer}.h{listed if len(some) == 1 else f'[{listed}]'}"
        found.append((layout.head(layer, some[0]), text))
    for run in runs:
        text = f"m{run[0]}" if len(run) == 1 else f"m[{run[0]}..{run[-1]}]"
        found.append((layout.mlp(run[0]), text))
    return [text for _, text in sorted(found)]


def circuit_json(edges: Mapping[Edge, float], layout: Layout) -> str:
    """A circuit file of these edges and their scores, as `edges("FILE")` and EAP-IG read it."""
    shape = layout.shape
    inside = {name for edge in edges for name in edge[:2]}
    held = {
        "cfg": {
            "n_layers": shape.n_layers, "n_heads": shape.n_heads,
            "parallel_attn_mlp": shape.parallel, "d_model": shape.d_model,
        },
        "nodes": {
            str(one): {"in_graph": str(one) in inside} for one in layout.components
        },
        "edges": {
            _name(edge, layout): {"score": score, "in_graph": True}
            for edge, score in edges.items()
        },
    }  # fmt: skip
    return json.dumps(held, indent=0) + "\n"


def _name(edge: Edge, layout: Layout) -> str:
    sender, receiver, slot = edge
    return edge_name(layout.named[sender], layout.named[receiver], slot, layout)


# ------------------------------------------------------------------------------- groups

_WHY = {
    "previous_token": "look at the token before, {to}",
    "duplicate_token": "look at the same token before, at {to}",
    "induction": "look behind the same token before, at {to}",
    "copying": "look at {to}, and bring its token forward",
}


def grouped(
    nodes: Collection[str],
    roles: Mapping[str, tuple[str, str]],
    at: Mapping[str, str],
    layout: Layout,
    taken: Collection[str],
) -> tuple[NodeGroup, ...]:
    """Groups of nodes: heads of one role and place first, then heads and MLPs by place.

    `roles` (with where the head looks) and `at` have what is plain, nothing of the others.
    `taken`: names that the file has.
    Nodes without a place and a role are in no group, nor is one that stands at its place alone.
    """
    members: dict[tuple[str, str, str, str], list[str]] = {}
    kinds = {str(one): one.kind for one in layout.components}
    for node in sorted(nodes, key=layout.named.__getitem__):
        (role, to), place = roles.get(node, ("", "")), at.get(node, "")
        if kinds[node] not in (HEAD, MLP) or not (role or place):
            continue
        kind = role or ("heads" if kinds[node] is HEAD else "mlps")
        members.setdefault((kind, place, role, to), []).append(node)
    used = set(taken)
    found = []
    for (kind, place, role, to), some in sorted(
        members.items(), key=lambda one: (not one[0][2], layout.named[one[1][0]])
    ):
        if len(some) == 1 and not role:
            continue
        word = place.replace("+", "_plus_").replace("-", "_minus_")
        alone = role and sum(one[0] == kind for one in members) == 1
        name = kind if alone or not word else f"{kind}_at_{word}"
        while name in used:
            name += "_2" if name[-1].isalpha() else "0"
        used.add(name)
        found.append(
            NodeGroup(
                name=name, members=tuple(some), place=place, why=_WHY.get(role, "").format(to=to)
            )
        )
    return tuple(found)
