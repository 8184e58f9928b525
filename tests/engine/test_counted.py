"""What a plain forward pass is counted as: every matrix once for each token, and attention."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from pathdsl.engine.adapters import adapter_for
from pathdsl.graph.paths.pathset import FULL
from pathdsl.plan.liveness import cost
from tests.engine import decoder_cases, family_cases
from tests.plan.plan_cases import SHORT, plan, treat

CASES = {
    **{name: family_cases.make for name in family_cases.EVERY},
    **{name: decoder_cases.make for name in decoder_cases.SMALL},
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_matrix_of_a_layer_once_for_each_token(name: str) -> None:
    adapter = adapter_for(CASES[name](name))
    shape = adapter.shape
    matrices = sum(
        part.weight.numel()
        for block in adapter.blocks  # type: ignore[attr-defined]
        for part in block.modules()
        if isinstance(part, nn.Linear) or type(part).__name__.endswith("Router")
        if len(part.weight) > 1  # the gate of a shared expert is one number
    )
    if shape.mixture is not None:  # of the experts those that a token uses
        experts = shape.mixture.top * 3 * shape.mixture.width * shape.d_model
        matrices += experts * sum(shape.mixture.layers)
    lengths = SHORT.valid.sum(axis=1)
    tokens = int(lengths.sum())
    pairs = int((lengths * (lengths + 1) // 2).sum())
    attentive = sum(not shape.recurs(layer) for layer in range(shape.n_layers))
    attention = attentive * 2 * shape.n_heads * shape.d_head * pairs
    if (of := shape.recurrence) is not None:  # what stands between a DeltaNet's linear maps
        inside = of.macs(shape.d_model) - shape.d_model * (of.width + of.n_states * of.d_value)
        attention += sum(of.layers) * inside * tokens
    unembedding = tokens * shape.d_model * shape.d_vocab
    counted = cost(plan(shape, [treat(FULL)], SHORT), 4, 2)
    assert counted.plain_macs == tokens * matrices + attention + unembedding
    assert np.isfinite(counted.forwards)
