"""JUnit, SARIF and GitHub: the shapes of their standards, every claim and fault in its place."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator, ValidationError

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import Diagnostic, ExitCode, Severity, Span
from pathdsl.lang.program import load_program
from pathdsl.lang.rules import pages
from pathdsl.report.annotate.findings import Finding, of_diagnostics, of_outcome, said
from pathdsl.report.annotate.github import command, github, summary
from pathdsl.report.annotate.junit import junit, suite
from pathdsl.report.annotate.sarif import CLAIMS, sarif
from pathdsl.report.data.result import dump
from pathdsl.score.results import Verdict
from tests.report.outcomes import claim, content, outcome

SARIF = json.loads((Path(__file__).parent / "sarif.schema.json").read_text(encoding="utf-8"))

# The attributes and children of junit-10.xsd of Jenkins; those that must be there end in "!".
JUNIT = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name! tests! failures! errors! group time skipped timestamp hostname id package file",
        "testsuite properties testcase system-out system-err",
    ),
    "testcase": ("name! time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "error": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
}
TEXT = (
    'circuit ioi "Who" {\n  language = 1\n}\n\nclaim each for h in attn: mean(LD(reference)) > 0\n'
)


def vet_junit(text: str) -> ET.Element:
    root = ET.fromstring(text)
    for element in root.iter():
        attributes, children = (words.split() for words in JUNIT[element.tag])
        assert set(element.attrib) <= {word.rstrip("!") for word in attributes}
        assert {word[:-1] for word in attributes if word.endswith("!")} <= set(element.attrib)
        assert {child.tag for child in element} <= set(children)
        for name in ("time", "tests", "failures", "errors", "skipped"):
            if name in element.attrib:
                assert re.fullmatch(r"[0-9]{0,3}(\.[0-9]*)?", element.attrib[name])
    for one in root.iter("testsuite"):
        counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
        assert int(one.attrib["tests"]) == len(one.findall("testcase"))
        for name, tag in counts.items():
            assert int(one.attrib[name]) == len(one.findall(f"testcase/{tag}"))
    return root


def stopped(text: str = TEXT) -> FileOutcome:
    program, _ = load_program("b.circuit", text)
    span = Span(path="b.circuit", start=text.index("each"), end=text.index("each") + 4)
    faults = (
        Diagnostic(code="PD203", message="no such head", span=span, help="write `a0.h0`",
                   labels=((Span(path="b.circuit", start=0, end=7), "this model"),)),
        Diagnostic(code="PD635", message="memory ran out"),
        Diagnostic(code="PD501", message="not said", span=span, severity=Severity.WARNING),
    )  # fmt: skip
    code = ExitCode.WRONG_INPUT
    return FileOutcome(path="b.circuit", program=program, diagnostics=faults, exit_code=code)


def test_junit_has_a_case_for_each_claim() -> None:
    made = replace(outcome(), seconds=5.0)
    root = vet_junit(junit([suite(made)]))
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert list(cases) == ["sufficient", "control", "complete", "each[a9.h9@END]", "ratio"]
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert failed == {"complete", "each[a9.h9@END]", "ratio"}
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["time"]) == (
        "5",
        "3",
        "5.000",
    )
    failure = cases["complete"].find("failure")
    assert failure is not None and failure.attrib["type"] == "refuted"
    assert "0.50 [0.40, 0.60], wanted <= 0.3 at 95% confidence" in failure.attrib["message"]
    assert "prompts that speak most against it" in (failure.text or "")
    assert cases["complete"].attrib["time"] == "1.000"
    assert "PD431" in (root.findtext("testsuite/system-out") or "")


def test_junit_of_a_file_that_was_not_judged_is_an_error() -> None:
    made = stopped()
    root = vet_junit(junit([suite(made), suite(outcome())]))
    assert (root.attrib["tests"], root.attrib["errors"], root.attrib["failures"]) == ("7", "1", "3")
    first, each = root.findall("testsuite")[0].findall("testcase")
    error = first.find("error")
    assert first.attrib["name"] == "check" and error is not None
    assert error.attrib == {"message": "[PD203] no such head, and 1 more error", "type": "fault"}
    assert "b.circuit:5:7" in (error.text or "") and "PD635" in (error.text or "")
    assert "PD501" not in (error.text or "")
    assert each.attrib["name"] == "each" and each.find("skipped") is not None


def test_junit_skips_what_may_be_inconclusive() -> None:
    made = outcome()
    root = vet_junit(junit([suite(made, allow_inconclusive=True)]))
    skipped = [c.attrib["name"] for c in root.iter("testcase") if c.find("skipped") is not None]
    assert skipped == ["each[a9.h9@END]"] and root.attrib["failures"] == "2"


def test_junit_is_xml_whatever_a_file_says() -> None:
    made = outcome()
    assert made.judgement is not None
    odd = claim("a<b>&\x1b[31m", Verdict.REFUTED, text="]]>\x00\ud800 é\n50%")
    made = replace(made, judgement=replace(made.judgement, claims=(odd,)), path='x"<\x07.circuit')
    text = junit([suite(made)])
    assert text.isascii()
    (case,) = vet_junit(text).iter("testcase")
    assert case.attrib["name"] == "a<b>&\ufffd[31m"
    assert "]]>\ufffd\ufffd é" in (case.findtext("failure") or "")
    assert vet_junit(junit([])).attrib["tests"] == "0"


def test_findings_are_where_claims_are_written() -> None:
    program, _ = load_program("c.circuit", TEXT)
    made = outcome()
    assert made.judgement is not None
    member = claim("each[a9.h9@END]", Verdict.REFUTED)
    made = replace(
        made, program=program, path="c.circuit", diagnostics=(),
        judgement=replace(made.judgement, claims=(member,)),
    )  # fmt: skip
    (found,) = of_outcome(made)
    assert found.place == dict(path="c.circuit", line=5, column=7, end_line=5, end_column=11)
    assert found.rule == "claim-refuted" and found.level == "error"


def test_what_is_said_of_a_claim() -> None:
    assert said(content(claim("c", Verdict.REFUTED))) == (
        "claim `c`: refuted, not as expected (supported): 0.713 [0.661, 0.762], "
        "wanted >= 0.8 at 95% confidence, n = 4"
    )
    undefined = claim(
        "c", Verdict.UNDEFINED, estimate=None, interval=None, confidence=None, n=0, within=0.1
    )
    assert said(content(undefined)) == (
        "claim `c`: undefined, not as expected (supported): undefined, wanted >= 0.8 within 0.1, "
        "no confidence asked"
    )
    assert "refuted, as expected" in said(content(claim("c", Verdict.REFUTED, Verdict.REFUTED)))


def test_an_excused_claim_is_a_warning() -> None:
    made = outcome()
    levels = {
        f.name: f.level for f in of_outcome(made, allow_inconclusive=True) if f.claim is not None
    }
    assert levels == {"complete": "error", "each[a9.h9@END]": "warning", "ratio": "error"}


def found_sarif(findings: list[Finding], code: ExitCode = ExitCode.WRONG_INPUT) -> dict:
    log = json.loads(dump(sarif(findings, code)))
    Draft202012Validator.check_schema(SARIF)
    Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    return run


def test_sarif_has_every_fault_and_failed_claim() -> None:
    made = stopped()
    judged = outcome()
    run = found_sarif([*of_outcome(made), *of_outcome(judged)])
    assert [r["ruleId"] for r in run["results"]] == [
        "PD203", "PD635", "PD501", "PD431", "claim-refuted", "claim-inconclusive",
        "claim-undefined",
    ]  # fmt: skip
    first = run["results"][0]
    assert first["message"]["text"] == "no such head\nhelp: write `a0.h0`"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "b.circuit", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 5, "startColumn": 7, "endLine": 5, "endColumn": 11},
    }
    assert first["relatedLocations"][0]["message"]["text"] == "this model"
    assert "region" not in run["results"][1]["locations"][0]["physicalLocation"]
    assert run["results"][2]["level"] == "warning"
    assert run["results"][-1]["properties"]["estimate"] is None
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    page = pages()["PD203"]
    assert rules["PD203"]["name"] == page.name
    assert rules["PD203"]["shortDescription"]["text"] == page.summary
    assert "pathdsl explain PD203" in rules["PD203"]["help"]["text"]
    assert {f"claim-{verdict.value}" for verdict in Verdict} == set(CLAIMS)


def test_sarif_says_how_the_run_ended() -> None:
    (done,) = found_sarif([], ExitCode.NOT_AS_EXPECTED)["invocations"]
    assert done == {"executionSuccessful": True, "exitCode": 1}
    (failed,) = found_sarif([], ExitCode.MACHINE_FAILED)["invocations"]
    assert failed["executionSuccessful"] is False


@pytest.mark.parametrize("path", ["a b/ü#?%.circuit", "./x.circuit", "<stdin>"])
def test_sarif_paths_are_uris(path: str) -> None:
    run = found_sarif(of_diagnostics([Diagnostic(code="PD635", message="m")], {}, path))
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(uri) == path.removeprefix("./")


def test_sarif_of_an_absolute_path_is_a_file_address(tmp_path: Path) -> None:
    path = tmp_path / "x y.circuit"
    run = found_sarif(of_diagnostics([Diagnostic(code="PD635", message="m")], {}, str(path)))
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": path.as_uri()}


@pytest.mark.parametrize("key", ["message", "level"])
def test_the_sarif_schema_notices_faults(key: str) -> None:
    log = sarif(of_outcome(outcome()), ExitCode.WRONG_INPUT)
    result = log["runs"][0]["results"][0]
    result[key] = {"texts": "m"} if key == "message" else "fatal"
    with pytest.raises(ValidationError):
        Draft202012Validator(SARIF).validate(log)


def test_github_commands_cannot_be_broken_out_of() -> None:
    place = dict(path="a,b:c%\n.circuit", line=3, column=2, end_line=3, end_column=9)
    finding = Finding(
        rule="PD203", name="n", level="error", message="50%\r\n::error::x, y: z", place=place
    )
    assert command(finding) == (
        "::error file=a%2Cb%3Ac%25%0A.circuit,line=3,endLine=3,col=2,endColumn=9,title=PD203 n"
        "::50%25%0D%0A::error::x, y: z"
    )
    over_lines = replace(finding, place=dict(path="a", line=3, column=2, end_line=4, end_column=9))
    assert command(over_lines).startswith("::error file=a,line=3,endLine=4,title=PD203 n::")


def test_github_has_a_line_for_each_finding_and_one_for_all() -> None:
    made = stopped()
    judged = outcome()
    findings = [*of_outcome(made), *of_outcome(judged)]
    lines = github(findings, summary(findings, 2, 5)).splitlines()
    assert len(lines) == len(findings) + 1
    assert lines[0].startswith(
        "::error file=b.circuit,line=5,endLine=5,col=7,endColumn=11,title=PD"
    )
    assert lines[1].startswith("::error file=b.circuit,title=PD635 ")
    assert lines[2].startswith("::warning file=b.circuit,line=5")
    assert "title=refuted%3A complete::claim `complete`: refuted, not as expected" in lines[4]
    assert lines[-1] == "2 files, 5 claims: 3 claims not as expected, 2 errors, 2 warnings"
    assert summary([], 1, 0) == "1 file, 0 claims: none judged"
    assert summary([], 1, 2) == "1 file, 2 claims: all as expected"
    assert summary([], 2) == "2 files: no faults"
