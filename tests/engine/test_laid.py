"""Tokens of head copies as rectangles: rows of one length lie as they are, others by index."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pathdsl.engine.run.attention import _laid
from pathdsl.engine.run.sites import Sites
from pathdsl.plan.masks import MaskTable


@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(1, 3),
    st.booleans(),
)
def test_a_token_stands_in_its_row(rows: list[list[bool]], n: int, between: bool) -> None:
    """`between`: copies whose tokens lie between those of other heads, as projections are."""
    inside = np.array(rows)
    masks = MaskTable(np.ones_like(inside))
    mask = masks.intern(inside)
    at = Sites(masks, 0, len(rows), torch.device("cpu")).padded(mask)
    tokens = int(inside.sum())
    if not tokens:
        return
    values = torch.arange(tokens * n * 2).reshape(tokens, n, 2)
    copies = [values[:, head] if between else values[:, head].clone() for head in range(n)]
    laid = _laid(copies, at)
    assert laid.is_contiguous() and laid.shape == (len(rows), n, at.index.shape[1], 2)
    places = [np.flatnonzero(row) for row in inside]
    token = 0
    for row, place in enumerate(places):
        for column in range(len(place)):
            assert torch.equal(laid[row, :, column], values[token])
            token += 1
    assert at.whole == (len({len(place) for place in places}) == 1)
