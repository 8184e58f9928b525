"""The members of one `for` together, as arrays and as a picture; what `result["effect_of"]` gives.

family = result["effect_of"]
family.matrix()[9, 6]          the estimate of a9.h6
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pathdsl.report.data.result import AT, fields_of
from pathdsl.report.figures.grid import Picture, picture_of
from pathdsl.score.results import ClaimResult, QuantityResult

if TYPE_CHECKING:
    from pathdsl.score.places import Place

__all__ = ["Family"]

Member = QuantityResult | ClaimResult
Of = Literal["estimate", "low", "high"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Family:
    """The members of a `let … for` or `claim … for`, in the order of the loop.

    `noise`: what is smaller is nothing but rounding, in the units of the estimates.
    """

    name: str
    members: tuple[Member, ...]
    noise: float

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __getitem__(self, member: str) -> Member:
        """One member as the file writes it, `a9.h9@END`; raises KeyError for any other."""
        found = {one.member: one for one in self.members}
        if member not in found:
            raise KeyError(f"`{self.name}` has no member `{member}`")
        return found[member]

    @property
    def unit(self) -> str:
        """The unit of the estimates, `logits`; "none" for a plain number and for claims."""
        return getattr(self.members[0], "unit", "none")

    @property
    def labels(self) -> tuple[str, ...]:
        """How the members are written."""
        return tuple(one.member for one in self.members)

    @property
    def at(self) -> tuple[Place | None, ...]:
        """Where each member stands in the model; None for what is no node or residual mark."""
        return tuple(one.at for one in self.members)

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions of the members in the order of the loop, those of `matrix`."""
        found = [one.at.position for one in self.members if one.at and one.at.position]
        return tuple(dict.fromkeys(found))

    @property
    def estimates(self) -> np.ndarray:
        """(members,) float64; NaN where it is undefined."""
        return self._numbers("estimate")

    @property
    def intervals(self) -> np.ndarray:
        """(members, 2) float64, the lower and upper ends; NaN where there is no interval."""
        return np.stack([self._numbers("low"), self._numbers("high")], axis=1)

    def matrix(self, of: Of = "estimate", *, position: str | None = None) -> np.ndarray:
        """Layer × head, or layer × position where no member is a head; NaN where there is none.

        Rows are layers from 0 up to the last that has a member. Columns are heads from 0, with the
        MLPs behind them where there are both, or neurons, or `positions` (one column where there
        are none). A window stands at its first node. `position` takes the members there alone.

        Raises ValueError where members have no layer, or two of them the same place.
        """
        if of not in ("estimate", "low", "high"):
            raise ValueError(f'`matrix({of!r})`: wanted "estimate", "low" or "high"')
        numbers = self._numbers(of)
        kept = [
            i for i, one in enumerate(self.at)
            if position is None or (one is not None and one.position == position)
        ]  # fmt: skip
        if not kept:
            known = ", ".join(self.positions) or "none"
            raise ValueError(f"`{self.name}` has no member at `{position}`; it has {known}")
        places = [self.at[i] for i in kept]
        heads = [one.head for one in places if one is not None and one.head is not None]
        positions = self.positions if position is None else (position,)
        spots: dict[tuple[int, int], int] = {}
        for i, place in zip(kept, places, strict=True):
            if place is None or place.layer is None:
                raise ValueError(f"`{self.members[i].name}` has no layer, and so no row")
            if heads:
                column = max(heads) + 1 if place.head is None else place.head
            elif place.neuron is not None:
                column = place.neuron
            else:
                column = positions.index(place.position) if place.position else 0
            spot = place.layer, column
            if spot in spots:
                hint = ""
                if heads and len(positions) > 1:
                    hint = f"; give one position, `matrix(position={positions[0]!r})`"
                both = f"`{self.members[spots[spot]].name}` and `{self.members[i].name}`"
                raise ValueError(f"{both} have one place{hint}")
            spots[spot] = i
        rows, columns = (1 + max(ends) for ends in zip(*spots, strict=True))
        matrix = np.full((rows, columns), np.nan)
        for spot, i in spots.items():
            matrix[spot] = numbers[i]
        return matrix

    def picture(self) -> Picture | None:
        """The members laid out in rows and columns; None where that makes no picture."""
        return picture_of([_object(one) for one in self.members], self.noise)

    def _numbers(self, of: Of) -> np.ndarray:
        def number(one: Member) -> float | None:
            if of == "estimate":
                return one.estimate
            ends = one.interval
            return None if ends is None else ends[0] if of == "low" else ends[1]

        found = (number(one) for one in self.members)
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    def __repr__(self) -> str:
        return f"<pathdsl family {self.name!r}: {len(self.members)} members>"

    def _repr_html_(self) -> str:
        """What notebooks show: the picture, and all members, the largest first."""
        from pathdsl.report.page.notebook import family_table

        return family_table(self.name, [_object(one) for one in self.members], self.noise)


def _object(one: Member) -> Mapping[str, object]:
    """A member as JSON has it, as far as pictures and tables show it."""
    own = "verdict threshold" if isinstance(one, ClaimResult) else "unit"
    return {
        **fields_of(one, f"name estimate interval n rows unchanged confidence {own}"),
        "at": fields_of(one.at, AT) if one.at is not None else None,
        "indices": dict(one.indices),
        "members": [],
        "notes": list(one.notes),
    }
