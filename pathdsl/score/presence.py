"""Whether what a hypothesis names is there on the prompts: paths and nodes, prompt by prompt.

A path set may be possible on the graph and still hold no path on some prompt (a position that
comes too late, a relation that no pair of tokens stands in). On every prompt: an error. On some: a
warning with their number. Where all its paths begin at tokens that the reference and the treated
prompt have in common, treating it changes nothing, which is another warning. Nothing is run for
this; the planner's masks say where paths end.
"""

from __future__ import annotations

import numpy as np

from pathdsl.engine.positions import position_mask
from pathdsl.engine.session import Planner
from pathdsl.engine.treated import moved_places
from pathdsl.errors import Diagnostic, Severity
from pathdsl.graph.components import Layout
from pathdsl.graph.pathset import FULL, NONE, Nodes, PathSet, Pos, intersection
from pathdsl.graph.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.walk import walk
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.runs import TreatedSpec
from pathdsl.plan.table import CopyTable
from pathdsl.plan.taskdata import TaskData

MAX_UNITS = 400
_MOVED = Pos(name="where treating changes the input")


def check_presence(program: Program, resolver: Resolver, planner: Planner) -> list[Diagnostic]:
    """PD223 for what lies on no prompt; warnings: PD224 for some only, PD518 for nothing moved."""
    used = used_paths(program)
    elsewhere = _with_other_values(program)
    found: list[Diagnostic] = []
    for task in planner.tasks.values():
        probe = _Probe(resolver, planner, task, _read_positions(program, task))
        treated = planner.specs[task.name].treated
        for name in used:
            declaration = program.paths[name]
            paths = resolver.path_set(declaration.path)
            if paths in (FULL, NONE):
                continue
            rows = probe.rows_with(paths)
            found += _said(f"the path set `{name}`", rows, declaration.name, task)
            if not rows.any():
                continue
            if name not in elsewhere:
                found += _unmoved(f"`{name}`", paths, declaration.name, probe, treated)
            units = resolver.units(declaration.path)[:MAX_UNITS]
            for unit in units:
                met = probe.rows_with(intersection(paths, resolver.through([unit])))
                if met.sum() < rows.sum():
                    found += _said(f"`{unit.label}` of `{name}`", met, declaration.name, task)
        for expr in inline_paths(program):
            paths = resolver.path_set(expr)
            if paths not in (FULL, NONE):
                found += _said("this path set", probe.rows_with(paths), expr, task)
                if expr not in elsewhere:
                    found += _unmoved("this path set", paths, expr, probe, treated)
    return found


def _with_other_values(program: Program) -> list[ast.PathExpr | str]:
    """Path expressions, and names in them, of runs that name a treated value of their own."""
    found: list[ast.PathExpr | str] = []
    for declaration in (*program.lets.values(), *program.claims):
        for node in walk(declaration):
            if isinstance(node, ast.PathRun) and any(o.keyword == "treated" for o in node.options):
                found.append(node.paths)
                found += [n.name for n in walk(node.paths) if isinstance(n, ast.Name)]
    return found


def _unmoved(
    what: str, paths: PathSet, node: ast.Node, probe: _Probe, treated: TreatedSpec | None
) -> list[Diagnostic]:
    """PD518 for a path set whose beginnings have one input in both prompts, on some rows."""
    moved = probe.rows_moved(paths, treated) if treated is not None else None
    if moved is None:
        return []
    still = probe.rows_with(paths) & ~moved & ~probe.nothing(treated)
    if not still.any():
        return []
    task = probe.task
    first = task.row_ids[int(np.flatnonzero(still)[0])]
    return [
        Diagnostic(
            code="PD518",
            message=f"{what} begins at inputs that treating does not change, on "
            f"{int(still.sum())} of {task.n_rows} prompts of task `{task.name}`",
            span=node.span,
            notes=(
                f"row `{first}` is the first; there the treated value `{treated}` has the tokens "
                "of the reference",
            ),
            help="its effect is 0 there by construction: begin it where the prompts differ",
            severity=Severity.WARNING,
        )
    ]


def inline_paths(program: Program) -> list[ast.PathExpr]:
    """Path expressions written into runs and scores, those with a loop variable left out."""
    found: list[ast.PathExpr] = []
    for declaration in (*program.lets.values(), *program.claims):
        variable = declaration.loop.variable.name if declaration.loop is not None else ""
        for node in walk(declaration):
            if isinstance(node, ast.PathRun):
                candidates: tuple[ast.Node, ...] = (node.paths,)
            elif isinstance(node, ast.Score):
                candidates = () if node.name in ("cpr", "cmd") else node.subjects
            else:
                continue
            for expr in candidates:
                runs = (ast.Name, ast.PlainRun, ast.PathRun, ast.Score, ast.RandomLike)
                if isinstance(expr, runs):
                    continue
                names = {n.name for n in walk(expr) if isinstance(n, ast.Name)}
                if variable not in names and expr not in found:
                    found.append(expr)  # type: ignore[arg-type]
    return found


def used_paths(program: Program) -> list[str]:
    """Named paths that a let or claim mentions, in order, without what only other paths use."""
    names: dict[str, None] = {}
    for declaration in (*program.lets.values(), *program.claims):
        for node in walk(declaration):
            if isinstance(node, ast.Name) and node.name in program.paths:
                names[node.name] = None
    return list(names)


def _read_positions(program: Program, task: TaskData) -> np.ndarray:
    """(rows, pos): where metrics read this task's logits."""
    mask = position_mask(task)
    out = mask(Pos(name="END"))
    for metric in program.metrics.values():
        if metric.at is not None:
            pos = (
                Pos(index=metric.at.index)
                if metric.at.index is not None
                else Pos(name=metric.at.name, offset=metric.at.offset)
            )
            if not pos.name or pos.name in task.positions:
                out = out | mask(pos)
    return out


class _Probe:
    """Asks the planner on which rows of a task a path set holds a path."""

    def __init__(
        self, resolver: Resolver, planner: Planner, task: TaskData, read: np.ndarray
    ) -> None:
        self.task = task
        self.masks = MaskTable(task.valid)
        self.read = self.masks.intern(read)
        self.resolver = resolver
        self.layout = Layout(resolver.shape)
        self.limits = planner.limits
        self._position = position_mask(task)
        self._known: dict[Pos, int] = {}

    def rows_with(self, paths: PathSet) -> np.ndarray:
        """(rows,) bool."""
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

    def rows_moved(self, paths: PathSet, treated: TreatedSpec) -> np.ndarray | None:
        """(rows,) bool: where some path begins at an input that treating changes; None: no saying.

        A path's treated value differs from its reference value by the input that it begins at.
        """
        moved = moved_places(self.task, treated)
        if moved is None:
            return None
        self._known[_MOVED] = self.masks.intern(moved)
        begins = self.resolver.through_nodes([Nodes(mask=1, at=_MOVED)])
        return self.rows_with(intersection(paths, begins))

    def nothing(self, treated: TreatedSpec) -> np.ndarray:
        """(rows,) bool: where the treated value is the reference's own, which is told elsewhere."""
        none: np.ndarray = np.zeros(self.task.n_rows, dtype=bool)
        return self.task.unchanged.get(treated, none)

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
