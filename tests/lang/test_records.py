"""One record for each thing: a score that is made up here is known everywhere by its record."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathdsl.checking.breaking.claims import program_changes
from pathdsl.engine.run import measure, written
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program, load_program
from pathdsl.lang.rules.sample import HEAD, METRIC
from pathdsl.lang.serving import wants_metric
from pathdsl.lang.signatures.kinds import Kind, Parameter, first, word
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.measures import MEASURES, TOP_TOKEN, MeasureRecord
from pathdsl.lang.signatures.methods import METHODS
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.ranges import ANY, SHARE
from pathdsl.lang.signatures.scores import MEASURED, SCORES, Fixed, Form, Order, ScoreRecord
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.lang.syntax import tables
from pathdsl.lang.units import unit_of
from pathdsl.lang.vary import apply, base_of
from pathdsl.plan import readout
from pathdsl.report.formulas.latex import claim_latex
from pathdsl.report.formulas.mathml import claim_mathml
from pathdsl.score.metrics import compile_metric
from pathdsl.score.quantity import Op, Scalar
from pathdsl.score.rounds import at_once
from pathdsl.score.scores import completeness, faithfulness, lower, pvalues
from pathdsl.score.scores.setting import Setting
from pathdsl.score.statistics.verdict import CORRECTIONS
from tests.graph.helpers import shape
from tests.score.test_scores import PATHS, C, f, value

ROOT = Path(__file__).parents[2]

SHIFT = Form(
    name="shift", unit="metric", reads_metric=True, better="smaller", divides_by="nothing",
    range=lambda metric, given: metric.distance, fixed=Fixed(none=None, full=0.0, same=None),
    other_side=("{every} - {treat}",),
)  # fmt: skip
PART = Form(name="part", unit="none", reads_metric=True, better="smaller", divides_by="value",
            range=lambda metric, given: ANY, fixed=MEASURED, options=("answer",))  # fmt: skip
SWAY: dict[str, Any] = {
    "name": "sway",
    "parameters": (
        first("P", Kind.PATHS),
        Parameter(name="metric", kind=Kind.METRIC),
        Parameter(name="task", kind=Kind.TASK),
        Parameter(name="scope", kind=Kind.PATHS),
        word("as", ("shift", "part"), "shift"),
        Parameter(name="answer", kind=Kind.COLUMN),
    ),
    "example": "sway(P)",
    "of": "paths",
    "gives": "estimate",
    "forms": (SHIFT, PART),
    "controls": "walks",
    "searches": "never",
    "keeps": True,
    "order": Order(asks="below", less="narrower", more="wider"),
    "reserved": True,
}


def sway(setting: Setting) -> Scalar:
    """How far keeping P alone moves the metric."""
    circuit = setting.keep(setting.paths, f"keep({setting.title})")
    return Op(op="abs", args=(setting.between(setting.reference(), circuit),))


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score `sway`: a record, a function, a name in the grammar."""
    grammar = tables.folder().joinpath(tables.GRAMMAR).read_text(encoding="utf-8")
    parser = tables.build(grammar.replace("/(faithfulness|", "/(sway|faithfulness|"))
    for module in ("parse", "stop"):
        monkeypatch.setattr(f"pathdsl.lang.syntax.{module}.parser", lambda: parser)
    monkeypatch.setitem(SCORES, "sway", ScoreRecord(**SWAY))
    monkeypatch.setitem(lower.LOWERED, "sway", lower.measured(at_once(sway)))


def codes(*lines: str, head: str = HEAD) -> set[str]:
    _, faults = lint_file("example.circuit", head + "\n".join(lines) + "\n")
    return {fault.code for fault in faults if not fault.code.startswith("PD5")}


def program(*lines: str, head: str = HEAD) -> Program:
    found, faults = load_program("example.circuit", head + "\n".join(lines) + "\n")
    assert faults == [], [fault.message for fault in faults]
    return found


# -------------------------------------------------------------------------------------------------
# Every field is given
# -------------------------------------------------------------------------------------------------

WHOLE: list[tuple[type, dict[str, Any], set[str]]] = [
    (ScoreRecord, SWAY, {"any_number"}),
    (
        Form,
        {f.name: getattr(SHIFT, f.name) for f in fields(Form)},
        {"name", "options", "together", "other_side"},
    ),
    (Order, {"asks": "below", "less": "wider", "more": "narrower"}, set()),
    *(
        (
            type(one),
            {f.name: getattr(one, f.name) for f in fields(one)},
            {"parameters", "any_number"},
        )
        for one in (
            MEASURES["logit"], METHODS["holm"], KNOCKOUTS["greedy"], P_VALUES["sign_test"],
            STATISTICS["mean"],
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "given", "optional"), WHOLE, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_record_without_one_of_its_fields_is_none(
    record: type, given: dict[str, Any], optional: set[str]
) -> None:
    record(**given)
    for field in fields(record):
        less = {name: value for name, value in given.items() if name != field.name}
        if field.name in optional:
            assert field.default is not MISSING
            record(**less)
        else:
            with pytest.raises(TypeError, match=field.name):
                record(**less)


def test_a_form_in_the_unit_of_an_option_reads_it() -> None:
    with pytest.raises(ValueError, match="does not read"):
        Form(name="x", unit="by", reads_metric=True, better="size", divides_by="nothing",
             range=lambda metric, given: ANY, fixed=MEASURED)  # fmt: skip


# -------------------------------------------------------------------------------------------------
# A score that is made up
# -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("made_up")
def test_it_is_linted() -> None:
    assert codes("let x = sway(a1.h2)", "let y = sway(a1.h2, as: part, answer: io)") == set()
    assert codes("let x = sway(a1.h2)", head=HEAD.replace(METRIC, "")) == {"PD404"}
    assert codes("let x = sway(a1.h2, answer: io)") == {"PD129"}
    assert codes("let x = chance(sway(a1.h2), by: walks, seed: 1)") == set()
    bare = HEAD.replace("  treated   = prompt_abc\n", "")
    assert codes("let x = sway(a1.h2)", head=bare) == {"PD302"}


@pytest.mark.usefixtures("made_up")
def test_its_unit_is_that_of_its_form() -> None:
    units = unit_of(program("let x = sway(a1.h2)", "let y = sway(a1.h2, as: part, answer: io)"))
    assert (units["x"], units["y"]) == ("logits", "none")


@pytest.mark.usefixtures("made_up")
def test_it_is_lowered_and_compared_with_controls() -> None:
    got, session, _ = value("sway(C)")
    whole = f(session, ()).mean()
    assert got.unit == "logits"
    assert got.estimate == pytest.approx(abs(whole - f(session, PATHS - C).mean()))
    chance, _, resolver = value("chance(sway(C), among: 9, by: walks, seed: 3)")
    assert len(resolver.random_seeds) == 9 and 0 < chance.estimate <= 1
    best = value("chance(sway(full), among: 9, by: walks, seed: 3)")[0]
    assert best.estimate == pytest.approx(0.1)  # no sway at all, and smaller is better
    assert np.isfinite(chance.estimate)


@pytest.mark.usefixtures("made_up")
def test_its_claims_are_varied() -> None:
    lines = (
        "claim c: sway(a1.h2) < 0 at 95% confidence",
        "claim d: sway(a1.h2, as: part, answer: io) < 10% at 95% confidence",
    )
    base = base_of(program(*lines), ["c", "d"])
    swapped = apply(base, "direction", "swapped")
    assert "claim c: mean(LD(treated) - LD(treat(a1.h2))) < 0" in swapped.text
    assert swapped.claims == ("c",)
    assert apply(base, "average", "mean_of_ratios").claims == ("d",)
    assert apply(base, "treated", "zero").claims == ("c", "d")
    assert "zero to start from" in apply(base, "metric", "logprob").left_out["d"]


@pytest.mark.usefixtures("made_up")
def test_its_claims_are_compared_by_their_order() -> None:
    def kinds(relation: str, before: str, after: str) -> list[tuple[str, str]]:
        old, new = (
            program(f"claim c: sway({paths}) {relation} 1 at 95% confidence")
            for paths in (before, after)
        )
        changes = program_changes(old, new, shape(4, 4))
        return [(change.kind, change.what.split(" (")[0]) for change in changes]

    one, two = "within(a1.h2)", "within(a1.h2, a2.h1)"
    assert kinds("<", two, one) == [("weaker", "narrower path set")]
    assert kinds("<", one, two) == [("noted", "wider path set")]
    assert kinds(">", one, two) == [("weaker", "wider path set")]


@pytest.mark.usefixtures("made_up")
def test_its_formula_is_written() -> None:
    text = HEAD + "claim c: sway(a1.h2) / 2 < 1\n"
    claim = load_program("example.circuit", text)[0].claims[0]
    for write in (claim_latex, claim_mathml):
        assert "sway" in write(claim, lambda span: text[span.start : span.end])


def test_a_made_up_measure_of_the_logits_alone_is_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy = MeasureRecord(
        name="entropy", example="entropy()", reads="nothing", unit="nats", values="reals",
        vocabulary=True, scaled=False, varied=False, reserved=True, whole=False, range=SHARE,
    )  # fmt: skip
    for table in (MEASURES, readout._RECORDS):
        monkeypatch.setitem(table, "entropy", entropy)
    found = program("metric H: nats = entropy() @END", head=HEAD.replace(METRIC, ""))
    (measure,) = compile_metric(found.metrics["H"], found.groups).measures
    assert (measure.kind, measure.position, measure.record) == ("entropy", "END", entropy)


# -------------------------------------------------------------------------------------------------
# The scores that there are
# -------------------------------------------------------------------------------------------------


def test_every_score_has_all_its_places() -> None:
    grammar = tables.folder().joinpath(tables.GRAMMAR).read_text(encoding="utf-8")
    named = re.search(r"^SCORE\.\d+: /\(([a-z|]+)\)", grammar, re.MULTILINE)
    words = {name for name, score in SCORES.items() if score.reserved}
    assert named is not None and set(named[1].split("|")) == words
    assert set(lower.LOWERED) == set(SCORES)
    docs = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^## (.*)$", docs, re.MULTILINE))
    for name, record in SCORES.items():
        assert re.search(rf"\b{name}\(", headings), f"docs/scores.md has no section of {name}"
        asked = record.parameter("as")
        names = tuple(form.name for form in record.forms)
        assert names == (asked.choices if asked is not None else ("",))
        assert asked is None or asked.default == names[0]
        text = HEAD + f"claim c: {record.example.replace('Q', 'attn')} < 1\n"
        claim = load_program("example.circuit", text.replace("(P", "(mlp"))[0].claims[0]
        text = text.replace("(P", "(mlp")
        for write in (claim_latex, claim_mathml):
            assert name in write(claim, lambda span, text=text: text[span.start : span.end])


def test_every_form_has_a_function() -> None:
    assert set(faithfulness._FORMS) == {form.name for form in SCORES["faithfulness"].forms}
    assert set(completeness._FAMILIES) == set(KNOCKOUTS)
    assert set(CORRECTIONS) == {name for name, method in METHODS.items() if method.strictness}
    assert set(pvalues._TESTS) == set(P_VALUES)
    apart = ("head", "write", "copy")
    at_logits = {name for name, one in MEASURES.items() if one.reads not in apart}
    assert set(measure._OF_ANSWERS) | set(measure._OF_PAIRS) == at_logits | {TOP_TOKEN.name}
    of_writes = {name for name, one in MEASURES.items() if one.reads == "write" and not one.scaled}
    assert set(written.OF_WRITES) | set(written.OF_PAIRS) == of_writes


@pytest.mark.parametrize(
    ("options", "wanted"),
    [("", True), (", as: kl", False), (", as: agreement", False), (", as: explained", True),
     (", as: explained, by: kl", False), (", as: recovered, by: kl", True)],
)  # fmt: skip
def test_a_form_says_whether_it_reads_a_metric(options: str, wanted: bool) -> None:
    found, _ = load_program("example.circuit", HEAD + f"let x = faithfulness(mlp{options})\n")
    score = found.lets["x"].expression
    assert wants_metric(score) is wanted  # type: ignore[arg-type]
