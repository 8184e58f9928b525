"""Pages of the family PD4: units and metrics."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd4_formats import PAGES as FORMAT_PAGES
from pathdsl.lang.rules.pd4_init import PAGES as INIT_PAGES
from pathdsl.lang.rules.pd4_scores import PAGES as SCORE_PAGES
from pathdsl.lang.rules.sample import CIRCUIT, MODEL, TASK, sample, whole

PAGES: tuple[Page, ...] = (
    *SCORE_PAGES,
    *FORMAT_PAGES,
    *INIT_PAGES,
    Page(
        code="PD401",
        name="mixed-units",
        summary="Quantities of different units are added, compared or divided.",
        why="A difference of logits plus a probability is a number without meaning.",
        repair="Compare like with like; the ratio of two quantities of one unit is unitless.",
        failing=sample("claim same: mean(LD(reference)) <= faithfulness(through(a3.h1))"),
        passing=sample(
            "claim same: mean(LD(treated)) / mean(LD(reference)) <= faithfulness(through(a3.h1))"
        ),
    ),
    Page(
        code="PD402",
        name="declared-unit",
        summary="A metric or let is declared in another unit than its expression has.",
        why="The declared unit is what a reader of the report believes.",
        repair="Declare the unit that the expression has, or leave it out.",
        failing=whole(CIRCUIT, MODEL, TASK, "metric LD: prob = logit(io) - logit(s)"),
        passing=whole(CIRCUIT, MODEL, TASK, "metric LD: logits = logit(io) - logit(s)"),
    ),
    Page(
        code="PD403",
        name="percentage-of-a-unit",
        summary="A percentage stands where logits or nats are wanted.",
        why="`80%` is the number 0.8, for `prob` and unitless quantities; 80% of what, otherwise?",
        repair="Divide by what it is a share of, or write a plain number.",
        failing=sample("claim much: mean(LD(keep(through(a3.h1)))) >= 80%"),
        passing=sample("claim much: mean(LD(keep(through(a3.h1)))) / mean(LD(reference)) >= 80%"),
    ),
    Page(
        code="PD404",
        name="which-metric",
        summary="A score names no metric, and not exactly one serves its task.",
        why="Logit difference and probability rank path sets differently.",
        repair="Name one: `faithfulness(P, metric: LD)`.",
        failing=sample("metric P = prob(io)", "let share = faithfulness(through(a3.h1))"),
        passing=sample(
            "metric P = prob(io)", "let share = faithfulness(through(a3.h1), metric: LD)"
        ),
    ),
    Page(
        code="PD405",
        name="not-averaged",
        summary="One number per prompt stands where one over the prompts is wanted, or both mix.",
        why="A metric on a run has a value for each prompt; a let and a claim are about all.",
        repair="Average with `mean`, `median`, `quantile` or `std`, once.",
        failing=sample("claim good: LD(reference) > 0"),
        passing=sample("claim good: mean(LD(reference)) > 0"),
    ),
    Page(
        code="PD406",
        name="measure-outside-metric",
        summary="A measure stands outside a metric, or something else inside one.",
        why="A metric says what is measured on one run, a let which runs it is measured on.",
        repair="Declare a metric, and use it on a run: `mean(LD(reference))`.",
        failing=sample("let whole = mean(logit(io))"),
        passing=sample("metric right = logit(io)", "let whole = mean(right(reference))"),
    ),
    Page(
        code="PD407",
        name="fixed-number",
        summary="A metric, a let or both sides of a claim are fixed numbers.",
        why="No run could change them, so there is nothing to measure or to judge.",
        repair="Mention a run or a score.",
        failing=sample("claim sure: 1 > 0"),
        passing=sample("claim sure: mean(LD(reference)) > 0"),
    ),
    Page(
        code="PD408",
        name="nothing-to-attribute",
        summary="An attribution is of several nodes, or its method has no score for it.",
        why="A score says what patching one node, one input of a head, one mark of the residual "
        "stream or one edge would do. What "
        "several do together is not the sum of what each does alone. `eap` and its kin score "
        "edges, `atp` and its kin nodes and marks. An edge into a query or an MLP stands at one "
        "token; who reads a key or value only `peap` and `exact` tell. Slopes say nothing of a "
        "rank or a hit, which jump, nor at the reference run of a divergence from it, which is "
        "least there and whose slope is 0.",
        repair="Range over the members, `let a for h in SET = attribution(h, …)`, take a method "
        "that scores them, or measure with `by: exact`.",
        failing=sample("let a: logits = attribution(a3.h1, by: eap, metric: LD)"),
        passing=sample("let a: logits = attribution(a3.h1 -> logits, by: eap, metric: LD)"),
    ),
)
