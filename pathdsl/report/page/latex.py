"""A result as LaTeX for a paper: a file of macros for the preamble.

Formulas are printed as such where they hold nothing but symbols (`plain_formula`), as they were
written elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from markupsafe import Markup

from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.visible import visible
from pathdsl.report.content.curves import CurveContent
from pathdsl.report.content.file import FileContent, contents
from pathdsl.report.content.quantities import QuantityFamily, QuantityRow
from pathdsl.report.content.rows import Object
from pathdsl.report.figures.curve import named_curves
from pathdsl.report.figures.files import has_numbers
from pathdsl.report.figures.grid import SIGNS, Picture, named_pictures
from pathdsl.report.formulas.tex import escape, macro_word, plain_formula
from pathdsl.report.page.template import rendered

__all__ = ["latex", "latex_referee"]

MACRO_PARTS = ("", "Value", "Interval", "Confidence", "Sets", "N", "Verdict", "Hash")
"""What follows a claim's name in the names of its macros."""
LET_PARTS = ("", "Value", "Interval", "Level", "N", "Unit")
"""The same of a `let` and of a member of a sweep."""
MOST_MEMBERS = 500
"""Members of a sweep that have macros, the largest first."""
MOST_ROWS = 20
"""Rows of the table of a sweep, the largest members: what stands on a page."""
OWN_MACROS = (
    "Table", "PathSets", "Formulas", "Method", "Hash", "Scope", "Lock", "Source", "Referee", "num",
    "FigureFolder",
)  # fmt: skip


def latex(result: Object, checked: bool) -> str:
    """The macros of all files, `checked` now or read; equal objects give equal texts."""
    return _written(result, checked, alone=False)


def latex_referee(result: Object, checked: bool) -> str:
    """The section for a referee alone, of all files."""
    return _written(result, checked, alone=True)


def _written(result: Object, checked: bool, *, alone: bool) -> str:
    files = contents(result, checked=checked)
    stems = [_stem(number, files) for number in range(len(files))]
    named, curves = [], iter(named_curves(result))
    for file, stem, drawn in zip(files, stems, named_pictures(result), strict=True):
        taken = {str(stem) + word for word in OWN_MACROS}
        claims = [
            (claim, _free(stem, macro_word(claim.name) or "claim", MACRO_PARTS, taken))
            for claim in file.claims
        ]
        figures = _figures(stem, drawn, taken)
        figures += _curves(stem, list(islice(curves, len(file.curves))), taken)
        named.append((file, stem, claims, figures, *_lets(file, stem, taken)))
    return rendered(
        "report.tex.jinja",
        {"files": named, "alone": alone, "signs": SIGNS},
        {"formula": _formula, "num": _number, "comment": _comment, "breakable": _breakable},
        lambda value: value if isinstance(value, Markup) else escape(str(value)),
        block_start_string="<%", block_end_string="%>",
        variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
    )  # fmt: skip


def _stem(number: int, files: Sequence[FileContent]) -> Markup:
    """What the names of a file's macros begin with: `pd`, and the circuit where there are more."""
    if len(files) == 1:
        return Markup("pd")
    words = [macro_word(file.name) or "File" for file in files]
    word = words[number] + "x" * words[:number].count(words[number])
    return Markup("pd" + word[:1].upper() + word[1:])


def _free(stem: str, words: str, parts: Sequence[str], taken: set[str]) -> Markup:
    """A name of which no part is taken, told apart by letters; its parts are taken afterwards."""
    name = f"{stem}{words[:1].upper()}{words[1:]}"
    while taken & {name + part for part in parts}:
        name += "x"
    taken |= {name + part for part in parts}
    return Markup(name)


def _figures(
    stem: str, drawn: Sequence[tuple[str, Picture]], taken: set[str]
) -> list[tuple[str, Sequence[tuple[str, str]], Markup, Markup]]:
    """For each picture of a sweep its caption, the marks that it has, and the names of its macro
    and of its file, which is plain."""
    return [
        (
            picture.caption,
            picture.legend_beside(numbers=has_numbers(picture)),
            _free(stem, f"Figure{_capital(picture.name)}", ("", "Caption"), taken),
            Markup(written),
        )
        for written, picture in drawn
    ]


def _curves(
    stem: str, drawn: Sequence[tuple[str, CurveContent]], taken: set[str]
) -> list[tuple[str, Sequence[tuple[str, str]], Markup, Markup]]:
    """The same for each curve."""
    return [
        (
            f"faithfulness of circuits of growing size, {curve.title}, read by {curve.read_by}; "
            f"band: the {curve.level} interval",
            [],
            _free(stem, f"FigureCurve{_capital(curve.read_by)}", ("", "Caption"), taken),
            Markup(written),
        )
        for written, curve in drawn
    ]


def _lets(
    file: FileContent, stem: str, taken: set[str]
) -> tuple[
    list[tuple[QuantityRow, Markup]],
    list[tuple[QuantityFamily, Sequence[QuantityRow], Markup]],
]:
    """Macro names of lets and of members of sweeps, and those of the tables of sweeps."""
    lets: list[tuple[QuantityRow, Markup]] = []
    tables: list[tuple[QuantityFamily, Sequence[QuantityRow], Markup]] = []
    for family in file.quantities:
        if not family.single:
            name = _free(stem, f"{macro_word(family.name)}Table", ("", "Caption"), taken)
            tables.append((family, family.rows[:MOST_ROWS], name))
        for row in family.rows[:MOST_MEMBERS]:
            word = macro_word(family.full_name(row)) or "let"
            lets.append((row, _free(stem, word, LET_PARTS, taken)))
    return lets, tables


def _capital(name: str) -> str:
    word = macro_word(name)
    return word[:1].upper() + word[1:]


def _formula(latex: str, text: str) -> Markup:
    """A formula between dollars, or the text that it comes from."""
    if latex and plain_formula(latex):
        return Markup(f"${latex}$")
    return _breakable(text)


def _number(text: str) -> Markup:
    """A number, an interval or a comparison in a formula; words stay words."""
    if re.fullmatch(r"[-+\d.,e\[\] ]+", text):
        # An interval breaks behind its comma where a column is too narrow for it, and only there.
        breakable = text.replace(", ", r",\penalty5000 ")
        return Markup(rf"\ensuremath{{{breakable}}}")
    comparison = re.fullmatch(r"(<=|>=|<|>|~=) ([-+\d.e]+)(?: within ([-+\d.e]+))?", text)
    if comparison is None:
        return Markup(escape(text))
    sign = RELATIONS[comparison[1]].latex
    within = rf"\pm {comparison[3]}" if comparison[3] else ""
    return Markup(rf"\ensuremath{{{sign} {comparison[2]}{within}}}")


def _breakable(text: str) -> Markup:
    """Typewriter letters that may break behind brackets, dots and commas."""
    escaped = escape(" ".join(text.split())).replace(" ", "\\ ")
    return Markup(r"\texttt{" + re.sub(r"([(,.@:[]|\\_)", r"\1\\allowbreak{}", escaped) + "}")


def _comment(text: str) -> Markup:
    return Markup(visible(" ".join(text.split())))
