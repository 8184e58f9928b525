"""Small models' graphs and scores for the tests of discovery."""

from __future__ import annotations

import numpy as np

from pathdsl.graph.model.components import Layout, bits
from pathdsl.graph.model.shape import ModelShape
from pathdsl.score.attribution import Scored, ScoredUnit
from pathdsl.score.kept.file import Kept


def layout_of(
    layers: int = 2, heads: int = 2, *, parallel: bool = False, mlp: bool = True
) -> Layout:
    """The graph of a small model."""
    return Layout(
        ModelShape(
            family="gpt2", n_layers=layers, n_heads=heads, d_model=8, d_head=4, d_mlp=32,
            d_vocab=50, n_positions=64, has_mlp=mlp, parallel=parallel,
        )
    )  # fmt: skip


def edges_of(layout: Layout) -> tuple[ScoredUnit, ...]:
    """All edges of a model, in the order of its graph."""
    return tuple(
        ScoredUnit(sender=layout.label(u), receiver=layout.label(v), slot=slot or "")
        for v in range(len(layout.components))
        for slot in layout.slots_of(v)
        for u in bits(layout.senders_of[v])
    )


def scored_of(layout: Layout, rows: int = 6, seed: int = 0) -> Scored:
    """Scores of all edges, normal numbers."""
    units = edges_of(layout)
    return Scored(units=units, values=np.random.default_rng(seed).normal(size=(len(units), rows)))


def kept_of(scored: Scored) -> Kept:
    """Scores with what a file says of them."""
    rows = scored.values.shape[-1]
    return Kept(
        scored=scored,
        rows=tuple(f"{row:064x}" for row in range(rows)),
        clusters=tuple(range(rows)),
        of="edges",
        method="eap",
        steps=0,
        rule="",
        metric="LD",
        metric_unit="logits",
        treated="resample",
        task="t",
        model="sha256:00",
        data="sha256:11",
        version="0.1.0",
    )
