"""The methodology as a report prints it: what all tasks have in common is said once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

__all__ = ["shared_method"]

PER_TASK = ("treated", "norm", "average", "unseen", "tokens")
"""What the methodology says of each task in a few words, nearly always the same for all."""


def shared_method(methodology: Mapping[str, str], tasks: Mapping[str, bool]) -> dict[str, str]:
    """The lines by name. `tasks` says which some run reads; of the others only names are given."""
    said = dict(methodology)
    unread = [name for name, read in tasks.items() if not read]
    for kind, name in product(("task", *PER_TASK), unread):
        said.pop(f"{kind} {name}", None)
    for kind in PER_TASK:
        keys = [key for name in tasks if (key := f"{kind} {name}") in said]
        if len(keys) > 1 and len({said[key] for key in keys}) == 1:
            said = {kind if k == keys[0] else k: t for k, t in said.items() if k not in keys[1:]}
    if unread:
        said["tasks read by no run"] = ", ".join(unread)
    return said
