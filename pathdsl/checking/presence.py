"""Whether what a hypothesis names is there on the prompts: paths and nodes, prompt by prompt.

A path set may be possible on the graph and still hold no path on some prompt: a position that comes
too late, a relation that no pair of tokens stands in, a position at which nothing is read. On every
prompt: an error, wherever the set is written, as a name, in a run, a score or a scope, or for a
member of a `for`. On some: a warning with their number. Where all its paths begin at tokens that
the reference and the treated prompt have in common, or a mean at named places has no value for what
it treats, treating it changes nothing, which is another warning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from pathdsl.checking.probe import Probe, Written
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.planner import Planner
from pathdsl.errors import Diagnostic, Severity, errors_in
from pathdsl.graph.paths.pathset import FULL, Pos
from pathdsl.graph.resolve.instances import instances
from pathdsl.graph.resolve.places import pos_of
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.loops import meant_nodes, mentioned
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    form_of,
    metrics_placed,
    named_option,
    scores_meant,
    tasks_read,
    treated_by,
)
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.measures import MEASURES, columns_in
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.walk import children, strip, walk
from pathdsl.plan.readout import BEFORE_ANSWER
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.score.statistics.book import Book

__all__ = ["Written", "check_presence", "used_paths"]

SHOWN = 5
_RUNS = (ast.PlainRun, ast.PathRun, ast.Score)

Declaration = ast.LetDecl | ast.ClaimDecl


def check_presence(
    program: Program, resolver: Resolver, planner: Planner, book: Book | None = None
) -> list[Diagnostic]:
    """PD223 for what lies on no prompt; warnings: PD224, and PD518, PD535 for nothing moved.

    `book` has what was found before.
    """
    faults: dict[Diagnostic, None] = {}
    declarations: tuple[Declaration, ...] = (*program.lets.values(), *program.claims)
    elsewhere = _with_other_values(program, declarations)
    mentions = {id(d): used_paths(program, [d]) for d in declarations}
    anywhere = used_paths(program)
    for prompts in planner.tasks.values():
        graph = resolver.on(prompts.name)
        task = prompts.longest or prompts
        here = [d for d in declarations if _measures_on(program, d, task, resolver)]
        read = {id(d): _read_positions(program, [d], task, prompts.branches) for d in here}
        probes: dict[bytes, Probe] = {}

        def probe_at(
            where: np.ndarray,
            task: TaskData = task,
            probes: dict[bytes, Probe] = probes,
            graph: Resolver = graph,
        ) -> Probe:
            key = where.tobytes()
            if key not in probes:
                probes[key] = Probe(graph, planner, task, where, book)
            return probes[key]

        used = used_paths(program, here)
        for name in used:
            named = [d for d in here if name in mentions[id(d)]]
            probe = probe_at(np.logical_or.reduce([read[id(d)] for d in named]))
            path = program.paths[name]
            what, node = f"the path set `{name}`", path.name
            said = probe.said(what, path.path, node, {}, f" of `{name}`")
            if not errors_in(said):
                said += probe.taken_said(path.path, {}, used)
            if name not in elsewhere and not errors_in(said):
                said += probe.unmoved(f"`{name}`", graph.path_set(path.path), node)
            faults |= dict.fromkeys(said)
        for declaration in here:
            probe = probe_at(read[id(declaration)])
            for one in _written_sets(declaration):
                faults |= dict.fromkeys(_written(program, graph, probe, one, anywhere))
            for run, own in _treated_runs(program, declaration):
                if own is not None or (probe.treated is not None and probe.treated.placed):
                    faults |= dict.fromkeys(probe.unmoved("the treated run", FULL, run, own))
    return list(faults)


def placed_value(value: ast.Node | None) -> TreatedSpec | None:
    """A treated value that is a mean at named places; None for any other."""
    if value is None or isinstance(value, ast.PlainRun):
        return None
    found = treated_spec(value)
    return found if found.placed else None


def _treated_runs(
    program: Program, declaration: Declaration
) -> Iterator[tuple[ast.Node, TreatedSpec | None]]:
    """Where a let or claim reads the treated run, with the run's own mean at named places."""
    nodes = list(meant_nodes(program, declaration))
    for node in nodes:
        if isinstance(node, ast.PlainRun) and node.which == "treated":
            yield node, None
    for score in scores_meant(nodes).values():
        if form_of(score).divides_by != "nothing":
            value = treated_by(score)
            if value is None or placed_value(value) is not None:
                yield score, placed_value(value)


def _written(
    program: Program, resolver: Resolver, probe: Probe, one: Written, used: list[str]
) -> Iterator[Diagnostic]:
    """What is to be said of one path set, for all members of its loop together.

    `used`: the named paths that are looked at by themselves.
    """
    told: list[tuple[str, list[Diagnostic]]] = []
    written = one
    for case in instances(program, resolver, written.loop):
        label, bindings = case.label, case.bindings
        one = replace(
            written,
            paths=case.of(written.paths),
            scope=written.scope and case.of(written.scope),
            over=written.over and case.of(written.over),
        )
        at = strip(one.paths)
        known = isinstance(at, ast.Name) and at.name in program.paths and at.name not in bindings
        said = [] if known else probe.said("this path set", one.paths, one.paths, bindings)
        if not errors_in(said):
            own = placed_value(one.treated)
            if (not known and one.treated is None) or own is not None:
                paths = resolver.path_set(one.paths, bindings)
                said += probe.unmoved("this path set", paths, one.paths, own)
            said += probe.units_said(one, bindings)
            said += probe.scope_said(one, bindings)
            for expr in (one.paths, one.scope):
                said += probe.taken_said(expr, bindings, used)
        told.append((label, said))
    if one.loop is None:
        yield from told[0][1]
        return
    variable = ", ".join(one.loop.names)
    for code in ("PD223", "PD224", "PD518", "PD535"):
        hit = [(label, d) for label, said in told for d in said if d.code == code]
        if not hit:
            continue
        labels = list(dict.fromkeys(label for label, _ in hit))
        if code in ("PD518", "PD535") and len(labels) < len(told):
            continue  # a sweep may begin where the prompts are equal yet
        more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        listed = ", ".join(f"`{label}`" for label in labels[:SHOWN]) + more
        first = hit[0][1]
        if code == "PD223" and len(one.loop.names) > 1 and len(labels) < len(told):
            # None of a product can be left out alone: what it measures there is 0 by construction.
            yield replace(
                first,
                code="PD224",
                severity=Severity.WARNING,
                message=f"{first.message}, for {len(labels)} of {len(told)} members",
                notes=(*first.notes, f"with {variable} = {listed}"),
                help="nothing is treated there: take the members out, or know that they are 0",
            )
            continue
        yield replace(
            first,
            notes=(*first.notes, f"with {variable} = {listed}"),
            help=first.help
            and f"take {'it' if len(labels) == 1 else 'them'} out of the `for {variable} in …`, or "
            + first.help,
        )


def _with_other_values(program: Program, declarations: Iterable[Declaration]) -> set[str]:
    """Names in the path sets of runs and scores that name a treated value of their own."""
    nodes = [n for d in declarations for n in meant_nodes(program, d)]
    runs = [n for n in nodes if isinstance(n, ast.PathRun)]
    other: list[ast.PathRun | ast.Score] = [*runs, *scores_meant(nodes).values()]
    sets = [
        paths
        for one in other
        if treated_by(one) is not None
        for paths in ((one.paths,) if isinstance(one, ast.PathRun) else one.subjects)
    ]
    return {n.name for paths in sets for n in walk(paths) if isinstance(n, ast.Name)}


def _measures_on(
    program: Program, declaration: Declaration, task: TaskData, resolver: Resolver
) -> bool:
    """Whether a declaration is looked at on a task; not where its tasks' models differ in shape,
    since which of its sets is whose is only worked out when runs are."""
    tasks = tasks_read(program, meant_nodes(program, declaration))
    if len({resolver.on(name) for name in tasks}) > 1:
        return False
    return not tasks or task.name in tasks


def _written_sets(declaration: Declaration) -> Iterator[Written]:
    """Path expressions written into the runs and scores of a let or claim, each once."""
    seen: set[Written] = set()
    nodes = list(_in_loops(declaration))
    whole = scores_meant(node for node, _ in nodes)
    for node, loop in nodes:
        node = whole.get(id(node), node)
        if isinstance(node, ast.PathRun):
            subjects: tuple[ast.Node, ...] = (node.paths,)
        elif isinstance(node, ast.Score) and not SCORES[node.name].of_file:
            if SCORES[node.name].of == "unit" and not _treats_paths(node):
                continue
            subjects = node.subjects
        else:
            continue
        options = {o.keyword: o.value for o in node.options}
        for subject in subjects:
            scope, over = options.get("scope"), options.get("over")
            if isinstance(node, ast.Score) and SCORES[node.name].gives == "count":
                over = None  # what is counted, no set of nodes
            if isinstance(subject, ast.PathRun) and scope is not None:  # the scope of `accuracy`
                subject = subject.paths
            elif isinstance(subject, _RUNS):
                continue  # walked through by itself
            one = Written(
                paths=subject,  # type: ignore[arg-type]
                scope=scope,  # type: ignore[arg-type]
                loop=None,
                over=over,
                treated=options.get("treated"),
            )
            used = _mentioned((subject, scope, over)).intersection(loop.names if loop else ())
            if loop is not None and used:
                first, *more = (b for b in loop.bindings if b.variable.name in used)
                one = replace(
                    one,
                    loop=replace(
                        loop, variable=first.variable, members=first.members, more=tuple(more)
                    ),
                )
            if one not in seen:
                seen.add(one)
                yield one


def _treats_paths(score: ast.Score) -> bool:
    """Whether an attribution is of the paths through its unit: no input of a head, no estimate."""
    exact = ATTRIBUTIONS[str(named_option(score.options, "by"))].exact
    return exact and named_option(score.options, "slot") is None


def _in_loops(
    declaration: Declaration,
) -> Iterator[tuple[ast.Node, ast.Loop | None]]:
    """Every node of a let or claim with the loops around it, as one."""
    pending: list[tuple[ast.Node, ast.Loop | None]] = [(declaration, declaration.loop)]
    while pending:
        node, loop = pending.pop()
        yield node, loop
        if isinstance(node, ast.OverMembers):
            own = node.loop
            loop = own if loop is None else replace(loop, more=(*loop.more, *own.bindings))
        pending += [(child, loop) for child in reversed(children(node))]


def _mentioned(nodes: Iterable[ast.Node | None]) -> set[str]:
    found = (n for node in nodes if node is not None for n in walk(node))
    return {name for n in found for name in mentioned(n)}


def used_paths(program: Program, among: Iterable[Declaration] | None = None) -> list[str]:
    """Named paths that a let or claim mentions, in order, without what only other paths use."""
    names: dict[str, None] = {}
    for declaration in (*program.lets.values(), *program.claims) if among is None else among:
        for node in meant_nodes(program, declaration):
            if isinstance(node, ast.Name) and node.name in program.paths:
                names[node.name] = None
    return list(names)


def _read_positions(
    program: Program, declarations: Iterable[Declaration], task: TaskData, whole: Collection[str]
) -> np.ndarray:
    """(rows, pos): where the metrics of these declarations read this task's logits or attention.

    `whole`: columns whose answers are read behind the prompts.
    """
    mask = position_mask(task)
    nodes = [node for d in declarations for node in meant_nodes(program, d)]
    places: dict[Pos, None] = {}
    for metric in metrics_placed(program, nodes):
        own = pos_of(metric.at) or Pos(name="END")
        for node in walk(metric.expression):
            if isinstance(node, ast.AttentionArgs):
                places[pos_of(node.query) or own] = None
            elif isinstance(node, ast.Call):
                places[_read_at(node, pos_of(node.at) or own, whole)] = None
    for node in nodes:
        if isinstance(node, ast.Score) and named_option(node.options, "answer") in whole:
            places[Pos.parse(BEFORE_ANSWER)] = None
    out = np.zeros_like(task.valid)
    for pos in places or {Pos(name="END"): None}:
        if pos.names <= task.positions.keys():
            out = out | mask(pos)
    return out if out.any() else mask(Pos(name="END"))


def _read_at(call: ast.Call, at: Pos, whole: Collection[str]) -> Pos:
    """Where a measure is read: of a whole answer before each of its tokens."""
    record = MEASURES.get(call.name)
    if record is None or not record.whole or at != Pos(name="END"):
        return at
    return Pos.parse(BEFORE_ANSWER) if {c.name for c in columns_in(call)} & set(whole) else at
