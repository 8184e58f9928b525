"""The JSON of `check` follows its schema, whatever the numbers are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator, ValidationError

from pathdsl.errors import ExitCode
from pathdsl.report.data.result import check_object, dump, file_object, schema
from tests.report.outcomes import outcome


def found() -> dict:
    file = file_object(replace(outcome(), replaced={"take": "5"}))
    return json.loads(dump(check_object([file], ExitCode.NOT_AS_EXPECTED)))


def test_the_schema_is_one_and_holds() -> None:
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(found())
    Draft202012Validator(schema()).validate(check_object([], ExitCode.NOTHING_TO_CHECK))


@pytest.mark.parametrize("key", ["path", "claims", "quantities", "methodology", "diagnostics"])
def test_the_schema_notices_what_is_missing(key: str) -> None:
    bad = found()
    del bad["files"][0][key]
    with pytest.raises(ValidationError):
        Draft202012Validator(schema()).validate(bad)


def test_what_is_undefined_is_null() -> None:
    file = found()["files"][0]
    (ratio,) = [c for c in file["claims"] if c["name"] == "ratio"]
    assert ratio["estimate"] is None and ratio["interval"] is None
    assert ratio["verdict"] == "undefined" and ratio["as_expected"] is False
    assert file["replaced"] == {"take": "5"} and file["circuit"] == "ioi"
    assert file["diagnostics"][0]["span"]["line"] == 4


def test_prompts_have_their_tokens_and_claims_their_spread() -> None:
    (claim,) = [c for c in found()["files"][0]["claims"] if c["name"] == "complete"]
    assert claim["worst"][1]["tokens"][:3] == ["When", " Mary", " and"]
    assert claim["prompts"]["quartiles"] == [0.125, 0.5, 0.75]
    assert claim["prompts"]["satisfied"] == 2


def test_no_number_is_nan() -> None:
    made = outcome()
    assert made.judgement is not None
    first = replace(
        made.judgement.quantities[0], estimate=float("nan"), interval=(float("-inf"), 1.0)
    )
    made = replace(made, judgement=replace(made.judgement, quantities=(first,)))
    file = file_object(made)
    assert file["quantities"][0]["estimate"] is None and file["quantities"][0]["interval"] is None
    dump(file)
