"""`pathdsl diff`: two circuits beside one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pathdsl import check
from pathdsl.cli import main as cli
from pathdsl.report.data.result import schema

Capture = pytest.CaptureFixture[str]

QUERY = """circuit query "The query decides" { language = 1; hypothesis = asks }
model toy = bundled("induction-2l")
task copy {
  data      = induction(take: 60, seed: 0, length: 16)
  reference = prompt
  treated   = prompt_other
}
group part = { a1.h2 }
path asks = input -[q]-> part -> logits
metric LD: logits = logit(answer) - logit(wrong)
"""
KEY = """circuit key "The key decides" { language = 1; hypothesis = asks }
model m = bundled("induction-2l")
task t {
  data      = induction(seed: 0, length: 16, take: 40)
  reference = prompt
  treated   = prompt_other
  positions = [FIRST_A, FIRST_B]
}
group part @FIRST_B = { a0.h1 }
path asks  = input@FIRST_A -[v]-> part -[k]-> a1.h2@END -> logits
path other = input -[q]-> a1.h2 -> logits
metric X on t: logits = logit(answer) - logit(wrong)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.circuit").write_text(QUERY)
    Path("b.circuit").write_text(KEY)


def run(*arguments: str) -> int:
    return cli._run(["diff", "--no-cache", "-q", *arguments], False)


def found(capsys: Capture, *arguments: str, code: int = 0) -> Any:
    assert run("--format", "json", *(arguments or ("a.circuit", "b.circuit"))) == code
    told = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("diff")).validate(told)
    return told


def changed(old: str, new: str, text: str = KEY) -> str:
    """The second file, changed; its name."""
    assert old in text
    Path("changed.circuit").write_text(text.replace(old, new))
    return "changed.circuit"


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema("diff"))


def test_what_the_graphs_share_is_what_overlap_says(capsys: Capture) -> None:
    told = found(capsys, "a.circuit", "b.circuit", "--graph-only")
    one = Path("both.circuit")
    words = [(over, of) for over in ("head", "node", "edge")
             for of in ("united", "of_first", "of_second", "of_smaller")]  # fmt: skip
    sets = KEY.replace("path asks ", "path key ").replace("path other", "path asks")
    one.write_text(
        sets.replace("hypothesis = asks", "hypothesis = key")
        + "".join(f"let {a}_{b} = overlap(asks, key, over: {a}, as: {b})\n" for a, b in words)
    )
    judged = check(one)
    values = {one.name: one.estimate for one in judged.quantities}
    shared = {one["over"]: one for one in told["graph"]["shared"]}
    assert {f"{a}_{b}": shared[a][b] for a, b in words} == values
    assert shared["edge"]["both"] == ["a1.h2->logits"]
    assert shared["edge"]["only_b"] == ["a0.h1->a1.h2<k>", "input->a0.h1<v>"]
    assert told["graph"]["equal_path_sets"] == [{"a": "asks", "b": "other"}]
    assert told["graph"]["relation"] == "apart" and told["scores"] == []


def test_scores_and_their_difference_are_those_of_a_file_with_both(capsys: Capture) -> None:
    told = found(capsys, "b.circuit", "a.circuit", "--score", "faithfulness", "--score", "effect")
    assert told["tasks"] == [{"a": "t", "b": "copy", "metrics": ["X"]}]
    Path("both.circuit").write_text(
        KEY + "let one = faithfulness(asks)\nlet two = faithfulness(other)\nlet d = one - two\n"
        "let e = effect(asks) - effect(other)\n"
    )
    values = {one.name: one for one in check("both.circuit").quantities}
    faithful, effect = told["scores"]
    for key, name in (("a", "one"), ("b", "two"), ("difference", "d")):
        assert faithful[key]["estimate"] == values[name].estimate
        assert faithful[key]["interval"] == list(values[name].interval or ())
    assert effect["difference"]["estimate"] == values["e"].estimate
    assert faithful["n"] == 40 and faithful["said"] == "alike" and faithful["rivals"]
    assert effect["said"] is None and effect["unit"] == "logits"  # a percentage says nothing there


def test_the_other_way_round_the_difference_has_the_other_sign(capsys: Capture) -> None:
    Path("b.circuit").write_text(KEY.replace("hypothesis = asks", "hypothesis = other"))
    whole = changed("path asks  = input", "path all = full\npath asks  = input")
    one = found(capsys, "b.circuit", f"{whole}:all")["scores"][0]
    two = found(capsys, f"{whole}:all", "b.circuit")["scores"][0]
    assert one["difference"]["estimate"] == -two["difference"]["estimate"]
    assert one["difference"]["estimate"] == pytest.approx(-0.5, abs=1e-6)
    assert one["said"] == two["said"] == "apart" and not one["rivals"]


def test_sets_that_score_as_nothing_are_no_rivals(capsys: Capture) -> None:
    more = "path one_way = through(a0.h0)\npath other_way = through(a1.h0)\nmetric"
    both = changed("metric", more)
    (row,) = found(capsys, f"{both}:one_way", f"{both}:other_way", "--within", "60%")["scores"]
    assert row["said"] == "alike" and not row["rivals"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("seed: 0", "seed: 1", "B's `t`: other data"),
        ("prompt_other", "zero", "B's `t`: another treated value: prompt_other and zero"),
        ("reference = prompt", "reference = prompt_other", "B's `t`: another `reference`"),
        ("logit(answer) - logit(wrong)", "logit(answer)", "no metric that serves it is the same"),
        ('"induction-2l"', '"induction-2l", dtype: float64', "another model, revision or dtype"),
    ],
)
def test_what_keeps_a_task_from_being_shared(old: str, new: str, why: str, capsys: Capture) -> None:
    told = found(capsys, "a.circuit", changed(old, new))
    assert told["scores"] == [] and why in told["not_measured"][0]
    assert told["graph"]["shared"][2]["both"] == ["a1.h2->logits"]


def test_a_task_that_is_asked_for_is_measured_whatever_b_has(capsys: Capture) -> None:
    other = changed("treated   = prompt_other", "treated   = zero")
    told = found(capsys, "a.circuit", f"{other}:other", "--task", "copy")
    assert told["tasks"] == [{"a": "copy", "b": None, "metrics": ["LD"]}]
    assert told["scores"][0]["difference"]["estimate"] == 0


def test_rows_of_a_file_are_known_by_where_they_lie(capsys: Capture) -> None:
    row = {"prompt": "a b a", "prompt_other": "c b a", "answer": "b", "wrong": "c", "id": "1"}
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    Path("in").mkdir()
    data = "induction(take: 60, seed: 0, length: 16)"
    Path("a.circuit").write_text(QUERY.replace(data, 'jsonl("rows.jsonl")'))
    Path("in/b.circuit").write_text(QUERY.replace(data, 'jsonl("../rows.jsonl", take: 1)'))
    told = found(capsys, "a.circuit", "in/b.circuit", code=2)  # its words are none of the model's
    assert told["tasks"][0]["b"] == "copy" and told["faults"]


def test_without_weights_the_graph_is_shown_and_the_scores_say_why(capsys: Capture) -> None:
    from pathdsl.models import bundled

    folder = bundled("induction-2l")
    Path("model").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).exists():
            Path("model", name).write_bytes((folder / name).read_bytes())
    for name, text in (("a", QUERY), ("b", KEY)):
        Path(f"{name}.circuit").write_text(text.replace('bundled("induction-2l")',
                                                        'folder("model")'))  # fmt: skip
    assert run("a.circuit", "b.circuit") == 3
    told = capsys.readouterr()
    assert "edges  2  3     1" in told.out and "no scores: [PD602]" in told.out
    assert "PD602" in told.err
    assert run("a.circuit", "b.circuit", "--graph-only") == 0


def test_models_with_other_nodes(capsys: Capture) -> None:
    other = changed('bundled("induction-2l")', 'bundled("ioi-mini")')
    assert run("a.circuit", other, "--graph-only") == 2
    told = capsys.readouterr().err
    assert "PD667" in told and "only one of them has `a0.h3`" in told


def test_models_with_the_same_nodes_are_compared_by_name(capsys: Capture) -> None:
    tuned = Path("tuned.circuit")
    tuned.write_text(
        'circuit x { language = 1; hypothesis = p }\nmodel m = bundled("ioi-mini-tuned")\n'
        "path p = through(a3.h1)\n"
    )
    Path("plain.circuit").write_text(tuned.read_text().replace("-tuned", ""))
    told = found(capsys, "plain.circuit", "tuned.circuit")
    assert told["graph"]["relation"] == "equal" and told["scores"] == []


def test_a_library_lies_on_the_graph_of_the_other_file(capsys: Capture) -> None:
    Path("lib.circuit").write_text("path p = through(a1.h2)\n")
    told = found(capsys, "a.circuit", "lib.circuit:p", "--graph-only")
    assert told["graph"]["relation"] == "within"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.circuit", "none.circuit"], 2, "PD009"),
        (["a.circuit", "b.circuit:othr"], 2, "did you mean `other`"),
        (["a.circuit", "b.circuit", "--task", "copi"], 2, "did you mean `copy`"),
        (["a.circuit", "b.circuit", "--score", "efect"], 2, "did you mean `effect`"),
        (["a.circuit", "b.circuit", "--score", "accuracy"], 2, "wanted one of faithfulness"),
        (["a.circuit", "b.circuit", "--within", "near"], 2, "wanted for example 5% or 0.2"),
        (["a.circuit", "b.circuit", "--within", "0"], 2, "wanted for example 5% or 0.2"),
        (["a.circuit", "b.circuit", "--model", "n=bundled:ioi-mini"], 2, "`m`, `toy`"),
        (["a.circuit"], 2, "Missing argument"),
    ],
)
def test_wrong_command_lines(arguments: list[str], code: int, said: str, capsys: Capture) -> None:
    assert run(*arguments) == code
    assert said in capsys.readouterr().err


def test_the_text_says_what_and_of_what(capsys: Capture) -> None:
    assert run("a.circuit", "b.circuit") == 0
    told = capsys.readouterr().out
    for line in (
        "  edges  2  3     1     25%       50%        33%",
        "  A and B have no path in common",
        "  task copy, B's `t`: 60 prompts; A's file takes 60, B's 40",
        "      rivals: A and B score alike, within 5% of one another, and have 50% of the",
        "  path sets that are the same in both files: asks = other",
    ):
        assert line in told
