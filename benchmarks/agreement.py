"""How well estimates rank nodes: against every node patched alone, on models that are bundled.

    python -m benchmarks.agreement [MODEL …] [--rows 16] [--pooled]

The truth of a node is the mean over prompts of the absolute effect of patching it alone, a method's
estimate that of its absolute score (Kramár et al. 2024, arXiv:2403.00745, section 2). Nodes are
`input`, every head's q, k, v and output and every MLP, each at each position or, `--pooled`, at all
of them. Told are Spearman's correlation over the nodes that have any effect, and how many of the K
nodes of largest effect are among the K of largest estimate. The table stands in
docs/attribution.md, and a test makes it again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.attribution.exact import exact
from pathdsl.engine.session import EngineSession

from .engine import Prepared, attribution_of

__all__ = ["CASES", "Agreement", "agreement", "agreements", "markdown"]

TOP = (10, 50)
ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A bundled model with its task: the generator, the treated prompt, the columns of answers."""

    data: str
    treated: str
    answers: tuple[str, str]


CASES = {
    "induction-2l": Case(data="induction", treated="prompt_other", answers=("answer", "wrong")),
    "ioi-mini": Case(data="mini_ioi", treated="prompt_abc", answers=("io", "s")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One method on one model: `moved` of `units` nodes have an effect; `recall` of each of TOP."""

    model: str
    method: str
    units: int
    moved: int
    spearman: float
    recall: tuple[float, ...]


def agreement(truth: np.ndarray, estimate: np.ndarray) -> tuple[int, float, tuple[float, ...]]:
    """Nodes with an effect, Spearman's correlation over them, recall of each of TOP.

    `truth`, `estimate`: (units,), 0 or more. Of equal ones the first counts as larger.
    """
    moved = truth > 1e-5 * truth.max()  # what is less may be rounding
    rank = float(spearmanr(truth[moved], estimate[moved]).statistic)
    first, second = (np.argsort(-x, kind="stable") for x in (truth, estimate))
    return int(moved.sum()), rank, tuple(
        len(set(first[:k].tolist()) & set(second[:k].tolist())) / k
        for k in (min(k, len(truth)) for k in TOP)
    )  # fmt: skip


def agreements(model: str, rows: int = ROWS, *, pooled: bool = False) -> list[Agreement]:
    """Every method that scores nodes, on the first rows of a model's task."""
    case = CASES[model]
    good, bad = case.answers
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "a.circuit"
        path.write_text(
            f'model m = bundled("{model}")\n'
            f"task t {{\n  data = {case.data}(take: {rows}, seed: 0)\n  reference = prompt\n"
            f"  treated = {case.treated}\n}}\n"
            f"metric LD: logits = logit({good}) - logit({bad})\n"
            "let e: logits = mean(LD(reference))\n"
        )
        ready = Prepared(path)
    adapter = ready.loaded.adapter
    asked = attribution_of("exact", "nodes", case.answers, case.treated)
    asked = replace(asked, by_position=not pooled)
    session = EngineSession(ready.planner, adapter)
    truth = _sizes(exact(session, adapter.shape, asked).values)
    found = []
    for method in (name for name, how in METHODS.items() if how.nodes is not None):
        scored = attribute(adapter, ready.task, replace(asked, method=method))
        moved, rank, recall = agreement(truth, _sizes(scored.values))
        found.append(
            Agreement(model=model, method=method, units=len(truth), moved=moved, spearman=rank,
                      recall=recall)
        )  # fmt: skip
    return found


def _sizes(values: np.ndarray) -> np.ndarray:
    """(units,), at each position one behind the other: the mean absolute value over prompts."""
    return np.asarray(np.abs(values).mean(axis=-1).ravel())


def markdown(rows: Iterable[Agreement]) -> str:
    """A table with one line for each method."""
    tops = " | ".join(f"of the top {k}" for k in TOP)
    lines = [
        f"| model | nodes | with an effect | method | Spearman | {tops} |",
        "|---|---|---|---|---|" + "---|" * len(TOP),
    ]
    for row in rows:
        recall = " | ".join(f"{100 * share:.0f}%" for share in row.recall)
        lines.append(
            f"| `{row.model}` | {row.units} | {row.moved} | `{row.method}` | {row.spearman:.3f} "
            f"| {recall} |"
        )
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agreement", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("models", nargs="*", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--pooled", action="store_true")
    options = parser.parse_args(words)
    if unknown := [name for name in options.models if name not in CASES]:
        parser.error(f"no model `{unknown[0]}`; there are: {', '.join(CASES)}")
    if options.rows < 2:
        parser.error("--rows is at least 2")
    print(
        markdown(
            row
            for model in options.models or CASES
            for row in agreements(model, options.rows, pooled=options.pooled)
        ),
        end="",
    )


if __name__ == "__main__":
    main()
