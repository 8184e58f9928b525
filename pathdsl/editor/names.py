"""Every name that a statement writes, where, and as what: what definition and rename go by.

`mentions` reads the syntax tree with the signatures of `pathdsl.lang.signatures` at hand: the `io`
of `answer: io` is a column whatever the file declares by that name, the `h` of a loop is that
loop's. What else a name means, the program says: `Document.meant`.

Source: docs/language.md, Files, words and literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pathdsl.errors import Span
from pathdsl.lang import ast
from pathdsl.lang.serving import generator
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    MEASURES,
    METHODS,
    PATH_SETS,
    RUN_OPTIONS,
    SCORES,
    STATISTICS,
    TASK_FIELDS,
    TREATED,
    Kind,
    Parameter,
    Signature,
)
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.walk import children

__all__ = ["Mention", "mentions"]

As = Literal["name", "position", "column", "word", "argument", "field", "file"]
Variables = Mapping[str, int]
"""The variables in reach by name, each by the place where its loop names it."""

_METRIC_CALL = Signature(
    name="METRIC",
    parameters=(
        Parameter(name="RUN", kind=Kind.RUN, by_place=True),
        Parameter(name="task", kind=Kind.TASK),
    ),
    example="LD(reference)",
)
_COLUMNS = (Kind.COLUMN, Kind.COLUMNS, Kind.LABEL, Kind.LABELS)
_WORDS = (Kind.WORD, Kind.BOOL, Kind.INTEGER, Kind.NUMBER, Kind.COUNT, Kind.TEXT, Kind.TEXTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One name at one place.

    `told`: what it stands as; "name" is what the file or its loops declare. `declares`: whether
    this is where it gets its meaning. `variable` is the place of the loop's variable that it means,
    None for what is no variable. `of` is the word that it is an argument, field or value of.
    """

    name: str
    span: Span
    told: As
    declares: bool = False
    variable: int | None = None
    of: str = ""


def mentions(statement: ast.Statement) -> tuple[Mention, ...]:
    """Every name of a statement, in the order of the tree."""
    return tuple(_Reader(isinstance(statement, ast.MetricDecl)).statement(statement))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one statement; what a metric calls are measures."""

    in_metric: bool

    def statement(self, node: ast.Statement) -> Iterator[Mention]:
        if isinstance(node, ast.UseDecl):
            yield Mention(name=node.path, span=node.path_span, told="file")
            return
        yield replace(_of(node.name), declares=True)
        match node:
            case ast.CircuitDecl(fields=fields):
                yield from self.fields(fields, CIRCUIT_FIELDS, "circuit")
            case ast.TaskDecl():
                if node.base is not None:
                    yield _of(node.base)
                for one in node.where:
                    if isinstance(one.left, ast.Name):
                        yield _of(one.left, "column")
                    else:
                        yield from self.any(one.left, {})
                yield from self.fields(node.fields, TASK_FIELDS, "task")
            case ast.ModelDecl(source=source):
                yield from self.call(source, LOADERS.get(source.name), {})
            case ast.GroupDecl(at=at, nodes=nodes):
                if at is not None:
                    yield from self.any(at, {})
                yield from self.any(nodes, {})
            case ast.PathDecl(path=path):
                yield from self.any(path, {})
            case ast.MetricDecl(task=task, unit=unit, expression=expression, at=at):
                if task is not None:
                    yield _of(task)
                if at is not None:
                    yield from self.any(at, {})
                if unit is not None:
                    yield _of(unit, "word")
                yield from self.any(expression, {})
            case ast.LetDecl(loop=loop, unit=unit, expression=expression):
                inner: Variables = {}
                if loop is not None:
                    yield from self.loop(loop, inner)
                    inner = _with(inner, loop)
                if unit is not None:
                    yield _of(unit, "word")
                yield from self.any(expression, inner)
            case ast.InterveneDecl(actions=actions):
                for action in actions:
                    for child in children(action):
                        yield from self.any(child, {})
            case ast.ClaimDecl():
                inner = {}
                if node.loop is not None:
                    yield from self.loop(node.loop, inner)
                    inner = _with(inner, node.loop)
                for side in (node.left, node.right, node.within):
                    if side is not None:
                        yield from self.any(side, inner)
                for method in node.methods:
                    yield from self.call(method, METHODS.get(method.name), inner)

    def fields(
        self, fields: tuple[ast.Field, ...], known: Mapping[str, Parameter], of: str
    ) -> Iterator[Mention]:
        for one in fields:
            yield Mention(name=one.name, span=one.name_span, told="field", of=of)
            yield from self.value(one.value, known.get(one.name), {}, one.name)

    def loop(self, loop: ast.Loop, outer: Variables) -> Iterator[Mention]:
        inner = dict(outer)
        for one in loop.bindings:
            yield from self.any(one.members, inner)
            at = one.variable.span.start
            yield replace(_of(one.variable), declares=True, variable=at)
            inner[one.variable.name] = at

    def any(self, node: ast.Node, variables: Variables) -> Iterator[Mention]:
        """The names of a node that may stand for what the file declares."""
        match node:
            case ast.Name():
                yield _of(node, variables=variables)
                if node.at is not None:
                    yield from self.any(node.at, variables)
            case ast.Position() if node.parts:
                for part in node.parts:
                    yield from self.any(part, variables)
            case ast.Position() if node.name or node.variable:
                yield _position(node, variables)
            case ast.OverMembers(loop=loop):
                yield from self.loop(loop, variables)
                for side in node.sides:
                    yield from self.any(side, _with(variables, loop))
            case ast.Call(name=name):
                known = MEASURES if self.in_metric else {**STATISTICS, **P_VALUES}
                yield from self.call(node, known.get(name, _METRIC_CALL), variables)
            case ast.Score(name=name, name_span=span, subjects=subjects, options=options):
                yield Mention(name=name, span=span, told="word")
                for subject in subjects:
                    yield from self.any(subject, variables)
                yield from self.arguments(options, SCORES.get(name), variables, name)
            case ast.PathRun(paths=paths, options=options, which=which):
                yield from self.any(paths, variables)
                yield from self.arguments(options, RUN_OPTIONS, variables, which)
                for block in node.blocks:
                    yield _of(block)
            case ast.EdgesFile(options=options) | ast.NodesFile(options=options):
                yield from self.arguments(options, PATH_SETS["edges"], variables, "edges")
                if isinstance(node, ast.NodesFile) and node.at is not None:
                    yield from self.any(node.at, variables)
            case ast.RandomLike(inner=inner, options=options):
                yield from self.any(inner, variables)
                yield from self.arguments(
                    options, PATH_SETS["random_like"], variables, "random_like"
                )
            case ast.RandomEdges(options=options):
                yield from self.arguments(
                    options, PATH_SETS["random_edges"], variables, "random_edges"
                )
            case ast.Argument(keyword=keyword, value=value):
                if keyword:
                    yield _argument(node, "")
                yield from self.any(value, variables)
            case _:
                for child in children(node):
                    yield from self.any(child, variables)

    def call(
        self, node: ast.Call, signature: Signature | None, variables: Variables
    ) -> Iterator[Mention]:
        told: As = "name" if node.name not in METHODS else "word"
        yield Mention(
            name=node.name, span=node.name_span, told=told, variable=variables.get(node.name)
        )
        yield from self.arguments(node.arguments, signature, variables, node.name)
        if node.at is not None:
            yield from self.any(node.at, variables)

    def arguments(
        self,
        arguments: tuple[ast.Argument, ...],
        signature: Signature | None,
        variables: Variables,
        of: str,
    ) -> Iterator[Mention]:
        places = iter(signature.by_place if signature is not None else ())
        for one in arguments:
            if one.keyword:
                yield _argument(one, of)
                found = signature.parameter(one.keyword) if signature is not None else None
            else:
                found = next(places, None)
                if found is None and signature is not None and signature.any_number:
                    found = next(iter(reversed(signature.by_place)), None)
            yield from self.value(one.value, found, variables, of)

    def value(
        self, node: ast.Node, parameter: Parameter | None, variables: Variables, of: str
    ) -> Iterator[Mention]:
        """The names of a value of which the parameter says what it has to be."""
        kind = parameter.kind if parameter is not None else None
        match node:
            case ast.Name(name=name) if name in variables:
                yield _of(node, variables=variables)
            case ast.ListValue(items=items):
                for item in items:
                    yield from self.value(item, parameter, variables, of)
            case ast.Name(name=name) if parameter is not None and name in parameter.choices:
                yield replace(_of(node, "word"), of=parameter.name)
            case ast.Name() if kind in _COLUMNS:
                yield _of(node, "column")
            case ast.Name() if kind in _WORDS:
                yield _of(node, "word")
            case ast.Name() if kind is Kind.POSITIONS:
                yield _of(node, "position")
            case ast.Name(name=name) if kind is Kind.TREATED:
                yield _of(node, "word" if name in TREATED else "column")
            case ast.Call(name=name) if kind is Kind.TREATED:
                yield from self.words(node, TREATED.get(name), variables)
            case ast.Call(name=name) if kind is Kind.SOURCE:
                yield from self.words(node, DATA_FILES.get(name), variables)
            case ast.Call(name=name) if kind is Kind.KNOCKOUTS:
                yield from self.words(node, KNOCKOUTS.get(name), variables)
            case _:
                yield from self.any(node, variables)

    def words(
        self, node: ast.Call, signature: Signature | None, variables: Variables
    ) -> Iterator[Mention]:
        """A call of a word of the language, whatever the file declares."""
        yield Mention(name=node.name, span=node.name_span, told="word")
        if signature is None and generator(node.name) is not None:
            for one in node.arguments:
                yield _argument(one, node.name)
            return
        yield from self.arguments(node.arguments, signature, variables, node.name)


def _with(outer: Variables, loop: ast.Loop) -> Variables:
    return {**outer, **{one.variable.name: one.variable.span.start for one in loop.bindings}}


def _of(name: ast.Name, told: As = "name", variables: Variables = {}) -> Mention:
    span = replace(name.span, end=name.span.start + len(name.name))
    return Mention(name=name.name, span=span, told=told, variable=variables.get(name.name))


def _argument(argument: ast.Argument, of: str) -> Mention:
    span = replace(argument.span, end=argument.span.start + len(argument.keyword))
    return Mention(name=argument.keyword, span=span, told="argument", of=of)


def _position(node: ast.Position, variables: Variables) -> Mention:
    """The name in `@ S1+1` or `@[i]`, whose place is that of the last word but its offset."""
    name = node.variable or node.name
    return Mention(name=name, span=node.span, told="position", variable=variables.get(name))


def placed(mention: Mention, text: str) -> Mention:
    """The mention of a position with the place of its name alone; `text` is its file's."""
    if mention.told != "position":
        return mention
    written = text[mention.span.start : mention.span.end]
    found = re.search(rf"(?<!\w){re.escape(mention.name)}(?!\w)", written)
    if found is None:
        return mention
    start = mention.span.start + found.start()
    return replace(mention, span=replace(mention.span, start=start, end=start + len(mention.name)))
