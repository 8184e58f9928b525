"""`check`: from a file to judged claims, every step with its own faults.

    text -> program -> static checks -> rows -> plan -> model -> self-checks -> values -> verdicts

Faults of the file stop the way before weights load; self-checks stop it before anything is judged.

    outcome = check_file("hypotheses/quickstart/induction.circuit", CheckOptions())
    outcome.exit_code, [(c.name, c.verdict) for c in outcome.judgement.claims]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic, ExitCode, PathdslError, Severity
from pathdsl.lang import ast
from pathdsl.lang.fence import FREE, Fence
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk
from pathdsl.plan.liveness import Cost
from pathdsl.plan.steps import Plan
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.results import Judgement, Verdict

if TYPE_CHECKING:
    from pathdsl.checking.lock.file import LockFile
    from pathdsl.engine.data.prepare import Prepared
    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.engine.proof import Proof
    from pathdsl.engine.recall import Recall, Tally
    from pathdsl.engine.session import EngineSession
    from pathdsl.engine.store.store import Store
    from pathdsl.graph.resolve.resolver import Resolver

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What the command line may change; everything that changes a number is recorded.

    `overrides`: `take` and `seed` of every task's data. `models`: replacements by the model's name.
    `only`: one claim or let. `limits`: None means the defaults. `both_norms`: judge tasks that
    recompute norms with frozen ones, too (those that freeze them are always judged both ways).
    `store`: where values are kept between checks; None keeps nothing. `allow_outside`: the file may
    name others outside of its own folder and of the one that pathdsl was started in.
    """

    overrides: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, ModelSource] = field(default_factory=dict)
    only: str | None = None
    device: str = "cpu"
    allow_inconclusive: bool = False
    both_norms: bool = False
    limits: Limits | None = None
    progress: Progress | None = None
    threads: int | None = None
    store: Store | None = None
    allow_outside: bool = False

    @property
    def fence(self) -> Fence | None:
        """Where what a file names may lie; None for the fence around each file."""
        return FREE if self.allow_outside else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A file ready to be planned: program, shape, rows, resolver."""

    program: Program
    source: ModelSource
    resolver: Resolver
    data: Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """Everything a report may say about one file.

    `methodology`: text by name, in the order to print. `session`: for `--values`. `plans` are those
    that were executed, `other_plans` those of the second norm mode, `costs` are of both;
    `self_checks` is what those cost that were made now, in plain forward passes; `tally`
    says what came from the store instead, None without one. `model` is the one that was run. `lock`
    is what lay beside a file that was judged, whether or not the check was compared with it.
    """

    path: str
    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    exit_code: ExitCode
    judgement: Judgement | None = None
    methodology: Mapping[str, str] = field(default_factory=dict)
    proofs: tuple[tuple[str, Proof], ...] = ()
    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    plans: tuple[Plan, ...] = ()
    other_plans: tuple[Plan, ...] = ()
    costs: tuple[Cost, ...] = ()
    self_checks: float = 0.0
    session: EngineSession | None = None
    tally: Tally | None = None
    model: LazyModel | None = None
    lock: LockFile | None = None
    seconds: float = 0.0

    @property
    def tasks_read(self) -> set[str]:
        """The tasks whose prompts some run was made on; all of them where there was no run."""
        return {plan.task for plan in self.plans} or set(self.tasks)


def check_file(path: str, options: CheckOptions, text: str | None = None) -> FileOutcome:
    """Check one file; never raises for faults of the file, its data, the model or the machine.

    `text` replaces the file's content; paths in it are relative to `path`.
    """
    started = time.monotonic()
    program, found = lint_file(path, text, options.fence)
    if any(d.severity is Severity.ERROR for d in found):
        return _stopped(path, program, found, ExitCode.WRONG_INPUT, started)
    if not program.claims and not program.lets:
        return _stopped(path, program, found, ExitCode.NOTHING_TO_CHECK, started)
    try:
        return _check(path, program, found, options, started)
    except PathdslError as error:
        return _stopped(path, program, [*found, *error.diagnostics], error.exit_code, started)
    except (MemoryError, RuntimeError) as error:
        if not _of_memory(error):
            raise
        return _stopped(path, program, [*found, _no_memory()], ExitCode.MACHINE_FAILED, started)


def prepare(path: str, program: Program, options: CheckOptions) -> Ready:
    """Shape, graph checks, tokenizer and rows; no weights. Raises PathdslError with all faults."""
    from pathdsl.checking.refusals import refusals
    from pathdsl.engine.data.prepare import prepare_tasks
    from pathdsl.engine.load.source import config_of, shape_of, source_of, vet_config
    from pathdsl.engine.load.weights import load_tokenizer
    from pathdsl.engine.planner import Limits
    from pathdsl.graph.check import check_graph
    from pathdsl.graph.resolve.resolver import Resolver

    limits = options.limits or Limits()
    source = source_of(program, options.models)
    shape = shape_of(source)
    if shape is None:
        config = config_of(source)
        if config is None:
            from pathdsl.engine.load.weights import fetch_config

            config = fetch_config(source)
        shape = vet_config(source, config)
    faults = check_graph(program, shape, limits.max_states)
    if any(d.severity is Severity.ERROR for d in faults):
        raise PathdslError(faults)
    data = prepare_tasks(program, load_tokenizer(source), shape, options.overrides)
    refused = refusals(program)
    if refused:
        raise PathdslError(refused)
    resolver = Resolver(program, shape, limits.max_states)
    return Ready(program=program, source=source, resolver=resolver, data=data)


def _check(
    path: str,
    program: Program,
    found: list[Diagnostic],
    options: CheckOptions,
    started: float,
) -> FileOutcome:
    from pathdsl.checking.floor import at_floor
    from pathdsl.checking.lock.file import lock_beside
    from pathdsl.checking.methodology import methodology
    from pathdsl.checking.norms import beside, other_modes
    from pathdsl.checking.presence import check_presence
    from pathdsl.checking.sampling import few_rows, shared_rows
    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.engine.meter import Meter
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.engine.proof import unproved
    from pathdsl.engine.recall import Recall
    from pathdsl.engine.run.runner import plan_cost
    from pathdsl.engine.self_check import OF_RUNS, null_cost, prove_null_pair
    from pathdsl.engine.session import EngineSession
    from pathdsl.score.judge import judge

    ready = prepare(path, program, options)
    limits = options.limits or Limits()
    planner = Planner(ready.resolver.shape, ready.data.tasks, ready.data.specs, limits)
    found = [*found, *ready.data.warnings, *check_presence(program, ready.resolver, planner)]
    if any(d.severity is Severity.ERROR for d in found):
        return _stopped(path, program, found, ExitCode.WRONG_INPUT, started)
    store = options.store
    meter = Meter(options.progress)
    long = any(task.n_pos >= LONG_PROMPT for task in ready.data.tasks.values())
    model = LazyModel(
        ready.source, options.device, options.threads, store,
        fused=long and not reads_patterns(program), meter=meter,
    )  # fmt: skip
    found = [*found, *model.warnings, *shared_rows(program, ready.data.tasks)]
    recall = Recall(store, model, planner) if store is not None and store.on else None
    proofs: list[tuple[str, Proof]] = []
    spent: list[float] = []  # on self-checks, in plain forward passes over a task's prompts
    for name in ready.data.tasks:
        proofs += [(name, proof) for proof in _proved(name, planner, model, recall, spent)]
    faults = unproved(proofs)
    if faults:
        return _stopped(path, program, [*found, *faults], ExitCode.MACHINE_FAILED, started, proofs)

    def null_pair(plan: Plan) -> Proof | None:
        if not changes_something(plan):
            return None
        spent.append(null_cost(plan, plan_cost(plan, model.adapter.dtype.itemsize)))
        meter.start(f"self-check of the runs of task `{plan.task}`")
        proof = prove_null_pair(plan, ready.data.tasks[plan.task], model.adapter, model.rounding)
        meter.end()
        return proof

    session = EngineSession(
        planner,
        model.adapter if recall is None else None,
        recall=recall,
        prove=null_pair,
        meter=meter,
    )
    session.model_proofs = [proof for _, proof in proofs]
    meter.start("judging")
    judgement = judge(program, ready.resolver, session, options.only)
    meter.end()
    proofs += _null_pairs(session)
    other: EngineSession | None = None
    modes = other_modes(ready.data.specs, judgement, options.both_norms)
    if modes and not unproved(proofs):
        other = session.with_norms(modes)
        for name in modes:
            again = _proved(name, other.planner, model, other.recall, spent)
            proofs += [(name, proof) for proof in again if proof.code in OF_RUNS]
            other.model_proofs += again
        second = judge(program, ready.resolver, other, options.only)
        judgement = beside(judgement, second, modes)
        meter.end()
        proofs += _null_pairs(other)
    faults = unproved(proofs)
    if faults:
        return _stopped(path, program, [*found, *faults], ExitCode.MACHINE_FAILED, started, proofs)
    found += [*judgement.diagnostics, *at_floor(program, session)]
    found += few_rows(program, judgement.claims, ready.data.tasks)
    return FileOutcome(
        path=path,
        program=program,
        diagnostics=tuple(sort_diagnostics(found, first=path)),
        exit_code=exit_code(judgement, options.allow_inconclusive),
        judgement=judgement,
        methodology=methodology(program, ready, model.facts, options),
        proofs=tuple(proofs),
        tasks=ready.data.tasks,
        plans=tuple(session.plans),
        other_plans=tuple(other.plans) if other is not None else (),
        costs=(*session.costs, *(other.costs if other is not None else ())),
        self_checks=sum(spent),
        session=session,
        tally=recall.tally if recall is not None else None,
        model=model,
        lock=lock_beside(path),
        seconds=time.monotonic() - started,
    )


def _proved(
    task: str, planner: Planner, model: LazyModel, recall: Recall | None, spent: list[float]
) -> Sequence[Proof]:
    """What the model proves about itself on a task, recalled if it was proved before.

    What it cost now is added to `spent`.
    """
    from pathdsl.engine.self_check import STEPS, prove, prove_cost

    known = recall.proofs(task) if recall is not None else None
    if known is not None:
        return known
    rows, adapter = planner.tasks[task], model.adapter
    spent.append(prove_cost(planner, rows, adapter.dtype.itemsize))
    model.meter.start(f"self-checks of task `{task}`", STEPS)
    proved = prove(planner, adapter, rows, model.meter.add)
    model.meter.end()
    if recall is not None:
        recall.keep_proofs(task, proved)
    return proved


def _null_pairs(session: EngineSession) -> list[tuple[str, Proof]]:
    """The null pair of every task that has a run with a treated value, by the task's name."""
    from pathdsl.engine.proof import worst_of

    return [(name, worst_of(null)) for name in session.tasks if (null := session.proofs.get(name))]


LONG_PROMPT = 256
"""Tokens of the longest prompt from which attention is fused: on shorter ones it is not faster, and
its patterns are small."""


def reads_patterns(program: Program) -> bool:
    """Whether a metric measures attention weights or an intervention replaces them."""
    measured = any(
        isinstance(node, ast.AttentionArgs)
        for metric in program.metrics.values()
        for node in walk(metric)
    )
    return measured or any(
        action.verb in ("pattern", "block")
        for block in program.interventions.values()
        for action in block.actions
    )


def changes_something(plan: Plan) -> bool:
    """Whether some run of a plan has a treated value."""
    return any(output.run.kind != "reference" for output in plan.outputs)


def exit_code(judgement: Judgement, allow_inconclusive: bool) -> ExitCode:
    """0 when every claim came out as expected; 5 without a claim."""
    if not judgement.claims:
        return ExitCode.NOTHING_TO_CHECK
    for claim in judgement.claims:
        excused = allow_inconclusive and claim.verdict is Verdict.INCONCLUSIVE
        if not claim.as_expected and not excused:
            return ExitCode.NOT_AS_EXPECTED
    return ExitCode.AS_EXPECTED


def _stopped(
    path: str,
    program: Program | None,
    found: list[Diagnostic],
    code: ExitCode,
    started: float,
    proofs: Sequence[tuple[str, Proof]] = (),
) -> FileOutcome:
    return FileOutcome(
        proofs=tuple(proofs),
        path=path,
        program=program,
        diagnostics=tuple(sort_diagnostics(list(found), first=path)),
        exit_code=code,
        seconds=time.monotonic() - started,
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
