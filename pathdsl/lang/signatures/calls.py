"""The closed registries of the language: what may be called where, with which arguments.

Everything a `.circuit` file can name without declaring it stands here as data: block fields,
loaders, data sources, treated values, statistics, measures, scores, searches for knockouts, and
claim methods. The checks read it to report faults, the lowering to fill in defaults:

    >>> from pathdsl.lang.syntax.parse import parse
    >>> file, _ = parse("let x = faithfulness(full)", "x.circuit")
    >>> resolve_options(file.statements[0].expression)["as"]
    'recovered'

Source: docs/language.md; a value after `name:` there (`among: 100`) is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    SEED,
    Kind,
    Parameter,
    Signature,
    first,
    literal,
    table,
    word,
)
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.methods import METHODS
from pathdsl.lang.signatures.norms import NORM_MODES, ROUTINGS
from pathdsl.lang.signatures.scores import RENAMED, SCORES
from pathdsl.lang.signatures.statistics import AVERAGING, STATISTICS
from pathdsl.lang.signatures.treated import TREATED_KINDS
from pathdsl.lang.spelling import as_position
from pathdsl.record import record

__all__ = [
    "AVERAGES",
    "AVERAGING",
    "CIRCUIT_FIELDS",
    "CIRCUIT_FILES",
    "DATA_FILES",
    "DTYPES",
    "KNOCKOUTS",
    "LANGUAGE_VERSION",
    "LOADERS",
    "MEASURES",
    "METHODS",
    "PATH_SETS",
    "REQUIRED",
    "ROWS_OF_PARENT",
    "RUN_OPTIONS",
    "SCORES",
    "STATISTICS",
    "TASK_FIELDS",
    "TOKENS",
    "TREATED",
    "Arguments",
    "Filled",
    "Kind",
    "Lies",
    "LoaderRecord",
    "Parameter",
    "Signature",
    "is_written_as_folder",
    "literal",
    "path_in",
    "resolve_arguments",
    "resolve_fields",
    "resolve_options",
    "whole_answers",
]

LANGUAGE_VERSION = 1
DTYPES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}
"""The dtypes of weights and arithmetic, and how many bytes a number of each takes."""
AVERAGES = ("ratio_of_means", "mean_of_ratios")
TOKENS = ("alone", "continued")
ANSWERS = ("one_token", "whole")


DTYPE = word("dtype", tuple(DTYPES), "float32", means="the type of weights and arithmetic")
_TAKE = Parameter(
    name="take",
    kind=Kind.INTEGER,
    least=1,
    means="how many rows are taken: the first ones, or with `seed` drawn",
)
_SHA = Parameter(
    name="sha256", kind=Kind.TEXT, means="the beginning of the file's hash, which it must have"
)
_READ_AS = tuple(
    Parameter(name=name, kind=Kind.COLUMNS, means=f"columns whose cells are {are}")
    for name, are in (("ids", "token ids"), ("texts", "texts, whatever they look like"))
)

CIRCUIT_FIELDS = {
    p.name: p
    for p in (
        Parameter(name="language", kind=Kind.INTEGER),
        Parameter(name="needs", kind=Kind.TEXT),
        Parameter(name="cite", kind=Kind.TEXTS),
        Parameter(name="doi", kind=Kind.TEXTS),
        Parameter(name="authors", kind=Kind.TEXTS),
        Parameter(name="hypothesis", kind=Kind.PATHS),
        Parameter(name="discovered", kind=Kind.TEXT),
    )
}
TASK_FIELDS = {
    p.name: p
    for p in (
        Parameter(name="data", kind=Kind.SOURCE, default=REQUIRED),
        Parameter(name="reference", kind=Kind.COLUMN, default=REQUIRED),
        Parameter(name="treated", kind=Kind.TREATED),
        Parameter(name="positions", kind=Kind.POSITIONS),
        Parameter(name="cluster", kind=Kind.LABELS),
        Parameter(name="split_by", kind=Kind.LABEL),
        word("layernorm", tuple(NORM_MODES), "recompute"),
        word("routing", tuple(ROUTINGS), "recompute"),
        word("average", AVERAGES, "ratio_of_means"),
        Parameter(name="bos", kind=Kind.BOOL),
        word("tokens", TOKENS, "alone"),
        Parameter(name="chat", kind=Kind.BOOL, default=False),
        word("answers", ANSWERS, "one_token"),
        Parameter(name="model", kind=Kind.MODEL),
    )
}
ROWS_OF_PARENT = ("data", "cluster")
"""Fields that say which rows a task has and what is resampled together: a derived task has those
of its parent."""
Lies = Literal["on the hub", "in a folder", "in pathdsl"]


@record
class LoaderRecord(Signature):
    """What is known of a loader: where the files of its model lie."""

    lies: Lies


LOADERS = table(
    LoaderRecord(
        name="hf",
        parameters=(
            first("id", Kind.TEXT),
            Parameter(name="revision", kind=Kind.TEXT, means="the commit of the model on the hub"),
            DTYPE,
        ),
        example='hf("openai-community/gpt2", revision: "607a30d783dfa663caf39e06633721c8d4cfcd7e")',
        lies="on the hub",
    ),
    LoaderRecord(
        name="folder",
        parameters=(first("path", Kind.TEXT), DTYPE),
        example='folder("models/mine")',
        lies="in a folder",
    ),
    LoaderRecord(
        name="bundled",
        parameters=(first("name", Kind.TEXT), DTYPE),
        example='bundled("ioi-mini")',
        lies="in pathdsl",
    ),
)


Columns = Literal["in the first line", "in every line", "in the whole file", "beside the rows"]


@record
class DataFileRecord(Signature):
    """What is known of a kind of file of rows.

    `untyped`: its cells are texts, whatever they look. `columns`: where its columns are written.
    `counted`: what places in it count, a `line` or a `row`. `hub`: what it names is a folder, or,
    where there is none, a data set of the hub. `endings`: how its files are usually named.
    """

    untyped: bool
    columns: Columns
    counted: str
    hub: bool
    endings: tuple[str, ...]


_OF_FILE = (first("path", Kind.TEXT), _SHA, _TAKE, SEED, *_READ_AS)
DATA_FILES = table(
    DataFileRecord(
        name="jsonl",
        parameters=_OF_FILE,
        example='jsonl("data/rows.jsonl", take: 200)',
        untyped=False,
        columns="in every line",
        counted="line",
        hub=False,
        endings=(".jsonl",),
    ),
    DataFileRecord(
        name="csv",
        parameters=_OF_FILE,
        example='csv("data/rows.csv", take: 200)',
        untyped=True,
        columns="in the first line",
        counted="line",
        hub=False,
        endings=(".csv",),
    ),
    DataFileRecord(
        name="json",
        parameters=_OF_FILE,
        example='json("data/prompts.json", take: 200)',
        untyped=False,
        columns="in the whole file",
        counted="row",
        hub=False,
        endings=(".json",),
    ),
    DataFileRecord(
        name="parquet",
        parameters=_OF_FILE,
        example='parquet("data/rows.parquet", take: 200)',
        untyped=False,
        columns="beside the rows",
        counted="row",
        hub=False,
        endings=(".parquet",),
    ),
    DataFileRecord(
        name="dataset",
        parameters=(
            first("path", Kind.TEXT),
            *(
                Parameter(name=name, kind=Kind.TEXT, means=means)
                for name, means in (
                    ("split", "which part of the data set"),
                    ("revision", "the commit of the data set on the hub"),
                    ("config", "which configuration of the data set"),
                )
            ),
            *_OF_FILE[1:],
        ),
        example='dataset("data/facts", split: "test")',
        untyped=False,
        columns="beside the rows",
        counted="row",
        hub=True,
        endings=(),
    ),
)
TREATED = {kind.name: kind.signature for kind in TREATED_KINDS.values() if kind.signature}
CIRCUIT_FILES = table(
    *(
        Signature(
            name=name,
            parameters=(
                Parameter(
                    name="top",
                    kind=Kind.COUNT,
                    least=1,
                    means="how many of the largest scores are taken",
                ),
                word(
                    "rank",
                    ("signed", "absolute"),
                    "absolute",
                    means="whether the sign of a score counts in its order",
                ),
            ),
            example=f'{name}("circuit.json", top: 200)',
        )
        for name in ("edges", "nodes")
    )
)
"""What is read from a file in the format of EAP-IG and MIB."""
PATH_SETS = table(
    CIRCUIT_FILES["edges"],
    Signature(name="random_like", parameters=(SEED, RENAMED), example="random_like(P, seed: 0)"),
    Signature(
        name="random_edges",
        parameters=(
            Parameter(
                name="count",
                kind=Kind.INTEGER,
                least=1,
                means="how many edges; as many as the other set has where it is left out",
            ),
            Parameter(
                name="like",
                kind=Kind.PATHS,
                default=REQUIRED,
                means="the path set that is imitated",
            ),
            word(
                "by",
                ("classes", "walks"),
                "classes",
                means="edges of the same kinds, or on walks as long",
            ),
            SEED,
        ),
        example="random_edges(count: 40, like: P, seed: 0)",
    ),
)
RUN_OPTIONS = Signature(
    name="treat",
    parameters=(
        Parameter(name="scope", kind=Kind.PATHS, means="paths outside of it keep the reference"),
        Parameter(
            name="treated",
            kind=Kind.TREATED,
            means="what treated paths carry, in the place of the task's",
        ),
    ),
    example="treat(P, scope: S)",
)


def whole_answers(value: object) -> bool:
    """Whether a value of the field `answers` has answers of several tokens read as one."""
    return value == ANSWERS[1]


def is_written_as_folder(path: str) -> bool:
    """Whether the name of a data set is a path, whatever is there, and none of the hub."""
    return path.startswith((".", "/", "~"))


def path_in(call: ast.Call) -> ast.String | None:
    """The path that a loader or a source of rows is given, None for other calls."""
    signature = {**DATA_FILES, **LOADERS}.get(call.name)
    if signature is None or signature.parameter("path") is None:
        return None
    given = (a.value for a in call.arguments if a.keyword in ("", "path"))
    return next((value for value in given if isinstance(value, ast.String)), None)


# -------------------------------------------------------------------------------------------------
# Values with their defaults filled in
# -------------------------------------------------------------------------------------------------


class Arguments(dict[str, object]):
    """Arguments by name; what passed the checks has the type that its parameter asks for."""

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        """A number."""
        value = self[name]
        assert isinstance(value, int | float)
        return float(value)

    def word(self, name: str) -> str:
        """One of a few words, or the name of a column."""
        value = self[name]
        assert isinstance(value, str)
        return value

    def node(self, name: str) -> ast.Node | None:
        """What stands for itself, such as a set of nodes; None where it was left out."""
        value = self[name]
        return value if isinstance(value, ast.Node) else None


@record
class Filled:
    """A call with all its arguments: `greedy(10)` is name "greedy", steps 10, seed 0, runs 10, …"""

    name: str
    arguments: Arguments


def resolve_arguments(signature: Signature, arguments: tuple[ast.Argument, ...]) -> Arguments:
    """Every argument of a call by name, defaults filled in; for calls that passed the checks.

    Numbers, texts, truth values, words and the names of columns and labels are Python values,
    several names are a tuple, positions a tuple of `ast.Position` or the word for them, a choice of
    knockouts is a `Filled`, anything else is the syntax node as written; what was left out and has
    no default is None.
    """
    values = Arguments({p.name: None if p.required else p.default for p in signature.parameters})
    places = iter(signature.by_place)
    for argument in arguments:
        parameter = (
            signature.parameter(argument.keyword) if argument.keyword else next(places, None)
        )
        if parameter is not None:
            values[parameter.name] = _value(parameter, argument.value)
    return values


def resolve_options(score: ast.Score) -> Arguments:
    """The options of a score by name, defaults filled in; its subjects are not among them."""
    signature = SCORES[score.name]
    places = {parameter.name for parameter in signature.by_place}
    options = resolve_arguments(signature, score.options)
    return Arguments({name: value for name, value in options.items() if name not in places})


def resolve_fields(
    parameters: Mapping[str, Parameter], fields: Mapping[str, ast.Field]
) -> dict[str, Any]:
    """Every field of a block by name, as `resolve_arguments` gives the arguments of a call."""
    return {
        name: _value(parameter, fields[name].value)
        if name in fields
        else None if parameter.required else parameter.default
        for name, parameter in parameters.items()
    }  # fmt: skip


def _value(parameter: Parameter, value: ast.Node) -> object:
    items = value.items if isinstance(value, ast.ListValue) else (value,)
    match parameter.kind:
        case (
            Kind.INTEGER | Kind.COUNT | Kind.TEXT | Kind.BOOL | Kind.WORD | Kind.COLUMN | Kind.LABEL
        ):
            return literal(value)
        case Kind.NUMBER:
            number = literal(value)
            return float(number) if isinstance(number, int) else number
        case Kind.COLUMNS | Kind.LABELS:
            return tuple(item.name for item in items if isinstance(item, ast.Name))
        case Kind.POSITIONS if isinstance(value, ast.Word) and value.word in parameter.choices:
            return value.word
        case Kind.POSITIONS:
            return tuple(at for item in items if (at := as_position(item)) is not None)
        case Kind.OVER if isinstance(value, ast.Name) and value.name in parameter.choices:
            return value.name
        case Kind.KNOCKOUTS:
            name = value.name if isinstance(value, ast.Name | ast.Call) else ""
            written = value.arguments if isinstance(value, ast.Call) else ()
            if name in KNOCKOUTS:
                return Filled(name=name, arguments=resolve_arguments(KNOCKOUTS[name], written))
            return value
        case _:
            return value
