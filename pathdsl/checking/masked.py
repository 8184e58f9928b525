"""Whether a masked language model is read where it predicts something: at a mask.

Tokenizers of encoders put tokens of their own around a text, and `END`, where a metric is read that
names no position, is the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Planner
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.program import Program
from pathdsl.plan.runs import Request

__all__ = ["off_the_mask"]


def off_the_mask(
    program: Program,
    planner: Planner,
    requests: Iterable[Request],
    beside: Callable[[str], frozenset[int]],
) -> Iterator[Diagnostic]:
    """PD264 for each place at which a task reads special tokens alone, none of them a mask.

    `beside`: of a task's tokenizer, the special tokens that are no mask.
    """
    places = dict.fromkeys((r.task, m.position) for r, m in requests if m.at_logits)
    for name, position in places:
        task = planner.tasks[name]
        if not planner.shape_of(name).prediction_head:
            continue
        ids = task.prompts[task.reference]
        read = position_mask(task)(Pos.parse(position))
        if read.any() and np.isin(ids[read], sorted(beside(name))).all():
            row, at = (int(number) for number in np.argwhere(read)[0])
            token = f"`{task.tokens[row][at]}`" if task.tokens else f"token {ids[row, at]}"
            yield Diagnostic(
                code="PD264",
                message=f"task `{name}` is read at `{position}`, which is {token}: the model "
                "predicts the token at a mask",
                span=program.tasks[name].name.span,
                severity=Severity.WARNING,
                help="`positions = [MASK]` in the task, and `metric NAME @MASK = …`",
            )
