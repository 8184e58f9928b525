"""The models of one check, with what each has proved: made when first asked for, one after another.

At most one of them has its weights in memory (`pathdsl.engine.lazy_model.Turns`). A model proves
itself on its tasks before it measures anything; what does not hold ends the check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pathdsl.checking.proofs import Proofs
from pathdsl.engine.lazy_model import LazyModel, Turns
from pathdsl.engine.meter import Meter
from pathdsl.engine.planner import Limits
from pathdsl.engine.recall import Recall, Tally
from pathdsl.engine.session import EngineSession, nothing_kept
from pathdsl.engine.several import SeveralSessions
from pathdsl.engine.store.digest import processor, program_text, versions
from pathdsl.engine.store.shared import SharedStore

if TYPE_CHECKING:
    from pathdsl.checking.options import CheckOptions
    from pathdsl.checking.prepare import Ready
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.engine.proof import Proof
    from pathdsl.errors import Diagnostic
    from pathdsl.score.statistics.book import Book

__all__ = ["AnySession", "Machines", "Unproved", "parts_of"]

LONG_PROMPT = 256
"""Tokens of the longest prompt from which attention is fused: on shorter ones it is not faster, and
its patterns are small."""

AnySession = EngineSession | SeveralSessions


class Unproved(Exception):
    """A self-check does not hold: nothing is judged."""


class Machines:
    """The models of one check by their names in the file, and what they proved."""

    def __init__(self, options: CheckOptions) -> None:
        self.options = options
        self.meter = Meter(options.progress)
        self.proofs: dict[str, Proofs] = {}
        self.book: Book | None = None
        self._turns = Turns()
        self._kept = nothing_kept()
        self._recalls: dict[str, Recall] = {}

    @property
    def models(self) -> Mapping[str, LazyModel]:
        """The models that were asked for."""
        return {name: proofs.model for name, proofs in self.proofs.items()}

    @property
    def proved(self) -> list[tuple[str, Proof]]:
        """Proofs by the name of their task."""
        return [one for proofs in self.proofs.values() for one in proofs.proved]

    @property
    def faults(self) -> list[Diagnostic]:
        """A diagnostic for each proof that does not hold."""
        return [fault for proofs in self.proofs.values() for fault in proofs.faults]

    @property
    def spent(self) -> float:
        """What the self-checks cost that were made now, in plain forward passes."""
        return sum(proofs.spent for proofs in self.proofs.values())

    @property
    def tally(self) -> Tally | None:
        """Where the values came from; None without a store."""
        found = [recall.tally for recall in self._recalls.values()]
        if not found:
            return None
        return Tally(
            computed=sum(one.computed for one in found),
            stored=sum(one.stored for one in found),
            beside_others=sum(one.beside_others for one in found),
        )

    def session(
        self, ready: Ready, planner: Planner, before: Sequence[AnySession] = ()
    ) -> AnySession:
        """A session for the planner's tasks, with what earlier ones ran.

        Raises Unproved where a model does not prove itself: of one model at once, of several when
        it is its turn.
        """

        def begin(name: str) -> EngineSession:
            part = planner.part(ready.tasks_of(name))
            proofs = self._of(name, ready)
            recall = self._recall(name, part)
            of_model = proofs.of_model(self._to_prove(part, recall), recall)
            if proofs.faults:
                raise Unproved
            session = self._session(
                part, None, model=proofs.model, recall=recall, meter=self.meter,
                prove=lambda plan, kept: proofs.null_pair(plan, part, kept),
                kept=self._kept, owner=name,
            )  # fmt: skip
            session.model_proofs, session.book = of_model, self.book
            for one in before:
                if name in (known := parts_of(one, ready)):
                    session.take_over(known[name])
            return session

        if len(ready.sources) == 1:
            return begin(next(iter(ready.sources)))
        models = {task: ready.model_of(task) for task in planner.tasks}
        return SeveralSessions(planner, models, begin)

    @property
    def _session(self) -> Callable[..., EngineSession]:
        """What makes a session of one model."""
        if self.options.store is None or not self.options.store.whole_plans:
            if self.options.share is not None:
                raise ValueError("a shard computes into a shared store")
            return EngineSession
        from pathdsl.engine.shards import SharedSession

        return partial(SharedSession, share=self.options.share, every_plan=self.options.every_plan)

    def _to_prove(self, planner: Planner, recall: Recall | None) -> Planner:
        """The tasks on which the model proves itself in this process: a shard's items, and those on
        which it has done so."""
        share = self.options.share
        if share is None or recall is None:
            return planner
        names = []
        for task, spec in planner.specs.items():
            known = recall.proofs(task) is not None
            ours = share.takes((task, spec.layernorm))
            if known or ours:
                names.append(task)
            share.computed += ours and not known
        return planner.part(names)

    def add_null_pairs(self, session: AnySession, ready: Ready) -> None:
        """Add the null pair of every task that has a run with a treated value."""
        for name, part in parts_of(session, ready).items():
            self.proofs[name].add_null_pairs(part)

    def with_norms(self, session: AnySession, modes: Mapping[str, str], ready: Ready) -> AnySession:
        """A session of its own in which the tasks of `modes` have these norms; every model that
        has one proves itself in them."""
        made: dict[str, EngineSession] = {}
        for name, part in parts_of(session, ready).items():
            own = {task: mode for task, mode in modes.items() if task in part.tasks}
            made[name] = part.with_norms(own)
            proving = self._to_prove(made[name].planner.part(own), made[name].recall)
            own = {task: mode for task, mode in own.items() if task in proving.tasks}
            made[name].model_proofs += self.proofs[name].of_modes(own, made[name])
        if isinstance(session, EngineSession):
            return next(iter(made.values()))
        other = SeveralSessions(session.planner, session.models, made.__getitem__)
        other.begin_all()
        return other

    def _of(self, name: str, ready: Ready) -> Proofs:
        if name not in self.proofs:
            options = self.options
            model = LazyModel(
                ready.sources[name], options.device, options.threads, options.store,
                fused=fuses(ready, ready.tasks_of(name)), meter=self.meter, turns=self._turns,
                loading=options.held, streamed=ready.rooms[name].streamed,
            )  # fmt: skip
            self.proofs[name] = Proofs(model)
        return self.proofs[name]

    def _recall(self, name: str, planner: Planner) -> Recall | None:
        """The store as this check sees it; what was chosen before is counted with the rest."""
        store = self.options.store
        if store is None or not store.on:
            return None
        before = self._recalls.get(name)
        found = before.with_planner(planner) if before else None
        if found is None and isinstance(store, SharedStore):
            store.vet_made_by(_made_by(self.proofs[name].model, planner.limits))
        self._recalls[name] = found or Recall(store, self.proofs[name].model, planner)
        return self._recalls[name]


def _made_by(model: LazyModel, limits: Limits) -> dict[str, str]:
    """What decides the bits of values beside the file and the model, by a name for people."""
    return {
        "processor": processor(),
        "device": model.computes,
        "number of threads": model.facts["threads"],
        "memory limit": str(limits.memory or "not stated"),
        "limit of states": str(limits.max_states),
        "limit of copies": str(limits.max_copies),
        **{f"version of {name}": version for name, version in versions().items()},
        "text of pathdsl": program_text(),
    }


def parts_of(session: AnySession, ready: Ready) -> Mapping[str, EngineSession]:
    """The sessions of single models, by the model's name."""
    if isinstance(session, SeveralSessions):
        return session.parts
    return {next(iter(ready.sources)): session}


def fuses(ready: Ready, tasks: Iterable[str]) -> bool:
    """Whether attention is fused: on long prompts where no block replaces or hides patterns."""
    program, found = ready.program, ready.planner.tasks
    if all(found[task].n_pos < LONG_PROMPT for task in tasks if task in found):
        return False
    return not any(
        action.verb in ("pattern", "block")
        for block in program.interventions.values()
        for action in block.actions
    )
