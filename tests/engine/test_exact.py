"""Units patched alone: against hooks on the unmodified model, and as the language spells them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.attribution.exact import bound_unverified, exact, paths_of, subset_requests
from pathdsl.engine.attribution.units import node_units
from pathdsl.engine.data.task import DataCall, TaskSpec
from pathdsl.engine.planner import Planner
from pathdsl.engine.session import EngineSession
from pathdsl.graph.model.components import Layout
from pathdsl.graph.paths.pathset import union
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.score.attribution import ScoredUnit
from pathdsl.score.quantity import row_metrics
from pathdsl.score.statistics.evaluate import Evaluator
from tests.engine.attribution_cases import DIFFERENCE, MAIN, adapter, asked
from tests.engine.engine_cases import MEAN, PAIRED, RESAMPLE, TASK, ZERO, make_task, prompt
from tests.engine.family_cases import Exact

LENGTHS = TASK.lengths


def session_of(name: str, treated: Any = PAIRED, task: Any = TASK) -> EngineSession:
    spec = TaskSpec(name="t", data=DataCall(name="jsonl"), reference="prompt", treated=treated)
    return EngineSession(Planner(adapter(name).shape, {"t": task}, {"t": spec}), adapter(name))


# -------------------------------------------------------------------------------------------------
# Hooks: where a value of the unmodified model is
# -------------------------------------------------------------------------------------------------


def layers(model: Any) -> Any:
    for path in ("transformer.h", "model.layers", "gpt_neox.layers"):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise AssertionError(type(model))


def part(layer: Any, *names: str) -> Any:
    for name in names:
        try:
            return layer.get_submodule(name)
        except AttributeError:
            continue
    raise AssertionError(names)


def site(name: str, unit: ScoredUnit) -> tuple[Any, bool, slice]:
    """The module, whether its input or its output is meant, and which of its numbers."""
    model, shape = adapter(name).model, adapter(name).shape
    which = unit.sender or unit.receiver
    if which == "input":
        found = model.get_input_embeddings() if name != "gpt2" else model.transformer.drop
        return found, False, slice(None)
    d = shape.d_head
    if which[0] == "m":
        layer = layers(model)[int(which[1:])]
        return part(layer, "post_feedforward_layernorm", "mlp"), False, slice(None)
    layer_no, head = (int(n) for n in which[1:].split(".h"))
    layer = layers(model)[layer_no]
    if unit.sender:
        out = part(layer, "attn.c_proj", "self_attn.o_proj", "attention.dense")
        return out, True, slice(head * d, (head + 1) * d)
    place = "qkv".index(unit.slot)
    if name == "gpt2":
        start = place * shape.n_heads * d + head * d
        return layer.attn.c_attn, False, slice(start, start + d)
    if name == "gpt_neox":
        start = head * 3 * d + place * d
        return layer.attention.query_key_value, False, slice(start, start + d)
    if unit.slot != "q":
        head //= shape.n_heads // shape.n_kv_heads
    return (
        layer.self_attn.get_submodule(f"{unit.slot}_proj"),
        False,
        slice(head * d, (head + 1) * d),
    )


@contextmanager
def hooked(
    module: Any, is_input: bool, act: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    if is_input:
        handle = module.register_forward_pre_hook(lambda m, args: (act(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(lambda m, args, out: act(out))
    try:
        yield
    finally:
        handle.remove()


def run(name: str, ids: list[int]) -> float:
    with torch.no_grad():
        logits = adapter(name).model(torch.tensor([ids])).logits[0, -1]
    return float(logits[1] - logits[2])


def by_hooks(name: str, unit: ScoredUnit, at: int | None, row: int) -> float:
    """What patching a unit changes the metric by on one prompt, by the unmodified model."""
    module, is_input, part_of = site(name, unit)
    kept: list[torch.Tensor] = []

    def keep(value: torch.Tensor) -> torch.Tensor:
        kept.append(value.clone())
        return value

    def put(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        where = slice(None) if at is None else slice(at, at + 1)
        value[:, where, part_of] = kept[0][:, where, part_of]
        return value

    with hooked(module, is_input, keep):
        run(name, prompt(row, "other"))
    with hooked(module, is_input, put):
        patched = run(name, prompt(row))
    return patched - run(name, prompt(row))


@pytest.mark.parametrize("name", MAIN)
def test_nodes_are_as_hooks_patch_them(name: str) -> None:
    shape = adapter(name).shape
    grouped = shape.n_kv_heads < shape.n_heads
    units = [u for u in node_units(shape) if not (grouped and u.slot in ("k", "v"))][::2]
    with Exact():
        session = session_of(name)
        whole = exact(session, shape, asked("exact"), units).values
        placed = exact(session, shape, asked("exact", by_position=True), units).values
        for number, unit in enumerate(units):
            for row in (0, 1):
                assert whole[number, row] == pytest.approx(
                    by_hooks(name, unit, None, row), abs=1e-9
                )
                at = (number + row) % int(LENGTHS[row])
                there = by_hooks(name, unit, at, row)
                assert placed[number, at, row] == pytest.approx(there, abs=1e-9)
    missing = np.arange(TASK.n_pos)[:, None] >= LENGTHS
    assert missing.any() and not placed[:, missing].any()


@pytest.mark.parametrize("slot", ["k", "v"])
def test_keys_of_a_group_together_are_the_key_that_it_shares(slot: str) -> None:
    """Each query head of a group has its own key; all of them treated are the model's one."""
    layout, task = Layout(adapter("llama").shape), TASK
    group = [(ScoredUnit(receiver=f"a1.h{h}", slot=slot), 1) for h in (0, 1)]
    with Exact():
        session = session_of("llama")
        single = exact(
            session, layout.shape, asked("exact", by_position=True), [u for u, _ in group]
        )
        both = paths_of(group, layout, task)
        label = effect_of(session, both)
        assert label[0] == pytest.approx(by_hooks("llama", group[0][0], 1, 0), abs=1e-9)
    assert abs(single.values[:, 1, 0].sum() - label[0]) < 1  # each alone has an effect of its own
    assert single.values[0, 1, 0] != single.values[1, 1, 0]


def effect_of(session: EngineSession, paths: Any) -> np.ndarray:
    """(rows,) the effect of a path set."""
    treats = []
    for item in row_metrics(DIFFERENCE):
        run_of = replace(item.run, kind="treat", paths=paths, treated=PAIRED)
        treats.append(replace(item, run=run_of))
    expr = replace(DIFFERENCE, args=tuple(treats))
    session.measures(
        [(i.run, m) for e in (expr, DIFFERENCE) for i in row_metrics(e) for m in i.metric.measures]
    )
    evaluator = Evaluator(session)
    return np.asarray((evaluator.rows(expr) - evaluator.rows(DIFFERENCE))[0])


def edge_by_hooks(unit: ScoredUnit, at: int | None, row: int) -> float:
    """An edge of GPT-2: its reader's norm sees the sender's difference, and nothing else does."""
    model = adapter("gpt2").model
    module, is_input, part_of = site("gpt2", ScoredUnit(sender=unit.sender))
    written: list[torch.Tensor] = []

    def keep(value: torch.Tensor) -> torch.Tensor:
        if unit.sender[0] == "a":
            zeroed = torch.zeros_like(value)
            zeroed[..., part_of] = value[..., part_of]
            written.append(zeroed @ module.weight)
        else:
            written.append(value.clone())
        return value

    for column in ("prompt", "other"):
        with hooked(module, is_input, keep):
            run("gpt2", prompt(row, column))
    difference = written[1] - written[0]
    if at is not None:
        difference = difference * (torch.arange(difference.shape[1]) == at)[:, None]
    base = run("gpt2", prompt(row))
    layer = None if unit.receiver == "logits" else layers(model)[int(unit.receiver[1])]
    if unit.receiver[0] != "a":
        norm = model.transformer.ln_f if layer is None else layer.ln_2
        with hooked(norm, True, lambda x: x + difference):
            return run("gpt2", prompt(row)) - base
    _, _, inside = site("gpt2", ScoredUnit(receiver=unit.receiver, slot=unit.slot))
    streams: list[torch.Tensor] = []
    busy: list[bool] = []

    def stream(value: torch.Tensor) -> torch.Tensor:
        if not busy:
            streams.append(value.clone())
        return value

    def one_slot(value: torch.Tensor) -> torch.Tensor:
        if busy:
            return value
        busy.append(True)
        theirs = layer.attn.c_attn(layer.ln_1(streams[-1] + difference))
        busy.pop()
        value = value.clone()
        value[..., inside] = theirs[..., inside]
        return value

    with hooked(layer.ln_1, True, stream), hooked(layer.attn.c_attn, False, one_slot):
        return run("gpt2", prompt(row)) - base


def test_edges_are_as_hooks_patch_them() -> None:
    shape = adapter("gpt2").shape
    with Exact():
        session = session_of("gpt2")
        whole = exact(session, shape, asked("exact", "edges"))
        placed = exact(session, shape, asked("exact", "edges", by_position=True), whole.units[::3])
        for number, unit in enumerate(whole.units):
            found = edge_by_hooks(unit, None, 0)
            assert whole.values[number, 0] == pytest.approx(found, abs=1e-9), unit
        for number, unit in enumerate(placed.units):
            at = number % int(LENGTHS[1])
            found = edge_by_hooks(unit, at, 1)
            assert placed.values[number, at, 1] == pytest.approx(found, abs=1e-9), unit


def test_units_are_what_the_language_spells() -> None:
    layout = Layout(adapter("gpt2").shape)
    program, faults = load_program(
        "units.circuit",
        """
path a = through(a1.h0@[2])
path b = through(m0)
path c = through(m0.n3)
path d = a0.h1 -[k]-> a1.h0
path e = m0@[1] -> logits
path f = input -> m1
""",
    )
    assert not faults, faults
    resolver = Resolver(program, layout.shape)
    places = {
        "a": (ScoredUnit(sender="a1.h0"), 2),
        "b": (ScoredUnit(sender="m0"), None),
        "c": (ScoredUnit(sender="m0.n3"), None),
        "d": (ScoredUnit(sender="a0.h1", receiver="a1.h0", slot="k"), None),
        "e": (ScoredUnit(sender="m0", receiver="logits"), 1),
        "f": (ScoredUnit(sender="input", receiver="m1"), None),
    }
    session = session_of("gpt2", task=make_task((5, 4, 5)))
    for name, place in places.items():
        spelled = resolver.path_set(program.paths[name].path)
        ours = paths_of([place], layout, session.tasks["t"])
        with Exact():
            assert np.array_equal(effect_of(session, ours), effect_of(session, spelled))


@pytest.mark.parametrize("treated", [ZERO, MEAN, RESAMPLE])
def test_treated_values_of_every_kind(treated: Any) -> None:
    """Where one edge is all that an input reads, or all that a node's output does, they agree."""
    shape = adapter("gpt2").shape
    session = session_of("gpt2", treated)
    with Exact():
        nodes = exact(session, shape, asked("exact", treated=treated))
        edges = exact(session, shape, asked("exact", "edges", treated=treated))
    assert nodes.values.shape == (len(node_units(shape)), TASK.n_rows)
    by_unit = dict(zip(nodes.units, nodes.values, strict=True))
    by_edge = dict(zip(edges.units, edges.values, strict=True))
    # The first layer's head reads `input` alone: its one edge is its whole input.
    for slot in "qkv":
        slot_of = by_unit[ScoredUnit(receiver="a0.h0", slot=slot)]
        edge = by_edge[ScoredUnit(sender="input", receiver="a0.h0", slot=slot)]
        assert np.allclose(slot_of, edge, atol=1e-12)
    # Nothing stands between the last MLP and the logits: its one edge is its whole output.
    out = by_edge[ScoredUnit(sender="m1", receiver="logits")]
    assert np.allclose(by_unit[ScoredUnit(sender="m1")], out, atol=1e-12)


def test_units_that_the_model_lacks_are_refused() -> None:
    layout, task = Layout(adapter("gpt2").shape), TASK
    for unit, why in (
        (ScoredUnit(sender="a7.h0"), "no node"),
        (ScoredUnit(sender="m0.n99"), "no neuron"),
        (ScoredUnit(receiver="m0", slot="q"), "no input"),
        (ScoredUnit(sender="m1", receiver="a0.h0", slot="q"), "does not read"),
    ):
        with pytest.raises(ValueError, match=why):
            paths_of([(unit, None)], layout, task)


def test_the_bound_runs_random_subsets() -> None:
    shape = adapter("gpt2").shape
    rest = [(unit, None) for unit in node_units(shape)]
    session = session_of("gpt2")
    with Exact():
        found = bound_unverified(session, shape, asked("exact"), rest, confidence=0.9, share=0.5)
        again = bound_unverified(session, shape, asked("exact"), rest, confidence=0.9, share=0.5)
        alone = exact(session, shape, asked("exact")).values.mean(axis=1)
    assert found == again
    assert found.units == len(rest) and found.subsets == 40
    assert found.bound is not None and 0 < found.bound < 4 * np.abs(alone).max()
    wanted = subset_requests(rest, asked("exact"), shape, TASK, confidence=0.9, share=0.5)
    assert len({run for run, _ in wanted}) == 41


def test_units_at_several_tokens_are_the_union_of_each() -> None:
    """However places are joined into sets of tokens, and also where a prompt lacks some."""
    shape = adapter("gpt2").shape
    layout, task = Layout(shape), TASK
    units = (
        ScoredUnit(sender="a0.h0"), ScoredUnit(sender="m0"), ScoredUnit(receiver="a1.h0", slot="k"),
        ScoredUnit(sender="m0", receiver="a1.h0", slot="k"), ScoredUnit(sender="m0.n2"),
        ScoredUnit(sender="input", receiver="m1"),
    )  # fmt: skip
    places = [(unit, at) for n, unit in enumerate(units) for at in range(n % 2, 5, 1 + n % 3)]
    session = session_of("gpt2")
    singly = reduce(union, (paths_of([place], layout, task) for place in places))
    with Exact():
        together = effect_of(session, paths_of(places, layout, task))
        assert np.allclose(together, effect_of(session, singly), atol=1e-12)
    assert np.abs(together).min() > 0


def test_of_one_unit_the_bound_is_its_effect() -> None:
    shape, unit = adapter("gpt2").shape, ScoredUnit(sender="a1.h1")
    session = session_of("gpt2")
    with Exact():
        found = bound_unverified(session, shape, asked("exact"), [(unit, None)], share=0.5)
        alone = exact(session, shape, asked("exact"), [unit]).values.mean()
    assert found.bound == pytest.approx(abs(alone), abs=1e-9)


def test_no_run_is_made_for_a_bound_that_cannot_be() -> None:
    session = session_of("gpt2")
    rest = [(ScoredUnit(sender="a1.h1"), None)]
    few = bound_unverified(session, adapter("gpt2").shape, asked("exact"), rest, subsets=50)
    assert few.bound is None and "subsets are enough" in few.why and not session.plans
    none = bound_unverified(session, adapter("gpt2").shape, asked("exact"), [], verified=9)
    assert none.bound == 0.0 and none.units == 0 and none.verified == 9
    assert str(none) == "every unit was patched alone"
