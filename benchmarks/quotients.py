"""Measured over counted cost, shape beside shape: whether some family's parts do more than counted.

    python -m benchmarks.quotients [SHAPE …] [--rows 64] [--turns 3] [--workload W1h]

A workload's cost is its time over that of W0, the quotient that over what its plan counts. All
shapes are in one process and take turns, W0 just before the workload; times are of the processor,
on one thread. Medians over the turns, and each shape's quotient over that of `llama`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .engine import Prepared, prepare_workload
from .shapes import SHAPES
from .workloads import ROWS

__all__ = ["USUAL", "quotients"]

USUAL = ("llama", "mixture", "bert", "attention", "gpt2")
BESIDE = "llama"


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def quotients(
    name: str, shapes: Sequence[str], rows: int, turns: int, scratch: Path
) -> dict[str, tuple[float, float, float]]:
    """By shape: W0 in seconds, the workload as a multiple of it, and what its plan counts."""
    from pathdsl.engine.run.runner import plan_cost

    ready: dict[str, Prepared] = {}
    for shape in shapes:
        own = scratch / shape
        own.mkdir(exist_ok=True)
        ready[shape] = prepare_workload(name, shape, own, rows=rows, threads=1)
        ready[shape].plain()
        ready[shape].work()
    plain: dict[str, list[float]] = {shape: [] for shape in shapes}
    times: dict[str, list[float]] = {shape: [] for shape in shapes}
    for _ in range(turns):
        for shape, one in ready.items():
            base = min(_seconds(one.plain), _seconds(one.plain))
            plain[shape].append(base)
            times[shape].append(_seconds(one.work) / base)
    return {
        shape: (
            statistics.median(plain[shape]),
            statistics.median(times[shape]),
            sum(plan_cost(plan, 4).forwards for plan in one.last),
        )
        for shape, one in ready.items()
    }


def main() -> None:
    """Print a line for each shape and workload."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quotients", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("shapes", nargs="*", metavar="SHAPE")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workload", action="append", choices=("W1h", "W3"))
    options = parser.parse_args()
    if odd := [shape for shape in options.shapes if shape not in SHAPES]:
        parser.error(f"no shape `{odd[0]}`; there are: {', '.join(SHAPES)}")
    shapes = list(dict.fromkeys([BESIDE, *(options.shapes or USUAL)]))
    print(f"{'':<5}{'shape':<11}{'W0 s':>7}{'x W0':>7}{'counted':>9}{'quotient':>10}"
          f"{f'/ {BESIDE}':>9}")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.workload or ("W1h", "W3"):
            found = quotients(name, shapes, options.rows, options.turns, Path(scratch))
            _, beside_times, beside_counted = found[BESIDE]
            for shape, (plain, times, counted) in found.items():
                quotient = times / counted
                print(
                    f"{name:<5}{shape:<11}{plain:>7.3f}{times:>7.2f}{counted:>9.2f}"
                    f"{quotient:>10.3f}{quotient / (beside_times / beside_counted):>9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
