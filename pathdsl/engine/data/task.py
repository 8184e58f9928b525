"""A `task` statement as plain values: where its rows come from and what its columns are for.

`task abba = ioi where template == "abba"` is the fields of `ioi` with a filter on top. Argument
names, kinds and defaults are those of `pathdsl.lang.signatures.calls`; this module only turns
syntax into values and refuses what it cannot read (the language's own checks say more, and
earlier).

Example: `task_spec(program.tasks["ioi"], program.tasks).reference == "prompt"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pathdsl.engine.data.faults import Faults
from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.signatures.calls import AVERAGES, LAYERNORMS, TASK_FIELDS, TOKENS
from pathdsl.lang.signatures.calls import literal as literal_of
from pathdsl.plan.treated import TreatedSpec, treated_spec

__all__ = ["DataCall", "Filter", "Scalar", "TaskSpec", "task_spec"]

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCall:
    """`ioi(take: 256, seed: 0)`, `jsonl("rows.jsonl")`: a source of rows and its arguments.

    `ids` and `texts`: columns of a file whose cells are token ids, or texts, however they look.
    """

    name: str
    path: str = ""
    arguments: Mapping[str, Scalar] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def written(self) -> str:
        """The call as the language writes it."""
        parts = [f'"{self.path}"'] if self.path else []
        for name, value in self.arguments.items():
            match value:
                case bool():
                    text = str(value).lower()
                case str():
                    text = f'"{value}"'
                case _:
                    text = str(value)
            parts.append(f"{name}: {text}")
        for name, columns in (("ids", self.ids), ("texts", self.texts)):
            if columns:
                parts.append(f"{name}: [{', '.join(columns)}]")
        return f"{self.name}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`where FIELD == VALUE`."""

    field: str
    value: Scalar
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """The fields of one task, defaults filled in; `filters` from the base task outwards.

    `bos` None: the tokenizer's own special tokens. `cluster` "": each row is resampled by itself;
    `crossed`: the second field where rows cross in two.
    `split_by`: the label by whose values claims are reported one by one, "" for none.
    `tokens`: an answer's text is one token `alone`, or as the reference prompt is `continued`.
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
    average: str = "ratio_of_means"
    tokens: str = "alone"
    filters: tuple[Filter, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


def task_spec(decl: ast.TaskDecl, tasks: Mapping[str, ast.TaskDecl] | None = None) -> TaskSpec:
    """The values of a `task` statement; `tasks` holds those that `base` may name.

    Raises DataError PD345 with every field that cannot be read.
    """
    faults = Faults(decl.name.name, decl.span)
    filters: list[Filter] = []
    seen = [decl.name.name]
    origin = decl
    while origin.base is not None:
        value = literal_of(origin.where_value) if origin.where_value is not None else None
        if origin.where_field is not None and value is not None:
            filters.insert(0, Filter(field=origin.where_field.name, value=value, span=origin.span))
        base = (tasks or {}).get(origin.base.name)
        if base is None or base.name.name in seen:
            why = "is not declared" if base is None else "is made from itself"
            faults.add("PD345", f"the task `{origin.base.name}` {why}", span=origin.base.span)
            faults.stop()
            raise AssertionError("unreachable")
        seen.append(base.name.name)
        origin = base
    given = {one.name: one for one in origin.fields}
    for name, one in given.items():
        if name not in TASK_FIELDS:
            known = ", ".join(f"`{other}`" for other in TASK_FIELDS)
            faults.add("PD345", f"no field `{name}`, only {known}", span=one.span)

    def word(name: str, choices: tuple[str, ...], default: str) -> str:
        if name not in given:
            return default
        value = literal_of(given[name].value)
        named = isinstance(value, str) and isinstance(given[name].value, ast.Name)
        if named and (not choices or value in choices):
            return str(value)
        wanted = " or ".join(f"`{choice}`" for choice in choices) or "a name"
        faults.add("PD345", f"`{name}` is not {wanted}", span=given[name].span)
        return default

    for name, example in (("data", "ioi(take: 256, seed: 0)"), ("reference", "prompt")):
        if name not in given:
            faults.add("PD345", f"has no `{name}`", advice=f"{name} = {example}")
    data = DataCall(name="")
    if "data" in given:
        data = _data_call(given["data"], faults)
    bos: bool | None = None
    if "bos" in given:
        value = literal_of(given["bos"].value)
        if isinstance(value, bool):
            bos = value
        else:
            faults.add("PD345", "`bos` is not `true` or `false`", span=given["bos"].span)
    treated = None
    if "treated" in given:
        treated = treated_spec(given["treated"].value)
    positions = _places(given["positions"].value) if "positions" in given else ()
    if positions is None:
        faults.add(
            "PD345", "`positions` is not a list of names", span=given["positions"].span,
            advice="positions = [IO, S1, S2]",
        )  # fmt: skip
    clusters = _crossed(given["cluster"].value) if "cluster" in given else None
    if clusters is None:
        clusters = word("cluster", (), ""), ""
    spec = TaskSpec(
        name=decl.name.name,
        data=data,
        reference=word("reference", (), ""),
        treated=treated,
        positions=positions or (),
        cluster=clusters[0],
        crossed=clusters[1],
        split_by=word("split_by", (), ""),
        bos=bos,
        layernorm=word("layernorm", LAYERNORMS, LAYERNORMS[0]),
        average=word("average", AVERAGES, AVERAGES[0]),
        tokens=word("tokens", TOKENS, TOKENS[0]),
        filters=tuple(filters),
        span=decl.span,
    )
    faults.stop()
    return spec


def _data_call(one: ast.Field, faults: Faults) -> DataCall:
    """The value of `data = …`."""
    value = one.value
    if isinstance(value, ast.Name):  # a generator with all its defaults
        return DataCall(name=value.name, span=value.span)
    if not isinstance(value, ast.Call):
        faults.add(
            "PD345",
            "`data` is no source of rows",
            span=one.span,
            advice='data = jsonl("rows.jsonl")',
        )
        return DataCall(name="")
    path, arguments = "", {}
    read_as: dict[str, tuple[str, ...]] = {}
    for argument in value.arguments:
        found = literal_of(argument.value)
        if argument.keyword in ("ids", "texts"):
            read_as[argument.keyword] = _columns(argument, faults)
        elif found is None:
            faults.add(
                "PD345",
                f"an argument of `{value.name}` is no number, text, word, `true` or `false`",
                span=argument.span,
            )
        elif argument.keyword:
            arguments[argument.keyword] = found
        elif isinstance(argument.value, ast.String) and not path:
            path = argument.value.value
        else:
            faults.add(
                "PD345", f"`{value.name}` takes arguments by name, `take: 256`", span=argument.span
            )
    return DataCall(name=value.name, path=path, arguments=arguments, span=value.span, **read_as)


def _columns(argument: ast.Argument, faults: Faults) -> tuple[str, ...]:
    """The names that `ids: [answer, wrong]` lists."""
    items = argument.value.items if isinstance(argument.value, ast.ListValue) else ()
    names = tuple(item.name for item in items if isinstance(item, ast.Name))
    if not names or len(names) != len(items):
        faults.add(
            "PD345",
            f"`{argument.keyword}` is no list of columns",
            span=argument.span,
            advice=f"{argument.keyword}: [answer]",
        )
    return names


def _crossed(value: ast.Expr) -> tuple[str, str] | None:
    """The two fields of a list of two names; None for anything else."""
    match value:
        case ast.ListValue(items=(ast.Name(name=first, at=None), ast.Name(name=second, at=None))):
            return first, second
        case _:
            return None


def _places(value: ast.Expr) -> tuple[str, ...] | None:
    """Position names, with offsets, of a list or of a single one; None for anything else."""
    items = value.items if isinstance(value, ast.ListValue) else (value,)
    found = []
    for item in items:
        match item:
            case ast.Name(name=name, at=None):
                found.append(name)
            case ast.Position(name=name, offset=offset, index=None):
                found.append(f"{name}{offset:+d}" if offset else name)
            case ast.Position(index=int(index)):
                found.append(f"[{index}]")
            case _:
                return None
    return tuple(found)
