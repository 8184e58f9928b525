"""Numbers of a JSON object as they are printed: what claims, quantities and their rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pathdsl.report.numbers import many, pair, shown, spread_words

__all__ = [
    "Measured", "MemberRow", "Object", "WorstOf", "measured", "member_rows", "split_name",
    "spread_of",
]  # fmt: skip

Object = Mapping[str, Any]


def split_name(name: str) -> tuple[str, str]:
    """The declared name and the member: `each` and `a9.h9@END` of `each[a9.h9@END]`, or "" of none.

    Objects have names alone; a result says both by itself.
    """
    declared, _, member = name.partition("[")
    return declared, member.removesuffix("]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An estimate and its interval; `interval` is "" where there is none."""

    estimate: str
    interval: str

    @property
    def numbers(self) -> str:
        """`0.713 [0.661, 0.762]`."""
        return f"{self.estimate} {self.interval}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow(Measured):
    """A candidate of a score that takes the worst."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstOf(Measured):
    """A number that may be the worst of some candidates; the first one decides it."""

    members: tuple[MemberRow, ...]

    @property
    def members_title(self) -> str:
        """`worst of 5 candidates`."""
        return f"worst of {many(len(self.members), 'candidate')}"


def measured(one: Object, noise: float, places: int | None = None) -> dict[str, str]:
    """The fields of `Measured` for an object with an estimate and an interval."""
    value, ends = one["estimate"], one["interval"]
    return {
        "estimate": shown(value, ends, noise, places),
        "interval": pair(ends, value or 0.0, noise, places),
    }


def member_rows(one: Object, noise: float) -> tuple[MemberRow, ...]:
    """The candidates of a claim or quantity that takes the worst, those that decide it first."""
    estimate = one["estimate"]

    def distance(member: Object) -> float:
        if member["estimate"] is None or estimate is None:
            return float("inf")
        return abs(float(member["estimate"]) - estimate)

    return tuple(
        MemberRow(name=member["decided_by"] or member["name"], **measured(member, noise))
        for member in sorted(one["members"], key=distance)
    )


def spread_of(spread: Object | None, noise: float) -> str:
    """`-0.31 to 2.04, quartiles 0.52, 0.91, 1.20; 3 of 4 satisfy it`; "" for None."""
    if spread is None:
        return ""
    text = spread_words(spread["least"], spread["quartiles"], spread["most"], noise)
    if spread["satisfied"] is None:
        return text
    return f"{text}; {spread['satisfied']:,} of {spread['n']:,} satisfy it"
