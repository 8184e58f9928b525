"""Whatever a file holds, reading it ends in a circuit or in a stated reason."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from pathdsl.discover.imported import Cut, Draft, choose, draft_text, layout_for, shape_of_file
from pathdsl.engine.load.tensors import read_tensors
from pathdsl.graph.formats.circuit import UnusableFile
from pathdsl.graph.formats.content import content_of, is_archive
from pathdsl.graph.formats.records import read_content
from tests.formats.test_read import SAME
from tests.formats.test_refused import FEATURE, TRACED, graph, saved
from tests.formats.test_round_trip import DRAFT

TRACE = {**TRACED, "nodes": [FEATURE, {**FEATURE, "node_id": "E_1_0", "feature_type": "embedding"}],
         "links": [{"source": "E_1_0", "target": "0_7_2", "weight": 1.0}]}  # fmt: skip
SAMPLES: dict[str, object] = {**SAME, "attribution-graph": TRACE, "names": ["A0.1", "MLP 3"]}
ODD: tuple[Any, ...] = (
    None, True, -1, 3, 1e308, float("nan"), float("-inf"), 10**200, "", "a0.h1", "m99999", "x" * 99,
    "a0.h9999999", "\u202e", [], {}, [[]], [None], {"score": 1}, [1, 2, 3, 4],
    "blocks.9.hook_resid_pre",
)  # fmt: skip
CUTS = (
    Cut(top=None, threshold=None, signed=False, level=None, nan=None),
    Cut(top=2, threshold=None, signed=True, level=None, nan="first"),
    Cut(top=0.5, threshold=None, signed=False, level="nodes", nan="last"),
    Cut(top=None, threshold=0.1, signed=False, level=None, nan=None),
)


def reads(data: bytes, draft: Draft = DRAFT) -> int:
    """How many of the cuts give a text; raises what is no stated reason."""
    done = 0
    for cut in CUTS:
        try:
            content = read_tensors(data) if is_archive(data) else content_of(data)
            circuit = read_content(content)
            layout = layout_for(circuit, shape_of_file(circuit))
            text, _ = draft_text(circuit, choose(circuit, layout, cut), layout, draft)
            done += text.startswith("#")
        except UnusableFile as error:
            assert error.code.startswith("PD") and str(error)
    return done


def spoilt(value: Any, source: random.Random) -> Any:
    """The value with one part replaced, left out or doubled."""
    if isinstance(value, dict) and value and source.random() < 0.9:
        key = source.choice(sorted(value))
        made = {**value, key: spoilt(value[key], source)}
        if source.random() < 0.1:
            del made[key]
        return made
    if isinstance(value, list) and value and source.random() < 0.9:
        at = source.randrange(len(value))
        again = [spoilt(value[at], source)] * source.choice((1, 1, 1, 0, 2))
        return [*value[:at], *again, *value[at + 1 :]]
    return source.choice(ODD)


@pytest.mark.parametrize("name", SAMPLES)
def test_spoilt_texts(name: str) -> None:
    source = random.Random(name)
    sample = SAMPLES[name]
    text = sample if isinstance(sample, str) else json.dumps(sample)
    assert reads(text.encode())
    for _ in range(150):
        if isinstance(sample, str) or source.random() < 0.4:
            data = bytearray(text.encode())
            for _ in range(source.choice((1, 1, 2, 5))):
                at = source.randrange(len(data) + 1)
                data[at : at + source.choice((0, 1, 4, 30))] = source.choice(
                    (b"", b"\x00", b"\xff", b"{", b"]", b'"', b"-->", b"<", b"9" * 40, b"(", b":")
                )
            reads(bytes(data))
        else:
            reads(json.dumps(spoilt(sample, source)).encode())


def test_spoilt_tensors() -> None:
    source = random.Random(0)
    whole = saved(graph())
    assert reads(whole)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(source.choice((1, 3))):
            at = source.randrange(len(data))
            data[at] = source.randrange(256)
        reads(bytes(data[: source.choice((len(data), len(data), at + 1))]))
    for key in graph():
        for odd in ODD:
            reads(saved({**graph(), key: odd}))
