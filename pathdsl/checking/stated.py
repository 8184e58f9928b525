"""PD645: `--memory` states less than the values of one prompt at a time take.

A stated memory cuts prompts into batches, and there is no smaller batch than one prompt.
"""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.checking.prepare import Ready
from pathdsl.engine.load.room import least_stated, sized
from pathdsl.errors import Diagnostic, Severity

__all__ = ["more_than_stated"]


def more_than_stated(ready: Ready, needs: Mapping[str, int]) -> list[Diagnostic]:
    """A warning where what is stated is too little for one prompt at a time.

    `needs`: bytes that values have to be given, by task, of all that is computed.
    """
    memory = ready.planner.limits.memory
    if memory is None:
        return []
    rooms = {task: ready.rooms[ready.model_of(task)] for task in needs}
    short = {task: need for task, need in needs.items() if need > rooms[task].values}
    if not short:
        return []
    least = {task: least_stated(rooms[task], memory, need) for task, need in short.items()}
    task = max(least, key=lambda name: least[name])
    return [
        Diagnostic(
            code="PD645",
            severity=Severity.WARNING,
            message=f"`--memory {sized(memory)}` is less than task `{task}` takes, one prompt at a "
            "time",
            notes=(
                "half of what weights leave is for prompts that are computed together, half for "
                "plain runs and scores that are kept",
            ),
            help=f"--memory {sized(least[task], up=True)}",
        )
    ]
