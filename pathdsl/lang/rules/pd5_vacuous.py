"""Pages of the family PD5 on claims that say little: those that no model, or no set, could fail."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, MODEL, sample, whole

__all__ = ["VACUOUS_PAGES"]

_TASK = """
task ioi {
  data      = mini_ioi(take: 30, seed: 0)
  reference = prompt
  treated   = prompt_abc
}
"""


def _run(metric: str, *claims: str) -> Example:
    return replace(whole(CIRCUIT, MODEL, _TASK, metric, *claims), command="check")


_LD = "\nmetric LD: logits = logit(io) - logit(s)\n"

VACUOUS_PAGES: tuple[Page, ...] = (
    Page(
        code="PD545",
        name="area-above-one",
        summary="The area of `cpr` is above 1, so that it is no faithfulness.",
        why="Circuits of some sizes do more than the model, since a ranking by signed score leaves "
        "out what works against it. Such an area grows with the distance from the model, and two "
        "of them do not say which circuit is closer to it. The curve in the report has the sizes.",
        repair="Judge `cmd(…, rank: absolute)` as well, which counts what is above 1 as distance.",
        shown_by="tests/score/test_curves.py",
    ),
    Page(
        code="PD525",
        name="satisfied-by-no-path",
        summary="A supported claim is satisfied with no path in the place of its path set, too.",
        why=(
            "Every claim is also evaluated with no path and with all paths in the place of the set "
            "that it is about; the report says both. Where both satisfy it, no set could have "
            "failed: the ratio of a head that does nothing is 0.97 where the treated value keeps "
            "the behaviour. Where no path satisfies it, the claim says what the set does not do, "
            "which a set that lies nowhere does not do either. That is no fault beside another "
            "supported claim of the same set that no path does not satisfy. Estimates decide, "
            "without an interval."
        ),
        repair="Claim what an empty set fails: `as: recovered`, which is 0 for it, a treated value "
        "that takes the behaviour away, a nearer threshold. Beside a claim of what a set does not "
        "do, claim what it does.",
        failing=_run(_LD, "claim enough: mean(LD(keep(through(a0.h0)))) >= -5 at 95% confidence"),
        passing=_run(_LD, "claim enough: mean(LD(keep(through(a3)))) >= 3 at 95% confidence"),
    ),
    Page(
        code="PD526",
        name="cannot-fail",
        summary="A claim is decided by its form, whatever the model does.",
        why=(
            "An accuracy is at least 0, `as: explained` at most 1, `faithfulness(full)` is 1, and "
            "`X - X` is 0. A claim that follows from that is supported by every model. One that "
            "cannot hold, `accuracy(…) > 100%`, is refuted by every model, and as a control it "
            "shows nothing. The ranges are in docs/scores.md. Path sets are also compared when "
            "they are resolved: two names of one set, a set that is all paths or its own scope."
        ),
        repair="Claim what the model could fail: a nearer threshold, a smaller margin, another "
        "run or set.",
        failing=sample("claim right: accuracy(reference, answer: io) >= 0% at 95% confidence"),
        passing=sample("claim right: accuracy(reference, answer: io) >= 90% at 95% confidence"),
    ),
    Page(
        code="PD527",
        name="constant-metric",
        summary="A metric is one number on every prompt and in every run.",
        why=(
            "`logit(a) - logit(a)` is 0, and so is the difference of two columns that hold the "
            "same tokens on every row. Every effect of such a metric is 0, so that claims of small "
            "effects are supported whatever is treated."
        ),
        repair="Look at the columns that the metric reads, and at their tokens in the report.",
        failing=_run(
            "\nmetric LD: logits = logit(io) - logit(io)\n",
            "let moved = mean(LD(reference) - LD(treated))",
        ),
        passing=_run(_LD, "let moved = mean(LD(reference) - LD(treated))"),
    ),
)
