"""Nodes under the names that other programs give them."""

from __future__ import annotations

import re
from typing import NamedTuple

from pathdsl.graph.formats.circuit import kind_of
from pathdsl.graph.model.components import INPUT, LOGITS

__all__ = ["DIRECT", "Hook", "hook_of", "node_of", "parse_edge_text", "written_edge"]

# The two parts of `input` in tools that tell them apart.
TOKENS, POSITIONS = "hook_embed", "hook_pos_embed"
DIRECT = ("result", "mlp_out")
"""Values that a component computes from its own inputs, which are no edges of the graph."""

_OTHER = (
    (re.compile(r"[aA](\d{1,4})\.[hH]?(\d{1,6})", re.A), "a{}.h{}"),
    (re.compile(r"(?:mlp|MLP|m|M)[ _.]?(\d{1,4})", re.A), "m{}"),
)
_INPUT = {"resid start", "input", "embed", "embeds", "inputs", "hook_embed"}
_LOGITS = {"resid end", "logits", "output", "resid_post", "unembed"}
_HOOK = re.compile(
    r"blocks\.(?P<layer>\d{1,4})\.(?:hook_(?P<fed>[qkv])_input|attn\.hook_(?P<slot>[qkv])"
    r"|attn\.hook_(?P<result>result|z)|(?P<mlp_in>hook_mlp_in)"
    r"|(?P<mlp_out>hook_mlp_out|mlp\.hook_post)|hook_resid_(?P<resid>pre|mid|post))"
    r"(?:\[(?P<index>\d{1,6})\])?",
    re.A,
)


class Hook(NamedTuple):
    """A place of TransformerLens: `what` is `fed`, `slot`, `result`, `mlp_in`, `mlp_out`, `pre`,
    `mid`, `post`, `tokens` or `positions`; `slot` of a head's input; `head` its number, or None.
    """

    what: str
    layer: int
    slot: str
    head: int | None


def node_of(text: str) -> str | None:
    """The node that a tool calls `A2.4`, `a2.h4`, `MLP 3`, `m3`, `Resid Start`; None for none."""
    if kind_of(text) is not None:
        return text
    if text.lower() in _INPUT:
        return INPUT.name
    if text.lower() in _LOGITS:
        return LOGITS.name
    for pattern, spelled in _OTHER:
        found = pattern.fullmatch(text)
        if found:
            return spelled.format(*(int(one) for one in found.groups()))
    return None


def parse_edge_text(text: str) -> tuple[str, str, str] | None:
    """(sender, receiver, slot) of `a5.h5->a8.h6<v>` or `MLP 2->A3.1.Q`; None for no edge.

    Slot "" where none is written: of an MLP and `logits` there is none, of a head all are meant.
    """
    left, arrow, right = text.partition("->")
    found = re.fullmatch(r"(.+?)(?:<([qkv])>|\.([QKVqkv]))?", right)
    if not arrow or found is None:
        return None
    sender, receiver = node_of(left.strip()), node_of(found[1].strip())
    if sender is None or receiver is None:
        return None
    return sender, receiver, (found[2] or found[3] or "").lower()


def written_edge(text: str) -> str:
    """The edge `a5.h5->a8.h6<v>` as the language writes it, `a5.h5 -[v]-> a8.h6`."""
    found = parse_edge_text(text)
    if found is None:
        return text
    sender, receiver, slot = found
    return f"{sender} -[{slot}]-> {receiver}" if slot else f"{sender} -> {receiver}"


def hook_of(text: str) -> Hook | None:
    """What `blocks.1.attn.hook_result[3]` or `hook_embed` is; None for no hook that is known."""
    bare = text.removeprefix("blocks.0.")
    if bare in (TOKENS, POSITIONS):
        return Hook("tokens" if bare == TOKENS else "positions", -1, "", None)
    found = _HOOK.fullmatch(text)
    if found is None:
        return None
    layer, index = int(found["layer"]), None if found["index"] is None else int(found["index"])
    if found["fed"] or found["slot"]:
        what = "fed" if found["fed"] else "slot"
        return Hook(what, layer, found["fed"] or found["slot"], index)
    for what in ("result", "mlp_in", "mlp_out"):
        if found[what]:
            return Hook(what, layer, "", index)
    return Hook(found["resid"], layer, "", index)
