"""One small random GPT-2, prompts of several lengths, and short ways to run path sets on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.gpt2 import Gpt2Adapter
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.planner import Planner
from pathdsl.engine.run.runner import Settings, execute
from pathdsl.graph.paths.pathset import PathSet, Pos, intersection, minus, union
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.taskdata import TaskData
from pathdsl.plan.treated import TreatedSpec
from tests.oracle.cases import build_model

torch.set_num_threads(1)  # products this small only wait for other threads

VOCABULARY = 11
CONFIG = {
    "n_layer": 2, "n_head": 2, "n_embd": 8, "n_inner": 16, "vocab_size": VOCABULARY,
    "n_positions": 12, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
COLUMNS = tuple(Measure(kind="logit", column=f"t{i}") for i in range(VOCABULARY))
PAIRED = TreatedSpec(kind="paired", column="other")
ZERO = TreatedSpec(kind="zero")
MEAN = TreatedSpec(kind="mean", column="other", by="template")
NOISE = TreatedSpec(kind="noise", at=(Pos(name="A"), Pos(name="S")), scale=3.0, seed=1)
RESAMPLE = TreatedSpec(kind="resample", column="other", draws=3, seed=2)
SPECS = (PAIRED, ZERO, MEAN, NOISE, RESAMPLE)
REFERENCE = RunSpec(task="t", kind="reference")
PATHS = """
path q = a0.h0 -> m0 -[k: prev]-> a1.h0 ~> logits
path c = within(a0.h0@A, m0, a1.h1)
path v = input@A -[v: same]-> a0.h1@A (-> mlp)* -[k,v]-> a1 -> logits
path e = edges { input -> a0.h0; a0.h0 -[v]-> a1.h1; a1.h1 -> m1 -> logits; input -> m1 }
path b = through(a1.h0@END) | (input@S -[q]-> a0.h1 ~> logits)
path r = input -[k: prev]-> a0.h0@A -> m0@A -[k]-> a1.h1 -> m1 -> logits
path k = (input -[q]-> a1.h0 -> logits) | (a0.h0 -[k: prev]-> a1.h0 -> logits)
path w = (m0 -[q]-> a1.h1) | (a0.h1 -[v: offset(-2)]-> a1.h1)
"""
NAMES = ("q", "c", "v", "e", "b", "r", "k", "w")


@cache
def adapter_of(dtype: torch.dtype = torch.float64) -> Gpt2Adapter:
    """The model, in one dtype; its attention is written out, so that it can show its patterns."""
    model = build_model(CONFIG, 5)
    model.set_attn_implementation("eager")
    return Gpt2Adapter(model.to(dtype))


def make_task(lengths: Sequence[int] = (5, 3, 5, 4, 3, 5, 4), seed: int = 0) -> TaskData:
    """Rows of two prompts each; A is one token, on some row the first; S one or two tokens."""
    rng = np.random.default_rng(seed)
    n, longest = len(lengths), max(lengths)
    real = np.arange(longest)[None, :] < np.array(lengths)[:, None]
    prompts = {
        name: rng.integers(0, VOCABULARY, (n, longest)) * real for name in ("prompt", "other")
    }
    several = [sorted(set(rng.integers(0, length, 2).tolist())) for length in lengths]
    return TaskData(
        name="t",
        row_ids=tuple(f"r{i}" for i in range(n)),
        reference="prompt",
        prompts=prompts,
        lengths=np.array(lengths),
        answers={f"t{i}": tuple((i,) for _ in range(n)) for i in range(VOCABULARY)}
        | {"several": tuple((i % VOCABULARY, (i + 3) % VOCABULARY) for i in range(n))},
        positions={
            "A": tuple((i % length,) for i, length in enumerate(lengths)),
            "S": tuple(tuple(places) for places in several),
            "END": tuple((length - 1,) for length in lengths),
        },
        labels={"template": tuple("xy"[i % 2] for i in range(n))},
        clusters=np.arange(n),
    )


TASK = make_task()


@cache
def path_sets() -> Mapping[str, PathSet]:
    """The named path sets of `PATHS`, and Boolean combinations of them."""
    program, faults = load_program("cases.circuit", PATHS)
    assert not faults, faults
    resolver = Resolver(program, adapter_of().shape)
    found = {name: resolver.path_set(program.paths[name].path) for name in NAMES}
    found["mixed"] = union(minus(found["c"], found["q"]), intersection(found["b"], found["v"]))
    return found


def treat(paths: PathSet | str, treated: TreatedSpec = PAIRED) -> RunSpec:
    """`treat(P)`."""
    chosen = path_sets()[paths] if isinstance(paths, str) else paths
    return RunSpec(task="t", kind="treat", paths=chosen, treated=treated)


def all_runs(treated: TreatedSpec) -> list[RunSpec]:
    """Every named path set under one treated value."""
    return [treat(name, treated) for name in path_sets()]


def values(
    runs: Iterable[RunSpec],
    measures: Sequence[Measure] = COLUMNS,
    task: TaskData = TASK,
    adapter: Gpt2Adapter | None = None,
    frozen: bool = False,
    **options: object,
) -> dict[tuple[RunSpec, Measure], np.ndarray]:
    """(run, measure) to (draws, rows)."""
    adapter = adapter or adapter_of()
    requests = [(run, m) for run in runs for m in measures]
    out = {}
    place = position_mask(task)
    for plan in build_plans(adapter.shape, "t", task.valid, place, requests, frozen=frozen):
        found = execute(plan, task, adapter, Settings(**options))  # type: ignore[arg-type]
        out |= {(plan.outputs[n].run, m): value for (n, m), value in found.items()}
    return out


def logits(run: RunSpec, **options: object) -> np.ndarray:
    """(draws, rows, vocabulary) of one run at END."""
    found = values([run], **options)  # type: ignore[arg-type]
    return np.stack([found[run, m] for m in COLUMNS], axis=-1)


def hf(ids: Sequence[int] | Tensor, adapter: Gpt2Adapter | None = None, **options: object):
    """The output of the unmodified model on one prompt of token ids."""
    with torch.no_grad():
        batch = torch.as_tensor(ids).reshape(1, -1)
        return (adapter or adapter_of()).model(batch, **options)


def prompt(row: int, column: str = "prompt", task: TaskData = TASK) -> list[int]:
    """The true token ids of one row."""
    return [int(i) for i in task.prompts[column][row][: task.lengths[row]]]


def plain(column: str = "prompt", task: TaskData = TASK) -> np.ndarray:
    """(rows, vocabulary) logits at END of the unmodified model."""
    rows = range(task.n_rows)
    return np.stack([hf(prompt(r, column, task)).logits[0, -1].numpy() for r in rows])


def planner(
    task: TaskData = TASK, treated: TreatedSpec | None = PAIRED, **options: object
) -> Planner:
    """A planner over one task."""
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=treated)
    return Planner(adapter_of().shape, {"t": task}, {"t": spec}, **options)  # type: ignore[arg-type]
