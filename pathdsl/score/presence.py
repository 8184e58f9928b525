"""Whether what a hypothesis names is there on the prompts: paths and nodes, prompt by prompt.

A path set may be possible on the graph and still hold no path on some prompt: a position that comes
too late, a relation that no pair of tokens stands in, a position at which nothing is read. On every
prompt: an error, wherever the set is written, as a name, in a run, a score or a scope, or for a
member of a `for`. On some: a warning with their number. Nothing is run for this; the planner's
masks say where paths end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pathdsl.engine.positions import position_mask
from pathdsl.engine.session import Planner
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.components import Layout
from pathdsl.graph.pathset import FULL, NONE, PathSet, Pos, intersection
from pathdsl.graph.places import Bindings, pos_of
from pathdsl.graph.resolver import Resolver
from pathdsl.graph.units import Unit
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import metrics_read, tasks_read
from pathdsl.lang.walk import strip, walk
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.table import CopyTable
from pathdsl.plan.taskdata import TaskData

__all__ = ["Written", "check_presence", "used_paths", "written_sets"]

MAX_UNITS = 400
SHOWN = 5
_RUNS = (ast.PlainRun, ast.PathRun, ast.Score)

Declaration = ast.LetDecl | ast.ClaimDecl


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A path set in a run or score, with the scope that it stands in and the loop around it.

    `scope` and `loop` are None where there is none or where the path set does not depend on it.
    `over` are units to range over in the place of its own.
    """

    paths: ast.PathExpr
    scope: ast.PathExpr | None
    loop: ast.Loop | None
    over: ast.Node | None = None


def check_presence(program: Program, resolver: Resolver, planner: Planner) -> list[Diagnostic]:
    """PD223 for what lies on no prompt, PD224 (warning) for what lies on some only."""
    found: dict[Diagnostic, None] = {}
    declarations = (*program.lets.values(), *program.claims)
    for task in planner.tasks.values():
        here = [d for d in declarations if _measures_on(program, d, task)]
        read = {id(d): _read_positions(program, [d], task) for d in here}
        probes: dict[bytes, _Probe] = {}

        def probe_at(
            where: np.ndarray, task: TaskData = task, probes: dict[bytes, _Probe] = probes
        ) -> _Probe:
            key = where.tobytes()
            if key not in probes:
                probes[key] = _Probe(resolver, planner, task, where)
            return probes[key]

        for name in used_paths(program, here):
            named = [d for d in here if name in used_paths(program, [d])]
            probe = probe_at(np.logical_or.reduce([read[id(d)] for d in named]))
            declaration = program.paths[name]
            what = f"the path set `{name}`"
            found |= dict.fromkeys(
                probe.said(what, declaration.path, declaration.name, {}, f" of `{name}`")
            )
        for declaration in here:
            for one in written_sets(program, declaration):
                said = _written(program, resolver, probe_at(read[id(declaration)]), one)
                found |= dict.fromkeys(said)
    return list(found)


def _written(
    program: Program, resolver: Resolver, probe: _Probe, one: Written
) -> Iterator[Diagnostic]:
    """What is to be said of one path set, for all members of its loop together."""
    told: list[tuple[str, list[Diagnostic]]] = []
    cases: list[tuple[str, Bindings]] = [("", {})]
    if one.loop is not None:
        name = one.loop.variable.name
        cases = [(m.label, {name: m}) for m in resolver.loop(one.loop)]
    for label, bindings in cases:
        at = strip(one.paths)
        known = isinstance(at, ast.Name) and at.name in program.paths and at.name not in bindings
        said = [] if known else list(probe.said("this path set", one.paths, one.paths, bindings))
        if not any(d.severity is Severity.ERROR for d in said):
            said += probe.units_said(one, bindings)
            said += probe.scope_said(one, bindings)
        told.append((label, said))
    if one.loop is None:
        yield from told[0][1]
        return
    variable = one.loop.variable.name
    for code in ("PD223", "PD224"):
        hit = [(label, d) for label, said in told for d in said if d.code == code]
        if not hit:
            continue
        labels = list(dict.fromkeys(label for label, _ in hit))
        more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        listed = ", ".join(f"`{label}`" for label in labels[:SHOWN]) + more
        first = hit[0][1]
        yield replace(
            first,
            notes=(*first.notes, f"with {variable} = {listed}"),
            help=first.help and f"take them out of the `for {variable} in …`; or {first.help}",
        )


def _measures_on(program: Program, declaration: Declaration, task: TaskData) -> bool:
    tasks = tasks_read(program, walk(declaration))
    return not tasks or task.name in tasks


def written_sets(program: Program, declaration: Declaration) -> Iterator[Written]:
    """Path expressions written into the runs and scores of a let or claim, each once."""
    seen: set[Written] = set()
    for node in walk(declaration):
        if isinstance(node, ast.PathRun):
            subjects: tuple[ast.Node, ...] = (node.paths,)
        elif isinstance(node, ast.Score) and node.name not in ("cpr", "cmd"):
            subjects = node.subjects
        else:
            continue
        options = {o.keyword: o.value for o in node.options}
        for subject in subjects:
            scope, over = options.get("scope"), options.get("over")
            if isinstance(node, ast.Score) and node.name == "overlap":
                over = None  # what is counted, no set of nodes
            if isinstance(subject, ast.PathRun) and scope is not None:  # the scope of `accuracy`
                subject = subject.paths
            elif isinstance(subject, _RUNS):
                continue  # walked through by itself
            one = Written(paths=subject, scope=scope, loop=None, over=over)  # type: ignore[arg-type]
            loop = declaration.loop
            if loop is not None and _mentions((subject, scope, over), loop.variable.name):
                one = replace(one, loop=loop)
            if one not in seen:
                seen.add(one)
                yield one


def _drawn(expr: ast.Node) -> bool:
    """Whether chance drew the units of a set, some of which may lie on no path."""
    return any(isinstance(n, ast.RandomLike | ast.RandomEdges) for n in walk(expr))


def _mentions(nodes: Iterable[ast.Node | None], name: str) -> bool:
    found = (n for node in nodes if node is not None for n in walk(node))
    return any(isinstance(n, ast.Name) and n.name == name for n in found)


def used_paths(program: Program, among: Iterable[Declaration] | None = None) -> list[str]:
    """Named paths that a let or claim mentions, in order, without what only other paths use."""
    names: dict[str, None] = {}
    for declaration in (*program.lets.values(), *program.claims) if among is None else among:
        for node in walk(declaration):
            if isinstance(node, ast.Name) and node.name in program.paths:
                names[node.name] = None
    return list(names)


def _read_positions(
    program: Program, declarations: Iterable[Declaration], task: TaskData
) -> np.ndarray:
    """(rows, pos): where the metrics of these declarations read this task's logits or attention."""
    mask = position_mask(task)
    nodes = [node for d in declarations for node in walk(d)]
    places: dict[Pos, None] = {}
    for name in metrics_read(program, nodes):
        metric = program.metrics[name]
        own = pos_of(metric.at) or Pos(name="END")
        for node in walk(metric.expression):
            if isinstance(node, ast.AttentionArgs):
                places[pos_of(node.query) or own] = None
            elif isinstance(node, ast.Call):
                places[pos_of(node.at) or own] = None
    out = np.zeros_like(task.valid)
    for pos in places or {Pos(name="END"): None}:
        if not pos.name or pos.name == "END" or pos.name in task.positions:
            out = out | mask(pos)
    return out if out.any() else mask(Pos(name="END"))


class _Probe:
    """Asks the planner on which rows of a task a path set holds a path."""

    def __init__(
        self, resolver: Resolver, planner: Planner, task: TaskData, read: np.ndarray
    ) -> None:
        self.task = task
        self.resolver = resolver
        self.masks = MaskTable(task.valid)
        self.read = self.masks.intern(read)
        self.layout = Layout(resolver.shape)
        self.limits = planner.limits
        self._position = position_mask(task)
        self._known: dict[Pos, int] = {}
        self._rows: dict[PathSet, np.ndarray] = {}

    def rows_with(self, paths: PathSet) -> np.ndarray:
        """(rows,) bool."""
        if paths not in self._rows:
            self._rows[paths] = self._found(paths)
        return self._rows[paths]

    def _found(self, paths: PathSet) -> np.ndarray:
        table = CopyTable(
            self.layout,
            self.masks,
            (False,),
            max_states=self.limits.max_states,
            max_copies=self.limits.max_copies,
        )
        builder = RunBuilder(table, paths, 0, self._mask)
        ends = self.masks.both(builder.logits().cut, self.read)
        return self.masks.array(ends).any(axis=1)

    def said(
        self,
        what: str,
        expr: ast.PathExpr,
        node: ast.Node,
        bindings: Bindings,
        of: str = "",
    ) -> list[Diagnostic]:
        """What is to be said of a path set; with `of`, of the units that it names, too."""
        paths = self.resolver.path_set(expr, bindings)
        if paths in (FULL, NONE):
            return []
        rows = self.rows_with(paths)
        found = _said(what, rows, node, self.task)
        if of and rows.any() and not _drawn(expr):
            found += self._parts(paths, self.resolver.units(expr, bindings), rows, node, of)
            found += self._marks(expr, bindings)
        return found

    def units_said(self, one: Written, bindings: Bindings) -> list[Diagnostic]:
        """What is to be said of the units of a path set that has no name, or of `over:`."""
        expr = strip(one.paths)
        named = isinstance(expr, ast.Name) and expr.name not in bindings
        paths = self.resolver.path_set(one.paths, bindings)
        if paths in (FULL, NONE) or (named and one.over is None):
            return []
        if one.over is not None and isinstance(strip(one.over), ast.Edges | ast.EdgesFile):
            return []
        if one.over is None and _drawn(one.paths):
            return []
        node = one.over if one.over is not None else one.paths
        units = self.resolver.units(one.paths, bindings, one.over)
        found = self._parts(paths, units, self.rows_with(paths), node, " of this path set")
        return found + self._marks(one.paths, bindings)

    def scope_said(self, one: Written, bindings: Bindings) -> list[Diagnostic]:
        """What is to be said of a path set within its scope."""
        if one.scope is None:
            return []
        paths = self.resolver.path_set(one.paths, bindings)
        scope = self.resolver.path_set(one.scope, bindings)
        if NONE in (paths, scope):
            return []
        if not (within := self.rows_with(scope)).any():
            return _said("this scope", within, one.scope, self.task)
        return _said("this path set, within its scope,", self.rows_with(intersection(paths, scope)),
                     one.paths, self.task)  # fmt: skip

    def _parts(
        self,
        paths: PathSet,
        units: Iterable[Unit],
        rows: np.ndarray,
        node: ast.Node,
        of: str,
    ) -> list[Diagnostic]:
        """What is to be said of units that lie on fewer prompts than the set."""
        found = []
        for unit in tuple(units)[:MAX_UNITS]:
            met = self.rows_with(intersection(paths, self.resolver.through([unit])))
            if met.sum() < rows.sum():
                found += _said(f"`{unit.label}`{of}", met, node, self.task)
        return found

    def _marks(self, expr: ast.Node, bindings: Bindings) -> list[Diagnostic]:
        """What is to be said of a mark beside other members of one `through`."""
        found = []
        for one in walk(expr):
            if isinstance(one, ast.Through) and len(one.nodes) > 1:
                for ref in one.nodes:
                    if isinstance(strip(ref), ast.ResidRef):
                        alone = self.resolver.path_set(replace(one, nodes=(ref,)), bindings)
                        found += _said("this mark", self.rows_with(alone), ref, self.task)
        return found

    def _mask(self, pos: Pos) -> int:
        if pos not in self._known:
            self._known[pos] = self.masks.intern(self._position(pos))
        return self._known[pos]


def _said(what: str, rows: np.ndarray, node: ast.Node, task: TaskData) -> list[Diagnostic]:
    missing = int((~rows).sum())
    if not missing:
        return []
    verb = "lies on no path" if what.startswith("`") else "holds no path"
    first = task.row_ids[int(np.flatnonzero(~rows)[0])]
    if missing == len(rows):
        return [
            Diagnostic(
                code="PD223",
                message=f"{what} {verb} on any prompt of task `{task.name}`",
                span=node.span,
                notes=(f"row `{first}` is the first of {len(rows)}",),
                help="look at the positions: keys and values are read at or before the head; "
                "`pathdsl explain FILE:NAME` shows the paths",
            )
        ]
    return [
        Diagnostic(
            code="PD224",
            message=f"{what} has no path on {missing} of {len(rows)} prompts of task `{task.name}`",
            span=node.span,
            notes=(f"row `{first}` is the first",),
            severity=Severity.WARNING,
        )
    ]
