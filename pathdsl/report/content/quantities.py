"""What a report says of quantities: the members of one `let … for` together, largest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pathdsl.report.content.rows import Object, WorstOf, split_name, spread_of
from pathdsl.report.figures.grid import Picture, picture_of
from pathdsl.report.numbers import digits, distinct_prompts, nothing_to_treat

__all__ = ["QuantityFamily", "QuantityRow", "families"]


class QuantityRow(WorstOf):
    """One quantity; `name` is the member's alone inside a family."""

    def __init__(self, quantity: Object, single: bool, noise: float, places: int | None) -> None:
        super().__init__(quantity, noise, places)
        estimate, n, name = quantity["estimate"], quantity["n"], quantity["name"]
        if not n and estimate is not None:  # counted: nothing was resampled
            whole = estimate == int(estimate) and abs(estimate) < 1e15
            self.estimate = f"{int(estimate):,}" if whole else f"{estimate:.4g}"
        confidence, unchanged = quantity["confidence"], quantity.get("unchanged")
        unit = quantity.get("unit", "none")  # a claim has none
        self.name: str = name if single else split_name(name)[1]
        self.unit: str = "" if unit == "none" else unit
        self.n = f"{n:,}" if n else ""
        self.level = f"{confidence * 100:g}%" if confidence and quantity["interval"] else ""
        self.notes = [*quantity["notes"], *([nothing_to_treat(unchanged)] if unchanged else [])]
        if quantity.get("rows", 0) > n > 0:
            self.notes.append(distinct_prompts(n, quantity["rows"]))
        self.spread = spread_of(quantity.get("prompts"), noise) if single else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityFamily:
    """The members of one `let … for`, largest first; a single quantity is a family of one.

    `picture` is how they lie in rows and columns, None where they fill none.
    """

    name: str
    single: bool
    statement: str
    mathml: str
    rows: tuple[QuantityRow, ...]
    picture: Picture | None

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
            rows=tuple(QuantityRow(q, single, noise, places) for q in ordered),
            picture=None if single else picture_of(members, noise),
        )


def _size(quantity: Object) -> tuple[bool, float]:
    estimate = quantity["estimate"]
    return (estimate is None, 0.0 if estimate is None else -abs(estimate))
