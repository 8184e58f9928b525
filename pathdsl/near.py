"""Words in messages: a stranger's text, cut where it is long, and known words near a misspelt one.

>>> did_you_mean("Indution", ["induction", "copying"]), quoted("x" * 50)[-3:]
('did you mean `induction`?', 'x…`')
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest", "quoted"]

MOST_COMPARED = 500
"""Words up to which a misspelt one is compared with each: that costs time for every one of them,
and a file may hold as many unknown names as known."""


def nearest(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words that are most like this one, the nearest first; case does not matter."""
    # Only wrong input needs it, and everything would wait for its import.
    from difflib import get_close_matches

    folded = {name.lower(): name for name in known}
    if len(folded) > MOST_COMPARED:
        return []
    return [folded[one] for one in get_close_matches(word.lower(), folded, n=most, cutoff=cutoff)]


def did_you_mean(word: str, known: Iterable[str], most: int = 3) -> str:
    """`did you mean `a` or `b`?`, or "" where nothing is near."""
    words = " or ".join(f"`{one}`" for one in nearest(word, known, most))
    return f"did you mean {words}?" if words else ""


def quoted(text: str) -> str:
    """A text in backticks, cut where it is long."""
    return f"`{text[:40]}…`" if len(text) > 41 else f"`{text}`"
