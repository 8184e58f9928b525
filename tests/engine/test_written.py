"""Measures of what components write, against hooks on models of every block structure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import torch

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run.runner import Settings, execute, plan_cost
from pathdsl.errors import EngineError, PlanError
from pathdsl.graph.paths.pathset import FULL
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.outputs import Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import HeadsWrite
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.metrics import compile_metric
from tests.engine.engine_cases import (
    MEAN,
    PAIRED,
    REFERENCE,
    RESAMPLE,
    TASK,
    ZERO,
    prompt,
    treat,
)
from tests.engine.family_cases import Exact
from tests.engine.written_cases import GPT2, NAMES, Trace, model_of, trace, uncapped

ROWS = range(TASK.n_rows)
TREATED = treat(FULL, PAIRED)
EXACT = 1e-10


def measure(text: str, groups: str = "") -> Measure:
    """`dla(a0.h1, t4) @A` as a measure."""
    program, faults = load_program("m.circuit", f"{groups}\nmetric m = {text}\n")
    assert not faults, faults
    (found,) = compile_metric(program.metrics["m"], program.groups).measures
    return found


@cache
def opened(name: str) -> tuple[Adapter, object]:
    model = model_of(name)
    return adapter_for(model), model


def exact(name: str) -> object:
    """Families that pass through float32 do so in float64, in both computations."""
    return nullcontext() if name == GPT2 else Exact()


def plans(
    adapter: Adapter, runs: list[RunSpec], measures: list[Measure],
    own: TreatedSpec | None = PAIRED, frozen: bool = False,
) -> tuple[Plan, ...]:  # fmt: skip
    requests = [(run, one) for run in runs for one in measures]
    place = position_mask(TASK)
    return build_plans(adapter.shape, "t", TASK.valid, place, requests, own=own, frozen=frozen)


def values(
    adapter: Adapter, runs: list[RunSpec], measures: list[Measure],
    own: TreatedSpec | None = PAIRED, frozen: bool = False,
) -> dict[tuple[RunSpec, Measure], np.ndarray]:  # fmt: skip
    """(run, measure) to (rows,) of the first draw."""
    out = {}
    for plan in plans(adapter, runs, measures, own, frozen):
        found = execute(plan, TASK, adapter, Settings())
        out |= {(plan.outputs[n].run, m): value[0] for (n, m), value in found.items()}
    return out


def traces(name: str, column: str) -> Iterator[tuple[int, Trace]]:
    _, model = opened(name)
    for row in ROWS:
        yield row, trace(name, model, prompt(row, column))


def at(row: int, position: str) -> list[int]:
    return list(TASK.positions[position][row])


@pytest.mark.parametrize("name", NAMES)
def test_every_component_against_hooks(name: str) -> None:
    """`dla`, `norm` and `cosine` of heads, MLPs, the embedding and sets, at one or two tokens."""
    with exact(name), torch.no_grad():
        adapter, _ = opened(name)
        shape = adapter.shape
        single = [
            "input", *(f"m{layer}" for layer in range(shape.n_layers)),
            *(f"a{i}.h{j}" for i in range(shape.n_layers) for j in range(shape.n_heads)),
        ]  # fmt: skip
        sets = {node: [node] for node in single}
        sets["{a0.h0, a1.h1, m0}"] = ["a0.h0", "a1.h1", "m0"]
        sets["a1"] = [node for node in single if node.startswith("a1.")]
        sets["{mlp, input, except m1}"] = [
            node for node in single if node[0] in "mi" and node != "m1"
        ]
        share = shape.n_heads // shape.n_groups
        sets["a0.kv0"] = [f"a0.h{j}" for j in range(share)]
        places = ("END", "S")
        texts = {
            (kind, node, place): text
            for node in sets
            for place in places
            for kind, text in (
                ("dla", f"dla({node}, t4) @{place}"),
                ("norm", f"norm({node}) @{place}"),
                ("cosine", f"cosine({node}, reference) @{place}"),
            )
        }
        measures = {key: measure(text) for key, text in texts.items()}
        found = values(adapter, [REFERENCE, TREATED], list(measures.values()))
        plain = dict(traces(name, "prompt"))
        for run, column in ((REFERENCE, "prompt"), (TREATED, "other")):
            for row, here in traces(name, column):
                for (kind, node, place), one in measures.items():
                    own = sum(here.writes[part] for part in sets[node])[at(row, place)]
                    other = sum(plain[row].writes[part] for part in sets[node])[at(row, place)]
                    if kind == "dla":
                        whole = sum(here.writes[part] for part in sets[node])
                        wanted = here.added(whole, 4)[at(row, place)]
                    elif kind == "norm":
                        wanted = own.pow(2).sum(-1).sqrt()
                    else:
                        wanted = torch.nn.functional.cosine_similarity(own, other, dim=-1)
                    np.testing.assert_allclose(
                        found[run, one][row], float(wanted.mean()), rtol=0, atol=EXACT,
                        err_msg=f"{name} {texts[kind, node, place]} {column} row {row}",
                    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_all_senders_add_up_to_the_logit_without_the_biases(name: str) -> None:
    """Before any cap: the senders, the biases of attention, of the norm and of the unembedding."""
    with exact(name), torch.no_grad():
        adapter, _ = opened(name)
        whole = measure("dla({any, input}, t7)")
        found = values(adapter, [REFERENCE], [whole])[REFERENCE, whole]
        for row, here in traces(name, "prompt"):
            end = at(row, "END")
            biases = sum(here.added(bias, 7)[end] for bias in here.biases)
            norm, head = here.parts.final, here.model.lm_head
            if getattr(norm, "bias", None) is not None:
                biases = biases + norm.bias @ head.weight[7]
            if head.bias is not None:
                biases = biases + head.bias[7]
            wanted = uncapped(here)[end, 7] - biases
            np.testing.assert_allclose(found[row], float(wanted), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_copies_against_the_modules_of_the_model(name: str) -> None:
    with exact(name), torch.no_grad():
        adapter, _ = opened(name)
        for negated in (False, True):
            asked = {
                (layer, head, top): measure(
                    f"copy_score(a{layer}.h{head}, of: [A, S], top: {top}"
                    + (", negated: true)" if negated else ")")
                )
                for layer in range(adapter.shape.n_layers)
                for head in range(adapter.shape.n_heads)
                for top in (2, 5)
            }
            found = values(adapter, [REFERENCE, TREATED], list(asked.values()))
            for run, column in ((REFERENCE, "prompt"), (TREATED, "other")):
                for row, here in traces(name, column):
                    ids = prompt(row, column)
                    places = [*at(row, "A"), *at(row, "S")]
                    for (layer, head, top), one in asked.items():
                        logits = copied_by_hand(name, here, layer, head, negated)
                        hits = [ids[p] in logits[p].topk(top).indices for p in places]
                        np.testing.assert_allclose(found[run, one][row], np.mean(hits))


def copied_by_hand(name: str, here: Trace, layer: int, head: int, negated: bool) -> torch.Tensor:
    """(tokens, vocabulary): the head looks at each token alone: run with its pattern the identity.

    The block is called on the stream after the first one, its output projection is given the
    values of each token, and only this head's slice of them.
    """
    block, parts = here.parts.blocks[layer], here.parts
    adapter, _ = opened(name)
    kept: dict[str, torch.Tensor] = {}
    value = adapter.project(  # the projection itself is compared in the families' own tests
        layer, "v", adapter.attention_input(layer, here.middle.unsqueeze(0)), [head]
    )[0, :, 0]
    out = parts.out(block)
    weight = out.weight if "Conv1D" in type(out).__name__ else out.weight.T
    size = len(weight) // here.n_heads
    kept["write"] = value @ weight[head * size : (head + 1) * size]
    if parts.after_attention is not None:
        norm = parts.after_attention(block)
        gain = norm.weight + (1 if type(norm).__name__.startswith("Gemma") else 0)
        kept["write"] = kept["write"] * gain  # its scale falls out in the final norm
    sign = -1 if negated else 1
    logits: torch.Tensor = here.model.lm_head(parts.final(1e6 * sign * kept["write"]))
    return logits


@pytest.mark.parametrize("name", [GPT2, "gemma2", "olmo2"])
def test_a_set_is_the_sum_of_its_members(name: str) -> None:
    with exact(name):
        adapter, _ = opened(name)
        parts = ["a0.h0", "a0.h1", "a1.h0", "m1", "input"]
        whole = measure("dla({" + ", ".join(parts) + "}, t2)")
        each = [measure(f"dla({part}, t2)") for part in parts]
        runs = [REFERENCE, TREATED]
        found = values(adapter, runs, [whole, *each])
        for run in runs:
            np.testing.assert_allclose(
                found[run, whole], sum(found[run, one] for one in each), rtol=0, atol=EXACT
            )


def test_a_write_of_zero_has_no_direction() -> None:
    adapter, _ = opened(GPT2)
    same = measure("cosine(a0.h1, reference)")
    with pytest.raises(EngineError, match="PD261"):
        values(adapter, [treat(FULL, ZERO)], [same])


def test_what_needs_one_plain_run() -> None:
    adapter, _ = opened(GPT2)
    copies, beside = measure("copy_score(a0.h1, of: A)"), measure("cosine(a0.h1, treated)")
    for run in (treat(FULL, ZERO), treat(FULL, MEAN), treat(FULL, RESAMPLE)):
        with pytest.raises(PlanError, match="PD260"):
            plans(adapter, [run], [copies])
    with pytest.raises(PlanError, match="PD260"):
        plans(adapter, [REFERENCE], [beside], own=RESAMPLE)
    with pytest.raises(PlanError, match="PD221"):
        plans(adapter, [REFERENCE], [beside], own=None)


def test_beside_the_treated_run() -> None:
    """`cosine(NODE, treated)` of the reference run is `cosine(NODE, reference)` of the treated."""
    adapter, _ = opened(GPT2)
    one, two = (measure(f"cosine(m1, {run})") for run in ("treated", "reference"))
    found = values(adapter, [REFERENCE, TREATED, treat("b", ZERO)], [one, two])
    np.testing.assert_allclose(found[REFERENCE, one], found[TREATED, two], rtol=0, atol=EXACT)
    assert np.all(found[TREATED, one] > 1 - EXACT)


def test_only_what_is_read_is_computed() -> None:
    """A length needs neither the final stream nor the vocabulary; equal writes are one step."""
    adapter, _ = opened(GPT2)
    (plan,) = plans(adapter, [REFERENCE], [measure("norm(a0.h1)")])
    assert plan.outputs[0].positions == 0
    assert plan_cost(plan, 8).readout == 0
    assert set(plan.plain_need) == {(-1, "head", 0)}
    (plan,) = plans(adapter, [REFERENCE, TREATED], [measure("cosine(a0.h1, reference)")])
    assert sum(isinstance(plan.steps[n], HeadsWrite) for n in plan.alive) == 2
    ends = int(plan.masks.array(plan.position_masks["END"]).sum())
    shape = adapter.shape
    assert sum(plan_cost(plan, 8).by_slot.values()) == 2 * ends * shape.d_model * shape.d_head
    (copied,) = plans(adapter, [REFERENCE], [measure("copy_score(a0.h1, of: A)")])
    each = shape.d_model * (2 * shape.d_head + shape.d_vocab)
    assert plan_cost(copied, 8).readout == int(TASK.n_rows) * each


def test_with_frozen_norms_a_direct_effect_is_a_difference_of_attributions() -> None:
    """Only the treated head moves the logit then, and by what it writes more or less."""
    adapter, _ = opened(GPT2)
    program, _ = load_program("p.circuit", "path p = a1.h0 -> logits\n")
    paths = Resolver(program, adapter.shape).path_set(program.paths["p"].path)
    attributed, logit = measure("dla(a1.h0, t4)"), measure("logit(t4)")
    for treated in (PAIRED, ZERO, MEAN):
        run = treat(paths, treated)
        found = values(adapter, [REFERENCE, run], [attributed, logit], frozen=True)
        moved = [found[run, one] - found[REFERENCE, one] for one in (attributed, logit)]
        np.testing.assert_allclose(moved[0], moved[1], rtol=0, atol=EXACT)
        assert np.abs(moved[1]).max() > 0.01
