"""How many random cases and samples the tests draw: the one place of these numbers.

`make test` draws the default ones; more come on top (cases) or in their place (samples) under
`make test-long`, marked `long`. docs/tests.md has the table. The default seeds of `CASES` are those
with few paths, chosen so that they hold every kind of case that all of them hold:
tests/oracle/test_reach.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True)
class Cases:
    """Seeded cases: `default`, and `every` one in the long run; up to `chunk` of them in a test."""

    what: str
    default: Sequence[int]
    every: Sequence[int]
    chunk: int

    @property
    def more(self) -> list[int]:
        """The seeds that only the long run tries."""
        return [seed for seed in self.every if seed not in self.default]


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of a simulation, or examples of hypothesis: so many, or so many in the long run."""

    what: str
    default: int
    long: int


CASES: Mapping[str, Cases] = {
    "tree": Cases(
        "the engine on GPT-2 against the literal tree",
        (2, 4, 5, 7, 13, 15, 16, 20, 22, 23, 24, 30,
         31, 34, 35, 36, 42, 44, 45, 47, 52, 55, 58, 59), range(60), 12,
    ),
    "frozen": Cases(
        "the same with frozen norms",
        (400, 412, 415, 416, 421, 423, 424, 425, 430, 431,
         434, 441, 442, 444, 448, 449, 450, 452, 454, 459), range(400, 460), 10,
    ),
    "neurons": Cases(
        "the same with neurons as nodes",
        (303, 306, 309, 310, 311, 317, 320, 325, 332, 334, 335, 336,
         339, 340, 342, 345, 352, 354, 363, 366, 369, 373, 375, 377), range(300, 380), 12,
    ),
    "fused": Cases(
        "the same with fused attention", (0, 2, 4, 7, 13, 14, 15, 16, 19, 23), range(24), 10
    ),
    "gated": Cases(
        "each family built like Llama against the tree, also with frozen norms",
        (200, 203, 206, 208, 209, 210, 211, 217), (*range(200, 213), 217), 8,
    ),
    "decoders": Cases(
        "GPT-Neo, GPT-J, GPT-NeoX and OPT against the tree, also with frozen norms",
        (300, 305, 307, 308, 312, 313, 316, 317, 319), range(300, 320), 11,
    ),
    "toys": Cases(
        "each variant of a toy model against the tree, also with frozen norms",
        (300, 307, 312, 316, 319), range(300, 320), 20,
    ),
    "encoders": Cases(
        "encoders, and OPT with norms behind its parts, against the tree",
        (0, 1, 3, 5, 7, 9, 13, 16, 20, 23), range(24), 10,
    ),
    "actions": Cases(
        "runs under several actions against the tree",
        [seed for seed in range(60, 90) if seed not in (61, 63, 65, 81, 83)], range(60, 90), 1,
    ),
    "carried": Cases(
        "what an intervention does by a path set, also with frozen norms",
        [seed for seed in range(100, 130) if seed not in (107, 112)], range(100, 130), 1,
    ),
    "held": Cases(
        "runs under actions with frozen norms",
        [seed for seed in range(200, 240) if seed not in (201, 202, 212, 226)], range(200, 240), 1,
    ),
    "broken": Cases("broken files at each boundary", range(5), range(12), 7),
}  # fmt: skip
SAMPLES: Mapping[str, Samples] = {
    "json": Samples("texts that JSON is read from", 80, 200),
    "shrinking": Samples("cases against the tree that hypothesis draws", 5, 15),
    "blocks": Samples("the same under drawn blocks", 5, 15),
    "meaning": Samples("drawn path sets that have a meaning", 4, 10),
    "ends": Samples("misses of each interval of docs/levels.md", 60, 250),
    "extremes": Samples("claims of extremes where nothing is there", 20, 60),
    "absolute": Samples("coverage of absolute values and extremes", 100, 250),
    "families": Samples("false verdicts in a family by Holm", 40, 80),
    "files": Samples("files on a model without effects", 4, 8),
    "halves": Samples("knockouts chosen on one half", 150, 500),
    "holm": Samples("false verdicts in a family of nulls", 100, 250),
    "bh": Samples("false verdicts by Benjamini and Hochberg", 100, 250),
    "equivalence": Samples("level and power of equivalence", 250, 800),
    "settled": Samples("samples that settle a claim", 150, 400),
    "emergence": Samples("emergences against their ends", 40, 200),
    "crossed": Samples("intervals over crossed rows", 300, 500),
    "correlated": Samples("correlations over prompts and members", 30, 150),
    "unverified": Samples("bounds on units that were not patched", 12, 100),
}


def chunks(family: str) -> list[object]:
    """Values of a parameter: tuples of seeds, those of the long run marked."""
    cases, found = CASES[family], []
    for seeds, marks in ((cases.default, ()), (cases.more, (pytest.mark.long,))):
        for start in range(0, len(seeds), cases.chunk):
            chunk = tuple(seeds[start : start + cases.chunk])
            found.append(pytest.param(chunk, marks=marks, id=f"{chunk[0]}-{chunk[-1]}"))
    return found


def samples(family: str) -> list[object]:
    """Values of a parameter: the number of samples, and that of the long run."""
    counts = SAMPLES[family]
    return [counts.default, pytest.param(counts.long, marks=pytest.mark.long)]
