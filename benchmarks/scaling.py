"""How cost grows: with the number of knockout sets, with prompt length, with depth.

    python -m benchmarks scaling [knockouts] [length] [depth] [--shape small] [--json FILE]
        [--figures docs/figures]

Cost should grow with the distinct copies of components, not with runs or paths. Each point is one
workload in a process of its own (`benchmarks/engine.py`), with the counts of its plan.

`knockouts`: random K of one circuit, 1 to 1,000 of them (12 heads of `small`; on `gpt2`, up to 100
of the published 26). `length`: W1h and W3 on prompts of 15 to 512 tokens; rows are fewer on longer
prompts, so that every point has about as many tokens. From 256 tokens on attention is fused, as in
`check`, for W0 and the workload alike. `depth`: models that differ in their number of layers only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from .engine import in_child
from .shapes import DEPTHS

__all__ = ["AXES", "LENGTHS", "SETS", "points", "scale_all"]

AXES = ("knockouts", "length", "depth")
SETS = {"small": (1, 10, 100, 1000), "gpt2": (1, 10, 100)}
LENGTHS = (15, 32, 64, 128, 256, 512)
TOKENS = {"small": 2048, "gpt2": 512}
"""Tokens that all prompts of a point have together, at least one prompt."""
MEMBERS = {"small": 12, "gpt2": None}
"""Heads of the circuit whose knockouts are drawn; 2**12 sets are more than the largest point."""


def points(axis: str, shape: str) -> list[dict[str, Any]]:
    """What is measured along an axis: arguments of `run_child` with `axis` and the point's `x`.

    `shape` is of no matter for `depth`, which has shapes of its own.
    """
    match axis:
        case "knockouts":
            return [
                {"axis": axis, "x": count, "name": "W6b", "shape": shape,
                 "options": {"knockouts": count, "members": MEMBERS[shape], "rows": 16}}
                for count in SETS[shape]
            ]  # fmt: skip
        case "length":
            return [
                {"axis": axis, "x": length, "name": name, "shape": shape,
                 "options": {"length": length, "rows": max(1, TOKENS[shape] // length)}}
                for name in ("W1h", "W3")
                for length in LENGTHS
            ]  # fmt: skip
        case "depth":
            return [
                {"axis": axis, "x": depth, "name": name, "shape": f"depth{depth}",
                 "options": {"rows": 16}}
                for name in ("W1h", "W3", "W7b")
                for depth in DEPTHS
            ]  # fmt: skip
    raise ValueError(f"no axis `{axis}`")


def scale_all(
    axes: Sequence[str],
    shapes: Sequence[str] | None,
    repeat: int,
    tell: Callable[[str], None],
    threads: int | None = None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Every point of the named axes (none: all), told line by line; the rows of `run_child`.

    `shapes`: None: `small`, and `gpt2` for knockouts, too. Added to each row: `axis`, `x`, and
    `times_plain`, planning and execution as a multiple of W0. Raises SystemExit for shapes that
    are not `small` or `gpt2`.
    """
    odd = [shape for shape in shapes or () if shape not in SETS]
    if odd:
        raise SystemExit(f"scaling is measured on {' and '.join(SETS)}, not on {', '.join(odd)}")
    tell(f"{'axis':<11}{'x':>5} {'':<4}{'shape':<9}{'rows':>5}{'runs':>6}{'copies':>8}"
         f"{'counted':>9}{'x W0':>9}{'plan s':>8}{'run s':>8}{'GB':>6}  attention")  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for axis in axes or AXES:
            usual = ("small", "gpt2") if axis == "knockouts" else ("small",)
            for shape in usual[:1] if axis == "depth" else shapes or usual:
                for point in points(axis, shape):
                    row = in_child(point | {"repeat": repeat, "threads": threads,
                                            "device": device, "scratch": scratch})  # fmt: skip
                    row |= {"axis": axis, "x": point["x"]}
                    seconds = row["planning_s"] + row["execution_s"]
                    row["times_plain"] = seconds / row["plain_s"]
                    rows.append(row)
                    tell(_line(row))
    return rows


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['axis']:<11}{row['x']:>5} {row['workload']:<4}{row['shape']:<9}{row['rows']:>5}"
        f"{row['runs']:>6}{row['copies']:>8}{row['counted']:>9.2f}{row['times_plain']:>9.2f}"
        f"{row['planning_s']:>8.2f}{row['execution_s']:>8.2f}{row['peak_gb']:>6.2f}"
        f"  {row['attention']}"
    )
