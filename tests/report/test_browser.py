"""The page as it is used: keyboard, touch, dark, narrow, on paper, and a folder of pages.

What needs Chromium skips without it; contrast and the order of the keyboard do not.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pathdsl.report.data.result import check_object
from pathdsl.report.figures.colours import luminance
from pathdsl.report.formats import write
from pathdsl.report.page.html import html_pages, page_names
from pathdsl.report.page.template import text_of
from tests.report.pages import BAD, drawn, hostile
from tests.report.test_looks import browser, opened
from tests.report.test_pictures import heads
from tests.report.test_written import Page


def full() -> dict[str, Any]:
    """A result with a drawing, a sweep and a curve."""
    result = drawn()
    file = result["files"][0]
    file["quantities"] += heads(3, 4)
    points = [
        {"share": share, "edges": edges, "estimate": value, "interval": [value - 0.1, value + 0.1],
         "distance": 1.0, "distance_interval": None}
        for share, edges, value in ((0.01, 5, 0.2), (0.1, 50, 0.7), (1.0, 500, 1.0))
    ]  # fmt: skip
    file["curves"] = [{"of": "eap.json", "rank": "size", "confidence": 0.95, "names": ["cpr"],
                       "points": points}]  # fmt: skip
    return result


def several(make: Any = full) -> dict[str, Any]:
    """Two files of one folder."""
    files = [make()["files"][0] for _ in range(2)]
    files[0]["path"], files[1]["path"] = "all/one.circuit", "all/in/two.circuit"
    return check_object(files, files[0]["exit_code"])


class Outline(HTMLParser):
    """Headings, what the keyboard reaches in its order, and tables without a caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.reached: list[str] = []
        self.tables = self.captions = self.bare_heads = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.bare_heads += tag == "th" and "scope" not in given
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag in ("a", "summary", "select") or given.get("tabindex") == "0":
            self.reached.append(given.get("href") or given.get("class") or tag)
        assert int(given.get("tabindex") or 0) in (0, -1), "the order is that of the page"


def test_the_outline_is_that_of_a_document() -> None:
    for text in (write(full(), "html"), write(several(), "html")):
        found = Outline(text)
        assert found.reached[0] == "#main", "the first stop skips to the results"
        assert found.tables == found.captions > 5 and found.bare_heads == 0
        assert found.headings[0] == 1
        assert all(b - a <= 1 for a, b in zip(found.headings, found.headings[1:], strict=False))
        page = Page(text)
        assert page.wrong == [] and page.open == []
        identifiers = [a["id"] for _, a in page.tags if "id" in a]
        assert len(identifiers) == len(set(identifiers))
        named = [a[key] for _, a in page.tags for key in ("aria-labelledby", "for") if key in a]
        named += [a["href"][1:] for _, a in page.tags if (a.get("href") or "").startswith("#")]
        assert named and set(named) <= set(identifiers)


def colours() -> list[dict[str, str]]:
    """The colours by name, in the light and in the dark."""
    style = text_of("report.css")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(blocks) == 2
    found = [dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block)) for block in blocks]
    assert found[0].keys() == found[1].keys()
    return found


def test_letters_can_be_read_in_the_light_and_in_the_dark() -> None:
    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for palette in colours():
        for ground in ("paper", "wash", "warn"):
            for ink in ("ink", "soft", "link", "good", "bad", "open"):
                assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
        assert contrast(palette["ink"], palette["bar"]) >= 4.5
        for mark in ("good", "bad", "open", "ink"):
            assert contrast(palette[mark], palette["wanted"]) >= 3, mark
        assert contrast(palette["edge"], palette["band"]) >= 3


def test_pages_of_a_folder_have_names_of_their_own() -> None:
    assert page_names(["x/a.circuit"]) == ["a.html"] and page_names([]) == []
    assert page_names(["x/a.circuit", "x/y/A.circuit", "x\\a.circuit"]) == [
        "a.html", "y-A.html", "a-2.html",
    ]  # fmt: skip
    assert page_names(["index.circuit", "../..", "/", BAD, "n" * 300])[:3] == [
        "index-2.html", "file.html", "file-2.html",
    ]  # fmt: skip
    for name in page_names([BAD, "../x", "a/../../b", "n" * 300]):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,104}\.html", name), name


def test_a_folder_of_pages_hangs_together() -> None:
    pages = dict(html_pages(several(), checked=True))
    assert list(pages) == ["index.html", "one.html", "in-two.html"]
    links = [a["href"] for _, a in Page(pages["index.html"]).tags if a.get("href")]
    assert links == ["#main", "one.html", "in-two.html"]
    assert "2 files, 10 claims: 2 supported" in Page(pages["index.html"]).text
    assert "1 warning" in Page(pages["index.html"]).text
    back = [a["href"] for _, a in Page(pages["one.html"]).tags if a.get("href")][:2]
    assert back == ["#main", "index.html"]
    bad = dict(html_pages(several(lambda: hostile(BAD)), checked=False))
    for text in bad.values():
        assert "<script>alert" not in text and "<img" not in text
        assert text.count("<script>") == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_ask_for_nothing_and_lead_to_one_another(tmp_path: Path, width: int) -> None:
    for name, text in html_pages(several(), checked=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with browser(width) as (page, asked, complaints):
        page.goto((tmp_path / "index.html").as_uri())
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the results"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/one.html")
        assert page.evaluate(wide) == 0
        page.get_by_text("All files of this report").click()
        page.wait_for_url("**/index.html")
        assert all(one.startswith(tmp_path.as_uri()) for one in asked) and complaints == []


def test_cells_and_dots_answer_to_pointing_touch_and_keys(tmp_path: Path) -> None:
    result = full()
    with browser(390) as (page, _, complaints):
        opened(page, tmp_path, result)
        told = page.locator(".pictured:has(.curve) .told")
        page.locator(".curve .cell").nth(1).hover()
        assert told.inner_text().startswith("10%, 50 edges: faithfulness 0.70 [0.60, 0.80]")
        page.locator(".curve .cell").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert told.inner_text().startswith("100%, 500 edges")
        sweep = page.locator(".pictured", has=page.locator("h3", has_text="sweep"))
        sweep.locator(".cell").nth(5).click()
        assert sweep.locator(".told").inner_text() == (
            "sweep[a1.h1]: -0.55 [-0.65, -0.45], logits, n = 9"
        )
        page.keyboard.press("ArrowDown")
        assert sweep.locator(".told").inner_text().startswith("sweep[a2.h1]")
        assert sweep.locator('.cell[tabindex="0"]').count() == 1
        unit = page.locator(".unit").nth(1)
        unit.click()
        assert page.locator(".drawn .told").inner_text().startswith("a1.h2@END · second")
        page.evaluate(
            "document.querySelector('.edge[data-ends=\"0 1\"]')"
            ".dispatchEvent(new MouseEvent('mouseenter'))"
        )
        assert page.locator(".drawn .told").inner_text() == "a0.h1@S2 → a1.h2@END (q,k)"
        page.select_option("select", label="sufficient")
        assert page.locator("article.claim:visible").count() == 1 and complaints == []


def test_the_dark_is_dark_and_paper_is_white(tmp_path: Path) -> None:
    with browser(1280) as (page, _, _):
        opened(page, tmp_path, full())
        ground = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) == "rgb(21, 27, 33)"
        page.emulate_media(color_scheme="dark", media="print")
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        closed = page.locator("details:not([open])").count()
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        assert (tmp_path / "page.pdf").stat().st_size > 20_000
        assert page.locator("details:not([open])").count() == closed > 0, "as it was before"
        page.set_viewport_size({"width": 680, "height": 900})  # A4 less its margins
        for name in ("svg.circuit", "svg.heat", "svg.curve"):
            for one in page.locator(name).all():
                box = one.bounding_box()
                assert box is None or box["x"] + box["width"] <= 680
