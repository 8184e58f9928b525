"""What a report says of quantities: the members of one `let … for` together, largest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pathdsl.report.content.rows import (
    Object,
    WorstOf,
    measured,
    member_rows,
    split_name,
    spread_of,
)
from pathdsl.report.numbers import digits, nothing_to_treat

__all__ = ["QuantityFamily", "QuantityRow", "families"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityRow(WorstOf):
    """One quantity; `name` is the member's alone inside a family."""

    name: str
    unit: str
    n: str
    level: str
    notes: tuple[str, ...]
    spread: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityFamily:
    """The members of one `let … for`, largest first; a single quantity is a family of one."""

    name: str
    single: bool
    statement: str
    mathml: str
    rows: tuple[QuantityRow, ...]

    def full_name(self, row: QuantityRow) -> str:
        """The name of a row as claims and JSON write it, `direct[a9.h9@END]`."""
        return row.name if self.single else f"{self.name}[{row.name}]"


def families(
    quantities: Iterable[Object], declared: Mapping[str, tuple[str, str]], noise: float
) -> Iterable[QuantityFamily]:
    """Quantities by their `let`; `declared` has its text and its MathML by name."""
    by_name: dict[str, list[Object]] = {}
    for quantity in quantities:
        by_name.setdefault(split_name(quantity["name"])[0], []).append(quantity)
    for name, members in by_name.items():
        single = len(members) == 1 and members[0]["name"] == name
        ordered = sorted(members, key=_size)
        places = None
        if not single:  # one column, so as many digits for all
            estimates = ((q["estimate"], q["interval"]) for q in ordered if q["estimate"])
            places = next((digits(*one) for one in estimates), None)
        statement, mathml = declared.get(name, ("", ""))
        yield QuantityFamily(
            name=name,
            single=single,
            statement=statement,
            mathml=mathml,
            rows=tuple(_row(q, single, noise, places) for q in ordered),
        )


def _size(quantity: Object) -> tuple[bool, float]:
    estimate = quantity["estimate"]
    return (estimate is None, 0.0 if estimate is None else -abs(estimate))


def _row(quantity: Object, single: bool, noise: float, places: int | None) -> QuantityRow:
    estimate, n, name = quantity["estimate"], quantity["n"], quantity["name"]
    numbers = measured(quantity, noise, places)
    if not n and estimate is not None:  # counted: nothing was resampled
        whole = estimate == int(estimate) and abs(estimate) < 1e15
        numbers["estimate"] = f"{int(estimate):,}" if whole else f"{estimate:.4g}"
    confidence, unchanged = quantity["confidence"], quantity.get("unchanged")
    return QuantityRow(
        name=name if single else split_name(name)[1],
        unit="" if quantity["unit"] == "none" else quantity["unit"],
        **numbers,
        n=f"{n:,}" if n else "",
        level=f"{confidence * 100:g}%" if confidence and quantity["interval"] else "",
        notes=(*quantity["notes"], *([nothing_to_treat(unchanged)] if unchanged else [])),
        members=member_rows(quantity, noise),
        spread=spread_of(quantity.get("prompts"), noise) if single else "",
    )
