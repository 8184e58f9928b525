"""A session: executes what scoring asks for, one plan per round and task, and keeps the values.

What executes is imported where something is executed: stored values need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pathdsl.engine.attribution.cost import attribution_cost, beginning
from pathdsl.engine.lazy_model import LazyModel
from pathdsl.engine.meter import Meter, Progress
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof
from pathdsl.engine.recall import Recall
from pathdsl.engine.rounding import ROUNDING, allowance, precision_of
from pathdsl.engine.scored import Place, ScoredValues, asked_in, null_of, proof_of
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.liveness import Cost, share_of
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.statistics.book import Book

if TYPE_CHECKING:
    from pathdsl.engine.adapters.base import Adapter
    from pathdsl.engine.run.kept import Kept

__all__ = ["EngineSession", "nothing_kept"]


def nothing_kept() -> Callable[[], Kept]:
    """Where plans leave what they share: empty, made when it is first asked for."""

    @cache
    def made() -> Kept:
        from pathdsl.engine.run.kept import Kept

        return Kept(0)

    return made


class EngineSession:
    """The `Session` of `pathdsl.score.session` over one model.

    Values come from `recall` where it has them; what it has not is executed on `adapter`, or on
    `model` where that is None, and handed to it. `prove` is asked about every plan that was
    executed; a plan that is not proved is not kept. `asked` are all runs with their measures,
    `proofs` the proofs of plans by task, those of stored values among them; `model_proofs` what the
    model has proved about itself; `attributed` what each attribution that was computed cost, in
    plain forward passes; `book` has intervals that were worked out before. Runs of one identity
    have the values of the first of them. `kept` has plain runs and constants that plans share, of
    several models those of `owner`.
    """

    def __init__(
        self,
        planner: Planner,
        adapter: Adapter | None,
        progress: Progress | None = None,
        *,
        model: LazyModel | None = None,
        recall: Recall | None = None,
        prove: Callable[[Plan, Kept], Proof | None] | None = None,
        meter: Meter | None = None,
        kept: Callable[[], Kept] | None = None,
        owner: str = "",
    ) -> None:
        model = model or (recall.model if recall is not None else None)
        if adapter is None and model is None:
            raise ValueError("a session needs an adapter or a model")
        self.model = model
        self.planner = planner
        self.meter = meter or Meter(progress)
        self.recall = recall
        self.prove = prove
        self.plans: list[Plan] = []
        self.costs: list[Cost] = []
        self.asked: dict[RunSpec, dict[Measure, None]] = {}
        self.proofs: dict[str, list[Proof]] = {}
        self.model_proofs: list[Proof] = []
        self.book: Book | None = None
        self._adapter = adapter
        self._values: dict[Request, np.ndarray] = {}
        self.scores = ScoredValues(planner)
        self.attributed: list[float] = []
        self.needs: dict[str, int] = {}
        self.owner = owner
        self._kept = kept or nothing_kept()

    @property
    def kept(self) -> Kept:
        """What plans of this model share; of several models one has its room at a time."""
        found = self._kept()
        found.owner = self.owner
        found.room = share_of(min(map(self.planner.room, self.planner.tasks)))
        return found

    @property
    def adapter(self) -> Adapter:
        """The parts of the model; reads the weights if that has not happened yet.

        It is asked for each time: of several models one has its weights in memory at a time.
        """
        if self._adapter is not None:
            return self._adapter
        assert self.model is not None
        return self.model.adapter

    @property
    def tasks(self) -> Mapping[str, TaskData]:
        """The rows of every task."""
        return self.planner.tasks

    def with_norms(self, modes: Mapping[str, str]) -> EngineSession:
        """A session of its own in which the tasks of `modes` have these norms.

        It starts with the values of all other tasks, which it would only compute again.
        """
        specs = {
            name: replace(spec, layernorm=modes.get(name, spec.layernorm))
            for name, spec in self.planner.specs.items()
        }
        planner = replace(self.planner, specs=specs)
        recall = self.recall.with_planner(planner) if self.recall is not None else None
        other = self._beside(planner, recall)
        other.model_proofs = list(self.model_proofs)
        other.book = self.book
        other._values = {key: v for key, v in self._values.items() if key[0].task not in modes}
        other.scores.update(self.scores, but=modes)
        return other

    def _beside(self, planner: Planner, recall: Recall | None) -> EngineSession:
        """A session of the same kind for another planner, which knows nothing yet."""
        return EngineSession(
            planner, self._adapter, model=self.model, recall=recall, prove=self.prove,
            meter=self.meter, kept=self._kept, owner=self.owner,
        )  # fmt: skip

    def take_over(self, before: EngineSession) -> None:
        """What an earlier session ran on tasks that are the same in this one, as if it had here."""
        for key, value in before._values.items():
            self._values.setdefault(key, value)
        self.scores.update(before.scores)
        for run, measures in before.asked.items():
            self.asked.setdefault(run, {}).update(measures)
        for task, proofs in before.proofs.items():
            self.proofs.setdefault(task, []).extend(proofs)
        self._note(before.needs)
        self.plans += before.plans
        self.costs += before.costs

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan per task; what is known already is not run again."""
        missing = {
            key: request[1]
            for request in requests
            if not self._knows(key := self.planner.read(request))
        }
        for request in [key for key in missing if key[1].asked is not None]:
            del missing[request]
            self._attribute(request)
        for together in self.planner.requests_by_plan(list(missing)):
            for run, measure in together:
                self.asked.setdefault(run, {})[missing[run, measure]] = None
            if self.recall is not None:
                self._recall(together)
        plans = self.planner.plans([key for key in missing if not self._knows(key)])
        self._expect(plans)
        for plan in plans:
            self._run(plan)

    def _knows(self, request: Request) -> bool:
        return request in self.scores or (request[0].identity, request[1]) in self._values

    def _learn(self, values: Mapping[Request, np.ndarray]) -> None:
        """Take values of normal runs; what is known already stays."""
        for (run, measure), value in values.items():
            name = run.identity
            draws = len(value) if name.treats else 1
            self._values.setdefault((name, measure), value[:draws])

    def _recall(self, together: list[Request]) -> None:
        assert self.recall is not None
        found = self.recall.find(together)
        self._learn(found.values)
        task = together[0][0].task
        self.proofs.setdefault(task, []).extend(found.proofs)

    def _expect(self, plans: Sequence[Plan]) -> None:
        """Say what the plans of a round and their null pairs will read of plain runs."""
        if not plans:
            return
        from pathdsl.engine.run.runner import Settings, expect
        from pathdsl.engine.self_check import null_settings

        self.kept.forget_expected()
        for plan in plans:
            task, memory = self.planner.rows(plan), self.planner.room(plan.task)
            each = [Settings(memory=memory)]
            if self.prove is not None and any(output.run.treats for output in plan.outputs):
                each.append(null_settings(task, memory))
            for settings in each:
                expect(plan, task, self.adapter, settings, self.kept)

    def _note(self, needs: Mapping[str, int]) -> None:
        """Bytes that what is computed has to be given for its values, by task."""
        for task, need in needs.items():
            self.needs[task] = max(need, self.needs.get(task, 0))

    def _run(self, plan: Plan) -> None:
        from pathdsl.engine.run.runner import Settings, execute, least_memory, plan_cost

        weighed = plan_cost(plan, self.adapter.dtype.itemsize)
        self._note({plan.task: least_memory(plan, weighed)})
        settings = Settings(memory=self.planner.room(plan.task))
        parts = self.recall.parts(plan) if self.recall is not None else None
        runs = "1 run" if len(plan.outputs) == 1 else f"{len(plan.outputs):,} runs"
        behind = f" with `{plan.behind}` behind the prompts" if plan.behind else ""
        self.meter.what = f"task `{plan.task}`: {runs}{behind}"
        task = self.planner.rows(plan)
        kept = self.kept
        before = kept.begun, kept.through
        try:
            values = execute(plan, task, self.adapter, settings, self.meter, parts, kept)
        except BaseException:
            if parts is not None:
                parts.flush()  # Ctrl-C, or memory that ran out: what is finished stays
            raise
        self.plans.append(plan)
        now = 1.0 if parts is None else 1 - parts.share_found
        self.costs.append(self._spent(plan, weighed, now, before))
        computed = {(plan.outputs[n].run, measure): v for (n, measure), v in values.items()}
        self._learn(computed)
        proof = self.prove(plan, kept) if self.prove is not None else None
        if proof is not None:
            self.proofs.setdefault(plan.task, []).append(proof)
        if self.recall is not None and (proof is None or proof.holds):
            self.recall.keep(plan, computed, proof)
        elif self.recall is not None:
            self.recall.forget(plan)
        self.meter.start("judging")

    def _spent(self, plan: Plan, weighed: Cost, now: float, before: tuple[int, int]) -> Cost:
        """What a plan cost of which the share `now` was computed.

        `before`: what `kept` had counted until then.
        """
        n_rows, layers = plan.masks.n_rows, max(plan.shape.n_layers, 1)
        begun, through = self.kept.begun - before[0], self.kept.through - before[1]
        copies = weighed.macs - weighed.plain_runs * weighed.plain_run
        plain = through * weighed.plain_run // (n_rows * layers)
        macs = round(copies * now) + plain
        return replace(weighed, macs=macs, unread=0, plain_runs=-(-begun // n_rows))

    def _attribute(self, request: Request) -> None:
        """All scores of one attribution: from the store, or computed and proved."""
        run, _ = request
        asked = asked_in(request)
        self.asked.setdefault(run, {})
        if ATTRIBUTIONS[asked.method].exact:  # runs, which are proved and kept as all others
            from pathdsl.engine.attribution.exact import exact

            self.scores.keep(request, exact(self, self.planner.shape_of(run.task), asked))
            return
        found = self.recall.scored(request) if self.recall is not None else None
        if found is not None:
            self.scores.keep(request, found.scored)
            self.proofs.setdefault(run.task, []).extend(found.proofs)
            return
        from pathdsl.engine.attribution.attribute import attribute
        from pathdsl.engine.self_check import NULL_ROWS

        task, frozen = self.tasks[run.task], self.planner.specs[run.task].frozen
        memory = self.planner.stated(run.task)
        self.meter.start(f"task `{run.task}`: attribution by {asked.method}")
        scored = attribute(self.adapter, task, asked, frozen=frozen, memory=memory)
        self.scores.keep(request, scored)
        shape = self.planner.shape_of(run.task)
        size = self.adapter.dtype.itemsize
        begins = beginning(asked, task, shape, size, memory)
        cost = attribution_cost(asked, shape, task.n_rows, task.n_pos, size, begins, memory)
        assert cost is not None  # None: as a plan, above
        self.attributed.append(cost.forwards)
        self._note({run.task: cost.least})
        proof: Proof | None = None
        if self.prove is not None and ATTRIBUTIONS[asked.method].effect:
            rows = min(NULL_ROWS, task.n_rows)
            self.meter.start(f"self-check of the attribution of task `{run.task}`")
            null = attribute(
                self.adapter, task, null_of(asked, task.reference), frozen=frozen, rows=rows,
                memory=memory,
            )  # fmt: skip
            proof = proof_of(asked, null, rows, self.rounding())
            self.proofs.setdefault(run.task, []).append(proof)
        if self.recall is not None and (proof is None or proof.holds):
            self.recall.keep_scored(request, scored, proof)
        self.meter.start("judging")

    def scored(
        self, run: RunSpec, measure: Measure, unit: tuple[str, str, str], at: Pos | None
    ) -> np.ndarray:
        """(1, rows) float64: the score of one unit (sender, receiver, slot) in an attribution."""
        return self.scores.of(self.planner.read((run, measure)), unit, at)

    @property
    def scores_read(self) -> tuple[tuple[Request, Place], ...]:
        """The attributions of which scores were read, each with the unit."""
        return tuple(self.scores.read)

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws."""
        run, measure = self.planner.read((run, measure))
        return self._values[run.identity, measure]

    def identity(self, run: RunSpec) -> RunSpec:
        """The run under one name: runs of one identity have the same values, bit for bit."""
        return self.planner.identity(run)

    @property
    def precision(self) -> str:
        """The dtype of arithmetic by name, `float32`; reads no weights."""
        if self._adapter is None and self.model is not None:
            return self.model.precision
        return precision_of(self.adapter)

    def rounding(self) -> float:
        """How far two evaluations of one metric value may lie apart at most, by dtype."""
        return ROUNDING[self.precision]

    def allowance(self, task: str = "") -> float:
        """How far they lie apart in this check, as its self-checks show; at most `rounding`."""
        proofs = [*self.model_proofs, *(p for of_task in self.proofs.values() for p in of_task)]
        return allowance(proofs, self.precision)
