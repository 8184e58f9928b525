"""What kept scores say of stability: `pathdsl.score.kept.stability`, by its older place."""

from __future__ import annotations

from pathdsl.score.kept.stability import (
    Rivals,
    Stability,
    Subject,
    bootstrap_weights,
    circuits_of,
    jaccard,
    mean_jaccard,
    rivals,
    stability,
    steady,
    top_of_each,
)

__all__ = [
    "Rivals",
    "Stability",
    "Subject",
    "bootstrap_weights",
    "circuits_of",
    "jaccard",
    "mean_jaccard",
    "rivals",
    "stability",
    "steady",
    "top_of_each",
]
