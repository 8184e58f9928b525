"""Means at named places, and noise of several draws, against the literal tree and hooks.

On rows of different lengths, and with prompts in a column of lengths and positions of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pathdsl.engine.adapters import adapter_for
from pathdsl.engine.data.positions import position_mask
from pathdsl.errors import LanguageError, PlanError
from pathdsl.graph.paths.pathset import FULL, PathSet, Pos
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.graph.resolve.targets import Target
from pathdsl.lang.program import load_program
from pathdsl.plan.build import build_plans
from pathdsl.plan.runs import Action, Block, RunSpec
from pathdsl.plan.taskdata import Apart, TaskData
from pathdsl.plan.treated import EVERY, TreatedSpec
from tests.engine import test_families_tree as gated
from tests.engine import test_families_tree_b as blocks
from tests.engine.engine_cases import COLUMNS, NOISE, REFERENCE, TASK, logits, treat, values
from tests.engine.family_cases import Exact
from tests.engine.test_under_hooks import FAMILIES, Family, by_hooks, columns, edited, size_of
from tests.engine.tree_cases import Opened, open_case
from tests.engine.tree_cases import logits as run_plan
from tests.engine.under_cases import under
from tests.oracle.blocks import Blocks
from tests.oracle.cases import kept_predicate, parse_text
from tests.oracle.graph import neurons_of
from tests.oracle.strategies import seeded_case
from tests.oracle.tree import forward_of, plain_values, run

EXACT = 1e-9
END = Pos(name="END")


# ------------------------------------------------------------------------------- the literal tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A drawn mean on the rows of a case.

    `tokens`: of the column, row by row. `of_mean`, `given`: for each row the tokens of each place,
    in the column and in the reference prompt. `groups`: the group of each row.
    """

    spec: TreatedSpec
    task: TaskData
    tokens: list[list[int]]
    of_mean: list[list[list[int]]]
    given: list[list[list[int]]]
    groups: list[Hashable]


def draw(one: Opened, seed: int) -> Placed:
    """A mean at named places, or at any but some token ids, of a column of its own lengths."""
    rng = random.Random(seed)
    rows = one.case.rows
    tokens, where = [], []
    for _ in rows:
        ids = [rng.randrange(1, 11) for _ in range(rng.randint(2, 5))]
        tokens.append(ids)
        where.append({"SA": (rng.randrange(len(ids)),), "END": (len(ids) - 1,)})
    if rng.random() < 0.3:  # a column that goes with the reference prompts
        tokens = [list(row.treated) for row in rows]
        where = [{**row.positions, "END": (len(row.treated) - 1,)} for row in rows]
    places = [{**row.positions, "END": (len(row.reference) - 1,)} for row in rows]
    longest = max(map(len, tokens))
    ids_ = np.zeros((len(rows), longest), np.int64)
    for number, ids in enumerate(tokens):
        ids_[number, : len(ids)] = ids
    names = [n for n in ("SA", "END") if all(n in one_ for one_ in where)]
    at = [rng.choice(names)]
    other = next((n for n in names if n != at[0]), "")
    disjoint = all(not set(p[at[0]]) & set(p[other]) for p in [*places, *where]) if other else False
    at += [other] if disjoint else []
    by = rng.choice(["", "template", "id"])
    groups: list[Hashable] = [""] * len(rows)
    if by:
        groups = [row.template if by == "template" else n for n, row in enumerate(rows)]
    every = rng.random() < 0.35
    spec = TreatedSpec(
        kind="mean", column="own", by=by, at=(EVERY,) if every else tuple(Pos(name=n) for n in at)
    )
    task = replace(
        one.task,
        prompts={**one.task.prompts, "own": ids_},
        special=frozenset({0}) if every else frozenset(),
        apart={
            "own": Apart(
                lengths=np.array([len(ids) for ids in tokens]),
                positions={name: tuple(one_[name] for one_ in where) for name in names},
            )
        },
    )

    def ordinary(ids: Iterable[int]) -> list[list[int]]:
        return [[place for place, token in enumerate(ids) if token != 0]]

    if every:
        of_mean = [ordinary(ids) for ids in tokens]
        given = [ordinary(row.reference) for row in rows]
    else:
        of_mean = [[list(one_[n]) for n in at] for one_ in where]
        given = [[list(one_[n]) for n in at] for one_ in places]
    return Placed(spec=spec, task=task, tokens=tokens, of_mean=of_mean, given=given, groups=groups)


def from_tree(one: Opened, placed: Placed, parts: Any) -> np.ndarray:
    """(rows, vocabulary) logits: constants at the places, the reference's own values elsewhere."""
    case, neurons = one.case, neurons_of(parse_text(one.case.text))
    runs = [plain_values(parts, ids, neurons) for ids in placed.tokens]
    found = []
    for number, row in enumerate(case.rows):
        peers = [n for n, group in enumerate(placed.groups) if group == placed.groups[number]]
        constants = {k: v.copy() for k, v in plain_values(parts, row.reference, neurons).items()}
        for place, given in enumerate(placed.given[number]):
            for node, value in constants.items():
                read = [runs[n][node][token] for n in peers for token in placed.of_mean[n][place]]
                value[given] = np.mean(read, axis=0)
        found.append(
            run(parts, row.reference, constants, kept_predicate(case, number),
                len(row.reference) - 1, frozen=one.frozen, neurons=neurons)
        )  # fmt: skip
    return np.stack(found)


def by_engine(one: Opened, placed: Placed) -> np.ndarray:
    runs = [replace(one.run(t), treated=placed.spec) for t in (one.treated, FULL)]
    (plan,) = build_plans(
        one.adapter.shape, "t", placed.task.valid, position_mask(placed.task),
        [(run, m) for run in runs for m in COLUMNS], frozen=one.frozen,
    )  # fmt: skip
    return run_plan(plan, one.adapter, placed.task)[0]


def cases(name: str, seeds: Iterable[int]) -> Iterator[tuple[Opened, Any]]:
    """Drawn cases on a model of a family, with the tree's own parts of it."""
    if name == "gpt2":
        for seed in seeds:
            try:
                one = open_case(seeded_case(seed, (0, 3) if seed % 5 == 0 else ()))
            except LanguageError:
                continue
            yield one, forward_of(one.adapter.model)  # type: ignore[attr-defined]
    elif name in gated.ON_PATHS:
        yield from ((one, one.adapter.model) for one in gated.opened(name, seeds))  # type: ignore[attr-defined]
    else:
        for one in blocks.opened(name, seeds):
            yield one, Blocks.of(one.adapter.model)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "seeds"),
    [("gpt2", 14), ("llama", 8), ("gemma3", 8), ("gpt_neox_parallel", 8), ("opt", 4)],
)
def test_the_engine_is_the_literal_tree(name: str, seeds: int) -> None:
    compared = 0
    with Exact(), torch.no_grad():
        for seed, (one, parts) in enumerate(cases(name, range(700, 700 + seeds))):
            for frozen in (False, True):
                each = replace(one, frozen=frozen)
                placed = draw(each, seed)
                np.testing.assert_allclose(
                    by_engine(each, placed), from_tree(each, placed, forward_of(parts)),
                    rtol=0, atol=EXACT, err_msg=f"{placed.spec}\n{one.case.text}",
                )  # fmt: skip
            compared += 1
    assert compared * 2 >= seeds


# ------------------------------------------------------------------------------- hooks

AT_END = TreatedSpec(kind="mean", column="own", at=(END,))
AT_A = TreatedSpec(kind="mean", column="other", at=(Pos(name="A"),))
ANY = TreatedSpec(kind="mean", column="own", at=(EVERY,))
OWN_LENGTHS = (4, 2, 6, 3, 3, 1, 5)
_ids = np.random.default_rng(3).integers(1, 11, (7, 6)) * (
    np.arange(6) < np.array(OWN_LENGTHS)[:, None]
)
OWN = replace(
    TASK,
    prompts={**TASK.prompts, "own": _ids},
    special=frozenset({0}),
    apart={
        "own": Apart(
            lengths=np.array(OWN_LENGTHS),
            positions={"END": tuple((length - 1,) for length in OWN_LENGTHS)},
        )
    },
)


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    with Exact(), torch.no_grad():
        yield FAMILIES[request.param]()


def paths(family: Family, text: str) -> PathSet:
    program, faults = load_program("p.circuit", f"path p = {text}\n")
    assert not faults
    return Resolver(program, adapter_for(family.model).shape).path_set(program.paths["p"].path)


def found(family: Family, run: RunSpec) -> np.ndarray:
    out = values([run], task=OWN, adapter=adapter_for(family.model))  # type: ignore[arg-type]
    return np.stack([out[run, m] for m in COLUMNS], axis=-1)


def read(family: Family, module: Any, column: str, hooks: list[Any] = []) -> list[Tensor]:
    """What goes into a module, (pos, width) for each row of a column."""
    rows, kept = OWN.reading(column), []
    for row in range(OWN.n_rows):
        ids = torch.from_numpy(rows.prompts[column][row][: rows.lengths[row]])[None]
        with ExitStack() as stack:
            for hook in hooks:
                stack.enter_context(hook())
            stack.enter_context(edited(module, lambda x: kept.append(x[0]) or x, before=True))  # type: ignore[func-returns-value]
            family.model(ids)
    return kept


def put(places: Callable[[int], list[int]], value: Tensor) -> Callable[[int], Any]:
    def edit_of(row: int) -> Any:
        def edit(x: Tensor) -> Tensor:
            x = x.clone()
            x[:, places(row)] = value
            return x

        return edit

    return edit_of


def same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=EXACT)


def test_a_head_at_the_end_has_its_mean_over_rows_of_any_length(family: Family) -> None:
    size, writer = size_of(family), family.writer(family.layers[1])
    mean = torch.stack([z[-1] for z in read(family, writer, "own")]).mean(0)
    edit = put(lambda row: [int(TASK.lengths[row]) - 1], mean[size : 2 * size])
    wanted = by_hooks(
        family, lambda row: [edited(writer, columns(size, size, edit(row)), before=True)]
    )
    run = treat(paths(family, "through(a1.h1)"), AT_END)
    same(found(family, run)[0], wanted)  # elsewhere nothing is treated
    same(found(family, treat(paths(family, "through(a1.h1@END)"), AT_END))[0], wanted)


def test_one_vector_for_any_token(family: Family) -> None:
    size, writer = size_of(family), family.writer(family.layers[1])
    kept = read(family, writer, "own")
    mean = torch.cat(kept).mean(0)

    def ordinary(row: int) -> list[int]:
        ids = TASK.prompts["prompt"][row][: TASK.lengths[row]]
        return np.flatnonzero(ids != 0).tolist()

    edit = put(ordinary, mean[:size])
    wanted = by_hooks(
        family, lambda row: [edited(writer, columns(0, size, edit(row)), before=True)]
    )
    same(found(family, treat(paths(family, "through(a1.h0)"), ANY))[0], wanted)


def test_steering_by_a_difference_of_means_at_places(family: Family) -> None:
    """Of which one has no value where the other has one: there the other alone is added."""
    layer = family.layers[1]
    one = torch.stack([x[-1] for x in read(family, layer, "own")]).mean(0)
    other = torch.cat(
        [x[list(TASK.positions["A"][row])] for row, x in enumerate(read(family, layer, "other"))]
    ).mean(0)

    def edit_of(row: int) -> Any:
        def edit(x: Tensor) -> Tensor:
            x = x.clone()
            x[:, int(TASK.lengths[row]) - 1] += 2 * one
            x[:, list(TASK.positions["A"][row])] -= other
            return x

        return edit

    wanted = by_hooks(family, lambda row: [edited(layer, edit_of(row), before=True)])
    action = Action(
        verb="add", targets=(Target(kind="mark", layer=1),), terms=((2.0, AT_END), (-1.0, AT_A))
    )
    run = under(REFERENCE, (Block(name="b", actions=(action,)),))
    same(found(family, run)[0], wanted)


def test_set_to_a_mean_acts_at_its_places(family: Family) -> None:
    layer = family.layers[1]
    mean = torch.stack([x[-1] for x in read(family, layer, "own")]).mean(0)
    edit = put(lambda row: [int(TASK.lengths[row]) - 1], mean)
    wanted = by_hooks(family, lambda row: [edited(layer, edit(row), before=True)])
    action = Action(verb="set", targets=(Target(kind="mark", layer=1),), source=AT_END)
    run = under(REFERENCE, (Block(name="b", actions=(action,)),))
    same(found(family, run)[0], wanted)
    wrong = Target(kind="mark", layer=1, at=Pos(index=0))
    off = replace(action, targets=(wrong,), source=AT_A)
    values([under(REFERENCE, (Block(name="b", actions=(off,)),))], task=OWN)  # on some rows it is A
    never = tuple((int(n) - 1,) for n in TASK.lengths)
    task = replace(OWN, positions={**OWN.positions, "A": never})
    with pytest.raises(PlanError, match=r"has no value at `\[0\]`") as raised:
        values([under(REFERENCE, (Block(name="b", actions=(off,)),))], task=task)
    assert raised.value.diagnostics[0].code == "PD369"


def test_a_mean_under_an_intervention_is_one_of_its_runs(family: Family) -> None:
    """And where it has no place, the reference run's under it."""
    size, first = size_of(family), family.writer(family.layers[0])
    writer = family.writer(family.layers[1])

    def scaled() -> Any:
        return edited(first, columns(size, size, lambda x: -2 * x), before=True)

    kept = read(family, writer, "other", [scaled])
    places = [list(TASK.positions["A"][row]) for row in range(TASK.n_rows)]
    mean = torch.cat([z[places[row]] for row, z in enumerate(kept)]).mean(0)
    edit = put(lambda row: places[row], mean[:size])
    wanted = by_hooks(
        family,
        lambda row: [scaled(), edited(writer, columns(0, size, edit(row)), before=True)],
    )
    action = Action(verb="scale", targets=(Target(kind="head", layer=0, head=1),), number=-2.0)
    run = treat(paths(family, "through(a1.h0)"), AT_A)
    same(found(family, under(run, (Block(name="b", actions=(action,)),)))[0], wanted)


# ------------------------------------------------------------------------------- laws


def test_where_the_end_has_no_mean_the_treated_run_is_the_reference_run() -> None:
    task: TaskData = replace(OWN, positions={**OWN.positions, "A": ((0,),) * 7})
    task = replace(task, lengths=np.maximum(task.lengths, 2))
    run = RunSpec(task="t", kind="treated", treated=AT_A)
    out = values([run, REFERENCE], task=task)
    for measure in COLUMNS:
        assert (out[run, measure] == out[REFERENCE, measure]).all()


def test_a_mean_over_every_row_alone_is_a_paired_prompt_at_its_places() -> None:
    """A head's own value on the paired prompt, at the places, by the paired treated value."""
    own = TreatedSpec(kind="mean", column="other", by="id", at=(END,))
    one = logits(treat(_end(), own), task=TASK)
    same(one, logits(treat(_end()), task=TASK))


def _end() -> PathSet:
    from tests.engine.test_under_hooks import gpt2

    return paths(gpt2(), "through(a1.h0@END)")


@pytest.mark.parametrize("name", ["q", "c", "v", "e", "b"])
def test_the_first_draw_of_noise_is_the_noise_of_one_draw(name: str) -> None:
    several = logits(treat(name, replace(NOISE, draws=3)))
    assert several.shape[0] == 3
    assert (several[0] == logits(treat(name, NOISE))[0]).all()
    assert (several[1] != several[0]).any()
    assert (logits(treat(name, replace(NOISE, draws=2))) == several[:2]).all()
