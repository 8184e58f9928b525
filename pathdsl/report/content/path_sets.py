"""What a report says of the path sets that claims are about: how they are defined, how large.

Made from the keys `path_sets`, `made_of` and `hypothesis` of a file's JSON object; a result of
before there were any has nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pathdsl.report.content.rows import Object, split_name

__all__ = ["PathSetRow", "path_set_rows", "sets_of"]


class PathSetRow:
    """One path set, or those of the members of one loop together.

    `name` is as claims write it, of several that with the loop's variable, and `count` says of how
    many, "" of one. `nodes` and `edges` are `2 of 8`, of several `2 to 5 of 8`, and "" where
    nothing was counted; `size` says both. `claims` are the claims about it, loops by their names.
    """

    def __init__(self, sets: Sequence[Object], claims: Iterable[str], hypothesis: bool) -> None:
        first = sets[0]
        self.name: str = first["name"] if len(sets) == 1 else first.get("form", first["name"])
        self.count = "" if len(sets) == 1 else f"{len(sets):,} of them"
        self.definition: str = first["definition"]
        self.hypothesis = hypothesis
        self.nodes = _range(sets, "nodes")
        self.edges = _range(sets, "edges")
        self.claims = ", ".join(dict.fromkeys(claims))

    @property
    def size(self) -> str:
        """`2 of 8 nodes, 5 of 75 edges`."""
        if not self.nodes:
            return "not counted"
        return f"{self.nodes} nodes, {self.edges} edges"

    @property
    def title(self) -> str:
        """The name with what else is to be said of it."""
        extra = [self.count, "the hypothesis" if self.hypothesis else ""]
        said = ", ".join(text for text in extra if text)
        return f"{self.name} ({said})" if said else self.name

    @property
    def line(self) -> str:
        """`main: 2 of 8 nodes, 5 of 75 edges`."""
        return (
            f"{self.name} ({self.count}): {self.size}"
            if self.count
            else f"{self.name}: {self.size}"
        )


def path_set_rows(file: Object) -> list[PathSetRow]:
    """The path sets of all claims; those of the members of a loop are one row."""
    sets = file.get("path_sets", ())
    of_claims: dict[int, list[str]] = {}
    for claim in file["claims"]:
        for place in claim.get("path_sets", ()):
            of_claims.setdefault(place, []).append(split_name(claim["name"])[0])
    together: dict[str, list[int]] = {}
    for place, one in enumerate(sets):
        together.setdefault(one.get("form", one["name"]), []).append(place)
    rows = []
    for places in together.values():
        names = [name for place in places for name in of_claims.get(place, ())]
        some = [sets[place] for place in places]
        stated = len(some) == 1 and some[0]["name"] == file.get("hypothesis")
        rows.append(PathSetRow(some, names, stated))
    return rows


def sets_of(claim: Object, file: Object) -> list[PathSetRow]:
    """The path sets of one claim; those that it reads of the members of a loop are one row."""
    sets = file.get("path_sets", ())
    together: dict[str, list[Object]] = {}
    for one in (sets[place] for place in claim.get("path_sets", ())):
        together.setdefault(one.get("form", one["name"]), []).append(one)
    return [
        PathSetRow(some, (), len(some) == 1 and some[0]["name"] == file.get("hypothesis"))
        for some in together.values()
    ]


def _range(sets: Sequence[Object], key: str) -> str:
    """`2 of 8`, `2 to 5 of 8`; the model's own number may differ where neurons are told apart."""
    found = [one for one in sets if one[key] is not None]
    if not found:
        return ""
    return f"{_from_to(one[key] for one in found)} of {_from_to(one[f'of_{key}'] for one in found)}"


def _from_to(numbers: Iterator[int]) -> str:
    least, *others = sorted(numbers)
    most = others[-1] if others else least
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
