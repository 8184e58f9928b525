r"""Declarations as LaTeX: metrics, quantities and claims, for reports.

Arithmetic is laid out by sympy, which never simplifies here (`evaluate=False`): the formula printed
is the one that the author wrote. Runs, path sets and scores are atoms, spelled as in the file.

    let explained = 1 - AUE / ATE        1 - \frac{\mathrm{AUE}}{\mathrm{ATE}}
"""

from __future__ import annotations

from collections.abc import Callable

import sympy

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.report.formulas.tex import typed

__all__ = ["claim_latex", "expression_latex"]


def claim_latex(claim: ast.ClaimDecl, text_of: Callable[[Span], str]) -> str:
    r"""`\mathrm{A} \ge 80\%`; `text_of` gives the text of a span of the claim's own file."""
    left, right = (expression_latex(side, text_of) for side in (claim.left, claim.right))
    formula = f"{left} {RELATIONS[claim.relation].latex} {right}"
    if claim.within is not None:
        formula += r" \mathrm{\ within\ } " + expression_latex(claim.within, text_of)
    return formula


def expression_latex(expr: ast.Expr, text_of: Callable[[Span], str]) -> str:
    """The LaTeX of an expression, without dollars; `text_of` as in `claim_latex`."""
    return _Printer(text_of).latex(expr)


class _Printer:
    """Builds one sympy expression whose symbols stand for what sympy does not lay out."""

    def __init__(self, text_of: Callable[[Span], str]) -> None:
        self.text_of = text_of
        self.symbols: dict[sympy.Symbol, str] = {}

    def latex(self, expr: ast.Node) -> str:
        return str(sympy.latex(self.build(expr), symbol_names=self.symbols, order="none"))

    def symbol(self, latex: str) -> sympy.Symbol:
        """A symbol that is printed as given."""
        made = sympy.Symbol(latex, real=True)
        self.symbols[made] = latex
        return made

    def build(self, expr: ast.Node) -> sympy.Expr:
        match expr:
            case ast.Number(percent=True):
                return self.symbol(f"{expr.value * 100:g}\\%")
            case ast.Number():
                return self.symbol(f"{expr.value:g}")
            case ast.Bracket(inner=inner):
                return self.build(inner)
            case ast.Unary(operand=operand):
                return sympy.Mul(sympy.Integer(-1), self.build(operand), evaluate=False)
            case ast.Binary():
                return self.binary(expr)
            case ast.Name(name=name, at=None):
                return self.symbol(_roman(name))
            case ast.Call(name="abs", arguments=(one,)):
                return self.symbol(_around(r"\lvert ", self.latex(one.value), r"\rvert "))
            case ast.Call(arguments=(ast.Argument(value=ast.OverMembers() as over),)):
                return self.symbol(self.over(expr.name, over))
            case ast.Call(at=None):
                inside = [
                    (f"{_roman(a.keyword)}: " if a.keyword else "") + self.latex(a.value)
                    for a in expr.arguments
                ]
                name = expr.name.replace("_", r"\_")
                return self.symbol(
                    rf"\operatorname{{{name}}}" + _around("(", ", ".join(inside), ")")
                )
            case _:
                return self.symbol(typed(self.text_of(expr.span)))

    def over(self, name: str, over: ast.OverMembers) -> str:
        r"""`\operatorname*{max}_{h \in attn} …`: what a function over members takes."""
        ranges = ", ".join(
            rf"{_roman(one.variable.name)} \in {typed(self.text_of(one.members.span))}"
            for one in over.loop.bindings
        )
        inside = self.latex(over.value)
        if over.relation is not None and over.bound is not None:
            inside += f" {RELATIONS[over.relation].latex} {self.latex(over.bound)}"
        return rf"\operatorname*{{{name}}}_{{{ranges}}}" + _around("(", inside, ")")

    def binary(self, expr: ast.Binary) -> sympy.Expr:
        left, right = self.build(expr.left), self.build(expr.right)
        match expr.op:
            case "+":
                return sympy.Add(left, right, evaluate=False)
            case "-":
                minus = sympy.Mul(sympy.Integer(-1), right, evaluate=False)
                return sympy.Add(left, minus, evaluate=False)
            case "*":
                return sympy.Mul(left, right, evaluate=False)
            case "/":
                below = sympy.Pow(right, sympy.Integer(-1), evaluate=False)
                return sympy.Mul(left, below, evaluate=False)
            case "^":
                return sympy.Pow(left, right, evaluate=False)


def _around(left: str, inside: str, right: str) -> str:
    r"""What is inside in brackets; they grow beside fractions alone.

    A line breaks nowhere between `\left` and `\right`, and columns of papers are narrow.
    """
    if r"\frac" in inside:
        left, right = rf"\left{left}", rf"\right{right}"
    return f"{left}{inside}{right}"


def _roman(name: str) -> str:
    return r"\mathrm{" + name.replace("_", r"\_") + "}"
