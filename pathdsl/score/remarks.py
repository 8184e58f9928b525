"""Notes of quantities and claims that whoever reads a result looks for.

They say why a verdict is another than interval and threshold give by themselves; so a result that
is read again is held to them (`pathdsl.report.data.consistent`).
"""

from __future__ import annotations

__all__ = ["CORRECTED", "DOUBT", "HELD_BACK", "NOT_RESAMPLED", "is_no_interval"]

CORRECTED = "after correction, which is what the claim is about"
DOUBT = "nearer to the threshold than rounding may move it"
HELD_BACK = "definite on its own, but a member before it in the family was not"
NOT_RESAMPLED = "not resampled over prompts: there is no interval"


def is_no_interval(note: str) -> bool:
    """Whether a note is one that `pathdsl.score.evidence.no_interval` gives."""
    reasons = ("has no interval", "too few for an interval", "no resample has a value")
    return any(reason in note for reason in reasons)
