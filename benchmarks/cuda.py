"""All that is to be known of a CUDA device, in ten minutes and in the order of its worth.

    python -m benchmarks cuda [--minutes 10] [--device cuda] [--json FILE] [--tiny]

1. Correctness: the engine on the device against the engine on the CPU (`benchmarks/alike.py`), and
   the tests of the engine against the literal tree, run on the device.
2. Workloads of GPT-2's and of Llama 3.2 1B's shape in float32 and bfloat16 as multiples of W0 on
   the same device, after a warm-up and synchronised.
3. The same work in plain hooks, TransformerLens and nnsight (`benchmarks/peers.py`).
4. Launches of kernels for each layer (`benchmarks/launches.py`).
5. `torch.compile` and CUDA graphs (`benchmarks/compiled.py`).
6. `hypotheses/gpt2/ioi.circuit` whole, twice (`benchmarks/circuit.py`).

Each step is a process of its own with its own limit, which is stretched or shrunk with `--minutes`.
FILE is written after each, with what was measured before a step was cut off; a step that did not
fit, failed or lacks a package is named with the reason, and the exit code is 1 where numbers do not
agree. `--tiny` tries all of it on small shapes; with `--device cpu` it needs no device.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .child import ROOT, Failed, Overtime, rows_of

__all__ = ["STEPS", "Step", "disagreements", "measure_cuda", "run_step", "steps_of"]

WORTH = ("W1r", "W1h", "W2", "W3", "W6a", "W7a", "W7b")
LIBRARIES = ("hooks", "transformer_lens", "nnsight")
BY_HAND = ("W1h", "W3", "W7b")
COUNTED = ("W1h", "W3", "W7b")
ON_DEVICE = (
    "tests/engine/test_against_tree.py", "tests/engine/test_frozen.py",
    "tests/engine/test_neurons_tree.py", "tests/engine/test_positions_tree.py",
    "tests/engine/test_families_tree.py", "tests/engine/test_families_tree_b.py",
    "tests/engine/test_families_tree_toy.py", "tests/engine/test_encoders_tree.py",
    "tests/engine/test_under_tree.py",
)  # fmt: skip
"""Tests that `PATHDSL_TEST_DEVICE` puts on a device."""
NOT_THERE = "not by_hand and not hooks"
"""These compute what is wanted with the model itself, from prompts on the processor."""
LEAST = 8.0
"""Seconds below which no step is begun: a process takes as long to start."""
IOI = "hypotheses/gpt2/ioi.circuit"
INDUCTION = "hypotheses/quickstart/induction.circuit"
BUNDLED = "bundled:induction-2l"
MOST_RUNS = 96
"""Runs of a workload that libraries do of a large model, spread over all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process: what its rows are (`suite`), how they are made, and the seconds that it may take
    of ten minutes."""

    name: str
    suite: str
    seconds: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


def steps_of(device: str, tiny: bool) -> list[Step]:
    """All steps in the order of their worth."""
    gpt2, llama = ("small", "small_llama") if tiny else ("gpt2", "llama1b")
    wide, narrow = "float32", "bfloat16"
    rows = 4 if tiny else 64

    def alike(name: str, seconds: float, **arguments: Any) -> Step:
        return Step(name=name, suite="alike", seconds=seconds, arguments=arguments)

    def workloads(shape: str, dtype: str, seconds: float, *names: str) -> Step:
        return Step(
            name=f"{', '.join(names) or 'workloads'} {shape} {dtype}",
            suite="workloads", seconds=seconds,
            arguments={"shape": shape, "dtype": dtype, "names": names or WORTH, "rows": rows},
        )  # fmt: skip

    def peers(shape: str, dtype: str, seconds: float) -> Step:
        return Step(
            name=f"libraries {shape} {dtype}", suite="libraries", seconds=seconds,
            arguments={"shape": shape, "dtype": dtype, "names": BY_HAND, "rows": rows,
                       "most": 4 if tiny else MOST_RUNS if shape == llama else None},
        )  # fmt: skip

    def launches(shape: str, seconds: float) -> Step:
        return Step(
            name=f"launches {shape}", suite="launches", seconds=seconds,
            arguments={"shape": shape, "dtype": wide, "names": COUNTED, "rows": rows},
        )  # fmt: skip

    def compiled(shape: str, dtype: str, seconds: float) -> Step:
        return Step(
            name=f"compiled {shape} {dtype}", suite="compiled", seconds=seconds,
            arguments={"shape": shape, "dtype": dtype, "repeat": 1 if tiny else 5},
        )  # fmt: skip

    def circuit(dtype: str, seconds: float) -> Step:
        file, take, folder = (INDUCTION, 16, BUNDLED) if tiny else (IOI, 64, "")
        return Step(
            name=f"circuit {dtype}", suite="circuit", seconds=seconds,
            arguments={"file": file, "take": take, "dtype": dtype, "folder": folder},
        )  # fmt: skip

    few = ["gpt2", "llama"] if tiny else "few"
    steps = [
        alike("numbers as on the CPU", 60, models=few, dtypes=["float64", "float32", "bfloat16"],
              methods=["eap", "atp_qk"] if tiny else "every"),
        Step(name="tests against the literal tree", suite="tests", seconds=75,
             arguments={"files": ON_DEVICE[:1] if tiny else ON_DEVICE}),
        workloads(gpt2, wide, 40),
        workloads(gpt2, narrow, 40),
        workloads(llama, narrow, 60),
        workloads(llama, wide, 90),
        peers(gpt2, wide, 60),
        circuit(wide, 75),
        peers(llama, narrow, 75),
        launches(gpt2, 30),
        circuit(narrow, 60),
        compiled(gpt2, wide, 30),
        compiled(llama, narrow, 45),
        launches(llama, 40),
        peers(gpt2, narrow, 45),
        peers(llama, wide, 90),
        workloads("small", wide, 20, "W4"),
    ]  # fmt: skip
    if tiny:  # on a processor, which takes its time to compile
        return [replace(step, seconds=2 * step.seconds) for step in steps]
    return [*steps, alike("numbers as on the CPU, other families", 90, models="others",
                          dtypes=["float64", "float32"], methods=[])]  # fmt: skip


# ------------------------------------------------------------------------------- inside a process


def _alike(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from pathdsl.engine.attribution.attribute import METHODS
    from pathdsl.engine.load.devices import make_deterministic, opened

    from .alike import FEW, MODELS, models_alike

    make_deterministic(opened(given["device"]))
    models, methods = given["models"], given["methods"]
    if models == "few":
        models = FEW
    elif models == "others":
        models = [name for name in MODELS if name not in FEW]
    methods = list(METHODS) if methods == "every" else methods
    yield from models_alike(models, given["dtypes"], given["device"], methods)


def _tests(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The files beside each other: the tree, on the processor, is what takes the time."""
    environment = {
        **os.environ, "PATHDSL_TEST_DEVICE": given["device"], "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def tested(file: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", NOT_THERE, file],
            cwd=ROOT, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return {
            "file": file, "result": lines[-1] if lines else done.stderr.strip()[-200:],
            "failed": failed[:10], "agrees": done.returncode == 0,
        }  # fmt: skip

    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as pool:
        for one in as_completed([pool.submit(tested, file) for file in given["files"]]):
            yield one.result()


def _workloads(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each is done once to warm up, unless that takes so long that it is what is measured."""
    import torch

    from .engine import Prepared, measured, prepare_workload

    ready: Prepared | None = None
    for name in given["names"]:
        loaded = None if ready is None else ready.loaded
        ready = prepare_workload(
            name, given["shape"], Path(given["scratch"]), rows=given["rows"],
            device=given["device"], dtype=given["dtype"], loaded=loaded,
        )  # fmt: skip
        if loaded is None:
            ready.plain()
        if ready.ids.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(ready.ids.device)
        first = ready.work()
        long = sum(first) > 6
        done = [first] if long else []
        repeat = 0 if long else 3 if sum(first) < 2 else 1
        row = measured(ready, name, given["shape"], repeat, done)
        yield {**row, "times": len(done) + repeat, "warm": not long}


def _libraries(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from .peers import compared_all

    yield from compared_all(
        given["names"], given["shape"], 1, lambda line: None,
        peers=[name for name in LIBRARIES if name not in given["missing"]], rows=given["rows"],
        device=given["device"], dtype=given["dtype"], most=given["most"], together=True,
        scratch=Path(given["scratch"]),
    )  # fmt: skip


def _launches(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from .launches import launches

    yield from launches(
        given["names"], given["shape"], given["dtype"], given["device"], Path(given["scratch"]),
        given["rows"],
    )  # fmt: skip


def _compiled(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from .compiled import timed_ways

    yield from timed_ways({**given, "threads": None})


def _circuit(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from .circuit import checked_twice
    from .processes import gpt2_folder

    where = given["folder"]
    if not where:
        folder = Path(given["scratch"]) / "ioi"
        if not folder.is_dir() and gpt2_folder(folder) is None:
            raise SystemExit("the folder of GPT-2's shape could not be made")
        where = f"folder:{folder}"
    yield from checked_twice(
        given["file"], given["take"], f"{where},dtype={given['dtype']}", given["device"]
    )


STEPS: Mapping[str, Callable[[dict[str, Any]], Iterator[dict[str, Any]]]] = {
    "alike": _alike,
    "tests": _tests,
    "workloads": _workloads,
    "libraries": _libraries,
    "launches": _launches,
    "compiled": _compiled,
    "circuit": _circuit,
}
"""How the rows of each suite are made, in the process of a step."""


def tell(row: Mapping[str, Any]) -> None:
    """A row to the process that waits for it."""
    print(json.dumps(row), flush=True)


def run_step(given: dict[str, Any]) -> None:
    """Measure one step in this process, and tell each row."""
    for row in STEPS[given["suite"]](given):
        tell(row)


# ------------------------------------------------------------------------------- around them


def _lacking(step: Step) -> str:
    """Why a step cannot be done here, "" where it can."""
    from .processes import SHARED

    if step.suite == "tests" and find_spec("pytest") is None:
        return "pytest is not installed"
    if step.suite == "circuit" and not step.arguments["folder"]:
        tokenizer = SHARED / "models" / "gpt2-tokenizer"
        if not tokenizer.is_dir():
            return "GPT-2's tokenizer files are not there: see PATHDSL_SHARED in processes.py"
    return ""


def measure_cuda(
    device: str,
    minutes: float,
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
    *,
    tiny: bool = False,
    steps: list[Step] | None = None,
) -> dict[str, Any]:
    """Every step that fits into the minutes; `keep` is given all there is after each of them.

    Returns the rows of each suite, and `steps`: each with its seconds and how it ended.
    """
    from .drivers import installed

    started = time.monotonic()
    found: dict[str, Any] = {
        "device": device, "name": _name(device), "minutes": minutes, "tiny": tiny, "steps": [],
    }  # fmt: skip
    missing = {name: installed(name) for name in LIBRARIES}
    found["missing"] = [name for name, version in missing.items() if version is None]
    for name in found["missing"]:
        say(f"{name}: skipped, not installed (python -m pip install {name})")
    with tempfile.TemporaryDirectory() as scratch:
        for step in steps_of(device, tiny) if steps is None else steps:
            left = 60 * minutes - (time.monotonic() - started)
            limit = min(step.seconds * max(minutes / 10, 0.1), left)
            rows = found.setdefault(step.suite, [])
            before, begun = len(rows), time.monotonic()
            if left < LEAST:
                state = "left out: the minutes are over"
            elif lacking := _lacking(step):
                state = f"skipped: {lacking}"
            else:
                given = {**step.arguments, "suite": step.suite, "device": device,
                         "scratch": scratch, "missing": found["missing"]}  # fmt: skip
                state = _ended(given, limit, rows)
            took = time.monotonic() - begun
            found["steps"].append({"step": step.name, "suite": step.suite, "seconds": took,
                                   "rows": len(rows) - before, "state": state})  # fmt: skip
            say(f"{took:>6.1f} s  {len(rows) - before:>3} rows  {step.name}: {state}")
            for row in rows[before:]:
                if row.get("agrees") is False or row.get("same_bits") is False:
                    say(f"          NOT THE SAME: {json.dumps(row)}")
            keep(found)
    return found


def _ended(given: dict[str, Any], limit: float, rows: list[dict[str, Any]]) -> str:
    """Do a step, its rows into `rows`; how it ended."""
    quiet = {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "KINETO_LOG_LEVEL": "5",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    try:
        for row in rows_of("benchmarks.cuda", given, limit, quiet):
            rows.append(row)  # one by one: what came before the end stays
    except Overtime:
        return f"cut off after {limit:.0f} s"
    except Failed as error:
        return f"failed: {(str(error).splitlines() or ['without a word'])[-1]}"
    return "done"


def _name(device: str) -> str:
    """What the device calls itself, with the version of CUDA."""
    import torch

    target = torch.device(device)
    if target.type != "cuda":
        return target.type
    return f"{torch.cuda.get_device_name(target)}, CUDA {torch.version.cuda}"


def disagreements(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows whose numbers are not those that they have to be."""
    rows = [row for suite in STEPS for row in found.get(suite, [])]
    return [r for r in rows if r.get("agrees") is False or r.get("same_bits") is False]


if __name__ == "__main__":
    run_step(json.loads(sys.argv[1]))
