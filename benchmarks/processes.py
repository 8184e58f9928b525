"""Whole-process time and memory of the commands that the project makes promises about.

    python -m benchmarks processes [NAME …] [--repeat 3] [--json FILE]

Workloads: `lint`, `fmt` and `explain` (promised: under 0.5 s), `quickstart` (check of the bundled
models: under 60 s), `again` (the same with every value in the result store), `gpt2`
(hypotheses/gpt2/ioi.circuit with 64 prompts on a folder of GPT-2 small's shape with random weights:
under 600 s and 4 GB) and `gpt2-short` (one claim of it, 14 runs on 40 prompts). All but `again` do
without the store, and `again` has one of its own. The folder is made here; GPT-2's tokenizer files
are read from `$PATHDSL_SHARED/models/gpt2-tokenizer` or `../shared/models/gpt2-tokenizer`, and the
workloads are skipped where they are missing. Numbers
are medians over the repeats; each command is its own process, started once without counting.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .child import ROOT

NAMES = (
    "lint", "fmt", "explain", "quickstart", "again", "bundled", "stored", "gpt2", "gpt2-short",
)  # fmt: skip
BUNDLED = ("hypotheses/quickstart", "hypotheses/recipes")
"""Where the files on bundled models are."""

SHARED = Path(os.environ.get("PATHDSL_SHARED", ROOT.parent / "shared"))
MAKE_FOLDER = """
import sys
import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast
into, words = sys.argv[1:]
torch.manual_seed(0)
GPT2LMHeadModel(GPT2Config()).save_pretrained(into)
tokenizer = GPT2TokenizerFast(vocab=f"{words}/vocab.json", merges=f"{words}/merges.txt")
tokenizer.save_pretrained(into)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One command with what is promised of it."""

    name: str
    arguments: tuple[str, ...]
    seconds: float
    gigabytes: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Wall seconds (median, least, most), processor seconds and peak memory of one workload."""

    name: str
    median: float
    least: float
    most: float
    processor: float
    peak_gigabytes: float
    promised_seconds: float
    promised_gigabytes: float | None
    runs: int


def workloads(gpt2: Path | None) -> list[Workload]:
    """All workloads; the one on GPT-2's shape only where its folder could be made."""
    induction = "hypotheses/quickstart/induction.circuit"
    found = [
        Workload(name="lint", arguments=("lint", "hypotheses/quickstart/ioi.circuit"), seconds=0.5),
        Workload(name="fmt", arguments=("fmt", "--check", induction), seconds=0.5),
        Workload(name="explain", arguments=("explain", "PD203"), seconds=0.5),
        Workload(
            name="quickstart",
            arguments=("check", "hypotheses/quickstart", "--no-cache"),
            seconds=60.0,
        ),
        # The start that is not counted fills the store.
        Workload(name="again", arguments=("check", "hypotheses/quickstart"), seconds=60.0),
        Workload(name="bundled", arguments=("check", "-q", *BUNDLED, "--no-cache"), seconds=120.0),
        Workload(name="stored", arguments=("check", "-q", *BUNDLED), seconds=15.0),
    ]
    if gpt2 is not None:
        command = (
            "check", "hypotheses/gpt2/ioi.circuit", "--set", "take=64",
            "--model", f"gpt2=folder:{gpt2}", "--no-cache",
        )  # fmt: skip
        found.append(Workload(name="gpt2", arguments=command, seconds=600.0, gigabytes=4.0))
        short = tuple("take=40" if word == "take=64" else word for word in command)
        short = (*short, "--only", "like_by_class")
        found.append(Workload(name="gpt2-short", arguments=short, seconds=120.0, gigabytes=4.0))
    return found


def gpt2_folder(into: Path) -> Path | None:
    """A folder of GPT-2 small's shape with random weights (seed 0) and GPT-2's tokenizer."""
    tokenizer = SHARED / "models" / "gpt2-tokenizer"
    if not tokenizer.is_dir():
        return None
    # In a process of its own: what this one weighs when it starts a child counts as the child's.
    done = subprocess.run(
        [sys.executable, "-c", MAKE_FOLDER, str(into), str(tokenizer)], stderr=subprocess.DEVNULL
    )
    return into if done.returncode == 0 else None


def measure(workload: Workload, repeat: int, warm: bool) -> Measured:
    """Run one workload; its output is thrown away, its exit code is printed if it is no verdict."""
    command = [sys.executable, "-m", "pathdsl", *workload.arguments]
    times, processor, peak = [], [], 0
    for number in range(repeat + int(warm)):
        started = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode > 1:
            print(f"{workload.name}: exit code {child.returncode}", file=sys.stderr)
        if warm and number == 0:
            continue
        times.append(time.monotonic() - started)
        processor.append(used.ru_utime + used.ru_stime)
        peak = max(peak, used.ru_maxrss)
    return Measured(
        name=workload.name,
        median=statistics.median(times),
        least=min(times),
        most=max(times),
        processor=statistics.median(processor),
        peak_gigabytes=peak * 1024 / 1e9,
        promised_seconds=workload.seconds,
        promised_gigabytes=workload.gigabytes,
        runs=len(times),
    )


def measure_processes(names: Sequence[str], repeat: int) -> list[dict[str, Any]]:
    """Measure the named workloads (none: all) and print a table; rows as plain data."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PATHDSL_CACHE"] = str(Path(scratch) / "store")
        wants_gpt2 = not names or any(name.startswith("gpt2") for name in names)
        gpt2 = gpt2_folder(Path(scratch)) if wants_gpt2 else None
        if wants_gpt2 and gpt2 is None:
            print("gpt2: skipped, GPT-2's tokenizer files are not there", file=sys.stderr)
        titles = "".join(f"{t:>9}" for t in ("median", "least", "most", "cpu", "peak GB"))
        print(f"{'workload':<12}{titles}  promised")
        for workload in workloads(gpt2):
            if names and workload.name not in names:
                continue
            long = workload.seconds > 100
            row = measure(workload, 1 if long else repeat, warm=not long)
            rows.append(asdict(row))
            limit = f"{row.promised_seconds:g} s"
            if row.promised_gigabytes is not None:
                limit += f", {row.promised_gigabytes:g} GB"
            print(
                f"{row.name:<12}{row.median:>9.2f}{row.least:>9.2f}{row.most:>9.2f}"
                f"{row.processor:>9.2f}{row.peak_gigabytes:>9.2f}  {limit}",
                flush=True,
            )
    return rows
