"""The same work by hand, in the libraries that are installed: do the numbers agree, what is faster?

For each workload `pathdsl` computes the logit difference of every run on every prompt; then each
library does the same work as its users write it (`benchmarks/drivers.py`), run by run, on the same
weights. Each measures W0, the plain `transformers` forward, in its own process and is given as a
multiple of it. A library that is not installed is skipped by name.

    python -m benchmarks peers [NAME …] [--shape gpt2] [--rows 64] [--peer nnsight] [--repeat 3]
        [--device cuda] [--dtype bfloat16]

Where a workload has more runs than `most`, libraries do that many of them, spread over all, and
their time is multiplied accordingly (`runs_timed` of a row). Libraries read whole logits, since
that is what their forward returns; `pathdsl` reads what the metric needs. That is part of the
difference between them.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pathdsl

from .child import result_of
from .drivers import DRIVERS, PARTS, Driver, driver_for, installed
from .engine import Prepared, prepare_workload, wait_for
from .patches import BY_HAND, Run, hand_written, wanted
from .shapes import SHAPES
from .workloads import LENGTH, ROWS, acted_heads, circuit_heads, receivers_of, units

__all__ = ["AGREE", "USUAL", "compare_all", "compared_all", "evaluate", "run_child"]

USUAL = ("W1h", "W3", "W7b")
AGREE = {"float32": 1e-3, "bfloat16": 1e-1, "float16": 2e-2}
"""Logit differences that lie further apart than this are told as different, by dtype; where the
largest of them is above 1, than this times the largest."""


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


def _ours(
    name: str, arguments: dict[str, Any], before: Prepared | None
) -> tuple[dict[str, Any], Prepared]:
    """`pathdsl` on one workload: medians, and the logit differences by the label of the run.

    `before`: another workload on the same model, which is not loaded again then.
    """
    import torch

    ready = prepare_workload(
        name, arguments["shape"], Path(arguments["scratch"]), rows=arguments["rows"],
        length=arguments["length"], knockouts=arguments["knockouts"], threads=arguments["threads"],
        device=arguments["device"], dtype=arguments["dtype"],
        loaded=None if before is None else before.loaded,
    )  # fmt: skip
    if before is None and ready.ids.device.type == "cuda":
        ready.plain()
        ready.work()  # the first loads the kernels
    times = _timed(ready.plain, lambda: ready.work(), arguments["repeat"])
    times |= {"threads": torch.get_num_threads(), "differences": ready.differences(),
              "device_peak_gb": ready.device_peak()}  # fmt: skip
    return times, ready


def _theirs(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A library on each workload, and how far its numbers lie from those of `pathdsl`."""
    import torch
    import transformers

    shape, scratch = arguments["shape"], Path(arguments["scratch"])
    torch.set_num_threads(arguments["threads"])
    device = torch.device(arguments["device"])
    # TransformerLens needs attention written out, and `check` writes it out on such prompts.
    model = transformers.AutoModelForCausalLM.from_pretrained(
        scratch / shape, attn_implementation="eager", dtype=getattr(torch, arguments["dtype"])
    ).to(device).eval()  # fmt: skip
    lines = [json.loads(line) for line in (scratch / "rows.jsonl").read_text().splitlines()]
    ids, other = (
        torch.tensor([line[key] for line in lines], device=device) for key in ("prompt", "cf")
    )
    answers = torch.tensor([[line["io"], line["s"]] for line in lines], device=device)

    def plain() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            model(ids, use_cache=False)
        wait_for(device)
        return time.perf_counter() - started

    # W0 is measured before a library touches the model: some replace its modules.
    plain()
    plains = [min(plain(), plain()) for _ in range(arguments["repeat"])]
    driver = driver_for(arguments["peer"], model, scratch)
    for name in arguments["names"]:
        expected = json.loads((Path(arguments["expected"]) / f"{name}.json").read_text())
        every = hand_written(
            name, list(expected), circuit_heads(shape), receivers_of(shape),
            SHAPES[shape].n_layers, SHAPES[shape].n_heads, acted_heads(shape),
        )  # fmt: skip
        chosen = _spread(len(every), arguments["most"])
        runs, found = [every[number] for number in chosen], []

        def work(runs: list[Run] = runs, found: list[Any] = found) -> None:
            found.append(evaluate(driver, runs, ids, other, answers))
            wait_for(device)

        evaluate(driver, runs[:1], ids, other, answers)
        times = _timed(iter(plains).__next__, work, arguments["repeat"], warm=False)
        keys = ("seconds", "least_s", "most_s")
        times |= {key: times[key] * len(every) / len(runs) for key in keys}
        got, values = found[-1].cpu(), list(expected.values())
        want = torch.tensor([values[number] for number in chosen], dtype=torch.float64)
        on_cuda = device.type == "cuda"
        yield times | {
            "name": name,
            "difference": float((got - want).abs().max()),
            "largest": float(want.abs().max()),
            "runs_timed": len(runs),
            "device_peak_gb": torch.cuda.max_memory_allocated(device) / 1e9 if on_cuda else None,
        }


def _spread(count: int, most: int | None) -> list[int]:
    """At most so many of the numbers below `count`, spread evenly."""
    if most is None or count <= most:
        return list(range(count))
    return [number * count // most for number in range(most)]


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


def run_child(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Workloads by `pathdsl` (`peer` "pathdsl") or a library, in this process; plain data."""
    if arguments["peer"] != "pathdsl":
        return list(_theirs(arguments))
    rows, ready = [], None
    for name in arguments["names"]:
        row, ready = _ours(name, arguments, ready)
        rows.append(row | {"name": name})
    return rows


def _in_child(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    what = f"{arguments['peer']} {', '.join(arguments['names'])}"
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return result_of("benchmarks.peers", arguments, what, offline)


def compare_all(
    names: Sequence[str], shape: str, repeat: int, tell: Callable[[str], None], **options: Any
) -> list[dict[str, Any]]:
    """The rows of `compared_all`, all of them."""
    return list(compared_all(names, shape, repeat, tell, **options))


def compared_all(
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
    device: str = "cpu",
    dtype: str = "float32",
    most: int | None = None,
    together: bool = False,
    scratch: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Every workload by `pathdsl` and by each library that is installed, told line by line.

    Each result: `difference`, the largest over runs and prompts between the library's logit
    difference and that of `pathdsl`, and `agrees`, whether it is below `AGREE`; `times_pathdsl`:
    its multiple of W0 over that of `pathdsl`. `together`: all workloads in one process for each
    library, which loads the model once, and not one by one, each with its own peak of memory.
    `scratch`: a folder where the shapes may lie already. Raises SystemExit for workloads that are
    not in `BY_HAND`, and for shapes that are neither GPT-2's nor Llama's.
    """
    odd = [name for name in names if name not in BY_HAND]
    if odd:
        known = ", ".join(BY_HAND)
        raise SystemExit(f"{', '.join(odd)}: not written by hand; those that are: {known}")
    if SHAPES[shape].config.removesuffix("Config").lower() not in PARTS:
        families = "GPT-2's and Llama's"
        raise SystemExit(f"the libraries are written for {families} modules, `{shape}` has others")
    missing = [peer for peer in peers if installed(peer) is None]
    for peer in missing:
        tell(f"{peer}: skipped, not installed (python -m pip install {peer})")
    tell(f"{'':<5}{'by':<18}{'version':<10}{'W0 s':>7}{'s':>9}{'x W0':>9}{'x ours':>8}"
         f"{'GB':>6}{'differs':>10}")  # fmt: skip
    with tempfile.TemporaryDirectory() as own:
        for group in [list(names)] if together else [[name] for name in names]:
            arguments = {
                "names": group, "shape": shape, "rows": rows, "length": length, "repeat": repeat,
                "knockouts": knockouts, "threads": threads, "scratch": str(scratch or own),
                "device": device, "dtype": dtype, "most": most, "expected": own,
            }  # fmt: skip
            about, base = {}, {}
            for ours in _in_child(arguments | {"peer": "pathdsl"}):
                name, differences = ours.pop("name"), ours.pop("differences")
                (Path(own) / f"{name}.json").write_text(json.dumps(differences))
                arguments |= {"threads": ours["threads"]}
                about[name] = {
                    "workload": name, "shape": shape, "rows": rows, "length": length,
                    "runs": len(differences), "threads": ours["threads"],
                    "units": knockouts if name == "W6b" else units(name, shape),
                    "device": device, "dtype": dtype,
                }  # fmt: skip
                base[name] = _row(about[name], "pathdsl", pathdsl.__version__, ours)
                tell(_line(base[name]))
                yield base[name]
            for peer in peers:
                for theirs in [] if peer in missing else _in_child(arguments | {"peer": peer}):
                    name = theirs.pop("name")
                    row = _row(about[name], peer, installed(peer), theirs)
                    row["agrees"] = row["difference"] <= AGREE[dtype] * max(1.0, row["largest"])
                    row["times_pathdsl"] = row["multiple"] / base[name]["multiple"]
                    tell(_line(row))
                    yield row


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
    verdict = "" if row["agrees"] else f"  DIFFERS, by more than {AGREE[row['dtype']]:g}"
    figures = f"{row['times_pathdsl']:>8.1f}{row['peak_gb']:>6.2f}{row['difference']:>10.1e}"
    return text + figures + verdict


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
