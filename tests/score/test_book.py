"""Numbers that were worked out before are those that would be worked out now."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq as scipys

from pathdsl.score.statistics.book import MOST, Book, key_of
from pathdsl.score.statistics.roots import brentq


@pytest.mark.parametrize("seed", range(200))
def test_the_root_is_scipys_to_the_last_bit(seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b, c, d = draw.normal(size=4) * 10.0 ** draw.integers(-3, 4, size=4)
    kinds = (
        lambda x: a * (x - b) + c * math.tanh(d * (x - b)),
        lambda x: (x - b) ** 3,
        lambda x: math.copysign(math.sqrt(abs(x - b)), x - b),
        lambda x: np.float64(np.floor(a * (x - b)) + 0.5),
        lambda x: math.expm1(min(x - b, 50.0)),
    )
    f = kinds[seed % len(kinds)]
    low, high = b - draw.exponential(5), b + draw.exponential(5)
    options = {"xtol": 1e-12 * draw.exponential(), "rtol": 1e-12}
    asked: list[tuple[list[float], object]] = []
    for solve in (scipys, brentq):
        calls: list[float] = []

        def told(x: float, calls: list[float] = calls) -> float:
            calls.append(float(x))
            return float(f(x))

        try:
            found: object = solve(told, low, high, **options)
        except (ValueError, RuntimeError) as error:
            found = type(error)
        asked.append((calls, found))
    assert asked[0] == asked[1]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="number"):
        brentq(lambda x: math.nan, 0.0, 1.0, xtol=1e-12, rtol=1e-12)


@given(st.dictionaries(st.text(max_size=4), st.lists(st.floats(), max_size=4), max_size=5))
def test_a_book_reads_back_bit_for_bit(numbers: dict[str, list[float]]) -> None:
    book = Book()
    for name, values in numbers.items():
        book.numbers("key", name, lambda values=values: values)
    again = Book.read(book.text())
    for name, values in numbers.items():
        found = again.numbers("key", name, lambda: [7.0])
        assert np.array(found).tobytes() == np.array(values, dtype=float).tobytes() or any(
            map(math.isnan, values)
        )
    assert not again.grown


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"b": [true]}}', "[" * 9999])
def test_another_text_is_an_empty_book(text: str) -> None:
    assert Book.read(text).text() == "{}"


def test_the_key_tells_apart() -> None:
    parts: list[list[object]] = [
        [1], [1.0], ["1"], [True], [[1]], [1, 2], [[1], 2], [[1, 2]], [np.array([1.0])],
        [np.array([1])], [np.array([[1.0]])], [np.array([1.0, 2.0])], ["1", "2"], ["12"], [],
    ]  # fmt: skip
    assert len({key_of(*part) for part in parts}) == len(parts)


def test_what_was_used_last_is_written_first() -> None:
    old = Book({f"old {i}": {"n": [1.0]} for i in range(MOST)})
    old.numbers("new", "n", lambda: [2.0])
    again = Book.read(old.text())
    assert again.numbers("new", "n", lambda: [0.0]) == (2.0,)


def test_a_book_with_too_few_numbers_is_made_anew() -> None:
    book = Book.read('{"key": {"ends": [1.0]}}')
    assert book.numbers("key", "ends", lambda: [1.0, 2.0], 2) == (1.0, 2.0) and book.grown
