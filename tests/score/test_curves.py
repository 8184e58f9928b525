"""The curve behind an area: each point is a quantity that a file could have asked for."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from functools import cache

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.errors import ExitCode
from pathdsl.lang.rules import pages
from pathdsl.report.content.curves import curves_of
from pathdsl.report.data.result import check_object, file_object, schema
from pathdsl.report.figures.curve import curve_svg
from pathdsl.report.page.html import html
from pathdsl.report.page.markdown import markdown
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from pathdsl.score.scores.areas import SIZES, weights
from tests.score.fakes import HEADER, PATHS, FakeRanking
from tests.score.test_areas import FILE, layout, score_file  # noqa: F401
from tests.score.test_scores import f, run

AREAS = (
    'let up = cpr(edges("scores.json"), rank: signed)\n'
    'claim away: cmd(edges("scores.json"), rank: signed) <= 2 at 95% confidence\n'
    'let other = cmd(edges("scores.json"), rank: absolute)\n'
)


@cache
def judged(average: str = "ratio_of_means"):
    """The areas on the fake world, and its session."""
    header = HEADER.replace("treated = other", f"treated = other; average = {average}")
    return run(AREAS, header=header)[:2]


@pytest.mark.parametrize("average", ["ratio_of_means", "mean_of_ratios"])
def test_points_by_hand(average):
    judgement, s = judged(average)
    signed, absolute = judgement.curves
    assert (signed.of, signed.rank) == ('edges("scores.json")', "signed")
    assert signed.names == ("up", "away") and absolute.names == ("other",)
    for curve in (signed, absolute):
        m, e = f(s, ()), f(s, PATHS)
        ranking = FakeRanking(curve.rank == "signed")
        for size, point in zip(SIZES, curve.points, strict=True):
            c = f(s, PATHS - ranking.first(int(size * 1000)))
            if average == "mean_of_ratios":
                height = ((c - e) / (m - e)).mean()
            else:
                height = (c.mean() - e.mean()) / (m.mean() - e.mean())
            assert (point.share, point.edges) == (size, int(size * 1000))
            assert point.estimate == pytest.approx(height)
            assert point.distance == pytest.approx(abs(1 - height))
            assert point.interval[0] <= point.estimate <= point.interval[1]
            assert point.distance_interval[0] >= 0
    up = next(q for q in judgement.quantities if q.name == "up")
    assert up.estimate == pytest.approx(
        np.dot(weights(), [point.estimate for point in signed.points])
    )
    assert len(s.rounds) == 1


def test_no_area_no_curve():
    judgement, *_ = run("let x = faithfulness(C)\n")
    assert judgement.curves == ()


def test_an_area_above_one_is_no_faithfulness(monkeypatch):
    judgement, _ = judged()
    area = next(q for q in judgement.quantities if q.name == "up").estimate
    assert (area > 1) is any(d.code == "PD545" for d in judgement.diagnostics)
    for height, said in ((1.62, True), (1.0, False)):
        monkeypatch.setattr("pathdsl.score.curves._measured", lambda *_, h=height: (h, (h, h)))
        judgement, *_ = run(AREAS.splitlines()[0])
        told = [d for d in judgement.diagnostics if d.code == "PD545"]
        assert bool(told) is said
        if told:
            (one,) = told  # once for the area, and not for the distances
            assert one.message == "the area of `up` is 1.62, above 1: it is no faithfulness"
            assert one.severity.value == "warning" and "PD545" in pages()
            assert "the first 1 edges (0.1%) have 1.62" in one.notes


@pytest.fixture(scope="module")
def checked(layout, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("curve")
    (folder / "scores.json").write_text(json.dumps(score_file(layout)))
    path = folder / "curve.circuit"
    path.write_text(FILE + AREAS)
    outcome = check_file(str(path), CheckOptions(threads=1))
    assert outcome.judgement is not None, outcome.diagnostics
    return outcome


def test_every_report_has_the_curve(checked):
    text = report(checked, View())
    assert "Curves" in text and 'edges("scores.json"), rank: signed (read by up, away)' in text
    assert "size" in text and "100%" in text
    result = check_object([file_object(checked)], ExitCode.AS_EXPECTED)
    Draft202012Validator(schema()).validate(result)
    page = html(result, checked=True)
    assert page.count('<svg class="curve"') == 2 and "per cent of all edges" in page
    assert "## Curves" in markdown(result, checked=True)
    (first, _) = curves_of(result["files"][0])
    assert [row.size for row in first.rows][:2] == ["0.1%", "0.2%"]
    assert first.rows[-1].faithful.estimate.startswith("1")
    picture = ET.fromstring(str(curve_svg(first, "c")))
    dots = list(picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 2 * len(SIZES)  # the dot, and the place that answers to pointing


def test_points_that_are_undefined_are_left_out():
    empty = {"estimate": None, "interval": None, "distance": None, "distance_interval": None}
    points = [{"share": size, "edges": 1, **empty} for size in SIZES]
    curve = {"of": "x", "rank": "signed", "confidence": 0.95, "names": ["a"], "points": points}
    (content,) = curves_of({"curves": [curve], "rounding": 1e-9})
    assert "undefined" in content.rows[0].told
    ET.fromstring(str(curve_svg(content, "<x>")))
    points[3] |= {"estimate": 2.5, "interval": [1.0, 4.0]}
    (content,) = curves_of({"curves": [curve], "rounding": 1e-9})
    ET.fromstring(str(curve_svg(content, "<x>")))


def test_a_curve_as_a_file(checked):
    pytest.importorskip("matplotlib")
    from pathdsl.report.figures.files import figure_files

    result = check_object([file_object(checked)], ExitCode.AS_EXPECTED)
    files = dict(figure_files(result))
    assert list(files) == [
        "curve-up_away.png", "curve-up_away.pdf", "curve-other.png", "curve-other.pdf",
    ]  # fmt: skip
    assert files["curve-up_away.png"].startswith(b"\x89PNG")
    assert files == dict(figure_files(result))
