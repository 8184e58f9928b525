"""Random cases for the oracle and the engine: a model, prompts with positions, a path expression.

Example::

    @given(draw_case())
    def test_engine(case: Case) -> None: ...

    @pytest.mark.parametrize("seed", range(200))
    def test_engine_on_seeds(seed: int) -> None:
        case = seeded_case(seed)
"""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

from .cases import Case, CaseRow, RunKind, TreatedKind
from .writer import Chooser, Writer

VOCABULARY = 11
TREATED_KINDS: tuple[TreatedKind, ...] = ("paired", "mean", "zero")
RUN_KINDS: tuple[RunKind, ...] = ("keep", "treat")


def make_rows(choose: Chooser, longest: int) -> tuple[CaseRow, ...]:
    """Two or three prompts of 2 to `longest` tokens with positions `SA` and `SB` on each."""
    rows = []
    usual = choose.number(2, longest)
    for _ in range(choose.number(2, 3)):
        length = usual if choose.odds(60) else choose.number(2, longest)
        reference, treated = (
            tuple(choose.number(0, VOCABULARY - 1) for _ in range(length)) for _ in range(2)
        )
        several = choose.some(range(length), choose.number(1, 2))
        positions = {"SA": (choose.number(0, length - 1),), "SB": several}
        template = choose.pick(("x", "x", "y"))
        rows.append(
            CaseRow(reference=reference, treated=treated, positions=positions, template=template)
        )
    return tuple(rows)


def usable_places(rows: tuple[CaseRow, ...]) -> tuple[str, ...]:
    """Positions as they may be written: names, offsets and indices that stay inside every row."""
    found = ["END", "SA", "SB"]
    for name in ("SA", "SB"):
        if all(max(row.positions[name]) + 1 < len(row.reference) for row in rows):
            found.append(f"{name}+1")
        if all(min(row.positions[name]) > 0 for row in rows):
            found.append(f"{name}-1")
    shortest = min(len(row.reference) for row in rows)
    return (*found, *(f"[{index}]" for index in range(shortest)))


def make_case(choose: Chooser, neurons: tuple[int, ...] = ()) -> Case:
    """A whole case: model, rows, text with `path P`, treated kind, run kind, at times a scope.

    `neurons`: of every MLP, those that the text may name.
    """
    sizes = ((2, 1), (2, 1), (2, 2)) if neurons else ((2, 2), (2, 2), (2, 1), (3, 1))
    layers, heads = choose.pick(sizes)
    rows = make_rows(choose, 3 if layers == 3 or neurons else 4)
    writer = Writer(
        choose=choose, n_layers=layers, n_heads=heads, places=usable_places(rows), neurons=neurons
    )
    main = writer.expression(2)
    scope = writer.expression(1) if writer.odds(15) else None
    statements = [*writer.statements, f"path P = {main}"]
    if scope is not None:
        statements.append(f"path S = {scope}")
    treated: TreatedKind = choose.pick(TREATED_KINDS)
    run: RunKind = choose.pick(RUN_KINDS)
    return Case(
        config={
            "n_layer": layers,
            "n_head": heads,
            "n_embd": 8,
            "n_inner": 16,
            "vocab_size": VOCABULARY,
            "n_positions": 8,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
        seed=choose.number(0, 2**16),
        rows=rows,
        text="\n".join(statements) + "\n",
        treated=treated,
        run=run,
        scope=None if scope is None else "S",
    )


@st.composite
def draw_case(draw: Callable[[st.SearchStrategy[int]], int]) -> Case:
    """A case drawn by hypothesis: failing ones shrink."""
    return make_case(Chooser(lambda low, high: draw(st.integers(low, high))))


def seeded_case(seed: int, neurons: tuple[int, ...] = ()) -> Case:
    """The case of a seed: more varied than hypothesis draws, for long runs; does not shrink."""
    return make_case(Chooser(random.Random(seed).randint), neurons)
