"""Pages PD420 to PD438: quantities and scores that have no value, seen when they are evaluated."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL

__all__ = ["PAGES"]

_JUDGE = "tests/score/test_judge.py"


def _example(*lines: str, take: int = 40) -> Example:
    """An example for `check` on the bundled model: the usual beginning, and these lines."""
    task = (
        f"\ntask ioi {{\n  data      = mini_ioi(take: {take}, seed: 0)\n"
        "  reference = prompt\n  treated   = prompt_abc\n}\n"
    )
    text = CIRCUIT + MODEL + task + METRIC + "\n" + "".join(f"{line}\n" for line in lines)
    return Example(text=text, command="check")


def _emergence(condition: str) -> Example:
    example = _example(f"claim c: emerges({condition}) <= 500 at 95% confidence")
    return replace(example, command="lint")


_LATE = "group late @END = { a2.h0, a3.h1 }"
_PATH = "path P = within(late, a0, a1, mlp)"

PAGES: tuple[Page, ...] = (
    Page(
        code="PD420",
        name="score-metric-unclear",
        summary="A score could be made of several metrics, or of none.",
        why="The metric moves the number; an arbitrary choice would not be seen in the result.",
        repair="Name it: `faithfulness(P, metric: LD)`. `pathdsl lint` finds this in a file first; "
        "this code is for programs that were not linted.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD421",
        name="quantity-task-unclear",
        summary="A metric or score could be over the rows of several tasks, or of none.",
        why="Two tasks of one file differ in their prompts and treated values.",
        repair="Name it: `LD(reference, task: ioi)`, `faithfulness(P, task: ioi)`, or give the "
        "metric its task, `metric LD on ioi`.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD422",
        name="draws-do-not-fit",
        summary="Runs with different numbers of draws are combined prompt by prompt.",
        why="Per prompt, draw 3 of one run is paired with draw 3 of the other; a run of 8 draws "
        "and one of 4 cannot be paired. Runs without draws pair with any.",
        repair="Give both treated values the same `draws:`, or take the means first: "
        "`mean(a) - mean(b)`.",
        shown_by=f"{_JUDGE}::test_rows_that_do_not_pair_and_draws_that_do_not_fit",
    ),
    Page(
        code="PD423",
        name="no-such-quantity",
        summary="An expression has no value where one is wanted, per prompt or over the prompts.",
        why="Inside `mean` and its like a term has one value per prompt, outside one value over "
        "all prompts: an average of an average, or a metric outside one, is neither.",
        repair="Wrap a metric of a run in `mean(…)`, and take an average out of another. "
        "`pathdsl lint` finds this in a file first.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD424",
        name="nothing-to-knock-out",
        summary="A path set names no heads, MLPs, groups or edges that a score could knock out.",
        why="Knockouts range over what P names; `attn`, `mlp` and `any` are background. With "
        "nothing to knock out, completeness and minimality would be judged on no evidence.",
        repair="Name the units in the path set, or say them: `over: {a9.h9, a9.h6}`. "
        "`knockouts: groups` and `per: group` need a group that the path set names.",
        failing=_example("let x = completeness(within(attn), knockouts: random(4))"),
        passing=_example(
            "let x = completeness(within(attn), knockouts: random(4), over: { a3.h1, a2.h0 })"
        ),
    ),
    Page(
        code="PD425",
        name="quantity-of-itself",
        summary="A `let` is defined by itself, directly or through others.",
        why="Such an equation has no value that could be computed step by step.",
        repair="Write one of the quantities out. `pathdsl lint` finds this in a file first.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD426",
        name="no-such-member",
        summary="A member of a `let … for` is named that the loop does not have.",
        why="`direct[a9.h9]` is one of the quantities that the loop makes, so it must be one of "
        "its members; where the same head stands at two positions, the position belongs to it.",
        repair="Use one of the members, with its position: `direct[a9.h9@END]`.",
        failing=_example(_LATE, "let e for h in late: logits = effect(h)", "let x = e[a0.h0]"),
        passing=_example(_LATE, "let e for h in late: logits = effect(h)", "let x = e[a3.h1]"),
    ),
    Page(
        code="PD427",
        name="rows-do-not-pair",
        summary="A per-prompt expression combines metrics of tasks with different rows.",
        why="Row 5 of one task has nothing to do with row 5 of another, unless both take the same "
        "rows of the same data.",
        repair="Take the means first: `mean(LD(reference, task: a)) - mean(LD(reference, task: "
        "b))`.",
        shown_by=f"{_JUDGE}::test_rows_that_do_not_pair_and_draws_that_do_not_fit",
    ),
    Page(
        code="PD428",
        name="too-few-rows-to-split",
        summary="There are too few rows to search on one half of them and judge on the other.",
        why="The largest of many noisy values is too large on the rows that chose it: in "
        "simulations, judging the best of 20 null knockouts on the same rows finds an effect in "
        "four of ten cases. Each half needs at least two rows (or clusters).",
        repair="Take more rows, or write `split: false` to search and judge on the same rows as "
        "the papers do; the report says so.",
        failing=_example(
            _LATE, _PATH, "let x = completeness(P, knockouts: greedy(1, runs: 1))", take=3
        ),
        passing=_example(_LATE, _PATH, "let x = completeness(P, knockouts: greedy(1, runs: 1))"),
    ),
    Page(
        code="PD429",
        name="given-is-no-unit",
        summary="`given:` states knockouts of what minimality does not remove, or that P has not.",
        why="The knockouts would have no effect, and the author would think that they had one.",
        repair="Write units as the path set has them; the message lists some.",
        failing=_example(_LATE, _PATH, "let x = minimality(P, given: { a3.h0: late })"),
        passing=_example(_LATE, _PATH, "let x = minimality(P, given: { a3.h1: late })"),
    ),
    Page(
        code="PD430",
        name="attention-of-many-heads",
        summary="`attention` is given a set of heads, or none.",
        why="It measures the attention of one head, in the copy that goes straight to `logits`; "
        "a sum over heads has no such meaning.",
        repair="Name one head: `attention(a9.h9, END -> IO)`; add metrics for several.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD431",
        name="denominator-may-be-zero",
        summary="A quantity divides by something whose interval contains 0.",
        why="Then the ratio has no finite interval, and its estimate can be of any size and either "
        "sign (Fieller 1954): the quantity is undefined, said as such, and a claim about it is "
        "never as expected. Often the treated value leaves the behaviour as it is, so that the "
        "full model and the empty circuit do not differ.",
        repair="Take more prompts, choose a treated value that destroys the behaviour, or claim "
        "about a difference: `as: gap`.",
        failing=_example("let x = mean(LD(reference)) / mean(LD(treated) - LD(treated))"),
        passing=_example("let x = mean(LD(treated) - LD(treated)) / mean(LD(reference))"),
    ),
    Page(
        code="PD432",
        name="constant-sample",
        summary="There are too few prompts for an interval, or fewer than 30 of one value.",
        why="Resampling equal values gives an interval without width, which says nothing about "
        "prompts that were not drawn. From 30 prompts (or clusters) on the point is taken for the "
        "interval, and for counts what so many prompts may have left unseen; below, the claim is "
        "inconclusive. Shares of prompts have the exact interval of Clopper and Pearson. And no "
        "resample goes beyond the least and the largest value, between which a mean lies with 75% "
        "confidence for three prompts: at 95%, six are needed, and a smaller number of resamples "
        "than 2 / (1 - confidence) reaches no level either. The warning is given once, for all "
        "quantities that have no interval.",
        repair="Take at least 30 prompts, `take: 30`, in at least 30 clusters where `cluster` "
        "names a field; `bootstrap(N)` takes more resamples.",
        failing=_example("let x: logits = mean(LD(reference) - LD(reference))", take=20),
        passing=_example("let x: logits = mean(LD(reference) - LD(reference))"),
    ),
    Page(
        code="PD433",
        name="margin-is-measured",
        summary="The margin of an equivalence claim depends on the prompts.",
        why="An equivalence test asks whether a difference lies within a margin that was fixed "
        "beforehand; a margin from the same data would grow with the difference.",
        repair="Write a number: `~= 1 within 0.1`.",
        shown_by=f"{_JUDGE}::test_faults",
    ),
    Page(
        code="PD434",
        name="test-of-crossed-rows",
        summary="A test that counts independent rows is asked of rows that cross in two fields.",
        why="Where prompts share names one way and sentences the other there is no set of clusters "
        "that are independent of one another and hold all rows, so there is nothing to count. A "
        "mean has an interval.",
        repair="Claim a mean, `mean(x) > 0 at 95% confidence`; or make a task of prompts that "
        "share nothing, and test on it.",
        shown_by="tests/score/test_crossed.py::test_tests_that_count_rows_are_refused",
    ),
    Page(
        code="PD435",
        name="no-such-attribution",
        summary="An attribution by a method without a score of this unit, metric or treated value.",
        why="Some methods score nodes alone, some edges; slopes need a metric of the logits that "
        "has one; integrals towards the treated run need prompts, and a mean or zero is given "
        "component by component.",
        repair="The help names methods that can; `by: exact` always can. `pathdsl lint` finds this "
        "in a file first (PD408); this code is for programs that were not linted.",
        shown_by="tests/engine/test_attribution_metric.py::test_what_has_no_score_is_refused",
    ),
    Page(
        code="PD436",
        name="selection-not-repeated",
        summary="`stability` is asked for a selection that is not taken anew from each resample.",
        why="A circuit is selected for each of a thousand resamples. `top`, `greedy` and `pnr` do "
        "so from the kept scores in next to no time. `ilp` solves an integer program each time, "
        "`stable` resamples itself, and `acdc` measures circuits, which kept scores do not hold.",
        repair="Ask for `select: greedy` or another of the three; the report of `pathdsl discover "
        "--select ilp` has the stability of its circuit by fewer resamples.",
        shown_by="tests/score/test_stability.py::test_selections_that_are_not_repeated",
    ),
    Page(
        code="PD437",
        name="emergence-of-p-value",
        summary="`emerges` is asked of a p-value.",
        why="The steps of a series are judged together, by intervals that all hold at once. A "
        "p-value has no interval, and of many one is small by chance.",
        repair="A condition on the quantity itself: `emerges(mean(LD(reference)) > 0) <= 64000`.",
        failing=_emergence("sign_test(LD(reference)) <= 5%"),
        passing=_emergence("mean(LD(reference)) > 0"),
    ),
    Page(
        code="PD438",
        name="which-revisions",
        summary="A claim of `emerges` is judged without revisions.",
        why="It says from which training step a condition holds, and one check is of one model.",
        repair="Give the checkpoints, `pathdsl check FILE --revisions step0..step143000:1000`, or "
        "judge the other claims, `--only NAME`. `lock`, `robustness` and `diff` are of one model "
        "and judge no such claim.",
        failing=_example("claim c: emerges(mean(LD(reference)) > 0) <= 500 at 95% confidence"),
        passing=_example("claim c: mean(LD(reference)) > 0 at 95% confidence"),
    ),
)
