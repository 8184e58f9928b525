"""A report says what was judged: the path sets, the rows, the weights, the confidence, the rest.

Each file here misled a reader before: its verdict was right, and what it was a verdict on stood
nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pathdsl.checking.check import CheckOptions, FileOutcome, check_file
from pathdsl.checking.claimed import Claimed, claimed_sets
from pathdsl.checking.lock.file import LockFile
from pathdsl.checking.methodology import weights_sha256
from pathdsl.checking.prepare import resolver_of
from pathdsl.engine.store.store import Store
from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program, load_program
from pathdsl.report.annotate.findings import of_outcome
from pathdsl.report.annotate.github import GitHub
from pathdsl.report.annotate.junit import junit, suite
from pathdsl.report.annotate.sarif import Sarif
from pathdsl.report.content.file import FileContent
from pathdsl.report.data.read import NotAResult, read_result
from pathdsl.report.data.result import check_object, dump, file_object
from pathdsl.report.formats import Settings, write
from pathdsl.report.page.notebook import notebook
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from pathdsl.score.results import Verdict
from pathdsl.tasks import get
from tests.report.outcomes import claim

HEAD = """circuit movers "Two heads carry the name" {
  language   = 1
  hypothesis = movers_only
}

model mini = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 40, seed: 0)
  reference = prompt
  treated   = prompt_abc
}

group movers = { a3.h1, a3.h2 }
path movers_only = input ~> movers ~> logits
path main = movers_only | within({attn, mlp, except a2.h0})

metric LD: logits = logit(io) - logit(s)
"""
MISLED = (
    HEAD
    + """
let kept = faithfulness(main)
claim enough: kept >= 80% at 95% confidence "the two movers are the circuit"
claim sure:   faithfulness(main) >= 80% at 51% confidence
claim each for h in movers:
  mean(LD(reference) - LD(treat(through(h)))) > 1 at 95% confidence by holm()
claim control:
  faithfulness(random_like(movers_only, seed: 0)) >= 80% at 95% confidence expect refuted
"""
)


def checked(text: str, folder: Path, **options: Any) -> FileOutcome:
    path = folder / "x.circuit"
    path.write_text(text, encoding="utf-8")
    outcome = check_file(str(path), CheckOptions(**options))
    assert outcome.judgement is not None, [fault.message for fault in outcome.diagnostics]
    return outcome


def result_of(outcome: FileOutcome) -> dict[str, Any]:
    """What `check --format json` prints, held to its schema."""
    return dict(read_result(dump(check_object([file_object(outcome)], outcome.exit_code))))


def content_of_result(outcome: FileOutcome) -> FileContent:
    return FileContent(result_of(outcome)["files"][0], checked=True)


def everywhere(outcome: FileOutcome) -> dict[str, str]:
    """Every layout for readers, by its name."""
    result = result_of(outcome)
    found = {name: write(result, name, checked=True) for name in ("html", "md", "tex")}
    found["md"] = found["md"].replace("\\", "").replace("&gt;", ">")
    found["tex"] = found["tex"].replace("\\allowbreak{}", "").replace("\\ ", " ").replace("\\", "")
    return found | {"text": report(outcome, View()), "notebook": notebook(outcome)}


@pytest.fixture(scope="module")
def misled(tmp_path_factory: pytest.TempPathFactory) -> FileOutcome:
    return checked(MISLED, tmp_path_factory.mktemp("misled"))


# ------------------------------------------------------------------------------- path sets


def test_the_sets_of_claims_are_counted_and_defined(misled: FileOutcome) -> None:
    file = result_of(misled)["files"][0]
    sets = {one["name"]: one for one in file["path_sets"]}
    assert list(sets) == [
        "main", "through(a3.h1)", "through(a3.h2)", "random_like(movers_only, seed: 0)"
    ]  # fmt: skip
    main = sets["main"]
    assert main["definition"] == "movers_only | within({attn, mlp, except a2.h0})"
    assert [main[key] for key in ("nodes", "of_nodes", "edges", "of_edges")] == [20, 20, 471, 479]
    assert sets["through(a3.h1)"]["form"] == "through(h)"
    assert sets["through(a3.h1)"]["definition"] == ""
    of_claims = {one["name"]: one["path_sets"] for one in file["claims"]}
    assert of_claims["enough"] == of_claims["sure"] == [0]  # through a `let`, too
    assert of_claims["each[a3.h2]"] == [2]
    assert [one["name"] for one in file["made_of"]] == ["movers", "movers_only", "main"]


def test_every_layout_has_their_definition_and_size(misled: FileOutcome) -> None:
    for name, text in everywhere(misled).items():
        assert "20 of 20" in text and "471 of 479" in text, name
        assert "within({attn, mlp, except a2.h0})" in text.replace("\\", ""), name
        assert "through(h)" in text and "2 of them" in text, name
    said = content_of_result(misled).claims[0].about
    assert said == "main: 20 of 20 nodes, 471 of 479 edges"
    block = report(misled, View()).split("Path sets\n")[1].split("\n\n")[0]
    assert len(block.splitlines()) == 4, "a line for each, and one for a definition"


def test_what_is_drawn_is_what_is_claimed(misled: FileOutcome) -> None:
    file = result_of(misled)["files"][0]
    drawn = [(one["path"], one["claimed"]) for one in file["drawings"]]
    assert drawn == [("main", True), ("movers_only", False)]
    assert file["drawing"]["path"] == "main" and file["drawings_left_out"] == 0
    page = everywhere(misled)["html"]
    warned = page.index("No claim judged here is about it")
    first, second = (page.index(f">Circuit <code>{name}") for name in ("main", "movers_only"))
    assert first < second < warned


def test_many_claimed_sets_are_not_all_drawn(tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(8)]
    paths = "".join(f"path {name} = through(a{i // 4}.h{i % 4})\n" for i, name in enumerate(names))
    claims = "".join(f"claim c{name}: overlap({name}, {name}) >= 1\n" for name in names)
    made = checked(HEAD + paths + claims, tmp_path)
    file = result_of(made)["files"][0]
    assert [one["path"] for one in file["drawings"]] == [*names[:6], "movers_only"]
    assert file["drawings_left_out"] == 2
    assert "2 more of the claimed path sets are not drawn" in everywhere(made)["html"]


def test_a_result_that_does_not_hang_together_is_refused(misled: FileOutcome) -> None:
    result = result_of(misled)
    result["files"][0]["claims"][0]["path_sets"] = [99]
    with pytest.raises(NotAResult, match="path set that is not there"):
        read_result(json.dumps(result))


# ------------------------------------------------------------------------------- PD522


def sets_in(lines: str, head: str = HEAD) -> tuple[Claimed, list[Diagnostic]]:
    """The claimed sets of a file, without running it."""
    program, faults = load_program("x.circuit", head + lines)
    assert not faults, faults
    resolver = resolver_of(program, CheckOptions())
    made = [claim(name, Verdict.SUPPORTED) for name in members(program, resolver)]
    return claimed_sets(program, resolver, made)


def members(program: Program, resolver: Any) -> Sequence[str]:
    names = []
    for one in program.claims:
        stem = one.name.name
        inside = resolver.loop(one.loop) if one.loop is not None else ()
        names += [f"{stem}[{m.label}]" for m in inside] or [stem]
    return names


MOST = "within({attn, mlp, except a2.h0})"


@pytest.mark.parametrize(
    "lines",
    [
        "claim c: faithfulness(main) >= 80% at 95% confidence",
        "claim c: accuracy(keep(main), answer: io) >= 80% at 95% confidence",
        "let a = mean(LD(keep(main)))\nlet b = a / mean(LD(reference))\nclaim c: 80% <= b",
        "claim c: mean(LD(reference) - LD(keep(main))) <= 0.5 at 95% confidence",
        "claim c: 1 - mean(LD(keep(main))) / mean(LD(reference)) <= 20%",
        "claim c: faithfulness(main) <= 20% expect refuted",
        "claim c: mean(LD(treat(full - main))) / mean(LD(reference)) >= 80%",
        "claim c: completeness(main, knockouts: random(5, seed: 0)) <= 1",
        f"claim c: faithfulness(({MOST})) >= 80%",
        "claim c: faithfulness(main, scope: full) >= 80%",
        "claim c: faithfulness(full) >= 80%",
    ],
)
def test_a_kept_set_of_most_of_the_model_is_told(lines: str) -> None:
    _, told = sets_in(lines)
    assert [fault.code for fault in told] == ["PD522"]
    assert "most of the model" in told[0].message and told[0].span is not None


def test_members_of_one_loop_are_told_together() -> None:
    _, told = sets_in(
        "claim c for h in {a1, a2.h0}: faithfulness(within({attn, mlp, except h})) >= 80%"
    )
    assert [fault.code for fault in told] == ["PD522"]
    assert told[0].message.startswith("`within({attn, mlp, except a1.h0})` is most of the model")
    assert told[0].notes[0].startswith("so are `within({attn, mlp, except a1.h1})`, ")
    assert told[0].notes[0].endswith(" and 1 more")


def test_a_hypothesis_may_be_all_but_some_paths() -> None:
    head = HEAD.replace("input ~> movers ~> logits", "full - through(a2.h0)")
    assert [f.code for f in sets_in("claim c: faithfulness(movers_only) >= 80%", head)[1]] == [
        "PD522"
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "claim c: faithfulness(main) <= 20% at 95% confidence",
        "claim c: faithfulness(main) >= 80% expect refuted",
        "claim c: mean(LD(treat(main))) / mean(LD(reference)) <= 10%",
        "claim c: faithfulness(full - through(a2.h0)) >= 80%",
        "path rest = full - movers_only\nclaim c: mean(LD(keep(rest))) >= 0",
        "claim c: mean(LD(treat(full - movers_only))) / mean(LD(reference)) >= 80%",
        "claim c: faithfulness(random_like(main, seed: 0)) >= 80%",
        "claim c: chance(faithfulness(main), among: 10, seed: 0) <= 5%",
        "claim c: faithfulness(through(a0.h0)) >= 80%",
        "claim c: faithfulness(movers_only) >= 80%",
        "claim c: effect(main) >= 1",
        "claim c: overlap(main, movers_only) >= 10%",
        "claim c: faithfulness(main, scope: through(a0.h0)) >= 80%",
    ],
)
def test_other_uses_of_large_sets_are_left_alone(lines: str) -> None:
    assert sets_in(lines)[1] == []


@pytest.mark.parametrize("name", ["induction", "ioi", "wrong"])
def test_honest_files_are_not_warned_of(name: str) -> None:
    path = f"hypotheses/quickstart/{name}.circuit"
    _, faults = lint_file(path)
    assert not {"PD522", "PD523", "PD524"} & {fault.code for fault in faults}
    program, _ = load_program(path)
    resolver = resolver_of(program, CheckOptions())
    made = [claim(one, Verdict.SUPPORTED) for one in members(program, resolver)]
    assert claimed_sets(program, resolver, made)[1] == []


def test_the_sets_of_a_long_loop_are_named_and_not_all_counted() -> None:
    found, _ = sets_in("claim c for n in {attn, mlp, m0, a0}: effect(through(n)) > 0 by holm()")
    assert len(found.sets) == 20 and all(one.size is not None for one in found.sets)
    found, _ = sets_in("claim c for n in m0.n[0..39]: effect(through(n)) > 0 by holm()")
    counted = [one.size is not None for one in found.sets]
    assert len(counted) == 40 and counted == [True] * 24 + [False] * 16


def test_the_whole_model_is_all_of_its_nodes_and_edges() -> None:
    found, _ = sets_in("claim c: effect(full) >= 1\nclaim d: effect(none) >= 1")
    whole, nothing = (one.size for one in found.sets)
    assert whole is not None and (whole.nodes, whole.edges) == (20, 479)
    assert nothing is not None and (nothing.nodes, nothing.edges) == (0, 0)


# ------------------------------------------------------------------------------- PD523, PD524


def linted(lines: str, head: str = HEAD) -> list[str]:
    _, faults = lint_file("x.circuit", head + lines)
    return [fault.code for fault in faults if fault.code in ("PD523", "PD524")]


@pytest.mark.parametrize(
    "lines",
    [
        "claim c: faithfulness(movers_only) >= 80% at 95% confidence",
        "path h2 = (movers_only)\nlet a = faithfulness((h2))\nlet b = a\nclaim c: b >= 80%",
        "claim c: mean(LD(treat(full - movers_only))) >= 1",
        "claim c: faithfulness(input ~> movers ~> logits) >= 80%",
        "claim c: effect(full, scope: movers_only) >= 1",
        "claim c: chance(faithfulness(movers_only), among: 10, seed: 0) <= 5%",
        "let e for h in movers = faithfulness(movers_only) - effect(through(h))\n"
        "claim c: e[a3.h1] > 0",
        "let a = faithfulness(main)",  # nothing is claimed
    ],
)
def test_a_claimed_hypothesis_is_not_told(lines: str) -> None:
    assert linted(lines) == []


@pytest.mark.parametrize(
    "lines",
    [
        "claim c: faithfulness(main) >= 80% at 95% confidence",
        "let unused = faithfulness(movers_only)\nclaim c: faithfulness(main) >= 80%",
        "claim c for h in movers: effect(through(h)) > 1 at 95% confidence by holm()",
        "claim c: faithfulness(random_like(movers_only, seed: 0)) >= 80% expect refuted",
        "claim c: overlap(movers_only, main) >= 10%",
        "claim c: paths(movers_only) >= 1",
        "claim c: faithfulness(movers_only | main) >= 80%",
    ],
)
def test_a_hypothesis_that_no_claim_is_about_is_told(lines: str) -> None:
    assert linted(lines) == ["PD523"]


def test_low_confidence_is_told() -> None:
    assert linted("claim c: faithfulness(movers_only) >= 80% at 51% confidence") == ["PD524"]
    assert linted("claim c: faithfulness(movers_only) >= 80% at 90% confidence") == []


def test_circles_and_long_chains_are_walked() -> None:
    lets = "let a0 = faithfulness(movers_only)\n"
    lets += "".join(f"let a{i + 1} = a{i} + a{i}\n" for i in range(400))
    assert linted(f"{lets}claim c: a400 > 0") == []
    assert linted("let a = b\nlet b = a\nclaim c: a > 0") == ["PD523"]
    assert linted("path p = q - main\npath q = p - main\nclaim c: effect(p) > 0") == ["PD523"]


# ------------------------------------------------------------------------------- rows


WHERE = HEAD.replace("hypothesis = movers_only", "hypothesis = main").replace(
    """task ioi {
  data      = mini_ioi(take: 40, seed: 0)""",
    """task rows {
  data      = jsonl("rows.jsonl", take: 36)""",
).replace("}\n\ngroup", "}\ntask ioi = rows where right == true\n\ngroup")  # fmt: skip


def test_rows_left_out_are_said_wherever_a_task_is_named(tmp_path: Path) -> None:
    rows = [
        dict(row) | {"right": i % 2 == 0} for i, row in enumerate(get("mini_ioi").rows(take=40))
    ]
    text = "\n".join(json.dumps({k: v for k, v in row.items() if k != "spans"}) for row in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    lines = WHERE.replace("metric LD:", "metric LD on ioi:")
    made = checked(lines + "claim c: mean(LD(treat(movers_only))) <= 5", tmp_path)
    for name, told in everywhere(made).items():
        told = " ".join(told.replace("{}", "").split())
        assert "18 of 36 rows (where right == true" in told, name
        assert "the first 36 of the 40 rows of the file" in told, name
        assert name == "notebook" or "18 of 36 rows, where right == true" in told, name
    tasks = {one["name"]: one for one in result_of(made)["files"][0]["tasks"]}
    assert (tasks["ioi"]["rows"], tasks["ioi"]["prompts"]) == (36, 18)
    assert tasks["ioi"]["where"] == "right == true"
    assert (tasks["rows"]["rows"], tasks["rows"]["where"]) == (36, "")


def test_a_task_that_no_run_reads_is_not_named_for_a_stored_result_either(tmp_path: Path) -> None:
    lines = HEAD.replace("metric LD:", "metric LD on ioi:").replace(
        "group movers", 'task other = ioi where order == "abba"\n\ngroup movers'
    )
    text = f"{lines}claim c: mean(LD(keep(main))) >= 1"
    with Store(tmp_path / "store", 10**8) as store:
        found = [content_of_result(checked(text, tmp_path, store=store)) for _ in range(2)]
    assert found[0].scope == found[1].scope
    assert not any("other" in text for text in found[0].scope)


# ------------------------------------------------------------------------------- the command line


def test_one_claim_of_several_is_marked(tmp_path: Path) -> None:
    made = checked(MISLED, tmp_path, only="control")
    for name, told in everywhere(made).items():
        assert "1 of 5 claims judged: 1 refuted as expected" in told, name
        assert "ot the published scope" in told and "only = control" in told, name
    file = result_of(made)["files"][0]
    assert file["declared_claims"] == 5 and file["replaced"] == {"only": "control"}
    for kind in (GitHub, Sarif):
        document = kind(Settings())
        document.checked(made)
        assert "only = control" in document.end(ExitCode.AS_EXPECTED)
    assert "only = control" in junit([suite(made)])
    nothing = checked(MISLED, tmp_path, only="kept")
    assert "1 quantity; none of 5 claims was asked for" in report(nothing, View())
    assert content_of_result(nothing).headline == "1 quantity; none of 5 claims was asked for"
    other = checked(MISLED, tmp_path, only="each[a3.h1]")
    assert "1 of 5 claims judged" in report(other, View(quiet=True))


def test_every_claim_says_its_confidence(misled: FileOutcome) -> None:
    found = everywhere(misled)
    assert "| `sure` | supported |" in found["md"] and "| 51% |" in found["md"]
    assert "newcommand{pdSureConfidence}{51%}" in found["tex"]
    assert "51% confidence, pdSureVerdict" in found["tex"]
    assert found["html"].count("51%") >= 3, "forest plot, picture and claim"
    assert ">51%<" in found["notebook"]
    quiet = report(misled, View(quiet=True)).splitlines()
    assert any("sure" in line and line.endswith("at 51%") for line in quiet)
    assert "51% confidence" in junit([suite(misled)])
    changed = replace(misled.judgement.claims[1], as_expected=False)  # type: ignore[union-attr]
    failed = replace(
        misled,
        judgement=replace(misled.judgement, claims=(changed,)),  # type: ignore[type-var]
        claimed=None,
    )
    (told,) = [one for one in of_outcome(failed) if one.claim is not None]
    assert "at 51% confidence" in told.message


# ------------------------------------------------------------------------------- weights


def test_the_weights_that_were_used_are_named_everywhere(misled: FileOutcome) -> None:
    assert misled.model is not None
    used = weights_sha256(misled.model.weights)
    assert [used] == list(misled.model.weights.values())
    for name, told in everywhere(misled).items():
        assert used in told.replace("\\allowbreak", "").replace("{}", ""), name
    assert result_of(misled)["files"][0]["weights"]["sha256"] == used


def test_a_lock_of_other_weights_is_told(misled: FileOutcome) -> None:
    lock = {
        "inputs": {
            "file": {"tree": "", "uses": {}},
            "model": {"weights": {"model.safetensors": "0" * 64}},
            "tasks": {},
        },
        "surroundings": {}, "claims": {}, "quantities": {},
    }  # fmt: skip
    made = replace(misled, lock=LockFile(path="x.circuit.lock", sha256="1" * 64, lock=lock))
    for name, told in everywhere(made).items():
        assert "lock beside the file is of other weights, sha256 000000000000" in told, name


def test_several_files_of_weights_have_one_hash() -> None:
    first = weights_sha256({"a": "1" * 64, "b": "2" * 64})
    assert first == weights_sha256({"b": "2" * 64, "a": "1" * 64}) and first not in ("1" * 64,)


# ------------------------------------------------------------------------------- long reports


def test_the_section_of_path_sets_stays_short(tmp_path: Path) -> None:
    nodes = [f"a{layer}.h{head}" for layer in range(4) for head in range(4)]
    claims = "".join(f"claim c{i}: effect(through({n})) < 99\n" for i, n in enumerate(nodes))
    long = "input -> " + " -> logits | input -> ".join(nodes) + " -> logits"
    made = checked(f"{HEAD}claim first: effect({long}) < 99\n{claims}", tmp_path)
    block = report(made, View()).split("Path sets\n")[1].split("\n\n")[0].splitlines()
    assert len(block) == 14 and all(len(line) <= 100 for line in block)
    assert block[1].startswith(f"    {long[:60]}") and block[-1].endswith("`--all` shows them")
    whole = report(made, View(everything=True)).split("Path sets\n")[1].split("\n\n")[0]
    assert "through(a3.h3)" in whole and "group movers = { a3.h1, a3.h2 }" not in whole
