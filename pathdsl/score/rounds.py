"""Asking in rounds: lowering as generators, so that everything asked for at once runs as one plan.

A quantity that needs no search is lowered at once. A greedy search yields the requests of its next
step, is resumed when they have been measured, and returns in the end what any lowering returns.
Many such generators are advanced together: round by round, all their requests become one call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from pathdsl.score.quantity import Scalar, requests
from pathdsl.score.session import Request, Session

__all__ = ["Asked", "Follower", "Steps", "at_once", "drive", "gather", "ordered"]

P = ParamSpec("P")
T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Asked = tuple[Request, ...]
Steps = Generator[Asked, None, Scalar]


def at_once(made: Callable[P, T]) -> Callable[P, Generator[Asked, None, T]]:
    """A function as a generator that asks for nothing on the way."""

    @wraps(made)
    def steps(*args: P.args, **kwargs: P.kwargs) -> Generator[Asked, None, T]:
        yield from ()
        return made(*args, **kwargs)

    return steps


def ordered(asked: Iterable[Iterable[Request]]) -> Asked:
    """All requests, each once, in the order of the first time it was asked."""
    return tuple(dict.fromkeys(request for group in asked for request in group))


def gather(steps: Sequence[Generator[Asked, None, T]]) -> Generator[Asked, None, list[T]]:
    """Advance several generators together; returns their results in order."""
    results: dict[int, T] = {}
    while len(results) < len(steps):
        asked: list[Asked] = []
        for i, step in enumerate(steps):
            if i not in results:
                try:
                    asked.append(next(step))
                except StopIteration as stop:
                    results[i] = stop.value
        if asked:
            yield ordered(asked)
    return [results[i] for i in range(len(steps))]


class Follower(Protocol[Key]):
    """Who follows what rounds ask for, and may ask for more beside the first."""

    def learn(self, asked: Asked) -> None:
        """What is measured."""

    def first(self, asked: Mapping[Key, Asked]) -> Asked:
        """What to measure in the first round as well, by what every quantity asks for in it."""


def drive(
    steps: Mapping[Key, Steps], session: Session, follower: Follower[Key] | None = None
) -> dict[Key, Scalar]:
    """Run generators to their end, measuring what each round asks for in one call.

    What a finished quantity reads is part of the round in which it finished, so a check without
    searches makes exactly one call. Afterwards every returned quantity can be evaluated.
    """
    active, done = dict(steps), {}
    known: set[Request] = set()
    first = True
    while active:
        asked: dict[Key, Asked] = {}
        for key, step in list(active.items()):
            try:
                asked[key] = next(step)
            except StopIteration as stop:
                done[key] = stop.value
                asked[key] = requests(stop.value)
                del active[key]
        groups = list(asked.values())
        if follower is not None:
            follower.learn(ordered(groups))
            groups += [follower.first(asked)] if first else []
        first = False
        new = tuple(request for request in ordered(groups) if request not in known)
        if new:
            session.measures(new)
            known.update(new)
    return {key: done[key] for key in steps}
