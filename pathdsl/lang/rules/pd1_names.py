"""Pages PD101 to PD109: names, the files they come from, and positions."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.sample import sample

__all__ = ["NAME_PAGES"]

_OTHER = "group movers @END = { a3.h1, a3.h2 }\n"

NAME_PAGES: tuple[Page, ...] = (
    Page(
        code="PD101",
        name="unknown-name",
        summary="A name is used that neither this file nor one that it uses declares.",
        why=(
            "Otherwise a misspelt group would be an empty set, and a claim about it would hold or "
            "fail for nothing."
        ),
        repair="Correct the spelling, declare the name, or `use` the file that declares it.",
        failing=sample(
            "group movers @END = { a3.h1, a3.h2 }", "let kept = mean(LD(keep(through(mover))))"
        ),
        passing=sample(
            "group movers @END = { a3.h1, a3.h2 }", "let kept = mean(LD(keep(through(movers))))"
        ),
    ),
    Page(
        code="PD102",
        name="reserved-name",
        summary="A declaration takes a word of the language, a built-in function or a node.",
        why="`mean` or `a3` would mean two things, and a reader could not tell which.",
        repair="Choose another name.",
        failing=sample("group m1 = { a1.h0 }", "let kept = mean(LD(keep(through(m1))))"),
        passing=sample("group early = { a1.h0 }", "let kept = mean(LD(keep(through(early))))"),
    ),
    Page(
        code="PD103",
        name="duplicate-name",
        summary="Two declarations, of this file or of files that it uses, have one name.",
        why="All names form one namespace, so that a name means the same wherever it stands.",
        repair="Rename one of the two; both places are shown.",
        failing=sample(
            "group early = { a0.h1 }",
            "path early = a0.h1 -> logits",
            "let kept = mean(LD(keep(early)))",
        ),
        passing=sample(
            "group early = { a0.h1 }",
            "path direct = early -> logits",
            "let kept = mean(LD(keep(direct)))",
        ),
    ),
    Page(
        code="PD104",
        name="unused-name",
        summary="A declaration, or the variable of a loop, is never mentioned again (a warning).",
        why="What is declared and not used is often a misspelling, or a claim that was forgotten. "
        "A loop without its variable says one thing as often as it has members.",
        repair="Use the name, or leave the declaration or the loop out.",
        failing=sample("group movers = { a3.h1 }", "let kept = mean(LD(keep(through(a3.h1))))"),
        passing=sample("group movers = { a3.h1 }", "let kept = mean(LD(keep(through(movers))))"),
    ),
    Page(
        code="PD105",
        name="unreadable-file",
        summary="A file named after `use` cannot be read.",
        why="The names it declares would be missing.",
        repair="Correct the path: it is relative to the file that it is written in.",
        failing=sample('use "movers.circuit"'),
        passing=sample(
            'use "movers.circuit"',
            "let kept = mean(LD(keep(through(movers))))",
            files={"movers.circuit": _OTHER},
        ),
    ),
    Page(
        code="PD106",
        name="circular-use",
        summary="A file uses itself, directly or through others.",
        why="Neither file could be read without the other.",
        repair="Move what both need into a third file and use that one.",
        failing=sample(
            'use "movers.circuit"',
            files={"movers.circuit": 'use "example.circuit"\n' + _OTHER},
        ),
        passing=sample(
            'use "movers.circuit"',
            "let kept = mean(LD(keep(through(movers))))",
            files={"movers.circuit": _OTHER},
        ),
    ),
    Page(
        code="PD107",
        name="shadowed-name",
        summary="A loop variable has the name of a declaration, or one over a list of a position.",
        why="Inside the loop the name would mean something else than outside.",
        repair="Rename the variable.",
        failing=sample(
            "group h = { a3.h1, a3.h2 }", "let effects for h in h = mean(LD(treat(h -> logits)))"
        ),
        passing=sample(
            "group movers = { a3.h1, a3.h2 }",
            "let effects for h in movers = mean(LD(treat(h -> logits)))",
        ),
    ),
    Page(
        code="PD108",
        name="circular-definition",
        summary="A group, path, let or task is defined by itself.",
        why="It would have no meaning, or an infinite one.",
        repair="Leave one of the mentions out; for repetition write `(-> mlp)*`.",
        failing=sample("path again = a0.h1 -> (again)", "let kept = mean(LD(keep(again)))"),
        passing=sample("path once = a0.h1 (-> mlp)*", "let kept = mean(LD(keep(once)))"),
    ),
    Page(
        code="PD109",
        name="unknown-position",
        summary="A position is neither `END`, nor listed by a task, nor marked by its generator.",
        why="A node at a position that no prompt has would be on no path.",
        repair="Correct the spelling, or list the name: `positions = [S2]`.",
        failing=sample("group copies @S3 = { a1.h0 }", "let k = mean(LD(keep(through(copies))))"),
        passing=sample("group copies @S2 = { a1.h0 }", "let k = mean(LD(keep(through(copies))))"),
    ),
    Page(
        code="PD133",
        name="several-places",
        summary="A span or a set of positions stands where one place is wanted.",
        why="A node may stand at several tokens: it is then the nodes at each of them. A metric is "
        "one number per prompt and is read at one place, so what it is on a span is for its "
        "expression to say; a span has two ends, each one place; and a moved span, `@p+1`, does "
        "not say which of its ends moves.",
        repair="Name one position. A mean over places is written out.",
        failing=sample(
            "metric both @{S1, S2}: logits = logit(io)", "let k = mean(both(reference))"
        ),
        passing=sample(
            "metric both: logits = (logit(io) @S1 + logit(io) @S2) / 2",
            "let k = mean(both(reference))",
        ),
    ),
    Page(
        code="PD134",
        name="place-of-a-metric",
        summary="A metric gets its place from outside where it cannot.",
        why="A metric is declared once, outside of all loops, and a score takes it as it is "
        "declared. A loop over places reads it by `LD(RUN) @p`: then all its measures that have "
        "no place of their own are read there.",
        repair="Declare the metric without a place and read it there, `mean(LD(RUN) @p)`, or "
        "declare one for each place.",
        failing=sample(
            "metric at_p @p: logits = logit(io)",
            "let k for p in [S1, END]: logits = mean(at_p(reference))",
        ),
        passing=sample(
            "metric one: logits = logit(io)",
            "let k for p in [S1, END]: logits = mean(one(reference) @p)",
        ),
    ),
)
