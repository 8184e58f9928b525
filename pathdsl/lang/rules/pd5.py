"""Pages of the family PD5: the method. All are warnings and never change the exit code."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.pd5_readings import READING_PAGES
from pathdsl.lang.rules.pd5_vacuous import VACUOUS_PAGES
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL, TASK, sample, whole

_CLAIM = "claim enough: faithfulness(through(a3.h1)) >= 80% at 95% confidence"
_LIKE = (
    "claim control: faithfulness(random_like(through(a3.h1))) >= 80% at 95% confidence "
    "expect refuted"
)

_STATED = CIRCUIT.replace("language = 1\n", "language   = 1\n  hypothesis = main\n")
_SET = "\npath main = input ~> {a3.h2, a3.h1} ~> logits"
_EACH = "claim each for h in {a3.h2, a3.h1}: effect(through(h)) < 0 at 95% confidence by holm()"


def _chosen(claim: str) -> Example:
    """A claim beside a task whose rows the reference run has chosen."""
    task = """
task facts { data = mini_ioi(take: 30); reference = prompt; treated = prompt_abc }

task known = facts where ok(reference) == 1
"""
    ok = "metric ok = top1(io)"
    return replace(whole(CIRCUIT, MODEL, task, METRIC + ok, claim), command="plan")


def _treated(value: str, take: int = 60) -> str:
    return TASK.replace("prompt_abc", value).replace("take: 60", f"take: {take}")


_PROBABLE = "claim enough: faithfulness(through(a3), metric: P) >= 1% at 95% confidence"


def _measured(*claims: str) -> Example:
    """An example whose warning depends on values, so that it has to be run."""
    task = """
task ioi {
  data      = mini_ioi(take: 30, seed: 0)
  reference = prompt
  treated   = prompt_abc
}
"""
    found = whole(CIRCUIT, MODEL, task, METRIC, "metric P: prob = prob(io)", *claims)
    return replace(found, command="check")


def _two_tasks(seed: str) -> Example:
    """Prompts to look at and prompts to judge on, as two tasks."""
    tasks = "".join(
        f"""
task {name} {{
  data      = mini_ioi(take: {take}, {which})
  reference = prompt
  treated   = prompt_abc
}}
"""
        for name, take, which in (("looked_at", 40, "seed: 0"), ("judging", 60, seed))
    )
    metric = "\nmetric LD on judging: logits = logit(io) - logit(s)\n"
    let = "let seen = mean(LD(reference))"
    return replace(whole(CIRCUIT, MODEL, tasks, metric, let), command="check")


def _mean_over(by: str) -> Example:
    task = f"""
task ioi {{
  data      = mini_ioi(take: 100, seed: 0)
  reference = prompt
  treated   = mean(prompt_abc{by})
  positions = [IO, S1, S2]
}}
"""
    let = "let kept = mean(LD(keep(through(a3))))"
    return replace(whole(CIRCUIT, MODEL, task, METRIC, let), command="check")


PAGES: tuple[Page, ...] = (
    Page(
        code="PD501",
        name="no-negative-control",
        summary="No claim says what a wrong hypothesis would score.",
        why="A path set that keeps most of the model passes most thresholds. A random one of the "
        "same shape that fails the same claim shows that the claim can fail (Shi et al. 2024). So "
        "a control measures what a claim measures, the same score, form, metric and task, of a "
        "random set like that of the claim, and asks no more: a claim at 1000, or of `none`, is "
        "refuted whatever the model does. The complement of P, a part of P and another hypothesis "
        "are no controls, since they may be small, and neither is `random_edges` with a `count:`.",
        repair="Write the claim again about `random_like(P, seed: 0)` or `random_edges(like: P)`, "
        "with `expect refuted`; or compare the two in one claim, `faithfulness(P) > "
        "faithfulness(random_like(P))`, or by `chance(…)`. A file that claims nothing of a path "
        "set, or expects all to be refuted, needs none. Where the model has no other heads or MLPs "
        "to draw, as one with a single layer, the warning says so, and gives edges by walks "
        "instead where they are another set.",
        failing=sample(_CLAIM),
        passing=sample(_CLAIM, _LIKE),
    ),
    Page(
        code="PD502",
        name="threshold-without-interval",
        summary="A claim is judged by its estimate, without an interval.",
        why="Another draw of prompts might have fallen on the other side of the threshold.",
        repair="Add `at 95% confidence`.",
        failing=sample("claim enough: faithfulness(through(a3.h1)) >= 80%"),
        passing=sample(_CLAIM),
    ),
    Page(
        code="PD503",
        name="many-claims",
        summary="Many claims of one form, each at one confidence, without correction.",
        why="Of twenty members without any effect, one passes at 95% by luck. A `for` makes such a "
        "family, and so do five claims of one form. The form is what is measured: scores with form "
        "and options, measures of runs, the data. Path sets, thresholds, seeds, arithmetic, "
        "averages, names and the side of the sign are looked through; claims about one path set, "
        "and controls, are counted once or not at all. Reports on several files count over them.",
        repair="Make one claim with `for` and `by holm()`, or `by bh()` where a share of false "
        "ones is acceptable.",
        failing=sample("claim each for h in a3.h*: effect(h -> logits) < 0 at 95% confidence"),
        passing=sample(
            "claim each for h in a3.h*: effect(h -> logits) < 0 at 95% confidence by holm()"
        ),
    ),
    Page(
        code="PD504",
        name="too-few-prompts",
        summary="A task takes fewer than 30 prompts, and a claim is judged with an interval.",
        why=(
            "With few prompts, the interval of a skewed effect misses the true value more often "
            "than it says; docs/levels.md has the numbers."
        ),
        repair="Take more prompts.",
        failing=whole(CIRCUIT, MODEL, _treated("prompt_abc", 12), METRIC, _CLAIM),
        passing=sample(_CLAIM),
    ),
    Page(
        code="PD505",
        name="chosen-and-judged-together",
        summary="`split: false`: the rows that choose the knockouts also judge them.",
        why="The worst of many knockouts on some rows is worse there than on new ones: in 196 of "
        "200 simulations the interval missed the truth.",
        repair="Leave `split: false` out, unless a paper is to be followed to the letter.",
        failing=sample(
            "let gap = completeness(through(a3.h1), knockouts: greedy(10), split: false)"
        ),
        passing=sample("let gap = completeness(through(a3.h1), knockouts: greedy(10))"),
    ),
    Page(
        code="PD506",
        name="noise-as-treated-value",
        summary="Treated paths carry Gaussian noise.",
        why="Noise moves the model to inputs that no text has; what is found there differs from "
        "what exchanged prompts find: in GPT-2 XL a peak in the early MLPs that is 2 to 5 times "
        "that of exchanged prompts (Zhang and Nanda 2023, arXiv:2309.16042, Gaussian noising "
        "against symmetric token replacement).",
        repair="Treat with a paired column, a mean or a resampled prompt.",
        failing=whole(CIRCUIT, MODEL, _treated("noise(at: [S1, S2], scale: 3.0, seed: 0)")),
        passing=whole(CIRCUIT, MODEL, _treated("prompt_abc")),
    ),
    Page(
        code="PD507",
        name="only-probabilities",
        summary="Every metric of the file is a probability.",
        why="Near 0 a probability cannot fall further, so components that work against the answer "
        "stay hidden (Zhang and Nanda 2023, arXiv:2309.16042, on probability as a metric). PD513 "
        "says so of one claim, by the values of a run.",
        repair="Add a metric in logits: `logit(io) - logit(s)`.",
        failing=whole(CIRCUIT, MODEL, TASK, "metric P: prob = prob(io)"),
        passing=whole(CIRCUIT, MODEL, TASK, METRIC, "metric P: prob = prob(io)"),
    ),
    Page(
        code="PD508",
        name="mean-over-few-rows",
        summary="A mean that treated paths carry is over groups of few rows.",
        why="The mean of few rows keeps much of each, and of one row keeps all: the treated value "
        "is then close to the reference. Recovery rises with the rows (Miller et al. 2024).",
        repair="Take more rows, or group by a field with fewer values.",
        failing=whole(CIRCUIT, MODEL, _treated("mean(prompt_abc, by: template)", 60)),
        passing=whole(CIRCUIT, MODEL, _treated("mean(prompt_abc, by: template)", 300)),
    ),
    Page(
        code="PD509",
        name="finer-than-nodes",
        summary="A path set of edges or inputs is used with a mean or zero as treated value.",
        why="With single edges left out a component is recomputed from a mix that contains the "
        "constant, an input it never sees. Recovery is then higher than with nodes, often above "
        "100% (Miller et al. 2024).",
        repair="Treat with a paired column or `resample(…)`, or use sets of nodes: `within(…)`.",
        failing=whole(
            CIRCUIT,
            MODEL,
            _treated("mean(prompt_abc)"),
            METRIC,
            "let kept = mean(LD(keep(a1.h0 -[v]-> a3.h1)))",
        ),
        passing=sample("let kept = mean(LD(keep(a1.h0 -[v]-> a3.h1)))"),
    ),
    Page(
        code="PD510",
        name="open-revision",
        summary="A model from the hub has no revision, or one that may move.",
        why="Other weights give other numbers, and nobody would notice.",
        repair='Give the forty characters of a commit: `revision: "607a30d7…"`.',
        failing=whole(CIRCUIT, '\nmodel gpt2 = hf("openai-community/gpt2", revision: "main")\n'),
        passing=whole(
            CIRCUIT,
            '\nmodel gpt2 = hf("openai-community/gpt2", '
            'revision: "607a30d783dfa663caf39e06633721c8d4cfcd7e")\n',
        ),
    ),
    Page(
        code="PD511",
        name="no-language-version",
        summary="The file does not say which version of the language it is written in.",
        why="Words that a later version adds are reserved only in files that ask for it.",
        repair="Add `language = 1` to the circuit block.",
        failing=whole(CIRCUIT.replace("  language = 1\n", '  cite = "a paper"\n'), MODEL),
        passing=whole(CIRCUIT, MODEL),
    ),
    Page(
        code="PD512",
        name="window-without-singles",
        summary="A sweep over windows of nodes has no sweep over the single nodes beside it.",
        why="Patching a window of layers at once gave 1.4 to 1.75 times the summed effects of its "
        "layers in GPT-2 XL, and peaks where no single layer has one (Zhang and Nanda 2023, "
        "arXiv:2309.16042, on sliding windows; they advise to try single layers first).",
        repair="Add a `let` or a claim `for` the same nodes one by one.",
        failing=sample("let near for w in windows(m*, 2) = effect(through(w), metric: LD)"),
        passing=sample(
            "let near for w in windows(m*, 2) = effect(through(w), metric: LD)",
            "let one for m in m* = effect(through(m), metric: LD)",
        ),
    ),
    Page(
        code="PD513",
        name="probability-at-its-floor",
        summary="A claim is judged by a probability that is near 0 in the treated run.",
        why="What is restored is measured from the treated run. Where the answer's probability is "
        "already near 0 there, components that work against the answer cannot lower it: with three "
        "names replaced, the probability finds neither negative name mover of GPT-2 small and the "
        "logit difference finds both (Zhang and Nanda 2023, arXiv:2309.16042).",
        repair="Judge the same path set by a metric in logits, too, or treat with prompts on which "
        "the answer keeps some probability.",
        failing=_measured(_PROBABLE),
        passing=_measured(_PROBABLE, _PROBABLE.replace("enough", "too").replace("P)", "LD)")),
    ),
    Page(
        code="PD514",
        name="logit-of-one-answer",
        summary="Claims are judged by the logit of one answer, and no other metric is read.",
        why="Adding a number to all logits changes no probability, so a logit alone may rise while "
        "the answer becomes less likely. A wrong answer beside it takes that away, and the measure "
        "of the task is the difference (Zhang and Nanda 2023, arXiv:2309.16042, section on "
        "metrics: logit difference between the right and the corrupted answer).",
        repair="Measure `logit(right) - logit(wrong)`, or `logprob(right)`.",
        failing=whole(CIRCUIT, MODEL, TASK, "metric L: logits = logit(io)", _CLAIM),
        passing=sample(_CLAIM),
    ),
    Page(
        code="PD515",
        name="ratio-per-prompt",
        summary="Ratios are averaged prompt by prompt.",
        why="Where the full effect on some prompt is near 0 its ratio may be thousands of percent "
        "and decide the mean: on the IOI circuit the mean of ratios lay far above the ratio of "
        "means (Miller et al. 2024, arXiv:2407.08734, on the order of averaging).",
        repair="Divide means: `average = ratio_of_means`, the default, or `mean(A) / mean(B)`.",
        failing=whole(
            CIRCUIT,
            MODEL,
            TASK.replace("prompt_abc\n", "prompt_abc\n  average   = mean_of_ratios\n"),
            METRIC,
        ),
        passing=sample("let kept = mean(LD(keep(through(a3)))) / mean(LD(reference))"),
    ),
    Page(
        code="PD516",
        name="tasks-share-prompts",
        summary="Two tasks that are drawn apart have prompts in common.",
        why="What was found on some prompts holds on them by selection, so a verdict is evidence "
        "only on others (Miller et al. 2024 ask for discovery and evaluation apart). "
        "Row *i* of a generator depends on its arguments and *i* alone, so `take: 60` is the "
        "beginning of `take: 200` with the same seed. And tasks are resampled apart, so an "
        "interval over both is too narrow. "
        "Rows that were looked at before are known where they are written as a task, in the file "
        "or in one that it uses. Parts of one task share rows by design; of these a prompt is told "
        "where it stands in both under different ids.",
        repair="Draw one of them with another `seed:`, or split the rows by a label: "
        '`task judging = rows where split == "judge"`.',
        failing=_two_tasks("seed: 0"),
        passing=_two_tasks("seed: 1"),
    ),
    Page(
        code="PD517",
        name="mean-over-other-places",
        summary="A mean is over rows on which a position stands at other tokens.",
        why="A mean is taken per token index. Where a name is token 4 on one row and token 6 on "
        "another, their mean is that of different words, and `treated @S2` carries no mean of S2. "
        "Wang et al. 2022 average over prompts of one template, whose words are single tokens "
        "(arXiv:2211.00593).",
        repair="Group the rows by a label on which places hang, `mean(COLUMN, by: template)`, or "
        "write prompts whose words stand at the same tokens.",
        failing=_mean_over(""),
        passing=_mean_over(", by: template"),
    ),
    Page(
        code="PD518",
        name="begins-at-equal-inputs",
        summary="The paths of a set begin at tokens that the reference and the treated prompt have "
        "in common.",
        why="A path's treated value differs from its reference value by the input that it begins "
        "at. Where that is the same token in both prompts, treating the path changes nothing, and "
        "a claim that its effect is small is supported whatever the model does.",
        repair="Begin the paths where the prompts differ, or leave the beginning open.",
        failing=_measured("let still = mean(LD(treat(input@END ~> logits)))"),
        passing=_measured("let moved = mean(LD(treat(input@S1 ~> logits)))"),
    ),
    Page(
        code="PD519",
        name="copies-of-prompts",
        summary="Rows of a task are copies of others, token by token, under other ids.",
        why="A model computes the same on the same prompt. Eight prompts, each written 25 times, "
        "are eight pieces of evidence, and an interval of 200 would be five times too narrow. "
        "Therefore a row that is in all that is read of it a copy of one before it counts once, "
        "in estimates, n, intervals, tests and halves of searches; rows of one prompt that differ "
        "in answers or labels are one cluster. Where the treated value is a prompt, pairs of the "
        "reference and the treated prompt are compared. Told from one copy in twenty rows on; the "
        "method section always says how many prompts are distinct. Many treated prompts beside few "
        "reference prompts are no copies, but what they have in common is the reference run.",
        repair="Write each prompt once. Where too few are left, take more. Rows that share a "
        "reference prompt and differ in the treated one belong into one `cluster`.",
        shown_by="tests/referee/test_rows.py::test_copies_are_told",
    ),
    Page(
        code="PD521",
        name="member-of-a-sweep",
        summary="A claim is about one member of a sweep, on the prompts of the sweep.",
        why="The largest of many effects is large by its own effect and by luck. Of 20 heads "
        "without any effect the largest is above 0 at 95% in a quarter of all samples. If the "
        "sweep showed which member to claim, its prompts have chosen what they judge.",
        repair="Sweep on one part of the prompts and judge on another (`task judging = rows where "
        'split == "judge"`), or claim something of all members, with `by holm()`. If the member '
        "was known before, the warning can stand.",
        failing=sample(
            "let e for h in attn: logits = mean(LD(treat(through(h))) - LD(reference))",
            "claim best: e[a0.h1] > 1 at 95% confidence",
        ),
        passing=sample(
            "let e for h in attn: logits = mean(LD(treat(through(h))) - LD(reference))",
            "claim some for h in attn: e[h] > 1 at 95% confidence by holm()",
        ),
    ),
    Page(
        code="PD522",
        name="most-of-the-model",
        summary="A path set that a claim keeps is most of the model.",
        why="What keeps nearly everything behaves nearly as the model does, whatever the model "
        "does, so that the claim says little of the nodes that the file names. The warning comes "
        "from four fifths of the nodes and three quarters of the edges, if the set also holds half "
        "of the paths along its edges: all paths through one early head have nearly every edge and "
        "are few. Positions are not counted. Sets drawn at random, sets written as all paths but "
        "some (`full - P`) and claims that a set does badly are left alone. Every report says how "
        "many nodes and edges each claimed set has.",
        repair="Keep the part that does the work. If all of it is needed, claim that of each part "
        "and let the warning stand.",
        failing=_measured(
            "path main = through(a3.h1) | within({attn, mlp, except a2.h0})",
            "claim enough: faithfulness(main, metric: LD) >= 80% at 95% confidence",
        ),
        passing=_measured(
            "path main = through(a3.h1)",
            "claim enough: faithfulness(main, metric: LD) >= 80% at 95% confidence",
        ),
    ),
    Page(
        code="PD523",
        name="hypothesis-not-claimed",
        summary="No claim is about the path set that the file calls its hypothesis.",
        why="A reader takes the verdicts for verdicts on the hypothesis. A claim is about it if a "
        "run or a score of the claim is of that set, or of all paths but it: through `let`s, "
        "brackets and other names for it. A claim about its heads one by one is about the heads, a "
        "random set of its shape is a control, and a count of nodes measures nothing.",
        repair="Claim something of the hypothesis, or name the set that is claimed.",
        failing=whole(_STATED, MODEL, TASK, METRIC, _SET, _EACH, _CLAIM),
        passing=whole(
            _STATED, MODEL, TASK, METRIC, _SET, _EACH, _CLAIM.replace("through(a3.h1)", "main")
        ),
    ),
    Page(
        code="PD524",
        name="low-confidence",
        summary="A claim is judged at a confidence below 90%.",
        why="At 51% confidence about every second interval misses the truth, so that a claim may "
        "be supported by luck. Reports state the confidence of each claim beside its verdict.",
        repair="Use `at 95% confidence`, and take more prompts where the verdict is then open.",
        failing=sample(_CLAIM.replace("95%", "51%")),
        passing=sample(_CLAIM),
    ),
    *VACUOUS_PAGES,
    Page(
        code="PD529",
        name="rows-without-a-hash",
        summary="A file that is locked or reported reads rows from a file without `sha256:`.",
        why="The circuit file then says where its rows lie and not which they are. Other rows "
        "under the same name are judged, and only who compares with the lock sees it.",
        repair='Add the hash that the help names, `jsonl("rows.jsonl", sha256: "…")`. `lock` and '
        "`report` alone say this: while rows are being written the hash would be in the way.",
        shown_by="tests/referee/test_rows.py::test_a_lock_asks_for_the_hash_of_rows",
    ),
    Page(
        code="PD531",
        name="window-over-a-border",
        summary="Windows of heads run over the border of a layer.",
        why="Heads are counted layer by layer, so the neighbours of the last head of a layer are "
        "the first heads of the next. Heads of a layer have no order, and which of them meet in "
        "such a window hangs on how they are numbered: its effect is no property of the model.",
        repair="Slide over whole layers, `windows(attn, 2, by: layer)`, or over the heads of one.",
        failing=sample(
            "let near for w in windows(attn, 3) = effect(through(w), metric: LD)",
            "let one for h in attn = effect(through(h), metric: LD)",
        ),
        passing=sample(
            "let near for w in windows(attn, 2, by: layer) = effect(through(w), metric: LD)",
            "let one for h in attn = effect(through(h), metric: LD)",
        ),
    ),
    Page(
        code="PD532",
        name="rows-chosen-by-a-run-it-reads",
        summary="A claim compares a run with others on rows that this run has chosen.",
        why="Rows on which the reference run is right are often the ones on which the model can do "
        "it, and a claim about these is sound. Some only just passed: any other run is less "
        "lucky on them, so that treating nothing of importance seems to cost something.",
        repair="Judge the claim on all rows too; where both verdicts agree the choice does not "
        "matter. `accuracy(keep(P), …)` does not read the run that chose.",
        failing=_chosen("claim c: effect(full, task: known, metric: LD) < 0"),
        passing=_chosen("claim c: effect(full, task: facts, metric: LD) < 0"),
    ),
    *READING_PAGES,
)
