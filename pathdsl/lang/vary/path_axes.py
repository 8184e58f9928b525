"""Axes of the path sets: which paths a drawing stands for, and whether positions count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pathdsl.lang import ast
from pathdsl.lang.loops import is_listed, loops_of
from pathdsl.lang.program import Program
from pathdsl.lang.vary.axis import below
from pathdsl.lang.vary.drawing import drawing_of
from pathdsl.lang.vary.edits import Edit, replaced
from pathdsl.lang.walk import children
from pathdsl.record import record

__all__ = ["Positions", "Reading"]


@record
class Positions:
    """Positions on nodes, or none: every node then stands at every position."""

    name: str = "positions"
    probe: str = ""
    nothing: str = "no node of the claims has a position"

    def values(self, program: Program) -> tuple[str, ...]:
        """`off` where some node of a group, path or claim has a position."""
        return ("off",) if any(True for _ in _places(program)) else ()

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims for each of several positions; one without positions keeps its number."""
        return {
            claim.name.name: "it ranges over positions"
            for claim in program.claims
            if any(_ranges_over_positions(program, one) for one in below(program, claim))
        }

    def edits(self, program: Program, value: str) -> list[Edit]:
        """Every `@P` of a node taken out; where metrics read stays."""
        return [replaced(place, "") for place in _places(program)]


def _ranges_over_positions(program: Program, node: ast.Node) -> bool:
    if not isinstance(node, ast.Loop):
        return False
    names = {one.variable.name for one in node.bindings if is_listed(one.members)}
    stand = {
        place.variable or place.name
        for declaration in (*program.lets.values(), *program.claims)
        if any(loop is node for loop in loops_of(program, declaration))
        for place in program.nodes(declaration)
        if isinstance(place, ast.Position)
    }
    return bool(names & stand)


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


@record
class Reading:
    """What a drawn path stands for: itself, all paths over its edges, all paths in its nodes.

    A circuit is often drawn as paths, ablated by edges and reported by nodes. `edges` is the set of
    all paths whose every edge lies on the drawing, `nodes` of those that visit its nodes only; each
    holds the one before. A `within(…)` is already the paths over all pairs of its nodes.
    """

    name: str = "reading"
    probe: str = "nodes"
    nothing: str = "nothing to change"

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
                drawn = drawing_of(program, name)
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
            drawn = drawing_of(program, name)
            lines.append(f"\npath {name}_as_{value} = {getattr(drawn, value)}\n")
        return [*edits, Edit(start=end, end=end, text="".join(lines))]


def _named(program: Program, claim: ast.ClaimDecl) -> list[str]:
    nodes = below(program, claim)
    return list(
        dict.fromkeys(n.name for n in nodes if isinstance(n, ast.Name) and n.name in program.paths)
    )
