"""The relations of claims, `A >= B`: a record for each.

Source: docs/language.md, `claim`.
"""

from __future__ import annotations

from typing import Literal

from pathdsl.record import record

__all__ = ["RELATIONS", "Asks", "RelationRecord"]

Asks = Literal["above", "below", "around"]


@record
class RelationRecord:
    """What is known of a relation.

    `asks`: where values satisfy it, above the threshold, below it, or around it, within a margin.
    `strict`: whether the threshold itself does not. `turned`: the same with the sides exchanged.
    `latex`, `mathml`: how formulas write it.
    """

    name: str
    asks: Asks
    strict: bool
    turned: str
    latex: str
    mathml: str


_ROWS: tuple[tuple[str, Asks, bool, str, str, str], ...] = (
    ("<", "below", True, ">", "<", "<"),
    ("<=", "below", False, ">=", r"\le", "≤"),
    (">", "above", True, "<", ">", ">"),
    (">=", "above", False, "<=", r"\ge", "≥"),
    ("~=", "around", False, "~=", r"\approx", "≈"),
)
RELATIONS = {
    name: RelationRecord(
        name=name, asks=asks, strict=strict, turned=turned, latex=latex, mathml=mathml
    )
    for name, asks, strict, turned, latex, mathml in _ROWS
}
