"""Sub-paths to regular expressions over nodes and edges: names, arrows, repeats and marks.

A *sub-path* is what may stand in the place of a node; its ends are not supplied yet. A file may
repeat and nest names so that a few lines spell out an endless expression: the size of what a name
stands for is bounded before it is built.

Source: docs/language.md, Sub-paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import assert_never

from pathdsl.errors import LanguageError
from pathdsl.graph.paths.automaton import MAX_LETTERS
from pathdsl.graph.paths.pathset import (
    ANY_EDGE,
    EMPTY,
    Alt,
    Cat,
    Combined,
    Edge,
    Everything,
    Listed,
    Nodes,
    Nothing,
    PathSet,
    Regex,
    Regular,
    Star,
    alt,
    cat,
)
from pathdsl.graph.paths.sets import merge
from pathdsl.graph.resolve.adjacency import check_chain
from pathdsl.graph.resolve.arrows import labels_of
from pathdsl.graph.resolve.places import Bindings, Mark, Places, fault
from pathdsl.lang import ast


class SubPaths:
    """Meaning of the sub-paths of one program on one layout."""

    def __init__(self, places: Places) -> None:
        self.program = places.program
        self.layout = places.layout
        self.places = places
        self._parts: dict[str, Regex] = {}
        self._is_part: dict[str, bool] = {}
        self._sizes: dict[int, int] = {}
        self._open: list[str] = []

    # ---------------------------------------------------------------------------------------------

    def is_sub_path(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        """Whether an expression may stand in the place of a node (it is no complete path set)."""
        match expr:
            case ast.Group(inner=inner):
                return self.is_sub_path(inner, bindings)
            case ast.Choice(options=options):
                return all(self.is_sub_path(option, bindings) for option in options)
            case ast.Name(name=name) if name in bindings:
                return not bindings[name].marks
            case ast.Name(name=name) if name in self.program.paths:
                if name not in self._is_part:
                    with self.opened(name, expr):
                        is_part = self.is_sub_path(self.program.paths[name].path, {})
                    self._is_part[name] = is_part
                return self._is_part[name]
            case ast.ResidRef():
                return False
            case ast.NodeSet():
                return not self.places.marks(expr, bindings)
            case ast.Name() | ast.Chain():
                return True
            case _:
                return isinstance(expr, ast.NodeRef)

    def sub_path(self, expr: ast.PathExpr, bindings: Bindings) -> Regex:
        """The expression as a regular expression over nodes and edges, ends not yet supplied."""
        match expr:
            case ast.Group(inner=inner):
                return self.sub_path(inner, bindings)
            case ast.Choice(options=options):
                return alt(*(self.sub_path(option, bindings) for option in options))
            case ast.Chain():
                return self._chain(expr, bindings)
            case ast.Name(name=name, at=at) if name in self.program.paths and name not in bindings:
                if at is not None:
                    raise fault("PD121", f"`{name}` is a path and takes no position", expr)
                inner = self.program.paths[name].path
                if not self.is_sub_path(inner, {}):
                    raise fault(
                        "PD126",
                        f"`{name}` is a complete path set and cannot be a part of a path",
                        expr,
                        label="a sub-path is wanted here",
                        help=f"combine complete sets with `&`, `-` and `|`: `{name} & (…)`",
                    )
                if name not in self._parts:
                    with self.opened(name, expr):
                        part = self.sub_path(inner, {})
                    self.bound(part, expr)
                    self._parts[name] = part
                return self._parts[name]
            case (
                ast.Name()
                | ast.HeadRef()
                | ast.KvRef()
                | ast.MlpRef()
                | ast.NeuronRef()
                | ast.Word()
                | ast.NodeSet()
                | ast.NodesFile()
            ):
                nodes = merge(self.places.nodes(expr, bindings), self.layout)
                if not nodes:
                    raise fault("PD209", "this set of nodes is empty", expr)
                return alt(*nodes)
            case _:
                raise fault(
                    "PD126",
                    "a complete path set cannot be a part of a path",
                    expr,
                    label="a sub-path is wanted here",
                    help="combine complete sets with `&`, `-` and `|`",
                )

    @contextmanager
    def opened(self, name: str, ref: ast.Node) -> Iterator[None]:
        """While the path `name` is being resolved; a path inside itself is a fault."""
        if name in self._open:
            raise fault("PD108", f"`{name}` is defined by itself", ref)
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()

    def bound(self, part: Regex | PathSet, ref: ast.Node) -> None:
        """Refuse a named expression that spells out more letters than an automaton may have."""
        size = self._letters(part)
        self._sizes[id(part)] = size  # `part` is kept, so the number stays its own
        if size > MAX_LETTERS:
            raise fault(
                "PD211",
                f"this path spells out more than {MAX_LETTERS:,} nodes and edges",
                ref,
                label="too long when its names are filled in",
                help="name sets of nodes with `group` instead of repeating paths",
            )

    def _letters(self, part: Regex | PathSet) -> int:
        size = self._sizes.get(id(part))
        if size is not None:
            return size
        match part:
            case Cat(parts=parts) | Alt(options=parts):
                return sum(map(self._letters, parts))
            case Star(inner=inner):
                return self._letters(inner)
            case Regular(regex=regex):
                return self._letters(regex)
            case Combined(left=left, right=right):
                return 1 + self._letters(left) + self._letters(right)
            case Nodes() | Edge() | Listed() | Everything() | Nothing():
                return 1
            case unknown:
                assert_never(unknown)

    def is_marks(self, expr: ast.PathExpr, bindings: Bindings) -> bool:
        """Whether an expression means residual marks and not nodes."""
        return isinstance(expr, ast.ResidRef | ast.Name | ast.NodeSet) and bool(
            self.places.marks(expr, bindings)
        )

    def _chain(self, chain: ast.Chain, bindings: Bindings) -> Regex:
        if self.is_marks(chain.first, bindings):
            raise fault(
                "PD208",
                "a path cannot begin with a residual mark",
                chain.first,
                help="write `input ~> r5@END ~> …`, or `through(r5@END)`",
            )
        first = self.sub_path(chain.first, bindings)
        body = self._hops(chain.steps, bindings)
        check_chain(self.places, chain, bindings)
        return cat(first, body)

    def _hops(self, steps: Iterable[ast.Hop | ast.Repeat], bindings: Bindings) -> Regex:
        """Arrows and what they lead to; a residual mark joins the two arrows around it."""
        parts: list[Regex] = []
        pending: tuple[ast.Hop, tuple[Mark, ...]] | None = None
        for step in steps:
            if isinstance(step, ast.Repeat):
                if pending:
                    raise _dangling(pending[0])
                section = self._hops(step.hops, bindings)
                longest = 2 * self.layout.shape.n_layers + 2  # no path has more edges
                least = min(step.least, longest)
                most = step.most if step.most is None or step.most < longest else None
                parts.append(repeat(section, least, most))
                continue
            marks = (
                self.places.marks(step.target, bindings)
                if self.is_marks(step.target, bindings)
                else ()
            )
            if marks:
                if pending:
                    raise fault(
                        "PD208", "an edge crosses one residual mark at a time", step.target,
                        help="combine the marks with `&`: `through(r2) & through(r5)`",
                    )  # fmt: skip
                if step.arrow.labels:
                    raise fault(
                        "PD208",
                        "the arrow into a residual mark carries no slots",
                        step.arrow,
                        help="put the slots on the arrow that leaves the mark: `A -> r5 -[q]-> B`",
                    )
                pending = (step, marks)
                continue
            parts.append(self._arrow(step.arrow, pending))
            pending = None
            parts.append(self.sub_path(step.target, bindings))
        if pending:
            raise _dangling(pending[0])
        return cat(*parts)

    def _arrow(self, arrow: ast.Arrow, pending: tuple[ast.Hop, tuple[Mark, ...]] | None) -> Regex:
        middle = Nodes(mask=self.layout.any_mask)
        before = Star(inner=cat(ANY_EDGE, middle))
        last = Edge(labels=labels_of(arrow, causal=self.layout.shape.causal))
        if pending is None:
            return cat(before, last) if arrow.reach else last
        hop, marks = pending
        options: list[Regex] = []
        for mark in marks:
            options.append(Edge(labels=last.labels, mark=mark.layer, mark_at=mark.at))
            if arrow.reach:
                crossing = Edge(mark=mark.layer, mark_at=mark.at)
                options.append(cat(crossing, middle, before, last))
        crossed = alt(*options)
        return cat(before, crossed) if hop.arrow.reach else crossed


def repeat(section: Regex, least: int, most: int | None) -> Regex:
    """`section` at least `least` and at most `most` times."""
    parts: list[Regex] = [section] * least
    if most is None:
        parts.append(Star(inner=section))
    else:
        tail: Regex = EMPTY
        for _ in range(most - least):
            tail = alt(EMPTY, cat(section, tail))
        parts.append(tail)
    return cat(*parts)


def _dangling(hop: ast.Hop) -> LanguageError:
    return fault(
        "PD208",
        "a residual mark stands between two arrows",
        hop.target,
        label="no arrow leaves this mark",
        help="end the path at a node: `… -> r5 -> logits`",
    )
