"""The curves behind areas as a report prints them: a row for each size."""

from __future__ import annotations

from collections.abc import Iterator

from pathdsl.report.content.rows import Measured, Object, noise_of

__all__ = ["CurveContent", "CurveRow", "curves_of"]

TITLES = ("size", "edges", "faithfulness", "interval", "distance", "interval")


class CurveRow:
    """One size: `size` and `edges` as printed, faithfulness and distance with their intervals."""

    def __init__(self, point: Object, noise: float) -> None:
        away = {"estimate": point["distance"], "interval": point["distance_interval"]}
        self.size = f"{100 * point['share']:g}%"
        self.edges = f"{point['edges']:,}"
        self.faithful = Measured(point, noise)
        self.distance = Measured(away, noise)

    @property
    def cells(self) -> list[str]:
        """The row under `TITLES`."""
        away = self.distance
        return [
            self.size, self.edges, self.faithful.estimate, self.faithful.interval, away.estimate,
            away.interval,
        ]  # fmt: skip

    @property
    def told(self) -> str:
        """All of it in one line."""
        return (
            f"{self.size}, {self.edges} edges: faithfulness {self.faithful.numbers}, distance "
            f"{self.distance.numbers}"
        )


class CurveContent:
    """One curve: `title` is its file of scores and their order, `read_by` who reads it."""

    def __init__(self, curve: Object, noise: float) -> None:
        self.title = f"{curve['of']}, rank: {curve['rank']}"
        self.read_by = ", ".join(curve["names"])
        self.level = f"{100 * curve['confidence']:g}%"
        self.points: list[Object] = list(curve["points"])
        self.rows = [CurveRow(point, noise) for point in self.points]

    @property
    def titles(self) -> list[str]:
        """The heads of the columns."""
        return [f"{self.level} {one}" if one == "interval" else one for one in TITLES]


def curves_of(file: Object) -> Iterator[CurveContent]:
    """The curves of a file's result."""
    for curve in file.get("curves", ()):
        yield CurveContent(curve, noise_of(file))
