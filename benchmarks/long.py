"""Long prompts: what workloads cost and hold, beside the same on short ones and W0.

    python -m benchmarks.long [gpt2] [llama] [--length 512] [--workload W3] [--turns 3]

Times are of the processor, on one thread, planning included, each turn beside a W0 of the same
process; from 256 tokens on both are fused. Memory is the most that a process holds at any moment,
less what it held after loading, with every weight read once and a short prompt run once: of the
workload, and of the model's own forward pass on the same prompts, each in a process of its own. The
model's own pass holds the logits of all tokens; `trunk` is its pass without the unembedding. Linux
only. At 15 tokens, where no memory is measured, more rows run, so that products are as large.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .child import result_of
from .engine import Prepared, prepare_workload
from .workloads import LENGTH

__all__ = ["NAMES", "ROWS", "peak_of", "run_child"]

NAMES = ("W1h", "W3", "W13")
LENGTHS = (512, 1024, 4096)
ROWS = {LENGTH: 32, 512: 2, 1024: 1, 4096: 1}


def _held(field: str) -> int:
    """Bytes of one line of this process's status: `VmRSS`, or `VmHWM`, the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise SystemExit("memory is read from /proc")


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that a call holds at most beyond what is held before it."""
    before = _held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is held now
    work()
    return max(_held("VmHWM") - before, 0)  # both are counted to a few pages


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _own_pass(ready: Prepared, whole: bool) -> None:
    """The model's own forward pass, with the logits of all tokens or without the unembedding."""
    import torch

    model: Any = ready.loaded.model
    with torch.no_grad():
        (model if whole else model.base_model)(ready.ids, use_cache=False)


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure here what `measure` names: `time`, or the peak of `work`, `own` or `trunk`."""
    import torch

    from pathdsl.engine.heap import TABLES
    from pathdsl.engine.run.runner import plan_cost

    ready = prepare_workload(
        arguments["name"], arguments["shape"], Path(arguments["scratch"]), threads=1,
        rows=arguments["rows"], length=arguments["length"],
    )  # fmt: skip
    TABLES.clear()  # their pages are what the loaded model holds
    for weight in ready.loaded.model.parameters():
        weight.sum()
    with torch.no_grad():
        ready.loaded.model(ready.ids[:, :8], use_cache=False)
    match arguments["measure"]:
        case "work":
            return {"peak": peak_of(ready.work)}
        case "own" | "trunk" as which:
            return {"peak": peak_of(lambda: _own_pass(ready, which == "own"))}
    times, plain = [], []
    for _ in range(arguments["turns"]):
        plain.append(_seconds(ready.plain))
        times.append(_seconds(ready.work))
    return {
        "plain_s": statistics.median(plain),
        "times": statistics.median(t / p for t, p in zip(times, plain, strict=True)),
        "counted": sum(plan_cost(plan, 4).forwards for plan in ready.last),
        "attention": ready.loaded.facts["attention"],
    }


def main() -> None:
    """Print a line for each shape, workload and length."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.long", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("shapes", nargs="*", metavar="SHAPE")
    parser.add_argument("--length", type=int, action="append", choices=tuple(ROWS))
    parser.add_argument("--workload", action="append", choices=NAMES)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--measure", action="append", choices=("time", "memory"))
    options = parser.parse_args()
    if odd := [shape for shape in options.shapes if shape not in ("gpt2", "llama")]:
        parser.error(f"long prompts are measured on gpt2 and llama, not on {odd[0]}")
    wanted = options.measure or ("time", "memory")
    print(f"{'shape':<7}{'':<5}{'tokens':>7}{'rows':>5}{'W0 s':>8}{'x W0':>7}{'counted':>9}"
          f"{'MB':>7}{'own':>7}{'trunk':>7}{'x own':>7}{'x trunk':>9}")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shapes or ("gpt2", "llama"):
            for length in options.length or (LENGTH, *LENGTHS):
                own: dict[str, int] = {}
                for name in options.workload or NAMES:
                    what = {"name": name, "shape": shape, "rows": ROWS[length], "length": length,
                            "turns": options.turns, "scratch": scratch}  # fmt: skip

                    def of(measure: str, what: dict[str, Any] = what) -> dict[str, Any]:
                        found: dict[str, Any] = result_of(
                            "benchmarks.long", what | {"measure": measure}, what["name"]
                        )
                        return found

                    line = f"{shape:<7}{name:<5}{length:>7,}{ROWS[length]:>5}"
                    if "time" in wanted:
                        row = of("time")
                        line += f"{row['plain_s']:>8.2f}{row['times']:>7.2f}{row['counted']:>9.2f}"
                    if "memory" in wanted and length != LENGTH:
                        own = own or {one: of(one)["peak"] for one in ("own", "trunk")}
                        peak = of("work")["peak"]
                        line += "".join(f"{n / 1e6:>7.0f}" for n in (peak, *own.values()))
                        line += f"{peak / own['own']:>7.2f}{peak / own['trunk']:>9.2f}"
                    print(line, flush=True)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        print(json.dumps(run_child(json.loads(sys.argv[1]))))
    else:
        main()
