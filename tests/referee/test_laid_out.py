"""A report that is laid out from JSON: a number that was changed is refused, and what is read is
said to be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pathdsl import check
from pathdsl.cli import main as cli
from pathdsl.report.data.hashed import NOT_HASHED, result_hash
from pathdsl.report.data.read import ChangedResult, read_result
from tests.report.pages import sealed

Capture = pytest.CaptureFixture[str]

FILE = """circuit two "Two heads" { language = 1 }

model m = bundled("induction-2l")

task t {
  data = induction(take: 40, seed: 0, length: 16); reference = prompt; treated = prompt_other
  positions = [FIRST_A, FIRST_B]
}

group previous @FIRST_B = { a0.h1 }
group match    @END     = { a1.h2 }
path nodes = within(previous, match)

metric LD: logits = logit(answer) - logit(wrong)
let total: logits = mean(LD(reference) - LD(treated))

claim sufficient: faithfulness(nodes) >= 80% at 95% confidence
claim needed:     mean(LD(treat(nodes))) / mean(LD(reference)) <= 10% at 95% confidence
claim near:       faithfulness(nodes) ~= 1 within 0.1 at 95% confidence
claim plain:      mean(LD(reference)) > 9
claim whole:      1 <= faithfulness(none) expect refuted
claim tested:     sign_test(LD(reference) - LD(treat(nodes))) <= 5%
claim each for h in {previous, match}: mean(LD(reference) - LD(treat(through(h)))) > 1 at 95% confidence by holm()
"""  # noqa: E501


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `check --format json` prints of the file."""
    path = tmp_path_factory.mktemp("laid_out") / "two.circuit"
    path.write_text(FILE)
    found: dict[str, Any] = json.loads(json.dumps(check(path).to_dict()))
    return found


@pytest.fixture
def folder(printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATHDSL_CACHE", str(tmp_path / "store"))
    (tmp_path / "result.json").write_text(json.dumps(printed))
    return tmp_path


def run(*arguments: str) -> int:
    return cli._run(list(arguments), False)


def forged(printed: dict[str, Any], change: Callable[[Any, dict[str, Any]], object]) -> str:
    """The text of a result that was changed; `change` gets its file and its claims by name."""
    result = deepcopy(printed)
    file = result["files"][0]
    change(file, {claim["name"]: claim for claim in file["claims"]})
    return json.dumps(result)


def test_a_forged_number_is_refused(printed, folder: Path, capsys: Capture) -> None:
    """The file that misled: a smaller number, printed as if it had been found."""

    def change(file, claims) -> None:
        claims["needed"]["estimate"] = -3.5
        claims["needed"]["interval"] = [-3.6, -3.4]

    (folder / "forged.json").write_text(forged(printed, change))
    for kind in ("html", "md", "tex"):
        assert run("report", "forged.json", "--to", kind) == 2
        told = capsys.readouterr()
        said = " ".join(told.err.replace("│", " ").split())
        assert told.out == "" and "`forged.json` was changed after" in said
        assert "`two` holds the hash" in said and "claim `needed`, `estimate`: -3.5, but" in said


LAID_OUT = "laid out from JSON, not checked"


@pytest.mark.parametrize("kind", ["html", "md", "tex"])
def test_every_layout_from_json_says_so(folder: Path, capsys: Capture, kind: str) -> None:
    (folder / "two.circuit").write_text(FILE)
    assert run("report", "result.json", "--to", kind, "-o", "read.txt") == 0
    assert LAID_OUT in capsys.readouterr().err
    assert run("report", "two.circuit", "--to", kind, "-o", "made.txt") == 0
    assert LAID_OUT not in capsys.readouterr().err
    read, made = ((folder / name).read_text() for name in ("read.txt", "made.txt"))
    assert LAID_OUT in read.replace("Laid", "laid") and LAID_OUT not in made.replace("Laid", "laid")
    short = json.loads((folder / "result.json").read_text())["files"][0]["result_sha256"][:12]
    assert short in read and short in made, "the same check, the same hash"
    if kind == "tex":
        assert rf"\newcommand{{\pdHash}}{{\texttt{{{short}}}, \pdSource}}" in read
        assert rf"\newcommand{{\pdHash}}{{\texttt{{{short}}}}}" in made


@pytest.mark.parametrize("kind", ["html", "md", "tex"])
def test_of_a_result_without_a_hash_nothing_can_be_told(
    printed, folder: Path, capsys: Capture, kind: str
) -> None:
    text = forged(printed, lambda file, claims: file.pop("result_sha256"))
    (folder / "old.json").write_text(text)
    assert run("report", "old.json", "--to", kind) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "an old result without a hash" in told and "nobody can tell" in told


def put(name: str, field: str, value: object) -> Callable[[Any, dict[str, Any]], object]:
    return lambda file, claims: claims[name].__setitem__(field, value)


def of_term(file: Any, claims: dict[str, Any]) -> None:
    claims["needed"]["terms"][0]["value"] *= 2


def refuted(file: Any, claims: dict[str, Any]) -> None:
    """Everything that follows from a verdict, changed with it; only the number is left."""
    claims["sufficient"] |= {"verdict": "refuted", "as_expected": False}
    file["exit_code"] = 1


def spread(file: Any, claims: dict[str, Any]) -> None:
    claims["near"]["prompts"]["quartiles"].reverse()
    claims["near"]["prompts"]["quartiles"][0] += 1


FORGERIES = {
    "interval": (put("sufficient", "interval", [0.4, 0.5]), "claim `sufficient`, `verdict`"),
    "verdict": (refuted, "claim `sufficient`, `verdict`: refuted, but the interval"),
    "threshold": (
        put("sufficient", "threshold", 0.5),
        "`threshold`: 0.5, but the claim",
    ),
    "relation": (put("needed", "relation", "<"), "claim `needed`, `relation`"),
    "within": (put("near", "within", 0.5), "claim `near`, `within`"),
    "confidence": (put("near", "confidence", 0.9), "claim `near`, `level`"),
    "expected": (put("sufficient", "expected", "refuted"), "claim `sufficient`, `as_expected`"),
    "as_expected": (put("near", "as_expected", False), "claim `near`, `as_expected`"),
    "undefined": (put("needed", "verdict", "undefined"), "claim `needed`"),
    "by its estimate": (put("plain", "estimate", 8.0), "claim `plain`, `verdict`: supported, but"),
    "open": (put("near", "verdict", "inconclusive"), "claim `near`"),
    "turned": (put("near", "interval", [1.05, 0.95]), "claim `near`, `interval`: its lower end"),
    "term": (of_term, "claim `needed`, `estimate`"),
    "level": (put("each[a1.h2@END]", "level", 0.99), "claim `each`, `level` or `verdict`"),
    "p": (put("each[a1.h2@END]", "p_value", 1.5), "claim `each[a1.h2@END]`, `p_value`"),
    "n": (put("sufficient", "n", 4000), "claim `sufficient`, `n`: 4000 prompts"),
    "unchanged": (put("sufficient", "unchanged", 41), "claim `sufficient`, `unchanged`"),
    "spread": (spread, "claim `near`, `prompts`"),
    "quantity": (
        lambda file, claims: file["quantities"][0]["interval"].reverse(),
        "quantity `total`, `interval`",
    ),
    "exit code": (lambda file, claims: file.update(exit_code=1), "`exit_code`: 1, but all claims"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forger_who_makes_the_hash_anew_contradicts_himself(printed, name: str) -> None:
    change, said = FORGERIES[name]
    text = forged(printed, change)
    with pytest.raises(ChangedResult, match=r"holds the hash|exit_code"):
        read_result(text)
    with pytest.raises(ChangedResult) as caught:
        read_result(json.dumps(sealed(json.loads(text))))
    assert said in str(caught.value)


def test_the_whole_exit_code_is_that_of_its_files(printed) -> None:
    result = deepcopy(printed) | {"exit_code": 1}
    with pytest.raises(ChangedResult, match="exit_code"):
        read_result(json.dumps(result))


def test_the_hash_covers_every_key_but_those_that_are_named(printed) -> None:
    """So also the keys that another version adds."""
    file = printed["files"][0]
    assert file["result_sha256"] == result_hash(file)
    for key in file:
        other = result_hash({k: v for k, v in file.items() if k != key})
        assert (other == result_hash(file)) is (
            key in NOT_HASHED or (key == "diagnostics" and not file[key])
        ), key
    assert result_hash(file | {"weights": {"sha256": "0"}}) != result_hash(file)
    named = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in named for key in NOT_HASHED)


def test_a_removed_warning_is_told_and_a_moved_one_is_not(printed) -> None:
    file = deepcopy(printed["files"][0])
    warning = {
        "code": "PD516", "name": "n", "severity": "warning", "message": "m", "span": None,
        "label": "", "labels": [{"span": {"line": 1}, "text": "here"}], "notes": [], "help": "",
    }  # fmt: skip
    file["diagnostics"] = [warning]
    before = result_hash(file)
    file["diagnostics"] = [warning | {"span": {"path": "elsewhere", "line": 3}}]
    assert result_hash(file) == before
    file["diagnostics"] = []
    assert result_hash(file) != before


def test_any_reader_of_json_gives_the_same_hash(printed) -> None:
    """One that knows one kind of number writes `1.0` as `1`, and keys in another order."""
    file = printed["files"][0]
    text = json.dumps(file, sort_keys=True).replace(".0,", ",")
    assert result_hash(json.loads(text)) == file["result_sha256"]


def test_the_same_check_gives_the_same_hash(printed, folder: Path, capsys: Capture) -> None:
    (folder / "elsewhere").mkdir()
    path = folder / "elsewhere" / "other.circuit"
    path.write_text(FILE)
    hashes = []
    for options in ((), (), ("--no-cache",), ("--memory", "1GB"), ("--allow-inconclusive",)):
        run("check", str(path), "--format", "json", "-q", *options)
        hashes.append(json.loads(capsys.readouterr().out)["files"][0]["result_sha256"])
    assert set(hashes) == {printed["files"][0]["result_sha256"]}


def test_a_member_that_was_asked_for_alone_is_read(folder: Path, capsys: Capture) -> None:
    (folder / "two.circuit").write_text(FILE)
    run("check", "two.circuit", "--format", "json", "-q", "--only", "each[a1.h2@END]")
    read_result(capsys.readouterr().out)
