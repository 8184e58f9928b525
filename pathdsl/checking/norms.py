"""Claims judged in the other norm mode: where that changes a verdict, the report says so.

`layernorm` is a choice of method and moves numbers. A file is judged in the mode that each of its
tasks declares. Tasks that declare `frozen` are judged a second time with recomputed norms, in one
go, so that every task then recomputes; with `--both-norms` every task is judged in the mode that it
does not declare. Only the declared modes decide whether a claim came out as expected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pathdsl.lang.signatures.norms import NORM_MODES
from pathdsl.score.results import ClaimResult, Judgement, OtherNorm

if TYPE_CHECKING:
    from pathdsl.engine.data.task import TaskSpec

__all__ = ["beside", "other_modes"]


def other_modes(
    specs: Mapping[str, TaskSpec], read: Collection[str], both: bool
) -> Mapping[str, str]:
    """The second norm mode of each task that is judged twice, by the task's name.

    Tasks that no claim reads are left out. `both`: also those that recompute.
    """
    found = {}
    for name, spec in specs.items():
        if name not in read:
            continue
        if spec.frozen or both:
            found[name] = NORM_MODES[spec.layernorm].other
    return found


def beside(judgement: Judgement, other: Judgement, modes: Mapping[str, str]) -> Judgement:
    """The judgement with each claim's verdict in the other modes noted beside it.

    `other` is of the same program with the norms of the tasks in `modes` changed to these.
    """
    claims = tuple(
        replace(claim, other_norm=_noted(claim, second, modes))
        for claim, second in zip(judgement.claims, other.claims, strict=True)
    )
    return replace(judgement, claims=claims, other_norms=modes)


def _noted(claim: ClaimResult, second: ClaimResult, modes: Mapping[str, str]) -> OtherNorm | None:
    """None where the claim reads no task whose norms were changed."""
    if claim.name != second.name:
        raise ValueError(f"`{claim.name}` is compared with `{second.name}`")
    used = {task: modes[task] for task in claim.tasks if task in modes}
    if not used:
        return None
    words = set(used.values())
    layernorm = words.pop() if len(words) == 1 else ""
    if not layernorm:
        layernorm = ", ".join(f"{task}: {mode}" for task, mode in used.items())
    return OtherNorm(
        layernorm=layernorm,
        verdict=second.verdict,
        estimate=second.estimate,
        interval=second.interval,
    )
