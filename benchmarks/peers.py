"""The same work by hand, in the libraries that are installed: do the numbers agree, what is faster?

For each workload `pathdsl` computes the logit difference of every run on every prompt; then each
library does the same work as its users write it (`benchmarks/drivers.py`), run by run, on the same
weights. Each measures W0, the plain `transformers` forward, in its own process and is given as a
multiple of it. A library that is not installed is skipped by name.

    python -m benchmarks peers [NAME …] [--shape gpt2] [--rows 64] [--peer nnsight] [--repeat 3]

Libraries read whole logits, since that is what their forward returns; `pathdsl` reads what the
metric needs. That is part of the difference between them.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .child import result_of
from .drivers import DRIVERS, Driver, driver_for, installed
from .engine import prepare_workload
from .patches import BY_HAND, Run, hand_written, wanted
from .shapes import SHAPES
from .workloads import LENGTH, ROWS, acted_heads, circuit_heads, receivers_of, units

__all__ = ["AGREE", "USUAL", "compare_all", "evaluate", "run_child"]

USUAL = ("W1h", "W3", "W7b")
AGREE = 1e-3
"""Logit differences in float32 that lie further apart than this are told as different."""


def evaluate(driver: Driver, runs: Sequence[Run], ids: Any, other: Any, answers: Any) -> Any:
    """Logit differences (runs, rows): `answers` (rows, 2) at the last position, one by one.

    `ids` and `other` (rows, positions): the reference and the treated prompts.
    """
    import torch

    with torch.no_grad():
        values = {}
        for source, prompt in (("reference", ids), ("treated", other)):
            _, kept = driver.forward(prompt, (), {}, wanted(runs, source))
            values |= {(source, site): value for site, value in kept.items()}
        found = []
        for run in runs:
            here = values
            if run.first:
                _, kept = driver.forward(ids, run.first, values, wanted([run], "first"))
                here = values | {("first", site): value for site, value in kept.items()}
            logits, _ = driver.forward(ids, run.patches, here, ())
            good, bad = logits[:, -1].gather(1, answers).unbind(1)
            found.append(good - bad)
        return torch.stack(found).double()


def _ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """`pathdsl` on one workload: medians, and the logit differences by the label of the run."""
    import torch

    from pathdsl.engine.run.runner import Settings, execute

    name, shape = arguments["name"], arguments["shape"]
    ready = prepare_workload(
        name, shape, Path(arguments["scratch"]), rows=arguments["rows"],
        length=arguments["length"], knockouts=arguments["knockouts"], threads=arguments["threads"],
    )  # fmt: skip
    times = _timed(ready.plain, lambda: ready.work(), arguments["repeat"])
    values = {}
    for plan in ready.last:
        for (output, measure), got in execute(
            plan, ready.task, ready.loaded.adapter, Settings()
        ).items():
            values[plan.outputs[output].run, measure.column] = got[0]
    found: dict[str, list[float]] = {}
    for run, _ in ready.requests:
        key = ready.planner.normal(run)
        found[run.label] = (values[key, "io"] - values[key, "s"]).tolist()
    return times | {"threads": torch.get_num_threads(), "differences": found}


def _theirs(arguments: dict[str, Any]) -> dict[str, Any]:
    """A library on one workload, and how far its numbers lie from those of `pathdsl`."""
    import torch
    import transformers

    name, shape, scratch = arguments["name"], arguments["shape"], Path(arguments["scratch"])
    torch.set_num_threads(arguments["threads"])
    # TransformerLens needs attention written out, and `check` writes it out on such prompts.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        scratch / shape, attn_implementation="eager"
    ).eval()
    lines = [json.loads(line) for line in (scratch / "rows.jsonl").read_text().splitlines()]
    ids, other = (torch.tensor([line[key] for line in lines]) for key in ("prompt", "cf"))
    answers = torch.tensor([[line["io"], line["s"]] for line in lines])
    expected = json.loads(Path(arguments["expected"]).read_text())
    runs = hand_written(
        name, list(expected), circuit_heads(shape), receivers_of(shape),
        SHAPES[shape].n_layers, SHAPES[shape].n_heads, acted_heads(shape),
    )  # fmt: skip

    def plain() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            model(ids, use_cache=False)
        return time.perf_counter() - started

    # W0 is measured before a library touches the model: some replace its modules.
    plains = [min(plain(), plain()) for _ in range(arguments["repeat"])]
    driver = driver_for(arguments["peer"], model, scratch)
    evaluate(driver, runs[:1], ids, other, answers)
    found = []
    times = _timed(
        iter(plains).__next__,
        lambda: found.append(evaluate(driver, runs, ids, other, answers)),
        arguments["repeat"],
        warm=False,
    )
    got = found[-1]
    want = torch.tensor(list(expected.values()), dtype=torch.float64)
    return times | {
        "difference": float((got - want).abs().max()),
        "largest": float(want.abs().max()),
    }


def _timed(
    plain: Callable[[], float], work: Callable[[], object], repeat: int, *, warm: bool = True
) -> dict[str, Any]:
    """Medians of W0 and of the work, in seconds, and the process's peak memory in GB."""
    if warm:
        plain()
    plains, works = [], []
    for _ in range(repeat):
        plains.append(min(plain(), plain()) if warm else plain())
        started = time.perf_counter()
        work()
        works.append(time.perf_counter() - started)
    return {
        "plain_s": statistics.median(plains),
        "seconds": statistics.median(works),
        "least_s": min(works),
        "most_s": max(works),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """One workload by `pathdsl` (`peer` "pathdsl") or a library, in this process; plain data."""
    return _ours(arguments) if arguments["peer"] == "pathdsl" else _theirs(arguments)


def _in_child(arguments: dict[str, Any]) -> dict[str, Any]:
    what = f"{arguments['peer']} {arguments['name']}"
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return result_of("benchmarks.peers", arguments, what, offline)


def compare_all(
    names: Sequence[str],
    shape: str,
    repeat: int,
    tell: Callable[[str], None],
    *,
    peers: Sequence[str] = tuple(DRIVERS),
    rows: int = ROWS,
    length: int = LENGTH,
    knockouts: int = 100,
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Every workload by `pathdsl` and by each library that is installed, told line by line.

    Each result: `difference`, the largest over runs and prompts between the library's logit
    difference and that of `pathdsl`, and `agrees`, whether it is below `AGREE`; `times_pathdsl`:
    its multiple of W0 over that of `pathdsl`. Raises SystemExit for workloads that are not in
    `BY_HAND`, and for shapes that are not GPT-2's.
    """
    odd = [name for name in names if name not in BY_HAND]
    if odd:
        known = ", ".join(BY_HAND)
        raise SystemExit(f"{', '.join(odd)}: not written by hand; those that are: {known}")
    if SHAPES[shape].config != "GPT2Config":
        raise SystemExit(f"the libraries are written for GPT-2's modules, `{shape}` has others")
    missing = [peer for peer in peers if installed(peer) is None]
    for peer in missing:
        tell(f"{peer}: skipped, not installed (python -m pip install {peer})")
    tell(f"{'':<5}{'by':<18}{'version':<10}{'W0 s':>7}{'s':>9}{'x W0':>9}{'x ours':>8}"
         f"{'GB':>6}{'differs':>10}")  # fmt: skip
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            arguments = {
                "name": name, "shape": shape, "rows": rows, "length": length, "repeat": repeat,
                "knockouts": knockouts, "threads": threads, "scratch": scratch,
            }  # fmt: skip
            ours = _in_child(arguments | {"peer": "pathdsl"})
            expected = Path(scratch) / f"{name}.json"
            differences = ours.pop("differences")
            expected.write_text(json.dumps(differences))
            arguments |= {"threads": ours["threads"], "expected": str(expected)}
            about = {
                "workload": name, "shape": shape, "rows": rows, "length": length,
                "runs": len(differences), "threads": ours["threads"],
                "units": knockouts if name == "W6b" else units(name, shape),
            }  # fmt: skip
            base = _row(about, "pathdsl", version("pathdsl"), ours)
            found.append(base)
            tell(_line(base))
            for peer in peers:
                if peer not in missing:
                    theirs = _in_child(arguments | {"peer": peer})
                    row = _row(about, peer, installed(peer), theirs)
                    row["agrees"] = row["difference"] <= AGREE
                    row["times_pathdsl"] = row["multiple"] / base["multiple"]
                    found.append(row)
                    tell(_line(row))
    return found


def _row(about: dict[str, Any], peer: str, of: str | None, row: dict[str, Any]) -> dict[str, Any]:
    multiple = row["seconds"] / row["plain_s"] / about["units"]
    return {**about, "peer": peer, "version": of, **row, "multiple": multiple}


def _line(row: dict[str, Any]) -> str:
    text = (
        f"{row['workload']:<5}{row['peer']:<18}{row['version']:<10}{row['plain_s']:>7.3f}"
        f"{row['seconds']:>9.3f}{row['multiple']:>9.2f}"
    )
    if "agrees" not in row:
        return f"{text}{'':>8}{row['peak_gb']:>6.2f}"
    verdict = "" if row["agrees"] else f"  DIFFERS, by more than {AGREE:g}"
    figures = f"{row['times_pathdsl']:>8.1f}{row['peak_gb']:>6.2f}{row['difference']:>10.1e}"
    return text + figures + verdict


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
