"""Which known name a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str], n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Up to `n` known names like this one, whatever their case, the most alike first.

    `cutoff`: how alike they must be at least, from 0 to 1, as `difflib` measures it.
    """
    # Only what is wrong needs it, and every other command would wait for its import.
    from difflib import get_close_matches

    folded = {other.lower(): other for other in known}
    return [folded[close] for close in get_close_matches(name.lower(), folded, n, cutoff)]


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str:
    """``did you mean `a` or `b`?``, or "" where nothing is near."""
    near = " or ".join(f"`{other}`" for other in nearest(name, known, n))
    return f"did you mean {near}?" if near else ""
