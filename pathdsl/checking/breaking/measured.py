"""What a claim measures, beside what it measured: trees of expressions, path sets on the graph.

The text cannot tell whether `(-> mlp)*` became wider; the automata can. A path set is wider when
the earlier one minus it is empty and it minus the earlier one is not. Both are resolved on the
graph of the model as it is now. Where positions are named, a difference counts that some prompt
could show, so `wider` and `narrower` hold for every prompt.

Source: path patterns as regular languages, Goldowsky-Dill et al. 2023 (arXiv:2304.05969).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from pathdsl.checking.breaking.changes import Change, Kind, written
from pathdsl.checking.digests import digest_of, place_of
from pathdsl.errors import PathdslError
from pathdsl.graph.paths.pathset import minus
from pathdsl.graph.resolve.instances import Instance, instances
from pathdsl.graph.resolve.places import Bindings
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.canonical import spelled
from pathdsl.lang.defaults import meant
from pathdsl.lang.loops import Values, combinations, substituted
from pathdsl.lang.program import Program
from pathdsl.lang.serving import choose_metric
from pathdsl.lang.signatures.calls import resolve_arguments
from pathdsl.lang.signatures.interventions import VECTOR
from pathdsl.lang.signatures.kinds import literal
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import compared, strip

__all__ = ["Pair", "expanded", "measured", "name_now", "relation_of", "skeleton"]

_PATHS = get_args(ast.PathExpr)


@dataclass(slots=True, kw_only=True)
class Pair:
    """Two programs, the names that changed between them, and the graph, where it is known."""

    old: Program
    new: Program
    names: Mapping[str, str]
    resolvers: tuple[Resolver, Resolver] | None
    why: str = ""
    opened: list[str] = field(default_factory=list)


def measured(
    pair: Pair,
    old: ast.ClaimDecl,
    new: ast.ClaimDecl,
    before: ast.Expr,
    after: ast.Expr,
    kinds: Mapping[str, Kind],
    what: str = "measures something else",
) -> Iterator[Change]:
    """The expression of a claim: its shape first, then each of its path sets.

    `kinds` says what a `wider` and a `narrower` path set make of the claim, and, for a score, what
    `fewer` and `more` knockouts do. `what` is said of an expression of another shape.
    """
    of = f"claim {old.name.name}"
    options = list(_options(pair, before, after, kinds, of))
    if options:
        yield from options
        before, after = _bare(before), _bare(after)
    (a, paths), (b, others) = skeleton(pair, pair.old, before), skeleton(pair, pair.new, after)
    if a != b or len(paths) != len(others):
        yield Change(
            kind="changed", of=of, what=what,
            before=written(pair.old, before), after=written(pair.new, after),
        )  # fmt: skip
        return
    told = set()
    for one, two in zip(paths, others, strict=True):
        if all(
            expanded(pair.old, substituted(one, a)) == expanded(pair.new, substituted(two, b))
            for a, b in items_of_both(pair, old, new)
        ):
            continue
        texts = written(pair.old, one), written(pair.new, two)
        if texts in told:
            continue
        told.add(texts)
        relation, about = _related(pair, old, new, one, two)
        if relation == "equal":
            continue
        title = f"{relation} path set" if relation in kinds else "another path set"
        yield Change(
            kind=kinds.get(relation, "changed"), of=of, what=title + (f" ({about})" * bool(about)),
            before=texts[0], after=texts[1] if texts[0] != texts[1] else "",
        )  # fmt: skip


# ------------------------------------------------------------------------------- options of scores


def _bare(node: ast.Expr) -> ast.Expr:
    """A score without its options; anything else as it is."""
    score = strip(node)
    return replace(score, options=()) if isinstance(score, ast.Score) else node


def _options(
    pair: Pair, before: ast.Expr, after: ast.Expr, kinds: Mapping[str, Kind], of: str
) -> Iterator[Change]:
    """Each option that differs between two scores that are one but for options."""
    one, two = strip(before), strip(after)
    if not isinstance(one, ast.Score) or not isinstance(two, ast.Score) or one.name != two.name:
        return
    if len(one.subjects) != len(two.subjects) or not all(map(_is_paths, one.subjects)):
        return
    a, b = ({o.keyword: o.value for o in meant(s).options} for s in (one, two))
    for key in dict.fromkeys([*a, *b]):
        sides = ((pair.old, a.get(key)), (pair.new, b.get(key)))
        if key == "metric":
            chosen = [choose_metric(p, s).name for p, s in ((pair.old, one), (pair.new, two))]
            same = None not in chosen and pair.names.get(chosen[0] or "", chosen[0]) == chosen[1]
        elif key == "scope":
            same = expanded(pair.old, a.get(key)) == expanded(pair.new, b.get(key))
        else:
            shapes = [skeleton(pair, p, v)[0] if v is not None else None for p, v in sides]
            same = shapes[0] == shapes[1]
        if not same:
            kind, what = _option(key, sides[0][1], sides[1][1], kinds)
            texts = [written(p, v) or "the default" for p, v in sides]
            yield Change(kind=kind, of=of, what=what, before=texts[0], after=texts[1])


def _option(
    key: str, old: ast.Node | None, new: ast.Node | None, kinds: Mapping[str, Kind]
) -> tuple[Kind, str]:
    if key == "split":  # the default is true
        reused = new is not None and literal(new) is False
        what = "the rows that choose the knockouts now judge them, too"
        return ("weaker", what) if reused else ("noted", "judged on rows of its own")
    if key == "knockouts" and isinstance(old, ast.Call) and isinstance(new, ast.Call):
        counts = [_counts(call) for call in (old, new)]
        if old.name == new.name and counts[0].keys() == counts[1].keys():
            less = [counts[1][name] < number for name, number in counts[0].items()]
            more = [counts[1][name] > number for name, number in counts[0].items()]
            rest = [{k: v for k, v in _filled(c).items() if k not in _COUNTS} for c in (old, new)]
            if rest[0] == rest[1] and any(less) != any(more):
                word = "fewer" if any(less) else "more"
                return kinds.get(word, "changed"), f"{word} knockouts"
    return "changed", f"another `{key}`"


_COUNTS = ("count", "steps", "runs", "sample")


def _filled(call: ast.Call) -> dict[str, object]:
    return resolve_arguments(KNOCKOUTS[call.name], call.arguments)


def _counts(call: ast.Call) -> dict[str, int]:
    return {k: v for k, v in _filled(call).items() if k in _COUNTS and isinstance(v, int)}


def _is_paths(node: ast.Node) -> bool:
    return isinstance(node, _PATHS)


# ------------------------------------------------------------------------------- path sets


def _related(
    pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl, one: ast.PathExpr, two: ast.PathExpr
) -> tuple[str, str]:
    """How the later path set stands to the earlier one, and a path to show it, or why not."""
    if pair.resolvers is None:
        return "", f"not compared on the graph: {pair.why}"
    try:
        members = [
            {name_now(pair, program, m): m for m in instances(program, resolver, loop)}
            for program, resolver, loop in zip(
                (pair.old, pair.new), pair.resolvers, (old.loop, new.loop), strict=True
            )
        ]
        cases = [(m, members[1][label]) for label, m in members[0].items() if label in members[1]]
        found = [
            relation_of(pair.resolvers, a.of(one), b.of(two), (a.bindings, b.bindings))
            for a, b in cases
        ]
    except PathdslError as error:
        return "", f"not compared on the graph: {error.diagnostics[0].message}"
    other = [(relation, path) for relation, path in found if relation != "equal"]
    if len({relation for relation, _ in other}) > 1:
        return "other", ""
    return other[0] if other else ("equal", "")


def name_now(pair: Pair, program: Program, member: Instance) -> tuple[str, ...]:
    """What a member's variables stand for, tasks and metrics by the names that they have now."""
    names = pair.names if program is pair.old else {}
    return tuple(
        names.get(m.label, m.label) if name in member.values else m.label
        for name, m in member.bindings.items()
    )


def items_of_both(
    pair: Pair, old: ast.ClaimDecl, new: ast.ClaimDecl
) -> list[tuple[Values, Values]]:
    """What the lists of a claim's loop stood for, beside the same now; one pair where it has none.

    Items that one claim alone has are told where loops are compared.
    """
    found = [combinations(c.loop, p) for c, p in ((old, pair.old), (new, pair.new))]
    now = {tuple(v.label for v in values.values()): values for values in found[1]}
    names = pair.names
    same = (
        (values, now.get(tuple(names.get(v.label, v.label) for v in values.values())))
        for values in found[0]
    )
    return [(before, after) for before, after in same if after is not None]


def relation_of(
    resolvers: tuple[Resolver, Resolver],
    old: ast.PathExpr,
    new: ast.PathExpr,
    bindings: tuple[Bindings, Bindings] = ({}, {}),
) -> tuple[str, str]:
    """`equal`, `wider`, `narrower` or `other`: the new path set beside the old one; and a path.

    The path is one that came in or went, in words. Both resolvers are of one model. Raises
    PathdslError where a set cannot be resolved.
    """
    a = resolvers[0].path_set(old, bindings[0])
    b = resolvers[1].path_set(new, bindings[1])
    gained, lost = (resolvers[1].sets.product(minus(x, y)) for x, y in ((b, a), (a, b)))
    words = []
    if gained.count():
        words.append(f"now with {gained.examples(1)[0]}")
    if lost.count():
        words.append(f"without {lost.examples(1)[0]}")
    relation = {(True, False): "wider", (False, True): "narrower", (False, False): "equal"}
    return relation.get((gained.count() > 0, lost.count() > 0), "other"), ", ".join(words)


# ------------------------------------------------------------------------------- trees


def skeleton(pair: Pair, program: Program, node: ast.Node) -> tuple[Any, list[ast.PathExpr]]:
    """The tree with names of quantities opened and path sets taken out, and those path sets.

    Tasks and metrics of the earlier program have the names that they have now.
    """
    paths: list[ast.PathExpr] = []
    names = pair.names if program is pair.old else {}

    def shape(value: object) -> Any:
        match value:
            case ast.Group() | ast.Bracket():
                return shape(value.inner)
            case ast.Name(name=name) if name in program.lets and name not in pair.opened:
                pair.opened.append(name)
                declaration = program.lets[name]
                found = shape(declaration.expression)  # as if it stood in the claim itself
                if declaration.loop is not None:
                    found = [shape(declaration.loop), found]
                pair.opened.pop()
                return found
            case ast.Name(name=name) if name in program.groups or name in program.paths:
                paths.append(value)
                return "path"
            case ast.Name(name=name):
                return {**spelled(value), "name": names.get(name, name)}
            case ast.Call(name=name):
                return {"call": names.get(name, name), **inside(value)}
            case ast.Loop(bindings=bindings):
                return ["for", *(shape(one.members) for one in bindings)]
            case ast.Score(name=name) if SCORES[name].of_file:  # the order of edges counts
                return {"is": value.name, "of": expanded(program, value.subjects), **inside(value)}
            case _ if isinstance(value, _PATHS):
                paths.append(value)
                return "path"
            case ast.Node():
                return {"is": type(value).__name__, **inside(value)}
            case tuple():
                return [shape(item) for item in value]
            case _:
                return spelled(value)

    def inside(node: ast.Node) -> dict[str, Any]:
        value = meant(node)
        return {
            name: shape(getattr(value, name))
            for name in compared(value)
            if not (isinstance(value, ast.Call) and name == "name")
        }

    return shape(node), paths


def expanded(program: Program, node: object, opened: tuple[str, ...] = ()) -> Any:
    """A path expression spelled with every group, path and file in the place of its name."""
    match node:
        case ast.EdgesFile(path=path):
            listed = [expanded(program, option, opened) for option in node.options]
            return ["edges", _digest(program, node, path), listed]
        case ast.NodesFile(path=path):
            listed = [expanded(program, part, opened) for part in (*node.options, node.at)]
            return ["nodes", _digest(program, node, path), listed]
        case ast.Call(name=VECTOR.name, arguments=(ast.Argument(value=ast.String(value=path)), *_)):
            return ["vector", _digest(program, node, path), spelled(node.arguments[1:])]
        case ast.Group():
            return expanded(program, node.inner, opened)
        case ast.Name(name=name) if name in program.paths and name not in opened:
            return expanded(program, program.paths[name].path, (*opened, name))
        case ast.Name(name=name) if name in program.groups and name not in opened:
            group, more = program.groups[name], (*opened, name)
            inside = [expanded(program, group.nodes, more), expanded(program, group.at)]
            return ["group", inside, expanded(program, node.at)]
        case ast.Node():
            inside = [getattr(node, name) for name in compared(node)]
            return [type(node).__name__, *(expanded(program, one, opened) for one in inside)]
        case tuple():
            return [expanded(program, item, opened) for item in node]
        case _:
            return spelled(node)


def _digest(program: Program, at: ast.Node, path: str) -> str:
    """The sha256 of a file that a node names; "" where it cannot be read, which a check tells."""
    try:
        return digest_of(program, place_of(at, path)) or ""
    except OSError:
        return ""
