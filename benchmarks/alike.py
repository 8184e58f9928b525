"""The engine on a device against the engine on the CPU: are all numbers the same?

On the CPU the tests hold the engine against the literal tree, so what agrees with it is right. The
models are those of the tests, tiny and random, of every block structure; each is run on both sides
with every path set that its graph has, every treated value, every measure at the logits and
patterns, norms recomputed and frozen; then it proves itself on the device as in a check, with the
null pair, and each method of attribution is held against itself on the CPU.

Tolerances: 1e-9 in float64, with everything that a family computes in float32 taken to float64 on
both sides, 1e-4 in float32, and in bfloat16 what a check allows; relative where values are above 1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.attribution.attribute import METHODS, attribute
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.planner import Planner
from pathdsl.engine.rounding import ROUNDING
from pathdsl.engine.run.runner import Settings, Values, execute
from pathdsl.engine.self_check import prove, prove_null_pair
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import PathSet
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from tests.engine import attribution_cases, encoder_cases
from tests.engine.engine_cases import COLUMNS, NAMES, PAIRED, PATHS, REFERENCE, SPECS, TASK
from tests.engine.family_cases import Exact

from .engine import attribution_of

__all__ = ["FEW", "MODELS", "TOLERANCES", "compared", "models_alike"]

MODELS = {**attribution_cases.MODELS, "bert": lambda: encoder_cases.make("bert")}
FUSED = ("gpt2", "llama")
FEW = ("gpt2", "llama", "gpt_neox", "bert", "qwen2_moe", "toy_shortformer")
"""One of each of the main block structures: grouped queries, parallel blocks, an encoder, a mixture
of experts, attention alone."""
TOLERANCES = {"float64": 1e-9, "float32": 1e-4, "bfloat16": ROUNDING["bfloat16"]}
# Beside those of the tests, for graphs without MLPs or without an edge from heads to an MLP.
MORE = """
path alone = through(a0.h0) | (input@A -[v]-> a1.h1 -> logits)
path near = input -[k: prev]-> a1.h0 -> logits
"""
MEASURES = (
    *COLUMNS[:4],
    *(Measure(kind=kind, column="t0") for kind in ("prob", "logprob", "rank", "top1")),
    *(Measure(kind=kind) for kind in ("kl", "reverse_kl", "top_token")),
)
PATTERN = Measure(kind="attention", head=(1, 0), query="END", key="A")


def path_sets(shape: ModelShape) -> tuple[dict[str, PathSet], int]:
    """Path sets of a graph by name, and how many of all there are it has no paths of."""
    program, faults = load_program("alike.circuit", PATHS + MORE)
    assert not faults, faults
    resolver, found = Resolver(program, shape), {}
    names = (*NAMES, "alone", "near")
    for name in names:
        try:
            found[name] = resolver.path_set(program.paths[name].path)
        except LanguageError:
            continue
    return found, len(names) - len(found)


def requests_of(shape: ModelShape, spec: TreatedSpec) -> list[tuple[RunSpec, Measure]]:
    """Every run under one treated value with every measure; a constant has no pattern."""
    sets, _ = path_sets(shape)
    runs = [REFERENCE, *(
        RunSpec(task="t", kind="treat", paths=paths, treated=spec) for paths in sets.values()
    )]  # fmt: skip
    measures = MEASURES if spec.how.constant else (*MEASURES, PATTERN)
    return [(run, measure) for run in runs for measure in measures]


def compared(found: Values, wanted: Values, *, exact: bool) -> float:
    """The largest difference of two evaluations, relative where values are above 1; nan if a value
    is missing or is none. Ranks and best tokens are compared where arithmetic is `exact`."""
    if set(found) != set(wanted):
        return float("nan")
    worst = [0.0]
    for key, value in wanted.items():
        if key[1].record.exact and not exact:
            continue  # of near-ties; the logits are compared
        scale = max(1.0, float(np.abs(value).max()))
        worst.append(float(np.abs(found[key] - value).max()) / scale)
    return float(np.max(worst))


def models_alike(
    names: Sequence[str], dtypes: Sequence[str], device: str, methods: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row for each model and dtype, for fused attention on the device against attention that is
    written out, and for each model's attributions by `methods`."""
    for dtype in dtypes:
        for name in names:
            yield _alike(name, dtype, device)
    for name in FUSED:
        if name in names:
            yield _alike(name, "float32", device, fused=True)
    for name in names if methods else ():
        yield _attributed_alike(name, device, methods)


def _both(name: str, dtype: str, device: str, *, fused: bool = False) -> tuple[Adapter, Adapter]:
    """One model on the CPU and a copy of it on the device."""
    with Exact() if dtype == "float64" else nullcontext():
        model = copy.deepcopy(MODELS[name]())  # some are shared
    model = model.to(getattr(torch, dtype))
    there = copy.deepcopy(model).to(device)
    return adapter_for(model), adapter_for(there, fused=fused)


def _alike(name: str, dtype: str, device: str, *, fused: bool = False) -> dict[str, Any]:
    tolerance = TOLERANCES[dtype]
    worst: list[float] = []
    proofs: list[float] = []
    holds, values, plans = True, 0, 0
    here, there = _both(name, dtype, device, fused=fused)
    place = position_mask(TASK)
    # Noise and the like are large beside bfloat16's digits: there it proves itself, no more.
    specs = (PAIRED,) if dtype == "bfloat16" else SPECS
    with Exact() if dtype == "float64" else nullcontext():
        for spec in specs:
            for frozen in (False, True):
                requests = requests_of(here.shape, spec)
                try:
                    built = build_plans(here.shape, "t", TASK.valid, place, requests, frozen=frozen)
                except PlanError:  # norms of the stream itself, as of BERT, are not frozen
                    if not frozen:
                        raise
                    continue
                for plan in built:
                    plans += 1
                    wanted = execute(plan, TASK, here, Settings())
                    found = execute(plan, TASK, there, Settings())
                    values += sum(v.size for v in wanted.values())
                    if dtype != "bfloat16":
                        worst.append(compared(found, wanted, exact=dtype == "float64"))
                    null = prove_null_pair(plan, TASK, there, tolerance)
                    proofs.append(null.error)
                    holds = holds and null.holds
        for proof in _proofs(there):
            proofs.append(proof.error)
            holds = holds and proof.holds
    error = float(np.max(worst)) if worst else None
    return {
        "model": name, "dtype": dtype, "what": "fused attention" if fused else "runs",
        "plans": plans, "values": values,
        "without": path_sets(here.shape)[1], "error": error, "proofs": len(proofs),
        "proof_error": float(np.max(proofs)), "tolerance": tolerance,
        "agrees": holds and (error is None or error <= tolerance),
    }  # fmt: skip


def _proofs(adapter: Adapter) -> list[Any]:
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=PAIRED)
    return prove(Planner(adapter.shape, {"t": TASK}, {"t": spec}), adapter, TASK)


def _attributed_alike(name: str, device: str, methods: Sequence[str]) -> dict[str, Any]:
    """Scores in float64; a method that has none for the model is counted as left out."""
    here, there = _both(name, "float64", device)
    worst, values, without = [0.0], 0, []
    with Exact():
        for method in methods:
            of = "edges" if METHODS[method].edges is not None else "nodes"
            asked = attribution_of(method, of, ("t0", "t1"), "other")  # type: ignore[arg-type]
            try:
                wanted = attribute(here, TASK, asked).values
            except PlanError:
                without.append(method)
                continue
            found = attribute(there, TASK, asked).values
            scale = max(1.0, float(np.abs(wanted).max()))
            worst.append(float(np.abs(found - wanted).max()) / scale)
            values += wanted.size
    error, tolerance = float(np.max(worst)), TOLERANCES["float64"]
    return {
        "model": name, "dtype": "float64", "what": "attributions",
        "plans": len(methods) - len(without), "values": values, "without": len(without),
        "error": error, "proofs": 0, "proof_error": None, "tolerance": tolerance,
        "agrees": error <= tolerance,
    }  # fmt: skip
