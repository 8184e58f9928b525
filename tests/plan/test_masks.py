"""The algebra of interned masks and the shifts by distances, against plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pathdsl.plan.masks import FALSE, TRUE, MaskTable

EASY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def tables(draw: st.DrawFn) -> tuple[MaskTable, list[np.ndarray], list[int]]:
    """A table, three arrays inside the prompts, and their numbers."""
    lengths = np.array(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    valid = np.arange(lengths.max())[None, :] < lengths[:, None]
    table = MaskTable(valid)
    given_arrays = [draw(arrays(bool, valid.shape)) for _ in range(3)]
    return table, [a & valid for a in given_arrays], [table.intern(a) for a in given_arrays]


@EASY
@given(tables())
def test_operations_are_those_of_arrays(drawn: tuple) -> None:
    table, (x, y, _), (a, b, _) = drawn
    for number, wanted in [
        (a, x), (FALSE, x & False), (TRUE, table.valid), (table.both(a, b), x & y),
        (table.either(a, b), x | y), (table.without(a, b), x & ~y),
        (table.without(TRUE, a), table.valid & ~x),
    ]:  # fmt: skip
        np.testing.assert_array_equal(table.array(number), wanted)


@EASY
@given(tables())
def test_equal_contents_are_one_number(drawn: tuple) -> None:
    """So the laws of sets hold between numbers."""
    t, _, (a, b, c) = drawn
    assert t.both(a, b) == t.both(b, a) and t.either(a, b) == t.either(b, a)
    assert t.both(a, t.both(b, c)) == t.both(t.both(a, b), c)
    assert t.either(a, t.either(b, c)) == t.either(t.either(a, b), c)
    assert t.both(a, t.either(b, c)) == t.either(t.both(a, b), t.both(a, c))
    assert t.either(a, t.both(a, b)) == a == t.both(a, t.either(a, b))
    assert t.without(TRUE, t.both(a, b)) == t.either(t.without(TRUE, a), t.without(TRUE, b))
    assert t.without(a, b) == t.both(a, t.without(TRUE, b))
    assert t.either(t.both(a, b), t.without(a, b)) == a
    assert t.both(a, t.without(b, a)) == FALSE == t.without(a, TRUE) == t.both(a, FALSE)
    assert t.either(a, t.without(TRUE, a)) == TRUE == t.either(a, TRUE)
    assert t.without(a, FALSE) == t.either(a, FALSE) == t.both(a, TRUE) == a


@EASY
@given(tables(), st.data())
def test_shifts_by_brute_force(drawn: tuple, data: st.DataObject) -> None:
    table, (x, _, _), (a, b, _) = drawn
    distances = data.draw(arrays(bool, (table.n_pos,)))
    which = table.distance_set(distances)
    np.testing.assert_array_equal(table.distances(which), distances)
    sees, looked = np.zeros_like(x), np.zeros_like(x)
    for row, at in np.argwhere(table.valid):
        for distance in np.flatnonzero(distances):
            sees[row, at] |= at - distance >= 0 and x[row, at - distance]
            below = at + distance
            looked[row, at] |= below < table.n_pos and x[row, below]
    np.testing.assert_array_equal(table.array(table.seen_from(a, which)), sees)
    np.testing.assert_array_equal(table.array(table.looked_at_by(a, which)), looked)
    # Both are Boolean images, so they respect unions and are each other's converse.
    union = table.either(a, b)
    for shift in (table.seen_from, table.looked_at_by):
        assert shift(union, which) == table.either(shift(a, which), shift(b, which))
        assert shift(FALSE, which) == FALSE
    meets = table.both(table.seen_from(a, which), b) != FALSE
    assert meets == (table.both(a, table.looked_at_by(b, which)) != FALSE)


def test_padding_is_in_no_mask() -> None:
    valid = np.array([[True, True, True], [True, False, False]])
    table = MaskTable(valid)
    everything = table.intern(np.ones((2, 3), bool))
    assert everything == TRUE
    back = table.distance_set(np.array([False, True, False]))
    np.testing.assert_array_equal(
        table.array(table.seen_from(TRUE, back)), [[False, True, True], [False, False, False]]
    )
    np.testing.assert_array_equal(
        table.array(table.looked_at_by(TRUE, back)), [[True, True, False], [False, False, False]]
    )


def test_masks_cannot_be_written_to() -> None:
    table = MaskTable(np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="read-only"):
        table.array(TRUE)[0, 0] = False


def test_no_token_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        MaskTable(np.zeros((2, 3), bool))


def test_interning_leaves_the_callers_array_alone() -> None:
    table = MaskTable(np.ones((1, 3), bool))
    mine = np.array([[True, False, True]])
    number = table.intern(mine)
    mine[0, 1] = True
    np.testing.assert_array_equal(table.array(number), [[True, False, True]])


@EASY
@given(tables(), st.data())
def test_distances_to_later_positions_by_brute_force(drawn: tuple, data: st.DataObject) -> None:
    """Where attention is not causal the first bit of a set is the furthest position behind."""
    causal, (x, _, _), _ = drawn
    table = MaskTable(causal.valid, causal=False)
    n_pos = table.n_pos
    assert table.every_distance.tolist() == list(range(1 - n_pos, n_pos))
    bits = data.draw(arrays(bool, (2 * n_pos - 1,)))
    which, a = table.distance_set(bits), table.intern(x)
    sees, looked = np.zeros_like(x), np.zeros_like(x)
    for row, at in np.argwhere(table.valid):
        for distance in table.every_distance[bits]:
            for found, other in ((sees, at - distance), (looked, at + distance)):
                found[row, at] |= 0 <= other < n_pos and table.array(a)[row, other]
    np.testing.assert_array_equal(table.array(table.seen_from(a, which)), sees)
    np.testing.assert_array_equal(table.array(table.looked_at_by(a, which)), looked)
