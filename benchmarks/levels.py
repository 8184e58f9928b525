"""How often intervals, families and claims of extremes err where the truth is known.

    python -m benchmarks.levels [ends | families | forms | shares | files] [--samples N]

`ends`: intervals of one quantity, misses in per cent on both sides together at 95% and 99.375% (a
family of eight by Holm), and widths as multiples of Student's t. `families`: m members without any
effect, that share prompts; how often `max(e) > 0` is supported and how often some member of a
family by Holm has a definite verdict on `> 0`. `forms`: claims around `max`, `min` and `abs` that
are false, or true by nothing but noise. `shares`: shares of members above 0. `files`: whole files
on a random model, where `good` and `bad` answers are drawn for each prompt, so that every mean
effect is 0 by symmetry.

Populations have known means (medians): `real` are the effects of a head of `ioi-mini` on the logit
difference of 4,000 prompts (kurtosis 7, skewness -0.8), from which samples are drawn, `real, prob`
those of another head on a probability (9.5, 2.3). The tables stand in docs/levels.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import Aggregate, Among, Constant, Op, RowMetric, Scalar, Worst, ratio
from pathdsl.score.statistics.evaluate import Evaluator
from pathdsl.score.statistics.intervals import Bootstrap
from pathdsl.score.statistics.verdict import CORRECTIONS, Rule, decide, smallest

__all__ = [
    "FORMS", "POPULATIONS", "Columns", "average", "ends", "families", "files", "forms", "shares",
]  # fmt: skip

LEVELS = (0.95, 0.99375)
RESAMPLES = 2000
Generator = np.random.Generator
Claim = tuple[Scalar, str, float]
Draw = Callable[[Generator, int], dict[str, np.ndarray]]
Tell = Callable[[str], None]
Rows = list[dict[str, object]]


# -------------------------------------------------------------------------------------------------
# Prompts that are numbers
# -------------------------------------------------------------------------------------------------


class Columns:
    """A session whose measured values are given: `average(name)` is the mean of a column."""

    def __init__(
        self, columns: Mapping[str, np.ndarray], clusters: np.ndarray | None = None
    ) -> None:
        self._columns = columns
        n = len(next(iter(columns.values())))
        self.tasks = {
            "t": TaskData(
                name="t", row_ids=tuple(map(str, range(n))), reference="prompt", prompts={},
                lengths=np.ones(n, dtype=np.int64), answers={}, positions={}, labels={},
                clusters=np.arange(n) if clusters is None else clusters, key="t",
            )
        }  # fmt: skip

    def measures(self, requests: object) -> None:
        """Everything is known."""

    def value(self, run: RunSpec, measure: Measure) -> np.ndarray:
        """(1, prompts) the column."""
        return np.atleast_2d(self._columns[measure.column])

    def identity(self, run: RunSpec) -> RunSpec:
        """There is one run."""
        return run

    def rounding(self) -> float:
        """Numbers are exact."""
        return 0.0

    def allowance(self, task: str = "") -> float:
        """Numbers are exact."""
        return 0.0


def average(name: str, kind: str = "mean", *, hits: bool = False, q: float = 0.5) -> Aggregate:
    """A statistic of a column."""
    measure = Measure(kind="top1" if hits else "logit", column=name)
    rows = RowMetric(metric=atom(measure), run=RunSpec(task="t", kind="reference"))
    return Aggregate(kind=kind, rows=rows, task="t", q=q)  # type: ignore[arg-type]


def bootstrap(
    columns: Mapping[str, np.ndarray], seed: int, count: int = RESAMPLES, **options: np.ndarray
) -> Bootstrap:
    """Resamples of some columns."""
    return Bootstrap(Evaluator(Columns(columns, **options)), count=count, seed=seed)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------
# Populations
# -------------------------------------------------------------------------------------------------


REAL = """circuit effects "The effects of two heads" { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data      = mini_ioi(take: 4000, seed: 1)
  reference = prompt
  treated   = prompt_abc
}
metric LD: logits = logit(io) - logit(s)
metric P:  prob   = prob(io)
claim of_logits: mean(LD(reference) - LD(treat(through(a2.h0)))) > 0 at 95% confidence
claim of_prob:   mean(P(reference) - P(treat(through(a3.h1)))) > 0 at 95% confidence
"""


@cache
def real_effects() -> dict[str, np.ndarray]:
    """What 4,000 prompts lose where a head of `ioi-mini` is treated, less its mean, by metric."""
    import pathdsl

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "effects.circuit"
        path.write_text(REAL)
        session = pathdsl.check(path).outcome.session
    assert session is not None
    runs = {output.run.label: output.run for output in session.plans[0].outputs}
    reference = RunSpec(task="ioi", kind="reference")

    def logits(run: RunSpec) -> np.ndarray:
        good, bad = (session.value(run, Measure(kind="logit", column=c))[0] for c in ("io", "s"))
        return np.asarray(good - bad)

    def prob(run: RunSpec) -> np.ndarray:
        return session.value(run, Measure(kind="prob", column="io"))[0]

    found = {}
    for name, metric, head in (("logits", logits, "a2.h0"), ("prob", prob, "a3.h1")):
        effects = metric(reference) - metric(runs[f"treat(through({head}))"])
        found[name] = np.asarray(effects - effects.mean())
    return found


def _rare(r: Generator, n: int) -> np.ndarray:
    return np.where(r.random(n) < 0.05, 1 + 0.3 * r.standard_normal(n), 0.0) - 0.05


POPULATIONS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "normal": lambda r, n: r.standard_normal(n),
    "Laplace": lambda r, n: r.laplace(size=n),
    "t3": lambda r, n: r.standard_t(3, n),
    "contaminated": lambda r, n: r.standard_normal(n) * np.where(r.random(n) < 0.1, 5, 1),
    "real": lambda r, n: r.choice(real_effects()["logits"], n),
    "real, prob": lambda r, n: r.choice(real_effects()["prob"], n),
    "60% zeros": lambda r, n: np.where(r.random(n) < 0.6, 0.0, r.standard_normal(n)),
    "exponential": lambda r, n: r.exponential(size=n) - 1,
    "lognormal": lambda r, n: r.lognormal(size=n) - np.exp(0.5),
    "5% of prompts": _rare,
}


def _means(of: str) -> tuple[Scalar, Draw, float]:
    return average("x"), lambda r, n: {"x": POPULATIONS[of](r, n)}, 0.0


def _quotients(r: Generator, n: int, of: str) -> dict[str, np.ndarray]:
    y = r.gamma(4, 1, n)
    return {"x": 0.5 * y + POPULATIONS[of](r, n) * y, "y": y}


def _clustered(r: Generator, n: int) -> dict[str, np.ndarray]:
    return {"x": np.repeat(r.standard_normal(n), 5) + r.normal(0, 0.3, 5 * n)}


def quantities() -> dict[
    str, tuple[Scalar, Callable[[Generator, int], dict[str, np.ndarray]], float]
]:
    """Quantity, how a sample is drawn, and the truth."""
    found = {f"mean, {name}": _means(name) for name in POPULATIONS}
    quotient = ratio(average("x"), average("y"))
    for name in ("normal", "t3", "exponential"):
        found[f"ratio of means, {name}"] = (
            quotient,
            lambda r, n, of=name: _quotients(r, n, of),
            0.5,
        )
    found["share of 70%"] = (
        average("x", hits=True), lambda r, n: {"x": (r.random(n) < 0.7).astype(float)}, 0.7,
    )  # fmt: skip
    found["mean, clusters of 5"] = (average("x"), _clustered, 0.0)
    found["std, normal"] = (average("x", "std"), _means("normal")[1], 1.0)
    found["std, exponential"] = (average("x", "std"), _means("exponential")[1], 1.0)
    found["median, exponential"] = (average("x", "median"), _means("exponential")[1], np.log(2) - 1)
    found["90% quantile, normal"] = (
        average("x", "quantile", q=0.9), _means("normal")[1], 1.2815515655446004,
    )  # fmt: skip
    return found


def ends(
    samples: int, tell: Tell, sizes: Sequence[int] = (10, 20, 40, 100), only: str = ""
) -> Rows:
    """Misses and widths of intervals of one quantity."""
    rows: Rows = []
    for name, (node, draw, truth) in quantities().items():
        for n in sizes if only in ("", name) else ():
            missed, width, known = np.zeros(2), 0.0, np.zeros(2)
            for i in range(samples):
                columns = draw(np.random.default_rng([31, n, i]), n)
                options = {"clusters": np.repeat(np.arange(n), 5)} if "clusters" in name else {}
                b = bootstrap(columns, i, **options)
                for place, level in enumerate(LEVELS):
                    found = b.interval(node, level)
                    known[place] += found.known
                    missed[place] += found.known and not found.low <= truth <= found.high
                    if place == 0 and found.known and "x" in columns and name.startswith("mean"):
                        x = columns["x"]
                        plain = 2 * student.ppf(0.975, n - 1) * x.std(ddof=1) / np.sqrt(n)
                        width += (found.high - found.low) / max(plain, 1e-12)
            row = {
                "quantity": name, "n": n,
                "missed": [_percent(m, k) for m, k in zip(missed, known, strict=True)],
                "without": [100 * float(1 - k / samples) for k in known],
                "width": width / known[0] if width and "clusters" not in name else None,
            }  # fmt: skip
            rows.append(row)
            tell(json.dumps(row))
    return rows


def _percent(count: float, of: float) -> float | None:
    return 100 * float(count / of) if of else None


# -------------------------------------------------------------------------------------------------
# Families and forms
# -------------------------------------------------------------------------------------------------


def _members(r: Generator, population: str, m: int, n: int) -> dict[str, np.ndarray]:
    """Effects of members on the same prompts: half of their variance is of the prompt."""
    draw = POPULATIONS[population]
    shared = draw(r, n)
    return {f"e{k}": (draw(r, n) + shared) / np.sqrt(2) for k in range(m)}


FAMILIES = (
    ("real", 8, 40), ("real", 144, 40), ("t3", 8, 40), ("t3", 144, 40), ("exponential", 8, 40),
    ("exponential", 144, 200), ("normal", 8, 40), ("normal", 8, 200),
)  # fmt: skip
"""Effects, members and prompts."""


def families(samples: int, tell: Tell, cases: Sequence[tuple[str, int, int]] = FAMILIES) -> Rows:
    """False verdicts in families whose members have no effect."""
    rows: Rows = []
    rule = Rule(relation=">", threshold=0.0, exact=True)
    for population, m, n in cases:
        largest = some = 0
        times = samples if m < 100 else max(100, samples // 8)
        for i in range(times):
            columns = _members(np.random.default_rng([37, m, n, i]), population, m, n)
            b = bootstrap(columns, i, RESAMPLES if m < 100 else 10_000)
            e = [average(f"e{k}") for k in range(m)]
            largest += b.interval(Op(op="max", args=tuple(e)), 0.95).low > 0
            formulas = [b.p_values(one) for one in e]
            p = [
                smallest(rule, b.evaluator.estimate(one), f) if f is not None else 1.0
                for one, f in zip(e, formulas, strict=True)
            ]
            judges = [lambda level, one=one, b=b: decide(rule, b.interval(one, level)) for one in e]
            judged = CORRECTIONS["holm"].family(p, judges, 0.05)
            some += any(j.verdict.value in ("supported", "refuted") for j in judged)
        row = {"effects": population, "m": m, "n": n, "samples": times,
               "max": 100 * largest / times, "some": 100 * some / times}  # fmt: skip
        rows.append(row)
        tell(json.dumps(row))
    return rows


def _absolute(x: Scalar) -> Scalar:
    return Op(op="abs", args=(x,))


def _added(xs: list[Scalar]) -> Scalar:
    return reduce(lambda a, b: Op(op="+", args=(a, b)), xs)


def _forms() -> dict[str, Claim]:
    e: list[Scalar] = [average(f"e{k}") for k in range(8)]
    most, least = Op(op="max", args=tuple(e)), Op(op="min", args=tuple(e))
    size = average("size")
    units = tuple((f"a0.h{k}", _absolute(one)) for k, one in enumerate(e))
    mean = Op(op="/", args=(_added(e), Constant(value=8.0)))

    def minus(a: Scalar, b: Scalar) -> Scalar:
        return Op(op="-", args=(a, b))

    def times(a: Scalar, b: Scalar) -> Scalar:
        return Op(op="*", args=(a, b))

    return {
        "max(e…) > 0": (most, ">", 0.0),
        "max(e…) - min(e…) > 0": (minus(most, least), ">", 0.0),
        "max(abs(e)…) > 0.01": (Op(op="max", args=tuple(map(_absolute, e))), ">", 0.01),
        "abs(e0) + abs(e1) > 0.01": (_added([_absolute(e[0]), _absolute(e[1])]), ">", 0.01),
        "abs(e0) / mean(abs(LD)) > 0": (ratio(_absolute(e[0]), size), ">", 0.0),
        "minimality / mean(abs(LD)) > 0": (
            ratio(Worst(which="min", members=units), size), ">", 0.0,
        ),
        "max(e…) > mean(e…)": (minus(most, mean), ">", 0.0),
        "max(e0…e3) > max(e4…e7)": (
            minus(Op(op="max", args=tuple(e[:4])), Op(op="max", args=tuple(e[4:]))), ">", 0.0,
        ),
        "min(e…) > 0": (least, ">", 0.0),
        "e0^2 + … + e7^2 > 0": (_added([times(x, x) for x in e]), ">", 0.0),
        "(e0^2)^0.5 > 0": (
            Op(op="^", args=(times(e[0], e[0]), Constant(value=0.5))), ">", 0.0,
        ),
        "e0 e1 + e2 e3 > 0": (_added([times(e[0], e[1]), times(e[2], e[3])]), ">", 0.0),
        "max(median(e)…) > 0": (
            Op(op="max", args=tuple(average(f"e{k}", "median") for k in range(8))), ">", 0.0,
        ),
    }  # fmt: skip


FORMS = _forms()
"""Claims that nothing but noise supports."""

SHARES = (
    ("normal", 8, 40), ("t3", 8, 40), ("real", 8, 40), ("exponential", 8, 40), ("normal", 8, 200),
    ("normal", 144, 40), ("real", 144, 40),
)  # fmt: skip
"""Effects, members and prompts."""
LARGE = 1.5
"""The effect of a member that has one, in standard deviations over prompts."""


def shares(samples: int, tell: Tell, cases: Sequence[tuple[str, int, int]] = SHARES) -> Rows:
    """Shares of members above 0 where a quarter has an effect, and the others none at all.

    `missed`: the truth lies outside; `by_noise`: where no member has an effect, some is surely
    above 0; `found`: how much of the quarter is surely above 0; `width` of the interval.
    """
    rows: Rows = []
    for population, m, n in cases:
        missed = noise = 0
        found = width = 0.0
        times, resamples = (samples, RESAMPLES) if m < 100 else (max(50, samples // 16), 10_000)
        node = Among(
            relation=">",
            threshold=0.0,
            members=tuple((f"e{k}", average(f"e{k}")) for k in range(m)),
        )
        for i in range(times):
            columns = _members(np.random.default_rng([43, m, n, i]), population, m, n)
            noise += bootstrap(columns, i, resamples).interval(node, 0.95).low > 0
            large = {k: x + LARGE * (int(k[1:]) < m // 4) for k, x in columns.items()}
            low, high = bootstrap(large, i, resamples).interval(node, 0.95).pair() or (0.0, 1.0)
            missed += not low <= (m // 4) / m <= high
            found += low / ((m // 4) / m)
            width += high - low
        row = {"effects": population, "m": m, "n": n, "samples": times,
               "missed": 100 * missed / times, "by_noise": 100 * noise / times,
               "found": 100 * found / times, "width": width / times}  # fmt: skip
        rows.append(row)
        tell(json.dumps(row))
    return rows


CASES = (("normal", 40), ("normal", 200), ("t3", 40), ("real", 40))
"""Effects and numbers of prompts."""


def forms(samples: int, tell: Tell, cases: Sequence[tuple[str, int]] = CASES) -> Rows:
    """How often claims around extremes are supported where nothing is there."""
    rows: Rows = []
    for population, n in cases:
        found = dict.fromkeys(FORMS, 0)
        outside = 0
        for i in range(samples):
            r = np.random.default_rng([41, n, i])
            columns = _members(r, population, 8, n) | {"size": np.abs(r.normal(2, 1, n))}
            b = bootstrap(columns, i)
            for name, (node, relation, threshold) in FORMS.items():
                interval = b.interval(node, 0.95)
                rule = Rule(relation=relation, threshold=threshold, exact=True)
                found[name] += decide(rule, interval).value == "supported"
                estimate = b.evaluator.estimate(node)
                outside += not interval.low - 1e-12 <= estimate <= interval.high + 1e-12
        row = {"effects": population, "n": n, "outside": outside,
               "supported": {name: 100 * k / samples for name, k in found.items()}}  # fmt: skip
        rows.append(row)
        tell(json.dumps(row))
    return rows


# -------------------------------------------------------------------------------------------------
# Whole files
# -------------------------------------------------------------------------------------------------

NULL = """circuit null "Nothing is there" {{ language = 1 }}
model tiny = folder("model")
task t {{ data = jsonl("rows.jsonl"); reference = prompt; treated = other }}
metric LD: logits = logit(good) - logit(bad)
let e for h in attn: logits = mean(LD(treat(through(h))) - LD(reference))
path P = within({{a0.h0, a0.h1, a1.h0, mlp}})
{claims}"""

CLAIMS = {
    "largest": "max({all}) > 0",
    "spread": "max({all}) - min({all}) > 0",
    "largest_size": "max({sizes}) > 0.01",
    "two_sizes": "abs(e[a1.h0]) + abs(e[a1.h1]) > 0.01",
    "relative": "abs(e[a1.h0]) / mean(abs(LD(reference))) > 0",
    "minimal": "minimality(P) > 0",
    "relative_minimal": "minimality(P) / mean(abs(LD(reference))) > 0",
    "against": "e[a1.h0] > e[a1.h1]",
    "middle": "median(LD(treat(through(a1.h0))) - LD(reference)) > 0",
}
"""Claims of a file without effects, by name."""


def null_file(folder: Path, n: int, seed: int) -> Path:
    """A file with fresh prompts and answers; the model in `folder/model` is made once."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if not (folder / "model").exists():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=32,
            initializer_range=0.3, tie_word_embeddings=False,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder / "model")
    r = np.random.default_rng([43, n, seed])
    lines = []
    for i in range(n):
        prompt, other = (r.integers(3, 64, 6).tolist() for _ in range(2))
        good, bad = r.choice(np.arange(3, 64), 2, replace=False).tolist()
        lines.append(
            json.dumps({"id": str(i), "prompt": prompt, "other": other, "good": good, "bad": bad})
        )
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    heads = [f"a{layer}.h{head}" for layer in range(2) for head in range(4)]
    written = {"all": ", ".join(f"e[{h}]" for h in heads),
               "sizes": ", ".join(f"abs(e[{h}])" for h in heads)}  # fmt: skip
    claims = [f"claim {k}: {c.format(**written)} at 95% confidence" for k, c in CLAIMS.items()]
    claims.append("claim each for h in attn: e[h] > 0 at 95% confidence by holm()")
    path = folder / "null.circuit"
    path.write_text(NULL.format(claims="\n".join(claims) + "\n"))
    return path


def files(samples: int, tell: Tell, sizes: Sequence[int] = (40, 200)) -> Rows:
    """How often a claim is supported, and how often `each` has a definite verdict, end to end."""
    import pathdsl

    rows: Rows = []
    with tempfile.TemporaryDirectory() as made:
        for n in sizes:
            found = dict.fromkeys([*CLAIMS, "each"], 0)
            for i in range(samples):
                result = pathdsl.check(null_file(Path(made), n, i))
                verdicts = {claim.name: claim.verdict.value for claim in result.claims}
                for name in CLAIMS:
                    found[name] += verdicts[name] == "supported"
                found["each"] += any(
                    verdict in ("supported", "refuted")
                    for name, verdict in verdicts.items()
                    if name.startswith("each[")
                )
            row = {"n": n, "files": samples,
                   "supported": {name: 100 * k / samples for name, k in found.items()}}  # fmt: skip
            rows.append(row)
            tell(json.dumps(row))
    return rows


SUITES: dict[str, tuple[Callable[..., Rows], int]] = {
    "ends": (ends, 2000), "families": (families, 800), "forms": (forms, 1000),
    "shares": (shares, 800), "files": (files, 200),
}  # fmt: skip


def run_suites(
    prog: str, about: str | None, suites: Mapping[str, tuple[Callable[..., Rows], int]]
) -> None:
    """The command line of simulations: a line of JSON for each case of the named suites."""
    parser = argparse.ArgumentParser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", choices=[*suites, []], default=list(suites))
    parser.add_argument("--samples", type=int, help="of each case (default: as in the docs)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {
        name: suites[name][0](
            options.samples or suites[name][1], lambda line: print(line, flush=True)
        )
        for name in options.suites
    }
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Simulate and print a line of JSON for each case."""
    run_suites("python -m benchmarks.levels", __doc__, SUITES)


if __name__ == "__main__":
    main()
