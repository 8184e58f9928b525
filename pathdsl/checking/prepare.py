"""From a program to all that planning needs: the model's shape, path sets on its graph, rows.

No weights are read. What needs no config either is in `pathdsl.lang.lint`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pathdsl.checking.options import CheckOptions
from pathdsl.checking.undrawn import as_drawn
from pathdsl.engine.load.source import ModelSource, shape_of, source_of, vet_config
from pathdsl.errors import Diagnostic, PathdslError, Span, errors_in
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.check.scope import listed
from pathdsl.lang.fence import Fence
from pathdsl.lang.lint import lint_file, sort_diagnostics
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, model_of
from pathdsl.lang.signatures.calls import DATA_FILES, DTYPES
from pathdsl.lang.signatures.measures import columns_in
from pathdsl.lang.walk import walk
from pathdsl.lang.written import written

if TYPE_CHECKING:
    from pathdsl.engine.data.at_hand import AtHand
    from pathdsl.engine.data.task import Hits
    from pathdsl.engine.load.room import Room
    from pathdsl.engine.planner import Limits, Planner
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.plan.readout import Measure
    from pathdsl.score.requests import FirstRound

__all__ = [
    "Ready",
    "prepare",
    "resolver_at_hand",
    "resolver_of",
    "shape_at_hand",
    "unchecked",
    "vet_file",
    "with_graph",
    "with_rows",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A file ready to be planned; `planner` has the shapes, the rows and the limits.

    `sources` are those of the models that some task runs on, by their names in the file, and
    `tokenizers` theirs, None where a model has none, `rooms` what they may take of the memory.
    """

    program: Program
    sources: Mapping[str, ModelSource]
    tokenizers: Mapping[str, Any | None]
    resolver: Resolver
    planner: Planner
    rooms: Mapping[str, Room]
    warnings: tuple[Diagnostic, ...]
    rounds: dict[str | None, FirstRound] = field(default_factory=dict, compare=False, repr=False)

    @property
    def source(self) -> ModelSource:
        """The source of the first model, which is the only one of most files."""
        return next(iter(self.sources.values()))

    def tasks_of(self, model: str) -> tuple[str, ...]:
        """The tasks that run on a model."""
        return _tasks_of(self.program, model)

    def model_of(self, task: str) -> str:
        """The name of the model that a task runs on."""
        found = model_of(self.program, task)
        return found.name.name if found is not None else next(iter(self.sources))

    def beside_masks(self, task: str) -> frozenset[int]:
        """The special tokens of the tokenizer of a task's model that are no mask; none where it has
        no mask."""
        from pathdsl.engine.data.tokens import special_ids

        tokenizer = self.tokenizers[self.model_of(task)]
        mask = getattr(tokenizer, "mask_token_id", None)
        return frozenset() if mask is None else special_ids(tokenizer) - {mask}

    def itemsize(self, task: str) -> int:
        """Bytes of one number of the task's model, by the dtype that the file states."""
        return DTYPES[self.sources[self.model_of(task)].dtype]

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
    """The shape of a program's first model, without torch and without the network.

    None for a hub model whose config was never fetched. Raises LanguageError where the file names
    no model, or one that cannot be used.
    """
    return shape_of(source_of(program, models))


def vet_file(
    path: str, text: str | None = None, fence: Fence | None = None, *, generated: bool = False
) -> tuple[Program, list[Diagnostic]]:
    """The program, and its faults on the page and on the graph of its model, sorted. No torch.

    This is all that shows before weights: a head that the model has not, a layer that goes back, an
    empty path set, a row without an answer. Without a config at hand the graph is left to `plan`.
    `generated`: rows of generators are made and looked at, too.
    """
    program, faults = lint_file(path, text, fence)
    return program, with_rows(program, with_graph(program, faults), generated=generated)


def with_graph(program: Program, faults: list[Diagnostic]) -> list[Diagnostic]:
    """The faults of a linted program with those on the graph of its model; see `vet_file`."""
    if program.model is None or errors_in(faults):
        return faults
    shapes: dict[str, ModelShape | None] = {}
    for name, decl in _models(program).items():
        try:
            shapes[name] = shape_of(source_of(program, model=decl))
        except PathdslError as error:
            faults = [*faults, *error.diagnostics]
            shapes[name] = None
    found = _graph_faults(program, shapes)
    if not errors_in([*faults, *found]):
        known = {name: shape for name, shape in shapes.items() if shape is not None}
        whole = len(known) == len(shapes)
        faults = as_drawn(
            program, faults, lambda: _resolver(program, known, None) if whole else None
        )
    return sort_diagnostics([*faults, *found], first=program.path)


def with_rows(
    program: Program, faults: list[Diagnostic], *, generated: bool = False
) -> list[Diagnostic]:
    """The faults of a program with those of rows that lie in files, where all else is right.

    What hangs on tokens is told as far as an earlier check kept what the tokenizer says.
    `generated`: rows of generators are made and looked at, too.
    """
    if errors_in(faults) or not (generated or _has_rows_in_files(program)):
        return faults
    from pathdsl.engine.data.at_hand import row_faults

    found = row_faults(program, _at_hand(program), generated=generated)
    return sort_diagnostics([*faults, *found], first=program.path)


def _has_rows_in_files(program: Program) -> bool:
    data = (fields_of(program, task).get("data") for task in program.tasks.values())
    calls = [field.value for field in data if field is not None]
    return any(isinstance(one, ast.Call) and one.name in DATA_FILES for one in calls)


def _at_hand(program: Program) -> Callable[[str], AtHand]:
    """What is at hand of the model of a task, looked for once for each model."""
    from pathdsl.engine.data.at_hand import AtHand
    from pathdsl.engine.store.folder import default_folder
    from pathdsl.engine.store.index import INDEX

    tasks = [written(program, task) for task in program.tasks.values()]
    found: dict[str, AtHand] = {}

    def tokenizer(source: ModelSource) -> Any:
        from pathdsl.engine.load.kept_tokenizer import has_tokenizer, known_tokenizer
        from pathdsl.engine.store.store import Store

        there = has_tokenizer(source)
        if there is False:
            return None
        if there is None or not (default_folder() / INDEX).is_file():
            return "unknown"
        with Store(default_folder()) as store:
            return known_tokenizer(source, store, tasks) or "unknown"

    def model(task: str) -> AtHand:
        decl = model_of(program, task)
        name = decl.name.name if decl is not None else ""
        if name not in found:
            found[name] = AtHand(shape=None, tokenizer="unknown")
            if decl is not None:
                source = source_of(program, model=decl)
                found[name] = AtHand(shape=shape_of(source), tokenizer=tokenizer(source))
        return found[name]

    return model


def unchecked(program: Program, faults: list[Diagnostic]) -> str:
    """What of a program without errors was not looked at, and why; "" where all was."""
    if errors_in(faults):
        return ""
    return "; ".join(filter(None, (_graph_unchecked(program), _rows_unchecked(program))))


def _rows_unchecked(program: Program) -> str:
    """Which files of rows are too large for a look at them."""
    if not _has_rows_in_files(program):
        return ""
    from pathdsl.engine.data.at_hand import large_files

    large = [f"`{path}` ({size / 1e6:,.1f} MB)" for path, size in large_files(program).items()]
    if not large:
        return ""
    return (
        f"the rows in {' and '.join(large)} were not looked at; `pathdsl plan {_typed(program)}` "
        "reads them"
    )


def _typed(program: Program) -> str:
    return "FILE" if program.path.startswith("<") else program.path


def _graph_unchecked(program: Program) -> str:
    if not program.models:
        return ""
    sources = [source_of(program, model=decl) for decl in _models(program).values()]
    missing = [source.location for source in sources if shape_of(source) is None]
    if not missing:
        return ""
    which = " or ".join(f"`{location}`" for location in missing)
    return (
        f"the graph was not checked: no config of {which} is on this machine; "
        f"`pathdsl plan {_typed(program)}` fetches it"
    )


def _written_at(program: Program, measure: Measure) -> Span | None:
    """Where a file names a measure of a column first: in a metric, or as a score's `answer:`."""
    calls = (node for metric in program.metrics.values() for node in walk(metric.expression))
    for call in calls:
        if isinstance(call, ast.Call) and call.name == measure.kind:
            if any(column.name == measure.column for column in columns_in(call)):
                return call.span
    for declaration in (*program.lets.values(), *program.claims):
        for node in walk(declaration):
            if isinstance(node, ast.Argument) and node.keyword == "answer":
                if isinstance(node.value, ast.Name) and node.value.name == measure.column:
                    return node.span
    return None


def _models(program: Program) -> dict[str, ast.ModelDecl]:
    """The models that some task runs on; the first one where none does."""
    found = {name: decl for name, decl in program.models.items() if _tasks_of(program, name)}
    return found or dict(list(program.models.items())[:1])


def _tasks_of(program: Program, model: str) -> tuple[str, ...]:
    if len(program.models) < 2:
        return tuple(program.tasks)
    of = {name: found for name in program.tasks if (found := model_of(program, name)) is not None}
    return tuple(name for name, found in of.items() if found.name.name == model)


def _graph_faults(
    program: Program, shapes: Mapping[str, ModelShape | None], max_states: int | None = None
) -> list[Diagnostic]:
    """The faults on the graphs of models of these shapes, None for those that are not known."""
    from pathdsl.graph.check import check_graph
    from pathdsl.graph.paths.product import MAX_STATES

    found: dict[Diagnostic, None] = {}
    distinct = list(dict.fromkeys(shapes.values()))
    for shape in distinct:
        if shape is None:
            continue
        models = [name for name, own in shapes.items() if own == shape]
        tasks = [task for name in models for task in _tasks_of(program, name)]
        alone = tasks if len(distinct) > 1 else None
        told = check_graph(program, shape, max_states or MAX_STATES, alone)
        if alone is not None:
            note = f"on the graph of {listed(models, 'and')}"
            told = [replace(one, notes=(*one.notes, note)) for one in told]
        found |= dict.fromkeys(told)
    return list(found)


def resolver_at_hand(program: Program) -> Resolver | None:
    """The same without the network: None where some config is not on this machine, or no model is.

    Raises PathdslError where a model cannot be used.
    """
    shapes: dict[str, ModelShape] = {}
    for name, model in _models(program).items():
        shape = shape_of(source_of(program, model=model))
        if shape is None:
            return None
        shapes[name] = shape
    return _resolver(program, shapes, None) if shapes else None


def resolver_of(program: Program, options: CheckOptions) -> Resolver:
    """Path expressions on the graphs of a program's models, whose configs are fetched if need be.

    Raises PathdslError where there is no model or one cannot be used.
    """
    return _resolver(program, _shapes(_sources(program, options)), options.limits)


def _sources(program: Program, options: CheckOptions) -> dict[str, ModelSource]:
    """The source of every model that some task runs on; LanguageError where there is none."""
    models: Mapping[str, ast.ModelDecl | None] = _models(program) or {"": None}
    return {name: source_of(program, options.models, decl) for name, decl in models.items()}


def _shapes(sources: Mapping[str, ModelSource]) -> dict[str, ModelShape]:
    """The shape of every model, whose config is fetched if need be."""
    found = {}
    for name, source in sources.items():
        shape = shape_of(source)
        if shape is None:
            from pathdsl.engine.load.weights import fetch_config

            shape = vet_config(source, fetch_config(source))
        found[name] = shape
    return found


def _resolver(
    program: Program, shapes: Mapping[str, ModelShape], limits: Limits | None
) -> Resolver:
    """One resolver for all models of one shape; the first model's has those of the others."""
    from pathdsl.graph.paths.product import MAX_STATES
    from pathdsl.graph.resolve.resolver import Resolver

    states = MAX_STATES if limits is None else limits.max_states
    first, *more = dict.fromkeys(shapes.values())
    of = {shape: Resolver(program, shape, states) for shape in more}
    others = {
        task: of[shape]
        for name, shape in shapes.items()
        if shape in of
        for task in _tasks_of(program, name)
    }
    return Resolver(program, first, states, others)


def prepare(program: Program, options: CheckOptions, known: Hits | None = None) -> Ready:
    """Shape, graph checks, tokenizer and rows; no weights. Raises PathdslError with all faults.

    `known`: what was measured for conditions on runs. A task with one that was not has all rows
    that the others leave it, the most that it can have (`pathdsl.checking.chosen` measures them).
    """
    from pathdsl.engine.data.prepare import prepare_tasks
    from pathdsl.engine.load.kept_tokenizer import KeptTokenizer, tokenizer_by
    from pathdsl.engine.load.room import room_of
    from pathdsl.engine.planner import Limits, Planner

    limits = options.limits or Limits()
    sources = _sources(program, options)
    shapes = _shapes(sources)
    rooms = {name: room_of(one, limits.memory, options.device) for name, one in sources.items()}
    by_task = {t: room.values for name, room in rooms.items() for t in _tasks_of(program, name)}
    shared = options.series.shared if options.series is not None and known is None else None
    key = shared.key(sources, shapes) if shared is not None else None
    if shared is not None and key in shared.found:
        known_ready = shared.found[key]
        planner = replace(known_ready.planner, rooms=by_task)
        return replace(known_ready, sources=sources, planner=planner, rooms=rooms)
    resolver = _resolver(program, shapes, limits)
    if options.book is not None:
        options.book.objects["sets"] = resolver.sets  # for the next check of this process
    faults = _graph_faults(program, shapes, limits.max_states)
    if errors_in(faults):
        raise PathdslError(faults)
    first, *more = sources
    tasks = [written(program, task) for task in program.tasks.values()]
    tokenizers = {
        name: tokenizer_by(source, options.store, tasks) for name, source in sources.items()
    }
    others = {
        task: (tokenizers[name], shapes[name]) for name in more for task in _tasks_of(program, name)
    }
    try:
        data = prepare_tasks(
            program, tokenizers[first], shapes[first], options.overrides, known, others
        )
    finally:  # what is wrong with rows is told by `lint`, too, as far as their tokens are known
        for tokenizer in tokenizers.values():
            if isinstance(tokenizer, KeptTokenizer):
                tokenizer.keep()
    ready = Ready(
        program=program,
        sources=sources,
        tokenizers=tokenizers,
        resolver=resolver,
        planner=Planner(
            resolver.shape,
            data.tasks,
            data.specs,
            limits,
            {task: graph.shape for task, graph in resolver.others.items()},
            {} if shared is not None else None,
            rooms=by_task if limits.memory is not None else {},
            written=partial(_written_at, program),
        ),
        rooms=rooms,
        warnings=(*faults, *data.warnings),
    )
    if shared is not None and key is not None:
        shared.found[key] = ready
    return ready
