"""Data files, generators and filters, and task statements as values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pathdsl.engine.data.build import (
    Filter,
    TaskSpec,
    load_rows,
    task_spec,
)
from pathdsl.errors import DataError
from pathdsl.graph.paths.pathset import Pos
from pathdsl.lang import ast
from pathdsl.lang.syntax.parse import parse
from pathdsl.plan.treated import TreatedSpec, treated_spec
from tests.engine.data_cases import (
    HERE,
    data,
    fails,
    ids,
    write,
)


# ------------------------------------------------------------------------------- files
def test_how_columns_are_read_is_part_of_the_data(tmp_path: Path) -> None:
    source = 'csv("rows.csv", take: 2, ids: [a, b], texts: [c])'
    text = f"task t {{ data = {source}; reference = p; tokens = continued }}"
    (statement,) = parse(text, "t.circuit")[0].statements
    assert isinstance(statement, ast.TaskDecl)
    found = task_spec(statement)
    assert (found.data.ids, found.data.texts, found.tokens) == (("a", "b"), ("c",), "continued")
    assert found.data.written == source
    fails(
        "PD327", tmp_path, replace(data("mini_ioi", ""), data=replace(found.data, name="mini_ioi"))
    )


@pytest.mark.parametrize(
    ("task", "overrides", "said"),
    [
        (data(take=20), {"take": 5}, 'jsonl("rows.jsonl", take: 5)'),
        (data(), {"take": 5}, 'jsonl("rows.jsonl", take: 5)'),
        (data(take=20, seed=1), {"seed": 3}, 'jsonl("rows.jsonl", take: 20, seed: 3)'),
        (data(), {"seed": 3}, 'jsonl("rows.jsonl")'),  # nothing is drawn
        (data("mini_ioi", "", take=8), {"take": 5}, "mini_ioi(take: 5)"),
        (data("mini_ioi", "", take=8), {"seed": 3}, "mini_ioi(take: 8, seed: 3)"),
    ],
)
def test_the_method_says_what_was_read(
    task: TaskSpec, overrides: dict[str, int], said: str, tmp_path: Path
) -> None:
    write(tmp_path, "".join(f'{{"prompt": "{i}"}}\n' for i in range(20)))
    loaded = load_rows(task, tmp_path, overrides)
    assert loaded.facts["data"] == said
    if "take" in overrides:
        assert len(loaded.rows) == 5


def test_jsonl(tmp_path: Path) -> None:
    digest = write(tmp_path, '\ufeff{"prompt": "a"}\r\n\n{"prompt": "b", "id": 7}\n')
    loaded = load_rows(data(sha256=digest[:4].upper()), tmp_path)
    assert loaded.rows == [{"prompt": "a", "id": "1"}, {"prompt": "b", "id": "7"}]
    assert loaded.facts["data_sha256"] == digest
    assert loaded.facts["data"].startswith('jsonl("rows.jsonl", sha256: ')


def test_bad_lines_are_all_reported(tmp_path: Path) -> None:
    write(tmp_path, '{"a": 1}\n{"a": \n[1]\n\n' + "[" * 100_000)
    said = fails("PD322", tmp_path, data())
    assert "line 2, column 7" in said
    assert "line 3 of `rows.jsonl` is not a JSON object" in said
    assert "line 5" in said


def test_hash(tmp_path: Path) -> None:
    digest = write(tmp_path, "{}\n")
    assert f'sha256: "{digest}"' in fails("PD321", tmp_path, data(sha256="0000"))
    assert "4 hexadecimal digits" in fails("PD321", tmp_path, data(sha256=digest[:3]))
    fails("PD321", tmp_path, data(sha256="wxyz"))


def test_no_file(tmp_path: Path) -> None:
    assert "nowhere.jsonl" in fails("PD320", tmp_path, data(path="nowhere.jsonl"))
    fails("PD320", tmp_path, data(path="."))
    fails("PD327", tmp_path, data(path=""))


def test_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, b'{"a": 1}\n{"a": "\xff"}\n')
    assert "line 2" in fails("PD323", tmp_path, data())


def test_empty_file(tmp_path: Path) -> None:
    write(tmp_path, "\n \n")
    fails("PD324", tmp_path, data())


def test_take(tmp_path: Path) -> None:
    write(tmp_path, "".join(f'{{"id": {i}}}\n' for i in range(20)))
    assert ids(tmp_path, data(take=3)) == ["0", "1", "2"]
    drawn = ids(tmp_path, data(take=6, seed=1))
    assert drawn == sorted(drawn, key=int)
    assert len(set(drawn)) == 6
    assert drawn == ids(tmp_path, data(take=6, seed=1))
    assert drawn != ids(tmp_path, data(take=6, seed=2))
    assert len(ids(tmp_path, data(take=6, seed=1), overrides={"take": 2})) == 2
    assert ids(tmp_path, data(take=6), overrides={"seed": 1}) == drawn
    assert "take: 20" in fails("PD325", tmp_path, data(take=21))
    fails("PD327", tmp_path, data(take=0, seed="x"))
    fails("PD327", tmp_path, data(take=True))
    fails("PD327", tmp_path, data(rows=1))


def test_csv(tmp_path: Path) -> None:
    text = 'prompt,io,positions,n\n"a, b", Mary,"{""S"": 1}",3\n[2],[5],{},4\n'
    write(tmp_path, text, "rows.csv")
    rows = load_rows(data("csv", "rows.csv"), tmp_path).rows
    assert rows == [
        {"prompt": "a, b", "io": " Mary", "positions": {"S": 1}, "n": "3", "id": "1"},
        {"prompt": [2], "io": [5], "positions": {}, "n": "4", "id": "2"},
    ]
    four = replace(data("csv", "rows.csv"), filters=(Filter(field="n", relation="==", value=4),))
    assert ids(tmp_path, four) == ["2"]
    write(tmp_path, "a,a\n1,2\n1\n", "rows.csv")
    said = fails("PD322", tmp_path, data("csv", "rows.csv"))
    assert "`a` twice" in said
    assert "line 3 has 1 cells" in said


def test_filters(tmp_path: Path) -> None:
    rows = [{"t": "x", "n": 1}, {"t": "y", "n": 2}, {"t": "x", "n": True}]
    write(tmp_path, "\n".join(json.dumps(row) for row in rows))

    def only(*filters: Filter) -> TaskSpec:
        return replace(data(), filters=filters)

    assert ids(tmp_path, only(Filter(field="t", relation="==", value="x"))) == ["1", "3"]
    assert ids(tmp_path, only(Filter(field="n", relation="==", value=1))) == ["1"]
    assert ids(tmp_path, only(Filter(field="n", relation="==", value=True))) == ["3"]
    both_ = only(
        Filter(field="t", relation="==", value="x"), Filter(field="n", relation="==", value=1)
    )
    assert ids(tmp_path, both_) == ["1"]
    none = only(Filter(field="t", relation="==", value="z"))
    assert 'no row meets `t == "z"`' in fails("PD324", tmp_path, none)
    assert "`u`" in fails("PD328", tmp_path, only(Filter(field="u", relation="==", value="z")))
    write(tmp_path, '{"id": "a"}\n{"id": "a"}')
    fails("PD339", tmp_path, data())


def test_generators(tmp_path: Path) -> None:
    pytest.importorskip("pathdsl.tasks")
    loaded = load_rows(data("ioi", "", take=4, seed=3), tmp_path)
    assert len(loaded.rows) == 4
    assert loaded.facts["data"] == "ioi(take: 4, seed: 3)"
    assert len(load_rows(data("ioi", "", take=4), tmp_path, {"take": 2, "seed": 9}).rows) == 2
    assert "`ioi`" in fails("PD326", tmp_path, data("no_such", ""))
    said = fails("PD327", tmp_path, data("ioi", "", take=-1, colour="red"))
    assert "`take` is -1" in said
    assert "no argument `colour`" in said
    fails("PD327", tmp_path, data("ioi", "a text"))


# ------------------------------------------------------------------------------- from the syntax


def name(text: str) -> ast.Name:
    return ast.Name(name=text, span=HERE)


def number(value: float, written: str = "") -> ast.Number:
    return ast.Number(value=value, integer=isinstance(value, int), written=written, span=HERE)


def call(function: str, *positional: ast.Expr, **options: ast.Expr) -> ast.Call:
    arguments = [ast.Argument(value=value, span=HERE) for value in positional]
    arguments += [ast.Argument(keyword=k, value=v, span=HERE) for k, v in options.items()]
    return ast.Call(name=function, arguments=tuple(arguments), span=HERE, name_span=HERE)


def decl(task: str = "ioi", **fields: ast.Expr) -> ast.TaskDecl:
    written = tuple(
        ast.Field(name=k, value=v, span=HERE, name_span=HERE) for k, v in fields.items()
    )
    return ast.TaskDecl(name=name(task), fields=written, span=HERE)


def where(task: str, base: str, field: str, value: ast.Expr) -> ast.TaskDecl:
    return ast.TaskDecl(
        name=name(task), base=name(base), where_field=name(field), where_value=value, span=HERE
    )


def test_task_spec() -> None:
    places = ast.ListValue(items=(name("IO"), name("S1")), span=HERE)
    base = decl(
        data=call("ioi", take=number(256), order=ast.String(value="abba", span=HERE)),
        reference=name("prompt"),
        treated=call("mean", name("prompt_abc"), by=name("template")),
        positions=places,
        cluster=name("doc"),
        bos=ast.Bool(value=False, span=HERE),
    )
    found = task_spec(base)
    assert found.data.written == 'ioi(take: 256, order: "abba")'
    assert found.treated == TreatedSpec(kind="mean", column="prompt_abc", by="template")
    assert (found.positions, found.cluster, found.bos) == (("IO", "S1"), "doc", False)
    assert (found.layernorm, found.average) == ("recompute", "ratio_of_means")
    one = where("abba", "ioi", "order", ast.String(value="abba", span=HERE))
    two = where("few", "abba", "n", number(3))
    filtered = task_spec(two, {"ioi": base, "abba": one, "few": two})
    assert filtered == replace(
        found,
        name="few",
        filters=(
            Filter(field="order", relation="==", value="abba"),
            Filter(field="n", relation="==", value=3),
        ),
    )


def test_treated_specs() -> None:
    at = ast.ListValue(items=(name("S1"), ast.Position(name="S1", offset=1, span=HERE)), span=HERE)
    noise = treated_spec(call("noise", at=at, scale=number(2.5), seed=number(4)))
    assert noise == TreatedSpec(
        kind="noise", at=(Pos(name="S1"), Pos(name="S1", offset=1)), scale=2.5, seed=4
    )
    assert treated_spec(call("noise", at=at)).scale == 3.0
    assert treated_spec(name("zero")) == TreatedSpec(kind="zero")
    assert treated_spec(name("other")) == TreatedSpec(kind="paired", column="other")
    assert treated_spec(call("resample", name("prompt"))) == TreatedSpec(
        kind="resample", column="prompt", draws=8
    )


@pytest.mark.parametrize("base", ["nowhere", "a"])
def test_a_task_made_from_none_or_from_itself(base: str) -> None:
    wrong = where("a", base, "x", number(1))
    with pytest.raises(DataError) as caught:
        task_spec(wrong, {"a": wrong})
    assert {d.code for d in caught.value.diagnostics} == {"PD345"}
    assert caught.value.diagnostics[0].span == HERE
