"""JSON is read strictly: every text gives a value or a fault with its place, and nothing else."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pathdsl.strictjson import MOST_DIGITS, MOST_LEVELS, JsonFault, read_json
from tests import seeds as counts

NINES = "9" * 5000


@pytest.mark.parametrize(
    ("text", "why", "place"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key `a` stands twice in one object", (1, 18)),
        ('{"x": {"a": 1,\n"\\u0061": 2}}', "the key `a` stands twice in one object", (2, 1)),
        ('[{"a": {"b": 1}, "b": 1}, {"b": 1,\n "b": 1}]', "the key `b` stands", (2, 2)),
        (f'{{"id": {NINES}}}', "a number of 5,000 digits, at most 300 are read", (1, 8)),
        (f"[-{'1' * (MOST_DIGITS + 1)}]", "a number of 301 digits", (1, 2)),
        (f"[{NINES}.5]", "a number of 5,000 digits", (1, 2)),
        ("[0.1, 1e999]", "a number too large to be read", (1, 7)),
        ("[" * 100_000, "nested more than 100 levels deep", (1, 101)),
        ("[" * 100_000 + "]" * 100_000, "nested more than 100 levels deep", (1, 101)),
        ('{"a":' * 101 + "1" + "}" * 101, "nested more than 100 levels deep", (1, 501)),
        ('["\\ud83d\\ude00", "\\ud83d"]', "half of a surrogate pair", (1, 18)),
        ('{"\\udc00": 1}', "half of a surrogate pair", (1, 2)),
    ],
)
def test_what_is_unclear_is_refused_with_its_place(
    text: str, why: str, place: tuple[int, int]
) -> None:
    with pytest.raises(JsonFault, match=f"^{why}") as caught:
        read_json(text)
    assert (caught.value.line, caught.value.column) == place
    assert caught.value.refused


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", (1, 1)),
        ("{'a': 1}", (1, 2)),
        ('{"a": 1}\n{"a": 2}', (2, 1)),
        ("[Intro] 1e999 and 1e999", (1, 2)),  # text, whatever stands in it
        ("[1, 2", (1, 6)),
        ('"open', (1, 1)),
    ],
)
def test_what_is_no_json_says_where(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(JsonFault) as caught:
        read_json(text)
    assert (caught.value.line, caught.value.column) == place
    assert not caught.value.refused


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"a": {"a": 1}}, "b": {"a": 1}}',
        '{"a": "a\\": 1", "b": ":", "c": ["a", "a"]}',
        f"[{'9' * MOST_DIGITS}, -0.0, 1e-999, 1e308, 0.{'1' * 5000}]",
        f'["{NINES} 1e999", "\\ud83d\\ude00"]',
        "[" * MOST_LEVELS + "]" * MOST_LEVELS,
        json.dumps([[i] for i in range(1000)]),
    ],
)
def test_what_is_clear_is_read_as_json_loads_reads_it(text: str) -> None:
    assert read_json(text) == json.loads(text)


def test_bytes_are_utf_8_with_or_without_a_mark() -> None:
    assert read_json('\ufeff{"ä": 1}'.encode()) == {"ä": 1}
    with pytest.raises(JsonFault, match="not UTF-8") as caught:
        read_json(b'{"a": 1,\n "\xff": 2}')
    assert (caught.value.line, caught.value.column) == (2, 3)


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_lacks_are_refused_on_demand(written: str) -> None:
    (value,) = read_json(f"[{written}]")
    assert not math.isfinite(value)
    with pytest.raises(JsonFault, match=f"{written} is no number") as caught:
        read_json(f'["{written}", {written}]', finite=True)
    assert caught.value.column == len(written) + 6
    assert read_json(f'"{written}"', finite=True) == written


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("count", counts.samples("json"))
def test_any_text_gives_a_value_or_a_fault(count: int) -> None:
    settings(max_examples=count, deadline=None)(given(_VALUES, st.data())(gives_its_value))()


def gives_its_value(value: object, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    if all(math.isfinite(number) for number in _floats(value)):
        assert read_json(text) == value
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    broken = text[:start] + data.draw(st.text(st.sampled_from('{}[]",:\\u019ead '))) + text[end:]
    try:
        found = read_json(broken)
    except JsonFault as fault:
        assert fault.line >= 1
        assert fault.column >= 1
    else:
        assert json.dumps(found) == json.dumps(json.loads(broken))


def _floats(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for one in inner for number in _floats(one)]
