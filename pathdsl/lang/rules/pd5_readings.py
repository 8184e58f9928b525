"""Pages of the family PD5 on what a reader of a report takes for something else."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, sample, whole

__all__ = ["READING_PAGES"]

_GROUP = "group movers = { a3.h1, a3.h2 }"
_PLACED = (
    "path first = through(a2.h0@S1, a3.h1@END)",
    "path other = through(a2.h0@END, a3.h2@END)",
)


def _placed(measured: str) -> Example:
    """A task whose treated value is a mean at one place."""
    task = """
task ioi {
  data      = mini_ioi(take: 30)
  reference = prompt
  treated   = mean(prompt_abc, at: [S1])
}
"""
    return replace(whole(CIRCUIT, MODEL, task, METRIC, measured), command="check")


READING_PAGES: tuple[Page, ...] = (
    Page(
        code="PD533",
        name="nodes-kept-as-a-circuit",
        summary="A set of nodes is kept as if it were the circuit of these nodes.",
        why="A set of nodes where a path set is wanted is all paths through one of them. "
        "`keep(movers)` keeps every path that meets a mover, with all that lies before and behind "
        "it, and leaves out the paths that go round all of them. The circuit of these nodes, as "
        "papers mean it, is `within(movers)`: paths that meet nothing else. In one model the first "
        "recovers 0.74 and the second 0.07. Runs that treat a set, and `effect`, are about paths "
        "through it, and are not warned about.",
        repair="Write `within(movers)` for the circuit, or `through(movers)` where all paths "
        "through them are meant.",
        failing=sample(_GROUP, "let kept = faithfulness(movers, metric: LD)"),
        passing=sample(
            _GROUP,
            "let kept = faithfulness(within(movers), metric: LD)",
            "let by_any = faithfulness(through(movers), metric: LD)",
        ),
    ),
    Page(
        code="PD534",
        name="overlap-by-position",
        summary="An overlap counts one head at two positions as two nodes.",
        why="`overlap` compares units, and a head at S1 is another unit than the same head at END, "
        "or everywhere. Most published overlaps are over heads whatever the position, so that the "
        "two numbers are not comparable.",
        repair="Write `over: head`, or `over: node` where positions are meant.",
        failing=sample(*_PLACED, "let common = overlap(first, other)"),
        passing=sample(
            *_PLACED,
            "let common = overlap(first, other, over: head)",
            "let placed = overlap(first, other, over: node)",
        ),
    ),
    Page(
        code="PD535",
        name="nothing-at-its-places",
        summary="A mean at named places has no value at what is treated with it.",
        why="`mean(COLUMN, at: [S1])` is the reference's own value at every other token. Where no "
        "component at S1 has treated paths only, or the metric reads the treated run at END, "
        "treating changes nothing: every effect is 0 by construction, and a share of it has no "
        "denominator.",
        repair="Name the place of the nodes that are treated, or `END` for scores that compare "
        "with the treated run; `at: any` is every token.",
        failing=_placed("let moved = effect(through(a3.h1@END), metric: LD)"),
        passing=_placed("let moved = effect(through(a1.h1@S1), metric: LD)"),
    ),
    Page(
        code="PD537",
        name="needed-version-not-said",
        summary="A form came with a later version than the file says that it needs.",
        why="An older pathdsl takes what it cannot read for a fault of the file, and not for its "
        "own age.",
        repair='Write the version into the circuit block, `needs = "0.2"`; `pathdsl fmt` does.',
        shown_by="tests/lang/test_needs.py::test_lint_says_which_version_is_needed",
    ),
    Page(
        code="PD538",
        name="estimates-not-held-against-effects",
        summary="A claim is about estimated effects, which no claim holds against measured ones.",
        why="Scores by slopes say what a small change would do. Where attention saturates, or "
        "where effects of both signs cancel, they miss what patching shows, and which nodes these "
        "are no score says (Kramár et al. 2024, arXiv:2403.00745). An interval over prompts says "
        "how far the estimate moves with the prompts, and nothing of how far it is from the "
        "effect.",
        repair="Measure the same members, `by: exact`, and claim how the two go together. One such "
        "claim of a method is enough for a file; comparing two methods is, too. Ranks of few "
        "members are coarse: where 16 agree entirely `>= 0.9` is undecided in a third of samples "
        "of 40 prompts, and in hardly any of 48. Claim less of few, `>= 0.7`, or range over more.",
        failing=sample(
            "let guess for h in attn: logits = attribution(h, by: atp, metric: LD)",
            "claim least: min(h in attn: attribution(h, by: atp, metric: LD)) <= -1 "
            "at 95% confidence",
        ),
        passing=sample(
            "let guess for h in attn: logits = attribution(h, by: atp, metric: LD)",
            "let real for h in attn: logits = attribution(h, by: exact, metric: LD)",
            "claim least: min(h in attn: attribution(h, by: atp, metric: LD)) <= -1 "
            "at 95% confidence",
            "claim agrees: correlation(guess, real, by: spearman) >= 0.7 at 95% confidence",
        ),
    ),
    Page(
        code="PD539",
        name="sizes-beside-signed-scores",
        summary="Scores that are sizes are correlated with values of both signs.",
        why="`atp_star` averages absolute values over layers: a head that lowers the metric has a "
        "large score, and a far negative effect. Their correlation is that of a magnitude with a "
        "direction, and may be near -1 where the estimate is right about every head.",
        repair="Compare sizes: `let size for h in SET = abs(attribution(h, by: exact))`.",
        failing=sample(
            "let star for h in attn: logits = attribution(h, by: atp_star, metric: LD)",
            "let real for h in attn: logits = effect(through(h), metric: LD)",
            "claim agrees: correlation(star, real, by: spearman) >= 0.5 at 95% confidence",
        ),
        passing=sample(
            "let star for h in attn: logits = attribution(h, by: atp_star, metric: LD)",
            "let real for h in attn: logits = abs(effect(through(h), metric: LD))",
            "claim agrees: correlation(star, real, by: spearman) >= 0.5 at 95% confidence",
        ),
    ),
)
