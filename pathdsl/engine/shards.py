"""Sessions over a shared store: a shard's share of the work, and everything put together.

The *items* of a check are counted from 1, in the order in which it asks for them: of each task what
the model proves about itself, of each plan its row blocks and then its null pair, an attribution as
one. A shard `3/16` computes the items 3, 19, 35, …; which these are follows from the file and the
stated limits, never from what is there already.

A shard asks for all that a check asks for and leaves out what is no item of its own. It needs the
values of others where a later round hangs on them, in a search or a condition on rows: they are
looked for when somebody reads a value. Without `wait` that raises `Lacking`.

Sums behind a mean are needed by every block of a plan. Each shard computes its share of them first,
then takes what others have done meanwhile, and computes what is left: no shard waits for one that
never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pathdsl.engine.proof import Proof
from pathdsl.engine.recall import KeptParts, Recall, values_in
from pathdsl.engine.run.parts import Part
from pathdsl.engine.session import EngineSession
from pathdsl.engine.store.shared import SharedStore, Work
from pathdsl.errors import Diagnostic, ExitCode, PathdslError
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import Request, RunSpec
from pathdsl.record import record

__all__ = ["Lacking", "Shard", "Share", "SharedSession", "read_shard"]

LOOK = (0.2, 5.0)
"""Seconds between two looks for what others do: at first, and after a while."""
PATIENCE = 5.0
"""Seconds that a shard looks for the sums of others at least, before it computes them itself."""
GRACE = 1.0
"""Seconds that it looks for others that have begun with the same plan."""


@record
class Shard:
    """Every `of`-th item, beginning with item `number`, which is counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def read_shard(text: str) -> Shard:
    """`3/16`; ValueError for what is none."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and len(text) < 20):
        raise ValueError(f"`{text[:40]}` is no shard; wanted for example `3/16`")
    found = Shard(number=int(number), of=int(of))
    if not 1 <= found.number <= found.of:
        raise ValueError(f"there is no shard {found.number} of {found.of}; they count from 1")
    return found


class Lacking(PathdslError):
    """A shard needs values of other shards that are not there."""

    exit_code = ExitCode.LACKING


@dataclass(slots=True)
class Share:
    """What one shard has done of a check so far.

    `wait`: seconds to wait for other shards while nothing of theirs comes, inf for ever; 0: not at
    all. `asked` items were counted, `ours` of them are this shard's, `computed` of those were
    computed now; `once` has those that were asked for by name.
    """

    shard: Shard
    wait: float = 0.0
    asked: int = 0
    ours: int = 0
    computed: int = 0
    once: dict[object, bool] = field(default_factory=dict)

    def take(self, items: int) -> list[int]:
        """The next items: those of this shard, counted from 0."""
        mine = [
            n for n in range(items) if (self.asked + n) % self.shard.of == self.shard.number - 1
        ]
        self.asked += items
        self.ours += len(mine)
        return mine

    def takes(self, what: object) -> bool:
        """Whether an item that may be asked for again is this shard's."""
        if what not in self.once:
            self.once[what] = bool(self.take(1))
        return self.once[what]

    def until(self, ready: Callable[[], int], wanted: int) -> bool:
        """Wait until `ready` gives `wanted`; whether it did."""
        pause, last = LOOK[0], time.monotonic()
        known = ready()
        while known < wanted:
            if time.monotonic() - last >= self.wait:
                return False
            time.sleep(pause)
            pause = min(1.2 * pause, LOOK[1])
            if (now := ready()) != known:
                known, last, pause = now, time.monotonic(), LOOK[0]
        return True


class SharedParts(KeptParts):
    """The parts of one plan in a shared store, of which others may bring some."""

    def __init__(self, store: SharedStore, recall: Recall, plan: Plan, share: Share | None) -> None:
        self.shared = store
        self.share = share
        super().__init__(store, recall.plan_key(values_in(plan)), plan, recall.about(plan))

    def ahead(self, parts: Sequence[Part]) -> Iterator[Part]:
        """This shard's sums, then those of the next one, and so on, each looked for before it is
        computed; an order of one's own keeps several shards from computing the same."""
        if self.share is None:
            return
        shard, started = self.share.shard, time.monotonic()
        first = shard.number - 1
        turns = [parts[(first + turn) % shard.of :: shard.of] for turn in range(shard.of)]
        yield from turns[0]
        self.flush()
        until = started + max(PATIENCE, 2 * (time.monotonic() - started))
        others = [part for turn in turns[1:] for part in turn]
        alone = min(time.monotonic() + GRACE, until)
        while others and (now := time.monotonic()) < until:
            self.learn()
            if all(self.key(part) in self._known for part in others):
                break
            if now >= alone and not self.shared.others_at(self.plan_key):
                break
            time.sleep(LOOK[0])
        for part in others:
            if self.key(part) not in self._known:
                self.learn()
            yield part

    def learn(self) -> None:
        """Look for what others have added."""
        self.shared.refresh()
        there = self.shared.keys_of(self.plan_key)
        if there - {*self._known}:
            self._known = {**self.store.parts_of(self.plan_key)}

    def keys(self, work: Work) -> set[str]:
        """The keys of all values of the plan."""
        return {key for block in range(len(work.blocks)) for key in self.of_block(work, block)}

    def of_block(self, work: Work, block: int) -> list[str]:
        """The keys of the values of one block."""
        start, stop = work.blocks[block]
        return [self.key(Part("values", draw, start, stop)) for draw in range(work.draws)]

    def lacking(self, work: Work, blocks: Iterable[int]) -> list[int]:
        """The blocks of which something is not there, as far as the index tells."""
        there = self.shared.keys_of(self.plan_key)
        return [block for block in blocks if not there.issuperset(self.of_block(work, block))]

    def whole(self, work: Work) -> np.ndarray | None:
        """(values, draws, rows) of the plan; None where something is not there after all."""
        known = self.store.parts_of(self.plan_key)
        found = np.empty((work.values, work.draws, work.n_rows))
        for block, (start, stop) in enumerate(work.blocks):
            for draw, key in enumerate(self.of_block(work, block)):
                numbers = known.get(key)
                if numbers is None or numbers.shape != (work.values, stop - start):
                    return None
                found[:, draw, start:stop] = numbers
        return found


@dataclass(slots=True, kw_only=True, eq=False)
class _Pending:
    """A plan that others have a part in."""

    plan: Plan
    parts: SharedParts
    work: Work


class SharedSession(EngineSession):
    """A session whose values lie in a shared store.

    `share`: compute that share alone; None: all that is missing. `every_plan`: plans whose values
    were found are among `plans`, too.
    """

    def __init__(
        self, *given: Any, share: Share | None = None, every_plan: bool = False, **more: Any
    ) -> None:
        super().__init__(*given, **more)
        if self.recall is None or not isinstance(self.recall.store, SharedStore):
            raise ValueError("a shared session needs a shared store")
        self.store: SharedStore = self.recall.store
        self.share = share
        self.every_plan = every_plan
        self._pending: list[_Pending] = []
        self._later: dict[tuple[RunSpec, Measure], None] = {}
        self._unscored: dict[Request, None] = {}

    def _beside(self, planner: Any, recall: Recall | None) -> EngineSession:
        return SharedSession(
            planner, self._adapter, model=self.model, recall=recall, prove=self.prove,
            meter=self.meter, kept=self._kept, owner=self.owner, share=self.share,
            every_plan=self.every_plan,
        )  # fmt: skip

    def with_norms(self, modes: Mapping[str, str]) -> EngineSession:
        """As of an `EngineSession`; what others compute is waited for in both."""
        other = super().with_norms(modes)
        assert isinstance(other, SharedSession)
        other._later = {one: None for one in self._later if one[0].task not in modes}
        other._unscored = {one: None for one in self._unscored if one[0].task not in modes}
        other._pending = [one for one in self._pending if one.plan.task not in modes]
        return other

    def take_over(self, before: EngineSession) -> None:
        """What an earlier session ran, all of which must be there."""
        if isinstance(before, SharedSession):
            before.settle()
        super().take_over(before)

    # ---------------------------------------------------------------------------------------------

    def _expect(self, plans: Sequence[Plan]) -> None:
        """Nothing: which blocks of a plan are run here follows from what others have run."""

    def _knows(self, request: Request) -> bool:
        return (
            super()._knows(request)
            or request in self._unscored
            or (request[0].identity, request[1]) in self._later
        )

    def _recall(self, together: list[Request]) -> None:
        if self.share is None and not self.every_plan:
            self.store.refresh()
            super()._recall(together)

    def _run(self, plan: Plan) -> None:
        assert self.recall is not None
        if not self.recall.plan_key(values_in(plan)):
            super()._run(plan)
            return
        self.store.refresh()
        parts = SharedParts(self.store, self.recall, plan, self.share)
        one = _Pending(plan=plan, parts=parts, work=self._work(plan, parts))
        self.store.announce(one.work)
        if self.share is not None:
            self._compute_share(one, self.share)
        elif not self._complete(one):
            super()._run(plan)  # nothing can be written

    def _work(self, plan: Plan, parts: SharedParts) -> Work:
        """How the plan is cut; the weights are read for that where nobody has said it."""
        known = self.store.works.get(parts.plan_key)
        if known is not None:
            return known
        from pathdsl.engine.run.runner import plan_cost, rows_within, values_of

        adapter, limit = self.adapter, self.planner.room(plan.task)
        weighed = plan_cost(plan, adapter.dtype.itemsize)
        return Work(
            plan=parts.plan_key,
            label=f"task `{plan.task}`",
            step=rows_within(plan, weighed, limit, adapter.device.type),
            n_rows=plan.masks.n_rows,
            draws=plan.draws,
            values=len(values_of(plan)),
            macs=weighed.macs,
            itemsize=adapter.dtype.itemsize,
            treats=any(output.run.treats for output in plan.outputs),
        )

    def _compute_share(self, one: _Pending, share: Share) -> None:
        assert self.recall is not None
        first, n_blocks = share.asked + 1, len(one.work.blocks)
        mine = share.take(one.work.items)
        self._compute(one, [n for n in mine if n < n_blocks], first)
        if n_blocks in mine and self.recall.null_pair(one.parts.plan_key) is None:
            share.computed += 1
            self._proved(one.plan)
        self._later |= dict.fromkeys((run.identity, m) for run, m in values_in(one.plan))
        self._pending.append(one)
        self.plans.append(one.plan)

    def _complete(self, one: _Pending) -> bool:
        """Compute what is missing of a plan, and keep the whole; False where that has no place."""
        assert self.recall is not None
        from pathdsl.engine.run.runner import plan_cost

        before = self.kept.begun, self.kept.through
        computed = self._compute(one, range(len(one.work.blocks)))
        values = self._put_together(one)
        if values is None:  # damaged, and now known to be
            computed += self._compute(one, range(len(one.work.blocks)))
            values = self._put_together(one)
        if values is None:
            return False
        self.plans.append(one.plan)
        weighed, now = plan_cost(one.plan, one.work.itemsize), computed / len(one.work.blocks)
        self.costs.append(self._spent(one.plan, weighed, now, before))
        proof = self._proved(one.plan)
        if proof is None or proof.holds:
            self.recall.keep(one.plan, values, proof, stored=not computed)
        self.meter.start("judging")
        return True

    def _compute(self, one: _Pending, blocks: Iterable[int], first: int = 1) -> int:
        """Compute those of some blocks that are not there; how many these were.

        `first`: the number of the plan's first item.
        """
        todo = one.parts.lacking(one.work, blocks)
        if not todo:
            return 0
        from pathdsl.engine.run.runner import Settings, execute, least_memory, plan_cost

        numbers = ", ".join([str(first + block) for block in todo[:4]] + ["…"] * (len(todo) > 4))
        plan = one.plan
        self._note({plan.task: least_memory(plan, plan_cost(plan, one.work.itemsize))})
        self.meter.what = f"task `{plan.task}`: item{'s' * (len(todo) > 1)} {numbers}"
        settings = Settings(memory=self.planner.room(plan.task), blocks=frozenset(todo))
        try:
            execute(
                plan, self.planner.rows(plan), self.adapter, settings, self.meter, one.parts,
                self.kept,
            )  # fmt: skip
        finally:
            one.parts.flush()  # Ctrl-C, or memory that ran out: what is finished stays
        if self.share is not None:
            self.share.computed += len(todo)
        return len(todo)

    def _proved(self, plan: Plan) -> Proof | None:
        """What the plan proves, kept beside its parts if it holds."""
        assert self.recall is not None
        key = self.recall.plan_key(values_in(plan))
        proof = self.recall.null_pair(key)
        if proof is None and self.prove is not None:
            proof = self.prove(plan, self.kept)
            if proof is not None:
                self.recall.keep_null_pair(key, proof)
        if proof is not None:
            self.proofs.setdefault(plan.task, []).append(proof)
        return proof

    def _put_together(self, one: _Pending) -> dict[Request, np.ndarray] | None:
        """A plan's values from its parts, which are known from now on; None where some lack."""
        from pathdsl.engine.run.runner import values_of

        whole = one.parts.whole(one.work)
        if whole is None:
            return None
        named = enumerate(values_of(one.plan))
        values = {(one.plan.outputs[n].run, m): whole[number] for number, (n, m) in named}
        self._learn(values)
        return values

    # ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Have the values of all plans that others have a part in; raises Lacking."""
        while self._pending:
            one = self._pending[0]
            self._wait_for(one)
            if self._put_together(one) is None:  # damaged: whoever sees it computes it
                self._compute(one, range(len(one.work.blocks)))
                if self._put_together(one) is None:
                    raise self._lacking(one.work.label, [])
            self._pending.pop(0)
        self._later.clear()

    def _wait_for(self, one: _Pending) -> None:
        assert self.share is not None
        blocks = range(len(one.work.blocks))

        def there() -> int:
            self.store.refresh()
            found = len(blocks) - len(one.parts.lacking(one.work, blocks))
            self.meter.add(found - self.meter.done)
            return found

        self.meter.start(f"waiting for other shards at {one.work.label}", len(blocks))
        if not self.share.until(there, len(blocks)):
            raise self._lacking(one.work.label, one.parts.lacking(one.work, blocks))

    def _lacking(self, label: str, blocks: Sequence[int]) -> Lacking:
        assert self.share is not None
        few = [f"{block + 1}" for block in blocks[:8]] + ["…"] * (len(blocks) > 8)
        what = "block" if len(blocks) == 1 else "blocks"
        listed = f", {what} {', '.join(few)} of the plan" if blocks else ""
        return Lacking(
            Diagnostic(
                code="PD643",
                message=f"shard {self.share.shard} goes on from values of other shards, which are "
                f"not there: {label}{listed}",
                help="run the other shards, then this one again; or all at once with `--wait`",
            )
        )

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(draws, rows) float64; draws is 1 for a run without draws. Raises Lacking."""
        if self._pending:
            self.settle()
        return super().value(run, measure)

    def allowance(self, task: str = "") -> float:
        """How far two evaluations lie apart in this check. Raises Lacking."""
        if self._pending:
            self.settle()
        return super().allowance(task)

    # ---------------------------------------------------------------------------------------------

    def _attribute(self, request: Request) -> None:
        share = self.share
        if share is None:
            super()._attribute(request)
            return
        assert self.recall is not None
        run, _ = request
        asked = request[1].asked
        assert asked is not None
        self._unscored[request] = None
        if ATTRIBUTIONS[asked.method].exact:
            from pathdsl.engine.attribution.exact import exact
            from pathdsl.engine.scored import asked_in

            with np.errstate(all="ignore"):
                exact(_Unread(self), self.planner.shape_of(run.task), asked_in(request))
            return
        if share.take(1) and self.recall.scored(request) is None:
            super()._attribute(request)
            share.computed += 1
            del self._unscored[request]

    def _score(self, request: Request) -> None:
        """Have the scores of an attribution that others may have computed; raises Lacking."""
        assert self.share is not None and self.recall is not None
        recall, asked = self.recall, request[1].asked
        assert asked is not None
        if not ATTRIBUTIONS[asked.method].exact:

            def there() -> int:
                self.store.refresh()
                return int(recall.scored(request) is not None)

            self.meter.start(f"waiting for other shards at an attribution by {asked.method}")
            if not self.share.until(there, 1):
                raise self._lacking(f"an attribution of task `{request[0].task}`", [])
        del self._unscored[request]
        super()._attribute(request)

    def scored(
        self, run: RunSpec, measure: Measure, unit: tuple[str, str, str], at: Pos | None
    ) -> np.ndarray:
        """(1, rows) float64: the score of one unit in an attribution. Raises Lacking."""
        request = self.planner.read((run, measure))
        if request in self._unscored:
            self._score(request)
        return super().scored(run, measure, unit, at)


@dataclass(frozen=True, slots=True)
class _Unread:
    """A session that asks for everything and gives zeros."""

    session: SharedSession

    @property
    def tasks(self) -> Any:
        """The rows of every task."""
        return self.session.tasks

    def measures(self, requests: Collection[Request]) -> None:
        """Execute these as one plan."""
        self.session.measures(requests)

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """Zeros."""
        return np.zeros((1, self.session.tasks[run.task].n_rows))
