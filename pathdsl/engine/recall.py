"""What a check takes from the result store, and what it leaves there.

A stored value counts only with the proof of the plan that computed it (the null pair), which lies
beside it; a plan whose proof did not hold is never kept. What the model proves about itself is kept
by task in the same way.

The values of one plan are as one: `company` is the key of all that one plan would hold if nothing
were stored. A value whose own plan had that key has exactly the bits that computing it now would
give; any other may differ from them by rounding, and is counted in `beside_others`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from pathdsl.engine.lazymodel import LazyModel
from pathdsl.engine.selfcheck import Proof
from pathdsl.engine.session import Planner, Request
from pathdsl.engine.store import About, Store
from pathdsl.engine.storekeys import TaskKeys, digest
from pathdsl.errors import DataError
from pathdsl.plan.readout import Measure
from pathdsl.plan.steps import Plan

__all__ = ["Recall", "Recalled", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The values found for one company, and the proofs of the plans that computed them."""

    values: Mapping[Request, np.ndarray] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Where the values of a check came from, each the value of one measure of one run.

    `beside_others` of the `stored` ones were computed in the company of other runs than now.
    """

    computed: int
    stored: int
    beside_others: int


class Recall:
    """The store as one check of one model sees it."""

    def __init__(self, store: Store, model: LazyModel, planner: Planner) -> None:
        self.store = store
        self.model = model
        self.planner = planner
        self._setting = model.setting(planner.limits)
        self._tasks: dict[str, TaskKeys] = {}
        self._counts: Counter[str] = Counter()

    def with_planner(self, planner: Planner) -> Recall:
        """The same for another planner of the same tasks; both count together."""
        other = Recall(self.store, self.model, planner)
        other._counts = self._counts
        return other

    @property
    def tally(self) -> Tally:
        """Where the values came from so far."""
        counts = self._counts
        return Tally(
            computed=counts["computed"], stored=counts["stored"], beside_others=counts["beside"]
        )

    def find(self, company: Sequence[Request]) -> Recalled:
        """What is stored of the requests of one plan."""
        keys = self._keys(company)
        if not keys:
            return Recalled()
        whole = digest("plan", list(keys.values()))
        found = self.store.find(list(keys.values()))
        values, proofs = {}, {}
        wrong = []
        for request, key in keys.items():
            if key not in found:
                continue
            one = found[key]
            proof = _read(one.proof) if one.proof else None
            if one.values.shape != self._shape(request) or (one.proof and proof is None):
                wrong.append(key)
                continue
            values[request] = one.values
            self._counts["beside"] += one.plan != whole
            if proof is not None:
                proofs[one.plan] = proof
        if wrong:
            self.store.reject(wrong)
        self._counts["stored"] += len(values)
        return Recalled(values=values, proofs=tuple(proofs.values()))

    def _shape(self, request: Request) -> tuple[int, int]:
        """The (draws, rows) that a value has."""
        run, _ = request
        drawn = run.kind != "reference" and run.treated is not None
        draws = run.treated.draws if drawn and run.treated.kind == "resample" else 1
        return draws, self.planner.tasks[run.task].n_rows

    def keep(self, plan: Plan, computed: Mapping[Request, np.ndarray], proof: Proof | None) -> None:
        """Store the values of one executed plan with its proof, which holds or was not needed."""
        company = [(output.run, m) for output in plan.outputs for m in output.measures]
        self._counts["computed"] += len(computed)
        keys = self._keys(company)
        if not keys:
            return
        self.store.add(
            {key: computed[request] for request, key in keys.items()},
            plan=digest("plan", list(keys.values())),
            proof=_written(proof) if proof is not None else "",
            about=About(
                model=self.model.source.written,
                task=plan.task,
                runs=len(plan.outputs),
                labels={
                    key: f"{run.label or run.kind}: {_label(measure)}"
                    for (run, measure), key in keys.items()
                },
            ),
        )

    def proofs(self, task: str) -> list[Proof] | None:
        """What the model proved about itself on a task, or None."""
        key = self._proofs_key(task)
        found = self.store.record(key)
        if found is None:
            return None
        proofs = _read_all(found)
        if proofs is None:
            self.store.reject([key])
        return proofs

    def keep_proofs(self, task: str, proofs: Sequence[Proof]) -> None:
        """Store proofs of a task, if all of them hold."""
        if all(proof.holds for proof in proofs):
            text = json.dumps([_written(proof) for proof in proofs])
            self.store.add_record(self._proofs_key(task), text)

    def _proofs_key(self, task: str) -> str:
        return self._of(task).proofs(self.planner.specs[task].treated)

    def _of(self, task: str) -> TaskKeys:
        if task not in self._tasks:
            layernorm = self.planner.specs[task].layernorm
            self._tasks[task] = TaskKeys(self._setting, self.planner.tasks[task], layernorm)
        return self._tasks[task]

    def _keys(self, company: Sequence[Request]) -> dict[Request, str]:
        """The keys of one plan's values; empty where one of them has none."""
        if not self.store.on:
            return {}
        try:
            keys = {request: self._of(request[0].task).value(*request) for request in company}
        except (DataError, KeyError):
            return {}  # no such position or column: planning says so in its own words
        if any(key is None for key in keys.values()):
            return {}
        return {request: key for request, key in keys.items() if key is not None}


def _written(proof: Proof) -> str:
    return json.dumps(asdict(proof))


def _read(text: str) -> Proof | None:
    """A proof that holds, as `_written` wrote it; None for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {*found} != {one.name for one in fields(Proof)}:
        return None
    numbers = all(isinstance(found[name], float) for name in ("error", "tolerance"))
    if not numbers or not all(isinstance(found[n], str) for n in ("code", "name", "compared")):
        return None
    proof = Proof(**found)
    return proof if proof.holds else None


def _read_all(text: str) -> list[Proof] | None:
    """The proofs of a task; None where one of them cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None
    proofs = [_read(one) for one in found]
    return [p for p in proofs if p is not None] if None not in proofs else None


def _label(measure: Measure) -> str:
    if measure.kind == "attention":
        return f"attention {measure.query} to {measure.key}"
    column = f"({measure.column})" if measure.column else ""
    return f"{measure.kind}{column} @{measure.position}"
