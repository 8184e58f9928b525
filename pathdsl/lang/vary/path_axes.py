"""Axes of the path sets: which paths a drawing stands for, and whether positions count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.vary.axis import below
from pathdsl.lang.vary.edits import Edit, replaced, text_of
from pathdsl.lang.walk import children

__all__ = ["Positions", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Positions on nodes, or none: every node then stands at every position."""

    name: str = "positions"

    def values(self, program: Program) -> tuple[str, ...]:
        """`off` where some node of a group, path or claim has a position."""
        return ("off",) if any(True for _ in _places(program)) else ()

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """None: a claim without positions keeps its number."""
        return {}

    def edits(self, program: Program, value: str) -> list[Edit]:
        """Every `@P` of a node taken out; where metrics read stays."""
        return [replaced(place, "") for place in _places(program)]


def _places(program: Program) -> Iterator[ast.Position]:
    for declaration in (
        *program.groups.values(), *program.paths.values(), *program.lets.values(), *program.claims,
    ):  # fmt: skip
        yield from _of_nodes(declaration)


def _of_nodes(node: ast.Node) -> Iterator[ast.Position]:
    """The positions put on nodes below a syntax node; not those at which measures read."""
    if isinstance(node, ast.AttentionArgs):
        return
    at = getattr(node, "at", None)
    if isinstance(at, ast.Position) and not isinstance(node, ast.Call):
        yield at
    for child in children(node):
        yield from _of_nodes(child)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a drawn path stands for: itself, all paths over its edges, all paths in its nodes.

    A circuit is often drawn as paths, ablated by edges and reported by nodes. `edges` is the set of
    all paths whose every edge lies on the drawing, `nodes` of those that visit its nodes only; each
    holds the one before. A `within(…)` is already the paths over all pairs of its nodes.
    """

    name: str = "reading"

    def values(self, program: Program) -> tuple[str, ...]:
        """`edges` and `nodes` where a claim names a path that has other edges or nodes."""
        found = []
        for value in ("edges", "nodes"):
            left = self.left_out(program, value)
            if any(claim.name.name not in left for claim in program.claims):
                found.append(value)
        return tuple(found)

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims that name no path, or one whose nodes or edges cannot be listed."""
        found: dict[str, str] = {}
        for claim in program.claims:
            names = _named(program, claim)
            if not names:
                found[claim.name.name] = "it names no `path`, so there is nothing to read otherwise"
            for name in names:
                drawn = _drawing(program, name)
                if drawn.why or (value == "edges" and drawn.listed):
                    found[claim.name.name] = drawn.why or f"`{name}` is a list of edges already"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """Names of paths in claims and lets replaced, and the new paths declared at the end."""
        edits: list[Edit] = []
        found: dict[str, None] = {}
        for claim in program.claims:
            for node in below(program, claim):
                if isinstance(node, ast.Name) and node.name in program.paths:
                    edits.append(replaced(node, f"{node.name}_as_{value}"))
                    found[node.name] = None
        end = len(program.sources[program.path].text)
        lines = []
        for name in found:
            drawn = _drawing(program, name)
            lines.append(f"\npath {name}_as_{value} = {getattr(drawn, value)}\n")
        return [*edits, Edit(start=end, end=end, text="".join(lines))]


def _named(program: Program, claim: ast.ClaimDecl) -> list[str]:
    nodes = below(program, claim)
    return list(
        dict.fromkeys(n.name for n in nodes if isinstance(n, ast.Name) and n.name in program.paths)
    )


@dataclass(slots=True, kw_only=True)
class _Drawing:
    """The nodes and edges of a path, as written; `why` says why they cannot be listed."""

    letters: dict[str, None] = field(default_factory=dict)
    pairs: dict[str, None] = field(default_factory=dict)
    listed: bool = False
    why: str = ""

    @property
    def edges(self) -> str:
        """`edges { … }` of every edge of the drawing."""
        return "edges { " + "; ".join(self.pairs) + " }"

    @property
    def nodes(self) -> str:
        """`within(…)` of every node of the drawing; inputs tied to positions stay so."""
        names = [name for name in self.letters if name != "logits"]
        if "input" in names:
            names = [name for name in names if not name.startswith("input")] or ["input"]
        return f"within({', '.join(names)})"


class _CannotList(Exception):
    pass


Ends = tuple[dict[str, None], dict[str, None]]


def _drawing(program: Program, name: str) -> _Drawing:
    """The drawing of a path: which nodes follow which, as in Glushkov's automaton (1961)."""
    drawn = _Drawing()
    expr: ast.Node = program.paths[name].path
    while isinstance(expr, ast.Group) or (
        isinstance(expr, ast.Name) and expr.name in program.paths
    ):
        expr = expr.inner if isinstance(expr, ast.Group) else program.paths[expr.name].path
    try:
        if isinstance(expr, ast.Edges):
            drawn.listed = True
            for chain in expr.chains:
                _ends(program, chain, drawn)
            return drawn
        if isinstance(expr, ast.Within):
            raise _CannotList(f"`{name}` is all paths between its nodes, by either reading")
        first, last = _ends(program, expr, drawn)
        if not all(one == "input" or one.startswith("input@") for one in first):
            raise _CannotList(f"`{name}` does not begin with `input`: any node may come before")
        if list(last) != ["logits"]:
            raise _CannotList(f"`{name}` does not end with `logits`: any node may follow")
    except _CannotList as reason:
        drawn.why = str(reason)
    return drawn


def _inside(program: Program, expr: ast.Node) -> ast.Node | None:
    """What a bracket or the name of a path stands for; None for anything else."""
    if isinstance(expr, ast.Group):
        return expr.inner
    if isinstance(expr, ast.Name) and expr.name in program.paths:
        return program.paths[expr.name].path
    return None


def _ends(program: Program, expr: ast.Node, drawn: _Drawing) -> Ends:
    """The nodes that a sub-path may begin and end with; its edges go to `drawn`."""
    match expr:
        case ast.Group(inner=inner):
            return _ends(program, inner, drawn)
        case ast.Name(name=name) if name in program.paths:
            return _ends(program, program.paths[name].path, drawn)
        case ast.Choice(options=options):
            first: dict[str, None] = {}
            last: dict[str, None] = {}
            for option in options:
                begin, end = _ends(program, option, drawn)
                first |= begin
                last |= end
            return first, last
        case ast.Chain(first=start, steps=steps):
            first, last = _ends(program, start, drawn)
            for step in steps:
                last = _step(program, step, last, drawn)
            return first, last
        case (
            ast.HeadRef() | ast.KvRef() | ast.MlpRef() | ast.NeuronRef() | ast.Word() | ast.Name()
            | ast.NodeSet()
        ):  # fmt: skip
            text = " ".join(text_of(program, expr).split())
            drawn.letters[text] = None
            return {text: None}, {text: None}
        case _:
            raise _CannotList(f"`{text_of(program, expr)}` is a set whose nodes are not drawn")


def _step(
    program: Program, step: ast.Hop | ast.Repeat, last: dict[str, None], drawn: _Drawing
) -> dict[str, None]:
    """The nodes that a path may stand at after a step from `last`."""
    if isinstance(step, ast.Hop):
        _join(program, last, step, _ends(program, step.target, drawn)[0], drawn)
        return _ends(program, step.target, drawn)[1]
    after = last
    for hop in step.hops:
        after = _step(program, hop, after, drawn)
    if step.most is None or step.most > 1:
        begin = _ends(program, step.hops[0].target, drawn)[0]
        _join(program, after, step.hops[0], begin, drawn)
    return {**last, **after} if step.least == 0 else after


def _join(
    program: Program, last: dict[str, None], hop: ast.Hop, first: dict[str, None], drawn: _Drawing
) -> None:
    arrow = text_of(program, hop.arrow)
    if hop.arrow.reach:
        raise _CannotList(f"`{arrow}` stands for any nodes between")
    drawn.pairs |= {f"{a} {arrow} {b}": None for a in last for b in first}
