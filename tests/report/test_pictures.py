"""Pictures of sweeps: where members stand, what tells cells apart, files, arrays, the terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import pathdsl
from pathdsl.api import Result
from pathdsl.lang.program import load_program
from pathdsl.lang.render import width
from pathdsl.lang.visible import printed
from pathdsl.report.data.read import ChangedResult, read_result
from pathdsl.report.data.result import dump, schema
from pathdsl.report.figures.colours import ABOVE, BELOW, colour, ink, luminance
from pathdsl.report.figures.grid import Picture, in_matrix, named_pictures, picture_of, pictures
from pathdsl.report.figures.svg import picture_svg
from pathdsl.report.formats import write
from pathdsl.report.text.check import report
from pathdsl.report.text.matrix import matrix_lines
from pathdsl.report.text.style import View
from pathdsl.score.places import Place, place_of, spelled
from pathdsl.score.results import Judgement, QuantityResult
from tests.cli.run import pathdsl as command
from tests.report.outcomes import outcome, quantity
from tests.report.pages import BAD, made_up, sealed

QUICKSTART = Path(__file__).parents[2] / "hypotheses" / "quickstart"


def member(name: str, estimate: float | None, half: float | None = 0.1, **more: Any) -> dict:
    ends = None if estimate is None or half is None else [estimate - half, estimate + half]
    return {
        "name": name, "unit": "logits", "estimate": estimate, "interval": ends, "n": 9,
        "confidence": 0.95, "members": [], "notes": [], "prompts": None, **more,
    }  # fmt: skip


def heads(layers: int, count: int, name: str = "sweep", at: str = "", **more: Any) -> list[dict]:
    """Values of both signs; those near 0 have an interval that contains it."""
    return [
        member(f"{name}[a{i}.h{j}{at}]", (-1.0) ** j * (i + j / 10) / 2, **more)
        for i in range(layers)
        for j in range(count)
    ]


def drawn(members: list[dict], noise: float = 0.0) -> Picture:
    picture = picture_of(members, noise)
    assert picture is not None
    return picture


def mark_of(picture: Picture, name: str) -> str:
    return next(cell.mark for cell in picture.cells if cell.name == name)


# ------------------------------------------------------------------------------ where they stand


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ("a9.h6@END", Place(kind="head", layer=9, head=6, position="END")),
        ("m5", Place(kind="mlp", layer=5)),
        ("m5.n17@S1+1", Place(kind="neuron", layer=5, neuron=17, position="S1+1")),
        ("r24@[3]", Place(kind="mark", layer=24, position="[3]")),
        ("m0..m4", Place(kind="mlp", layer=0, to="m4")),
        ("a0.h2@END..a1.h0@END", Place(kind="head", layer=0, head=2, position="END", to="a1.h0")),
        ("a3..a5", Place(kind="layer", layer=3, to="a5")),
        ("{m5, except m5.n[0..63]}@END", Place(kind="set", position="END")),
        ("movers", None),
        ("", None),
    ],
)
def test_places_are_read_as_they_are_written(label: str, place: Place | None) -> None:
    assert spelled(label) == place


@pytest.mark.parametrize(
    ("path", "slot"),
    [
        ("a0.h0 -[v]-> h -> logits", "v"),
        ("h -[k]-> a1.h2 -> logits", "k"),
        ("a0.h0 -> h -[q]-> a1.h2 -> logits", "q"),
        ("a0.h0 -[k]-> h -[q]-> a1.h2", None),
        ("h -[q,k]-> a1.h2", None),
        ("a0.h0 -[v]-> a1.h1 -> h", None),
        ("through(h)", None),
    ],
)
def test_the_slot_is_that_of_the_arrow_beside_the_variable(path: str, slot: str | None) -> None:
    text = f"let x for h in attn: logits = mean(LD(treat({path})) - LD(reference))\n"
    program, _ = load_program("x.circuit", text)
    found = place_of(program.lets["x"], {"h": "a0.h1"})
    assert found is not None and (found.slot, found.head) == (slot, 1)


def test_a_variable_of_its_own_says_the_position() -> None:
    text = "let x for h in attn: logits = mean(LD(treat(through(h@p))) - LD(reference))\n"
    program, _ = load_program("x.circuit", text)
    found = place_of(program.lets["x"], {"h": "r5", "p": "S2"})
    assert found == Place(kind="mark", layer=5, position="S2")
    assert place_of(program.lets["x"], {"h": "r5", "g": "a0.h0"}) is None, "two nodes, no one place"


@pytest.fixture(scope="module")
def result() -> Result:
    return pathdsl.check(QUICKSTART / "induction.circuit")


def test_results_say_where_members_stand(result: Result) -> None:
    found = result.to_dict()
    Draft202012Validator(schema()).validate(found)
    file = found["files"][0]
    assert "at" not in file["quantities"][0], "no `for`"
    assert file["quantities"][2] ["at"] == {
        "kind": "head", "layer": 0, "head": 1, "neuron": None, "position": None, "slot": None,
        "to": None,
    }  # fmt: skip
    by_name = {claim["name"]: claim for claim in file["claims"]}
    assert by_name["each_part[a1.h2@END]"]["at"]["position"] == "END"
    moved = json.loads(dump(found))
    moved["files"][0]["quantities"][2]["at"]["head"] = 2
    with pytest.raises(ChangedResult, match=r"`effect_of\[a0.h1\]`, `at`: head 2 is not what"):
        read_result(dump(sealed(moved)))
    for one in (*moved["files"][0]["quantities"], *moved["files"][0]["claims"]):
        one.pop("at", None)
    assert [p.rows for p in pictures(moved["files"][0])] == [p.rows for p in pictures(file)], (
        "a result of before has pictures, too"
    )


# ------------------------------------------------------------------------------ rows and columns


def test_heads_are_layer_by_head_and_a_panel_for_each_position() -> None:
    one = drawn(heads(3, 4))
    assert (one.rows, one.columns) == (("0", "1", "2"), ("0", "1", "2", "3"))
    assert one.axes == "layer down, head across" and [p.title for p in one.panels] == [""]
    assert one.caption == "sweep: 12 members, layer down, head across, logits"
    two = drawn([*heads(3, 4, at="@S2"), *heads(3, 4, at="@END")])
    assert [panel.title for panel in two.panels] == ["@S2", "@END"] and two.columns == one.columns
    mixed = drawn([*heads(2, 2), member("sweep[m0]", 1.0), member("sweep[m1]", 1.0)])
    assert mixed.columns == ("0", "1", "MLP")


def test_marks_are_layer_by_position_and_at_one_position_a_strip() -> None:
    several = [member(f"heat[r{i}@{at}]", i) for i in range(11) for at in ("S2", "END")]
    heat = drawn(several)
    assert heat.rows == tuple(map(str, range(11))) and heat.columns == ("S2", "END")
    strip = drawn([member(f"heat[r{i}@END]", i) for i in range(11)])
    assert strip.rows == ("@END",) and strip.columns == tuple(map(str, range(11)))
    windows = drawn([member(f"w[m{i}..m{i + 4}]", i) for i in range(9)])
    assert windows.columns == tuple(map(str, range(9))) and windows.axes == "first layer across"


def test_further_variables_make_a_panel_each() -> None:
    members = [
        member(f"x[a{i}.h{j}, {task}]", 1.0, indices={"h": f"a{i}.h{j}", "t": task},
               at={"kind": "head", "layer": i, "head": j, "neuron": None, "position": None,
                   "slot": None, "to": None})
        for i in range(2) for j in range(2) for task in ("en", "zh")
    ]  # fmt: skip
    assert [panel.title for panel in drawn(members).panels] == ["en", "zh"]
    pairs = [
        member(f"x[{m}, {t}]", 1.0, indices={"m": m, "t": t}, at=None)
        for m in ("LD", "top") for t in ("en", "zh")
    ]  # fmt: skip
    assert (drawn(pairs).rows, drawn(pairs).columns) == (("LD", "top"), ("en", "zh"))


LOOPS = """
let heat for r in r[0..1], p in [FIRST_A, FIRST_B, END]: logits =
  mean(LD(reference) - LD(treat(through(r@p))))
let tok for r in r[0..1], i in [12..15]: logits = mean(LD(reference) - LD(treat(through(r@[i]))))
let edge for s in a0, h in a1: logits = mean(LD(reference) - LD(treat(s -> h -> logits)))
let pos for h in attn, p in [FIRST_B, END]: logits = mean(LD(reference) - LD(treat(through(h@p))))
let lay for l in windows(attn, 1, by: layer): logits = mean(LD(reference) - LD(treat(through(l))))
"""


def test_loops_over_several_variables_lie_as_one_reads_them(tmp_path: Path) -> None:
    text = (QUICKSTART / "induction.circuit").read_text(encoding="utf-8")
    path = tmp_path / "loops.circuit"
    path.write_text(text[: text.index("let effect_of")] + LOOPS, encoding="utf-8")
    found = pathdsl.check(path, take=16).families
    laid = {}
    for name, family in found.items():
        picture = family.picture()
        assert picture is not None
        laid[name] = (picture.columns, [panel.title for panel in picture.panels])
    assert laid == {
        "heat": (("FIRST_A", "FIRST_B", "END"), [""]),
        "tok": (("[12]", "[13]", "[14]", "[15]"), [""]),
        "edge": (("a1.h0", "a1.h1", "a1.h2"), [""]),
        "pos": (("0", "1", "2"), ["@FIRST_B", "@END"]),
        "lay": (("",), [""]),
    }
    assert found["heat"].matrix()[1, 2] == found["heat"]["r1, END"].estimate
    assert found["tok"].at[1] == Place(kind="mark", layer=0, position="[13]")


def test_few_members_stand_below_one_another_and_many_make_no_picture() -> None:
    few = [member(f"x[a{i}.h{j}]", 1.0) for i, j in ((9, 9), (9, 6), (10, 0), (7, 3))]
    assert drawn(few).rows == ("a9.h9", "a9.h6", "a10.h0", "a7.h3")
    assert not in_matrix(drawn(few))
    many = [member(f"x[m{i}.n{997 * i % 3072}]", 1.0) for i in range(50)]
    assert picture_of(many) is None and picture_of(few[:1]) is None


def test_families_that_differ_in_the_slot_share_a_picture_and_its_scale() -> None:
    def of(slot: str, size: float) -> list[dict]:
        at = {"kind": "head", "neuron": None, "position": None, "slot": slot, "to": None}
        return [
            member(f"into_{slot}[a{i}.h{j}]", size, at={**at, "layer": i, "head": j})
            for i in range(2) for j in range(2)
        ]  # fmt: skip

    file = {"circuit": "c", "quantities": [*of("q", 1.0), *of("k", 4.0)], "claims": []}
    (picture,) = pictures(file)
    assert picture.names == ("into_q", "into_k") and picture.limit == 4.0
    assert [panel.title for panel in picture.panels] == ["into_q, slot q", "into_k, slot k"]
    assert {cell.share for cell in picture.panels[0].cells.values()} == {0.25}
    assert len({len(cell.text) for cell in picture.cells}) == 1, "as many digits in all panels"
    assert [name for name, _ in named_pictures({"files": [file]})[0]] == ["into_q-into_k"]
    file["quantities"] += heads(2, 2, "total")
    assert len(pictures(file)) == 2


# ------------------------------------------------------------------------------ what is told apart


def test_what_may_be_0_is_undefined_or_below_0_is_marked() -> None:
    members = [
        member("x[a0.h0]", 2.0), member("x[a0.h1]", -2.0), member("x[a1.h0]", 0.05),
        member("x[a1.h1]", None),
    ]  # fmt: skip
    picture = drawn(members)
    assert [cell.mark for cell in picture.cells] == ["above", "below", "unsure", "undefined"]
    assert dict(picture.legend) == {
        "unsure": "the 95% interval contains 0", "below": "below 0", "undefined": "undefined"
    }  # fmt: skip
    tiny = drawn([member("x[a0.h0]", 1.0), member("x[a0.h1]", -2e-7, 1e-8)], 1e-6)
    assert mark_of(tiny, "x[a0.h1]") == "unsure", "nothing but rounding"
    nothing = drawn([member("x[a0.h0]", 3e-8, 1e-8), member("x[a0.h1]", -2e-7, 1e-8)], 1e-6)
    assert nothing.limit == 0 and {cell.text for cell in nothing.cells} == {"0"}
    assert str(picture_svg(nothing, "x")).count("<rect") == 1 + 2 + 1, "no scale of rounding"
    counted = drawn([member("x[a0.h0]", 3.0, None), member("x[a0.h1]", 0.0, None)])
    assert counted.legend == [] and not counted.signed


def test_a_claim_is_marked_by_what_it_wants() -> None:
    more = {"threshold": 1.0, "verdict": "inconclusive", "n": 4}
    claims = [
        member(f"c[a{i}.h{j}]", 1.0 + 2 * i, unit="none", **more)
        for i in range(2)
        for j in range(2)
    ]
    picture = drawn(claims)
    assert picture.zero == "1" and dict(picture.legend)["unsure"] == "the 95% interval contains 1"
    assert mark_of(picture, "c[a0.h0]") == "unsure" and mark_of(picture, "c[a1.h0]") == "above"
    assert "inconclusive" in picture.cells[0].told
    claims[1] |= {"estimate": 1e-8, "interval": [0.0, 2e-8]}
    assert mark_of(drawn(claims, 1e-6), "c[a0.h1]") == "above", "it is plain that it is not 1"


def test_colours_are_as_dark_as_values_are_large_on_both_sides() -> None:
    for stops in (ABOVE, BELOW):
        assert all(luminance(a) > luminance(b) for a, b in pairwise(stops))
    assert all(
        abs(luminance(a) - luminance(b)) < 0.01 for a, b in zip(ABOVE, BELOW, strict=True)
    ), "in grey both sides are alike"
    shares = [i / 50 - 1 for i in range(101)]
    assert colour(0.0) == ABOVE[0] and colour(-1.0) == BELOW[-1] and colour(1.0) == ABOVE[-1]
    grey = [luminance(colour(share)) for share in shares if share >= 0]
    assert all(a > b for a, b in pairwise(grey))


def test_letters_are_read_on_every_colour() -> None:
    for share in (i / 100 - 1 for i in range(201)):
        light, dark = sorted((luminance(colour(share)), luminance(ink(colour(share)))))[::-1]
        assert (light + 0.05) / (dark + 0.05) >= 4.5, share


# Viénot, Brettel, Mollon 1999: what is left of linear RGB without M cones, or without L cones.
BLIND = {
    "deuteranopia": [[0.29275, 0.70725, -0.02234], [0.29275, 0.70725, -0.02234], [0, 0, 1.0]],
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
}


@pytest.mark.parametrize("kind", BLIND)
def test_both_sides_differ_for_the_colour_blind(kind: str) -> None:
    def seen(colour: str) -> np.ndarray:
        """CIELAB of a colour as it is seen."""
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(np.array(BLIND[kind]) @ linear, 0, 1)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        xyz = np.array(to_xyz) @ linear / np.array([0.95047, 1.0, 1.08883])
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    for i in range(1, 9):
        apart = np.linalg.norm(seen(colour(i / 8)) - seen(colour(-i / 8)))
        assert apart > 15 * min(1, i / 2), i  # about 2 is seen beside one another


# ------------------------------------------------------------------------------ SVG and the page


SVG = "{http://www.w3.org/2000/svg}"


def cells(svg: str) -> list[ElementTree.Element]:
    return [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("class") == "cell"]


def test_every_member_is_a_cell_that_says_its_number_and_one_takes_the_keyboard() -> None:
    svg = str(picture_svg(drawn(heads(3, 4)), "x"))
    found = cells(svg)
    assert len(found) == 12 and [g.get("tabindex") for g in found].count("0") == 1
    told = found[5].findtext(f"{SVG}title")
    assert told == found[5].get("aria-label") == "sweep[a1.h1]: -0.55 [-0.65, -0.45], logits, n = 9"
    assert "".join(found[5].itertext()).endswith("-0.55"), "the number is large enough to stand"
    assert "style=" not in svg and "href" not in svg and "url(" not in svg


@pytest.mark.parametrize(("layers", "count", "numbers"), [(24, 16, True), (48, 30, False)])
def test_large_sweeps_fit_and_stay_readable(layers: int, count: int, numbers: bool) -> None:
    svg = str(picture_svg(drawn(heads(layers, count)), "x"))
    root = ElementTree.fromstring(svg)
    assert float(root.get("width", "")) <= 1000 and float(root.get("height", "")) <= 820
    inside = [g for g in cells(svg) if g.find(f"{SVG}text") is not None]
    assert len(inside) == (layers * count if numbers else 0)
    rects = [r for g in cells(svg) for r in g.iter(f"{SVG}rect")]
    assert min(float(r.get(side, "0")) for r in rects for side in ("width", "height")) >= 9.5
    titles = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    lines = sorted(float(t.get("y", "")) for t in titles)
    assert all(b - a >= 11 for a, b in pairwise(lines)), "titles of rows do not touch"
    if not numbers:  # the sign is then said by a dash
        assert svg.count("h6.4") >= layers * count // 4


def test_undefined_differs_from_0_and_from_what_is_no_member() -> None:
    members = heads(2, 3)
    members[1] = member("sweep[a0.h1]", None)
    del members[2]
    members[2] = member("sweep[a1.h0]", 0.0, 0.0)
    svg = str(picture_svg(drawn(members), "x"))
    fills = {g.findtext(f"{SVG}title", "").partition(":")[0]: r.get("fill")
             for g in cells(svg) for r in g.iter(f"{SVG}rect")}  # fmt: skip
    assert fills["sweep[a0.h1]"] == "#ffffff" and fills["sweep[a1.h0]"] == colour(0.0)
    assert "sweep[a0.h2]" not in fills and len(fills) == 5
    assert "undefined" in svg


def test_the_page_has_the_picture_and_escapes_what_a_stranger_wrote() -> None:
    result = made_up()
    text = write(result, "html")
    assert text.count('class="cell"') == 20 and ">Sweeps</h2>" in text
    assert text == write(result, "html")
    members = [member(f"{BAD}[{BAD}{i}]", i, unit=BAD) for i in range(3)]
    result["files"][0]["quantities"] = members
    hostile = write(result, "html")
    assert hostile.count('class="cell"') == 3
    assert "<img" not in hostile and "<script>alert" not in hostile


# ------------------------------------------------------------------------------ files


def test_names_of_files_are_plain_whatever_a_stranger_wrote() -> None:
    members = [
        member(f"{name}[a{i}.h{j}]", 1.0)
        for name in ("../../x", "a/b", "a_b", "A_b", "n" * 300) for i in range(2) for j in range(2)
    ]  # fmt: skip
    file = {"circuit": "../c", "quantities": members, "claims": []}
    names = [name for name, _ in named_pictures({"files": [file]})[0]]
    assert names[:4] == ["______x", "a_b", "a_bx", "A_bxx"] and max(map(len, names)) <= 100
    both = named_pictures({"files": [file, file]})
    assert both[0][1][0] == "___c-a_b" and both[1][1][0] == "___c-a_bxxx"


def test_latex_has_a_macro_for_each_picture() -> None:
    text = write(made_up(), "tex")
    assert r"\newcommand{\pdFigureFolder}{figures/}" in text
    assert r"{\includegraphics[width=\linewidth]{\pdFigureFolder direct.pdf}}" in text
    assert r"\newcommand{\pdFigureDirectCaption}{direct: 20 members" in text
    assert "; dash: below 0}" in text and "pdFigure" not in write(made_up(), "tex", referee=True)


def test_files_need_matplotlib_and_say_so(tmp_path: Path) -> None:
    stored = tmp_path / "r.json"
    stored.write_text(dump(made_up()), encoding="utf-8")
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pathdsl.cli.main import main\n"
        f"main(['report', {str(stored)!r}, '--figures', 'figs'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and "pip install 'pathdsl[figures]'" in " ".join(
        done.stderr.split()
    )
    assert not (tmp_path / "figs").exists()


def test_pictures_as_files_are_the_same_bytes_again(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from pathdsl.report.figures.files import figure_files

    result = made_up()
    result["files"][0]["quantities"] += [*heads(3, 4), *heads(3, 4, at="@S2")][:20]
    result["files"][0]["quantities"][-1] |= {"estimate": None, "interval": None}
    sealed(result)
    files = dict(figure_files(result))
    assert sorted(files) == ["direct.pdf", "direct.png", "sweep.pdf", "sweep.png"]
    assert files == dict(figure_files(result))
    for name, written in files.items():
        assert written.startswith(b"\x89PNG" if name.endswith("png") else b"%PDF")
        assert not re.search(rb"Date|matplotlib|Matplotlib", written), "no date and no program"
    stored = tmp_path / "r.json"
    stored.write_text(dump(made_up()), encoding="utf-8")
    done = command("report", str(stored), "--figures", "out/figs", "-o", "r.html", cwd=tmp_path)
    assert "out/figs: 2 files" in done.stderr
    assert (tmp_path / "out/figs/direct.png").read_bytes() == files["direct.png"]


# ------------------------------------------------------------------------------ Python


def test_a_family_is_arrays(result: Result) -> None:
    family = result["effect_of"]
    assert repr(family) == "<pathdsl family 'effect_of': 6 members>"
    assert (len(family), family.unit, family.labels[1]) == (6, "logits", "a0.h1")
    assert family.matrix().shape == (2, 3) and family.intervals.shape == (6, 2)
    assert family.matrix()[0, 1] == family["a0.h1"].estimate == result["effect_of[a0.h1]"].estimate
    assert family.matrix("low")[1, 2] == family.intervals[5, 0] <= family.estimates[5]
    assert [one.name for one in family] == [q.name for q in result.quantities[1:]]
    assert list(result.families) == ["effect_of", "each_part"]
    claims = result["each_part"]
    assert np.isnan(claims.matrix()).tolist() == [[True, False, True], [True, True, False]]
    assert claims.positions == ("FIRST_B", "END") and claims.at[1].head == 2
    assert np.isnan(claims.matrix(position="END")[0]).all()
    with pytest.raises(ValueError, match="has no member at `S9`; it has FIRST_B, END"):
        claims.matrix(position="S9")
    with pytest.raises(ValueError, match='wanted "estimate"'):
        family.matrix("median")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="has no member"):
        family["a7.h0"]
    with pytest.raises(KeyError, match="did you mean `effect_of`"):
        result["efect_of"]


def of_labels(*labels: str) -> Any:
    """The family of a made-up sweep over these."""
    members = [quantity(f"x[{label}]", float(i)) for i, label in enumerate(labels)]
    judged = replace(outcome(), judgement=Judgement(quantities=tuple(members), claims=()))
    return Result(outcome=judged)["x"]


def test_matrices_by_position_and_what_has_no_place() -> None:
    heat = of_labels("r0@S2", "r0@END", "r2@END")
    assert np.array_equal(heat.matrix(), [[0, 1], [np.nan, np.nan], [np.nan, 2]], equal_nan=True)
    twice = of_labels("a0.h0@S2", "a0.h0@END", "a0.h1@END")
    with pytest.raises(ValueError, match=r"have one place; give one position, `matrix\(position="):
        twice.matrix()
    assert twice.matrix(position="END").tolist() == [[1, 2]]
    mixed = of_labels("a0.h0", "a0.h1", "m0")
    assert mixed.matrix().tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match=r"`x\[movers\]` has no layer"):
        of_labels("movers", "a0.h0").matrix()


class Balanced(HTMLParser):
    """Which tags were opened and closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_notebooks_show_the_picture(result: Result) -> None:
    for text, count in ((result["effect_of"]._repr_html_(), 6), (result._repr_html_(), 6)):
        assert Balanced(text).open == [] and text.count('class="cell"') == count
        assert "<script" not in text
    assert result["each_part"]._repr_html_().count("<tr>") == 3
    odd = of_labels(*(f"other{i}" for i in range(60)))
    assert "<svg" not in odd._repr_html_() and "60 members" in odd._repr_html_()


def test_frames_have_the_places(result: Result) -> None:
    pytest.importorskip("pandas")
    frame = result.to_frame("quantities")
    sweep = frame[frame["name"] == "effect_of"]
    table = sweep.pivot(index="layer", columns="head", values="estimate")
    assert table.shape == (2, 3) and frame["layer"].dtype == "Int64"


# ------------------------------------------------------------------------------ the terminal


def sweeping(quantities: list[QuantityResult], view: View) -> str:
    judged = Judgement(quantities=tuple(quantities), claims=())
    return report(replace(outcome(), judgement=judged), view)


def grid(layers: int, count: int) -> list[QuantityResult]:
    return [
        quantity(f"x[a{i}.h{j}]", (-1.0) ** j * (i + j / 10) / 2)
        for i in range(layers) for j in range(count)
    ]  # fmt: skip


def test_a_long_sweep_that_fills_a_matrix_is_one() -> None:
    told = sweeping(grid(4, 4), View())
    assert "x (16 members, largest first)" in told and told.count("    [a") == 6
    lines = told.splitlines()
    start = next(i for i, line in enumerate(lines) if re.search(r"layer +0 +1", line))
    assert [line.split() for line in lines[start : start + 3]] == [
        ["layer", "0", "1", "2", "3"],
        ["0", "0.00?", "-0.05?", "0.10?", "-0.15"],
        ["1", "0.50", "-0.55", "0.60", "-0.65"],
    ]
    said = "all 16, layer × head; ? where the 95% interval contains 0; `--all`: every interval"
    assert said in " ".join(told.split())
    everything = sweeping(grid(4, 4), View(everything=True))
    assert everything.count("    [a") == 16 and "layer  " not in everything


def test_short_and_too_wide_sweeps_stay_lists() -> None:
    assert "layer  " not in sweeping(grid(2, 3), View())
    wide = sweeping(grid(3, 30), View())
    assert "… 78 between" in wide and "layer  " not in wide
    fewer = matrix_lines(drawn(heads(12, 12)), View(), "      ")
    assert len(fewer) == 13 and max(map(width, fewer)) <= 100
    narrow = matrix_lines(drawn(heads(12, 12)), View(width=84), "      ")
    assert narrow and max(map(width, narrow)) <= 84 and "?" in narrow[1]


def test_colours_of_a_matrix_change_nothing_else() -> None:
    made = grid(4, 4)[:-2]
    plain, bright = sweeping(made, View()), sweeping(made, View(colour=True))
    assert re.search(r"\x1b\[1m +-0\.15\d* ?\x1b", printed(bright)), "what is not 0 is bold"
    assert re.search(r"\x1b\[2m +0\.00\d*\?\x1b", printed(bright)), "what may be 0 is faint"
    assert re.sub(r"\x1b\[[0-9;]*m", "", printed(bright)) == plain
