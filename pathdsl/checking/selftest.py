"""The selftest: does the checker find the circuits that are known by construction?

The hand-built models come with their true circuits (`truth.json`), one for each treated value.
Every trial goes the whole way of a check, rows, planner and executor, and compares with arithmetic:

- `keep(circuit)` recovers 1 of the metric, and its KL from the reference run is 0;
- treating a single edge changes the metric if and only if the edge is a true one;
- under another treated value another circuit may be true, and then the first one fails.

All single-edge runs of a model and treated value are one plan.

    all(trial.holds for trial in selftest())
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import Ready, prepare
from pathdsl.errors import EngineError
from pathdsl.graph.files.eap import edge_name
from pathdsl.graph.paths.pathset import FULL, PathSet, minus
from pathdsl.graph.paths.units import EdgeUnit
from pathdsl.lang.program import load_program
from pathdsl.lang.signatures.treated import TREATED_KINDS
from pathdsl.models import MODELS, truth
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.metrics import compile_metric
from pathdsl.score.session import Request

if TYPE_CHECKING:
    from pathdsl.engine.session import EngineSession

__all__ = ["Trial", "selftest"]

PROMPTS = 16
MATTERS = 0.1
"""An effect on some prompt is at least this; between it and the rounding lies nothing."""

USUAL = "paired"
"""The kind of treated value whose true circuit is compared with those of the others."""

ENOUGH = 0.99
"""What a claim of sufficiency would ask of `recovered`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model under one treated value.

    `recovered` and `kl` are of the true circuit; `smallest_true` and `largest_false` the extreme
    effects of single edges on any prompt, in the metric's unit. `other`: what the circuit that is
    true under the paired treated value recovers under this one, where the two differ.
    """

    model: str
    treated: str
    true_edges: int
    false_edges: int
    recovered: float
    kl: float
    smallest_true: float
    largest_false: float
    tolerance: float
    other: float | None = None

    @property
    def holds(self) -> bool:
        """Whether everything came out as arithmetic says."""
        return (
            abs(self.recovered - 1) <= self.tolerance
            and abs(self.kl) <= self.tolerance
            and self.smallest_true >= MATTERS
            and self.largest_false <= self.tolerance
            and (self.other is None or self.other < ENOUGH)
        )


def selftest(models: tuple[str, ...] | None = None, prompts: int = PROMPTS) -> list[Trial]:
    """All trials; `models` are names of hand-built models, all of them when None."""
    names = models or tuple(model.name for model in MODELS if model.hand_built)
    return [trial for name in names for trial in _trials(name, prompts)]


def _text(name: str, known: dict[str, Any], prompts: int) -> str:
    """The file that names a model's task, metric and true circuits."""
    arguments = {"take": prompts, "seed": 0, **known["arguments"]}
    given = ", ".join(f"{key}: {value}" for key, value in arguments.items())
    paths = "".join(f"path {kind} = {text}\n" for kind, text in known["paths"].items())
    return (
        f'model m = bundled("{name}")\n'
        f"task t {{ data = {known['task']}({given}); reference = prompt; "
        f"treated = {known['treated']} }}\n"
        f"metric value: logits = {known['metric']}\n{paths}"
    )


def _trials(name: str, prompts: int) -> Iterator[Trial]:
    from pathdsl.engine.load.weights import load
    from pathdsl.engine.session import EngineSession

    known = truth(name)
    program, faults = load_program(f"{name}.circuit", _text(name, known, prompts))
    if faults:
        raise EngineError(faults)
    ready = prepare(program, CheckOptions())
    session = EngineSession(ready.planner, load(ready.source, "cpu", 1).adapter)
    circuits = {k: ready.resolver.path_set(program.paths[k].path) for k in known["paths"]}
    for kind in TREATED_KINDS.values():
        if kind.name in circuits:
            column = known["treated"] if kind.reads_column else ""
            spec = TreatedSpec(kind=kind.name, column=column)
            true = set(known["true_edges"][kind.name])
            yield _trial(name, spec, ready, session, circuits, true)


def _trial(
    model: str,
    treated: TreatedSpec,
    ready: Ready,
    session: EngineSession,
    circuits: Mapping[str, PathSet],
    true: set[str],
) -> Trial:
    """One plan: the reference run, the circuits kept, and every edge of the graph treated alone."""
    metric = compile_metric(ready.program.metrics["value"])
    layout = ready.resolver.layout
    kind = treated.kind

    def run(paths: PathSet, label: str) -> RunSpec:
        return RunSpec(task="t", kind="treat", paths=paths, treated=treated, label=label)

    every = ready.resolver.sets.product(FULL).edges()
    edges = sorted(every, key=lambda e: (e[1], e[0], e[2] or ""))
    alone = {
        (name := edge_name(u, v, slot, layout)): run(
            ready.resolver.through([EdgeUnit(sender=u, receiver=v, slot=slot)]),  # type: ignore[arg-type]
            name,
        )
        for u, v, slot in edges
    }
    kept = {k: run(minus(FULL, paths), f"keep({k})") for k, paths in circuits.items()}
    base = RunSpec(task="t", kind="reference", label="reference")
    empty = run(FULL, "keep(none)")
    divergence = Measure(kind="kl")
    runs = [base, empty, *kept.values(), *alone.values()]
    asked: list[Request] = [(one, measure) for one in runs for measure in metric.measures]
    session.measures([*asked, (kept[kind], divergence)])

    def value(one: RunSpec) -> np.ndarray:
        return metric.evaluate({m: session.value(one, m) for m in metric.measures}).mean(axis=0)

    reference, floor = value(base), float(value(empty).mean())
    scale = float(reference.mean()) - floor
    effects = {edge: float(np.abs(value(one) - reference).max()) for edge, one in alone.items()}

    def recovered(which: str) -> float:
        return (float(value(kept[which]).mean()) - floor) / scale

    return Trial(
        model=model,
        treated=kind,
        true_edges=len(true),
        false_edges=len(alone) - len(true & set(alone)),
        recovered=recovered(kind),
        kl=float(np.abs(session.value(kept[kind], divergence)).max()),
        smallest_true=float(np.min([effects.get(edge, 0.0) for edge in true])),
        largest_false=float(np.max([size for edge, size in effects.items() if edge not in true])),
        tolerance=session.rounding() * max(1.0, float(np.abs(reference).max())),
        other=recovered(USUAL) if circuits[kind] != circuits[USUAL] else None,
    )
