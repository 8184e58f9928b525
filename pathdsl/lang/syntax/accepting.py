"""What a parser in some state would take next, by its tables alone.

Lark finds it by feeding copies of the whole parser. The answer depends on the stack of states only,
and a file with many slips of one kind stands at the same stack many times: it is kept.

Source: the LALR(1) driver of lark (`ParserState.feed_token`), without values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lark.parsers.lalr_analysis import Shift

__all__ = ["Accepting"]

_KEPT = 4096
"""Stacks whose answers are kept; a file of 2 MB may have more, and those are worked out anew."""


class Accepting:
    """Answers for the tables of one parser."""

    def __init__(self, states: Any, end_state: int) -> None:
        self._states = states
        self._end = end_state
        self._known: dict[tuple[int, ...], frozenset[str]] = {}

    def after(self, stack: Sequence[int]) -> frozenset[str]:
        """The names of the terminals that could follow, `$END` among them."""
        key = tuple(stack)
        if key not in self._known:
            terminals = frozenset(
                name
                for name in self._states[key[-1]]
                if name.isupper() and self._takes(list(key), name)
            )
            if len(self._known) >= _KEPT:
                return terminals
            self._known[key] = terminals
        return self._known[key]

    def _takes(self, stack: list[int], name: str) -> bool:
        """Whether a terminal is shifted, after any number of reductions."""
        while (entry := self._states[stack[-1]].get(name)) is not None:
            action, rule = entry
            if action is Shift:
                return True
            if rule.expansion:
                del stack[-len(rule.expansion) :]
            stack.append(self._states[stack[-1]][rule.origin.name][1])
            if name == "$END" and stack[-1] == self._end:
                return True
        return False
