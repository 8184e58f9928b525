"""What drawn reports take over from the JSON object: parts, spreads, candidates."""

from __future__ import annotations

from typing import Any

import pytest

from pathdsl.report.formats import write
from tests.report.pages import BAD, drawn, hostile, made_up
from tests.report.test_written import Page

SPREAD = {
    "n": 4, "least": -0.25, "quartiles": [0.125, 0.5, 0.75], "most": 1.75, "negative": 1,
    "satisfied": None,
}  # fmt: skip


def with_parts(result: dict[str, Any]) -> dict[str, Any]:
    claim = result["files"][0]["claims"][0]
    claim["parts"] = [
        {"field": "order", "value": "abba", "n": 1234, "estimate": 0.95, "interval": [0.9, 1.0],
         "satisfied": True},
        {"field": "order", "value": True, "n": 2, "estimate": 0.1, "interval": None,
         "satisfied": False},
        {"field": "order", "value": BAD, "n": 2, "estimate": None, "interval": None,
         "satisfied": None},
    ]  # fmt: skip
    claim["prompts"] = SPREAD | {"satisfied": 3}
    claim["terms"][0]["prompts"] = SPREAD
    quantity = result["files"][0]["quantities"][0]
    quantity |= {"prompts": SPREAD, "notes": ["a note"]}
    quantity["members"] = [
        {"name": "{a0.h0}", "decided_by": "", "estimate": 1.0, "interval": [0.5, 1.5]},
        {"name": "{a1.h1}", "decided_by": "", "estimate": 3.4, "interval": None},
    ]
    return result


@pytest.mark.parametrize("kind", ["html", "md"])
def test_parts_spreads_and_candidates_are_told(kind) -> None:
    text = write(with_parts(made_up()), kind)
    told = Page(text).text if kind == "html" else text.replace("`", "").replace("\\", "")
    over = "-0.2 to 1.8, quartiles 0.1, 0.5, 0.8"
    assert f"over prompts: {over}; 3 of 4 satisfy it" in told
    assert "by order" in told and "abba" in told and "1,234" in told
    assert told.count("does not satisfy it") == 1
    assert "a note" in told and "worst of 2 candidates: {a1.h1}" in told, "the worst stands first"
    if kind == "html":
        assert "<script>alert" not in text
        assert f"F(keep(nodes)) : {over}" in told
        assert "3.400" in told, "every candidate with its number"


@pytest.mark.parametrize("kind", ["html", "md"])
def test_prompts_that_are_all_alike(kind: str) -> None:
    """No quartiles of one number, and no prompt that speaks against more than another."""
    result = drawn()
    claim = next(one for one in result["files"][0]["claims"] if one["worst"])
    claim["prompts"] = SPREAD | {
        "least": 1.0, "quartiles": [1.0] * 3, "most": 1.0, "negative": 0, "satisfied": 4
    }  # fmt: skip
    told = write(result, kind)
    assert "1.000 on each; 4 of 4 satisfy it" in told
    alone = told.count("speak most against")
    claim["prompts"]["satisfied"] = 3
    assert write(result, kind).count("speak most against") == alone + (kind == "html")


def test_sets_of_the_members_of_an_aggregate_are_one_line() -> None:
    result = drawn()
    file = result["files"][0]
    sets = [
        {"name": f"through(a0.h{h})", "form": "through(h)", "definition": "", "nodes": 2,
         "of_nodes": 8, "edges": 5 + h, "of_edges": 75}
        for h in range(3)
    ]  # fmt: skip
    file["path_sets"] = sets
    for claim in file["claims"]:
        claim["path_sets"] = []
    file["claims"][0]["path_sets"] = [0, 1, 2]
    text = Page(write(result, "html")).text
    assert "through(a0.h0)" not in text
    assert "through(h) (3 of them)" in text and "2 of 8 nodes, 5 to 7 of 75 edges" in text


def test_the_forest_plot_has_numbers_on_its_axes() -> None:
    page = Page(write(drawn(), "html"))
    texts = [a for tag, a in page.tags if tag == "text" and a.get("x", "").endswith("%")]
    assert len(texts) >= 2 * 5, "at least two for each claim"


def test_formulas_stand_in_the_page_and_those_of_strangers_only_if_plain() -> None:
    result = drawn()
    good = "<math><mfrac><mrow><mi>a</mi></mrow><mrow><mn>2</mn></mrow></mfrac></math>"
    result["files"][0]["formulas"][0]["mathml"] = good
    result["files"][0]["formulas"][1]["mathml"] = "<math><mi><img src='x'/></mi></math>"
    text = write(result, "html")
    assert text.count("<math>") == 1 and good in text and "<img" not in text


UNSEEN = "a\u202eb\x00c\x1b[31m\u2066d"


@pytest.mark.parametrize("kind", ["html", "md", "tex"])
def test_nothing_unseen_turns_a_report_round(kind) -> None:
    text = write(hostile(UNSEEN), kind)
    assert not set(text) & set("\u202e\x00\x1b\u2066")
    assert "[U+202E]" in text


def test_tokens_of_blanks_can_be_seen() -> None:
    result = drawn()
    result["files"][0]["prompts"][0]["tokens"] = ["When", "\n", "\t", "", " שלום", "\u202e", " 🐍"]
    text = write(result, "html")
    for shown in ("↵", "⇥", "∅", " שלום", "[U+202E]", " 🐍"):
        assert f"<code>{shown}</code>" in text
