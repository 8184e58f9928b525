"""HTML, LaTeX and Markdown of a result: what stands in them, and that no text becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from jsonschema import Draft202012Validator

from pathdsl.report.content.file import contents
from pathdsl.report.data.read import NotAResult, read_result
from pathdsl.report.data.result import schema
from pathdsl.report.formats import write
from pathdsl.report.formulas.tex import escape, macro_word, plain_formula
from pathdsl.report.page.circuit_svg import PALETTE
from pathdsl.report.page.html import claim_key
from tests.report.pages import BAD, TEX, drawn, hostile, made_up

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Every tag with its attributes; tags that do not nest are noted."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize(
    "make", [made_up, drawn, lambda: hostile(BAD)], ids=["made_up", "drawn", "hostile"]
)
def test_the_page_is_well_formed_and_asks_for_nothing(make) -> None:
    page = Page(write(make(), "html"))
    assert page.wrong == [] and page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    assert [tag for tag, _ in page.tags].count("script") == 1
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "style", "data", "poster"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        href = attributes.get("href")
        assert href is None or href.startswith("#")
        assert attributes.get("xmlns") in (None, "http://www.w3.org/2000/svg")
    style = re.search("<style>(.*?)</style>", write(make(), "html"), re.DOTALL)
    assert style is not None and "url(" not in style[1] and "@import" not in style[1]
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    targets = {a["href"] for _, a in page.tags if a.get("href")}
    assert targets and targets <= {f"#{name}" for name in identifiers}


def test_the_policy_allows_the_own_script_and_nothing_else() -> None:
    page = Page(write(made_up(), "html"))
    (policy,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
    assert policy is not None and policy.startswith("default-src 'none';")
    assert "unsafe" not in policy and "http" not in policy
    assert policy.count("'sha256-") == 2


def test_the_page_says_what_the_text_report_says() -> None:
    text = Page(write(made_up(), "html")).text
    for wanted in (
        "5 claims: 1 supported, 1 refuted as expected, 1 refuted NOT as expected",
        "0.932 [0.910, 0.951]",
        "F(keep(nodes)) = 2.510",
        "97.5% after correction, p = 0.031",
        "about 1,234 prompts would settle it",
        "worst of 6 candidates: {a5.h0@END}",
        "undefined: the interval of the denominator contains 0",
        "Not the published scope: take = 5",
        "warning PD431",
        "direct: 20 members, largest first",
        'bundled("mini")',
    ):
        assert wanted in text, wanted
    tokens = Page(write(made_up(), "html")).texts
    assert " Mary" in tokens and " store" in tokens


def test_the_drawing_has_units_edges_and_effects() -> None:
    result = drawn()
    result["files"][0]["quantities"][2]["name"] = "direct[a0.h1@S2]"
    text = write(result, "html")
    page = Page(text)
    units = [a for tag, a in page.tags if tag == "g" and a.get("class") == "unit"]
    lines = [a for tag, a in page.tags if tag == "path" and a.get("class") == "edge"]
    assert len(units) == 4 and len(lines) == 3
    names = [claim["name"] for claim in result["files"][0]["claims"]]
    key = claim_key(1, 1 + names.index("sufficient"))
    assert units[0]["data-claims"] == key and units[1]["data-claims"] == ""
    assert "a0.h1@S2\nfirst\ndirect: 20.00 [19.90, 20.10], n = 4</title>" in text
    assert "a0.h1@S2 → a1.h2@END (q,k)" in page.text
    assert [line["data-ends"] for line in lines] == ["0", "0 1", "1"]
    assert units[0]["aria-label"] == "a0.h1@S2; first; direct: 20.00 [19.90, 20.10], n = 4"
    boxes = re.findall(r'<title>(\S+?)[\n<][^>]*?>?<rect x="(\S+)" y="(\S+)"', text)
    places = {name: (float(x), float(y)) for name, x, y in boxes}
    assert places["a1.h2@END"][1] < places["a0.h1@S2"][1], "layers go upwards"
    assert places["a0.h1@S2"][0] < places["a1.h2@END"][0], "positions go across"


def test_a_line_goes_round_a_unit_that_stands_in_its_way() -> None:
    result = drawn()
    nodes = result["files"][0]["drawing"]["nodes"]
    nodes.append(nodes[1] | {"name": "a2.h0@END", "label": "a2.h0", "layer": 2})
    result["files"][0]["drawing"]["edges"] += [
        {"from": 1, "to": 4, "slots": ["v"]}, {"from": -1, "to": 4, "slots": ["v"]}
    ]  # fmt: skip
    paths = re.findall(r'data-ends="([^"]*)"[^>]*? d="M(\S+) \S+C(\S+) ', write(result, "html"))
    aside = {ends: float(bent) - float(start) for ends, start, bent in paths}
    assert aside["1 4"] == 0, "nothing stands between"
    assert aside["4"] > 30, "a1.h2 stands between input and a2.h0"


def test_a_drawing_without_its_edges_says_how_many_there_are() -> None:
    result = drawn()
    result["files"][0]["drawing"] |= {"edges": None, "n_edges": 5678}
    page = Page(write(result, "html"))
    assert "5,678 direct edges are too many to draw" in page.text
    assert not [a for _, a in page.tags if a.get("class") == "edge"]


def test_a_stranger_puts_no_markup_into_the_page() -> None:
    text = write(hostile(BAD), "html")
    assert "<script>alert" not in text and "<img" not in text
    assert Page(text).text.count("<script>alert(1)</script>") > 20, "shown as text"


def test_a_stranger_puts_no_command_into_latex() -> None:
    text = write(hostile(TEX), "tex")
    assert text.count(r"\textbackslash{}input") > 10, "shown as text"
    assert not [line for line in text.splitlines() if re.match(r"[^%]*\\(input|write)", line)]

    def special(text: str) -> list[str]:
        told = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
        return re.findall(r"(?<!\\)[#&$%^~_]", told)

    assert special(text) == special(write(hostile("& no formula"), "tex"))


@pytest.mark.parametrize("bad", ["a\nb \\end{document}\n% c", "x\r\n\\input{y}"])
def test_no_line_break_ends_a_comment_of_latex(bad: str) -> None:
    result = made_up()
    result["files"][0]["circuit"] = bad
    for line in write(result, "tex").splitlines():
        assert not re.match(r"\s*(\\end\{document|\\input)", line)


def test_a_stranger_puts_no_markup_into_markdown() -> None:
    bad = "<b>x</b> [l](http://evil.example) `` ` `` | ![i](y) *z* @name"
    text = write(hostile(bad), "md")
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert "<b>" not in outside and "http://" not in outside and "@name" not in outside
    assert not re.search(r"(?<!\\)\]\(", outside)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert cells == {8, 6}, "no text breaks a row of a table"


def test_macros_have_names_of_their_own() -> None:
    result = made_up()
    names = ["a1", "a_1", "aOne", "aOneValue", "!", "table"]
    claims = result["files"][0]["claims"]
    result["files"][0]["claims"] = [
        claims[i % len(claims)] | {"name": name} for i, name in enumerate(names)
    ]
    text = write(result, "tex")
    found = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}", text)
    found.remove("pdragged")
    of_sweep = {"pdFigureFolder", "pdFigureDirect", "pdFigureDirectCaption"}
    assert len(found) == len(set(found)) and of_sweep <= set(found)
    assert len(found) == 8 * len(names) + 9 + len(of_sweep)
    assert "pdAOneValue" in found and "pdAOnex" in found


def test_macros_of_several_files_have_the_names_of_their_circuits() -> None:
    result = made_up()
    result["files"] = [result["files"][0], json.loads(json.dumps(result["files"][0]))]
    found = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}", write(result, "tex"))
    assert "pdIoiSufficientValue" in found and "pdIoixSufficientValue" in found
    assert len(set(found) - {"pdragged"}) == len(found) - 2


def test_latex_has_a_macro_for_each_part_of_a_claim() -> None:
    text = write(drawn(), "tex")
    view = contents(drawn(), checked=False)[0]
    for part, value in (
        ("Value", r"\ensuremath{0.932}"),
        ("Interval", r"\ensuremath{[0.910,\penalty5000 0.951]}"),
        ("N", "4"),
        ("Verdict", "supported"),
    ):
        assert rf"\newcommand{{\pdSufficient{part}}}{{{value}}}" in text
    assert rf"\newcommand{{\pdHash}}{{\texttt{{{view.short_hash}}}, \pdSource}}" in text
    assert r"\newcommand{\pdSource}{laid out from JSON, not checked}" in text
    assert r"\item[{sufficient}] $\frac{\mathrm{A}}{2} \ge 80\%$" in text


def test_the_hash_is_of_what_came_out() -> None:
    one, other, third = made_up(), made_up(), made_up()
    other["files"][0]["store"] = {"computed": 1, "stored": 2, "beside_others": 0}
    third["files"][0]["claims"][0]["estimate"] += 1e-12
    hashes = [contents(r, checked=False)[0].short_hash for r in (one, other, third)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("kind", ["html", "tex", "md"])
def test_equal_objects_give_equal_reports(kind) -> None:
    assert write(drawn(), kind) == write(drawn(), kind)
    empty = {"schema_version": 1, "files": [], "exit_code": 5}
    assert write(empty, kind).endswith("\n") or kind == "md"


@pytest.mark.parametrize("kind", ["html", "tex", "md"])
def test_results_of_before_the_details_are_laid_out(kind) -> None:
    old = made_up()
    for key in ("title", "sources", "rounding", "tasks", "prompts", "formulas", "drawing",
                "result_sha256"):  # fmt: skip
        del old["files"][0][key]
    assert "0.932" in write(read_result(json.dumps(old)), kind)


def test_results_follow_the_schema() -> None:
    Draft202012Validator(schema()).validate(drawn())
    assert read_result(json.dumps(drawn())) == drawn()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("circuit x {", "line 1"),
        ('{"schema_version": 1, "files": [], "exit_code": NaN}', "NaN"),
        ('{"schema_version": 2, "files": [], "exit_code": 0}', "schema_version"),
        ("[" * 100_000, "nested"),
        ("[]", "object"),
    ],
)
def test_what_is_no_result_is_refused(text: str, said: str) -> None:
    with pytest.raises(NotAResult, match=said):
        read_result(text)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"positions": []}, "none of its positions"), ({"nodes": []}, "a node that is not there")],
)
def test_a_drawing_that_does_not_hang_together_is_refused(change: dict, said: str) -> None:
    result = drawn()
    result["files"][0]["drawing"] |= change
    with pytest.raises(NotAResult, match=said):
        read_result(json.dumps(result))


def test_latex_prints_every_character_or_names_it() -> None:
    assert escape("50% of a_b\nc") == r"50\% of a\_b c"
    assert escape("中 é") == "[U+4E2D] é"
    assert escape("--") == "-{}-{}", "no ligature"
    assert macro_word("each[a9.h6@END]") == "eachANineHSixEND"


@pytest.mark.parametrize(
    ("latex", "plain"),
    [
        (r"\frac{\mathrm{a\_b}}{2} \ge 80\%", True),
        (r"\left(x\right)", True),
        (r"\input{x}", False),
        (r"x % y", False),
        (r"x$ \frac{1}{2} $", False),
        ("x} {y", False),
        ("^^5cinput", False),
        (r"\left(x", False),
        ("a & b", False),
    ],
)
def test_which_formulas_are_printed(latex: str, plain: bool) -> None:
    assert plain_formula(latex) is plain


def test_white_letters_can_be_read_on_every_colour() -> None:
    def light(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    for colour in PALETTE:
        red, green, blue = (light(colour[i : i + 2]) for i in (1, 3, 5))
        assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5, colour
