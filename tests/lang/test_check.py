"""The static checks: each fault of a table gives its code and no other error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pathdsl.errors import Diagnostic, Severity
from pathdsl.lang.check.expressions import CHECKS
from pathdsl.lang.check.scope import listed, suggestion
from pathdsl.lang.lint import lint_file
from pathdsl.lang.rules.sample import CIRCUIT, HEAD, METRIC, MODEL, TASK
from pathdsl.lang.signatures.kinds import Kind

GROUPS = """
group movers @END = { a9.h9, a9.h6 }
group early = { a0.h1, m0 }
path main = input ~> early -[k,v]-> movers -> logits
path edges_only = edges { a0.h1 -> a9.h9 -> logits }
let effects for h in movers: logits = mean(LD(treat(h -> logits)))
let whole = mean(LD(reference))
"""


def errors(text: str, tmp_path: Path) -> list[Diagnostic]:
    """The errors, no warnings, of a text."""
    path = tmp_path / "case.circuit"
    path.write_text(text, encoding="utf-8")
    return [f for f in lint_file(str(path))[1] if f.severity is Severity.ERROR]


def codes(text: str, tmp_path: Path) -> list[str]:
    return [fault.code for fault in errors(text, tmp_path)]


FINE = [
    "let x = mean(LD(keep(main)))",
    "let x = mean(LD(treat((a7.h3 (-> mlp)* -[q]-> movers) - (movers ~[q]~> movers))))",
    "let x = mean(LD(keep(edges { input -> a0.h1; a0.h1 -[v]-> a1.h0 -> logits })))",
    "let x = mean(LD(keep(within(early) - through(m0))))",
    "let x = mean(LD(keep(input -[v]-> a9 | input ~[q]~> a9, scope: through(a9))))",
    "let x = mean(LD(treat(through(r5@S2)))) / whole",
    "let x = mean(LD(treat(a0.h1 -> r5@S2 -> a9.h9)))",
    "let x for r in r[0..12]@S2 = mean(LD(treat(through(r))))",
    "let x for r in r[1..3] = mean(LD(treat(a0.h1 -> r -> a9.h9)))",
    "let x for w in windows(m[0..7], 3) = mean(LD(treat(through(w))))",
    "let x = mean(LD(keep(random_edges(count: 4, like: main, seed: 1))))",
    "let x = mean(LD(treat(main, treated: zero)))",
    "let x = mean(LD(treat(main, treated: mean(prompt_abc, by: template))))",
    "let x = mean(LD(treat(main, treated: noise(at: [S1, S1+1], scale: 2.0))))",
    "let x = mean(LD(treat(main, treated: resample(prompt, by: template, draws: 3, seed: 1))))",
    "let x = effects[a9.h9] / whole",
    "let x for h in movers = effects[h] / whole",
    "let x = median(max(LD(reference), 0)) / quantile(LD(reference), 90%)",
    "let x = completeness(main, knockouts: groups)",
    "let x = completeness(main, knockouts: greedy(3, runs: 2, sample: 4, by: circuit, seed: 1))",
    "let x = minimality(main, given: { a9.h9: early, a9.h6: {m0, a0.h1} }, as: share)",
    "let x = minimality(main, per: edge, over: edges { a0.h1 -> a9.h9 })",
    "let x = minimality(edges_only, per: edge)",
    "let x = minimality(random_like(edges_only, seed: 0), per: edge)",
    "let x = overlap(main, edges_only, over: edge, as: of_first) + paths(main)",
    "let x = accuracy(keep(main), answer: io)",
    "let x = chance(faithfulness(main, as: kl), among: 20, seed: 3)",
    "let x = chance(faithfulness(main, as: rms), by: walks, share: 90%)",
    "let x = chance(effect(main, as: rms), by: units, over: movers, share: 50%)",
    "let x = chance(minimality(edges_only, per: edge, as: share), by: walks)",
    "let x = faithfulness(random_edges(like: main, by: walks, seed: 1))",
    "let x = sign_test(LD(keep(main)) - LD(reference), side: above)",
    "let x = binomial_test(LD(reference), share: 90%, side: below)",
    "let x = independence_test(LD(treat(main)), LD(reference), draws: 99, seed: 1)",
    "let x = faithfulness(main, scope: through(a9), metric: LD, task: ioi)",
    "claim x: whole ~= 3.5 within 0.1 at 95% confidence by bootstrap(1000, seed: 2)",
    "claim x for h in movers: effects[h] < 0 at 95% confidence by bh() by bootstrap(500)",
    "metric T @S1+1 = max(logit(io) @S2, logit(s) * 2)",
    "metric A: none = attention(a9.h9, END -> IO) + top1(io) / rank(io)",
    "metric K: nats = kl(reference)",
    "metric N: prob = prob(next)",
    "intervene fix { pattern(movers) = uniform(IO, S1); block(a9.h6@END -> S2); zero v(early) }"
    "\nlet x = mean(LD(keep(main) with fix))",
    "intervene fix { scale a9.h9 = -2.0; set a9.h6 = treat(main) }"
    "\nlet x = mean(LD(reference with fix))",
    'task abba = ioi where order == "abba"\nlet x = mean(LD(reference, task: abba))',
]


@pytest.mark.parametrize("line", FINE)
def test_well_formed(line: str, tmp_path: Path) -> None:
    groups = GROUPS if "task abba" not in line else ""
    assert errors(HEAD + groups + line + "\n", tmp_path) == []


CASES = [
    # names
    ("let x = mean(LD(keep(through(mover))))", "PD101"),
    ("let x = mean(LD(keep(man)))", "PD101"),
    ("let x = mean(LE(reference))", "PD101"),
    ("let x = mena(LD(reference))", "PD101"),
    ("let x = whol / 2", "PD101"),
    ("let x = mean(LD(reference with fix))", "PD101"),
    ("let x = faithfulness(main, metric: LE)", "PD101"),
    ("let x = faithfulness(main, task: iou)", "PD101"),
    ("metric M on iou = logit(io)\nlet x = mean(LD(reference))", "PD101"),
    ("let x = h[a9.h9]", "PD101"),
    ("group effect = { a9.h9 }", "PD102"),
    ("group a9h9 = { a9.h9 }", "PD102"),
    ("let mean = whole", "PD102"),
    ("let x for END in movers = whole", "PD102"),
    ("group main = { a9.h9 }", "PD103"),
    ("let x for early in movers = whole", "PD107"),
    ("group one = { two }\ngroup two = { one }", "PD108"),
    ("path p = a0.h1 -> (p)", "PD108"),
    ("let one = two + whole\nlet two = one", "PD108"),
    ("let one = 2 * abs(one)", "PD108"),
    # positions
    ("group g @S9 = { a9.h9 }", "PD109"),
    ("let x = mean(LD(keep(through(a9.h9@S2+1, a9.h6@IQ))))", "PD109"),
    ("metric M @S9 = logit(io)", "PD109"),
    ("metric M = attention(a9.h9, END -> I0)", "PD109"),
    ("let x = mean(LD(treat(main, treated: noise(at: [S9]))))", "PD109"),
    # closed lists
    ("let x = faithfulness(main, as: share)", "PD110"),
    ("let x = completeness(main, knockouts: gredy(10))", "PD110"),
    ("let x = completeness(main, knockouts: greedy(10, by: size))", "PD110"),
    ("let x = mean(LD(treat(main, treated: means(prompt))))", "PD110"),
    ("metric M = logits_of(io)", "PD110"),
    ("let x: logit = whole", "PD110"),
    ("claim x: whole > 0 by bonferroni()", "PD110"),
    ("intervene fix { pattern(a9.h9) = even(IO) }", "PD110"),
    ("let x = minimality(main, per: layer)", "PD110"),
    # kinds of names
    ("let x = LD", "PD111"),
    ("let x = whole(reference)", "PD111"),
    ("let x for h in main = whole", "PD111"),
    ("let x for h in movers = h", "PD111"),
    ("let x = mean(LD(keep(main@S2)))", "PD111"),
    ("let x = mean(LD(keep(whole)))", "PD111"),
    # arguments
    ("let x = quantile(LD(reference))", "PD113"),
    ("let x = mean(LD())", "PD113"),
    ("let x = mean(min(LD(reference)))", "PD113"),
    ("let x = accuracy(reference)", "PD113"),
    ("let x = mean(LD(keep(random_edges(count: 3))))", "PD113"),
    ("let x = overlap(main)", "PD113"),
    ("let x = binomial_test(LD(reference))", "PD113"),
    ("let x = independence_test(LD(reference))", "PD113"),
    ("let x = mean(LD(treat(main, treated: noise(scale: 2.0))))", "PD113"),
    ("let x = completeness(main, knockouts: greedy(3, steps: 4))", "PD114"),
    ("let x = minimality(main, given: { a9.h9: early, a9.h9: movers })", "PD114"),
    ("let x = faithfulness(main, as: 3)", "PD115"),
    ("let x = chance(whole)", "PD115"),
    ("let x = chance(paths(main))", "PD115"),
    ("let x = chance(overlap(main, whole))", "PD115"),
    ("let x = effect(reference)", "PD115"),
    ("let x = completeness(main, knockouts: random)", "PD115"),
    ("let x = completeness(main, knockouts: greedy(10), split: 0)", "PD115"),
    ("let x = mean(LD(treat(main, treated: mean)))", "PD115"),
    ("let x = minimality(main, given: { mlp: early })", "PD115"),
    ("metric M = kl(treated)", "PD115"),
    ("metric M = attention(m5, END -> IO)", "PD115"),
    ("let x = chance(effect(main), among: 0)", "PD116"),
    ("let x = chance(effect(main), share: 0)", "PD116"),
    ("let x = chance(effect(main), by: steps)", "PD110"),
    ("let x = chance(effect(main), by: walks, over: movers)", "PD129"),
    ("let x = chance(completeness(main, knockouts: groups), by: walks)", "PD129"),
    ("let x = chance(minimality(main), by: walks)", "PD129"),
    ("let x = chance(minimality(main, per: edge, over: edges { a0.h1 -> a9.h9 }), by: walks)",
     "PD129"),
    ("let x = quantile(LD(reference), 100%)", "PD116"),
    ("let x = binomial_test(LD(reference), share: 100%)", "PD116"),
    ("let x = sign_test(LD(reference), side: left)", "PD110"),
    ("let x = sign_test(LD(reference), LD(treated))", "PD117"),
    ("let x = sign_test(reference)", "PD115"),
    ("metric M = sign_test(logit(io))", "PD406"),
    ("let x = quantile(LD(reference), 90)", "PD116"),
    ("claim x: whole > 0 at 100% confidence", "PD116"),
    ("let x = mean(LD(treat(main, treated: resample(prompt, draws: 0))))", "PD116"),
    ("let x = mean(LD(keep(a0.h1 (-> mlp){0} -> a9.h9)))", "PD116"),
    ("let x = mean(LD(keep(a0.h1 -[v: window(0)]-> a9.h9)))", "PD116"),
    ("let x = mean(LD(reference, seed: 3))", "PD117"),
    ("let x = mean(LD(treat(main, region: main)))", "PD117"),
    ("let x = mean(LD(reference), LD(treated))", "PD117"),
    ("let x = paths(main, main)", "PD117"),
    ("claim x: whole > 0 by holm(3)", "PD117"),
    ("model other = bundled(\"ioi-mini\")", "PD307"),
    # path sets
    ("let x = mean(LD(keep(movers & early)))", "PD120"),
    ("let x = mean(LD(keep((movers) - {a9.h9})))", "PD120"),
    ("let x for h in movers = mean(LD(keep(movers - h)))", "PD120"),
    ("let x = mean(LD(keep(through(movers@S2))))", "PD121"),
    ("group g @S1 = { movers }", "PD121"),
    ("let x for h in movers = mean(LD(keep(through(h@S1))))", "PD121"),
    ("let x = mean(LD(keep(r5)))", "PD123"),
    ("let x = mean(LD(keep(r5 -> a9.h9)))", "PD123"),
    ("let x = mean(LD(keep(a0.h1 -> r5)))", "PD123"),
    ("let x = mean(LD(keep(within(r5))))", "PD123"),
    ("let x for r in r[0..3] = mean(LD(keep(a0.h1 -> r)))", "PD123"),
    ("group g = { r5 }", "PD123"),
    ("let x = mean(LD(keep(main & through(logits@END))))", "PD124"),
    ("group g @END = { logits }", "PD124"),
    ("path p = a0.h1 (-> mlp)*\nlet x = mean(LD(keep(a0.h0 (-> (p))+)))", "PD125"),
    ("let x = mean(LD(keep(a0.h1 -> full)))", "PD126"),
    ("let x = mean(LD(keep(a0.h1 -> (main & full))))", "PD126"),
    ("let x = mean(LD(keep(a0.h1 -> (edges_only))))", "PD126"),
    ("let x = effects", "PD127"),
    ("let x = whole[a9.h9]", "PD127"),
    ("let x = minimality(main, per: edge)", "PD128"),
    ("let x = minimality(edges_only, per: edge, given: { a9.h9: early })", "PD129"),
    ("claim x for h in movers: effects[h] < 0 at 95% confidence by holm() by bh()", "PD129"),
    ("let x = mean(LD(keep(a0.h1 -[q]-> {a9.h9, m5})))", "PD206"),
    ("let x = mean(LD(keep(a0.h1 ~[k,v]~> logits)))", "PD206"),
    ("let x = mean(LD(keep(a0.h1 -[q]-> (a9.h9 | mlp))))", "PD206"),
    ("let x = mean(LD(keep(a0.h1 -[k]-> r5 -> a9.h9)))", "PD206"),
    ("let x = mean(LD(keep(a0.h1 -[k: prev, q: same]-> a9.h9)))", "PD207"),
    # tasks and data
    ("let x = mean(LD(keep(edges(\"none.json\", top: 3))))", "PD300"),
    ("let x = accuracy(reference, answer: prompt)", "PD301"),
    ("let x = mean(LD(treat(main, treated: prompt_abd)))", "PD301"),
    ("let x = mean(LD(treat(main, treated: mean(io))))", "PD301"),
    ("let x = mean(LD(treat(main, treated: mean(prompt, by: tamplate))))", "PD301"),
    ("task t = ioi where ordre == \"abba\"\nmetric M on t = logit(io)", "PD301"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), CASES)
def test_fault(line: str, code: str, tmp_path: Path) -> None:
    groups = GROUPS if "task t" not in line else ""
    found = codes(HEAD + groups + line + "\n", tmp_path)
    assert set(found) == {code}


BLOCKS = [
    (CIRCUIT.replace("language", "langage") + MODEL, "PD112"),
    (CIRCUIT.replace("= 1", '= "1"') + MODEL, "PD115"),
    (CIRCUIT.replace("= 1\n", "= 1\n  hypothesis = main\n") + MODEL, "PD101"),
    (CIRCUIT + '\nmodel m = hub("gpt2")\n', "PD110"),
    (CIRCUIT + "\nmodel m = hf()\n", "PD113"),
    (CIRCUIT + '\nmodel m = hf("gpt2", dtype: float8)\n', "PD110"),
    (CIRCUIT + '\nmodel m = hf("gpt2", revison: "x")\n', "PD117"),
    (CIRCUIT + MODEL + "\ntask t { reference = prompt }\n", "PD113"),
    (CIRCUIT + MODEL + TASK.replace("ioi(", "iou("), "PD110"),
    (CIRCUIT + MODEL + TASK.replace("take: 60", "tak: 60"), "PD117"),
    (CIRCUIT + MODEL + TASK.replace("take: 60", "take: 0"), "PD116"),
    (CIRCUIT + MODEL + TASK.replace("take: 60", 'take: "x"'), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("reference = prompt", "reference = promt"), "PD301"),
    (CIRCUIT + MODEL + TASK.replace("= prompt_abc", "= prompt_abd"), "PD301"),
    (CIRCUIT + MODEL + TASK.replace("}", "  cluster = io\n}"), "PD301"),
    (CIRCUIT + MODEL + TASK.replace("}", "  average = mean_of_means\n}"), "PD110"),
    (CIRCUIT + MODEL + TASK.replace("}", "  positions = [END]\n}"), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("}", "  positions = S2\n}"), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("}", "  bos = 1\n}"), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("}", "  tokens = together\n}"), "PD110"),
    (CIRCUIT + MODEL + TASK.replace("take: 60", "ids: [io]"), "PD117"),
    (CIRCUIT + MODEL + TASK.replace("}", "  chat = yes\n}"), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("}", "  chat = 1\n}"), "PD115"),
    (CIRCUIT + MODEL + TASK.replace("}", "  chat = true\n  bos = true\n}"), "PD129"),
    (CIRCUIT + MODEL + TASK.replace("}", "  chat = true\n  bos = false\n}"), "PD129"),
    (CIRCUIT + MODEL + TASK.replace("}", "  chats = true\n}"), "PD112"),
    *(
        (
            CIRCUIT
            + MODEL
            + TASK.replace("ioi(take: 60, seed: 0)", f'csv("case.circuit", {read})'),
            c,
        )
        for read, c in (
            ("ids: io", "PD115"),
            ("ids: []", "PD115"),
            ('ids: ["io"]', "PD115"),
            ("ids: [END+1]", "PD115"),
            ("ids: [io, io]", "PD114"),
            ("ids: [io], texts: [s, io]", "PD114"),
        )
    ),
    (CIRCUIT + CIRCUIT + MODEL, "PD118"),
]


@pytest.mark.parametrize(("text", "code"), BLOCKS)
def test_fault_of_a_block(text: str, code: str, tmp_path: Path) -> None:
    assert set(codes(text, tmp_path)) == {code}


def test_words_of_a_task_and_its_data_are_names_elsewhere(tmp_path: Path) -> None:
    task = TASK.replace("ioi(take: 60, seed: 0)", 'csv("case.circuit", ids: [io], texts: [s])')
    text = CIRCUIT + MODEL + task.replace("}", "  tokens = continued\n  chat = true\n}") + METRIC
    names = ("ids", "texts", "tokens", "continued", "alone", "chat", "needs", "messages")
    groups = "".join(f"group {name} = {{ a9.h9 }}\n" for name in names)
    lets = "".join(f"let l_{name} = mean(LD(keep(through({name}))))\n" for name in names)
    assert codes(text + groups + lets, tmp_path) == []


def test_all_faults_of_a_file_are_reported_together(tmp_path: Path) -> None:
    text = HEAD + "group g @S9 = { a9.h9 }\nlet x = mean(LE(keep(g)))\nlet y = mean(LD(keep(r1)))\n"
    assert codes(text, tmp_path) == ["PD109", "PD101", "PD123"]


def test_a_broken_declaration_does_not_make_its_uses_faults(tmp_path: Path) -> None:
    text = HEAD + "group g = { a9.h9 a9.h6 }\nlet x = mean(LD(keep(through(g))))\n"
    assert all(code.startswith("PD0") for code in codes(text, tmp_path))


def test_suggestions_name_what_was_probably_meant(tmp_path: Path) -> None:
    text = HEAD + GROUPS + "let x = mean(LD(keep(through(mover))))\n"
    (fault,) = errors(text, tmp_path)
    assert fault.help == "did you mean `movers`?"
    assert fault.span is not None
    assert suggestion("zzz", ["a", "b"], fault.span) == {"help": "known: `a` or `b`", "fix": None}
    assert suggestion("zzz", [], fault.span, "none")["help"] == "none"
    assert suggestion("END", ["end"], fault.span)["help"] == "did you mean `end`?"
    assert listed(["a", "b", "c"]) == "`a`, `b` or `c`"


def test_the_repair_of_bare_set_algebra_is_pasted_text(tmp_path: Path) -> None:
    text = HEAD + GROUPS + "let x = mean(LD(keep(movers - a9.h6)))\n"
    (fault,) = errors(text, tmp_path)
    assert "`through(movers) - through(a9.h6)`" in fault.help
    assert "`{movers, except a9.h6}`" in fault.help


def test_unused_names_are_warnings(tmp_path: Path) -> None:
    path = tmp_path / "case.circuit"
    path.write_text(HEAD + "group lonely = { a9.h9 }\n", encoding="utf-8")
    warnings = [f for f in lint_file(str(path))[1] if f.code == "PD104"]
    assert [w.severity for w in warnings] == [Severity.WARNING] * 2
    assert ["lonely" in w.message for w in warnings] == [False, True]


def test_a_name_that_cannot_be_one_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "case.circuit"
    group = "group m5 = { a9.h9 }\n\nlet kept = mean(LD(keep(through(m5))))\n"
    path.write_text(HEAD + group, encoding="utf-8")
    told = [f.code for f in lint_file(str(path))[1] if "`m5`" in f.message]
    assert told == ["PD102"]


def test_two_tasks_with_other_columns_need_no_choice(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    other = '\ntask own {\n  data = jsonl("rows.jsonl")\n  reference = prompt\n}\n'
    induction = TASK.replace("task ioi", "task two")
    assert codes(CIRCUIT + MODEL + TASK + other + METRIC + "let x = mean(LD(reference))\n",
                 tmp_path) == ["PD303"]  # fmt: skip
    on = METRIC.replace("LD:", "LD on ioi:")
    assert codes(CIRCUIT + MODEL + TASK + induction + on + "let x = mean(LD(reference))\n",
                 tmp_path) == []  # fmt: skip


def test_the_word_of_an_option_is_no_quantity(tmp_path: Path) -> None:
    text = CIRCUIT + MODEL + TASK + METRIC + "let gap: logits = faithfulness(mlp, as: gap)\n"
    assert codes(text, tmp_path) == []


def test_a_task_derived_from_itself_is_a_circle(tmp_path: Path) -> None:
    text = CIRCUIT + MODEL + TASK + 'task one = one where order == "abba"\n'
    assert codes(text, tmp_path) == ["PD108"]


def test_a_library_file_needs_neither_model_nor_task(tmp_path: Path) -> None:
    assert codes("group copies @S2 = { a5.h5 }\npath p = copies -> logits\n", tmp_path) == []


def test_the_language_layer_imports_no_heavy_library() -> None:
    code = (
        "import sys, pathdsl.lang.lint, pathdsl.lang.rules as r; r.pages();"
        "pathdsl.lang.lint.lint_file('none.circuit');"
        "print(sorted({'torch','transformers','networkx','sympy','scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_faulty_metric_is_not_reported_again_where_it_is_used(tmp_path: Path) -> None:
    metric = "metric LD: logits = logit(oi) - logit(s)\n"
    text = CIRCUIT + MODEL + TASK + metric + "let x = faithfulness(mlp)\n"
    assert codes(text, tmp_path) == ["PD301"]


def test_values_of_every_kind_have_a_check() -> None:
    assert set(CHECKS) == set(Kind)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rows.csv", "prompt,other,answer\na,b,c\n"),
        ("rows.jsonl", '{"prompt": "a", "other": "b"}\n\n{"answer": "c", "positions": {"S": 0}}\n'),
    ],
)
def test_columns_of_a_file_are_known_without_a_model(tmp_path: Path, name: str, rows: str) -> None:
    (tmp_path / name).write_text(rows, encoding="utf-8")
    text = (
        'circuit c "C" { language = 1 }\nmodel mini = bundled("ioi-mini")\n'
        f'task t {{ data = {name[5:]}("{name}"); reference = prompt; treated = othr }}\n'
        "metric L: logits = logit(answer) - logit(next)\nlet x: logits = mean(L(treated))\n"
    )
    _, found = lint_file(str(tmp_path / "c.circuit"), text)
    assert [(one.code, one.help) for one in found] == [("PD301", "did you mean `other`?")]


def test_columns_that_cannot_be_known_are_left_to_the_check(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\nno json\n', encoding="utf-8")
    text = (
        'circuit c "C" { language = 1 }\nmodel mini = bundled("ioi-mini")\n'
        'task t { data = jsonl("rows.jsonl"); reference = other }\n'
        "metric L: logits = logit(answer)\nlet x: logits = mean(L(reference))\n"
    )
    assert lint_file(str(tmp_path / "c.circuit"), text)[1] == []
