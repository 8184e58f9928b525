"""Variants of a hypothesis: the same claims under other choices of method, as `.circuit` text.

Each axis is one choice that published circuits differ in: which paths a drawing stands for, the
treated value, positions, direction, norms, the order of averaging, the metric. A cell of the grid
is a file of its own, made by edits of the source text, so that a reader can run it alone.

Source: Miller, Chughtai and Saunders 2024 (arXiv:2407.08734), whose six-tuple of choices moves the
faithfulness of published circuits; Zhang and Nanda 2023 (arXiv:2309.16042).

    cells = one_at_a_time(base_of(program, ["sufficient"]))
    cells[0].name, cells[0].text
"""

from pathdsl.lang.vary.edits import flatten, relocate
from pathdsl.lang.vary.grid import (
    AXES,
    Cell,
    apply,
    base_of,
    one_at_a_time,
    product_of,
    product_size,
    silent,
    values_of,
)

__all__ = [
    "AXES", "Cell", "apply", "base_of", "flatten", "one_at_a_time", "product_of", "product_size",
    "relocate", "silent", "values_of",
]  # fmt: skip
