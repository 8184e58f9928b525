"""Answers of several tokens: the rows of a task with the answers of a column behind their prompts.

The tokens of an answer are appended to every prompt of its row, so that what differs between two
prompts differs before it. `END` stays the prompt's last token, and `ANSWER` names what is appended
(docs/semantics.md, Answers of several tokens).

    task = with_branches(task)
    task.branches["answer"].positions["ANSWER"]     # of a prompt of 5 tokens and 2 of an answer:
    ((5, 6), …)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pathdsl.engine.data.faults import DataFaults
from pathdsl.engine.data.tokens import Encoder, Ids
from pathdsl.plan.readout import ANSWER
from pathdsl.plan.taskdata import TaskData

__all__ = ["vet_room", "with_branches"]


def with_branches(task: TaskData, encoder: Encoder) -> TaskData:
    """A task whose answers are read whole, with the rows that have answers behind the prompts.

    A column of single tokens needs none: it is read at the prompt's last token.
    """
    several = {c: ids for c, ids in task.answers.items() if any(len(one) > 1 for one in ids)}
    longest: Sequence[Ids] = [(0,)] * task.n_rows
    if task.answers:
        longest = [max(ids, key=len) for ids in zip(*task.answers.values(), strict=True)]
    words = {c: tuple(encoder.logits(one) for one in ids) for c, ids in task.answers.items()}
    return replace(
        task,
        whole=True,
        answer_tokens=words,
        branches={column: _behind(task, ids) for column, ids in several.items()},
        longest=_behind(task, longest),
    )


def _behind(task: TaskData, answers: Sequence[Ids]) -> TaskData:
    """The rows with one answer each behind every prompt."""
    appended = np.array([len(ids) for ids in answers], dtype=np.int64)
    lengths = task.lengths + appended
    prompts = {}
    for column, ids in task.prompts.items():
        if column in task.apart:  # means at places before the answer, which none of it changes
            prompts[column] = ids
            continue
        prompts[column] = np.zeros((task.n_rows, int(lengths.max())), dtype=np.int64)
        prompts[column][:, : ids.shape[1]] = ids
        for row, answer in enumerate(answers):
            prompts[column][row, task.lengths[row] : lengths[row]] = answer
    places = tuple(
        tuple(range(start, stop))
        for start, stop in zip(task.lengths.tolist(), lengths.tolist(), strict=True)
    )
    return replace(
        task,
        prompts=prompts,
        lengths=lengths,
        appended=appended,
        positions={**task.positions, ANSWER: places},
        whole=True,
        branches={},
        longest=None,
    )


def vet_room(
    rows: Sequence[str],
    lengths: Sequence[int],
    answers: Mapping[str, Sequence[Ids]],
    encoder: Encoder,
    faults: DataFaults,
) -> None:
    """Note PD331 for every row, by id, whose prompt and answer are longer than the model takes."""
    most = encoder.shape.n_positions
    for column, found in answers.items():
        for row, length, ids in zip(rows, lengths, found, strict=True):
            if length + len(ids) > most:
                faults.add(
                    "PD331",
                    f"row `{row}`, column `{column}`: {length} tokens and {len(ids)} of the "
                    f"answer, the model takes {most}",
                    row=row,
                    about=column,
                )
