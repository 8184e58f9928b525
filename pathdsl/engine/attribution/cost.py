"""What an attribution weighs and costs, known from shapes alone; no torch here."""

from __future__ import annotations

from pathdsl.graph.model.shape import ModelShape

__all__ = ["CHUNK_TOKENS", "rows_per_chunk"]

CHUNK_TOKENS = 256
"""Tokens of one chunk at most, unless one prompt is longer."""


def rows_per_chunk(shape: ModelShape, n_pos: int, itemsize: int) -> int:
    """How many prompts go together."""
    return max(CHUNK_TOKENS // max(n_pos, 1), 1)
