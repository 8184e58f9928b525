"""What `hypotheses/gpt2/ioi_discovery.circuit` costs: eight sweeps, their plan and self-checks.

    python -m benchmarks discovery [--repeat 3] [--rows 64] [--threads 2]

In a process of its own, on random weights of GPT-2's shape with GPT-2's tokenizer: the file is
prepared as `check` does, then W0 (one plain forward of all reference prompts), the plan, W0, its
runs, W0 and the self-checks are measured in turn. Each figure is divided by the median of the W0s.
Processor seconds say what the work is where other programs run beside it, seconds what a user
waits; they agree on one thread of a quiet machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .child import ROOT, result_of
from .processes import gpt2_folder

__all__ = ["measure_discovery", "run_child"]

FILE = "hypotheses/gpt2/ioi_discovery.circuit"
REACH = 25
PARTS = ("planning", "runs", "self-checks")


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process: processor seconds and seconds of each part and of W0, and counts."""
    import torch

    from pathdsl.checking.machines import fuses
    from pathdsl.checking.options import CheckOptions
    from pathdsl.checking.prepare import prepare
    from pathdsl.engine.load.source import ModelSource
    from pathdsl.engine.load.weights import load
    from pathdsl.engine.rounding import rounding_of
    from pathdsl.engine.run.runner import Settings, execute, plan_cost
    from pathdsl.engine.self_check import null_cost, prove, prove_cost, prove_null_pair
    from pathdsl.lang.lint import lint_file

    program, _ = lint_file(str(ROOT / FILE))
    source = ModelSource(kind="folder", location=arguments["folder"])
    options = CheckOptions(overrides={"take": arguments["rows"]}, models={"gpt2": source})
    ready = prepare(program, options)
    requests = list(ready.first_round().requests)
    task = ready.planner.tasks["ioi"]
    loaded = load(ready.source, "cpu", arguments["threads"], fused=fuses(ready, ["ioi"]))
    adapter, ids = loaded.adapter, torch.from_numpy(task.prompts[task.reference])
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ("W0", *PARTS)}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        processor, wall = time.process_time(), time.perf_counter()
        found = work()
        spent[name].append((time.process_time() - processor, time.perf_counter() - wall))
        return found

    def plain() -> None:
        with torch.no_grad():
            loaded.model(ids, use_cache=False)

    def checks() -> None:
        prove(ready.planner, adapter, task)
        prove_null_pair(plan, task, adapter, rounding_of(adapter))

    plain()
    for _ in range(arguments["repeat"]):
        timed("W0", plain)
        (plan,) = timed("planning", lambda: ready.planner.plans(requests))
        timed("W0", plain)
        timed("runs", lambda: execute(plan, task, adapter, Settings()))  # noqa: B023
        timed("W0", plain)
        timed("self-checks", checks)
    itemsize = adapter.dtype.itemsize
    weighed = plan_cost(plan, itemsize)
    return {
        "rows": task.n_rows,
        "threads": torch.get_num_threads(),
        "runs": len(plan.outputs),
        "counted": weighed.forwards,
        "counted_checks": prove_cost(ready.planner, task, itemsize) + null_cost(plan, weighed),
        **{
            name: {
                "processor_s": statistics.median(one for one, _ in times),
                "seconds": statistics.median(one for _, one in times),
            }
            for name, times in spent.items()
        },
    }


def measure_discovery(
    repeat: int, rows: int, threads: int | None, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The parts as multiples of W0, told line by line; nothing without GPT-2's tokenizer."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = gpt2_folder(Path(scratch) / "gpt2")
        if folder is None:
            tell("discovery: skipped, GPT-2's tokenizer files are not there")
            return []
        asked = {"folder": str(folder), "repeat": repeat, "rows": rows, "threads": threads}
        row = result_of("benchmarks.discovery", asked, "discovery")
    plain = row["W0"]
    tell(
        f"{row['runs']} runs on {row['rows']} prompts, {row['threads']} threads; "
        f"W0 {plain['processor_s']:.2f} s of the processor, {plain['seconds']:.2f} s"
    )
    tell(f"{'':<14}{'processor':>10}{'seconds':>10}{'counted':>10}  (x W0)")
    counted = {"runs": row["counted"], "self-checks": row["counted_checks"]}
    sums = {"processor_s": 0.0, "seconds": 0.0}
    for name in PARTS:
        each = {key: row[name][key] / plain[key] for key in sums}
        sums = {key: sums[key] + each[key] for key in sums}
        count = f"{counted[name]:.1f}" if name in counted else ""
        tell(f"{name:<14}{each['processor_s']:>10.1f}{each['seconds']:>10.1f}{count:>10}")
    tell(
        f"{'together':<14}{sums['processor_s']:>10.1f}{sums['seconds']:>10.1f}"
        f"{sum(counted.values()):>10.1f}  to reach: {REACH}"
    )
    return [row]


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
