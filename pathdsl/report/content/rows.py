"""Numbers of a JSON object as they are printed: what claims, quantities and their rows share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pathdsl.lang.signatures.members import OVER_MEMBERS
from pathdsl.report.numbers import many, pair, shown, spread_words

__all__ = ["Measured", "MemberRow", "Object", "WorstOf", "noise_of", "split_name", "spread_of"]

Object = Mapping[str, Any]


def noise_of(file: Object) -> float:
    """What is printed as `0` in a file's result: a hundredth of the rounding of its dtype."""
    return float(file.get("rounding") or 0.0) / 100


def split_name(name: str) -> tuple[str, str]:
    """The declared name and the member: `each` and `a9.h9@END` of `each[a9.h9@END]`, or "" of none.

    Objects have names alone; a result says both by itself.
    """
    declared, _, member = name.partition("[")
    return declared, member.removesuffix("]")


class Measured:
    """An estimate and its interval, "" where there is none; both below `noise` are `0`."""

    def __init__(self, one: Object, noise: float, places: int | None = None) -> None:
        value, ends = one["estimate"], one["interval"]
        self.estimate = shown(value, ends, noise, places)
        self.interval = pair(ends, value or 0.0, noise, places)

    @property
    def numbers(self) -> str:
        """`0.713 [0.661, 0.762]`."""
        return f"{self.estimate} {self.interval}".rstrip()


class MemberRow(Measured):
    """A candidate of a score that takes the worst, or a member of a set that a function is over."""

    def __init__(self, member: Object, noise: float, *, whole: bool = False) -> None:
        super().__init__(member, noise)
        name, decided_by = member["name"], member["decided_by"]
        self.name: str = decided_by or name
        if whole and decided_by:
            self.name = f"{name}, by {decided_by}"


class WorstOf(Measured):
    """A number that may be the worst of some candidates; the first one decides it."""

    def __init__(self, one: Object, noise: float, places: int | None = None) -> None:
        super().__init__(one, noise, places)
        estimate = one["estimate"]

        def distance(member: Object) -> float:
            if member["estimate"] is None or estimate is None:
                return float("inf")
            return abs(float(member["estimate"]) - estimate)

        self._over = OVER_MEMBERS.get(one.get("over_members", ""))
        members = sorted(one["members"], key=distance)
        if self._over is not None and self._over.makes == "counting":
            members = sorted(one["members"], key=_value)
        whole = self._over is not None
        self.members = [MemberRow(m, noise, whole=whole) for m in members]

    @property
    def decided(self) -> bool:
        """Whether one of the members gives the number its value."""
        return self._over is None or self._over.makes == "extreme"

    @property
    def members_title(self) -> str:
        """`worst of 5 candidates`, `largest of 5 members`, `5 members, smallest first`."""
        count = len(self.members)
        if self._over is None:
            return f"worst of {many(count, 'candidate')}"
        titled = self._over.titled
        return f"{titled} {many(count, 'member')}" if titled else f"{count} members, smallest first"


def _value(member: Object) -> float:
    """Its estimate; one without stands last."""
    value = member["estimate"]
    return float("inf") if value is None else float(value)


def spread_of(spread: Object | None, noise: float) -> str:
    """`-0.31 to 2.04, quartiles 0.52, 0.91, 1.20; 3 of 4 satisfy it`; "" for None."""
    if spread is None:
        return ""
    text = spread_words(spread["least"], spread["quartiles"], spread["most"], noise)
    if spread["satisfied"] is None:
        return text
    return f"{text}; {spread['satisfied']:,} of {spread['n']:,} satisfy it"
