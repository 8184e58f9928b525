"""What comes out of a check of one file: everything that a report may say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.syntax.source import SourceFile, sources_of

if TYPE_CHECKING:
    from pathdsl.checking.claimed import Claimed
    from pathdsl.checking.lock.drift import Comparison
    from pathdsl.checking.lock.file import LockFile
    from pathdsl.checking.machines import AnySession
    from pathdsl.engine.lazy_model import LazyModel
    from pathdsl.engine.proof import Proof
    from pathdsl.engine.recall import Tally
    from pathdsl.lang.program import Program
    from pathdsl.plan.liveness import Cost
    from pathdsl.plan.outputs import Plan
    from pathdsl.plan.taskdata import TaskData
    from pathdsl.score.results import Judgement

__all__ = ["FileOutcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """Everything a report may say about one file.

    `replaced` is what the command line set in place of what the file says, by name.
    `methodology`: text by name, in the order to print. `session`: for `--values`. `plans` are those
    that were executed, `other_plans` those of the second norm mode, `costs` are of both;
    `self_checks` is what those cost that were made now, in plain forward passes; `tally`
    says what came from the store instead, None without one. `models` are those that were run, by
    their names in the file. `lock` is what lay beside a file that was judged, and `comparison` what
    came of comparing with it, None where that was not asked for. `claimed`: the path sets of the
    claims that were judged, of `declared_claims` in the file, members of loops each.
    """

    path: str
    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    exit_code: ExitCode
    replaced: Mapping[str, str] = field(default_factory=dict)
    judgement: Judgement | None = None
    methodology: Mapping[str, str] = field(default_factory=dict)
    proofs: tuple[tuple[str, Proof], ...] = ()
    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    plans: tuple[Plan, ...] = ()
    other_plans: tuple[Plan, ...] = ()
    costs: tuple[Cost, ...] = ()
    self_checks: float = 0.0
    session: AnySession | None = None
    tally: Tally | None = None
    models: Mapping[str, LazyModel] = field(default_factory=dict)
    lock: LockFile | None = None
    comparison: Comparison | None = None
    claimed: Claimed | None = None
    declared_claims: int = 0
    seconds: float = 0.0

    @property
    def model(self) -> LazyModel | None:
        """The first model, which is the only one of most files; None where none was run."""
        return next(iter(self.models.values()), None)

    @property
    def sources(self) -> dict[str, SourceFile]:
        """The texts that the diagnostics point into, and those of the program."""
        return sources_of(self.diagnostics, self.program.sources if self.program else {})

    @property
    def noise(self) -> float:
        """Numbers below it are rounding; 0 where nothing was measured."""
        return self.session.rounding() / 100 if self.session is not None else 0.0

    @property
    def tasks_read(self) -> set[str]:
        """The tasks whose prompts some run reads, computed now or before; all without a run."""
        asked = self.session.asked if self.session is not None else ()
        return {run.task for run in asked} or {plan.task for plan in self.plans} or set(self.tasks)

    @property
    def row_ids(self) -> dict[str, tuple[str, ...]]:
        """The ids of the rows of every task, in their order."""
        return {name: task.row_ids for name, task in self.tasks.items()}
