"""On which rows of a task a path set holds a path, and what is to be said of it.

Nothing is run for this: the planner's masks say where paths end.

    probe = Probe(resolver, planner, task, read)      # read: (rows, pos) bool, where metrics read
    probe.rows_with(paths)                            # (rows,) bool
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.data.treated import moved_places
from pathdsl.engine.planner import Planner
from pathdsl.engine.store.digest import digest
from pathdsl.errors import Diagnostic, PlanError, Severity
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import FULL, NONE, Nodes, PathSet, Pos, intersection
from pathdsl.graph.paths.units import NodeUnit
from pathdsl.graph.resolve.places import Bindings
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang import ast
from pathdsl.lang.walk import strip, walk
from pathdsl.plan.acts import treated_at
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.needs import back_masks
from pathdsl.plan.table import CopyTable
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.statistics.book import Book, key_of

__all__ = ["Probe", "Written"]

MAX_UNITS = 400
SHARED_STEPS = 20_000
"""Steps of one table, above which the sets that follow begin another."""
_MOVED = Pos(name="where treating changes the input")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A path set in a run or score, with the scope that it stands in and the loop around it.

    `scope` and `loop` are None where there is none or where the path set does not depend on it.
    `over` are units to range over in the place of its own. `treated`: the treated value that the
    run has of its own.
    """

    paths: ast.PathExpr
    scope: ast.PathExpr | None
    loop: ast.Loop | None
    over: ast.Node | None = None
    treated: ast.Node | None = None


def digest_of(book: Book, task: TaskData) -> str:
    """The sha256 of a task's rows, worked out once for each."""
    known = book.objects.get(("task", id(task)))
    if known is None or known[0] is not task:
        known = book.objects["task", id(task)] = task, digest(task)
    return str(known[1])


def _places(rows: np.ndarray) -> list[float]:
    """The places where a mask does not hold: mostly there are none."""
    return [float(place) for place in np.flatnonzero(~rows)]


def _mask(places: Sequence[float], size: int) -> np.ndarray:
    """The inverse of `_places`."""
    rows = np.ones(size, dtype=bool)
    rows[np.array(places, dtype=np.int64)] = False
    return rows


class Probe:
    """Asks the planner on which rows of a task a path set holds a path."""

    def __init__(
        self,
        resolver: Resolver,
        planner: Planner,
        task: TaskData,
        read: np.ndarray,
        book: Book | None = None,
    ) -> None:
        """`book` has what was found before."""
        self.book = book or Book()
        self._key = key_of(digest_of(self.book, task), digest(resolver.shape, planner.limits), read)
        self._moved = ""
        self.task = task
        self.resolver = resolver
        self.treated = planner.specs[task.name].treated
        self.masks = MaskTable(task.valid, causal=resolver.shape.causal)
        self.read = self.masks.intern(read)
        self.layout = Layout(resolver.shape)
        self.limits = planner.limits
        self._position = position_mask(task)
        self._known: dict[Pos, int] = {}
        self._rows: dict[PathSet, np.ndarray] = {}
        self._table = self._fresh()

    def rows_with(self, paths: PathSet) -> np.ndarray:
        """(rows,) bool."""
        if paths not in self._rows:
            key = key_of(self._key, digest(paths), self._moved)
            rows = self.book.numbers(key, "rows", lambda: _places(self._found(paths)))
            self._rows[paths] = _mask(rows, self.task.n_rows)
        return self._rows[paths]

    def _found(self, paths: PathSet) -> np.ndarray:
        try:
            ends = self._ends(paths)
        except PlanError:  # of a table that others have filled, perhaps
            self._table = self._fresh()
            ends = self._ends(paths)
        if len(self._table.steps) > SHARED_STEPS:
            self._table = self._fresh()
        return np.asarray(self.masks.array(self.masks.both(ends, self.read)).any(axis=1))

    def _ends(self, paths: PathSet) -> int:
        """Where a path of the set ends at `logits`, a mask. Sets of one file share most of it."""
        return RunBuilder(self._table, paths, 0, self._mask).logits().cut

    def _fresh(self) -> CopyTable:
        return CopyTable(
            self.layout,
            self.masks,
            (False,),
            max_states=self.limits.max_states,
            max_copies=self.limits.max_copies,
        )

    def rows_moved(self, paths: PathSet, treated: TreatedSpec) -> np.ndarray | None:
        """(rows,) bool: where some path begins at an input that treating changes; None: no saying.

        A path's treated value differs from its reference value by the input that it begins at, and
        with a mean at named places by a component that has the mean.
        """
        if treated.placed:
            return self._rows_placed(paths, treated)
        moved = moved_places(self.task, treated)
        if moved is None:
            return None
        self._known[_MOVED] = self.masks.intern(moved)
        self._moved = key_of(moved)
        begins = self.resolver.sets.through([Nodes(mask=1, at=_MOVED)])
        return self.rows_with(intersection(paths, begins))

    def _rows_placed(self, paths: PathSet, treated: TreatedSpec) -> np.ndarray:
        """(rows,) bool: where some value of a mean at named places is read."""
        table = CopyTable(
            self.layout,
            self.masks,
            (True,),
            (treated_at(treated, self.masks, self._mask),),
            max_states=self.limits.max_states,
            max_copies=self.limits.max_copies,
        )
        builder = RunBuilder(table, paths, 0, self._mask)
        wanted = {builder.logits().step: self.read}
        source = builder.source
        _, plain = back_masks(table.steps, wanted, self.masks, lambda one: one == source)
        found: np.ndarray = np.zeros(self.task.n_rows, dtype=bool)
        for (read, _, _), mask in plain.items():
            if read == source:
                found |= self.masks.array(mask).any(axis=1)
        return found

    def nothing(self, treated: TreatedSpec) -> np.ndarray:
        """(rows,) bool: where the treated value is the reference's own, which is told elsewhere."""
        none: np.ndarray = np.zeros(self.task.n_rows, dtype=bool)
        return self.task.unchanged.get(treated, none)

    def unmoved(
        self, what: str, paths: PathSet, node: ast.Node, own: TreatedSpec | None = None
    ) -> list[Diagnostic]:
        """PD518 for a path set whose beginnings have one input in both prompts, on some rows.

        PD535 where it is a mean at named places of which nothing is read. `own`: the treated value
        in place of the task's.
        """
        treated = own or self.treated
        if treated is None or paths == NONE or (paths == FULL and not treated.placed):
            return []
        moved = self.rows_moved(paths, treated)
        if moved is None:
            return []
        still = self.rows_with(paths) & ~moved & ~self.nothing(treated)
        if not still.any():
            return []
        first = self.task.row_ids[int(np.flatnonzero(still)[0])]
        count = f"{int(still.sum())} of {self.task.n_rows} prompts of task `{self.task.name}`"
        if treated.placed:
            return [
                Diagnostic(
                    code="PD535",
                    message=f"nothing of {what} is treated on {count}",
                    span=node.span,
                    notes=(
                        f"row `{first}` is the first; `{treated}` has values at its places alone, "
                        + (
                            "and no component there has treated paths only"
                            if paths != FULL
                            else "and the treated run is read elsewhere"
                        ),
                    ),
                    help="name a place of its nodes in `at:`, or where the metric reads (`END`)",
                    severity=Severity.WARNING,
                )
            ]
        return [
            Diagnostic(
                code="PD518",
                message=f"{what} begins at inputs that treating does not change, on {count}",
                span=node.span,
                notes=(
                    f"row `{first}` is the first; there the treated value `{treated}` has the "
                    "tokens of the reference",
                ),
                help="its effect is 0 there by construction: begin it where the prompts differ",
                severity=Severity.WARNING,
            )
        ]

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

    def taken_said(
        self, expr: ast.Node | None, bindings: Bindings, told: Collection[str] = ()
    ) -> list[Diagnostic]:
        """What is to be said of sets that are taken away, `full - through(h)`, in named paths too.

        Where nothing is there to take, the set is what it would be without the subtraction. `told`
        are named paths of which that is said elsewhere.
        """
        found: list[Diagnostic] = []
        seen: set[str] = set()
        pending: list[tuple[ast.Node, Bindings]] = [] if expr is None else [(expr, bindings)]
        while pending:
            inside, bound = pending.pop()
            for one in walk(inside):
                if isinstance(one, ast.Name) and one.name not in {*bound, *seen, *told}:
                    if (path := self.resolver.program.paths.get(one.name)) is not None:
                        seen.add(one.name)
                        pending.append((path.path, {}))
                if not isinstance(one, ast.SetOp) or one.op != "-" or _drawn(one.right):
                    continue
                right = strip(one.right)
                if isinstance(right, ast.Name) and right.name in told:
                    continue
                taken = self.resolver.path_set(one.right, bound)
                if taken not in (FULL, NONE):
                    what = "what is taken away"
                    found += _said(what, self.rows_with(taken), one.right, self.task)
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
        units: Iterable[NodeUnit],
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


def _drawn(expr: ast.Node) -> bool:
    """Whether chance drew the units of a set, some of which may lie on no path."""
    return any(isinstance(n, ast.RandomLike | ast.RandomEdges) for n in walk(expr))


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
                help="look at the positions: keys and values are read where the head may look, and "
                "`logits` where the metric reads; `pathdsl explain FILE:NAME` shows the paths",
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
