"""What a workload spends its time on, by torch's profiler; for saying what bounds a figure.

    python -m benchmarks profile W6b --shape gpt2 [--rows 64] [--threads 1]

Times are of torch's operators themselves (an operator that calls others counts without them), so
shares add up to 1; on another device they are those of the calls, not of the kernels. What is not
in an operator, such as planning and the interpreter's own work, is `outside`, the rest of the wall
time; with several threads it can come out too small.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .child import result_of
from .engine import prepare_workload
from .workloads import ROWS, WORKLOADS

__all__ = ["KINDS", "kind_of", "profile_all", "run_child", "shares"]

KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "einsum", "mv"),
    "attention": (
        "softmax", "_softmax", "scaled_dot_product_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
    ),
    "copying": (
        "copy_", "clone", "contiguous", "cat", "stack", "index", "index_select", "index_put_",
        "_index_put_impl_", "gather", "scatter_", "fill_", "zero_", "to", "_to_copy", "where",
    ),
}  # fmt: skip
REST = "other operators"
OUTSIDE = "outside"


def kind_of(operator: str) -> str:
    """The kind that an operator such as `aten::addmm` counts as."""
    name = operator.removeprefix("aten::")
    return next((kind for kind, names in KINDS.items() if name in names), REST)


def shares(operators: Mapping[str, float], wall: float) -> list[dict[str, Any]]:
    """Each kind with its share of `wall` (all in seconds) and its largest operators.

    A share of operators is of the larger of `wall` and what the operators took altogether.
    """
    whole = max(wall, sum(operators.values()))
    found = []
    for kind in (*KINDS, REST):
        names = [name for name in operators if kind_of(name) == kind]
        names.sort(key=lambda name: -operators[name])
        seconds = sum(operators[name] for name in names)
        found.append({"kind": kind, "seconds": seconds, "share": seconds / whole,
                      "operators": names[:4]})  # fmt: skip
    outside = whole - sum(operators.values())
    found.append({"kind": OUTSIDE, "seconds": outside, "share": outside / whole, "operators": []})
    return found


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """Profile one workload in this process: wall seconds, and those of each operator itself."""
    from torch.profiler import ProfilerActivity, profile

    ready = prepare_workload(
        arguments["name"], arguments["shape"], Path(arguments["scratch"]),
        rows=arguments["rows"], threads=arguments["threads"], device=arguments.get("device", "cpu"),
    )  # fmt: skip
    ready.plain()
    ready.work()
    started = time.perf_counter()
    ready.work()
    plain_wall = time.perf_counter() - started
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        inside = time.perf_counter()
        ready.work()
        wall = time.perf_counter() - inside
    operators = {
        event.key: event.self_cpu_time_total / 1e6
        for event in profiler.key_averages()
        if event.self_cpu_time_total > 0
    }
    calls = {event.key: event.count for event in profiler.key_averages()}
    return {"wall": wall, "unprofiled": plain_wall, "operators": operators, "calls": calls}


def profile_all(
    names: Sequence[str],
    shape: str,
    tell: Callable[[str], None],
    rows: int = ROWS,
    threads: int | None = None,
    top: int = 12,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Shares of each named workload (none: W6b), told with its largest operators.

    Raises SystemExit for workloads that wait or are not for the shape.
    """
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or ["W6b"]:
            if WORKLOADS[name].waits:
                raise SystemExit(f"{name} waits for {WORKLOADS[name].waits}")
            if name == "W4" and shape != "small":
                raise SystemExit("W4 is for the shape `small`")
            row = _in_child({"name": name, "shape": shape, "rows": rows, "threads": threads,
                             "device": device, "scratch": scratch})  # fmt: skip
            tell(f"{name} on {shape}, {rows} prompts: {row['wall']:.3f} s "
                 f"({row['unprofiled']:.3f} s without the profiler)")  # fmt: skip
            for part in shares(row["operators"], row["wall"]):
                tell(f"  {part['kind']:<18}{part['share']:>7.1%}  {', '.join(part['operators'])}")
                found.append({"workload": name, "shape": shape, "rows": rows, **part})
            largest = sorted(row["operators"].items(), key=lambda item: -item[1])[:top]
            for operator, seconds in largest:
                tell(f"    {operator:<40}{seconds:>9.3f} s{row['calls'][operator]:>9} calls")
    return found


def _in_child(arguments: dict[str, Any]) -> dict[str, Any]:
    quiet = {"KINETO_LOG_LEVEL": "5"}
    return result_of("benchmarks.profile", arguments, arguments["name"], quiet)


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
