"""Measures of components in mixed runs, against the literal tree's own copies below `logits`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pathdsl.engine.run.runner import Settings, execute
from pathdsl.errors import EngineError
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.readout import Measure
from pathdsl.score.metrics import compile_metric
from tests import seeds as counts
from tests.engine import test_families_tree
from tests.engine.family_cases import Exact
from tests.engine.test_against_tree import opened
from tests.engine.tree_cases import REFERENCE, Opened, position_mask
from tests.oracle.cases import oracle_logits
from tests.oracle.graph import LOGITS, PlaceNode
from tests.oracle.tree import Array, Weights, forward_of, plain_values

EXACT = 1e-9
TOKEN = 3


class Heard:
    """The parts of a model, which keep what `logits` is sent and with which norms it is read."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts
        self.sent: Mapping[PlaceNode, Array] = {}
        self.like: Mapping[PlaceNode, Array] | None = None
        self.read: tuple[Array, Array | None] | None = None
        self.fresh = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts, name)

    def stream(
        self,
        receiver: PlaceNode,
        values: Mapping[PlaceNode, Array],
        like: Mapping[PlaceNode, Array] | None = None,
    ) -> Array:
        """As the parts do; the first call for `logits` is the one with its own values."""
        if receiver[0] == LOGITS[0] and self.fresh:
            self.sent, self.like, self.fresh = dict(values), like, False
        return self.parts.stream(receiver, values, like)  # type: ignore[no-any-return]

    def logits(self, stream: Array, like: Array | None = None) -> Array:
        """As the parts do."""
        self.read = stream, like
        return self.parts.logits(stream, like)  # type: ignore[no-any-return]

    def write(self, node: PlaceNode) -> Array:
        """What a head, an MLP with its neurons, or the input adds to the last stream."""
        return written(self.parts, self.sent, self.like, node)

    def added(self, write: Array) -> float:
        """What a part of the last stream adds to a token's logit, before any cap."""
        assert self.read is not None
        stream, like = self.read
        norm = self.parts.final_norm
        scale = stream if like is None else like
        normed = norm(write, scale) - norm(np.zeros_like(write), scale)
        times = getattr(self.parts, "logit", 1.0)  # a GPT-2 scales no logits
        return float(times * (self.parts.unembedding[TOKEN] @ normed))


def written(
    parts: Any,
    values: Mapping[PlaceNode, Array],
    like: Mapping[PlaceNode, Array] | None,
    node: PlaceNode,
) -> Array:
    """A component's write beside these values; a norm behind attention has the scale of `like`."""
    if node[0] == "m":
        own = [values[n] for n in values if n[0] in "mn" and n[1] == node[1]]
        return np.sum(own, axis=0)  # type: ignore[no-any-return]
    if node[0] != "a":
        return values[node]
    if isinstance(parts, Weights):
        return parts.written(node, values[node])
    layer, size = parts.layers[node[1]], parts.size
    own = parts.residual * layer.out[:, node[2] * size : (node[2] + 1) * size] @ values[node]
    scale = parts._attention(node[1], values if like is None else like)
    return layer.after["a"](own, scale)  # type: ignore[no-any-return]


def measures(one: Opened) -> dict[tuple[str, str], Measure]:
    """(kind, node) to a measure of it, for every component and a set of several."""
    shape = one.adapter.shape
    nodes = ["input", "{input, a0.h0, a1}" if shape.n_layers > 1 else "{input, a0.h0}"]
    for layer in range(shape.n_layers):
        nodes += [f"a{layer}.h{head}" for head in range(shape.n_heads)]
        nodes += [f"m{layer}"] * shape.has_mlp
    texts = [
        (kind, node, f"{kind}({node}{rest})")
        for node in nodes
        for kind, rest in (("dla", f", t{TOKEN}"), ("norm", ""), ("cosine", ", reference"))
    ]
    program, faults = load_program(
        "m.circuit", "".join(f"metric x{i} = {text}\n" for i, (_, _, text) in enumerate(texts))
    )
    assert not faults, faults
    return {
        (kind, node): compile_metric(program.metrics[f"x{i}"]).measures[0]
        for i, (kind, node, _) in enumerate(texts)
    }


def members(one: Opened, node: str) -> list[PlaceNode]:
    """The components of a node of `measures`, as the tree names them."""
    shape = one.adapter.shape
    if node == "input":
        return [("input",)]
    if node[0] == "{":
        found: list[PlaceNode] = [("input",), ("a", 0, 0)]
        return found + [("a", 1, head) for head in range(shape.n_heads)] * (shape.n_layers > 1)
    if node[0] == "m":
        return [("m", int(node[1:]))]
    return [("a", *map(int, node[1:].split(".h")))]


def compare(one: Opened) -> None:
    """Every measure of the case's run and of the reference run, row by row."""
    parts = forward_of(one.adapter.model)
    asked = measures(one)
    run = one.run(one.treated)
    requests = [(r, m) for r in (run, REFERENCE) for m in asked.values()]
    valid, place = one.task.valid, position_mask(one.task)
    (plan,) = build_plans(one.adapter.shape, "t", valid, place, requests, frozen=one.frozen)
    try:
        values = execute(plan, one.task, one.adapter, Settings())
    except EngineError as error:
        assert "PD261" in str(error) and one.case.treated == "zero"
        keep = [(r, m) for r, m in requests if not m.run]
        (plan,) = build_plans(one.adapter.shape, "t", valid, place, keep, frozen=one.frozen)
        values = execute(plan, one.task, one.adapter, Settings())
    for row, prompt in enumerate(one.case.rows):
        heard = Heard(parts)
        oracle_logits(one.case, row, heard, frozen=one.frozen)
        plain = plain_values(parts, prompt.reference)
        last = {node: value[-1] for node, value in plain.items()}
        for (kind, node), measure in asked.items():
            if (0, measure) not in values:
                continue
            own = np.sum([heard.write(part) for part in members(one, node)], axis=0)
            other = np.sum([written(parts, last, None, p) for p in members(one, node)], axis=0)
            if kind == "dla":
                wanted = heard.added(own)
            elif kind == "norm":
                wanted = float(np.linalg.norm(own))
            else:
                wanted = float(own @ other / np.linalg.norm(own) / np.linalg.norm(other))
            np.testing.assert_allclose(
                values[0, measure][0, row], wanted, rtol=0, atol=EXACT,
                err_msg=f"{one.case.text}\n{kind}({node}) row {row}",
            )  # fmt: skip


def frozen(cases: Iterable[Opened]) -> Iterable[Opened]:
    return (replace(one, frozen=True) for one in cases)


@pytest.mark.parametrize("seeds", counts.chunks("tree"))
def test_measures_are_those_of_the_literal_tree(seeds: tuple[int, ...]) -> None:
    compared = 0
    for one in opened(seeds):
        compare(one)
        compared += 1
    assert compared * 2 >= len(seeds)


@pytest.mark.parametrize("seeds", counts.chunks("neurons"))
def test_an_mlp_of_which_neurons_are_told_apart_writes_as_a_whole(seeds: tuple[int, ...]) -> None:
    for one in opened(seeds):
        compare(one)


@pytest.mark.parametrize("seeds", counts.chunks("frozen"))
def test_the_same_with_frozen_norms(seeds: tuple[int, ...]) -> None:
    for one in frozen(opened(seeds)):
        compare(one)


LONG = ("llama_biases", "olmo", "phi3", "gemma3")


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.long) for name in LONG),
        "olmo2", "gemma2", "granite_swa", "qwen2_moe",
    ],
)  # fmt: skip
def test_the_same_on_other_block_structures(name: str) -> None:
    with Exact(), torch.no_grad():
        cases = list(test_families_tree.opened(name))
        for one in (*cases, *frozen(cases)):
            compare(one)
