"""`check`: from a file to judged claims, every step with its own faults.

    text -> program -> static checks -> rows -> plan -> model -> self-checks -> values -> verdicts

Faults of the file stop the way before weights load; self-checks stop it before anything is judged.

    outcome = check_file("hypotheses/quickstart/induction.circuit", CheckOptions())
    outcome.exit_code, [(c.name, c.verdict) for c in outcome.judgement.claims]
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathdsl.checking.lock.against import against_lock
from pathdsl.checking.lock.file import lock_beside, read_lock
from pathdsl.checking.options import CheckOptions, UnknownName, is_in
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.prepare import prepare, with_graph
from pathdsl.checking.said import keep_said
from pathdsl.errors import Diagnostic, ExitCode, PathdslError, errors_in
from pathdsl.graph.resolve.instances import members_of
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.only import asked_name
from pathdsl.lang.program import Program
from pathdsl.score.results import Judgement, Verdict

if TYPE_CHECKING:
    from pathdsl.checking.machines import AnySession, Machines
    from pathdsl.checking.prepare import Ready
    from pathdsl.engine.data.task import Hits
    from pathdsl.engine.planner import Planner
    from pathdsl.engine.proof import Proof
    from pathdsl.graph.resolve.resolver import Resolver

__all__ = ["CheckOptions", "FileOutcome", "check_file", "check_program"]


def check_file(path: str, options: CheckOptions, text: str | None = None) -> FileOutcome:
    """Check one file; faults of the file, its data, the model or the machine are not raised.

    `text` replaces the file's content; paths in it are relative to `path`. A library, a file
    without a claim or a let, and one without what `options.only` names have nothing to check.
    Raises UnknownName where `options.only` names a member of a loop that is not there.
    """
    started = time.monotonic()
    outcome = check_program(*lint_file(path, text, options.fence), options, started)
    if text is None:  # a file as it stands, and no variant of it
        keep_said(outcome, options.store)
    return outcome


def check_program(
    program: Program, faults: list[Diagnostic], options: CheckOptions, started: float | None = None
) -> FileOutcome:
    """The same of a program, with its `faults` on the page; `started` is when that was begun."""
    path, started = program.path, time.monotonic() if started is None else started
    runs = not program.is_library and bool(program.claims or program.lets)
    if not runs:  # so look at the graph here
        faults = with_graph(program, faults)
    check = _Check(path, program, faults, options, started)
    if errors_in(faults):
        return check.stopped(ExitCode.WRONG_INPUT)
    if not runs or not is_in(options.only, program):
        return check.stopped(ExitCode.NOTHING_TO_CHECK)
    if options.series is None and (late := _of_revisions(program, options.only)) is not None:
        check.faults = [*faults, late]
        return check.stopped(ExitCode.WRONG_INPUT)
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
        from pathdsl.checking.book import keep_book, open_book
        from pathdsl.checking.chosen import check_chosen
        from pathdsl.checking.claimed import claimed_sets
        from pathdsl.checking.discovered import check_discovered
        from pathdsl.checking.floor import at_floor
        from pathdsl.checking.interventions import check_interventions, used_blocks
        from pathdsl.checking.machines import Machines, Unproved
        from pathdsl.checking.masked import off_the_mask
        from pathdsl.checking.methodology import methodology
        from pathdsl.checking.norms import beside, other_modes
        from pathdsl.checking.presence import check_presence
        from pathdsl.checking.sampling import few_rows, shared_rows
        from pathdsl.checking.stated import more_than_stated
        from pathdsl.checking.undrawn import as_drawn
        from pathdsl.engine.several import SeveralSessions
        from pathdsl.score.judge import judge

        program, options = self.program, self.options
        ready = prepare(program, options)
        self.faults += check_chosen(ready, options.only)
        if errors_in(self.faults):
            return self.stopped(ExitCode.WRONG_INPUT)
        machines = Machines(options)
        book = machines.book = options.book or open_book(self.path, options.store)
        try:
            ready, before = self._choose(ready, machines)
        except Unproved:
            return self._unproved(machines)
        resolver, planner, tasks = ready.resolver, ready.planner, ready.planner.tasks
        self.faults = [
            *as_drawn(program, self.faults, lambda: resolver),
            *ready.warnings,
            *check_presence(program, resolver, planner, book),
        ]
        if not errors_in(self.faults) and any(
            planner.shape_of(name).prediction_head for name in tasks
        ):
            asked = ready.first_round(options.only).requests
            self.faults += off_the_mask(program, planner, asked, ready.beside_masks)
        if not errors_in(self.faults) and used_blocks(program):  # else it would be asked in vain
            asked = ready.first_round(options.only).requests
            self.faults += check_interventions(program, planner, asked)
        if not errors_in(self.faults):
            self.faults += check_discovered(ready, options.only)
        if errors_in(self.faults):
            return self.stopped(ExitCode.WRONG_INPUT)
        self.faults += shared_rows(program, tasks)
        try:
            session = machines.session(ready, planner, before)
            if options.share is not None:
                return self._measured(ready, planner, machines, session)
            machines.meter.start("judging")
            keep = options.series.kept.take if options.series is not None else None
            judgement = judge(program, resolver, session, options.only, keep=keep)
            if isinstance(session, SeveralSessions):
                session.begin_all()  # a model that nothing was asked of proves itself as others do
        except Unproved:
            return self._unproved(machines)
        self.faults += [one for model in machines.models.values() for one in model.warnings]
        machines.meter.end()
        machines.add_null_pairs(session, ready)
        sessions = [session]
        read = {task for claim in judgement.claims for task in claim.tasks}
        modes = other_modes(planner.specs, read, options.both_norms)
        if modes and not machines.faults:
            other = machines.with_norms(session, modes, ready)
            second = judge(program, resolver, other, options.only)
            judgement = beside(judgement, second, modes)
            machines.meter.end()
            machines.add_null_pairs(other, ready)
            sessions.append(other)
        if machines.faults:
            return self._unproved(machines)
        models = {name: machines.models[name] for name in ready.sources}
        told = {fault.span for fault in self.faults if fault.code == "PD526"}
        self.faults += [  # what no value decides was said before any was measured
            fault
            for fault in judgement.diagnostics
            if not (fault.code in ("PD525", "PD526") and fault.span in told)
        ]
        self.faults += at_floor(program, session)
        self.faults += more_than_stated(ready, _needs(sessions))
        keep_book(book, self.path, options.store)
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
            methodology=methodology(ready, models, options),
            proofs=tuple(machines.proved),
            tasks=tasks,
            plans=tuple(session.plans),
            other_plans=tuple(plan for one in sessions[1:] for plan in one.plans),
            costs=tuple(cost for one in sessions for cost in one.costs),
            self_checks=machines.spent,
            session=session,
            tally=machines.tally,
            models=models,
            lock=lock_beside(self.path),
            claimed=claimed,
            declared_claims=_declared_claims(program, resolver),
            seconds=time.monotonic() - self.started,
        )

    def _measured(
        self, ready: Ready, planner: Planner, machines: Machines, session: AnySession
    ) -> FileOutcome:
        """The outcome of one shard, which measures its items and judges nothing."""
        from pathdsl.checking.norms import other_modes
        from pathdsl.checking.stated import more_than_stated
        from pathdsl.engine.several import SeveralSessions
        from pathdsl.score.judge import measure

        program, only = self.program, self.options.only
        sessions = [session]
        read = measure(program, ready.resolver, session, only)
        if isinstance(session, SeveralSessions):
            session.begin_all()
        machines.add_null_pairs(session, ready)
        modes = other_modes(planner.specs, read, self.options.both_norms)
        if modes and not machines.faults:
            other = machines.with_norms(session, modes, ready)
            measure(program, ready.resolver, other, only)
            machines.add_null_pairs(other, ready)
            sessions.append(other)
        machines.meter.end()
        if machines.faults:
            return self._unproved(machines)
        self.faults += more_than_stated(ready, _needs(sessions))
        return self.stopped(ExitCode.AS_EXPECTED)

    def _choose(self, ready: Ready, machines: Machines) -> tuple[Ready, list[AnySession]]:
        """Rows by what plain runs do on them, those of whole tasks first; and what was run.

        Raises Unproved.
        """
        from pathdsl.checking.chosen import choosing_requests, hits_of, measurable
        from pathdsl.checking.machines import Unproved, parts_of

        sessions: list[AnySession] = []
        known: Hits = {}
        while conditions := measurable(ready):
            planner = ready.planner.part({one.of for one in conditions})
            session = machines.session(ready, planner)
            session.measures(choosing_requests(self.program, conditions))
            machines.meter.end()
            sessions.append(session)
            for name, part in parts_of(session, ready).items():
                of = [(task, p) for task, ps in part.proofs.items() for p in ps if not p.holds]
                machines.proofs[name].proved += of
            if machines.faults:
                raise Unproved
            known = {**known, **hits_of(self.program, conditions, session)}
            ready = prepare(self.program, self.options, known)
        return ready, sessions

    def _unproved(self, machines: Machines) -> FileOutcome:
        self.faults += machines.faults
        return self.stopped(ExitCode.MACHINE_FAILED, machines.proved)


def _needs(sessions: Sequence[AnySession]) -> dict[str, int]:
    """Bytes that what was computed has to be given for its values, by task."""
    found: dict[str, int] = {}
    for session in sessions:
        for task, need in session.needs.items():
            found[task] = max(need, found.get(task, 0))
    return found


def _declared_claims(program: Program, resolver: Resolver) -> int:
    """How many claims a file makes, those that `--only` leaves out with them."""
    return sum(len(members_of(program, resolver, one)) for one in program.claims)


def exit_code(judgement: Judgement, allow_inconclusive: bool) -> ExitCode:
    """0 when every claim came out as expected and every number is there; 5 where none was asked."""
    if not judgement.claims and not judgement.quantities:
        return ExitCode.NOTHING_TO_CHECK
    for claim in judgement.claims:
        excused = allow_inconclusive and claim.verdict is Verdict.INCONCLUSIVE
        if not claim.as_expected and not excused:
            return ExitCode.NOT_AS_EXPECTED
    return ExitCode.AS_EXPECTED


def _of_revisions(program: Program, only: str | None) -> Diagnostic | None:
    """PD438 where a claim is about training steps, of which one check has none."""
    claims = [
        claim
        for claim in program.claims
        if claim.emerges is not None and (only is None or asked_name(only) == claim.name.name)
    ]
    if not claims:
        return None
    others = [claim for claim in program.claims if claim.emerges is None]
    notes = ("`--only NAME` judges one of the other claims",) if others and only is None else ()
    return Diagnostic(
        code="PD438",
        message=f"`{claims[0].name.name}` is about training steps, and one check is of one model",
        span=claims[0].emerges.call if claims[0].emerges is not None else None,
        label="at which revisions?",
        notes=notes,
        help=f"pathdsl check {program.path} --revisions step0..step143000:1000",
    )


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
