"""A world in which every score can be checked by hand: a dozen paths, and values by arithmetic.

Paths are tuples of head names, path sets are frozensets of them, a run's metric is a sum over the
paths that keep the reference input plus one product (a backup that acts once its main head is
treated), so knockouts interact and searches have something to find.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pathdsl.graph.paths import pathset
from pathdsl.lang import ast
from pathdsl.lang.program import Program, load_program
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData

HEADS = ("a0.h0", "a0.h1", "a0.h2", "a1.h0", "a1.h1", "a1.h2")
PATHS = frozenset(
    [(h,) for h in HEADS] + [(f"a0.h{i}", f"a1.h{j}") for i in range(3) for j in range(3)] + [()]
)

HEADER = """
circuit toy { language = 1 }
model m = bundled("toy")
task t { data = jsonl("rows.jsonl"); reference = prompt; treated = other }
group early = { a0.h0, a0.h1 }
group late @END = { a1.h0, a1.h1 }
path C = within(early, late)
metric LD: logits = logit(io) - logit(s)
"""


ENDS = {pathset.FULL: PATHS, pathset.NONE: frozenset()}  # as runs name them


class Algebra:
    FULL = PATHS
    NONE = frozenset()

    def intersection(self, left, right):
        return left & right

    def minus(self, left, right):
        return ENDS.get(left, left) - ENDS.get(right, right)


@dataclass(frozen=True)
class FakeUnit:
    head: str
    at: str = ""

    @property
    def label(self) -> str:
        return self.head + self.at


@dataclass(frozen=True)
class FakeEdge:
    sender: str
    receiver: str

    @property
    def label(self) -> str:
        return f"{self.sender}->{self.receiver}"


@dataclass(frozen=True)
class FakeMember:
    label: str
    nodes: tuple = ()
    marks: tuple = ()
    parts: tuple = ()


class FakeRanking:
    """A thousand edges, of which every 60th one adds a path; `signed` adds them backwards."""

    def __init__(self, signed: bool) -> None:
        self.order = sorted(PATHS, reverse=signed)

    def __len__(self) -> int:
        return 1000

    def first(self, count: int) -> frozenset:
        return frozenset(self.order[: len(PATHS) if count == 1000 else count // 60])


class FakeResolver:
    """Just enough of the language: heads, groups, within, through, edges, random_like."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.others: Mapping = {}
        self.random_seeds: list[int] = []

    def on(self, task: str) -> FakeResolver:
        return self

    def nodes(self, expr, bindings) -> list[FakeUnit]:
        match expr:
            case ast.HeadRef(layer=layer, head=head):
                layers = [n for a, b in layer.ranges for n in range(a, b + 1)]
                heads = (
                    range(3) if head.every else [n for a, b in head.ranges for n in range(a, b + 1)]
                )
                at = f"@{expr.at.name}" if expr.at else ""
                return [FakeUnit(f"a{i}.h{j}", at) for i in layers for j in heads]
            case ast.Name(name=name) if name in bindings:
                head, _, at = bindings[name].label.partition("@")
                return [FakeUnit(head, f"@{at}" if at else "")]
            case ast.Name(name=name):
                decl = self.program.groups[name]
                at = f"@{decl.at.name}" if decl.at else ""
                return [FakeUnit(u.head, u.at or at) for u in self.nodes(decl.nodes, bindings)]
            case ast.NodeSet(members=members):
                return [u for m in members for u in self.nodes(m, bindings)]
            case ast.Word(word="attn"):
                return [FakeUnit(h) for h in HEADS]
        raise NotImplementedError(expr)

    def path_set(self, expr, bindings: Mapping = {}) -> frozenset:
        match expr:
            case ast.Group(inner=inner):
                return self.path_set(inner, bindings)
            case ast.Name(name=name) if name in self.program.paths:
                return self.path_set(self.program.paths[name].path, bindings)
            case ast.Within(nodes=nodes):
                inside = {u.head for n in nodes for u in self.nodes(n, bindings)}
                return frozenset(p for p in PATHS if set(p) <= inside)
            case ast.Through(nodes=nodes):
                return self.through([u for n in nodes for u in self.nodes(n, bindings)])
            case ast.Full():
                return PATHS
            case ast.NonePath():
                return frozenset()
            case ast.SetOp(op=op, left=left, right=right):
                a, b = self.path_set(left, bindings), self.path_set(right, bindings)
                return a & b if op == "&" else a - b
            case ast.RandomLike(inner=inner, options=options):
                seed = int(options[0].value.value)
                self.random_seeds.append(seed)
                shift = seed % 3
                inside = {u.head for u in self.units(inner, bindings)}
                moved = {f"{h[:4]}{(int(h[4]) + shift) % 3}" for h in inside}
                return frozenset(p for p in PATHS if set(p) <= moved)
            case ast.RandomEdges(options=options):
                seed = int(next(o.value.value for o in options if o.keyword == "seed"))
                self.random_seeds.append(seed)
                return walked(seed)
            case ast.Edges(chains=chains):
                return frozenset(
                    tuple(u.head for u in self._chain(chain) if u.head) for chain in chains
                )
        return self.through(self.nodes(expr, bindings))

    def _chain(self, chain):
        steps = [chain.first, *(hop.target for hop in chain.steps)]
        return [self.nodes(s, {})[0] for s in steps if not isinstance(s, ast.Word)]

    def loop(self, loop: ast.Loop):
        return tuple(FakeMember(u.label) for u in self.nodes(loop.members, {}))

    def units(self, expr, bindings: Mapping = {}, over=None):
        if over is not None:
            return tuple(dict.fromkeys(self.nodes(over, bindings)))
        match expr:
            case ast.Name(name=name) if name in self.program.paths:
                return self.units(self.program.paths[name].path, bindings)
            case ast.Within(nodes=nodes) | ast.Through(nodes=nodes):
                return tuple(u for n in nodes for u in self.nodes(n, bindings))
            case ast.Full() | ast.NonePath():
                return ()
            case ast.RandomLike(inner=inner):
                return self.units(inner, bindings)
        return tuple(self.nodes(expr, bindings))

    def edges(self, expr, bindings: Mapping = {}, over=None):
        chains = (over if over is not None else self.program.paths[expr.name].path).chains
        return tuple(
            FakeEdge(chain[0].head, chain[1].head)
            for chain in (self._chain(c) for c in chains)
            if len(chain) == 2
        )

    def ranking(self, expr, *, signed: bool):
        return FakeRanking(signed)

    def groups_of(self, expr, bindings: Mapping = {}):
        if isinstance(expr, ast.Name):
            expr = self.program.paths[expr.name].path
        nodes = getattr(expr, "nodes", ())
        return tuple(
            (n.name, tuple(self.nodes(n, bindings))) for n in nodes if isinstance(n, ast.Name)
        )

    def unit_group(self, expr, unit, bindings: Mapping = {}):
        for _, units in self.groups_of(expr, bindings):
            if unit in units:
                return units
        return (unit,)

    def through(self, units) -> frozenset:
        found = set()
        for unit in units:
            if isinstance(unit, FakeEdge):
                found |= {p for p in PATHS if p == (unit.sender, unit.receiver)}
            else:
                found |= {p for p in PATHS if unit.head in p}
        return frozenset(found)

    def extended(self, expr, seed: int, bindings: Mapping = {}):
        self.random_seeds.append(seed)
        added = walked(seed) - self.path_set(expr, bindings)
        sender, receiver = min(p for p in added if len(p) == 2)
        return self.path_set(expr, bindings) | added, FakeEdge(sender, receiver)

    def count(self, paths) -> int:
        return len(paths)

    def node_set(self, paths, beside=None):
        return frozenset(h for p in paths for h in p)

    def edge_set(self, paths, beside=None):
        return frozenset("->".join(("input", *p, "logits")) for p in paths)


def walked(seed: int) -> frozenset:
    """Some paths by a seed, two of them of two heads each."""
    i, j = seed % 3, seed // 3 % 3
    return frozenset([(f"a0.h{i}", f"a1.h{j}"), ("a0.h2", f"a1.h{i}"), (f"a1.h{j}",)])


def task_data(n: int, name: str = "t", key: str = "", clusters=None) -> TaskData:
    return TaskData(
        name=name,
        row_ids=tuple(f"{name}-{i}" for i in range(n)),
        reference="prompt",
        prompts={},
        lengths=np.ones(n, dtype=np.int64),
        answers={},
        positions={},
        labels={},
        clusters=np.arange(n) if clusters is None else np.asarray(clusters),
        key=key or name,
    )


@dataclass
class FakeSession:
    """Values by arithmetic; refuses to give what was not asked for."""

    tasks: Mapping[str, TaskData]
    draws: int = 1
    seed: int = 0
    tolerance: float = 1e-9
    scale: float = 1.0
    rounds: list[tuple] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked: set = set()
        self.weights = {}
        for i, (name, data) in enumerate(sorted(self.tasks.items())):
            rng = np.random.default_rng([self.seed, i if not data.key else 0])
            self.weights[name] = {
                p: rng.normal(1.0, 0.5 * self.scale, data.n_rows) for p in sorted(PATHS)
            }

    def measures(self, requests: Collection) -> None:
        self.rounds.append(tuple(requests))
        self.asked |= {(self.identity(run), measure) for run, measure in requests}

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        assert (self.identity(run), measure) in self.asked, f"not asked for: {run} {measure}"
        return self.compute(run, measure)

    def metric(self, task: str, treated: frozenset) -> np.ndarray:
        """(draws, rows) the logit difference of treat(T)."""
        weights = self.weights[task]
        kept = sum((weights[p] for p in PATHS - treated), np.zeros(self.tasks[task].n_rows))
        backup = 2.0 * (("a1.h0",) in treated) * (("a1.h1",) not in treated)
        draws = self.draws if treated else 1
        wobble = 0.01 * np.arange(draws)[:, None] * len(treated)
        return kept[None, :] + backup + wobble

    def compute(self, run: RunSpec, measure: Measure) -> np.ndarray:
        treated = {"reference": frozenset(), "treated": PATHS}.get(run.kind, run.paths)
        value = self.metric(run.task, treated)
        match measure.kind:
            case "logit":
                return value + 1.0 if measure.column == "io" else np.full_like(value, 1.0)
            case "kl":
                return (value - self.metric(run.task, frozenset())) ** 2
            case "reverse_kl":
                return 3.0 * (value - self.metric(run.task, frozenset())) ** 2 + 0.5 * value
            case "top_token":
                return np.floor(value / 6)
            case "top1":
                return (value > 12).astype(float)
        raise NotImplementedError(measure)

    def rounding(self) -> float:
        return self.tolerance

    def allowance(self, task: str = "") -> float:
        return self.tolerance

    def identity(self, run: RunSpec) -> RunSpec:
        if run.kind == "treat" and run.paths in (frozenset(), PATHS):
            kind = "treated" if run.paths else "reference"
            return replace(run, kind=kind, paths=None)
        return run


def world(text: str, n: int = 40, draws: int = 1, header: str = HEADER, **options):
    """Program, resolver and session of a few statements after the header."""
    program, faults = load_program("toy.circuit", header + text)
    assert not faults, faults
    tasks = options.pop("tasks", None) or {"t": task_data(n)}
    session = FakeSession(tasks=tasks, draws=draws, **options)
    return program, FakeResolver(program), session
