"""`pathdsl.check`: one result as objects, plain data, a data frame, text and HTML."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from jsonschema import Draft202012Validator

import pathdsl
from pathdsl.api import Result
from pathdsl.engine.store.store import Store
from pathdsl.errors import ExitCode, LanguageError
from pathdsl.report.data.result import schema
from pathdsl.report.data.tables import CLAIM_COLUMNS, QUANTITY_COLUMNS, claim_rows, quantity_rows
from pathdsl.score.results import Verdict
from tests.cli.run import BROKEN, INDUCTION, LIBRARY
from tests.cli.run import pathdsl as command
from tests.report.outcomes import claim, outcome, quantity


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "x.circuit"
    path.write_text(INDUCTION)
    return path


@pytest.fixture(scope="module")
def result(file: Path) -> Result:
    return pathdsl.check(file)


def made_up() -> Result:
    return Result(outcome=replace(outcome(), replaced={"take": "5"}))


class Cells(HTMLParser):
    """The text of the cells, and every tag that was opened or closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append("/" + tag)

    def handle_data(self, data: str) -> None:
        if data.strip() and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_claims_and_quantities(result: Result, file: Path) -> None:
    assert [c.name for c in result.claims] == ["sufficient", "control"]
    assert [c.verdict for c in result.claims] == [Verdict.SUPPORTED, Verdict.REFUTED]
    assert [q.name for q in result.quantities][:2] == ["total", "direct[a0.h0]"]
    assert (result.exit_code, result.path) == (ExitCode.AS_EXPECTED, str(file))
    assert result["sufficient"] is result.claims[0]
    assert result["direct[a0.h0]"] is result.quantities[1]
    with pytest.raises(KeyError, match="did you mean `sufficient`"):
        result["suficient"]


def test_the_object_and_the_text_are_those_of_the_command_line(result: Result, file: Path) -> None:
    found = result.to_dict()
    Draft202012Validator(schema()).validate(found)
    assert [c["name"] for c in found["files"][0]["claims"]] == ["sufficient", "control"]
    done = command("check", str(file), "--no-cache", cwd=file.parent)
    told, text = done.stdout.splitlines(), str(result).splitlines()
    assert len(text) == len(told)
    assert [line for line, other in zip(text, told, strict=True) if line != other] == [
        line for line in text if line.startswith("  cost: ") and line not in told
    ]
    assert repr(result) == (
        f"<pathdsl result of {str(file)!r}: 2 claims: 1 supported, 1 refuted as expected>"
    )


def test_options_reach_the_check(file: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store", 10**8) as store:
        first = pathdsl.check(file, take=32, seed=3, only="control", store=store)
        again = pathdsl.check(str(file), take=32, seed=3, only="control", store=store)
    assert [c.name for c in first.claims] == ["control"] and first.claims[0].n == 32
    assert first.replaced == {"seed": "3", "take": "32", "only": "control"}
    assert "not the published scope: seed = 3, take = 32, only = control" in str(first)
    assert again.to_dict()["files"][0]["store"]["computed"] == 0
    assert again.claims == first.claims
    other = pathdsl.check(file, models={"m": "bundled:induction-2l,dtype=float64"}, only="total")
    assert other.replaced == {
        "only": "total", "model m": "bundled:induction-2l,dtype=float64"
    }  # fmt: skip
    assert other.outcome.methodology["dtype"].startswith("float64")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"only": "suficient"}, ValueError, "did you mean `sufficient`?"),
        ({"only": "direct[a9.h9]"}, ValueError, "no such member"),
        ({"only": "total[a0]"}, ValueError, "no such member"),
        ({"take": 0}, ValueError, "at least one row"),
        ({"models": {"n": "bundled:induction-2l"}}, ValueError, "the file's model is `m`"),
        ({"models": {"m": "induction-2l"}}, LanguageError, "PD614"),
    ],
)
def test_wrong_options_are_refused(
    file: Path, options: dict, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as found:
        pathdsl.check(file, **options)
    assert said in str(found.value)


@pytest.mark.parametrize(
    ("text", "code", "summary"),
    [
        (BROKEN, ExitCode.WRONG_INPUT, "the file was not checked"),
        (LIBRARY, ExitCode.NOTHING_TO_CHECK, "no claims"),
        (INDUCTION.replace("a1.h2", "a7.h2"), ExitCode.WRONG_INPUT, "the file was not checked"),
        (None, ExitCode.WRONG_INPUT, "the file was not checked"),
    ],
)
def test_faults_are_returned(
    text: str | None, code: ExitCode, summary: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.circuit"
    if text is not None:
        path.write_text(text)
    found = pathdsl.check(path)
    assert (found.exit_code, found.claims, found.quantities) == (code, (), ())
    assert bool(found.diagnostics) == (code is ExitCode.WRONG_INPUT)
    assert summary in repr(found) and summary in str(found) and summary in found._repr_html_()
    Draft202012Validator(schema()).validate(found.to_dict())


def test_rows_are_plain_values() -> None:
    claims = claim_rows(made_up().claims)
    assert all(tuple(row) == CLAIM_COLUMNS for row in claims)
    member, undefined = claims[3], claims[4]
    assert (member["name"], member["member"]) == ("each", "a9.h9@END")
    assert (member["low"], member["estimate"], member["high"]) == (0.661, 0.713, 0.842)
    assert undefined["estimate"] is None and undefined["low"] is None
    assert (undefined["verdict"], type(undefined["verdict"])) == ("undefined", str)
    odd = claim("c", Verdict.UNDEFINED, estimate=float("nan"), interval=(float("-inf"), 1.0))
    assert (claim_rows([odd])[0]["estimate"], claim_rows([odd])[0]["low"]) == (None, None)
    quantities = quantity_rows(made_up().quantities)
    assert all(tuple(row) == QUANTITY_COLUMNS for row in quantities)
    assert quantities[0]["name"] == "ATE" and quantities[-1]["member"] == "a19.h0"


def test_the_frame_is_made_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frame(tuple):
        def astype(self, kinds: dict[str, type]) -> tuple:
            assert set(kinds) <= set(self[1]) and {"estimate", "low"} <= set(kinds)
            return tuple(self)

    stand_in = SimpleNamespace(DataFrame=lambda rows, columns: Frame((rows, columns)))
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    found = made_up()
    assert found.to_frame() == (claim_rows(found.claims), list(CLAIM_COLUMNS))
    wanted = (quantity_rows(found.quantities), list(QUANTITY_COLUMNS))
    assert found.to_frame("quantities") == wanted
    with pytest.raises(ValueError, match='wanted "claims" or "quantities"'):
        found.to_frame("claim")  # type: ignore[arg-type]


def test_a_frame_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = made_up().to_frame()
    assert list(frame.columns) == list(CLAIM_COLUMNS) and len(frame) == 5
    assert frame["estimate"].dtype == float and pandas.isna(frame["estimate"].iloc[4])
    assert list(frame.loc[frame["as_expected"], "name"]) == ["sufficient", "control"]
    empty = Result(outcome=replace(outcome(), judgement=None)).to_frame("quantities")
    assert list(empty.columns) == list(QUANTITY_COLUMNS) and empty.empty
    assert frame["within"].dtype == float and frame["within"].isna().all(), "no column of objects"


def test_a_result_is_its_own_copy_and_its_parts_are_pickled(result: Result) -> None:
    assert copy.copy(result) is result and copy.deepcopy(result) is result
    with pytest.raises(TypeError, match=r"pickle `result.to_dict\(\)`"):
        pickle.dumps(result)
    kept = (result.to_dict(), result.claims, result.quantities)
    assert pickle.loads(pickle.dumps(kept)) == kept


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"take": 0}, ValueError, "at least one row"),
        ({"threads": 0}, ValueError, "at least one thread"),
        ({"take": "5"}, TypeError, "wanted a whole number"),
        ({"take": True}, TypeError, "wanted a whole number"),
        ({"seed": 2.5}, TypeError, "`seed=2.5`: wanted a whole number"),
        ({"store": "s"}, TypeError, r"wanted `pathdsl.open_store\(\)`"),
        ({"limits": 10**9}, TypeError, "wanted `pathdsl.Limits"),
        ({"limits": pathdsl.Limits(memory="2GB")}, TypeError, "`memory='2GB'`: wanted a whole"),
        ({"limits": pathdsl.Limits(memory=-1)}, ValueError, "`memory=-1`: at least 1"),
        ({"only": 3}, TypeError, "wanted the name of a claim"),
    ],
)
def test_options_of_another_kind_are_refused(file: Path, options, error, said: str) -> None:
    with pytest.raises(error, match=said):
        pathdsl.check(file, **options)


def test_what_is_no_text_is_not_parsed() -> None:
    for given in (3, b"x", None):
        with pytest.raises(TypeError, match="`parse` wants a text"):
            pathdsl.parse(given)  # type: ignore[arg-type]


def test_without_pandas_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'pathdsl\[frames\]'"):
        made_up().to_frame()


def test_notebooks_show_verdicts_and_intervals() -> None:
    text = made_up()._repr_html_()
    cells = Cells(text)
    assert cells.rows[0] == [
        "verdict", "claim", "estimate", "interval", "wanted", "confidence", "n"
    ]  # fmt: skip
    assert cells.rows[1] == [
        "supported", "sufficient", "0.932", "[0.910, 0.951]", ">= 0.8", "95%", "4"
    ]  # fmt: skip
    assert cells.rows[2][0] == "refuted as expected"
    assert cells.rows[3][0] == "refuted NOT as expected"
    assert cells.rows[5][2:4] == ["undefined", ""]
    assert "PD431" in text and "not the published scope: take = 5" in text
    assert "2 more quantities" in text and len(cells.rows) == 1 + 5 + 1 + 20
    opened = [tag for tag in cells.tags if not tag.startswith("/") and tag != "br"]
    assert sorted(opened) == sorted(tag[1:] for tag in cells.tags if tag.startswith("/"))


def test_notebooks_escape_what_files_say() -> None:
    evil = "<script>alert('&')</script>"
    made = outcome()
    assert made.judgement is not None
    judgement = replace(
        made.judgement,
        claims=(claim(evil, Verdict.REFUTED),),
        quantities=(replace(quantity(evil, 1.0), unit=evil),),
    )
    made = replace(
        made, judgement=judgement, path=evil, program=None, methodology={"model": evil},
        diagnostics=tuple(replace(d, message=evil, span=None) for d in made.diagnostics),
    )  # fmt: skip
    text = Result(outcome=replace(made, replaced={"take": evil}))._repr_html_()
    assert "script" not in Cells(text).tags and text.count("&lt;script&gt;") >= 6


def test_a_store_is_named_by_a_text_too(tmp_path: Path) -> None:
    assert Store(str(tmp_path / "kept")).folder == tmp_path / "kept"
