"""What it takes to find the units with the largest effects: the cost of verified recall.

    python -m benchmarks.recall [SUBJECT …] [--rows 24] [--figures FOLDER] [--json FILE]

The truth is every unit patched alone: c(n) = E|I(n)|, the mean over prompts of its absolute effect.
A method that takes C forward passes ranks the units by its own E|score|, and each is then verified
by patching it, one forward pass at a time, in that order. What finding the K largest costs is

    cost(K) = C + the last rank among the K units of largest c

in forward passes, a backward pass counted as two (Kramár et al. 2024, arXiv:2403.00745, section
4.1). Units with equal scores all have the last of their ranks. K goes as far as units have a
hundredth of the largest effect. The summary is the geometric mean of cost(K) / K, what a method
costs beside an oracle, K weighted by 1/K.

Without gradients: `iterative` patches in random order (the expectation); `subsampling` ranks by the
difference of means of random subsets, 256 at most, with and without a unit; `blocks` patches blocks
of units that stand together and opens them in the order of their effects; `hierarchical` halves
what has the largest effect, over and over. The numbers of subsets and of blocks are the best ones
for each K, which no user knows beforehand.
"""

from __future__ import annotations

import argparse
import heapq
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.stats import rankdata, spearmanr

if TYPE_CHECKING:
    from pathdsl.engine.attribution.exact import Place
    from pathdsl.engine.session import EngineSession
    from pathdsl.graph.model.shape import ModelShape
    from pathdsl.score.attribution import Attribution

__all__ = ["PASSES", "SUBJECTS", "Case", "Row", "Subject", "case_of", "compare", "markdown"]

MATTERS = 0.01
SHARE = 0.1
SUBSETS = 256
TOPS = (1, 5, 20)
FOUND = (5, 20)

PASSES: dict[str, Callable[[int, int], int]] = {
    "atp": lambda layers, steps: 2 + 2,
    "atp_qk": lambda layers, steps: 2 + 2 + 2,
    # The backward through the layers above each dropped one; below it is shared.
    "atp_star": lambda layers, steps: 2 + 2 + 2 + (layers + 1),
    "eap": lambda layers, steps: 2 + 2,
    "eap_ig": lambda layers, steps: 2 + 3 * steps,
    "eap_ig_activations": lambda layers, steps: 2 + 3 * steps * (2 * layers + 1),
    "clean_corrupted": lambda layers, steps: 2 + 4,
    "relp": lambda layers, steps: 2 + 2,
    "gim": lambda layers, steps: 2 + 2,
    "eap_gp": lambda layers, steps: 2 + 6 * steps,
    "ifr": lambda layers, steps: 1,
    "peap": lambda layers, steps: 2 + 2,
}
"""Forward passes of a method by layers and steps, a backward pass counted as two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model with a task, as text of a file, and which of its units are ranked."""

    text: str
    of: Literal["nodes", "edges"]
    by_position: bool

    @property
    def units(self) -> str:
        """Which units, in words."""
        return f"{self.of} at each position" if self.by_position else self.of


_ROOT = Path(__file__).parents[1]
_STORIES = (_ROOT / "../shared/models/stories260K").resolve()
_DATA = _ROOT / "tests" / "cases" / "stories260k" / "pronouns.jsonl"
_IOI = """
model m = bundled("ioi-mini")
task t { data = mini_ioi(take: ROWS, seed: 0); reference = prompt; treated = prompt_abc }
metric LD: logits = logit(io) - logit(s)
"""
_INDUCTION = """
model m = bundled("induction-2l")
task t { data = induction(take: ROWS, seed: 0); reference = prompt; treated = prompt_other }
metric LD: logits = logit(answer) - logit(wrong)
"""
_PRONOUN = """
model m = folder("stories260K")
task t { data = jsonl("pronouns.jsonl", take: ROWS); reference = prompt; treated = twin }
metric LD: logits = logit(right) - logit(wrong)
"""
SUBJECTS = {
    "ioi-mini": Subject(text=_IOI, of="nodes", by_position=False),
    "ioi-mini edges": Subject(text=_IOI, of="edges", by_position=False),
    "induction-2l edges": Subject(text=_INDUCTION, of="edges", by_position=False),
    "stories260K": Subject(text=_PRONOUN, of="nodes", by_position=False),
    "ioi-mini positions": Subject(text=_IOI, of="nodes", by_position=True),
    "induction-2l positions": Subject(text=_INDUCTION, of="nodes", by_position=True),
}
"""`stories260K` is measured where the model lies beside the checkout, as tests have it."""


# -------------------------------------------------------------------------------------------------
# One model with one task
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Units, what each does alone (units,) on average absolutely, and what ranks or groups them.

    `estimate(method)`: (units,) the same by a method, None where it has no such score.
    `effects(groups)`: (groups, prompts) what units do that are patched together.
    """

    name: str
    units: str
    layers: int
    truth: np.ndarray
    estimate: Callable[[str], np.ndarray | None]
    effects: Callable[[Sequence[Sequence[int]]], np.ndarray]

    def together(self, groups: Sequence[Sequence[int]]) -> np.ndarray:
        """(groups,) the mean absolute effect of units patched together."""
        return np.asarray(np.abs(self.effects(groups)).mean(axis=1))


def case_of(name: str, rows: int) -> Case:
    """A subject made ready, its truth measured."""
    from pathdsl.engine.attribution.exact import effects_of, exact

    subject = SUBJECTS[name]
    session, shape, asking = _opened(subject, rows)
    truth = exact(session, shape, asking("exact"))
    places: list[Place] = [
        (unit, at)
        for unit in truth.units
        for at in (range(truth.values.shape[1]) if subject.by_position else [None])
    ]

    def effects(groups: Sequence[Sequence[int]]) -> np.ndarray:
        chosen = [[places[n] for n in group] for group in groups]
        return np.stack(list(effects_of(session, shape, asking("exact"), chosen)))

    return Case(
        name=name,
        units=subject.units,
        layers=shape.n_layers,
        truth=_size(truth.values),
        estimate=lambda method: _estimate(session, asking(method)),
        effects=effects,
    )


def _size(values: np.ndarray) -> np.ndarray:
    """(units at places,) the mean absolute score over prompts."""
    return np.asarray(np.abs(values).mean(axis=-1).ravel())


def _estimate(session: EngineSession, asked: Attribution) -> np.ndarray | None:
    from pathdsl.engine.attribution.attribute import METHODS, attribute
    from pathdsl.errors import PlanError

    if asked.method not in METHODS:
        return None
    try:
        return _size(attribute(session.adapter, session.tasks["t"], asked).values)
    except PlanError:  # it has no score of such units
        return None


def _opened(
    subject: Subject, rows: int
) -> tuple[EngineSession, ModelShape, Callable[[str], Attribution]]:
    """A session over the subject's task, its model's shape, and what is asked of a method."""
    from pathdsl.checking.options import CheckOptions
    from pathdsl.checking.prepare import prepare
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.load.weights import load
    from pathdsl.engine.session import EngineSession
    from pathdsl.lang.lint import lint_file
    from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
    from pathdsl.plan.runs import RunSpec
    from pathdsl.score.attribution import Attribution
    from pathdsl.score.metrics import compile_metric
    from pathdsl.score.quantity import RowMetric

    models = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.circuit"
        path.write_text(subject.text.replace("ROWS", str(rows)))
        if subject.text == _PRONOUN:
            shutil.copy(_DATA, folder)
            models["m"] = ModelSource(kind="folder", location=str(_STORIES))
        program, found = lint_file(str(path))
        if errors := [d for d in found if d.severity.name == "ERROR"]:
            raise SystemExit(errors[0].message)
        ready = prepare(program, CheckOptions(models=models))
    loaded = load(ready.source, "cpu", None)
    metric = RowMetric(
        metric=compile_metric(program.metrics["LD"]), run=RunSpec(task="t", kind="reference")
    )
    treated = ready.planner.specs["t"].treated
    assert treated is not None

    def asking(method: str) -> Attribution:
        record = ATTRIBUTIONS[method]
        return Attribution(
            method=method, steps=record.steps, rule=(*record.rules, "")[0], metric=metric,
            treated=treated, task="t", of=subject.of, by_position=subject.by_position,
            reader=None,
        )  # fmt: skip

    return EngineSession(ready.planner, loaded.adapter), loaded.adapter.shape, asking


# -------------------------------------------------------------------------------------------------
# What finding the largest costs
# -------------------------------------------------------------------------------------------------


def _order(truth: np.ndarray) -> np.ndarray:
    """The units that matter, the largest first."""
    order = np.argsort(-truth, kind="stable")
    return order[truth[order] >= MATTERS * truth.max()]


def verified(truth: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(K,) how far one has to go for the K largest; `place`: (units,) when each is verified."""
    return np.maximum.accumulate(place[_order(truth)])


def ranked(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """The same in the order of an estimate."""
    return verified(truth, rankdata(-estimate, method="max"))


def iterative(case: Case) -> np.ndarray:
    """The expectation of the last of K places in a random order."""
    tops = np.arange(1, len(_order(case.truth)) + 1)
    return tops * (len(case.truth) + 1) / (tops + 1)


def _powers(most: int) -> list[int]:
    return [2**n for n in range(1, most.bit_length()) if 2**n <= most]


def subsampling(case: Case) -> np.ndarray:
    """By random subsets, each unit in a tenth of them: the best number of subsets for each K."""
    n = len(case.truth)
    counts = _powers(min(max(n, 8), SUBSETS))[2:]
    inside = np.random.default_rng(0).random((counts[-1], n)) < SHARE
    values = case.effects([np.flatnonzero(held).tolist() for held in inside])
    costs = []
    for count in counts:
        held, found = inside[:count], values[:count]
        size = held.sum(axis=0)[:, None]
        with_it = held.T @ found / np.maximum(size, 1)
        without = (~held).T @ found / np.maximum(count - size, 1)
        difference = np.abs(with_it - without).mean(axis=1)
        costs.append(count + ranked(case.truth, difference))
    return np.min(costs, axis=0)


def blocks(case: Case) -> np.ndarray:
    """By blocks of equal size: the best size for each K."""
    n = len(case.truth)
    costs = []
    for size in _powers(n // 2):
        groups = [range(start, min(start + size, n)) for start in range(0, n, size)]
        place, done = np.zeros(n), len(groups)
        for number in np.argsort(-case.together(groups), kind="stable"):
            done += len(groups[number])
            place[groups[number]] = done
        costs.append(verified(case.truth, place))
    return np.min(costs, axis=0)


def hierarchical(case: Case) -> np.ndarray:
    """By halves, what has the largest effect first; a unit alone is verified."""
    n = len(case.truth)
    spans = list(_halves(0, n))
    inner = [span for span in spans if span[1] - span[0] > 1]
    sizes = dict(zip(inner, case.together([range(*span) for span in inner]), strict=True))
    sizes |= {(i, i + 1): case.truth[i] for i in range(n)}
    place, done = np.zeros(n), 0
    waiting = [(-float(sizes[0, n]), (0, n))]
    while waiting:
        _, (start, stop) = heapq.heappop(waiting)
        if stop - start == 1:
            continue
        middle = (start + stop) // 2
        for half in ((start, middle), (middle, stop)):
            done += 1
            if half[1] - half[0] == 1:
                place[half[0]] = done
            heapq.heappush(waiting, (-float(sizes[half]), half))
    return verified(case.truth, place)


def _halves(start: int, stop: int) -> Iterator[tuple[int, int]]:
    yield start, stop
    if stop - start > 1:
        middle = (start + stop) // 2
        yield from _halves(start, middle)
        yield from _halves(middle, stop)


BASELINES = {
    "iterative": iterative,
    "subsampling": subsampling,
    "blocks": blocks,
    "hierarchical": hierarchical,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method: how its estimates agree with the truth, and what finding the K largest costs.

    `spearman` and `recall`, the share of the N largest among its own N largest by `FOUND`, are None
    for what makes no estimate of every unit.
    """

    method: str
    spearman: float | None
    recall: dict[int, float] | None
    costs: list[float]

    @property
    def summary(self) -> float:
        """The geometric mean of cost(K) / K, weighted by 1/K."""
        tops = np.arange(1, len(self.costs) + 1)
        return float(np.exp(np.average(np.log(self.costs / tops), weights=1 / tops)))


def compare(case: Case) -> list[Row]:
    """Every method that scores these units, then the baselines, the cheapest first."""
    from pathdsl.lang.signatures.attribution import ATTRIBUTIONS

    rows = []
    order = np.argsort(-case.truth, kind="stable")
    for name, record in ATTRIBUTIONS.items():
        estimate = None if record.exact else case.estimate(name)
        if estimate is None:
            continue
        cost = PASSES[name](case.layers, record.steps) + ranked(case.truth, estimate)
        own = np.argsort(-estimate, kind="stable")
        rows.append(
            Row(
                method=name,
                spearman=float(spearmanr(estimate, case.truth).statistic),
                recall={n: len({*order[:n]} & {*own[:n]}) / n for n in FOUND},
                costs=cost.tolist(),
            )
        )
    for name, cost_of in BASELINES.items():
        rows.append(Row(method=name, spearman=None, recall=None, costs=cost_of(case).tolist()))
    return sorted(rows, key=lambda row: row.summary)


def markdown(rows: Sequence[Row]) -> str:
    """A table of what was compared."""
    most = len(rows[0].costs)
    tops = [top for top in (*TOPS, most) if top <= most]
    tops = list(dict.fromkeys(tops))
    heads = [f"of the first {n}" for n in FOUND] + [f"K = {top}" for top in tops]
    lines = ["| by | Spearman | " + " | ".join(heads) + " | × oracle |"]
    lines.append("|---" * (len(heads) + 3) + "|")
    for row in rows:
        agree = ["", "", ""]
        if row.spearman is not None and row.recall is not None:
            agree = [f"{row.spearman:.3f}", *(f"{100 * row.recall[n]:.0f}%" for n in FOUND)]
        costs = [f"{row.costs[top - 1]:.0f}" for top in tops]
        cells = [f"`{row.method}`", *agree, *costs, f"{row.summary:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------


def draw(name: str, rows: Sequence[Row], folder: Path) -> Path:
    """An SVG of cost(K) over K, both logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "recall"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    tops = np.arange(1, len(rows[0].costs) + 1)
    axes.plot(tops, tops, color="black", linewidth=1, label="oracle")
    for number, row in enumerate(rows):
        style = "--" if row.spearman is None else "-"
        axes.plot(tops, row.costs, style, color=f"C{number % 10}", label=row.method)
    axes.set(
        xscale="log", yscale="log", title=name, xlabel="K, the units of largest effect",
        ylabel="forward passes to verify all K",
    )  # fmt: skip
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"recall-{name.replace(' ', '-')}.svg"
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("subjects", nargs="*", choices=[[], *SUBJECTS], metavar="SUBJECT")
    parser.add_argument("--rows", type=int, default=24, help="prompts")
    parser.add_argument("--figures", type=Path, help="folder for the plots")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kept: dict[str, Any] = {}
    for name in options.subjects or SUBJECTS:
        if name.startswith("stories") and not _STORIES.exists():
            print(f"\n{name}: the model is not there")
            continue
        case = case_of(name, options.rows)
        rows = compare(case)
        many = len(rows[0].costs)
        print(f"\n{name}: {len(case.truth):,} {case.units}, {many} of them matter\n")
        print(markdown(rows), flush=True)
        kept[name] = [
            {"method": row.method, "spearman": row.spearman, "costs": row.costs} for row in rows
        ]
        if options.figures:
            print(f"wrote {draw(name, rows, options.figures)}")
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
