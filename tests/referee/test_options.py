"""An option that is accepted says something: changing it changes what comes out, or it is refused.

Every option of every record has a pair of texts here that differ in it alone. A new option without
a pair fails `test_every_option_has_a_pair`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pathdsl import check
from pathdsl.discover.rows import RowRecord, record_text
from pathdsl.engine.load.source import source_of
from pathdsl.engine.load.weights import load_tokenizer, tokenizer_hash
from pathdsl.lang.program import load_program
from pathdsl.lang.signatures.calls import (
    CIRCUIT_FIELDS,
    CIRCUIT_FILES,
    DATA_FILES,
    KNOCKOUTS,
    LOADERS,
    METHODS,
    PATH_SETS,
    RUN_OPTIONS,
    SCORES,
    TASK_FIELDS,
)
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.treated import TREATED_KINDS
from pathdsl.tasks import get, names
from tests.score.test_scores import value

HEAD = """
circuit options "Every option" { language = 1 }
model mini = bundled("ioi-mini")
task ioi  { data = mini_ioi(take: 60, seed: 0); reference = prompt; treated = prompt_abc }
task more {
  data      = mini_ioi(take: 60, seed: 0, order: "abba")
  reference = prompt
  treated   = prompt_abc
}
group early        = { a0.h0, a0.h2, a1.h0 }
group movers @END  = { a3.h1, a3.h2 }
group first        = { a0.h0 }
path main   = within(early, movers, mlp)
path listed = edges { input -> a0.h0 -> {a3.h1, a2.h0} -> logits; input -> a3.h2 -> logits }
path part   = through(a3.h1)
metric LD on ioi: logits = logit(io) - logit(s)
metric PR on ioi: prob = prob(io)
metric AT on ioi @S2: prob = prob(io)
metric BOTH: logits = logit(io) - logit(s)
"""


class Pair(NamedTuple):
    """Two texts that differ in one option of one record."""

    record: str
    option: str
    first: str
    second: str


def _common(call: str, answer: str = "") -> Iterator[tuple[str, str, str]]:
    """The options that most scores take, on a call without its closing bracket."""
    yield "metric", f"{call}, metric: PR{answer})", f"{call}, metric: AT{answer})"
    both = f"{call}, metric: BOTH, task: {{}}{answer})"
    yield "task", both.format("ioi"), both.format("more")
    yield "scope", f"{call}, metric: LD{answer})", f"{call}, metric: LD, scope: part{answer})"


def _treated(call: str) -> tuple[str, str, str]:
    return "treated", f"{call}, metric: LD)", f"{call}, metric: LD, treated: zero)"


def pairs() -> Iterator[Pair]:
    """Pairs that stand as lets in one file."""
    for form in SCORES["faithfulness"].forms:
        call = f"faithfulness(main, as: {form.name}"
        for option, a, b in (*_common(call), _treated(call)):
            yield Pair("faithfulness", option, a, b)
    calls = {
        "completeness": "completeness(main, knockouts: groups",
        "minimality": "minimality(main",
        "effect": "effect(main",
        "accuracy": "accuracy(keep(main)",
        "broken": "broken(reference, treat(main)",
        "chance": "chance(effect(part), among: 9, by: walks",
    }
    for name, call in calls.items():
        for option, a, b in _common(call, ", answer: io" if SCORES[name].of == "run" else ""):
            yield Pair(name, option, a, b)
        if SCORES[name].of != "run":
            yield Pair(name, *_treated(call))
    for record, option, call, a, b in (
        ("attribution", "metric", "attribution(a3.h1, by: atp, metric: {})", "PR", "AT"),
        ("attribution", "task", "attribution(a3.h1, by: atp, metric: BOTH, task: {})",
         "ioi", "more"),
        ("attribution", "treated", "attribution(a3.h1, by: atp, metric: LD{})", "",
         ", treated: zero"),
        ("attribution", "by", "attribution(a3.h1, by: {}, metric: LD)", "atp", "exact"),
        ("attribution", "slot", "attribution(a3.h1, by: atp, metric: LD{})", "", ", slot: q"),
        ("attribution", "steps", "attribution(a3.h1 -> logits, by: {}, metric: LD)", "eap",
         "eap, steps: 4"),
        ("attribution", "rule", "attribution(a3.h1 -> logits, by: {}, metric: LD)", "eap",
         "eap, rule: left"),
        ("attribution", "as", "attribution(a3.h1, by: atp, metric: LD{})", "", ", as: rms"),
        ("attribution", "by", "attribution(r2 @S2, by: {}, metric: LD)", "atp", "exact"),
        ("attribution", "by", "attribution(m0 -[k]-> a3.h1 @END, by: {}, metric: LD)", "peap",
         "exact"),
        ("attribution", "by", "attribution(m0 -[k]-> a3.h1, by: {}, metric: LD)", "eap", "peap"),
        ("attribution", "steps", "attribution(a3.h1 -> logits, by: eap_gp, metric: LD{})", "",
         ", steps: 2"),
        ("attribution", "rule", "attribution(a3.h1 -> logits, by: eap_gp, metric: LD{})", "",
         ", rule: right"),
        ("attribution", "metric", "attribution(m0 -[k]-> a3.h1, by: peap, metric: {})", "PR", "AT"),
        ("attribution", "metric", "attribution(a3.h1 -> logits, by: ifr, task: ioi{})", "",
         ", metric: LD"),
        ("attribution", "treated", "attribution(a3.h1 -> logits, by: ifr, task: ioi{})", "",
         ", treated: zero"),
        ("attribution", "task", "attribution(a3.h1 -> logits, by: ifr, task: {})", "ioi", "more"),
        ("attribution", "as", "attribution(a3.h1 -> logits, by: ifr, task: ioi{})", "",
         ", as: rms"),
        ("faithfulness", "as", "faithfulness(main, metric: LD, {})", "as: ratio", "as: gap"),
        ("faithfulness", "by", "faithfulness(main, metric: LD, as: explained{})", "", ", by: kl"),
        ("faithfulness", "by", "faithfulness(main, metric: LD, as: unexplained{})", "", ", by: kl"),
        ("faithfulness", "among", "faithfulness(main, metric: LD, as: agreement{})",
         ", among: right, answer: io", ", among: wrong, answer: io"),
        ("faithfulness", "answer", "faithfulness(main, metric: LD, as: agreement, among: wrong{})",
         ", answer: io", ", answer: s"),
        ("completeness", "knockouts", "completeness(main, knockouts: {}, metric: LD)",
         "groups", "random(3, seed: 1)"),
        ("completeness", "as", "completeness(main, knockouts: groups, metric: LD{})",
         "", ", as: share"),
        ("completeness", "over", "completeness(main, knockouts: random(3), metric: LD{})",
         "", ", over: movers"),
        ("completeness", "over", "completeness(main, knockouts: groups, metric: LD{})",
         "", ", over: movers"),
        ("completeness", "split", "completeness(main, knockouts: greedy(2, runs: 1), metric: LD{})",
         "", ", split: false"),
        ("completeness", "split", "completeness(main, knockouts: groups, metric: LD{})",
         "", ", split: false"),
        ("minimality", "per", "minimality(main, metric: LD{})", "", ", per: group"),
        ("minimality", "knockouts", "minimality(main, metric: LD{})", "", ", knockouts: groups"),
        ("minimality", "given", "minimality(main, metric: LD{})",
         "", ", given: { a3.h1@END: a3.h2@END }"),
        ("minimality", "as", "minimality(main, metric: LD{})", "", ", as: share"),
        ("minimality", "over", "minimality(main, metric: LD{})", "", ", over: movers"),
        ("minimality", "over", "minimality(main, per: group, metric: LD{})", "", ", over: movers"),
        ("minimality", "over", "minimality(listed, per: edge, metric: LD{})",
         "", ", over: edges { input -> a3.h2 -> logits }"),
        ("minimality", "split", "minimality(main, knockouts: greedy(2), metric: LD{})",
         "", ", split: false"),
        ("minimality", "split", "minimality(main, metric: LD{})", "", ", split: false"),
        ("effect", "as", "effect(main, metric: LD{})", "", ", as: rms"),
        ("accuracy", "answer", "accuracy(keep(main), answer: {}, task: ioi)", "io", "s"),
        ("accuracy", "scope", "accuracy(treated, answer: io, task: ioi{})", "", ", scope: part"),
        ("broken", "answer", "broken(reference, treat(main), answer: {}, task: ioi)", "io", "s"),
        ("broken", "scope", "broken(reference, treated, answer: io, task: ioi{})",
         "", ", scope: part"),
        ("overlap", "over", "overlap(main, part{})", "", ", over: edge"),
        ("overlap", "as", "overlap(main, within(movers){})", "", ", as: of_second"),
        ("size", "in", "size(main, in: {})", "node", "edge"),
        ("chance", "metric", "chance(effect(part, metric: LD), among: 3{})", "", ", metric: PR"),
        ("chance", "among", "chance(effect(part, metric: LD), among: {})", "3", "5"),
        ("chance", "by", "chance(effect(part, metric: LD), among: 3{})", "", ", by: walks"),
        ("chance", "share", "chance(effect(part, metric: LD), among: 3{})", "", ", share: 60%"),
        ("chance", "side", "chance(effect(part, metric: LD), among: 3{})", "", ", side: below"),
        ("chance", "seed", "chance(effect(part, metric: LD), among: 9, by: walks{})",
         "", ", seed: 1"),
        ("chance", "over", "chance(effect(main, metric: LD), among: 9{})", "", ", over: first"),
        ("chance", "over", "chance(effect(part, metric: LD), by: walks{})", "", ", over: first"),
        ("sign_test", "side", "sign_test(LD(keep(main)) - LD(reference){})", "", ", side: above"),
        ("binomial_test", "share", "binomial_test(LD(keep(main)), share: {})", "20%", "80%"),
        ("binomial_test", "side", "binomial_test(LD(keep(main)), share: 50%{})",
         "", ", side: both"),
        ("independence_test", "draws", "independence_test(LD(keep(main)), LD(reference){})",
         "", ", draws: 50"),
        ("independence_test", "seed", "independence_test(LD(keep(main)), LD(reference){})",
         "", ", seed: 9"),
        ("random", "count", "completeness(main, knockouts: random({}), metric: LD)", "3", "9"),
        ("random", "seed", "completeness(main, knockouts: random(3, seed: {}), metric: LD)",
         "0", "1"),
        ("greedy", "steps", "completeness(main, knockouts: greedy({}), metric: LD)",
         "1, runs: 1, sample: 1", "6, runs: 1, sample: 1"),
        ("greedy", "seed", "completeness(main, knockouts: greedy(2, runs: 1, sample: 1, seed: {}), "
         "metric: LD)", "0", "1"),
        ("greedy", "runs", "completeness(main, knockouts: greedy(2, runs: {}, sample: 1), "
         "metric: LD)", "1", "4"),
        ("greedy", "sample", "completeness(main, knockouts: greedy(3, runs: 1, sample: {}), "
         "metric: LD)", "1", "9"),
        ("greedy", "by", "completeness(main, knockouts: greedy({}), metric: LD)",
         "3, runs: 1", "3, runs: 1, by: circuit"),
        ("random_like", "seed", "effect(random_like(main, seed: {}), metric: LD)", "0", "4"),
        ("random_like", "over", "effect(random_like(main{}), metric: LD)", "", ", over: first"),
        ("random_like", "over", "effect(random_like(main{}), metric: LD)",
         "", ", over: edges { input -> a3.h2 -> logits }"),
        ("random_like", "over", "effect(random_like(main{}), metric: LD)", "", ", over: a2.h1"),
        ("random_edges", "count", "effect(random_edges(like: listed{}), metric: LD)",
         "", ", count: 12"),
        ("random_edges", "like", "effect(random_edges(like: {}), metric: LD)", "listed", "part"),
        ("random_edges", "by", "effect(random_edges(like: listed{}), metric: LD)",
         "", ", by: walks"),
        ("random_edges", "seed", "effect(random_edges(like: listed{}), metric: LD)",
         "", ", seed: 2"),
        ("treat", "scope", "mean(LD(treat(main{})))", "", ", scope: part"),
        ("treat", "treated", "mean(LD(treat(main{})))", "", ", treated: zero"),
        ("mean", "by", "mean(LD(treat(main, treated: mean(prompt{}))))", "", ", by: template"),
        ("mean", "at", "mean(LD(treat(main, treated: mean(prompt{}))))", "", ", at: any"),
        ("noise", "draws", "mean(LD(treat(full, treated: noise(at: S1{}))))", "", ", draws: 2"),
        ("noise", "at", "mean(LD(treat(full, treated: noise(at: {}))))", "S1", "S2"),
        ("noise", "scale", "mean(LD(treat(full, treated: noise(at: S1{}))))", "", ", scale: 1.0"),
        ("noise", "seed", "mean(LD(treat(full, treated: noise(at: S1{}))))", "", ", seed: 3"),
        ("resample", "by", "mean(LD(treat(full, treated: resample(prompt{}, draws: 2))))",
         "", ", by: order"),
        ("resample", "draws", "mean(LD(treat(full, treated: resample(prompt, draws: {}))))",
         "1", "2"),
        ("resample", "seed", "mean(LD(treat(full, treated: resample(prompt, seed: {}))))",
         "0", "1"),
    ):  # fmt: skip
        yield Pair(record, option, call.replace("{}", a, 1), call.replace("{}", b, 1))


def task(fields: str, data: str = "mini_ioi(take: 24, seed: 0)") -> str:
    given = {"data": data, "reference": "prompt", "treated": "prompt_abc"}
    for line in filter(None, fields.split("; ")):
        name, text = line.split(" = ")
        given[name] = text
    return "{ " + "; ".join(f"{name} = {text}" for name, text in given.items()) + " }"


CSV, LINES = (f'{kind}("rows.{kind}"' for kind in ("csv", "jsonl"))


def _files(kind: str, file: str) -> Iterator[Pair]:
    yield Pair(kind, "take", task("", f"{file})"), task("", f"{file}, take: 19)"))
    yield Pair(
        kind, "seed", task("", f"{file}, take: 19)"), task("", f"{file}, take: 19, seed: 2)")
    )
    yield Pair(kind, "sha256", task("", f"{file})"), task("", f'{file}, sha256: "00")'))
    yield Pair(kind, "ids", task("", f"{file})"), task("", f"{file}, ids: [io])"))


TASKS = [
    Pair("task", "data", task(""), task("data = mini_ioi(take: 24, seed: 9)")),
    Pair("task", "reference", task(""), task("reference = prompt_swap")),
    Pair("task", "treated", task(""), task("treated = zero")),
    Pair("task", "positions", task(""), task("positions = [NOWHERE]")),
    Pair("task", "cluster", task(""), task("cluster = order")),
    Pair("task", "split_by", task(""), task("split_by = order")),
    Pair("task", "layernorm", task(""), task("layernorm = frozen")),
    Pair("task", "average", task(""), task("average = mean_of_ratios")),
    Pair("task", "bos", task(""), task("bos = false")),
    Pair("task", "chat", task(""), task("chat = true")),
    *_files("csv", CSV),
    *_files("jsonl", LINES),
    *_files("json", 'json("rows.json"'),
    Pair(
        "json",
        "texts",
        task("", 'json("rows.json")'),
        task("", 'json("rows.json", texts: [number])'),
    ),
    Pair("jsonl", "texts", task("", f"{LINES})"), task("", f"{LINES}, texts: [number])")),
]


def outcomes(folder: Path, lets: dict[str, str], head: str = HEAD) -> dict[str, object]:
    """What each let comes to, or why it is refused, by its name; in one check where they can."""
    found: dict[str, object] = {}
    while True:
        left = {name: text for name, text in lets.items() if name not in found}
        lines = [f"let {name} = {text}\n" for name, text in left.items()]
        path = folder / "options.circuit"
        path.write_text(head + "".join(lines), encoding="utf-8")
        result = check(path, store=None).to_dict()["files"][0]
        errors = [one for one in result["diagnostics"] if one["severity"] == "error"]
        for error in errors:
            at = (error["span"] or {}).get("line", 0) - head.count("\n") - 1
            assert 0 <= at < len(lines), error["message"]
            found[list(left)[at]] = ("refused", error["code"])
        if not errors:
            kept = ("estimate", "interval", "members", "notes", "n")
            told = [str(one["message"]) for one in result["diagnostics"] if one["code"] != "PD511"]
            for one in result["quantities"]:
                names = [f"`{one['name']}`" in text for text in told]
                found[one["name"]] = ([one[key] for key in kept], names)
            return found


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    lets = {
        f"{side}_{i}": text
        for i, pair in enumerate(pairs())
        for side, text in (("first", pair.first), ("second", pair.second))
    }
    return outcomes(tmp_path_factory.mktemp("options"), lets)


def said(pair: Pair) -> str:
    return f"{pair.record} {pair.option} {pair.second}"


@pytest.mark.parametrize(("index", "pair"), list(enumerate(pairs())), ids=map(said, pairs()))
def test_an_option_of_a_quantity(index: int, pair: Pair, scored: dict[str, object]) -> None:
    first, second = scored[f"first_{index}"], scored[f"second_{index}"]
    assert first[0] != "refused", first  # type: ignore[index]
    assert first != second


# -------------------------------------------------------------------------------------------------
# Tasks and files
# -------------------------------------------------------------------------------------------------

REST = """
circuit options "Every option" {{ language = 1; {circuit} }}
model mini = bundled("ioi-mini"{loader})
task ioi {task}
path main = within(a0.h0, a3.h1, a3.h2, mlp)
metric LD: logits = logit({answer}) - logit(s)
let kept = faithfulness(main)
claim enough: faithfulness(main) >= 1% at 95% confidence{method}
"""
PLAIN = {"circuit": "", "loader": "", "task": task(""), "answer": "io", "method": ""}


def came(folder: Path, **given: str) -> object:
    """What a file comes to, without what is said of how."""
    rows = get("mini_ioi").rows(take=24, seed=0)
    for row in rows:
        row["number"] = 7
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "rows.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for row in rows:
            table.writerow({k: json.dumps(v) if k == "spans" else v for k, v in row.items()})
    path = folder / "rest.circuit"
    path.write_text(REST.format(**{**PLAIN, **given}), encoding="utf-8")
    result = check(path, store=None).to_dict()["files"][0]
    told = [(d["code"], d["message"]) for d in result["diagnostics"]]
    return told, result["quantities"], result["claims"], result.get("cited")


@pytest.mark.parametrize("pair", TASKS, ids=said)
def test_an_option_of_a_task(pair: Pair, tmp_path: Path) -> None:
    answer = "number" if pair.option == "texts" else "io"
    first, second = (came(tmp_path, task=text, answer=answer) for text in pair[2:])
    assert first != second


METHOD_PAIRS = [
    Pair("bootstrap", "draws", " by bootstrap(500)", " by bootstrap(5000)"),
    Pair("bootstrap", "seed", " by bootstrap(500, seed: 0)", " by bootstrap(500, seed: 4)"),
]
LOADER_PAIRS = [
    Pair("bundled", "dtype", "", ", dtype: float64"),
]


@pytest.mark.parametrize("pair", METHOD_PAIRS, ids=said)
def test_an_option_of_a_method(pair: Pair, tmp_path: Path) -> None:
    assert came(tmp_path, method=pair.first) != came(tmp_path, method=pair.second)


@pytest.mark.parametrize("pair", LOADER_PAIRS, ids=said)
def test_an_option_of_a_loader(pair: Pair, tmp_path: Path) -> None:
    assert came(tmp_path, loader=pair.first) != came(tmp_path, loader=pair.second)


@pytest.mark.parametrize("name", [n for n in names() if "mini" in n or n in ("ioi", "induction")])
def test_an_argument_of_a_generator(name: str) -> None:
    made = get(name)
    for one in made.parameters:
        values = [one.default, *one.choices]
        if one.kind == "int":
            values += [3 if one.name == "take" else one.default + 2 + 2 * one.odd]
        seen = []
        for given in values:
            arguments = {one.name: given}
            small = {} if one.name == "take" else {"take": 6}
            faults = made.faults(**small, **arguments)
            seen.append(faults or made.rows(**small, **arguments))
        assert any(other != seen[0] for other in seen[1:]), one.name


ELSEWHERE = {
    ("cpr", "metric"), ("cpr", "task"), ("cpr", "scope"), ("cpr", "rank"), ("cpr", "treated"),
    ("cmd", "metric"), ("cmd", "task"), ("cmd", "scope"), ("cmd", "rank"), ("cmd", "treated"),
    # tests/graph/test_circuit_files.py
    ("edges", "top"), ("edges", "rank"), ("nodes", "top"), ("nodes", "rank"),
    # tests/score/test_stability.py
    ("stability", "size"), ("stability", "rank"), ("stability", "draws"), ("stability", "seed"),
    ("stability", "task"), ("stability", "select"),
    # tests/engine/test_sources.py
    *(("parquet", name) for name in ("sha256", "take", "seed", "ids", "texts")),
    *(("dataset", name) for name in ("sha256", "take", "seed", "ids", "texts")),
    ("dataset", "split"), ("dataset", "revision"), ("dataset", "config"),
    ("csv", "texts"), ("task", "tokens"),  # tests/engine/test_readings.py
    ("task", "routing"),  # tests/checking/test_mixtures.py
    ("task", "answers"),  # tests/checking/test_whole_answers.py
    ("task", "model"), ("paths", "task"), ("size", "task"), ("overlap", "task"),  # test_models.py
    ("hf", "revision"), ("hf", "dtype"), ("folder", "dtype"),  # of the loader, as of `bundled`
}  # fmt: skip
"""Options that are tried in another way."""


def test_every_option_has_a_pair() -> None:
    tried = {
        (pair.record, pair.option) for pair in [*pairs(), *TASKS, *METHOD_PAIRS, *LOADER_PAIRS]
    }
    kinds = {k.name: k.signature for k in TREATED_KINDS.values() if k.signature is not None}
    records = {
        **SCORES,
        **P_VALUES,
        **KNOCKOUTS,
        **PATH_SETS,
        **CIRCUIT_FILES,
        **METHODS,
        **LOADERS,
        **DATA_FILES,
    }
    declared = {
        (name, parameter.name)
        for name, record in {**records, **kinds, "treat": RUN_OPTIONS}.items()
        for parameter in record.parameters
        if not (parameter.by_place and parameter.required)
    }
    declared |= {("task", name) for name in TASK_FIELDS}
    assert declared - tried - ELSEWHERE == set()
    assert tried - declared == set()
    assert not tried & ELSEWHERE


@pytest.mark.parametrize("name", ["cpr", "cmd"])
def test_an_option_of_an_area(name: str) -> None:
    call = f'{name}(edges("ranked.json"), rank: signed'
    plain = value(f"{call})")[0].estimate
    assert value(f"{call})".replace("signed", "absolute"))[0].estimate != plain
    assert value(f"{call}, scope: through(early))")[0].estimate != plain


@pytest.mark.parametrize("field", sorted({*CIRCUIT_FIELDS} - {"language", "needs", "discovered"}))
def test_a_field_of_the_circuit_is_shown(field: str, tmp_path: Path) -> None:
    given = "main" if field == "hypothesis" else '"10.1000/1"'
    path = tmp_path / "rest.circuit"
    shown = []
    for text in ("", f"{field} = {given}"):
        path.write_text(REST.format(**{**PLAIN, "circuit": text}), encoding="utf-8")
        shown.append(check(path, store=None).to_dict()["files"][0])
    assert shown[0] != shown[1]


def test_the_record_of_a_discovery_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "rest.circuit"
    path.write_text(REST.format(**PLAIN), encoding="utf-8")
    tokenizer = load_tokenizer(source_of(load_program(str(path))[0]))
    other = RowRecord(
        tokenizer=tokenizer_hash(tokenizer), references=("0" * 32,), pairs=("0" * 32,), lines=(),
        said={},
    )  # fmt: skip
    (tmp_path / "found.rows.json").write_text(record_text(other), encoding="utf-8")
    shown = [check(path, store=None).to_dict()["files"][0]["methodology"]]
    given = 'discovered = "found.rows.json"'
    path.write_text(REST.format(**{**PLAIN, "circuit": given}), encoding="utf-8")
    shown.append(check(path, store=None).to_dict()["files"][0]["methodology"])
    assert "discovered" not in shown[0]
    assert shown[1]["discovered"] == "found on 1 other rows, by found.rows.json"
