"""What a head is seen to do: previous token, duplicate token, induction, copying.

A role is given where attention, measured on the discovery rows, makes it plain, and is never
guessed from a place in the model. A head that stands at position P of every prompt

| role | looks from P to |
|---|---|
| `previous_token` | the token before P |
| `duplicate_token` | an earlier token that is the same as the one at P |
| `induction` | the token behind an earlier one that is the same as the one at P |
| `copying` | the token that is the answer, and its values and output bring that token forward |

with at least half of its attention on average, and copies in at least half of the prompts
(`copy_score`). Where a token is two of these at once, the rows cannot tell them apart, and the
first of the table that fits is meant.

Source: Wang et al. 2022 (arXiv:2211.00593), section 3, for the four; Olsson et al. 2022
(arXiv:2209.11895) for induction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pathdsl.plan.taskdata import TaskData

__all__ = [
    "CONCENTRATED",
    "ROLES",
    "Look",
    "Place",
    "looks",
    "may_read",
    "place_of",
    "places",
    "role_of",
]

ROLES = ("previous_token", "duplicate_token", "induction", "copying")
ENOUGH = 0.5
"""Attention, and the share of prompts on which a head copies, from which a role is plain."""
CONCENTRATED = 0.9
"""The share of a node's score at one place, from which it is said to stand there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place by the words of the language, `S1+1`; `at`: its tokens on each row."""

    text: str
    at: tuple[tuple[int, ...], ...]

    @property
    def token(self) -> np.ndarray | None:
        """(rows,) int64: its one token on each row; None where some row has several."""
        one = all(len(found) == 1 for found in self.at)
        return np.array([found[0] for found in self.at], dtype=np.int64) if one else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A place that a role would have a head look to."""

    role: str
    to: str


def places(task: TaskData) -> list[Place]:
    """END, the names of the task, and the token behind each name. What coincides with one before
    it on every row is left out."""
    ends = tuple((int(n) - 1,) for n in task.prompt_lengths)
    named = {name: at for name, at in task.positions.items() if name != "END" and all(at)}
    found: dict[tuple[tuple[int, ...], ...], str] = {ends: "END"}
    for name, at in named.items():
        found.setdefault(at, name)
    for name, at in named.items():
        behind = tuple(tuple(one + 1 for one in row) for row in at)
        if all(row[-1] <= end for row, (end,) in zip(behind, ends, strict=True)):
            if all(len(row) == 1 for row in behind):
                found.setdefault(behind, f"{name}+1")
    return [Place(text=text, at=at) for at, text in found.items()]


def place_of(scores: np.ndarray, found: Sequence[Place]) -> str:
    """Where a node stands, by its scores (positions, rows); "" where they are spread."""
    size = np.abs(scores)
    total = float(size.sum())
    shares = {
        one.text: sum(float(size[list(at), row].sum()) for row, at in enumerate(one.at))
        for one in found
    }
    best = max(shares, key=lambda text: shares[text], default="")
    return best if best and total > 0 and shares[best] >= CONCENTRATED * total else ""


def may_read(sender: Place, receiver: Place, slot: str, *, causal: bool) -> bool:
    """Whether a node at one place reads what stands at another, on every row, by that input."""
    pairs = zip(sender.at, receiver.at, strict=True)
    if slot in ("k", "v"):
        return not causal or all(a[0] <= b[-1] for a, b in pairs)
    return all(set(a) & set(b) for a, b in pairs)


def looks(task: TaskData, place: Place, answers: Sequence[str]) -> Iterator[Look]:
    """Where a head at `place` may look, by role; `answers`: columns of one token a row."""
    ids, rows = task.prompts[task.reference], np.arange(task.n_rows)
    own = place.token
    if own is None:
        return
    token = ids[rows, own]
    if (own > 0).all():
        yield Look(role="previous_token", to=_before(place.text))
    for other in places(task):
        at = other.token
        if at is None or not (at < own).all():
            continue
        if (ids[rows, at] == token).all():
            yield Look(role="duplicate_token", to=other.text)
            behind = _behind(other.text)
            if (at + 1 < own).all() and behind:
                yield Look(role="induction", to=behind)
        for column in answers:
            right = task.answers.get(column, ())
            if all(len(one) == 1 for one in right) and right:
                if (ids[rows, at] == np.array([one[0] for one in right])).all():
                    yield Look(role="copying", to=other.text)


def _before(text: str) -> str:
    name, plus, _ = text.partition("+")
    return name if plus else f"{name}-1"


def _behind(text: str) -> str:
    return "" if "+" in text else f"{text}+1"


def role_of(attention: Mapping[Look, float], copies: float) -> str:
    """The role that attention makes plain, "" for none; `copies`: the head's mean copy score."""
    plain = {look.role for look, value in attention.items() if value >= ENOUGH}
    for role in ROLES:
        if role in plain and (role != ROLES[-1] or copies >= ENOUGH):
            return role
    return ""
