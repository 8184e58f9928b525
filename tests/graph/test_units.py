"""Units, groups, edges, circuit files and random controls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pathdsl.errors import LanguageError
from pathdsl.graph.controls.random_like import random_edges, renaming
from pathdsl.graph.files.eap import read_edges_file, unused_edges
from pathdsl.graph.model.components import Layout
from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.paths.pathset import NONE, intersection, minus
from tests.graph.helpers import GPT2, IOI_GROUPS, expression, path_set, resolver, shape


def labels(text: str, **options: object) -> list[str]:
    found, _ = path_set(text, before=IOI_GROUPS)
    return [u.label for u in found.units(expression(found, "p"), **options)]  # type: ignore[arg-type]


def test_order_of_first_mention() -> None:
    assert labels("within(name_mover, m[1..2], attn)") == [
        "a9.h9@END", "a9.h6@END", "a10.h0@END", "m1", "m2"
    ]  # fmt: skip


def test_only_units_on_a_path() -> None:
    assert labels("within(name_mover) - through(a9.h6)") == ["a9.h9@END", "a10.h0@END"]
    assert labels("{a5.h6, a3.h0} -> a5.h5 -> logits") == ["a3.h0", "a5.h5"]
    assert labels("full") == []


def test_groups() -> None:
    found = resolver(IOI_GROUPS)
    main = expression(found, "main")
    groups = dict(found.groups_of(main))
    assert list(groups) == [
        "duplicate_token", "previous_token", "induction", "s_inhibition", "name_mover"
    ]  # fmt: skip
    mover = groups["name_mover"][0]
    assert found.unit_group(main, mover) == groups["name_mover"]


def test_groups_of_a_control_are_renamed() -> None:
    found, _ = path_set("random_like(main, seed: 1)", before=IOI_GROUPS)
    expr = expression(found, "p")
    groups = dict(found.groups_of(expr))
    assert [len(g) for g in groups.values()] == [3, 2, 4, 4, 3]
    assert {u for g in groups.values() for u in g} == set(found.units(expr))


def test_knockouts() -> None:
    found = resolver(IOI_GROUPS)
    paths = found.path_set(expression(found, "nodes"))
    units = found.units(expression(found, "nodes"))
    assert found.through(()) == NONE
    left = minus(paths, found.through(units))
    assert found.node_set(left) == {f"m{i}" for i in range(12)}
    assert found.count(left) == 2**12


def test_edges_one_by_one() -> None:
    text = "edges { input -> a0.h1@S2; a0.h1@S2 -[v: prev]-> a1.h0 -> logits; m0 -> a1.h0 }"
    found, paths = path_set(text)
    units = found.edges(expression(found, "p"))
    assert [u.label for u in units] == [
        "input -[q]-> a0.h1@S2", "input -[k]-> a0.h1@S2", "input -[v]-> a0.h1@S2",
        "a0.h1@S2 -[v: prev]-> a1.h0", "a1.h0 -> logits",
    ]  # fmt: skip
    assert found.count(minus(paths, found.through(units[3:4]))) == 0
    assert found.count(intersection(paths, found.through(units[:1]))) == 1


def test_edges_need_a_listed_set() -> None:
    found, _ = path_set("main", before=IOI_GROUPS)
    with pytest.raises(LanguageError, match="PD222"):
        found.edges(expression(found, "p"))


# -------------------------------------------------------------------------------------------------
# Controls
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["main", "nodes", "detect"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_like_is_one_to_one(name: str, seed: int) -> None:
    found = resolver(IOI_GROUPS)
    expr = expression(found, name)
    paths = found.path_set(expr)
    mapping = renaming(found.sets, paths, seed)
    units = {u.component for u in found.units(expr)}
    assert set(mapping) == units
    assert len(set(mapping.values())) == len(units) and not units & set(mapping.values())
    for old, new in mapping.items():
        a, b = found.layout.components[old], found.layout.components[new]
        assert (a.kind, a.layer) == (b.kind, b.layer)
    assert found.count(found.expressions.random_like(expr, seed)) == found.count(paths)


def test_random_like_leaves_a_full_layer() -> None:
    found, paths = path_set("a0.h[0,1] -> a1.h[0,1] -> logits", shape(4, 2))
    expr = expression(found, "p")
    control = found.expressions.random_like(expr, 0)
    mapping = renaming(found.sets, paths, 0)
    assert len(set(mapping.values())) == 4
    assert found.count(control) > 0


def test_controls_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from tests.graph.helpers import *\n"
        "from pathdsl.graph.controls.random_like import *\n"
        "r = resolver(IOI_GROUPS)\n"
        "p = r.path_set(expression(r, 'nodes'))\n"
        "print(sorted(renaming(r.sets, p, 3).items()), hash_free(random_edges(r.sets, p, 60, 3)))\n"
    ).replace("hash_free", "repr")
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


@pytest.mark.parametrize("count", [None, 40])
def test_random_edges_match_classes(count: int | None) -> None:
    found = resolver(IOI_GROUPS)
    like = found.path_set(expression(found, "nodes"))
    drawn = random_edges(found.sets, like, count, 0)

    def classes(edges: set[tuple[int, int, str | None]]) -> Counter[tuple[str, str, str | None]]:
        kinds = [c.kind for c in found.layout.components]
        return Counter((kinds[u], kinds[v], slot) for u, v, slot in edges)

    before, after = found.sets.product(like).edges(), found.sets.product(drawn).edges()
    assert unused_edges(drawn, found.layout) == ()
    if count is None:
        assert classes(before) == classes(after)
        assert len(before & after) < len(before) / 2
    else:
        assert len(after) == count


@pytest.mark.parametrize(
    ("text", "of", "why"),
    [
        ("random_edges(like: full, seed: 0)", shape(1, 2), "are those of the set to imitate"),
        ("random_like(a0.h0 -> m0 -> logits, seed: 0)", shape(1, 4), "it names 1 MLP and .* no o"),
    ],
)
def test_a_set_is_no_control_of_itself(text: str, of: ModelShape, why: str) -> None:
    with pytest.raises(LanguageError, match=f"PD218.*{why}"):
        path_set(text, of)


# -------------------------------------------------------------------------------------------------
# Circuit files
# -------------------------------------------------------------------------------------------------

CFG = {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": False, "d_model": 768}
EDGES = {
    "input->a0.h1<v>": {"score": 0.5, "in_graph": True},
    "a0.h1->m0": {"score": -2.0, "in_graph": True},
    "m0->logits": {"score": 1.0, "in_graph": True},
    "input->logits": {"score": 1.0, "in_graph": False},
    "a5.h5->a8.h6<q>": {"score": float("nan"), "in_graph": True},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "found.json"
    path.write_text(json.dumps({"cfg": CFG, "nodes": {}, "edges": EDGES, **changes}))
    return path


def test_edges_in_graph(tmp_path: Path) -> None:
    layout = Layout(GPT2)
    listed = read_edges_file(written(tmp_path), layout)
    assert len(listed.edges) == 4
    assert unused_edges(listed, layout) == ("a5.h5->a8.h6<q>",)


def test_largest_edges(tmp_path: Path) -> None:
    found, _ = path_set("full")
    path = written(tmp_path)

    def names(top: int) -> set[str]:
        listed = read_edges_file(path, found.layout, top)
        return {f"{found.layout.label(e.receiver)}:{e.senders:b}" for e in listed.edges}

    assert names(1) == {f"m0:{1 << found.layout.head(0, 1):b}"}
    both = 1 << found.layout.mlp(0) | 1
    assert names(3) == names(1) | {f"logits:{both:b}"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfg": {**CFG, "n_layers": 24}}, "`n_layers` is 24 and this model's is 12"),
        ({"cfg": None}, "which model"),
        ({"edges": []}, "an object `edges`"),
        ({"edges": {"a9.h9->a5.h5<q>": {"score": 1, "in_graph": True}}}, "`a9.h9->a5.h5<q>`"),
        ({"edges": {"a0.h1->m3<q>": {"score": 1, "in_graph": True}}}, "`a0.h1->m3<q>`"),
        ({"edges": {"a0.h1->m3": {"score": 1}}}, "no `in_graph`"),
    ],
)  # fmt: skip
def test_unusable_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        read_edges_file(written(tmp_path, **changes), Layout(GPT2))


def test_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        read_edges_file(tmp_path / "found.pt", Layout(GPT2))


def test_describe() -> None:
    found = resolver(IOI_GROUPS)
    told = found.describe(expression(found, "nodes"), limit=2)
    assert told.n_nodes == 28 and told.n_paths == 100_705_239_040
    assert told.examples[0] == "input -> logits" and len(told.examples) == 2
