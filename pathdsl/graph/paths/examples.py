"""Some paths of a path set that can be: with differently named positions at different tokens.

A product counts what some positions would allow, each name being free (`Product.count`). Where a
path begins at `S2` and is read at `END`, that holds of paths that never change their token, which
no prompt has. They are left out here: only keys and values read another token, and the last one is
read by no other unless attention sees later tokens.

    examples(product, paths, 1)      # of `input@S2 ~> a3.h1@END -> logits`
    ('input -[k]-> a3.h1 -> logits',)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pathdsl.graph.model.components import bits
from pathdsl.graph.paths.pathset import PathSet, Pos, positions_in
from pathdsl.graph.paths.product import Product, outcome

__all__ = ["examples"]

_MOVES = ("k", "v")
"""Inputs through which a head reads other tokens."""
_MOST_STEPS = 200_000
_MOST_NAMES = 8
_LAST = Pos(name="END")


def examples(product: Product, paths: PathSet, limit: int) -> tuple[str, ...]:
    """Up to `limit` members of a path set; () where there are none at different tokens.

    Where positions are spans or sets, or edges ask how far they reach, any that is counted.
    """
    if not product.count():
        return ()
    places = sorted(set(positions_in(paths)))
    if places and len(places) <= _MOST_NAMES and not any(one.parts for one in places):
        try:
            return tuple(islice(_Placed(product, places).paths(), limit))
        except _Unclear:
            pass
    return tuple(product.examples(limit))


class _Unclear(Exception):
    """Distances are asked for, or it takes too long."""


class _Placed:
    """A walk through a product whose components stand at tokens: a place by name, or None."""

    def __init__(self, product: Product, places: list[Pos]) -> None:
        self._product, self._automaton = product, product.automaton
        self._layout = product.layout
        read = [place for place in places if place != _LAST or not self._layout.shape.causal]
        self._tokens: list[Pos | None] = [*read, None]
        self._ends = [_LAST] * (_LAST in places and self._layout.shape.causal)
        self._known: dict[tuple[int, int, Pos | None], bool] = {}
        self._steps = 0

    def paths(self) -> Iterator[str]:
        """Every member once."""
        seen: set[str] = set()
        for token in (*self._ends, *self._tokens):
            for path in self._walk(self._layout.logits, self._automaton.start, token, ""):
                if path not in seen:
                    seen.add(path)
                    yield path

    def _walk(self, v: int, state: int, token: Pos | None, tail: str) -> Iterator[str]:
        if v == 0:
            yield f"input{tail}"
            return
        label = self._layout.label(v)
        for slot in self._layout.slots_of(v):
            arrow = f" -[{slot}]-> " if slot else " -> "
            for u, after, there in self._senders(v, state, token, slot):
                if self._leads(u, after, there):
                    yield from self._walk(u, after, there, f"{arrow}{label}{tail}")

    def _leads(self, v: int, state: int, token: Pos | None) -> bool:
        """Whether some path ends in this component at this token."""
        key = (v, state, token)
        found = self._known.get(key)
        if found is None:
            self._known[key] = False  # a model has no circles
            found = self._known[key] = (
                bool(self._automaton.accepts(state))
                if v == 0
                else any(
                    self._leads(*sender)
                    for slot in self._layout.slots_of(v)
                    for sender in self._senders(v, state, token, slot)
                )
            )
        return found

    def _senders(
        self, v: int, state: int, token: Pos | None, slot: str | None
    ) -> Iterator[tuple[int, int, Pos | None]]:
        step = self._automaton.slot_step(state, v, slot)
        if step.related:
            raise _Unclear
        before = self._tokens if slot in _MOVES else []
        for there in dict.fromkeys([token, *before]):
            found, readable = [], self._layout.senders_into(v, slot)
            for part in self._automaton.sender_classes(step.free):
                after = outcome(part.free, part.guarded, {there} if there is not None else set())
                found += [(u, after) for u in bits(part.senders & readable)]
            self._steps += len(found)
            if self._steps > _MOST_STEPS:
                raise _Unclear
            for u, after in sorted(found):
                yield u, after, there
