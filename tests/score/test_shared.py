"""Quantities that share their parts: sixty objects are sixty, and not 2^60 occurrences."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.score.lowering import Lowering
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Op,
    RowNumber,
    Scalar,
    Slice,
    aggregates,
    inner_first,
    mean,
    notes_of,
    rebuilt,
    remade,
    requests,
    sliced,
)
from pathdsl.score.statistics.moments import is_smooth
from tests.score.fakes import Algebra, world

DEPTH = 60


def doubled(label: str = "") -> Scalar:
    """2^60 times one mean, each object the sum of the one before twice."""
    node: Scalar = mean(RowNumber(value=1.0), "ioi", label)
    for _ in range(DEPTH):
        node = Op(op="+", args=(node, node))
    return node


def test_walks_take_each_object_once() -> None:
    node = doubled()
    assert len(list(inner_first(node))) == DEPTH + 1
    assert len(list(aggregates(node))) == 1
    assert is_smooth(node) and notes_of(node) == () and requests(node) == ()


def test_equal_quantities_are_equal_and_hash_alike() -> None:
    assert doubled("a") == doubled("b") and hash(doubled()) == hash(doubled())
    assert doubled() != Op(op="-", args=(doubled(), doubled()))
    assert len({doubled(), doubled("other words")}) == 1
    one, two = Constant(value=1.0), Constant(value=2.0)
    assert Op(op="-", args=(one, two)) != Op(op="-", args=(two, one))
    assert Op(op="max", args=(one,)) != Op(op="max", args=(one, two))


def test_what_is_remade_shares_as_before() -> None:
    part = sliced(doubled(), {"ioi": "template"}, "A")
    assert len(list(inner_first(part))) == DEPTH + 1
    (found,) = aggregates(part)
    assert found.part == Slice(field="template", value="A")


def test_what_does_not_change_is_itself() -> None:
    node = doubled()
    assert remade(node, rebuilt) is node

    def fixed(one: Scalar, args: Sequence[Scalar]) -> Scalar:
        return Constant(value=1.0) if isinstance(one, Aggregate) else rebuilt(one, args)

    other = remade(node, fixed)
    assert len(list(inner_first(other))) == DEPTH + 1 and list(aggregates(other)) == []


def test_sixty_lets_of_twice_the_last_are_evaluated() -> None:
    lets = "let x0 = mean(LD(reference))\n"
    lets += "".join(f"let x{i} = x{i - 1} + x{i - 1}\n" for i in range(1, DEPTH))
    program, resolver, session = world(lets)
    lowering = Lowering(program, resolver, session, Algebra())
    found = {}
    for i in (0, DEPTH - 1):
        steps = lowering.scalar(program.lets[f"x{i}"].expression, {})
        try:
            next(steps)
        except StopIteration as stop:
            found[i] = stop.value
    session.measures(requests(found[0]))
    evaluator = lowering.context.evaluator
    first, last = (evaluator.estimate(node) for node in found.values())
    assert last == first * 2.0 ** (DEPTH - 1) != 0
    assert evaluator.tolerance(found[DEPTH - 1]) > 0
    assert len(list(inner_first(found[DEPTH - 1]))) == DEPTH
