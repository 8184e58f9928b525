"""Pages of codes that show only on a task's prompts."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.pd3_data import example, rows_text
from pathdsl.lang.rules.sample import TOY


def _plan(*lines: str) -> Example:
    return Example(text=TOY + "\n".join(lines) + "\n", command="plan")


def _check(*lines: str) -> Example:
    return Example(text=TOY + "\n".join(lines) + "\n", command="check")


def _span(span: str) -> Example:
    rows = example(
        rows_text({"positions": {"S1": [5, 6], "S2": 12}}),
        "treated = other",
        "positions = [S1, S2]",
    )
    return replace(rows, text=f"{rows.text}let moved = effect(through(m0@{span}))\n")


PROMPT_PAGES: tuple[Page, ...] = (
    Page(
        code="PD223",
        name="no-path-on-any-prompt",
        summary="A path set, or a node that it names, lies on no path on any prompt of a task.",
        why=(
            "On the graph the path is possible, but positions differ from prompt to prompt: keys "
            "and values are read at or before the head, or in models that see both ways at any "
            "place, and here never are; or nothing is read "
            "where the path ends. The run would be the reference run, and a claim on it would "
            "judge nothing. In a `for`, one such member is enough for this error. So is a set that "
            "is taken away: `full - through(h)` is `full` where nothing goes through `h`."
        ),
        repair="Look at the positions in the data, turn the step round, or take the member out.",
        failing=_plan(
            "path back = input@FIRST_B -[v]-> a0.h1@FIRST_A ~> logits",
            "let effect_of: logits = mean(LD(treat(back)))",
        ),
        passing=_plan(
            "path forth = input@FIRST_A -[v]-> a0.h1@FIRST_B ~> logits",
            "let effect_of: logits = mean(LD(treat(forth)))",
        ),
    ),
    Page(
        code="PD224",
        name="no-path-on-some-prompts",
        summary="On some prompts of a task a path set, or a node that it names, lies on no path.",
        why="Those prompts are judged as if nothing had been treated (or kept) there, which moves "
        "every mean towards that.",
        repair="Filter the task (`task both = t where …`), or say in the paper how many they are.",
        failing=_plan(
            "path near = input@[9] -[v]-> a0.h1@FIRST_B ~> logits",
            "let effect_of: logits = mean(LD(treat(near)))",
        ),
        passing=_plan(
            "path near = input@FIRST_A -[v]-> a0.h1@FIRST_B ~> logits",
            "let effect_of: logits = mean(LD(treat(near)))",
        ),
    ),
    Page(
        code="PD227",
        name="attention-of-a-constant",
        summary="An attention metric is read on a run in which its head's output is a constant.",
        why="A mean or zero stands in the place of the head; it attends to nothing.",
        repair="Measure attention on a paired or resampled treated value.",
        failing=_check(
            "metric mass = attention(a1.h2, END -> FIRST_B)",
            "let on_b = mean(mass(treat(through(a1.h2), treated: zero)))",
        ),
        passing=_check(
            "metric mass = attention(a1.h2, END -> FIRST_B)",
            "let on_b = mean(mass(treat(through(a1.h2))))",
        ),
    ),
    Page(
        code="PD260",
        name="not-one-plain-run",
        summary="A measure reads a prompt's tokens, or one run, where there is none or several.",
        why="`copy_score` asks which tokens a head copies, and an `input` that is a mean, zero or "
        "resampled is no prompt's. `cosine(NODES, treated)` compares with one run, and a resampled "
        "value is several.",
        repair="Read it on `reference`, or with a treated value that is a prompt column.",
        failing=_check(
            "metric copies = copy_score(a1.h2, of: FIRST_B)",
            "let share = mean(copies(treat(full, treated: zero)))",
        ),
        passing=_check(
            "metric copies = copy_score(a1.h2, of: FIRST_B)",
            "let share = mean(copies(treat(through(a0.h1))))",
        ),
    ),
    Page(
        code="PD261",
        name="nothing-has-no-direction",
        summary="A `cosine` is asked of nodes that write 0 on some prompt.",
        why="The angle to the zero vector is undefined, and a made-up value would enter the mean.",
        repair="Leave these nodes out, or compare lengths with `norm(NODES)`.",
        failing=_check(
            "metric same = cosine(a1.h2, reference)",
            "let alike = mean(same(treat(through(a1.h2), treated: zero)))",
        ),
        passing=_check(
            "metric same = cosine(a1.h2, reference)",
            "let alike = mean(same(treat(through(a1.h2))))",
        ),
    ),
    Page(
        code="PD236",
        name="unclear-end-of-a-span",
        summary="A span ends beside a position that is several tokens on some row.",
        why="`S1+1` moves each token of `S1` for itself. Of a name of two tokens its second one "
        "would be the first of the span `S1+1..S2`, which is hardly meant.",
        repair="Give the place of the end in the rows, under a name of its own, or write `S1..S2` "
        "with all tokens of both names in it.",
        failing=_span("S1+1..S2"),
        passing=_span("S1..S2"),
    ),
    Page(
        code="PD237",
        name="other-members",
        summary="Two families that are correlated do not have the same members in the same order, "
        "three or more.",
        why="A correlation pairs the members of two lets: the effect of a head with its size. "
        "Where the loops range over different sets, some members have no partner. Two "
        "members always lie on a line.",
        repair="Write one loop for both lets, over three members or more.",
        failing=_plan(
            "let direct for h in a0: logits = mean(LD(treat(h -> logits)))",
            "let total for h in attn: logits = mean(LD(treat(through(h))))",
            "let x = correlation(direct, total, by: pearson)",
        ),
        passing=_plan(
            "let direct for h in attn: logits = mean(LD(treat(h -> logits)))",
            "let total for h in attn: logits = mean(LD(treat(through(h))))",
            "let x = correlation(direct, total, by: pearson)",
        ),
    ),
)
