"""A result as LaTeX for a paper: a file of macros for the preamble.

Formulas are printed as such where they hold nothing but symbols (`plain_formula`), as they were
written elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.visible import visible
from pathdsl.report.content.claims import ClaimContent
from pathdsl.report.content.file import FileContent, contents
from pathdsl.report.content.rows import Object
from pathdsl.report.figures.grid import SIGNS, Picture, named_pictures
from pathdsl.report.formulas.tex import escape, macro_word, plain_formula
from pathdsl.report.page.template import rendered

__all__ = ["latex", "latex_referee"]

MACRO_PARTS = ("", "Value", "Interval", "Confidence", "Sets", "N", "Verdict", "Hash")
"""What follows a claim's name in the names of its macros."""
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
    named = []
    for file, stem, drawn in zip(files, stems, named_pictures(result), strict=True):
        claims = _macros(file, stem)
        named.append((file, stem, claims, _figures(stem, drawn, [name for _, name in claims])))
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


def _macros(file: FileContent, stem: str) -> list[tuple[ClaimContent, Markup]]:
    """A macro name for each claim, told apart by a letter where two would be the same."""
    claims: dict[str, ClaimContent] = {}
    taken: set[str] = {stem + word for word in OWN_MACROS}
    for claim in file.claims:
        word = macro_word(claim.name) or "claim"
        name = stem + word[:1].upper() + word[1:]
        while taken & {name + part for part in MACRO_PARTS}:
            name += "x"
        taken |= {name + part for part in MACRO_PARTS}
        claims[name] = claim
    return [(claim, Markup(name)) for name, claim in claims.items()]


def _figures(
    stem: str, drawn: Sequence[tuple[str, Picture]], claims: Sequence[str]
) -> list[tuple[Picture, Markup, Markup]]:
    """For each picture of a sweep the name of its macro, and that of its file, which is plain."""
    taken = {name + part for name in claims for part in MACRO_PARTS} | {stem + "FigureFolder"}
    found = []
    for written, picture in drawn:
        word = macro_word(picture.name)
        name = f"{stem}Figure{word[:1].upper()}{word[1:]}"
        while taken & {name, name + "Caption"}:
            name += "x"
        taken |= {name, name + "Caption"}
        found.append((picture, Markup(name), Markup(written)))
    return found


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
