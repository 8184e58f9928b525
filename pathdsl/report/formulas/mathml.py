r"""Declarations as MathML, for pages that load no script: metrics, quantities and claims.

Written from the syntax tree and not by sympy, whose printer of MathML drops brackets (sympy 1.14
prints `-(a + b)` as -a + b). Brackets stand where the author set them, but for a numerator, a
denominator, an exponent and what `abs` encloses, which need none. Runs, path sets and scores are
texts, spelled as in the file.

    let explained = 1 - AUE / ATE        <mn>1</mn><mo>−</mo><mfrac>…</mfrac>

Source: MathML Core, W3C.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.spelling import position_text

__all__ = ["claim_mathml", "expression_mathml"]

SIGNS = {"+": "+", "-": "−", "*": "·"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Text = Callable[[Span], str]


def claim_mathml(claim: ast.ClaimDecl, text_of: Text) -> str:
    """`A ≥ 80%` as one `<math>`; `text_of` gives the text of a span of the claim's own file."""
    parts = [_inner(claim.left, text_of), _mo(RELATIONS[claim.relation].mathml)]
    parts.append(_inner(claim.right, text_of))
    if claim.within is not None:
        parts += ["<mtext>\u00a0within\u00a0</mtext>", _inner(claim.within, text_of)]
    return _math(parts)


def expression_mathml(name: str, expr: ast.Expr, text_of: Text) -> str:
    """`name = expression` as one `<math>`; positions stand below what is measured there."""
    return _math([_name(name), _mo("="), _inner(expr, text_of)])


def _math(parts: Sequence[str]) -> str:
    return _row("math", parts)


def _row(tag: str, parts: Sequence[str]) -> str:
    return f"<{tag}>{''.join(parts)}</{tag}>"


def _mo(sign: str) -> str:
    return f"<mo>{escape(sign)}</mo>"


def _name(name: str) -> str:
    return f'<mi mathvariant="normal">{_clean(name)}</mi>'


def _clean(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", " ".join(text.split())), quote=False)


def _bare(expr: ast.Node) -> ast.Node:
    """The expression without brackets around all of it."""
    while isinstance(expr, ast.Bracket):
        expr = expr.inner
    return expr


def _bracketed(parts: Sequence[str], left: str = "(", right: str = ")") -> str:
    """The parts in brackets, which grow beside fractions alone: stretched ones stand far apart."""
    tall = "" if any("<mfrac>" in part for part in parts) else ' stretchy="false"'
    first, last = (
        f'<mo form="{form}"{tall}>{sign}</mo>'
        for form, sign in (("prefix", left), ("postfix", right))
    )
    return _row("mrow", [first, *parts, last])


def _inner(expr: ast.Node, text_of: Text) -> str:
    match expr:
        case ast.Number(percent=True):
            return f"<mn>{expr.value * 100:g}%</mn>"
        case ast.Number():
            return f"<mn>{expr.value:g}</mn>"
        case ast.Bracket():
            return _bracketed([_inner(_bare(expr), text_of)])
        case ast.Unary(operand=operand):
            return _row("mrow", [_mo("−"), _inner(operand, text_of)])
        case ast.Binary(op="/"):
            above, below = (_inner(_bare(side), text_of) for side in (expr.left, expr.right))
            return _row("mfrac", [_row("mrow", [above]), _row("mrow", [below])])
        case ast.Binary(op="^"):
            base = _inner(expr.left, text_of)
            if isinstance(expr.left, ast.Binary | ast.Unary):
                base = _bracketed([base])
            return _row("msup", [base, _row("mrow", [_inner(_bare(expr.right), text_of)])])
        case ast.Binary():
            left, right = _inner(expr.left, text_of), _inner(expr.right, text_of)
            return _row("mrow", [left, _mo(SIGNS[expr.op]), right])
        case ast.Name(name=name, at=None):
            return _name(name)
        case ast.Call(name="abs", arguments=(one,)):
            return _bracketed([_inner(_bare(one.value), text_of)], "|", "|")
        case ast.Call(arguments=(ast.Argument(value=ast.OverMembers() as over),)):
            return _over(expr.name, over, text_of)
        case ast.Call():
            return _call(expr, text_of)
        case _:
            return f"<mtext>{_clean(text_of(expr.span))}</mtext>"


def _over(name: str, over: ast.OverMembers, text_of: Text) -> str:
    """A function over members: what it ranges over stands below its name."""
    below: list[str] = []
    for one in over.loop.bindings:
        if below:
            below.append(_mo(","))
        members = f"<mtext>{_clean(text_of(one.members.span))}</mtext>"
        below += [_name(one.variable.name), _mo("∈"), members]
    inside = [_inner(over.value, text_of)]
    if over.relation is not None and over.bound is not None:
        inside += [_mo(RELATIONS[over.relation].mathml), _inner(over.bound, text_of)]
    named = _row("munder", [_name(name), _row("mrow", below)])
    return _row("mrow", [named, _bracketed(inside)])


def _call(call: ast.Call, text_of: Text) -> str:
    named = _name(call.name)
    if call.at is not None:
        named = _row("msub", [named, f"<mtext>@{_clean(position_text(call.at))}</mtext>"])
    inside: list[str] = []
    for argument in call.arguments:
        if inside:
            inside.append(_mo(","))
        if argument.keyword:
            inside += [_name(argument.keyword), _mo(":")]
        inside.append(_inner(argument.value, text_of))
    return _row("mrow", [named, _bracketed(inside)])
