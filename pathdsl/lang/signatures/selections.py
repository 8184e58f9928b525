"""From scores of edges to a circuit: a record for each rule.

Source: docs/discovery.md, Selection.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AGAIN", "SELECTIONS", "SelectionRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRecord:
    """One rule. `unread`: options of a selection that it has no use for.

    `by_sign`: whether it reads the signs of scores also where their order does not.

    `scored`: whether it takes a circuit from scores, and measures nothing. `not_again`: why it is
    not asked for a circuit of each of a thousand resamples; "" for a rule that is.
    """

    name: str
    unread: tuple[str, ...]
    by_sign: bool
    scored: bool
    not_again: str
    source: str


_MIB = "arXiv:2510.25786"
SELECTIONS = {
    record.name: record
    for record in (
        SelectionRecord(
            name="top", unread=(), by_sign=False, scored=True, not_again="",
            source="Syed et al. 2023 (arXiv:2310.10348)",
        ),
        SelectionRecord(
            name="greedy", unread=(), by_sign=False, scored=True, not_again="",
            source="Hanna et al. 2024 (arXiv:2403.17806)",
        ),
        SelectionRecord(
            name="pnr", unread=("rank",), by_sign=True, scored=True, not_again="", source=_MIB,
        ),
        SelectionRecord(
            name="ilp", unread=(), by_sign=False, scored=True, source=_MIB,
            not_again="solves an integer program for every resample",
        ),
        SelectionRecord(
            name="stable", unread=(), by_sign=False, scored=True, source=_MIB,
            not_again="resamples the prompts itself, and would have to within every resample",
        ),
        SelectionRecord(
            name="acdc", unread=("rank",), by_sign=False, scored=False,
            source="Conmy et al. 2023 (arXiv:2304.14997)",
            not_again="measures circuits on the way, and kept scores hold none",
        ),
    )
}  # fmt: skip
"""The rules by their names."""
AGAIN = tuple(name for name, record in SELECTIONS.items() if not record.not_again)
"""Those that take a circuit from the scores of each resample."""
