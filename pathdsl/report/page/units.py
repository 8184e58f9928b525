"""What the drawing of a circuit says of each unit: what was measured, which claims concern it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pathdsl.report.content.claims import declaration
from pathdsl.report.content.rows import Measured, Object, measured, split_name

__all__ = ["UnitRow", "claims_by_unit", "unit_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """One drawn unit with everything that quantities and claims say of it."""

    name: str
    groups: str
    effects: tuple[tuple[str, str], ...]


def unit_rows(drawing: Object, file: Object) -> Iterable[UnitRow]:
    """Every drawn unit with the quantities and claims that have a member of its name."""
    noise = (file.get("rounding") or 0.0) / 100
    effects: dict[str, list[tuple[str, str]]] = {}

    def add(unit: str, name: str, one: Object) -> None:
        numbers = Measured(**measured(one, noise)).numbers
        effects.setdefault(unit, []).append((name, numbers))

    for one in (*file["quantities"], *file["claims"]):
        name, member = split_name(one["name"])
        add(member, name, one)
    for claim in file["claims"]:
        for one in claim["members"]:
            add(one["name"], claim["name"], one)
    for node in drawing["nodes"]:
        yield UnitRow(
            name=node["name"],
            groups=", ".join(node["groups"]),
            effects=tuple(dict.fromkeys(effects.get(node["name"], ()))),
        )


def claims_by_unit(
    drawing: Object, file: Object, keys: Sequence[str]
) -> Mapping[str, tuple[str, ...]]:
    """By unit, which claims concern it; `keys` name the claims in their order."""
    units = {node["name"] for node in drawing["nodes"]}
    by_unit: dict[str, tuple[str, ...]] = {}
    for key, claim in zip(keys, file["claims"], strict=True):
        _, member = split_name(claim["name"])
        declared = declaration(claim["name"], file).get("units", ())
        for unit in (member,) if member in units else declared:
            by_unit[unit] = (*by_unit.get(unit, ()), key)
    return by_unit
