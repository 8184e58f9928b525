"""From a program to all that planning needs: the model's shape, path sets on its graph, rows.

No weights are read. What needs no config either is in `pathdsl.lang.lint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathdsl.checking.options import CheckOptions
from pathdsl.engine.load.source import ModelSource, shape_of, source_of, vet_config
from pathdsl.errors import Diagnostic, PathdslError, errors_in
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import DTYPES

if TYPE_CHECKING:
    from pathdsl.engine.data.task import Hits
    from pathdsl.engine.planner import Planner
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.score.requests import FirstRound

__all__ = ["Ready", "prepare", "resolver_of", "shape_at_hand", "vet_file", "with_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A file ready to be planned; `planner` has the shape, the rows and the limits."""

    program: Program
    source: ModelSource
    resolver: Resolver
    planner: Planner
    warnings: tuple[Diagnostic, ...]
    rounds: dict[str | None, FirstRound] = field(default_factory=dict, compare=False, repr=False)

    @property
    def itemsize(self) -> int:
        """Bytes of one number of the model, by the dtype that the file states."""
        return DTYPES[self.source.dtype]

    def first_round(self, only: str | None = None) -> FirstRound:
        """What a check will ask for first; worked out once."""
        from pathdsl.score.requests import first_round

        if only not in self.rounds:
            found = first_round(self.program, self.resolver, self.planner.tasks, only)
            self.rounds[only] = found
        return self.rounds[only]


def shape_at_hand(
    program: Program, models: Mapping[str, ModelSource] | None = None
) -> ModelShape | None:
    """The shape of a program's model, without torch and without the network.

    None for a hub model whose config was never fetched. Raises LanguageError where the file names
    no model, or one that cannot be used.
    """
    return shape_of(source_of(program, models))


def vet_file(
    path: str, text: str | None = None, fence: Fence | None = None
) -> tuple[Program, list[Diagnostic]]:
    """The program, and its faults on the page and on the graph of its model, sorted. No torch.

    This is all that shows before weights and rows: a head that the model has not, a layer that goes
    back, an empty path set. Without a config at hand the graph is left to `plan`.
    """
    program, faults = lint_file(path, text, fence)
    return program, with_graph(program, faults)


def with_graph(program: Program, faults: list[Diagnostic]) -> list[Diagnostic]:
    """The faults of a linted program with those on the graph of its model; see `vet_file`."""
    if program.model is None or errors_in(faults):
        return faults
    try:
        shape = shape_at_hand(program)
        if shape is None:
            return faults
        from pathdsl.graph.check import check_graph

        faults = [*faults, *check_graph(program, shape)]
    except PathdslError as error:
        faults = [*faults, *error.diagnostics]
    return sort_diagnostics(faults, first=program.path)


def resolver_of(program: Program, options: CheckOptions) -> Resolver:
    """Path expressions on the graph of a program's model, whose config is fetched if need be.

    Raises PathdslError where there is no model or it cannot be used.
    """
    from pathdsl.graph.paths.product import MAX_STATES
    from pathdsl.graph.resolve.resolver import Resolver

    source = source_of(program, options.models)
    shape = shape_of(source)
    if shape is None:
        from pathdsl.engine.load.weights import fetch_config

        shape = vet_config(source, fetch_config(source))
    limits = options.limits
    return Resolver(program, shape, MAX_STATES if limits is None else limits.max_states)


def prepare(program: Program, options: CheckOptions, known: Hits | None = None) -> Ready:
    """Shape, graph checks, tokenizer and rows; no weights. Raises PathdslError with all faults.

    `known`: what was measured for conditions on runs. A task with one that was not has all rows
    that the others leave it, the most that it can have (`pathdsl.checking.chosen` measures them).
    """
    from pathdsl.engine.data.prepare import prepare_tasks
    from pathdsl.engine.load.weights import load_tokenizer
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.graph.check import check_graph

    limits = options.limits or Limits()
    source, resolver = source_of(program, options.models), resolver_of(program, options)
    faults = check_graph(program, resolver.shape, limits.max_states)
    if errors_in(faults):
        raise PathdslError(faults)
    data = prepare_tasks(program, load_tokenizer(source), resolver.shape, options.overrides, known)
    return Ready(
        program=program,
        source=source,
        resolver=resolver,
        planner=Planner(resolver.shape, data.tasks, data.specs, limits),
        warnings=(*faults, *data.warnings),
    )
