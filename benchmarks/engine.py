"""The engine's workloads as multiples of W0, one plain forward with full unembedding.

Each workload runs in a process of its own, which loads the model as `check` does, then measures in
turn W0 (the unmodified `transformers` forward of the reference prompts) and the workload: planning,
the plain runs that it needs, the copies, the logits that its metric reads. Medians over the
repeats; peak memory is that of the process when the workload has run once, interpreter and weights
included, before a W0, whose logits of all tokens take 0.2 GB on the shape of GPT-2; and beside it
that of tensors on a CUDA device. The random weights are made in another process, since the memory
that making them takes is not given back.

    python -m benchmarks engine [NAME …] [--shape gpt2] [--repeat 3] [--device cuda] [--json FILE]
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .child import result_of
from .shapes import SHAPES, save, save_apart
from .workloads import LENGTH, ROWS, WORKLOADS, circuit_text, edges_text, rows_text, units

if TYPE_CHECKING:
    import torch

    from pathdsl.engine.load.weights import LoadedModel
    from pathdsl.engine.run.runner import Values
    from pathdsl.plan.outputs import Plan
    from pathdsl.score.attribution import Attribution

__all__ = ["Prepared", "measure_all", "prepare_workload", "run_child", "wait_for"]


def wait_for(device: torch.device) -> None:
    """Let a device that works on its own finish what it was given."""
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize()


class Prepared:
    """One workload made ready: the model is loaded, nothing is planned."""

    def __init__(
        self, path: Path, threads: int | None = None, device: str = "cpu",
        attributes: tuple[str, Literal["nodes", "edges"]] | None = None, dtype: str = "",
        loaded: LoadedModel | None = None,
    ) -> None:  # fmt: skip
        """`attributes`: the method of an attribution and what it scores, instead of runs. `dtype`:
        "" for that of the file. `loaded`: the same model, where it is in memory."""
        import torch

        from pathdsl.__main__ import SELDOM
        from pathdsl.checking.machines import fuses
        from pathdsl.checking.options import CheckOptions
        from pathdsl.checking.prepare import prepare
        from pathdsl.engine.load.weights import load
        from pathdsl.lang.lint import lint_file

        gc.set_threshold(*SELDOM)  # as the command does
        program, found = lint_file(str(path))
        errors = [d for d in found if d.severity.name == "ERROR"]
        if errors:
            raise SystemExit(f"{path.name}: {errors[0].message}")
        ready = prepare(program, CheckOptions())
        self.planner = ready.planner
        started = time.perf_counter()
        self.requests = ready.first_round().requests
        self.lowering = time.perf_counter() - started
        self.task = ready.planner.tasks["t"]
        source = replace(ready.source, dtype=dtype) if dtype else ready.source
        self.loaded = loaded or load(source, device, threads, fused=fuses(ready, ["t"]))
        self.ids = torch.from_numpy(self.task.prompts["prompt"]).to(self.loaded.adapter.device)
        self.asked = None if attributes is None else attribution_of(*attributes)
        self.last: list[Plan] = []
        self.values: list[Values] = []
        """Of the last plans, what they gave."""

    def plain(self) -> float:
        """Seconds of W0."""
        import torch

        started = time.perf_counter()
        with torch.no_grad():
            self.loaded.model(self.ids, use_cache=False)
        wait_for(self.ids.device)
        return time.perf_counter() - started

    def work(self) -> tuple[float, float]:
        """Seconds of planning and of execution."""
        from pathdsl.engine.run.runner import Settings, execute

        started = time.perf_counter()
        if self.asked is not None:
            from pathdsl.engine.attribution.attribute import attribute

            attribute(self.loaded.adapter, self.task, self.asked)
            wait_for(self.ids.device)
            return 0.0, time.perf_counter() - started
        plans = self.planner.plans(list(self.requests))
        planned = time.perf_counter()
        self.values = [execute(plan, self.task, self.loaded.adapter, Settings()) for plan in plans]
        wait_for(self.ids.device)
        self.last = plans
        return planned - started, time.perf_counter() - planned

    def differences(self) -> dict[str, list[float]]:
        """The logit difference of every run on every prompt of what was run last, by its label."""
        values = {}
        for plan, of_plan in zip(self.last, self.values, strict=True):
            for (output, measure), got in of_plan.items():
                values[plan.outputs[output].run, measure.column] = got[0]
        found: dict[str, list[float]] = {}
        for run, _ in self.requests:
            key = self.planner.normal(run)
            found[run.label] = (values[key, "io"] - values[key, "s"]).tolist()
        return found

    def device_peak(self) -> float | None:
        """The most GB that tensors took on a CUDA device, None on any other."""
        import torch

        on_cuda = self.ids.device.type == "cuda"
        return torch.cuda.max_memory_allocated(self.ids.device) / 1e9 if on_cuda else None


def attribution_of(
    method: str, of: Literal["nodes", "edges"], answers: tuple[str, str] = ("io", "s"),
    treated: str = "cf",
) -> Attribution:  # fmt: skip
    """The attribution of the files' metric, of nodes at each position and of edges pooled.

    `answers`: columns of the answer and of the one that it is compared with. `treated`: of prompts.
    """
    from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
    from pathdsl.plan.readout import Measure
    from pathdsl.plan.runs import RunSpec
    from pathdsl.plan.treated import TreatedSpec
    from pathdsl.score.attribution import Attribution
    from pathdsl.score.metrics import atom
    from pathdsl.score.quantity import RowMetric, RowOp

    run, record = RunSpec(task="t", kind="reference"), ATTRIBUTIONS[method]
    good, bad = (
        RowMetric(metric=atom(Measure(kind="logit", column=column)), run=run) for column in answers
    )
    return Attribution(
        method=method, steps=record.steps, rule=record.rules[0] if record.rules else "",
        metric=RowOp(op="-", args=(good, bad)), treated=TreatedSpec(kind="paired", column=treated),
        task="t", of=of, by_position=of == "nodes", reader=None,
    )  # fmt: skip


def prepare_workload(
    name: str, shape: str, scratch: Path, *, knockouts: int = 100, length: int = LENGTH,
    rows: int = ROWS, members: int | None = None, threads: int | None = None, device: str = "cpu",
    dtype: str = "", loaded: LoadedModel | None = None,
) -> Prepared:  # fmt: skip
    """Write a workload's files and make it ready; `dtype` and `loaded` as of `Prepared`."""
    folder = save(shape, scratch, device, length)
    text = rows_text(SHAPES[shape].d_vocab, rows, length, WORKLOADS[name].first)
    (scratch / "rows.jsonl").write_text(text)
    path = scratch / f"{name}.circuit"
    if name == "W4":
        from pathdsl.graph.model.decoders import gpt2_shape

        config = json.loads((folder / "config.json").read_text())
        path.write_text(edges_text(gpt2_shape(config), folder))
    else:
        path.write_text(circuit_text(name, shape, folder, knockouts, members, length))
    return Prepared(path, threads, device, WORKLOADS[name].attributes, dtype, loaded)


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure one workload in this process; the medians, counts and peak memory as plain data."""
    name, shape, repeat = arguments["name"], arguments["shape"], arguments["repeat"]
    ready = prepare_workload(
        name, shape, Path(arguments["scratch"]), threads=arguments.get("threads"),
        device=arguments.get("device", "cpu"), **arguments.get("options", {}),
    )  # fmt: skip
    return measured(ready, name, shape, repeat)


def measured(
    ready: Prepared, name: str, shape: str, repeat: int,
    done: Sequence[tuple[float, float]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The medians, counts and peak memory of a workload that was made ready, as plain data.

    `done`: what it has taken already, seconds of planning and of execution, which count, too.
    """
    import torch

    from pathdsl.engine.run.runner import plan_cost
    from pathdsl.plan.build import mixed_copies

    taken = [*done] or [ready.work()]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    ready.plain()
    plain = [min(ready.plain(), ready.plain()) for _ in taken]
    for _ in range(repeat - (not done)):
        plain.append(min(ready.plain(), ready.plain()))
        taken.append(ready.work())
    planning, execution = [one for one, _ in taken], [one for _, one in taken]
    costs = [plan_cost(plan, ready.loaded.adapter.dtype.itemsize) for plan in ready.last]
    return {
        "workload": name,
        "shape": shape,
        "rows": ready.task.n_rows,
        "length": ready.task.n_pos,
        "threads": torch.get_num_threads(),
        "device": ready.loaded.facts["device"],
        "dtype": ready.loaded.facts["dtype"],
        "attention": ready.loaded.facts["attention"],
        "units": units(name, shape) if name in WORKLOADS else 1,
        "plain_s": statistics.median(plain),
        "planning_s": statistics.median(planning),
        "execution_s": statistics.median(execution),
        "execution_least_s": min(execution),
        "execution_most_s": max(execution),
        "lowering_s": ready.lowering,
        "device_peak_gb": ready.device_peak(),
        "peak_gb": peak,
        "runs": sum(len(plan.outputs) for plan in ready.last),
        "copies": sum(len(mixed_copies(plan)) for plan in ready.last),
        "counted": sum(c.forwards for c in costs),
    }


def in_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """`run_child` in a process of its own."""
    return result_of("benchmarks.engine", arguments, arguments["name"])


def multiple(row: dict[str, Any]) -> float:
    """Planning and execution as a multiple of W0, per unit."""
    return (row["planning_s"] + row["execution_s"]) / row["plain_s"] / row["units"]


def measure_all(
    names: Sequence[str],
    shapes: Sequence[str],
    repeat: int,
    threads: int | None,
    tell: Callable[[str], None],
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Every named workload on every shape that it is for, told line by line."""
    tell(
        f"{'':<5}{'shape':<8}{'W0 s':>7}{'plan s':>8}{'run s':>8}{'x W0':>8}{'counted':>9}"
        f"{'reach':>7}{'bound':>7}{'peer':>6}{'GB':>6}  what"
    )
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for shape in shapes:
            for name in names:
                workload = WORKLOADS[name]
                if shape not in workload.shapes:
                    if len(names) < len(WORKLOADS):
                        tell(f"{name:<5}{shape:<8}is for {', '.join(workload.shapes)}")
                    continue
                if workload.waits:
                    rows.append({"workload": name, "shape": shape, "waits": workload.waits})
                    tell(f"{name:<5}{shape:<8}waits for {workload.waits}: {workload.title}")
                    continue
                save_apart(shape, Path(scratch), device, LENGTH)
                row = in_child({"name": name, "shape": shape, "repeat": repeat,
                                "threads": threads, "device": device,
                                "scratch": scratch})  # fmt: skip
                rows.append(row)
                main = shape == workload.shapes[0]
                goal, bound, peer = (
                    f"{x:g}" if x is not None and main else "" for x in
                    (workload.reach, workload.bound, workload.peer)
                )  # fmt: skip
                tell(
                    f"{name:<5}{shape:<8}{row['plain_s']:>7.3f}{row['planning_s']:>8.2f}"
                    f"{row['execution_s']:>8.2f}{multiple(row):>8.2f}"
                    f"{row['counted'] / row['units']:>9.2f}{goal:>7}{bound:>7}{peer:>6}"
                    f"{row['peak_gb']:>6.2f}  {workload.title}"
                )
    return rows


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
