"""The nodes and edges of a drawn path, as they are written: what follows what.

A path expression is read as a regular expression over node references. Its edges are the pairs that
may follow one another, which is the first step of Glushkov's construction (1961); counts of a
repeated section are lost, since a set of edges cannot count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.vary.edits import text_of

__all__ = ["Drawing", "drawing_of"]


@dataclass(slots=True, kw_only=True)
class Drawing:
    """The nodes and edges of a path, as written; `why` says why they cannot be listed.

    `listed` is True where the path is a list of edges already.
    """

    letters: dict[str, Places] = field(default_factory=dict)
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
    """The reason why a path has no list of nodes and edges."""


Ends = tuple[dict[str, None], dict[str, None]]


def drawing_of(program: Program, name: str) -> Drawing:
    """The drawing of a path: which nodes follow which, as in Glushkov's automaton (1961)."""
    drawn = Drawing()
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


def _ends(program: Program, expr: ast.Node, drawn: Drawing) -> Ends:
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
            | ast.NodeSet() | ast.NodesFile()
        ):  # fmt: skip
            text = " ".join(text_of(program, expr).split())
            drawn.letters[text] = _places(program, expr)
            return {text: None}, {text: None}
        case _:
            raise _CannotList(f"`{text_of(program, expr)}` is a set whose nodes are not drawn")


def _step(
    program: Program, step: ast.Hop | ast.Repeat, last: dict[str, None], drawn: Drawing
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
    program: Program, last: dict[str, None], hop: ast.Hop, first: dict[str, None], drawn: Drawing
) -> None:
    """Note the edges of one arrow: all pairs that the model may have."""
    arrow = text_of(program, hop.arrow)
    if hop.arrow.reach:
        raise _CannotList(f"`{arrow}` stands for any nodes between")
    # A list of edges refuses a pair of sets without any edge; a repeated section may have one.
    if any(_may_read(drawn.letters[a], drawn.letters[b]) for a in last for b in first):
        drawn.pairs[f"{_set(last)} {arrow} {_set(first)}"] = None


def _set(letters: dict[str, None]) -> str:
    return next(iter(letters)) if len(letters) == 1 else "{" + ", ".join(letters) + "}"


# -------------------------------------------------------------------------------------------------
# Layers
# -------------------------------------------------------------------------------------------------

# Where a node stands: its layer, and 0 for a head or 1 for an MLP; heads of a layer are read by its
# MLP. The first and last place of each letter, as far as it is written.
Places = tuple[tuple[float, int], tuple[float, int]]
_ANYWHERE: Places = ((-inf, 0), (inf, 1))


def _may_read(sender: Places, receiver: Places) -> bool:
    return sender[0] < receiver[1]


def _places(program: Program, node: ast.Node) -> Places:
    """The first and last place that a node reference may mean."""
    match node:
        case ast.HeadRef(layer=layer) | ast.KvRef(layer=layer):
            return _span(layer, 0)
        case ast.MlpRef(layer=layer) | ast.NeuronRef(layer=layer):
            return _span(layer, 1)
        case ast.Name(name=name) if name in program.groups:
            return _places(program, program.groups[name].nodes)
        case ast.NodeSet(members=members) if members:
            found = [_places(program, member) for member in members]
            return min(first for first, _ in found), max(last for _, last in found)
        case _:
            return _ANYWHERE


def _span(layer: ast.Indices, kind: int) -> Places:
    if layer.every:
        return (-inf, kind), (inf, kind)
    return (min(a for a, _ in layer.ranges), kind), (max(b for _, b in layer.ranges), kind)
