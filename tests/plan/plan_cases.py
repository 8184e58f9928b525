"""Plans of short texts on made-up prompts; no model is needed for any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import FULL, NONE, PathSet, Pos, minus
from pathdsl.plan.build import build_plans
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import HeadCopy, MlpCopy
from pathdsl.plan.treated import TreatedSpec
from tests.graph.helpers import expression, resolver

PAIRED = TreatedSpec(kind="paired", column="other")
ZERO = TreatedSpec(kind="zero")
LOGIT = Measure(kind="logit", column="io")
REFERENCE = RunSpec(task="t", kind="reference")


class Prompts:
    """Lengths of prompts and the places of named positions on each."""

    def __init__(self, lengths: Sequence[int], **positions: Sequence[int]) -> None:
        self.lengths = np.array(lengths)
        self.valid = np.arange(self.lengths.max())[None, :] < self.lengths[:, None]
        self.positions = {**positions, "END": [n - 1 for n in lengths]}

    def mask(self, pos: Pos) -> np.ndarray:
        """(rows, pos): where a position stands."""
        out = np.zeros_like(self.valid)
        for row, length in enumerate(self.lengths):
            place = pos.index if not pos.name else self.positions[pos.name][row] + pos.offset
            if 0 <= place < length:
                out[row, place] = True
        return out


IOI = Prompts([15, 15, 16, 14], IO=[2, 4, 2, 1], S1=[4, 2, 4, 3], S2=[10, 10, 11, 9])
SHORT = Prompts([4, 3], A=[1, 0], B=[2, 2])


def sets(text: str, shape: ModelShape) -> Callable[[str], PathSet]:
    """The named path sets of a text; `full` and `none` are always there."""
    found = resolver(text, shape)

    def named(name: str) -> PathSet:
        if name in ("full", "none"):
            return FULL if name == "full" else NONE
        return found.path_set(expression(found, name))

    return named


def keep(paths: PathSet, treated: TreatedSpec | None = PAIRED) -> RunSpec:
    """`keep(P)`."""
    return RunSpec(task="t", kind="treat", paths=minus(FULL, paths), treated=treated)


def treat(paths: PathSet, treated: TreatedSpec | None = PAIRED) -> RunSpec:
    """`treat(P)`."""
    return RunSpec(task="t", kind="treat", paths=paths, treated=treated)


def plan(
    shape: ModelShape,
    runs: Sequence[RunSpec],
    prompts: Prompts = SHORT,
    measures: Sequence[Measure] = (LOGIT,),
    **bounds: int,
) -> Plan:
    """The one plan of some runs."""
    requests = [(run, measure) for run in runs for measure in measures]
    (found,) = build_plans(shape, "t", prompts.valid, prompts.mask, requests, **bounds)
    return found


def computed(found: Plan) -> dict[str, int]:
    """How many copies of each component are computed: `{"a9.h9": 1, "m9": 2}`."""
    counts: dict[str, int] = {}
    for number in found.alive:
        step = found.steps[number]
        if isinstance(step, HeadCopy):
            name = f"a{step.layer}.h{step.head}"
        elif isinstance(step, MlpCopy):
            name = f"m{step.layer}"
        else:
            continue
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def needs(found: Plan) -> Mapping[str, np.ndarray]:
    """Where the only copy of each component is computed."""
    out = {}
    for number in found.alive:
        step = found.steps[number]
        if isinstance(step, HeadCopy | MlpCopy):
            name = f"a{step.layer}.h{step.head}" if isinstance(step, HeadCopy) else f"m{step.layer}"
            assert name not in out, f"{name} has several copies"
            out[name] = found.masks.array(found.need[number])
    return out
