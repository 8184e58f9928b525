"""Measured rows as markdown tables, for docs/benchmarks.md.

python -m benchmarks engine peers scaling --json FILE.json && python -m benchmarks table FILE.json
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["markdown"]

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], object]]


def _figure(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else f"{value:{form}}"


def _multiple(row: Row) -> float:
    return (row["planning_s"] + row["execution_s"]) / row["plain_s"] / row["units"]


def _goal(row: Row, field: str) -> str:
    """A figure of the design, on the shape that it is for."""
    from .workloads import WORKLOADS

    workload = WORKLOADS[row["workload"]]
    value = getattr(workload, field) if row["shape"] == workload.shapes[0] else None
    return _figure(value, "g")


def _title(row: Row) -> str:
    from .workloads import WORKLOADS

    return WORKLOADS[row["workload"]].title


ENGINE: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    ("what", _title),
    ("shape", lambda r: r["shape"]),
    ("W0", lambda r: f"{r['plain_s']:.3f} s"),
    ("planning", lambda r: f"{r['planning_s']:.2f} s"),
    ("execution", lambda r: f"{r['execution_s']:.2f} s"),
    ("× W0", lambda r: _figure(_multiple(r))),
    ("counted × W0", lambda r: _figure(r["counted"] / r["units"])),
    ("to reach", lambda r: _goal(r, "reach")),
    ("bound", lambda r: _goal(r, "bound")),
    ("peer", lambda r: _goal(r, "peer")),
    ("peak memory", lambda r: f"{r['peak_gb']:.2f} GB"),
)
PEERS: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    ("shape", lambda r: r["shape"]),
    ("by", lambda r: f"{r['peer']} {r['version']}"),
    ("W0", lambda r: f"{r['plain_s']:.3f} s"),
    ("time", lambda r: f"{r['seconds']:.2f} s"),
    ("× W0", lambda r: _figure(r["multiple"])),
    ("× pathdsl", lambda r: _figure(r.get("times_pathdsl"), ".1f")),
    ("peak memory", lambda r: f"{r['peak_gb']:.2f} GB"),
    ("largest difference", lambda r: _figure(r.get("difference"), ".1e")),
)
SCALING: tuple[Column, ...] = (
    ("axis", lambda r: r["axis"]),
    ("point", lambda r: f"{r['x']:,}"),
    ("workload", lambda r: r["workload"]),
    ("shape", lambda r: r["shape"]),
    ("rows", lambda r: r["rows"]),
    ("runs", lambda r: f"{r['runs']:,}"),
    ("distinct copies", lambda r: f"{r['copies']:,}"),
    ("counted × W0", lambda r: _figure(r["counted"])),
    ("× W0", lambda r: _figure(r["times_plain"])),
    ("peak memory", lambda r: f"{r['peak_gb']:.2f} GB"),
)
PROCESSES: tuple[Column, ...] = (
    ("workload", lambda r: r["name"]),
    ("promised", lambda r: f"{r['promised_seconds']:g} s"),
    ("median", lambda r: f"{r['median']:.2f} s"),
    ("least to most", lambda r: f"{r['least']:.2f} to {r['most']:.2f} s"),
    ("runs", lambda r: r["runs"]),
    ("peak memory", lambda r: f"{r['peak_gigabytes']:.2f} GB"),
)
PROFILE: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    ("shape", lambda r: r["shape"]),
    ("kind", lambda r: r["kind"]),
    ("share", lambda r: f"{r['share']:.0%}"),
    ("operators", lambda r: ", ".join(f"`{name}`" for name in r["operators"])),
)
COMPILED: tuple[Column, ...] = (
    ("shape", lambda r: r["shape"]),
    ("dtype", lambda r: r.get("dtype", "float32")),
    ("device", lambda r: r["device"]),
    ("tokens", lambda r: f"{r['tokens']:,}"),
    ("MLP by", lambda r: r["by"]),
    ("time", lambda r: r.get("failed") or f"{r['seconds'] * 1e3:.2f} ms"),
    ("× as it is", lambda r: _figure(r.get("multiple"))),
    ("preparation", lambda r: "" if "failed" in r else f"{r['prepare_s']:.1f} s"),
    ("largest difference", lambda r: _figure(r.get("difference"), ".1e")),
)


def _gigabytes(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} GB"


_WHERE: tuple[Column, ...] = (("shape", lambda r: r["shape"]), ("dtype", lambda r: r["dtype"]))
ALIKE: tuple[Column, ...] = (
    ("model", lambda r: r["model"]),
    ("dtype", lambda r: r["dtype"]),
    ("what", lambda r: r["what"]),
    ("values", lambda r: f"{r['values']:,}"),
    ("largest difference", lambda r: _figure(r["error"], ".1e")),
    ("self-checks", lambda r: r["proofs"]),
    ("largest error of one", lambda r: _figure(r["proof_error"], ".1e")),
    ("tolerance", lambda r: f"{r['tolerance']:.0e}"),
    ("agrees", lambda r: "yes" if r["agrees"] else "NO"),
)
TESTS: tuple[Column, ...] = (
    ("tests on the device", lambda r: f"`{r['file']}`"),
    ("result", lambda r: r["result"].strip("= ")),
)
WORKLOADS_THERE: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    ("what", _title),
    *_WHERE,
    ("W0", lambda r: f"{r['plain_s'] * 1e3:.1f} ms"),
    ("planning", lambda r: f"{r['planning_s']:.2f} s"),
    ("execution", lambda r: f"{r['execution_s']:.3f} s"),
    ("× W0", lambda r: _figure(_multiple(r))),
    ("counted × W0", lambda r: _figure(r["counted"] / r["units"])),
    ("times", lambda r: r["times"]),
    ("device memory", lambda r: _gigabytes(r["device_peak_gb"])),
)
LIBRARIES: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    *_WHERE,
    ("by", lambda r: f"{r['peer']} {r['version']}"),
    ("W0", lambda r: f"{r['plain_s'] * 1e3:.1f} ms"),
    ("time", lambda r: f"{r['seconds']:.3f} s"),
    ("× W0", lambda r: _figure(r["multiple"])),
    ("× pathdsl", lambda r: _figure(r.get("times_pathdsl"), ".1f")),
    ("runs timed", lambda r: f"{r.get('runs_timed', r['runs']):,} of {r['runs']:,}"),
    ("device memory", lambda r: _gigabytes(r["device_peak_gb"])),
    ("largest difference", lambda r: _figure(r.get("difference"), ".1e")),
)
LAUNCHES: tuple[Column, ...] = (
    ("workload", lambda r: r["workload"]),
    *_WHERE,
    ("runs", lambda r: f"{r['runs']:,}"),
    ("kernels", lambda r: f"{r['kernels']:,}"),
    ("a layer", lambda r: f"{r['kernels'] / r['layers']:,.0f}"),
    ("× W0", lambda r: _figure(r["multiple"])),
    ("copies", lambda r: f"{r['copies']:,}"),
    ("waits", lambda r: f"{r['waits']:,}"),
)
CIRCUIT: tuple[Column, ...] = (
    ("file", lambda r: f"`{r['file']}`"),
    ("dtype", lambda r: r["dtype"]),
    ("prompts", lambda r: r["prompts"]),
    ("check", lambda r: r["check"]),
    ("time", lambda r: f"{r['seconds']:.1f} s"),
    ("device memory", lambda r: _gigabytes(r["device_peak_gb"])),
    ("verdicts", lambda r: ", ".join(f"{n} {name}" for name, n in r["verdicts"].items())),
    ("same bits", lambda r: "yes" if r["same_bits"] else "NO"),
)
STEPS: tuple[Column, ...] = (
    ("step", lambda r: r["step"]),
    ("seconds", lambda r: f"{r['seconds']:.0f}"),
    ("rows", lambda r: r["rows"]),
    ("how it ended", lambda r: r["state"]),
)
ON_CUDA = {
    "alike": ALIKE,
    "tests": TESTS,
    "workloads": WORKLOADS_THERE,
    "libraries": LIBRARIES,
    "launches": LAUNCHES,
    "compiled": COMPILED,
    "circuit": CIRCUIT,
    "steps": STEPS,
}
SUITES = {
    "engine": ENGINE,
    "processes": PROCESSES,
    "peers": PEERS,
    "scaling": SCALING,
    "profile": PROFILE,
    "compiled": COMPILED,
}


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    lines = [
        "| " + " | ".join(name for name, _ in columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(str(of(row)) for _, of in columns) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def markdown(found: Mapping[str, Any]) -> str:
    """What `--json` wrote, as one table for each suite; what waits is named below its table."""
    about = ", ".join(f"{name} {value}" for name, value in found["about"].items())
    parts = [f"Measured with {about}.\n"]
    for suite, columns in SUITES.items():
        rows = found.get(suite, [])
        measured = [row for row in rows if "waits" not in row]
        if measured:
            parts.append(_table(columns, measured))
        parts += [
            f"{row['workload']} ({_title(row)}) waits for {row['waits']}.\n"
            for row in rows
            if "waits" in row
        ]
    there = found.get("cuda", {})
    if there:
        parts.append(f"On {there['name']}, {there['minutes']:g} minutes at most.\n")
    parts += [_table(columns, there[name]) for name, columns in ON_CUDA.items() if there.get(name)]
    if there.get("missing"):
        parts.append(f"Not installed, so not measured: {', '.join(there['missing'])}.\n")
    return "\n".join(parts)
