"""What a check takes from the result store, and what it leaves there.

A stored value counts only with the proof of the plan that computed it (the null pair), which lies
beside it; a plan whose proof did not hold is never kept. What the model proves about itself is kept
by task in the same way. Values of a session that proves nothing lie apart, under other keys, so
that no check takes them for proved ones.

The values of one plan are as one: its key is that of all that the plan would hold if nothing were
stored. A value whose own plan had that key has exactly the bits that computing it now would
give; any other may differ from them by rounding, and is counted in `beside_others`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace

import numpy as np

from pathdsl.engine.lazy_model import LazyModel
from pathdsl.engine.planner import Planner
from pathdsl.engine.proof import Proof
from pathdsl.engine.run.parts import Part
from pathdsl.engine.store.digest import digest
from pathdsl.engine.store.keys import TaskKeys
from pathdsl.engine.store.store import About, Store, Underway
from pathdsl.errors import DataError
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request
from pathdsl.score.attribution import Scored, ScoredUnit

EVERY = 1.0
"""Seconds between two writes of parts; a check that is killed loses no more than that and what it
was at."""

__all__ = ["KeptParts", "Recall", "Recalled", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """Values found for the requests of one plan, and proofs of the plans that computed them."""

    values: Mapping[Request, np.ndarray] = field(default_factory=dict)
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledScores:
    """An attribution from the store, and the proof of it."""

    scored: Scored
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Where the values of a check came from, each the value of one measure of one run.

    `beside_others` of the `stored` ones were computed beside other runs than now.
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
        self._tasks: dict[tuple[str, str], TaskKeys] = {}
        self._counts: Counter[str] = Counter()
        self._apart = False

    def with_planner(self, planner: Planner) -> Recall:
        """The same for another planner of the same tasks; both count together."""
        other = Recall(self.store, self.model, planner)
        other._counts = self._counts
        other._apart = self._apart
        return other

    def apart(self) -> Recall:
        """The same store for values that nothing proves: what is kept here is only found here."""
        other = Recall(self.store, self.model, self.planner)
        other._apart = True
        return other

    @property
    def tally(self) -> Tally:
        """Where the values came from so far."""
        counts = self._counts
        return Tally(
            computed=counts["computed"], stored=counts["stored"], beside_others=counts["beside"]
        )

    def find(self, requests: Sequence[Request]) -> Recalled:
        """What is stored of the requests of one plan."""
        keys = self._keys(requests)
        if not keys:
            return Recalled()
        whole = digest("plan", list(keys.values()))
        keys = self._kept_under(whole, keys)
        found = self.store.find(list(keys.values()))
        if len(found) < len(keys):
            # They were computed together, so some were lost. Computing all of them again gives
            # the same bits; computing some of them beside fewer runs might not.
            found = {key: one for key, one in found.items() if one.plan != whole}
        values, proofs = {}, {}
        wrong = []
        for request, key in keys.items():
            if key not in found:
                continue
            one = found[key]
            trusted, proof = self._trusted(request, one.proof)
            if one.values.shape != self._shape(request) or not trusted:
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

    def _trusted(self, request: Request, stored: str) -> tuple[bool, Proof | None]:
        """Whether what is stored counts, and its proof: treated runs need one that holds."""
        proof = _read(stored) if stored else None
        needed = stored or (request[0].treats and not self._apart)
        return proof is not None or not needed, proof

    def _shape(self, request: Request) -> tuple[int, int]:
        """The (draws, rows) that a value has."""
        run, _ = request
        treated = run.treated if run.treats else None
        draws = treated.draws if treated is not None else 1
        return draws, self.planner.tasks[run.task].n_rows

    def _kept_under(self, whole: str, keys: Mapping[Request, str]) -> dict[Request, str]:
        """The keys that the values of a plan lie under: in a store of whole plans its own, so that
        a run that two plans have is found in both."""
        if not self.store.whole_plans:
            return dict(keys)
        return {request: digest("in", whole, key) for request, key in keys.items()}

    def plan_key(self, requests: Sequence[Request]) -> str:
        """The key of the plan of these requests; "" where one of them has none."""
        keys = self._keys(requests)
        return digest("plan", list(keys.values())) if keys else ""

    def parts(self, plan: Plan) -> KeptParts | None:
        """What an earlier check of this plan got done before it was cut off; None without keys."""
        key = self.plan_key(values_in(plan))
        return KeptParts(self.store, key, plan, self.about(plan)) if key else None

    def null_pair(self, plan_key: str) -> Proof | None:
        """The self-check of a plan whose values are not whole yet, which holds; or None."""
        text = self.store.record(digest("null pair", plan_key))
        return _read(text) if text is not None else None

    def keep_null_pair(self, plan_key: str, proof: Proof) -> None:
        """Store the self-check of a plan beside its parts, if it holds."""
        if proof.holds:
            self.store.add_record(digest("null pair", plan_key), _written(proof))

    def forget(self, plan: Plan) -> None:
        """Drop the parts of a plan that did not prove itself."""
        if key := self.plan_key(values_in(plan)):
            self.store.forget(key)

    def about(self, plan: Plan) -> About:
        """What people are told of a plan."""
        return About(model=self.model.source.written, task=plan.task, runs=len(plan.outputs))

    def keep(
        self,
        plan: Plan,
        computed: Mapping[Request, np.ndarray],
        proof: Proof | None,
        *,
        stored: bool = False,
    ) -> None:
        """Store the values of one executed plan with its proof, which holds or was not needed.

        `stored`: they were put together of parts, all of which were there.
        """
        self._counts["stored" if stored else "computed"] += len(computed)
        keys = self._keys(values_in(plan))
        if not keys:
            return
        whole = digest("plan", list(keys.values()))
        keys = self._kept_under(whole, keys)
        self.store.add(
            {key: computed[request] for request, key in keys.items()},
            plan=whole,
            proof=_written(proof) if proof is not None else "",
            about=replace(
                self.about(plan),
                labels={
                    key: f"{run.label or run.kind}: {_label(measure)}"
                    for (run, measure), key in keys.items()
                },
            ),
        )

    def scored(self, request: Request) -> RecalledScores | None:
        """What is stored of an attribution, or None.

        All of its values lie under one key, units (and positions) below one another; the units
        lie beside them.
        """
        key = self._keys([request]).get(request)
        found = self.store.find([key]).get(key) if key is not None else None
        if key is None or found is None:
            return None
        scored = _scored(self.store.record(_units_key(key)), found.values)
        trusted, proof = self._trusted(request, found.proof)
        rows = self.planner.tasks[request[0].task].n_rows
        if scored is None or scored.values.shape[-1] != rows or not trusted:
            self.store.reject([key])
            return None
        self._counts["stored"] += 1
        return RecalledScores(scored=scored, proofs=(proof,) if proof is not None else ())

    def keep_scored(self, request: Request, scored: Scored, proof: Proof | None) -> None:
        """Store an attribution with its proof, which holds or was not needed."""
        self._counts["computed"] += 1
        key = self._keys([request]).get(request)
        if key is None:
            return
        units = [[one.sender, one.receiver, one.slot] for one in scored.units]
        shape = list(scored.values.shape)
        self.store.add_record(_units_key(key), json.dumps({"units": units, "shape": shape}))
        run, measure = request
        about = About(
            model=self.model.source.written, task=run.task, runs=1,
            labels={key: f"attribution: {measure.text}"},
        )  # fmt: skip
        self.store.add(
            {key: scored.values.reshape(-1, shape[-1])},
            plan=key, proof=_written(proof) if proof is not None else "", about=about,
        )  # fmt: skip

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

    def _of(self, task: str, behind: str = "") -> TaskKeys:
        if (task, behind) not in self._tasks:
            spec, rows = self.planner.specs[task], self.planner.tasks[task].branch(behind)
            keys = TaskKeys(self._setting, rows, spec.held, spec.treated)
            self._tasks[task, behind] = keys
        return self._tasks[task, behind]

    def _key(self, request: Request) -> str:
        run, measure = request
        behind = self.planner.tasks[run.task].behind(measure)
        key = self._of(run.task, behind).value(run, measure)
        return digest("unproved", key) if self._apart else key

    def _keys(self, requests: Sequence[Request]) -> dict[Request, str]:
        """The keys of one plan's values; empty where one of them has none."""
        if not self.store.on:
            return {}
        try:
            return {request: self._key(request) for request in requests}
        except (DataError, KeyError):
            return {}  # no such position or column: planning says so in its own words


class KeptParts:
    """The parts of one plan in the store, as the runner asks for them and hands them over.

    A part is found under the key of its plan (every value in it, hence weights, rows, limits and
    program) and what it is of; no two ways to compute it differ in a bit. So it does not matter
    which check computed a part, in which order, or on which of several equal machines: parts of
    several stores are those of one when they are added to it. New parts are written when the last
    were written `EVERY` seconds ago, and by `flush`.
    """

    def __init__(self, store: Store, plan_key: str, plan: Plan, about: About) -> None:
        self.store = store
        self.plan_key = plan_key
        self._about = about
        self._known = store.parts_of(plan_key)
        self._new: dict[Part, np.ndarray] = {}
        self._cells = max(plan.masks.n_rows * plan.draws, 1)
        self._found = self._done = 0
        self._last = time.monotonic()

    @property
    def share_found(self) -> float:
        """How much of the plan's rows was known, from 0 to 1."""
        return self._found / self._cells

    def key(self, part: Part) -> str:
        """What a part is found by."""
        return digest("part", self.plan_key, tuple(part))

    def ahead(self, parts: Sequence[Part]) -> Iterable[Part]:
        """Parts of sums that are looked after before they are added up, in this order."""
        return ()

    def found(self, part: Part, shape: tuple[int, int]) -> np.ndarray | None:
        """The numbers of a part, or None."""
        key = self.key(part)
        numbers = self._known.pop(key, None)
        if numbers is None:
            return None
        if numbers.shape != shape:
            self.store.reject([key])
            return None
        self._found += self._cells_of(part)
        self._count(part)
        return numbers

    def keep(self, part: Part, numbers: np.ndarray) -> None:
        """Store a part that was computed, now or soon."""
        self._new[part] = numbers
        if time.monotonic() - self._last >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Store what is not stored yet."""
        labels = {self.key(part): f"{part.kind} of rows {part.start} to {part.stop}"
                  for part in self._new}  # fmt: skip
        values = {self.key(part): numbers for part, numbers in self._new.items()}
        about = replace(self._about, labels=labels)
        self.store.add(values, plan=self.plan_key, proof="", about=about, unfinished=True)
        if self.store.writable:
            for part in self._new:
                self._count(part)
        self._new = {}
        self._last = time.monotonic()

    def _count(self, part: Part) -> None:
        self._done += self._cells_of(part)
        self.store.under_way = Underway(task=self._about.task, share=self._done / self._cells)

    def _cells_of(self, part: Part) -> int:
        return part.stop - part.start if part.kind == "values" else 0


def values_in(plan: Plan) -> list[Request]:
    """The values that a plan computes, in its order."""
    return [(output.run, measure) for output in plan.outputs for measure in output.measures]


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


def _units_key(key: str) -> str:
    """Where the units of an attribution lie."""
    return digest("units", key)


def _scored(text: str | None, values: np.ndarray) -> Scored | None:
    """An attribution of its units, as `keep_scored` wrote them, and its values; None for others."""
    try:
        found = json.loads(text or "")
        units = tuple(ScoredUnit(sender=u, receiver=v, slot=s) for u, v, s in found["units"])
        values = values.reshape([int(size) for size in found["shape"]])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return Scored(units=units, values=values) if len(values) == len(units) else None


def _read_all(text: str) -> list[Proof] | None:
    """The proofs of a task; None where one of them cannot be read."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None
    if not found:
        return None  # a model proves something, always
    proofs = [_read(one) for one in found]
    return [p for p in proofs if p is not None] if None not in proofs else None


def _label(measure: Measure) -> str:
    if measure.of_head:
        return f"attention {measure.query} to {measure.key}"
    if measure.record.reads == "copy":
        return f"{measure.kind} at {', '.join(measure.of)}"
    column = f"({measure.column})" if measure.column else ""
    return f"{measure.kind}{column} @{measure.position}"
