"""A statement as a row of bits: each token with the blank before it, its comments and its role.

The formatter prints from these. They come from lark's tree, which keeps every token, so that each
token knows the rule it stands in: the `-` of `-x` and of `a - b`, the brace of a block and of a
repeat count. Separators are no bits of their own: a comma belongs to the token before it, and a
comment between the two moves behind the comma. A trailing comma is not kept: the layout decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lark import Token, Tree

from pathdsl.record import record

_COMMENT = re.compile(r"#[^\r\n]*|\n")
_CLOSERS = frozenset(")]}")

# Rules whose bracket follows a word directly: `mean(`, `treat(`, `through(`.
_CALLS = frozenset(
    "call run score through within edges_file edges_of nodes_file random_like random_edges windows "
    "pattern_call relation of_run act_pattern act_block act_zero".split()
)
# Signs with no blank behind them, and before them.
_TIGHT_BEHIND = frozenset(("(", "[", "@", "-[", "~[", "^", ".."))
_TIGHT_BEFORE = frozenset((")", "]", "]->", "]~>", ":", "^", ".."))
# Rules of braces with a blank on the inner side.
_AIRY = frozenset(("group_set", "map_value", "edges", "block", "intervene_decl"))
# Rules whose members stand one to a line when the statement is broken over lines.
_LAID_OUT = {"group_set": "member", "edges": "edge_chain", "block": "field",
             "intervene_decl": "act_"}  # fmt: skip

Role = Literal["", "open", "item", "close"]


@record
class Comment:
    """`# text` without blanks at its end; `own` when it has its line for itself."""

    text: str
    own: bool
    blank: bool


@dataclass(slots=True, kw_only=True)
class Bit:
    """One printed token; `space` says whether a blank stands before it on one line.

    `owner` is the rule whose member or brace the bit begins, where `role` says so. `comments` are
    those between the bit before and this one, `blank` whether an empty line stands directly before
    it. `separator` is the comma or semicolon behind it, as printed on one line.
    """

    text: str
    rule: str
    role: Role
    owner: str
    space: bool
    start: int
    end: int
    comments: list[Comment]
    blank: bool
    separator: str = ""


def comments_between(text: str, start: int, end: int) -> tuple[list[Comment], bool]:
    """The comments of a gap between two tokens, and whether an empty line ends the gap."""
    comments: list[Comment] = []
    newlines = 0
    for match in _COMMENT.finditer(text, start, end):
        if match.group() == "\n":
            newlines += 1
            continue
        own = bool(comments) or newlines > 0 or start == 0
        comments.append(Comment(text=match.group().rstrip(), own=own, blank=newlines > 1))
        newlines = 0
    return comments, newlines > 1


def bits_of(tree: Tree[Token], text: str) -> list[Bit]:
    """The bits of one statement, comments behind its last token left out."""
    tokens = _tokens(tree)
    bits: list[Bit] = []
    for index, (token, rule, role, owner) in enumerate(tokens):
        if token in (",", ";"):
            after = tokens[index + 1][0] if index + 1 < len(tokens) else ""
            if token == "," and after not in _CLOSERS:
                bits[-1].separator = ","
            continue
        before = bits[-1] if bits else None
        start, end = token.start_pos or 0, token.end_pos or 0
        comments, blank = comments_between(text, before.end, start) if before else ([], 0)
        if role == "item" and owner == "edges" and before and before.role != "open":
            before.separator = ";"
        bits.append(
            Bit(
                text=_canonical(token), rule=rule, role=role, owner=owner,
                comments=comments, blank=bool(blank),
                start=start, end=end,
                space=before is not None and _spaced(bits, token, rule),
            )
        )  # fmt: skip
    return bits


def _tokens(tree: Tree[Token]) -> list[tuple[Token, str, Role, str]]:
    """Every token in order with its rule, role and owner; no recursion, trees may be deep."""
    tokens: list[tuple[Token, str, Role, str]] = []
    waiting: list[tuple[Tree[Token] | Token, str, Role, str]] = [(tree, "", "", "")]
    while waiting:
        node, rule, role, owner = waiting.pop()
        if isinstance(node, Token):
            tokens.append((node, rule, role, owner))
            continue
        own = _rule_name(str(node.data), rule)
        inner = _LAID_OUT.get(own)
        children: list[tuple[Tree[Token] | Token, str, Role, str]] = []
        for index, child in enumerate(node.children):
            what: tuple[Role, str] = (role, owner) if index == 0 else ("", "")
            if inner and isinstance(child, Tree) and str(child.data).startswith(inner):
                what = ("item", own)
            elif inner and child == "{":
                what = ("open", own)
            elif inner and child == "}":
                what = ("close", own)
            children.append((child, own, *what))
        waiting.extend(reversed(children))
    return tokens


def _rule_name(rule: str, parent: str) -> str:
    if rule == "node_set" and parent == "group_decl":
        return "group_set"
    if rule == "at" and parent in ("group_decl", "metric_decl", "call"):
        return "spaced_at"
    return rule


def _canonical(token: Token) -> str:
    if token.type in ("HEAD", "MLP", "RESID"):
        return re.sub(r"\s+", "", token)
    return str(token)


def _spaced(bits: list[Bit], token: Token, rule: str) -> bool:
    """Whether a blank stands between the last bit and `token` on one line."""
    before = bits[-1]
    if before.separator:
        # `-[k,v: prev]->`: slots that share a relation stay together, and so does `{1,3}`.
        return before.rule != "quantifier" and not (before.rule == "label" and before.text in "qkv")
    if "{" in (before.text, token) or "}" in (before.text, token):
        if rule == "quantifier" and token != "(":
            return False
        if before.text == "{" and token == "}":
            return False
        if before.text == "{" and before.rule in ("node_set", "positions", *_AIRY):
            return before.rule in _AIRY
        if token == "}":
            return rule in _AIRY
    if before.text in _TIGHT_BEHIND or token in _TIGHT_BEFORE:
        return False
    if rule == "quantifier" or token.type == "SHIFT":
        return False
    if before.text == "-" and before.rule in ("negative", "signed"):
        return False
    if before.text == "+" and before.rule == "relation":
        return False
    if token == "(":
        return rule not in _CALLS
    if token == "[":
        return rule != "subscript"
    if token == "@":
        return rule in ("spaced_at", "place_item")
    return True
