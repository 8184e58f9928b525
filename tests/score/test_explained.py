"""AUE, ATE and the proportion explained by every dissimilarity; agreement where the model errs."""

from __future__ import annotations

import numpy as np
import pytest

from pathdsl.lang.lint import lint_file
from tests.score.fakes import HEADER, PATHS
from tests.score.test_scores import UNITS, C, run, through, value

DISTANCES = {
    "absolute": lambda a, b: abs(a - b),
    "squared": lambda a, b: (a - b) ** 2,
    "kl": lambda a, b: (b - a) ** 2,
    "reverse_kl": lambda a, b: 3.0 * (b - a) ** 2 + 0.5 * b,
}


@pytest.mark.parametrize("by", DISTANCES)
@pytest.mark.parametrize("average", ["ratio_of_means", "mean_of_ratios"])
@pytest.mark.parametrize("scope", ["", ", scope: through(early)"])
def test_proportion_explained(by, average, scope):
    header = HEADER.replace("treated = other", f"treated = other; average = {average}")
    base = through(UNITS[:2]) if scope else PATHS
    apart = DISTANCES[by]

    def asked(paths, form):
        return value(f"faithfulness({paths}, as: {form}, by: {by}{scope})", header=header)

    explained, s, _ = asked("C", "explained")
    m, c, e = (s.metric("t", frozenset(t)) for t in ((), base - C, base))
    aue, ate = apart(m, c), apart(m, e)
    if average == "mean_of_ratios":
        assert explained.estimate == pytest.approx(1 - (aue / ate).mean())
    else:
        assert explained.estimate == pytest.approx(1 - aue.mean() / ate.mean())
    assert asked("C", "unexplained")[0].estimate == pytest.approx(aue.mean())
    assert asked("none", "unexplained")[0].estimate == pytest.approx(ate.mean())


def test_absolute_is_the_default_and_divergences_need_no_metric():
    plain, _, _ = value("faithfulness(C, as: explained)")
    named, _, _ = value("faithfulness(C, as: explained, by: absolute)")
    assert plain.estimate == named.estimate
    judgement, _, _ = run(
        "metric P: prob = prob(io)\nlet x = faithfulness(C, as: unexplained, by: reverse_kl)\n"
    )
    assert judgement.quantities[0].unit == "nats"


@pytest.mark.parametrize("among", ["wrong", "right"])
def test_agreement_among_prompts_by_what_the_model_says(among):
    got, s, _ = value(f"faithfulness(C, as: agreement, among: {among}, answer: io)", scale=6.0)
    m, c = s.metric("t", frozenset())[0], s.metric("t", PATHS - C)[0]
    hit = m > 12
    asked = hit if among == "right" else ~hit
    assert 3 < asked.sum() < len(asked) - 3
    same = np.floor(m / 6) == np.floor(c / 6)
    assert got.estimate == pytest.approx(same[asked].mean())
    assert 0 <= got.interval[0] <= got.estimate <= got.interval[1] <= 1


def test_agreement_among_no_prompt_is_undefined():
    got, s, _ = value("faithfulness(C, as: agreement, among: wrong, answer: io)", scale=0.01)
    m = s.metric("t", frozenset())
    if not (m > 12).all():  # the toy model is never, or always, right at this scale
        got, s, _ = value("faithfulness(C, as: agreement, among: right, answer: io)", scale=0.01)
    assert got.estimate is None
    assert any("undefined" in note for note in got.notes)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("by: squared", "PD129"),
        ("as: kl, by: kl", "PD129"),
        ("as: explained, by: cosine", "PD110"),
        ("as: explained, among: wrong, answer: io", "PD129"),
        ("as: agreement, among: wrong", "PD113"),
        ("as: agreement, answer: io", "PD113"),
        ("as: agreement, among: some, answer: io", "PD110"),
        ("as: unexplained, by: squared", "PD401"),
    ],
)
def test_options_that_do_not_fit(options, code):
    _, found = lint_file("toy.circuit", HEADER + f"let x = faithfulness(C, {options})\n")
    assert code in {d.code for d in found}, found


@pytest.mark.parametrize(
    "options",
    [
        "as: unexplained",
        "as: unexplained, by: kl",
        "as: explained, by: squared",
        "as: agreement, among: right, answer: io",
    ],
)
def test_options_that_fit(options):
    _, found = lint_file("toy.circuit", HEADER + f"let x = faithfulness(C, {options})\n")
    assert not [d for d in found if d.code in ("PD129", "PD113", "PD401", "PD110")], found
