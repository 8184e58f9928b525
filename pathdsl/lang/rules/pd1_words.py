"""Pages PD110 to PD119, PD127 to PD136, PD139: words, arguments, fields, what a file must have."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, TASK, sample, whole

__all__ = ["WORD_PAGES"]


WORD_PAGES: tuple[Page, ...] = (
    Page(
        code="PD110",
        name="unknown-word",
        summary="A word is not one of a closed list: a loader, generator, unit, option, method.",
        why="A file is data: it can name only what the program or an installed package provides.",
        repair="Take one of the words that the message lists.",
        failing=sample("let share = faithfulness(through(a3.h1), as: recoverd)"),
        passing=sample("let share = faithfulness(through(a3.h1), as: recovered)"),
    ),
    Page(
        code="PD111",
        name="wrong-kind-of-name",
        summary="A name is declared, but as another kind of thing than is wanted here.",
        why="A path is a set of paths, a group a set of nodes, a metric a number per run.",
        repair="Use a name of the wanted kind; a metric is measured on a run: `LD(reference)`.",
        failing=sample("let kept = mean(LD(keep(through(LD))))"),
        passing=sample("let kept = mean(LD(keep(through(a3.h1))))"),
    ),
    Page(
        code="PD112",
        name="unknown-field",
        summary="A block has no field of that name.",
        why="A misspelt field would silently leave its default in place.",
        repair="Correct the spelling; `pathdsl explain` lists the fields.",
        failing=whole(CIRCUIT, MODEL, TASK.replace("}\n", "  layer_norm = frozen\n}\n")),
        passing=whole(CIRCUIT, MODEL, TASK.replace("}\n", "  layernorm = frozen\n}\n")),
    ),
    Page(
        code="PD113",
        name="missing-argument",
        summary="A call, a task or a claim lacks something that has no default.",
        why="An argument that can change the verdict has no silent default.",
        repair="Give it; the message shows an example.",
        failing=sample("let gap = completeness(through(a3.h1))"),
        passing=sample("let gap = completeness(through(a3.h1), knockouts: random(100, seed: 0))"),
    ),
    Page(
        code="PD114",
        name="same-argument-twice",
        summary="An argument, a field or a unit is given twice.",
        why="Only one of the two could count.",
        repair="Leave one of them out.",
        failing=sample("let gap = completeness(through(mlp), knockouts: random(100, count: 50))"),
        passing=sample("let gap = completeness(through(mlp), knockouts: random(100))"),
    ),
    Page(
        code="PD115",
        name="wrong-kind-of-value",
        summary="A value is of another kind than its place takes.",
        why="A text cannot stand for a number, a run for a quantity, or a score for a path set.",
        repair="Write what the message asks for.",
        failing=sample("let share = chance(faithfulness(through(a3.h1)), among: 99.5)"),
        passing=sample("let share = chance(faithfulness(through(a3.h1)), among: 100)"),
    ),
    Page(
        code="PD116",
        name="out-of-range",
        summary="A number lies outside what its place allows, or a range is empty.",
        why="No prompt, no draw or no position would be left.",
        repair="Take a number from the range in the message.",
        failing=sample("let share = completeness(through(a3.h1), knockouts: random(0, seed: 0))"),
        passing=sample("let share = completeness(through(a3.h1), knockouts: random(50, seed: 0))"),
    ),
    Page(
        code="PD117",
        name="unknown-argument",
        summary="A call has no such argument, or fewer of them.",
        why="A misspelt argument would silently leave its default in place.",
        repair="Correct the spelling; the message shows what there is.",
        failing=sample("let share = faithfulness(through(a3.h1), kind: ratio)"),
        passing=sample("let share = faithfulness(through(a3.h1), as: ratio)"),
    ),
    Page(
        code="PD118",
        name="no-model",
        summary="A file that judges something has a model and at most one circuit block.",
        why="A claim without a model cannot be run.",
        repair="Declare one, `model gpt2 = hf(…)`. Of several each task names its own.",
        failing=whole(CIRCUIT, TASK, METRIC, "let kept = mean(LD(keep(through(a3.h1))))"),
        passing=whole(CIRCUIT, MODEL, TASK, METRIC, "let kept = mean(LD(keep(through(a3.h1))))"),
    ),
    Page(
        code="PD119",
        name="unknown-language-version",
        summary="The file asks for a version of the language that this program does not know.",
        why="A later version may read the same words in another way.",
        repair="Install a newer program, or write the file in a version that it knows.",
        failing=whole(CIRCUIT.replace("= 1", "= 9"), MODEL),
        passing=whole(CIRCUIT, MODEL),
    ),
    Page(
        code="PD139",
        name="no-version",
        summary="`needs` is no version of pathdsl.",
        why="An older program compares it with its own version before it reads the file.",
        repair='Write two or three numbers with points between: `needs = "0.2"`.',
        failing=whole(CIRCUIT.replace("= 1", '= 1; needs = "soon"'), MODEL),
        passing=whole(CIRCUIT.replace("= 1", '= 1; needs = "0.1"'), MODEL),
    ),
    Page(
        code="PD127",
        name="members-of-a-let",
        summary="A `let … for` is used without saying which member, or a plain `let` with one.",
        why="A let with a loop has one value per member, a plain one has a single value.",
        repair="Write `effects[a3.h1]` for the first, `effects` for the second.",
        failing=sample(
            "let effects for h in a3.h* = mean(LD(treat(h -> logits)))", "let twice = 2 * effects"
        ),
        passing=sample(
            "let effects for h in a3.h* = mean(LD(treat(h -> logits)))",
            "let twice = 2 * effects[a3.h1]",
        ),
    ),
    Page(
        code="PD128",
        name="edges-wanted",
        summary="`per: edge` stands with a path set that does not list its edges.",
        why="Only an `edges` set says which edges can be left out one by one.",
        repair="Judge an `edges { … }` set, or name the edges with `over: edges { … }`.",
        failing=sample("let least = minimality(a0.h1 ~> a1.h0, per: edge)"),
        passing=sample("let least = minimality(edges { input -> a0.h1 -> logits }, per: edge)"),
    ),
    Page(
        code="PD129",
        name="conflicting-options",
        summary="Two parts of a task, a claim or a score exclude each other.",
        why="Only one of them could be followed.",
        repair="Leave one of them out.",
        failing=sample(
            "claim positive for h in a3.h*: mean(LD(treat(h -> logits))) > 0 at 95% confidence "
            "by holm() by bh()"
        ),
        passing=sample(
            "claim positive for h in a3.h*: mean(LD(treat(h -> logits))) > 0 at 95% confidence "
            "by holm()"
        ),
    ),
    Page(
        code="PD130",
        name="no-task",
        summary="A file makes claims and has no task to judge them on.",
        why="A claim is about what a model does on prompts.",
        repair="Declare a task, or `use` a file that has one.",
        failing=whole(CIRCUIT, MODEL, METRIC, "claim good: mean(LD(reference)) > 0"),
        passing=whole(CIRCUIT, MODEL, TASK, METRIC, "claim good: mean(LD(reference)) > 0"),
    ),
    Page(
        code="PD131",
        name="names-nested-too-deep",
        summary="Names stand more than 300 deep inside one another, what they mean put in place.",
        why="A name that rests on hundreds of others, one below the other, is followed at every "
        "step of a check.",
        repair="Say the same with fewer names between.",
        failing=sample(
            "let x0 = mean(LD(reference))",
            *(f"let x{i} = {'(' * 25}x{i - 1}{')' * 25} + x{i - 1}" for i in range(1, 13)),
        ),
        passing=sample(
            "let x0 = mean(LD(reference))",
            *(f"let x{i} = x{i - 1} + x{i - 1}" for i in range(1, 13)),
        ),
    ),
    Page(
        code="PD136",
        name="not-correlated",
        summary="The two arguments of a correlation have no members, or no prompts, in common.",
        why="A correlation is over the members of two families, or over the prompts of two numbers "
        "per prompt. A family and a number per prompt have no pairs.",
        repair="Correlate two lets with one `for`, or two metrics of runs.",
        failing=sample(
            "let direct for h in a3: logits = mean(LD(treat(h -> logits)))",
            "let x = correlation(direct, LD(reference), by: pearson)",
        ),
        passing=sample(
            "let direct for h in a3: logits = mean(LD(treat(h -> logits)))",
            "let total for h in a3: logits = mean(LD(treat(through(h))))",
            "let x = correlation(direct, total, by: pearson)",
        ),
    ),
)
