"""`check`: from a file to judged claims, every step with its own faults.

    text -> program -> static checks -> rows -> plan -> model -> self-checks -> values -> verdicts

Faults of the file stop the way before weights load; self-checks stop it before anything is judged.

    outcome = check_file("hypotheses/quickstart/induction.circuit", CheckOptions())
    outcome.exit_code, [(c.name, c.verdict) for c in outcome.judgement.claims]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pathdsl.checking.lock.against import against_lock
from pathdsl.checking.lock.file import lock_beside, read_lock
from pathdsl.checking.options import CheckOptions, UnknownName, is_in
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.prepare import prepare, with_graph
from pathdsl.errors import Diagnostic, ExitCode, PathdslError, errors_in
from pathdsl.graph.resolve.instances import instances
from pathdsl.lang import ast
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk
from pathdsl.score.results import Judgement, Verdict

if TYPE_CHECKING:
    from pathdsl.checking.prepare import Ready
    from pathdsl.checking.proofs import Proofs
    from pathdsl.engine.data.task import Hits
    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.engine.planner import Planner
    from pathdsl.engine.proof import Proof
    from pathdsl.engine.recall import Recall
    from pathdsl.engine.session import EngineSession
    from pathdsl.graph.resolve.resolver import Resolver

__all__ = ["CheckOptions", "FileOutcome", "check_file"]

LONG_PROMPT = 256
"""Tokens of the longest prompt from which attention is fused: on shorter ones it is not faster, and
its patterns are small."""


def check_file(path: str, options: CheckOptions, text: str | None = None) -> FileOutcome:
    """Check one file; faults of the file, its data, the model or the machine are not raised.

    `text` replaces the file's content; paths in it are relative to `path`. A library, a file
    without a claim or a let, and one without what `options.only` names have nothing to check.
    Raises UnknownName where `options.only` names a member of a loop that is not there.
    """
    started = time.monotonic()
    program, faults = lint_file(path, text, options.fence)
    runs = not program.is_library and bool(program.claims or program.lets)
    if not runs:  # so look at the graph here
        faults = with_graph(program, faults)
    check = _Check(path, program, faults, options, started)
    if errors_in(faults):
        return check.stopped(ExitCode.WRONG_INPUT)
    if not runs or not is_in(options.only, program):
        return check.stopped(ExitCode.NOTHING_TO_CHECK)
    try:
        locked = read_lock(path) if options.locked else None  # before anything runs
        outcome = check.judged()
    except PathdslError as error:
        check.faults = [*faults, *error.diagnostics]
        return check.stopped(error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not _of_memory(error):
            raise
        check.faults = [*faults, _no_memory()]
        return check.stopped(ExitCode.MACHINE_FAILED)
    judgement = outcome.judgement
    if judgement is not None and options.only is not None:
        if not (judgement.claims or judgement.quantities):
            raise UnknownName.member(options.only)
    return outcome if locked is None else against_lock(outcome, locked, options)


@dataclass(slots=True)
class _Choice:
    """What was run to choose rows, and what is ready with them."""

    ready: Ready
    proofs: Proofs
    sessions: list[EngineSession] = field(default_factory=list)


@dataclass(slots=True)
class _Check:
    """A check under way; `faults` are those found so far, warnings among them."""

    path: str
    program: Program
    faults: list[Diagnostic]
    options: CheckOptions
    started: float = field(default_factory=time.monotonic)

    def stopped(self, code: ExitCode, proofs: Sequence[tuple[str, Proof]] = ()) -> FileOutcome:
        """The outcome of a file that is not judged."""
        return FileOutcome(
            proofs=tuple(proofs),
            path=self.path,
            program=self.program,
            diagnostics=tuple(sort_diagnostics(self.faults, first=self.path)),
            exit_code=code,
            replaced=self.options.replaced,
            seconds=time.monotonic() - self.started,
        )

    def judged(self) -> FileOutcome:
        """The outcome of a file without faults on its page; raises PathdslError."""
        from pathdsl.checking.chosen import check_chosen
        from pathdsl.checking.claimed import claimed_sets
        from pathdsl.checking.floor import at_floor
        from pathdsl.checking.interventions import check_interventions, used_blocks
        from pathdsl.checking.methodology import methodology
        from pathdsl.checking.norms import beside, other_modes
        from pathdsl.checking.presence import check_presence
        from pathdsl.checking.proofs import Proofs
        from pathdsl.checking.sampling import few_rows, shared_rows
        from pathdsl.engine.session import EngineSession
        from pathdsl.score.judge import judge

        program, options = self.program, self.options
        ready = prepare(program, options)
        self.faults += check_chosen(ready, options.only)
        if errors_in(self.faults):
            return self.stopped(ExitCode.WRONG_INPUT)
        choice = self._choose(ready)
        if choice is not None:
            ready = choice.ready
            if choice.proofs.faults:
                return self._unproved(choice.proofs)
        resolver, planner, tasks = ready.resolver, ready.planner, ready.planner.tasks
        self.faults = [*self.faults, *ready.warnings, *check_presence(program, resolver, planner)]
        if not errors_in(self.faults) and used_blocks(program):  # else it would be asked in vain
            asked = ready.first_round(options.only).requests
            self.faults += check_interventions(program, planner, asked)
        if errors_in(self.faults):
            return self.stopped(ExitCode.WRONG_INPUT)
        model = self._model(ready) if choice is None else choice.proofs.model
        self.faults += [*model.warnings, *shared_rows(program, tasks)]
        recall = self._recall(model, planner, choice)
        proofs = Proofs(model) if choice is None else choice.proofs
        of_model = proofs.of_model(planner, recall)
        if proofs.faults:
            return self._unproved(proofs)
        session = EngineSession(
            planner,
            model.adapter if recall is None else None,
            recall=recall,
            prove=lambda plan: proofs.null_pair(plan, planner),
            meter=model.meter,
        )
        session.model_proofs = of_model
        for one in choice.sessions if choice is not None else ():
            session.take_over(one)
        model.meter.start("judging")
        judgement = judge(program, resolver, session, options.only)
        model.meter.end()
        proofs.add_null_pairs(session)
        sessions = [session]
        modes = other_modes(planner.specs, judgement, options.both_norms)
        if modes and not proofs.faults:
            other = session.with_norms(modes)
            other.model_proofs += proofs.of_modes(modes, other)
            second = judge(program, resolver, other, options.only)
            judgement = beside(judgement, second, modes)
            model.meter.end()
            proofs.add_null_pairs(other)
            sessions.append(other)
        if proofs.faults:
            return self._unproved(proofs)
        told = {fault.span for fault in self.faults if fault.code == "PD526"}
        self.faults += [  # what no value decides was said before any was measured
            fault
            for fault in judgement.diagnostics
            if not (fault.code in ("PD525", "PD526") and fault.span in told)
        ]
        self.faults += at_floor(program, session)
        self.faults += few_rows(program, judgement.claims, tasks)
        claimed, large = claimed_sets(program, resolver, judgement.claims)
        self.faults += large
        return FileOutcome(
            path=self.path,
            program=program,
            diagnostics=tuple(sort_diagnostics(self.faults, first=self.path)),
            exit_code=exit_code(judgement, options.allow_inconclusive),
            replaced=options.replaced,
            judgement=judgement,
            methodology=methodology(ready, model, options),
            proofs=tuple(proofs.proved),
            tasks=tasks,
            plans=tuple(session.plans),
            other_plans=tuple(plan for one in sessions[1:] for plan in one.plans),
            costs=tuple(cost for one in sessions for cost in one.costs),
            self_checks=proofs.spent,
            session=session,
            tally=recall.tally if recall is not None else None,
            model=model,
            lock=lock_beside(self.path),
            claimed=claimed,
            declared_claims=_declared_claims(program, resolver),
            seconds=time.monotonic() - self.started,
        )

    def _choose(self, ready: Ready) -> _Choice | None:
        """Rows by what plain runs do on them, those of whole tasks first; None without such."""
        from pathdsl.checking.chosen import choosing_requests, hits_of, measurable
        from pathdsl.checking.proofs import Proofs
        from pathdsl.engine.session import EngineSession

        choice: _Choice | None = None
        known: Hits = {}
        while conditions := measurable(ready):
            if choice is None:
                choice = _Choice(ready=ready, proofs=Proofs(self._model(ready)))
            model, proofs = choice.proofs.model, choice.proofs
            names = {one.of for one in conditions}
            planner = replace(
                ready.planner,
                tasks={name: ready.planner.tasks[name] for name in ready.planner.tasks
                       if name in names},
            )  # fmt: skip
            recall = self._recall(model, planner, choice)
            proofs.of_model(planner, recall)
            if proofs.faults:
                return choice
            session = EngineSession(
                planner,
                model.adapter if recall is None else None,
                recall=recall,
                prove=partial(proofs.null_pair, planner=planner),
                meter=model.meter,
            )
            session.measures(choosing_requests(self.program, conditions))
            model.meter.end()
            choice.sessions.append(session)
            broken = [(task, p) for task, of in session.proofs.items() for p in of if not p.holds]
            if broken:
                proofs.proved += broken
                return choice
            known = {**known, **hits_of(self.program, conditions, session)}
            ready = choice.ready = prepare(self.program, self.options, known)
        return choice

    def _recall(self, model: LazyModel, planner: Planner, choice: _Choice | None) -> Recall | None:
        """The store as this check sees it; what was chosen before is counted with the rest."""
        from pathdsl.engine.recall import Recall

        store = self.options.store
        if store is None or not store.on:
            return None
        before = choice.sessions[-1].recall if choice is not None and choice.sessions else None
        return before.with_planner(planner) if before else Recall(store, model, planner)

    def _model(self, ready: Ready) -> LazyModel:
        from pathdsl.engine.lazy_model import LazyModel
        from pathdsl.engine.meter import Meter

        options, meter = self.options, Meter(self.options.progress)
        return LazyModel(
            ready.source, options.device, options.threads, options.store,
            fused=fuses(ready), meter=meter,
        )  # fmt: skip

    def _unproved(self, proofs: Proofs) -> FileOutcome:
        self.faults += proofs.faults
        return self.stopped(ExitCode.MACHINE_FAILED, proofs.proved)


def _declared_claims(program: Program, resolver: Resolver) -> int:
    """How many claims a file makes, those that `--only` leaves out with them."""
    return sum(len(instances(program, resolver, one.loop)) for one in program.claims)


def fuses(ready: Ready) -> bool:
    """Whether attention is fused: on long prompts whose patterns no metric and no block names."""
    program = ready.program
    if all(task.n_pos < LONG_PROMPT for task in ready.planner.tasks.values()):
        return False
    return not any(
        isinstance(node, ast.AttentionArgs)
        for metric in program.metrics.values()
        for node in walk(metric)
    ) and not any(
        action.verb in ("pattern", "block")
        for block in program.interventions.values()
        for action in block.actions
    )


def exit_code(judgement: Judgement, allow_inconclusive: bool) -> ExitCode:
    """0 when every claim came out as expected; 5 without a claim."""
    if not judgement.claims:
        return ExitCode.NOTHING_TO_CHECK
    for claim in judgement.claims:
        excused = allow_inconclusive and claim.verdict is Verdict.INCONCLUSIVE
        if not claim.as_expected and not excused:
            return ExitCode.NOT_AS_EXPECTED
    return ExitCode.AS_EXPECTED


def _of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch says so in a RuntimeError of its own words."""
    words = ("out of memory", "allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _no_memory() -> Diagnostic:
    return Diagnostic(
        code="PD635",
        message="memory ran out",
        help="lower `--memory`, take fewer prompts (`--set take=50`), or check one (`--only`)",
    )
