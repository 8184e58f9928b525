"""The page in a browser and LaTeX through pdflatex; each skips where its program is not there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pathdsl.lang.program import load_program
from pathdsl.report.formats import write
from pathdsl.report.formulas.latex import expression_latex
from tests.report.pages import BAD, TEX, drawn, hostile

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PDFLATEX = shutil.which("pdflatex")


@contextmanager
def browser(width: int, *, script: bool = True) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page of that width, what it asked for, and what it complained about."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tool:
        # Containers often run as root, where Chromium's own sandbox cannot start.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = tool.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = running.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=script
        )
        page = context.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        yield page, asked, complaints
        running.close()


def opened(page: Any, tmp_path: Path, result: dict[str, Any]) -> str:
    path = tmp_path / "report.html"
    path.write_text(write(result, "html"), encoding="utf-8")
    page.goto(path.as_uri())
    return path.as_uri()


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("make", [drawn, lambda: hostile(BAD)], ids=["drawn", "hostile"])
def test_the_page_asks_for_nothing_and_fits(tmp_path: Path, width: int, make: Any) -> None:
    with browser(width) as (page, asked, complaints):
        address = opened(page, tmp_path, make())
        assert asked == [address] and complaints == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img").count() == 0
        small = """[...document.querySelectorAll('p, td, th, li, dd, code, text')]
          .filter(e => e.getClientRects().length && parseFloat(getComputedStyle(e).fontSize) < 11)
          .length"""
        assert page.evaluate(small) == 0, "letters that nobody can read"


def test_choosing_a_claim_shows_it_alone(tmp_path: Path) -> None:
    with browser(1280) as (page, _, complaints):
        opened(page, tmp_path, drawn())
        assert page.locator("article.claim:visible").count() == 5
        page.select_option("select", label="sufficient")
        assert page.locator("article.claim:visible").count() == 1
        assert page.locator(".forest tbody tr:visible").count() == 1
        assert page.locator(".unit.away").count() == 3, "all units but the one it concerns"
        page.select_option("select", label="all claims")
        assert page.locator("article.claim:visible").count() == 5
        assert page.locator(".away").count() == 0 and complaints == []


def test_pointing_at_a_unit_tells_what_was_measured(tmp_path: Path) -> None:
    result = drawn()
    result["files"][0]["quantities"][2]["name"] = "direct[a0.h1@S2]"
    with browser(400) as (page, _, _):
        opened(page, tmp_path, result)
        page.locator(".unit").first.hover()
        assert (
            page.locator(".drawn .told").inner_text()
            == "a0.h1@S2 · first · direct: 20.00 [19.90, 20.10], n = 4"
        )
        assert page.locator(".edge.dim").count() == 1, "all lines but those of the unit"
        page.locator(".unit").nth(1).focus()
        assert page.locator(".drawn .told").inner_text().startswith("a1.h2@END · second")
        page.locator("h1").hover()
        assert page.locator(".drawn .told").inner_text().startswith("a1.h2@END"), (
            "it has the keyboard"
        )
        page.keyboard.press("Tab")
        assert page.locator(".drawn .told").inner_text().startswith("a1.h3@END")
        placed = "e => getComputedStyle(e).position"
        assert page.locator(".drawn .told").evaluate(placed) == "sticky", "in view from every unit"
        page.evaluate("document.activeElement.blur()")
        page.wait_for_function("document.querySelectorAll('.edge.dim').length === 0")
        assert page.locator(".drawn .told").inner_text().startswith("Point at a unit")
        assert page.locator(".drawn .told").evaluate(placed) == "static", "it covers nothing"


def test_formulas_are_drawn_and_numbers_of_the_axis_do_not_touch(tmp_path: Path) -> None:
    result = drawn()
    half = "<math><mfrac><mrow><mi>a</mi></mrow><mrow><mn>2</mn></mrow></mfrac></math>"
    result["files"][0]["formulas"][0]["mathml"] = half
    with browser(400) as (page, _, complaints):
        opened(page, tmp_path, result)
        above, below = (
            page.locator(f"mfrac > :{which}-child").bounding_box() for which in ("first", "last")
        )
        assert above["y"] + above["height"] <= below["y"] and complaints == []
        touching = """[...document.querySelectorAll('.strip')].filter(strip => {
          const boxes = [...strip.querySelectorAll('text')].map(e => e.getBoundingClientRect());
          return boxes.some((a, i) => boxes.some((b, j) => i < j && a.right > b.left));
        }).length"""
        assert page.locator(".strip text").count() >= 8 and page.evaluate(touching) == 0


def test_all_is_there_without_scripts(tmp_path: Path) -> None:
    with browser(1280, script=False) as (page, _, _):
        opened(page, tmp_path, drawn())
        assert page.locator("article.claim:visible").count() == 5
        assert not page.locator(".tools").is_visible() and not page.locator(".told:visible").count()
        assert page.locator(".unit:visible").count() == 4


def typeset(tmp_path: Path, document: list[str]) -> str:
    """Compiles the lines as `paper.tex`; the log."""
    (tmp_path / "paper.tex").write_text("\n".join(document), encoding="utf-8")
    done = subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    return (tmp_path / "paper.log").read_text(encoding="utf-8", errors="replace")


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_latex_fits_a_column_of_two(tmp_path: Path) -> None:
    result = drawn()
    file = result["files"][0]
    text = "let effect = mean(abs(LD(reference) - LD(treat(through(name_movers) | through(h)))))\n"
    expression = load_program("x.circuit", text)[0].lets["effect"].expression
    latex = expression_latex(expression, lambda span: text[span.start : span.end])
    file["formulas"].append({"kind": "let", "name": "effect", "text": text, "latex": latex})
    file["claims"][3]["verdict"] = "inconclusive"
    file["claims"][0] |= {"estimate": -0.000140, "interval": [-0.000207, -0.000075]}
    file["claims"][1] |= {"relation": "~=", "within": 0.25}
    (tmp_path / "result.tex").write_text(write(result, "tex"), encoding="utf-8")
    log = typeset(
        tmp_path,
        [
            r"\documentclass[twocolumn]{article}\usepackage[T1]{fontenc}",
            r"\usepackage{array,textcomp,amsmath,amssymb,booktabs}\input{result.tex}",
            r"\begin{document}\begin{table}\small\pdTable\end{table}\pdFormulas\end{document}",
        ],
    )
    over = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(over, default=0.0) < 2.0, log[-3000:]


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("make", [drawn, lambda: hostile(TEX)], ids=["drawn", "hostile"])
def test_latex_compiles(tmp_path: Path, make: Any) -> None:
    (tmp_path / "result.tex").write_text(write(make(), "tex"), encoding="utf-8")
    stem = "pdSufficient" if make is drawn else "pdFiveZeroInputSecretWriteOneEightRm"
    document = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{array,textcomp,amsmath,amssymb,booktabs}",
        r"\input{result.tex}",
        r"\begin{document}",
        rf"Found: \{stem}; \{stem}Value, \{stem}Interval, \{stem}N, \{stem}Verdict, \{stem}Hash.",
        r"\begin{table}[h]\centering\small\pdTable\caption{\pdScope}\end{table}",
        r"\pdFormulas \pdMethod Lock: \pdLock.",
        r"\end{document}",
    ]
    typeset(tmp_path, document)
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    reader = shutil.which("pdftotext")
    if reader is not None and make is drawn:
        subprocess.run([reader, "-layout", "paper.pdf"], cwd=tmp_path, check=True, timeout=60)
        text = (tmp_path / "paper.txt").read_text(encoding="utf-8")
        assert "0.932 [0.910, 0.951], n = 4, supported" in text
        assert "sufficient" in text and "≥ 0.8" in text
