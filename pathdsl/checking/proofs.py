"""The self-checks of one check: what the model and each plan proved about themselves, at what cost.

A model proves itself once for each task, a plan once for its runs (its null pair). What was proved
before comes from the store. What computes is imported where something is computed: torch is not
needed to read a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathdsl.engine.proof import OF_RUNS, Proof, unproved, worst_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.engine.planner import Planner
    from pathdsl.engine.recall import Recall
    from pathdsl.engine.run.kept import Kept
    from pathdsl.engine.self_check import AllShown
    from pathdsl.engine.session import EngineSession
    from pathdsl.errors import Diagnostic
    from pathdsl.plan.liveness import Cost
    from pathdsl.plan.outputs import Plan

__all__ = ["Proofs", "proof_cost", "proof_reads"]


class Proofs:
    """Proofs by the name of their task; `spent` is the cost of those that were made now, in plain
    forward passes over a task's prompts."""

    def __init__(self, model: LazyModel) -> None:
        self.model = model
        self.proved: list[tuple[str, Proof]] = []
        self.spent = 0.0
        self._of_models: dict[str, list[Proof]] = {}
        self._shown: AllShown = {}

    @property
    def faults(self) -> list[Diagnostic]:
        """A diagnostic for each proof that does not hold."""
        return unproved(self.proved)

    def of_model(self, planner: Planner, recall: Recall | None) -> list[Proof]:
        """What the model proves on every task, in the norm modes of the planner; once for each."""
        for task in planner.tasks:
            if task not in self._of_models:
                proofs = self._of_models[task] = self._of_task(task, planner, recall)
                self.proved += [(task, proof) for proof in proofs]
        return [proof for task in planner.tasks for proof in self._of_models[task]]

    def of_modes(self, modes: Mapping[str, str], session: EngineSession) -> list[Proof]:
        """What the model proves on the tasks of `modes`, whose norms the session changes.

        Only proofs that go by way of plans, and so by norms, are added to `proved`.
        """
        made = []
        for task in modes:
            proofs = self._of_task(task, session.planner, session.recall)
            self.proved += [(task, proof) for proof in proofs if proof.code in OF_RUNS]
            made += proofs
        return made

    def _of_task(self, task: str, planner: Planner, recall: Recall | None) -> list[Proof]:
        kept = recall.proofs(task) if recall is not None else None
        if kept is not None:
            return list(kept)
        from pathdsl.engine.self_check import STEPS, prove, prove_cost

        rows, adapter, meter = planner.tasks[task], self.model.adapter, self.model.meter
        self.spent += prove_cost(planner, rows, adapter.dtype.itemsize, self._shown)
        meter.start(f"self-checks of task `{task}`", STEPS)
        proofs = prove(planner, adapter, rows, meter.add, self._shown)
        meter.end()
        if recall is not None:
            recall.keep_proofs(task, proofs)
        return proofs

    def null_pair(self, plan: Plan, planner: Planner, kept: Kept) -> Proof | None:
        """That a plan's runs have no effect where treated values are the reference's own.

        `kept` has the plan's plain runs.
        """
        if not _treats(plan):
            return None
        from pathdsl.engine.run.runner import plan_cost
        from pathdsl.engine.self_check import null_cost, prove_null_pair

        model = self.model
        self.spent += null_cost(plan, plan_cost(plan, model.adapter.dtype.itemsize))
        model.meter.start(f"self-check of the runs of task `{plan.task}`")
        room = planner.room(plan.task)
        proof = prove_null_pair(plan, planner.rows(plan), model.adapter, model.rounding, room, kept)
        model.meter.end()
        return proof

    def add_null_pairs(self, session: EngineSession) -> None:
        """Add the null pair of every task that has a run with a treated value."""
        self.proved += [
            (task, worst_of(nulls)) for task in session.tasks if (nulls := session.proofs.get(task))
        ]


def proof_cost(plan: Plan, cost: Cost, planner: Planner, itemsize: int, first: bool) -> float:
    """What the self-checks of a plan cost in plain forward passes; `first` of its task or not."""
    from pathdsl.engine.self_check import null_cost, prove_cost

    spent = null_cost(plan, cost) if _treats(plan) else 0.0
    if first:
        spent += prove_cost(planner, planner.tasks[plan.task], itemsize)
    return spent


def proof_reads(plan: Plan, planner: Planner, itemsize: int, first: bool) -> int:
    """Layers that the self-checks of a plan read where weights are streamed."""
    from pathdsl.engine.self_check import null_reads, prove_reads

    room = planner.room(plan.task)
    read = null_reads(plan, itemsize, room) if _treats(plan) else 0
    return read + (prove_reads(planner, planner.tasks[plan.task], itemsize) if first else 0)


def _treats(plan: Plan) -> bool:
    """Whether some run of a plan has a treated value."""
    return any(output.run.treats for output in plan.outputs)
