"""A task in chunks of prompts, each with its tapes, treated values and gradient of the metric.

How many prompts share a chunk follows from the model's shape, the length of the prompts and the
stated memory, never from what is free or from how many prompts there are, so that a score has the
same bits every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.attribution.cost import POINTS, rows_per_chunk
from pathdsl.engine.attribution.metric import MetricAt, measures_of
from pathdsl.engine.attribution.past import Past
from pathdsl.engine.attribution.readers import ReaderWeights
from pathdsl.engine.attribution.rules import Rules
from pathdsl.engine.attribution.sides import Side, mean_side, wanted_keys
from pathdsl.engine.attribution.tape import Tape
from pathdsl.engine.attribution.vet import vet_answers
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run.sites import Sites
from pathdsl.engine.run.treated import SOURCES, Rows, SourceValues
from pathdsl.plan.acts import treated_at
from pathdsl.plan.masks import TRUE, MaskTable
from pathdsl.plan.readout import Measure
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.attribution import Attribution

__all__ = ["Chunk", "Chunks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The rows of a task as some measures read them: alone, or with an answer behind the prompt.

    `treated`: the treated values; `inputs`: those of `input` alone, None for constants.
    """

    task: TaskData
    measures: Mapping[Measure, Measure]
    masks: MaskTable
    rows: Rows
    treated: SourceValues
    inputs: SourceValues | None
    at: np.ndarray | None


class Chunk:
    """Some prompts on one branch: the tape of the reference run, and what scores are made of.

    `rows`: their numbers, from and to. `tape`: the forward of the reference prompts, from position
    `since` on: before, it is the same as the treated runs.
    """

    def __init__(
        self,
        adapter: Adapter,
        branch: Branch,
        asked: Attribution,
        rows: tuple[int, int],
        rules: Rules,
        weights: ReaderWeights,
        *,
        frozen: bool,
        whole: bool,
    ) -> None:
        """`whole`: whether runs are wanted at every position."""
        self.adapter, self.rules, self.asked, self.frozen = adapter, rules, asked, frozen
        self.weights = weights
        self.rows, self._branch = rows, branch
        self._sites = Sites(branch.masks, *rows, adapter.device)
        self.ids, self.lengths = branch.rows.ids(branch.task.reference, np.arange(*rows))
        with torch.no_grad():
            embedded = adapter.embed(self.ids)
        self.since = 0 if whole else self._first_change(embedded)
        self._past: Past | None = None
        if self.since:
            self._past = Past.of(adapter, embedded[:, : self.since], self.lengths)
        self.metric = MetricAt(
            adapter, branch.task, asked.metric, branch.measures, rows, rules
        )  # fmt: skip
        self._late = 0 if whole else min(self.metric.first, self.n_pos - 1)
        if self._late < self.since:
            assert self._past is not None
            self._late = self.since
            self.metric.begin(0, self._past.final)
        else:
            self.metric.begin(self._late, None)
        self.tape = self.tape_of(embedded[:, self.since :].contiguous())
        self.metric.at_reference(self.tape.final)

    @property
    def n_rows(self) -> int:
        """How many prompts."""
        return self.rows[1] - self.rows[0]

    @property
    def n_pos(self) -> int:
        """How long the longest of them is."""
        return int(self.ids.shape[1])

    def _first_change(self, embedded: Tensor) -> int:
        """The first position at which a treated run's `input` is another, in any row or draw.

        What stands before it is the same in all runs, where heads see nothing behind them.
        """
        if self._branch.inputs is None or not self.adapter.shape.causal:
            return 0
        row, place = (
            torch.from_numpy(of(TRUE)) for of in (self._sites.rows_of, self._sites.positions_of)
        )
        own, first = embedded.cpu()[row, place], self.n_pos - 1
        for draw in range(self.draws):
            other = self._branch.inputs(self._sites, draw).values["input", 0].cpu()
            changed = place[(other != own).any(dim=-1)]
            first = min([first, *changed.tolist()])
        return first

    def reference(self) -> Tape:
        """The forward of the reference prompts, run again where its way back was forgotten."""
        if self.tape.forgotten:
            self.tape = self.tape_of(self.tape.embedded)
        return self.tape

    @property
    def draws(self) -> int:
        """How many draws the treated value has."""
        spec = self.asked.treated
        return 1 if spec.how.constant else spec.draws

    def tape_of(self, embedded: Tensor) -> Tape:
        """A forward of these prompts from values of `input` between those of the reference run and
        treated ones, (rows, pos, d) from `since` on."""
        return Tape(
            self.adapter, embedded, self.lengths, self.rules, self._past, self._late
        )  # fmt: skip

    def points(self) -> range:
        """The numbers k of the integral's points, of its `steps`."""
        return POINTS[self.asked.rule](self.asked.steps)

    def reading(self) -> Tensor | None:
        """(rows, pos) bool: the tokens whose readers of keys and values count, None for all."""
        if self.asked.reader is None:
            return None
        there = position_mask(self._branch.task)(self.asked.reader)[slice(*self.rows), : self.n_pos]
        return torch.from_numpy(np.ascontiguousarray(there)).to(self.adapter.device)

    def gradient(self) -> Tensor:
        """The metric's gradient at the final stream of the reference run, (rows, pos, d)."""
        return self.metric.gradient(self.tape.final)

    def sides(self) -> Iterator[Side]:
        """The treated values, draw by draw."""
        at = None
        if self._branch.at is not None:  # constants, so that `since` is 0
            there = self._branch.at[slice(*self.rows), : self.n_pos]
            at = torch.from_numpy(np.ascontiguousarray(there)).to(self.adapter.device)
        for draw in range(self.draws):
            with torch.no_grad():
                values = self._branch.treated(self._sites, draw)
            slots = self.asked.of == "nodes"
            yield Side(self.tape, values, self._sites, at, frozen=self.frozen, slots=slots)

    def mean_side(self) -> Side:
        """The mean of what components write over the draws."""
        return mean_side(self.sides(), self.draws)


class Chunks:
    """The chunks of a task for one attribution.

    `frozen`: whether the task's norms have the reference run's scales in treated runs.
    """

    def __init__(
        self,
        adapter: Adapter,
        task: TaskData,
        asked: Attribution,
        rules: Rules,
        *,
        frozen: bool,
        tick: Callable[[int], Callable[[], None]] = lambda n: lambda: None,
        whole: bool = False,
        rows: int | None = None,
        memory: int | None = None,
    ) -> None:
        """`whole`: whether runs are wanted at every position. `rows`: how many of the first rows
        are wanted, None for all. `memory`: as of `rows_per_chunk`."""
        self._whole = whole
        self.adapter, self.task, self.asked = adapter, task, asked
        self.n_rows = task.n_rows if rows is None else min(rows, task.n_rows)
        self.rules, self.frozen = rules, frozen
        self.weights = ReaderWeights(adapter)
        measures = {m: task.as_read(m) for m in dict.fromkeys(measures_of(asked.metric))}
        longest = task
        by_branch: dict[str, dict[Measure, Measure]] = {}
        for measure, read in measures.items():
            by_branch.setdefault(task.behind(read), {})[measure] = read
        if len(by_branch) > 1:
            vet_answers(asked)
        for column in by_branch:
            branch = task.branch(column)
            longest = branch if branch.n_pos > longest.n_pos else longest
        self.n_pos = longest.n_pos
        size = adapter.dtype.itemsize
        self.step = rows_per_chunk(asked, adapter.shape, self.n_pos, size, memory)
        self.step = min(self.step, task.n_rows)
        spec = asked.treated
        want = wanted_keys(
            adapter, neurons=asked.of == "neurons", constant=spec.how.constant
        )  # fmt: skip
        self.branches = []
        for column, read_here in by_branch.items():
            here = task.branch(column)
            of = Rows(here, adapter, self.step, tick)
            with torch.no_grad():
                treated = SOURCES[spec.kind](of, 0, spec, want)
                inputs = None
                if not spec.how.constant:
                    inputs = SOURCES[spec.kind](of, 0, spec, {("input", 0): TRUE})
            masks = MaskTable(here.valid)
            place = position_mask(here)
            at = treated_at(spec, masks, lambda pos, p=place, m=masks: m.intern(p(pos)))  # type: ignore[misc]
            self.branches.append(
                Branch(
                    task=here,
                    measures=read_here,
                    masks=masks,
                    rows=of,
                    treated=treated,
                    inputs=inputs,
                    at=None if at == TRUE else masks.array(at),
                )
            )

    def __iter__(self) -> Iterator[tuple[Chunk, ...]]:
        """For each chunk of rows the chunk on every branch that the metric reads."""
        for start in range(0, self.n_rows, self.step):
            rows = (start, min(start + self.step, self.n_rows))
            found = tuple(
                Chunk(
                    self.adapter,
                    b,
                    self.asked,
                    rows,
                    self.rules,
                    self.weights,
                    frozen=self.frozen,
                    whole=self._whole,
                )
                for b in self.branches
            )
            if len(found) > 1:
                values = [one.metric.values(one.tape.final) for one in found]
                for number, one in enumerate(found):
                    for other in (v for k, v in enumerate(values) if k != number):
                        one.metric.elsewhere |= other
            yield found
            del found  # before the next one is made: only one is in memory
