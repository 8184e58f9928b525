"""The seeds that are tried by default hold every kind of case that the long run's hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import pytest

from pathdsl.errors import LanguageError
from tests.engine.test_neurons_tree import NEURONS
from tests.engine.tree_cases import open_case
from tests.oracle.strategies import RUN_KINDS, TREATED_KINDS, seeded_case
from tests.seeds import CASES

FORMS = {
    "within": r"within\(", "through": r"through\(", "edges": r"edges \{", "full": "full",
    "none": "none", "&": " & ", "-": " - ", "|": r" \| ", "a group": "^group ", "except": "except",
    "a named path": "^path (?!P|S)", "labels": r"-\[|~\[", "a relation": "prev|same|window|offset",
    "a repeated section": r"\)[*+?{]", "~>": r"~", "a position": "@", "a mark": r"\br\d",
    "a neuron": r"\.n[\d\[]",
}  # fmt: skip


def kinds(seeds: Iterable[int], neurons: tuple[int, ...]) -> set[str]:
    """What occurs in the cases of some seeds."""
    return set().union(*(of_case(seed, neurons) for seed in seeds))


@cache
def of_case(seed: int, neurons: tuple[int, ...]) -> set[str]:
    """What occurs in a case; nothing where the language refuses it."""
    case = seeded_case(seed, neurons)
    try:
        open_case(case)
    except LanguageError:
        return set()
    found = {name for name, form in FORMS.items() if re.search(form, case.text, re.MULTILINE)}
    found |= {f"{case.treated}, {case.run}", f"{case.config['n_layer']} layers"}
    found |= {f"{case.config['n_head']} heads"} | ({"a scope"} if case.scope else set())
    if len({len(row.reference) for row in case.rows}) > 1:
        found.add("lengths that differ")
    return found


@pytest.mark.parametrize("family", ["tree", "frozen", "neurons", "fused", "gated", "decoders"])
def test_default_seeds_hold_every_kind_of_case(family: str) -> None:
    cases, neurons = CASES[family], NEURONS if family == "neurons" else ()
    everything = kinds([*cases.default, *cases.more], neurons)
    assert kinds(cases.default, neurons) == everything
    assert {f"{t}, {r}" for t in TREATED_KINDS for r in RUN_KINDS} <= everything
