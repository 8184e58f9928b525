"""The path sets that a claim is about: those of its runs and scores, through lets and brackets.

for subject in subjects(program, claim):
    subject.paths, subject.how
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

from pathdsl.lang import ast
from pathdsl.lang.loops import combinations, sides_of, substituted, variants
from pathdsl.lang.program import Program
from pathdsl.lang.serving import form_of
from pathdsl.lang.signatures.correlations import each_member
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.signatures.scores import SCORES, ScoreRecord
from pathdsl.lang.walk import children, strip
from pathdsl.record import record

__all__ = [
    "Subject", "hypothesis_of", "is_about", "is_complement", "is_control", "left_out", "meant",
    "subjects",
]  # fmt: skip

Bound = Mapping[str, Any]
"""What loop variables stand for; whoever asks decides of what kind that is."""
How = Literal["kept", "treated", "scored", "counted", "scope"]

_ASKS = {"above": 1, "below": -1, "around": 0}
_BETTER = {"larger": 1, "smaller": -1, "size": 0, "neither": 0}


@record
class Subject:
    """One path set of a claim as written, with the loop variables in reach.

    `how`: what the claim does with it. `kept`: all else is treated, in a run or by a score that the
    set of all paths would pass; `treated`; `scored`, otherwise; `counted` on the graph alone; or it
    is the `scope` of another one. `scope` is that of a set that is measured. `wants`: 1 where the
    claim asks that the model do well with the set, -1 for not well, 0 where the form does not say.
    """

    paths: ast.PathExpr
    how: How
    scope: ast.PathExpr | None
    wants: int
    bound: Bound


class Members(Protocol):
    """Members of loops on one model: expressions with the items of lists in place, and bindings."""

    def named(self, let: ast.LetDecl, node: ast.Subscript, bound: Bound) -> tuple[ast.Node, Bound]:
        """The expression of the member of a let that a subscript names."""

    def of(self, over: ast.OverMembers, bound: Bound) -> Iterable[tuple[ast.Node, Bound]]:
        """What a function over members takes of each."""


def subjects(
    program: Program,
    claim: ast.ClaimDecl,
    bound: Bound | None = None,
    members: Members | None = None,
) -> Iterator[Subject]:
    """Every path set of a claim of a program without faults, in the order of mention.

    `bound` is what the claim's own loop variables stand for, and `members` says what those of a
    `let` stand for where it is named with a member, and those of a function over members; without
    it no nodes are bound.
    """
    asks = _ASKS[RELATIONS[claim.relation].asks]
    if claim.expect == "refuted":  # what is meant is the opposite
        asks = -asks or -1
    sides = [(claim.left, asks), (claim.right, -asks)]
    pending: list[tuple[ast.Node, int, Bound, bool]] = [
        (side, wants, bound or {}, False) for side, wants in reversed(sides)
    ]
    seen: set[tuple[str, str, int, bool]] = set()
    while pending:
        node, wants, within, compared = pending.pop()
        named: ast.LetDecl | None = None
        of_named: list[tuple[ast.Node, Bound]] = []
        match node:
            case ast.Name(name=name) if (
                name in program.lets and name not in within and program.lets[name].loop is not None
            ):  # a family, whose members are correlated
                pending.append((each_member(program.lets[name]), 0, within, compared))
            case ast.Name(name=name) if name in program.lets and name not in within:
                named = program.lets[name]
                of_named = [(named.expression, {})]
            case ast.Subscript(name=name) if name.name in program.lets:
                named = program.lets[name.name]
                if members is not None and named.loop is not None:
                    of_named = [members.named(named, node, within)]
                else:
                    of_named = [(sides_of(one)[0], {}) for _, one in variants(program, named)]
            case ast.OverMembers(relation=relation):
                if members is not None:
                    each = list(members.of(node, within))
                else:
                    each = [
                        (substituted(part, values), within)
                        for values in combinations(node.loop, program)
                        for part in node.sides
                    ]
                asked = wants if relation is None else 0  # of how many, and not how well
                pending += [(one, asked, inside, compared) for one, inside in reversed(each)]
            case ast.PathRun():
                yield from _of_run(node, wants, within)
            case ast.Score():
                record = SCORES[node.name]
                yield from _of_score(node, record, wants, within, compared)
                if record.of in ("run", "score"):
                    of_score = record.of == "score"
                    pending += [(one, wants, within, of_score) for one in reversed(node.subjects)]
            case ast.Binary(op=op, left=left, right=right):
                turned = -wants if op in ("-", "/") else wants
                pending += [(right, turned, within, compared), (left, wants, within, compared)]
            case ast.Unary(operand=operand):
                pending.append((operand, -wants, within, compared))
            case ast.PlainRun():
                pass
            case _:
                pending += [(one, wants, within, compared) for one in reversed(children(node))]
        if named is not None:
            inners = [bound for _, bound in of_named]
            labels = "".join(getattr(m, "label", "") for inner in inners for m in inner.values())
            key = named.name.name, labels, wants, compared
            if key not in seen:
                seen.add(key)
                pending += [(one, wants, inner, compared) for one, inner in reversed(of_named)]


def _of_run(run: ast.PathRun, wants: int, bound: Bound) -> Iterator[Subject]:
    scope = _scope(run.options)
    how: How = "kept" if run.which == "keep" else "treated"
    yield Subject(paths=run.paths, how=how, scope=scope, wants=wants, bound=bound)
    if scope is not None:
        yield Subject(paths=scope, how="scope", scope=None, wants=wants, bound=bound)


def _of_score(
    score: ast.Score, record: ScoreRecord, wants: int, bound: Bound, compared: bool
) -> Iterator[Subject]:
    scope = _scope(score.options)
    how: How = "scored"
    if record.gives == "count":
        how = "counted"
    elif record.eased_by_width and not compared:  # random sets as wide are a fair comparison
        how = "kept"
    better = wants * _BETTER[form_of(score).better]
    if record.of == "paths":
        for paths in score.subjects:
            yield Subject(paths=paths, how=how, scope=scope, wants=better, bound=bound)  # type: ignore[arg-type]
    if scope is not None:
        yield Subject(paths=scope, how="scope", scope=None, wants=better, bound=bound)


def _scope(options: tuple[ast.Argument, ...]) -> ast.PathExpr | None:
    found = next((one.value for one in options if one.keyword == "scope"), None)
    return found  # type: ignore[return-value]


# ------------------------------------------------------------------------------- what is written


def hypothesis_of(program: Program) -> str | None:
    """The path set that the circuit block names, or None."""
    for field in program.circuit.fields if program.circuit else ():
        if field.name == "hypothesis" and isinstance(field.value, ast.Name):
            return field.value.name
    return None


def meant(program: Program, paths: ast.Node, bound: Bound | None = None) -> ast.Node:
    """What a path expression stands for: without brackets, and named sets by what they name.

    Two that are written alike are equal, also where one of them has a name.
    """
    seen: set[str] = set()
    while True:
        paths = strip(paths)
        if not isinstance(paths, ast.Name) or paths.name in (bound or {}):
            return paths
        declared = program.paths.get(paths.name)
        if declared is None or paths.name in seen:
            return paths
        seen.add(paths.name)
        paths = declared.path


def is_complement(program: Program, paths: ast.Node) -> bool:
    """Whether a set is written as all paths but some, `full - P - Q`."""
    return bool(left_out(program, paths))


def left_out(program: Program, paths: ast.Node) -> tuple[ast.Node, ...]:
    """What a complement leaves out: P and Q of `full - P - Q`; () for any other set."""
    gone: list[ast.Node] = []
    found = meant(program, paths)
    while isinstance(found, ast.SetOp) and found.op == "-" and found.right not in gone:
        gone.append(found.right)
        found = meant(program, found.left)
    return tuple(reversed(gone)) if isinstance(found, ast.Full) else ()


def is_control(program: Program, paths: ast.Node) -> bool:
    """Whether a set is drawn at random, or is all but such a one."""
    drawn = [paths, *left_out(program, paths)]
    return any(isinstance(meant(program, one), ast.RandomLike | ast.RandomEdges) for one in drawn)


def is_about(program: Program, subject: Subject, name: str) -> bool:
    """Whether a claim measures a named path set, or all but it; no count of nodes measures one."""
    if subject.how in ("scope", "counted"):
        return False
    wanted = meant(program, program.paths[name].path)
    found = meant(program, subject.paths, subject.bound)
    if isinstance(found, ast.Full) and subject.scope is not None:
        found = meant(program, subject.scope, subject.bound)
    return wanted in (found, *(meant(program, one) for one in left_out(program, found)[:1]))
