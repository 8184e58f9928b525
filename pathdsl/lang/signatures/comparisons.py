"""The comparisons of a `where`, `n_demos >= 4`: a record for each.

Unlike the relations of claims they are of one row, which meets a condition or does not.

Source: docs/language.md, Parts of a task.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import ge, gt, le, lt

from pathdsl.record import record

__all__ = ["COMPARISONS", "Comparison"]


@record
class Comparison:
    """What is known of a comparison.

    `asks`: whether the value is the one that is written, is not, or where it lies beside it;
    the last needs numbers. `holds`: of two numbers, whether the first stands in it to the second.
    """

    name: str
    asks: str
    holds: Callable[[float, float], bool]

    @property
    def ordered(self) -> bool:
        """Whether it needs numbers."""
        return self.asks == "order"


COMPARISONS = {
    one.name: one
    for one in (
        Comparison(name="==", asks="equal", holds=lambda a, b: a == b),
        Comparison(name="!=", asks="other", holds=lambda a, b: a != b),
        Comparison(name="<", asks="order", holds=lt),
        Comparison(name="<=", asks="order", holds=le),
        Comparison(name=">", asks="order", holds=gt),
        Comparison(name=">=", asks="order", holds=ge),
    )
}
