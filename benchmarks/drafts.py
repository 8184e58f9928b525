"""How often a discovery ends in a claim that is supported and false, where effects are weak.

    python -m benchmarks.drafts [worlds | files] [--samples N] [--json FILE]

`worlds`: 200 edges that add up. An edge changes the metric of a prompt by its effect and noise of
one standard deviation, so that what a circuit keeps on average over all prompts is known. On some
prompts the edges of largest absolute mean are selected and claims drafted, by the rules of
`pathdsl.checking.discovery.thresholds`; other prompts judge them, with the intervals and verdicts
of `check`. For contrast the same claims are judged on the prompts that found the circuit.

`files`: whole discoveries on a random model whose metric hangs weakly on every edge; the truth of a
claim is what 1,000 prompts say that neither found nor judged.

Told are how many discoveries claim anything, how many of their claims are false on the population,
and how many are supported and false, in per cent of all discoveries that claim it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pathdsl.checking.discovery.thresholds import complete_from, necessary_from, sufficient_from
from pathdsl.score.quantity import Op, Scalar, ratio
from pathdsl.score.statistics.verdict import Rule, decide

from .levels import Rows, Tell, average, bootstrap, run_suites

__all__ = ["CASES", "WORLDS", "Case", "files", "worlds"]

EDGES = 200
ALONE = 2.0
"""The metric in the treated run, of which shares of the metric are shares as well."""
RESAMPLES = 1000
Generator = np.random.Generator


def _few(r: Generator) -> np.ndarray:
    return np.where(np.arange(EDGES) < EDGES // 10, 0.2, 0.0)


def _many(r: Generator) -> np.ndarray:
    return r.exponential(0.05, EDGES)


def _both(r: Generator) -> np.ndarray:
    return np.asarray(r.normal(0.03, 0.1, EDGES))


WORLDS: dict[str, Callable[[Generator], np.ndarray]] = {
    "a tenth has 0.2": _few,
    "all about 0.05": _many,
    "both signs, 0.03 ± 0.1": _both,
}
"""Effects of the edges in standard deviations of their noise over prompts."""
NOISE: dict[str, Callable[[Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda r, shape: r.standard_normal(shape),
    "t3": lambda r, shape: r.standard_t(3, shape) / np.sqrt(3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A world, the noise, prompts on each side, and how many edges are selected."""

    world: str
    noise: str
    prompts: int
    size: int


CASES = tuple(
    Case(world=world, noise=noise, prompts=prompts, size=size)
    for world in WORLDS
    for noise, prompts, size in (("normal", 40, 40), ("normal", 120, 40), ("t3", 40, 40),
                                 ("normal", 40, 10))
)  # fmt: skip


def _shares(inside: np.ndarray, effects: np.ndarray) -> tuple[float, float, float]:
    """What a circuit keeps, what is left without it and what it misses, for mean effects."""
    whole, kept = float(effects.sum()), float(effects[inside].sum())
    reference = ALONE + whole
    return kept / whole, (reference - kept) / reference, abs(whole - kept) / abs(reference)


def _claims(found: tuple[float, float, float]) -> dict[str, tuple[str, float]]:
    """The drafted claims: relation and threshold by name."""
    least = sufficient_from(found[0])
    if least <= 0:
        return {}
    claims = {"sufficient": (">=", least)}
    for name, most in (
        ("necessary", necessary_from(found[1])), ("complete", complete_from(found[2])),
    ):  # fmt: skip
        if most is not None:
            claims[name] = ("<=", most)
    return claims


def _quantities() -> dict[str, Scalar]:
    kept, whole, reference = average("kept"), average("whole"), average("reference")
    rest, left = average("rest"), average("left")
    return {
        "sufficient": ratio(kept, whole),
        "necessary": ratio(left, reference),
        "complete": ratio(Op(op="abs", args=(rest,)), Op(op="abs", args=(reference,))),
        "way": whole,
    }


def _columns(inside: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """What is measured on each prompt; `x`: (edges, prompts) effects."""
    whole, kept = x.sum(axis=0), x[inside].sum(axis=0)
    return {
        "kept": kept, "whole": whole, "rest": whole - kept, "reference": ALONE + whole,
        "left": ALONE + whole - kept,
    }  # fmt: skip


def worlds(samples: int, tell: Tell, cases: Sequence[Case] = CASES) -> Rows:
    """Claims by verdict and truth in worlds of edges that add up."""
    rows: Rows = []
    quantities = _quantities()
    for case in cases:
        counts = {
            name: dict.fromkeys(("drafted", "false", "supported", "wrong", "wrong_there"), 0)
            for name in ("sufficient", "necessary", "complete")
        }
        any_wrong = claiming = 0
        for i in range(samples):
            r = np.random.default_rng([53, CASES.index(case) if case in CASES else 0, i])
            effects = WORLDS[case.world](r)
            finding, judging = (
                effects[:, None] + NOISE[case.noise](r, (EDGES, case.prompts)) for _ in range(2)
            )
            means = finding.mean(axis=1)
            inside = np.argsort(-np.abs(means), kind="stable")[: case.size]
            found = bootstrap(_columns(inside, finding), i, RESAMPLES)
            way = found.interval(quantities["way"], 0.95)
            claims = _claims(_shares(inside, means)) if way.low > 0 else {}
            claiming += bool(claims)
            truth = dict(
                zip(("sufficient", "necessary", "complete"), _shares(inside, effects), strict=True)
            )
            judge = bootstrap(_columns(inside, judging), i, RESAMPLES)
            wrong = False
            for name, (relation, threshold) in claims.items():
                rule = Rule(relation=relation, threshold=threshold, exact=True)
                false = not rule.satisfied(truth[name])
                there = decide(rule, found.interval(quantities[name], 0.95)) == "supported"
                supported = decide(rule, judge.interval(quantities[name], 0.95)) == "supported"
                one = counts[name]
                one["drafted"] += 1
                one["false"] += false
                one["supported"] += supported
                one["wrong"] += false and supported
                one["wrong_there"] += false and there
                wrong = wrong or (false and supported)
            any_wrong += wrong
        row = {
            "world": case.world, "noise": case.noise, "n": case.prompts, "size": case.size,
            "samples": samples, "claiming": claiming, "some_wrong": any_wrong, "claims": counts,
        }  # fmt: skip
        rows.append(row)
        tell(json.dumps(row))
    return rows


# -------------------------------------------------------------------------------------------------
# Whole discoveries
# -------------------------------------------------------------------------------------------------

TASK = """model tiny = folder("model")
task t {{ data = jsonl("{rows}"); reference = prompt; treated = other }}
metric LD: logits = logit(good) - logit(bad)
"""
PROMPTS, POPULATION = 60, 1000


def _rows(model: Any, r: Generator, count: int) -> str:
    """Prompts of random tokens; one of two random answers is the good one, more often than not the
    one that the model says rather than after the other prompt."""
    import torch

    lines = []
    prompts, others = (r.integers(3, 64, (count, 6)) for _ in range(2))
    with torch.no_grad():
        apart = [model(torch.from_numpy(ids)).logits[:, -1] for ids in (prompts, others)]
    moved = (apart[0] - apart[1]).numpy()
    for i in range(count):
        good, bad = r.choice(np.arange(3, 64), 2, replace=False).tolist()
        if moved[i, good] < moved[i, bad] and r.random() < 0.5:
            good, bad = bad, good
        lines.append(
            json.dumps({"id": f"r{i}", "prompt": prompts[i].tolist(), "other": others[i].tolist(),
                        "good": good, "bad": bad}) + "\n"
        )  # fmt: skip
    return "".join(lines)


def files(samples: int, tell: Tell) -> Rows:
    """Whole discoveries on a random model; the truth is a population's."""
    import torch
    from transformers import AutoModelForCausalLM

    from pathdsl.checking.check import check_file
    from pathdsl.checking.discovery.goal import Unwanted, read_goal
    from pathdsl.checking.discovery.run import discover_file
    from pathdsl.checking.discovery.wanted import Wanted
    from pathdsl.checking.options import CheckOptions

    from .levels import null_file

    counts: dict[str, dict[str, int]] = {}
    done = claiming = 0
    wanted = Wanted(
        method="eap", select="greedy", size=None, budget=None,
        until=read_goal("faithfulness >= 60%"),
        tau=None, steps=None, rule=None, signed=False, bound=None, curves=False, task=None,
        metric=None, judge=None, seed=0, share=0.5, out=None, force=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        null_file(folder, 4, 0)  # the random model
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
        r = np.random.default_rng(59)
        (folder / "population.jsonl").write_text(_rows(model, r, POPULATION))
        for _ in range(samples):
            (folder / "rows.jsonl").write_text(_rows(model, r, 2 * PROMPTS))
            task = folder / "task.circuit"
            task.write_text(TASK.format(rows="rows.jsonl"))
            try:
                found = discover_file(str(task), wanted, CheckOptions(), lambda _: None)
            except Unwanted:
                continue
            done += 1
            judged = found.outcome.judgement
            if judged is None or found.unclaimed:
                continue
            claiming += 1
            text = found.text
            start = text.index('jsonl("')
            end = text.index(")", start) + 1
            whole = check_file(
                str(folder / "task_found.circuit"), CheckOptions(),
                text[:start] + 'jsonl("population.jsonl")' + text[end:],
            ).judgement  # fmt: skip
            assert whole is not None
            truth = {one.name: one for one in whole.claims}
            for one in judged.claims:
                of = truth[one.name]
                rule = Rule(relation=one.relation, threshold=one.threshold, exact=True)
                false = of.estimate is None or not rule.satisfied(of.estimate)
                count = counts.setdefault(
                    one.name, dict.fromkeys(("drafted", "false", "supported", "wrong"), 0)
                )
                supported = one.verdict.value == "supported"
                count["drafted"] += 1
                count["false"] += false
                count["supported"] += supported
                count["wrong"] += false and supported
    row = {"n": PROMPTS, "discoveries": done, "claiming": claiming, "claims": counts}
    tell(json.dumps(row))
    return [row]


SUITES: dict[str, tuple[Callable[..., Rows], int]] = {"worlds": (worlds, 400), "files": (files, 40)}


def main() -> None:
    """Simulate and print a line of JSON for each case."""
    run_suites("python -m benchmarks.drafts", __doc__, SUITES)


if __name__ == "__main__":
    main()
