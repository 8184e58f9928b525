"""Checks of names themselves: reserved, shadowed, circular and unused ones.

Source: docs/language.md, Files, words and literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pathdsl.errors import Diagnostic
from pathdsl.lang import ast
from pathdsl.lang.check.nodes import one_place
from pathdsl.lang.check.scope import Faults, fault, warning
from pathdsl.lang.loops import is_listed, loops_of, meant_nodes, mentioned, variables_of
from pathdsl.lang.program import Declaration, Program, kind_of
from pathdsl.lang.reach import in_order
from pathdsl.lang.serving import choose_metric, known_positions, serving, wants_metric
from pathdsl.lang.signatures.calls import MEASURES, METHODS, SCORES, STATISTICS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.spelling import as_position, position_text
from pathdsl.lang.syntax.sweep import KEYWORDS
from pathdsl.lang.walk import leveled, quantities, walk
from pathdsl.limits import NAMED_DEPTH

__all__ = ["check_cycles", "check_depth", "check_reserved", "check_unused", "is_reserved"]

WORDS = frozenset(
    (
        *KEYWORDS,
        *"for in at by on with where except expect supported refuted confidence windows".split(),
        *"input logits attn mlp any full none through within edges random_like".split(),
        *"random_edges treat keep treated reference true false END".split(),
    )
)
_NODE = re.compile(r"(?:a\d+(?:h\d+)?|[mrf]\d+)\Z", re.ASCII)


def is_reserved(name: str) -> str:
    """Why a name cannot be declared, or ""."""
    if name in SCORES and SCORES[name].reserved:
        return "the name of a score"
    if any(name in table for table in (STATISTICS, P_VALUES, METHODS)):
        return "a built-in function"
    if name in MEASURES and MEASURES[name].reserved:
        return "a built-in function"
    if name in WORDS:
        return "a word of the language"
    if _NODE.match(name):
        return "the spelling of a node"
    return ""


def check_reserved(program: Program) -> Faults:
    """Declared names and loop variables that are words of the language, or that hide others."""
    positions = {name for task in program.tasks.values() for name in known_positions(program, task)}
    for declaration in [*program.declarations(), *program.models.values()]:
        variables = _variables(program, declaration)
        for name in (declaration.name, *variables):
            why = is_reserved(name.name)
            if why:
                yield fault(
                    "PD102",
                    f"`{name.name}` cannot be a name",
                    name.span,
                    f"is {why}",
                    help=f"for example `my_{name.name}`",
                )
        for variable in variables:
            if (hidden := program.find(variable.name)) is not None:
                yield fault(
                    "PD107",
                    f"the loop variable `{variable.name}` hides a {kind_of(hidden)}",
                    variable.span,
                    "hides it",
                    labels=[(hidden.name.span, "declared here")],
                    help="rename the variable",
                )
        yield from _hiding(program, declaration, positions)


def _variables(program: Program, declaration: Declaration | ast.ModelDecl) -> list[ast.Name]:
    return [one.variable for loop in loops_of(program, declaration) for one in loop.bindings]


def _hiding(
    program: Program, declaration: Declaration | ast.ModelDecl, positions: set[str]
) -> Faults:
    """Variables over lists that are called like a position, and variables inside one another."""
    loops = loops_of(program, declaration)
    for loop in loops:
        for one in loop.bindings:
            if is_listed(one.members) and one.variable.name in positions:
                yield fault(
                    "PD107",
                    f"the loop variable `{one.variable.name}` hides a position",
                    one.variable.span,
                    "hides it",
                    help="rename the variable",
                )
            yield from _moved(program, declaration, one)
    own = getattr(declaration, "loop", None)
    outer = {one.variable.name: one.variable for one in own.bindings} if own is not None else {}
    over = [node for node in program.nodes(declaration) if isinstance(node, ast.OverMembers)]
    for node in over:
        yield from _again(node, outer)
    for node in over:
        inside = {one.variable.name: one.variable for one in node.loop.bindings}
        for inner in walk(node.value):
            if isinstance(inner, ast.OverMembers):
                yield from _again(inner, inside)


def _moved(program: Program, declaration: ast.Node, one: ast.Binding) -> Faults:
    """`@p+1` where p is a span: of which of its ends it says nothing."""
    items = one.members.items if isinstance(one.members, ast.Things) else ()
    several = [at for item in items if (at := as_position(item)) is not None and at.parts]
    for node in program.nodes(declaration) if several else ():
        if isinstance(node, ast.Position) and node.offset and node.name == one.variable.name:
            yield from one_place(
                several[0], f"`@{position_text(node)}` is one place, moved",
                "leave it out of the list, or move its own ends: `S1+1..S2+1`",
            )  # fmt: skip
            return


def _again(over: ast.OverMembers, outer: Mapping[str, ast.Name]) -> Faults:
    for one in over.loop.bindings:
        if (first := outer.get(one.variable.name)) is not None:
            yield fault(
                "PD107",
                f"the variable `{one.variable.name}` hides another of that name",
                one.variable.span,
                "hides it",
                labels=[(first.span, "ranges already")],
                help="rename one of them",
            )


def _mentions(program: Program, declaration: Declaration) -> Iterator[ast.Name]:
    """Every name that a declaration mentions, its own and its loop variable left out."""
    variables = variables_of(program, declaration)
    calls_metrics = not isinstance(declaration, ast.MetricDecl)  # what a metric calls is a measure
    for node in program.nodes(declaration):
        if node is declaration.name:
            continue
        if isinstance(node, ast.Name) and node.name not in variables:
            yield node
        elif calls_metrics and isinstance(node, ast.Call) and node.name in program.metrics:
            yield ast.Name(span=node.name_span, name=node.name)


def check_cycles(program: Program) -> Faults:
    """Groups, paths, lets and tasks that are defined by themselves; each circle is told once."""
    nodes = _defined(program)
    links = {
        name: [n for n in _defining(program, d) if n.name in nodes] for name, d in nodes.items()
    }
    done: set[str] = set()
    for start in nodes:
        if start in done:
            continue
        # A walk without recursion: the names on the way down, and what each still mentions.
        place, waiting = {start: 0}, [iter(links[start])]
        while waiting:
            mention = next(waiting[-1], None)
            if mention is None:
                waiting.pop()
                done.add(place.popitem()[0])
            elif mention.name in place:
                yield _circle(nodes, list(place)[place[mention.name] :], mention)
            elif mention.name not in done:
                place[mention.name] = len(place)
                waiting.append(iter(links[mention.name]))


def _circle(nodes: Mapping[str, Declaration], circle: list[str], mention: ast.Name) -> Diagnostic:
    shown = " -> ".join(f"`{n}`" for n in [*circle, mention.name])
    return fault(
        "PD108",
        f"`{mention.name}` is defined by itself: {shown}",
        mention.span,
        "closes the circle",
        labels=[(nodes[n].name.span, "part of it") for n in circle],
        help="leave one of the mentions out",
    )


def check_depth(program: Program) -> Faults:
    """The first name that stands too deep when what names mean is put in their place."""
    nodes = _defined(program)
    sites: dict[str, list[tuple[str, int]]] = {}
    for name, declaration in nodes.items():
        own = {id(mention) for mention in _defining(program, declaration)}
        sites[name] = [
            (node.name, level + 1)
            for node, level in leveled(declaration)
            if isinstance(node, ast.Name) and id(node) in own and node.name in nodes
        ]
    depth: dict[str, int] = {}
    for name in in_order(lambda one: [other for other, _ in sites[one]], nodes):
        depth[name] = max((at + depth.get(other, 0) for other, at in sites[name]), default=0)
        if depth[name] > NAMED_DEPTH.most:
            yield fault(
                "PD131",
                f"`{name}` is more than {NAMED_DEPTH.most} brackets, operators and names deep",
                nodes[name].name.span,
                "with what it names put in its place",
                help="say the same with fewer names between",
            )
            return


def _defined(program: Program) -> dict[str, Declaration]:
    tables = (program.groups, program.paths, program.lets, program.tasks)
    return {name: declaration for table in tables for name, declaration in table.items()}


def _defining(program: Program, declaration: Declaration) -> Iterator[ast.Name]:
    if isinstance(declaration, ast.TaskDecl):
        yield from filter(None, [declaration.base])
    elif isinstance(declaration, ast.LetDecl):
        listed = declaration.loop.bindings if declaration.loop is not None else ()
        for part in (*(one.members for one in listed), declaration.expression):
            yield from quantities(part)
    else:
        yield from _mentions(program, declaration)


def check_unused(program: Program) -> Faults:
    """Names of this file that nothing mentions; files that are only there to be used have none."""
    if program.is_library or program.broken:
        return
    yield from _unused_variables(program)
    everything = {id(d): d for d in (*program.declarations(), *program.file.statements)}
    told: set[int] = set()
    used = {
        mention.name for d in everything.values() for mention in _all_mentions(program, d, told)
    }
    for declaration in (*program.models.values(), *program.declarations()):
        name = declaration.name.name
        kind = kind_of(declaration)
        if kind == "model" and len(program.models) == 1:
            continue
        if kind in ("let", "claim") or program.origin.get(name) != program.path or name in used:
            continue
        if kind == "task" and len(program.tasks) == 1:
            continue
        if is_reserved(name):  # PD102 is the fault; mentions of it mean the word, not this
            continue
        yield warning(
            "PD104",
            f"the {kind} `{name}` is never used",
            declaration.name.span,
            "not mentioned again",
            help="use it, or leave it out",
        )


def _unused_variables(program: Program) -> Faults:
    """Loops whose members all say the same: `for h in heads` before what no `h` stands in."""
    looped: list[ast.LetDecl | ast.ClaimDecl] = [*program.lets.values(), *program.claims]
    for declaration in looped:
        loop = declaration.loop
        if loop is None or program.origin.get(declaration.name.name) != program.path:
            continue
        variables = [one.variable for one in loop.bindings]
        used = {
            name
            for node in program.nodes(declaration)
            if not any(node is one for one in variables)
            for name in mentioned(node)
        }
        for variable in variables:
            if variable.name not in used:
                yield warning(
                    "PD104",
                    f"the loop variable `{variable.name}` is never used",
                    variable.span,
                    "every member says the same",
                    help="write it where the members differ, or leave the loop out",
                )


def _all_mentions(program: Program, statement: ast.Statement, told: set[int]) -> Iterator[ast.Name]:
    """Every name that a statement mentions; candidates in `told` are left out, and enter it."""
    if isinstance(statement, ast.CircuitDecl | ast.UseDecl):
        yield from (node for node in program.nodes(statement) if isinstance(node, ast.Name))
        return
    yield from _mentions(program, statement)
    scores = [n for n in meant_nodes(program, statement) if isinstance(n, ast.Score)]
    for score in filter(wants_metric, scores):
        chosen = choose_metric(program, score)
        names = (chosen.name,) if chosen.name else chosen.candidates
        if chosen.name or id(names) not in told:
            told.add(id(names))
            yield from (ast.Name(span=score.span, name=name) for name in names)
    # A metric that serves one of several tasks without naming it uses that task.
    if isinstance(statement, ast.MetricDecl) and statement.task is None:
        for name in serving(program, statement):
            yield ast.Name(span=statement.span, name=name)
