"""A `task` statement as plain values: where its rows come from and what its columns are for.

`task abba = ioi where template == "abba"` is the fields of `ioi` with a filter on top,
`task tuned = ioi { model = tuned }` these fields but for its own. Argument names, kinds and
defaults are those of `pathdsl.lang.signatures.calls`; faults of what is written are told by the
checks of the language, before anything is read here.

Example: `task_spec(program.tasks["ioi"], program.tasks).reference == "prompt"`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pathdsl.engine.data.faults import DataFaults
from pathdsl.errors import DataError, Span
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import (
    DATA_FILES,
    TASK_FIELDS,
    literal,
    resolve_arguments,
    resolve_fields,
    whole_answers,
)
from pathdsl.lang.signatures.norms import NORM_MODES, ROUTINGS
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.record import record

__all__ = ["DataCall", "Filter", "Hits", "Scalar", "TaskSpec", "task_spec"]

Scalar = str | int | float | bool

Hits = Mapping[tuple[str, str, str], Mapping[str, bool]]
"""What conditions on runs have to know: by task, metric and run, whether each row, by its id, is a
hit."""


def _text(value: Scalar) -> str:
    """A value as the language writes it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


@record
class DataCall:
    """`ioi(take: 256, seed: 0)`, `jsonl("rows.jsonl")`: a source of rows and its arguments.

    `ids` and `texts`: columns of a file whose cells are token ids, or texts, however they look.
    """

    name: str
    path: str = ""
    arguments: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    span: Span | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def written(self) -> str:
        """The call as the language writes it."""
        parts = [f'"{self.path}"'] if self.path else []
        for name, value in self.arguments.items():
            parts.append(f"{name}: {_text(value)}")
        for name, columns in (("ids", self.ids), ("texts", self.texts)):
            if columns:
                parts.append(f"{name}: [{', '.join(columns)}]")
        return f"{self.name}({', '.join(parts)})"


@record
class Filter:
    """One condition of a `where`: of a label, or of a metric of a plain run.

    `field` is the label or the metric. `run` is `reference` or `treated`, and `of` the task on
    whose rows it is measured, both "" for a label.
    """

    field: str
    relation: str
    value: Scalar
    run: str = ""
    of: str = ""
    span: Span | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def measured(self) -> tuple[str, str, str]:
        """What has to be measured for it: metric and run, on the rows of a task."""
        return self.of, self.field, self.run

    @property
    def what(self) -> str:
        """What is compared, as the language writes it: `FIELD`, or `METRIC(RUN)`."""
        return f"{self.field}({self.run})" if self.run else self.field

    def __str__(self) -> str:
        """`FIELD >= VALUE`, as the language writes it."""
        return f"{self.what} {self.relation} {_text(self.value)}"


@record
class TaskSpec:
    """The fields of one task, defaults filled in; `filters` from the base task outwards.

    `bos` None: the tokenizer's own special tokens. `cluster` "": each row is resampled by itself;
    `crossed`: the second field where rows cross in two.
    `split_by`: the label by whose values claims are reported one by one, "" for none.
    `chat`: prompt columns are messages, made to texts by the model's own template.
    `tokens`: an answer's text is one token `alone`, or as the reference prompt is `continued`.
    `answers`: they are `one_token`, or are read `whole` behind the prompt, as they continue it.
    """

    name: str
    data: DataCall
    reference: str
    treated: TreatedSpec | None = None
    positions: tuple[str, ...] = ()
    cluster: str = ""
    crossed: str = ""
    split_by: str = ""
    bos: bool | None = None
    layernorm: str = "recompute"
    routing: str = "recompute"
    average: str = "ratio_of_means"
    tokens: str = "alone"
    chat: bool = False
    answers: str = "one_token"
    filters: tuple[Filter, ...] = ()
    span: Span | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def frozen(self) -> bool:
        """Whether mixed copies have the norms' scales of the reference run."""
        return NORM_MODES[self.layernorm].frozen

    @property
    def routed(self) -> bool:
        """Whether mixed copies of mixtures have the routing of the reference run."""
        return ROUTINGS[self.routing].frozen

    @property
    def held(self) -> str:
        """What mixed copies are computed with, in one word for keys of values."""
        return f"{self.layernorm}, routing {self.routing}" if self.routed else self.layernorm

    @property
    def continued(self) -> bool:
        """Whether an answer's text is read as it continues the reference prompt."""
        return self.tokens == "continued" or self.whole

    @property
    def whole(self) -> bool:
        """Whether answers may have several tokens, which are read behind the prompt."""
        return whole_answers(self.answers)


def task_spec(decl: ast.TaskDecl, tasks: Mapping[str, ast.TaskDecl] | None = None) -> TaskSpec:
    """The values of a `task` statement of a file without faults.

    `tasks` holds those that it may be made from. Raises DataError PD345 where the task that it is
    made from is not there, or is made from itself.
    """
    given, filters = _origin(decl, tasks or {})
    value = resolve_fields(TASK_FIELDS, given)
    cluster, crossed = (*(value["cluster"] or ()), "", "")[:2]
    return TaskSpec(
        name=decl.name.name,
        data=_data_call(value["data"]),
        reference=value["reference"],
        treated=treated_spec(value["treated"]) if value["treated"] is not None else None,
        positions=tuple(at.name for at in value["positions"] or ()),
        cluster=cluster,
        crossed=crossed,
        split_by=value["split_by"] or "",
        bos=value["bos"],
        layernorm=value["layernorm"],
        routing=value["routing"],
        average=value["average"],
        tokens=value["tokens"],
        chat=value["chat"],
        answers=value["answers"],
        filters=filters,
        span=decl.span,
    )


def _origin(
    decl: ast.TaskDecl, tasks: Mapping[str, ast.TaskDecl]
) -> tuple[dict[str, ast.Field], tuple[Filter, ...]]:
    """The fields of a task, those that it has from others too, and the filters outwards."""
    filters: list[Filter] = []
    seen = {decl.name.name}
    origin = decl
    given = {one.name: one for one in origin.fields}
    while origin.base is not None:
        name = origin.base.name
        filters[:0] = [_filter(one, name) for one in origin.where]
        if name not in tasks or name in seen:
            why = "is made from itself" if name in seen else "is not declared"
            faults = DataFaults(decl.name.name, decl.span)
            faults.add("PD345", f"the task `{name}` {why}", span=origin.base.span)
            raise DataError(faults.all)
        seen.add(name)
        origin = tasks[name]
        given = {**{one.name: one for one in origin.fields}, **given}
    return given, tuple(filters)


def _filter(condition: ast.Condition, base: str) -> Filter:
    """A condition as plain values; `base` is the task whose rows are chosen."""
    left, value = condition.left, literal(condition.value)
    assert value is not None  # the grammar has literals there alone
    run = next(
        (a.value.which for a in left.arguments if isinstance(a.value, ast.PlainRun)), ""
    ) if isinstance(left, ast.Call) else ""  # fmt: skip
    return Filter(
        field=left.name, relation=condition.relation, value=value, run=run,
        of=base if run else "", span=condition.span,
    )  # fmt: skip


def _data_call(call: ast.Call) -> DataCall:
    """The value of `data = …`."""
    read: dict[str, Any] = {}
    if call.name in DATA_FILES:
        read = resolve_arguments(DATA_FILES[call.name], call.arguments)
    stated = {a.keyword: literal(a.value) for a in call.arguments if a.keyword}
    return DataCall(
        name=call.name,
        path=read.get("path", ""),
        arguments={name: value for name, value in stated.items() if value is not None},
        ids=read.get("ids") or (),
        texts=read.get("texts") or (),
        span=call.span,
    )
