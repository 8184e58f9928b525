"""Formulas as MathML: every bracket that matters is there, and nothing but symbols is printed."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from pathdsl.lang.program import load_program
from pathdsl.report.formulas.mathml import claim_mathml, expression_mathml
from pathdsl.report.formulas.safe_mathml import plain_mathml


def infix(mathml: str) -> str:
    """The formula on one line: fractions as {a}/{b}, powers as a^{b}."""

    def told(element: ET.Element) -> str:
        parts = [told(inside) for inside in element]
        match element.tag:
            case "mfrac":
                return f"{{{parts[0]}}}/{{{parts[1]}}}"
            case "msup":
                return f"{parts[0]}^{{{parts[1]}}}"
        return (element.text or "") + "".join(parts)

    return told(ET.fromstring(mathml)).replace("\u00a0", " ")


def written(expression: str) -> str:
    text = f"let x = {expression}\n"
    program, _ = load_program("x.circuit", text)
    let = program.lets["x"]
    found = expression_mathml("x", let.expression, lambda span: text[span.start : span.end])
    assert plain_mathml(found) == found, "what is written is what may be printed"
    return infix(found).removeprefix("x=")


@pytest.mark.parametrize(
    ("expression", "formula"),
    [
        ("1 - AUE / ATE", "1−{AUE}/{ATE}"),
        ("-(a + b)", "−(a+b)"),
        ("-(a + b) * c", "−(a+b)·c"),
        ("a - (b - c)", "a−(b−c)"),
        ("a - b - c", "a−b−c"),
        ("(a + b) / (c - d)", "{a+b}/{c−d}"),
        ("((a + b))^2", "(a+b)^{2}"),
        ("(-a)^2", "(−a)^{2}"),
        ("abs((a - b)) * 2.5", "|a−b|·2.5"),
        ("mean(abs(LD(reference) - LD(keep(main))))", "mean(|LD(reference)−LD(keep(main))|)"),
        ("quantile(LD(reference), at: 10%)", "quantile(LD(reference),at:10%)"),
        ("faithfulness(main, as: ratio)", "faithfulness(main, as: ratio)"),
    ],
)
def test_formulas_say_what_was_written(expression: str, formula: str) -> None:
    assert written(expression) == formula


def test_a_claim_has_its_relation_and_its_margin() -> None:
    text = "claim c: mean(LD(reference)) ~= 2 within 0.5 at 95% confidence\n"
    program, _ = load_program("x.circuit", text)
    found = claim_mathml(program.claims[0], lambda span: text[span.start : span.end])
    assert infix(found) == "mean(LD(reference))≈2 within 0.5"
    assert plain_mathml(found)


def test_what_is_measured_somewhere_has_the_place_below() -> None:
    text = "metric M: logits = logit(io) @S2+1 - logit(s)\n"
    program, _ = load_program("x.circuit", text)
    found = expression_mathml("M", program.metrics["M"].expression, lambda span: "?")
    assert '<msub><mi mathvariant="normal">logit</mi><mtext>@S2+1</mtext></msub>' in found


def test_texts_of_the_file_become_no_markup() -> None:
    text = 'let x = faithfulness(edges("<b>&.json"))\n'
    program, _ = load_program("x.circuit", text)
    expression = program.lets["x"].expression
    found = expression_mathml("x", expression, lambda span: text[span.start : span.end] + "\x02")
    assert "&lt;b&gt;&amp;.json" in found and "\ufffd" in found and "<b>" not in found
    assert plain_mathml(found)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "<mi>x</mi>",
        "<math><mi>x</mi>",
        "<math><script>alert(1)</script></math>",
        "<math><mi><img src='x'/></mi></math>",
        "<math><mi onclick='x()'>y</mi></math>",
        "<math href='https://evil.example'><mi>y</mi></math>",
        "<math><mi mathvariant='bold'>y</mi></math>",
        "<math xmlns='http://www.w3.org/1999/xhtml'><mi>y</mi></math>",
        "<math>loose<mi>y</mi></math>",
        "<math><mi>y</mi>loose</math>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><math><mi>&a;</mi></math>",
        "<math><mi>&nbsp;</mi></math>",
        "<math><annotation-xml>x</annotation-xml></math>",
        "<math>" + "<mrow>" * 100_000,
        "<math>" + "<mrow>" * 100 + "</mrow>" * 100 + "</math>",
    ],
)
def test_nothing_but_symbols_is_printed(bad: str) -> None:
    assert plain_mathml(bad) == ""
