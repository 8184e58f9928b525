"""Rows counted honestly: a prompt counts once, under whatever ids, labels or blanks it stands.

The law: copying the rows of a task, all or some, changes no estimate, interval, n, p-value and
verdict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pathdsl import tasks
from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.cli.main import app
from pathdsl.engine.data.repeats import near_copies, numbered, repeats_of
from pathdsl.plan.taskdata import Repeats, TaskData
from pathdsl.plan.treated import TreatedSpec
from pathdsl.report.data.result import file_object
from pathdsl.report.text.check import report
from pathdsl.report.text.style import View
from pathdsl.score.judge import judge
from pathdsl.score.quantity import Half
from pathdsl.score.results import ClaimResult
from pathdsl.score.statistics.alike import joined
from pathdsl.score.statistics.design import design_of, part_mask
from pathdsl.score.statistics.intervals import Bootstrap
from tests.score.arrays import agg, bootstrap
from tests.score.fakes import HEADER, Algebra, FakeSession, task_data, world

# ------------------------------------------------------------------------------- the file


HOLE = """circuit hole {{ language = 1 }}
model m = bundled("ioi-mini")
task ioi {{
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = {treated}
  {fields}
}}
metric LD on ioi: logits = logit(io) - logit(s)
path mover = through(a3.h1@END)
claim moves: mean(LD(reference)) - mean(LD(treat(mover))) > 0 at 95% confidence
claim right: accuracy(reference, answer: io, task: ioi) >= 0.5 at 95% confidence
claim often: sign_test(LD(reference) - LD(treat(mover))) <= 5%
{more}
"""


def prompts(take: int = 8, **more: object) -> list[dict[str, object]]:
    return [{**row, **more} for row in tasks.get("mini_ioi").rows(take=take, seed=0)]


def copies(rows: Sequence[dict[str, object]], times: int) -> list[dict[str, object]]:
    """The rows `times` times, each time under new ids."""
    again = [{**row, "id": f"{row['id']}-{i}"} for i in range(1, times) for row in rows]
    return [*rows, *again]


def check(
    folder: Path,
    rows: Sequence[dict[str, object]],
    treated: str = "prompt_abc",
    fields: str = "",
    more: str = "",
    hole: str = HOLE,
) -> FileOutcome:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "hole.circuit"
    path.write_text(hole.format(treated=treated, fields=fields, more=more))
    outcome = check_file(str(path), CheckOptions())
    assert outcome.judgement is not None, [d.message for d in outcome.diagnostics]
    return outcome


def told(outcome: FileOutcome, code: str) -> list[str]:
    return [d.message for d in outcome.diagnostics if d.code == code]


def test_copies_are_told(tmp_path: Path) -> None:
    """Eight prompts, 25 times each: the file that had n = 200 and a supported claim."""
    outcome = check(tmp_path, copies(prompts(), 25))
    assert told(outcome, "PD519") == ["task `ioi`: the 200 rows are 25 copies of each of 8 prompts"]
    assert told(outcome, "PD504") == ["8 distinct prompts of task `ioi` for an interval"]
    text = " ".join(report(outcome, View()).split())
    assert "n = 8 distinct prompts of 200, 95% confidence" in text
    assert "task ioi, 200 prompts, 8 distinct" in text
    assert outcome.methodology["task ioi"].startswith(
        "200 prompts; 8 distinct prompts, each counted once; from"
    )
    found = file_object(outcome)
    assert (found["tasks"][0]["prompts"], found["tasks"][0]["distinct"]) == (200, 8)
    assert {(claim["n"], claim["rows"]) for claim in found["claims"][:2]} == {(8, 200)}
    assert found["claims"][2]["notes"][0] == "8 above 0, 0 below, 0 ties left out"
    assert numbers(outcome) == pytest.approx(numbers(check(tmp_path, prompts())), rel=1e-5)


def numbers(outcome: FileOutcome) -> list[float]:
    """All numbers of the claims, in a row."""
    assert outcome.judgement is not None
    found: list[float] = []
    for claim in outcome.judgement.claims:
        found += [claim.n, claim.estimate or 0.0, *(claim.interval or ())]
    return found


@pytest.mark.parametrize(
    "treated",
    [
        "mean(prompt_abc)",
        "resample(prompt, draws: 2, seed: 1)",
        "zero",
        "noise(at: [S2], scale: 1)",
    ],
)
def test_copies_change_nothing_whatever_is_treated(treated: str, tmp_path: Path) -> None:
    """Values by id, and partners of rows, are those of the rows without their copies."""
    rows = [row for row in prompts(60) if len(str(row["prompt"]).split()) == 16][:12]
    assert len(rows) == 12
    place = "positions = [S2]"
    one = numbers(check(tmp_path, rows, treated, place))
    three = numbers(check(tmp_path, copies(rows, 3), treated, place))
    assert three == pytest.approx(one, rel=1e-4, abs=1e-4)


def test_rows_without_copies_say_nothing_new(tmp_path: Path) -> None:
    outcome = check(tmp_path, prompts(40))
    assert not told(outcome, "PD519")
    assert "distinct" not in report(outcome, View())
    assert outcome.tasks["ioi"].repeats is None
    assert {claim.n for claim in outcome.judgement.claims} == {0, 40}  # type: ignore[union-attr]


def test_a_few_copies_by_accident_count_once_without_a_warning(tmp_path: Path) -> None:
    rows = prompts(40)
    outcome = check(tmp_path, [*rows, {**rows[3], "id": "again"}])
    assert not told(outcome, "PD519")
    assert outcome.methodology["task ioi"].startswith(
        "41 prompts; 40 distinct prompts, each counted"
    )
    assert numbers(outcome) == pytest.approx(numbers(check(tmp_path, rows)), rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ("split_by = shift", {}),  # another label in every copy
        ("cluster = shift", {}),
        ("positions = [S2, MARK]", {"positions": True}),
    ],
)
def test_labels_and_places_of_copies_may_differ(
    fields: str, more: dict[str, bool], tmp_path: Path
) -> None:
    """A row that is read otherwise counts, but no prompt is two pieces of evidence."""
    rows = copies(prompts(), 10)
    for i, row in enumerate(rows):
        row["shift"] = f"s{i // 8}"
        if more:
            row["positions"] = {"MARK": i // 8}
    outcome = check(tmp_path, rows, fields=fields)
    moves, right, _ = outcome.judgement.claims  # type: ignore[union-attr]
    assert (moves.n, moves.rows, right.n) == (8, 80, 8)
    if "cluster" in fields:  # each of them holds all eight: they are one
        assert {claim.verdict.value for claim in (moves, right)} == {"inconclusive"}
    assert told(outcome, "PD519")


def test_what_tokenises_alike_is_a_copy(tmp_path: Path) -> None:
    """A prompt as text, and again as its token ids under another id."""
    rows = [{k: v for k, v in row.items() if k != "spans"} for row in prompts()]
    task = check(tmp_path, rows).tasks["ioi"]
    again = copies(rows, 2)[8:]
    for i, row in enumerate(again):
        length = int(task.lengths[i])
        row |= {name: task.prompts[name][i, :length].tolist() for name in ("prompt", "prompt_abc")}
    outcome = check(tmp_path, [*rows, *again])
    assert told(outcome, "PD519") == ["task `ioi`: the 16 rows are 2 copies of each of 8 prompts"]


def test_other_answers_are_no_other_prompts(tmp_path: Path) -> None:
    rows = copies(prompts(), 10)
    names = [row["io"] for row in prompts(30)]
    for i, row in enumerate(rows):
        row["s"] = names[i % 29] if names[i % 29] != row["io"] else row["s"]
    moves, right, _ = check(tmp_path, rows).judgement.claims  # type: ignore[union-attr]
    assert (moves.n, moves.rows, right.n) == (8, 80, 8)


def test_a_claim_about_the_reference_counts_reference_prompts(tmp_path: Path) -> None:
    """Another treated prompt in every copy: pairs differ, and the reference runs do not."""
    rows = copies(prompts(), 5)
    names = sorted({str(row["io"]) for row in prompts(300)})
    for i, row in enumerate(rows[8:], 8):
        text = str(row["prompt_abc"])
        name = next(one for one in names if one in text)
        row["prompt_abc"] = text.replace(name, names[(names.index(name) + i // 8) % len(names)])
    outcome = check(tmp_path, rows)
    moves, right, _ = outcome.judgement.claims  # type: ignore[union-attr]
    assert (moves.n, moves.rows) == (40, 40)
    assert (right.n, right.rows) == (8, 40)
    said = "task `ioi`: 40 treated prompts stand beside 8 reference prompts"
    assert told(outcome, "PD519") == [said]
    assert "40 prompts; 8 distinct reference prompts; from" in outcome.methodology["task ioi"]
    for i, row in enumerate(rows):
        row["pair"] = f"p{i % 8}"
    clustered = check(tmp_path, rows, fields="cluster = pair")
    assert not told(clustered, "PD519")
    assert told(clustered, "PD504") == ["8 clusters of 40 prompts of task `ioi` for an interval"]


# ------------------------------------------------------------------------------- parts, near copies


PARTS = """
task first = ioi where part == "a"
task second = ioi where part == "b"
"""


@pytest.mark.parametrize(("blank", "warned"), [("same", True), ("other", False)])
def test_parts_of_a_task_that_hold_the_same_prompts(
    blank: str, warned: bool, tmp_path: Path
) -> None:
    """Rows to look at and rows to judge, which are the same prompts under other ids."""
    rows = prompts(20, part="a")
    again = copies(prompts(20), 2)[20:] if blank == "same" else prompts(40)[20:]
    outcome = check(tmp_path, [*rows, *({**row, "part": "b"} for row in again)], more=PARTS)
    said = "20 of 20 prompts of task `second` are prompts of task `first`, under other ids"
    assert told(outcome, "PD516") == ([said] if warned else [])


def test_parts_that_share_rows_by_id_are_written_so(tmp_path: Path) -> None:
    more = 'task first = ioi where part == "a"\ntask again = first where order == "abba"'
    rows = prompts(20, part="a")
    assert not told(check(tmp_path, copies(rows, 2), more=more), "PD516")


def test_near_copies_are_counted() -> None:
    ids = np.array([[1, 2, 3, 4], [1, 2, 9, 4], [5, 6, 7, 8], [5, 6, 7, 8], [9, 2, 3, 5]])
    assert near_copies(ids, np.full(5, 4)) == 2
    assert near_copies(ids, np.array([4, 3, 4, 4, 4])) == 0
    assert near_copies(np.array([[1], [2], [2]]), np.ones(3, dtype=int)) == 2
    rng = np.random.default_rng(0)
    ids, lengths = rng.integers(0, 4, (300, 6)), rng.integers(3, 7, 300)
    different = {tuple(row[:n]) for row, n in zip(ids.tolist(), lengths, strict=True)}
    near: set[tuple[int, ...]] = set()
    for one, other in combinations(different, 2):
        if len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1:
            near |= {one, other}
    ids = np.where(np.arange(6) < lengths[:, None], ids, 0)
    assert near_copies(ids, lengths) == len(near)


def test_near_copies_are_said(tmp_path: Path) -> None:
    outcome = check(tmp_path, prompts(30))
    near = outcome.tasks["ioi"].near_copies
    assert file_object(outcome)["tasks"][0]["near_copies"] == near
    said = f"{near} of 30 prompts differ from another one in one token"
    assert outcome.methodology.get("near copies ioi") == (said if near else None)


def test_a_lock_asks_for_the_hash_of_rows(tmp_path: Path) -> None:
    check(tmp_path, prompts(8))
    path = tmp_path / "hole.circuit"
    runner = CliRunner()
    found = runner.invoke(app, ["lock", str(path), "--format", "json", "-q"])
    (told,) = [
        d for d in json.loads(found.stdout)["files"][0]["diagnostics"] if d["code"] == "PD529"
    ]
    line = told["help"].strip("`")
    assert line.startswith('data = jsonl("rows.jsonl", sha256: "')
    path.write_text(path.read_text().replace('data      = jsonl("rows.jsonl")', line))
    for verb in (["lock", "-q", "--format", "json"], ["report", "--no-cache"]):
        found = runner.invoke(app, [verb[0], str(path), *verb[1:]])
        assert found.exit_code in (0, 1) and "PD529" not in found.stdout
    path.write_text(path.read_text().replace(line, 'data = jsonl("rows.jsonl")'))
    assert "PD529" in runner.invoke(app, ["report", str(path), "--no-cache"]).stdout
    assert "PD529" not in runner.invoke(app, ["check", str(path), "--no-cache"]).output


# ------------------------------------------------------------------------------- the law


LAW = """
let spread = std(LD(reference))
claim mean: mean(LD(keep(C))) >= 1 at 95% confidence
claim ratio: faithfulness(C, metric: LD) >= 60% at 90% confidence
claim lost: effect(C, metric: LD) <= 0 at 95% confidence
claim middle: median(LD(keep(C))) >= 1 at 95% confidence
claim most: quantile(LD(keep(C)), 0.75) >= 1 at 90% confidence
claim wide: std(LD(reference)) - std(LD(keep(C))) > 0 at 95% confidence
claim larger: max(mean(LD(keep(C))), mean(LD(treat(C)))) > 2 at 95% confidence
claim complete: completeness(C, knockouts: greedy(2), metric: LD) <= 2 at 90% confidence
claim minimal: minimality(C, metric: LD) >= 0.01 at 90% confidence
claim each for h in early: effect(through(h), metric: LD) < 0 at 95% confidence by holm()
"""
TESTS = """
claim right: mean(top1(keep(C))) >= 0.2 at 95% confidence
claim sign: sign_test(LD(keep(C)) - 4) <= 5%
claim often: binomial_test(LD(keep(C)) - 4, share: 40%) <= 5%
claim apart: independence_test(LD(keep(C)), LD(reference), draws: 200) <= 5%
"""
TOP1 = HEADER + "metric top1: share = top1(io)\n"


class Copied(FakeSession):
    """Values of the rows that these are copies of."""

    def __init__(self, base: FakeSession, data: TaskData, place: np.ndarray) -> None:
        super().__init__(tasks={"t": data})
        self.base = base
        self.place = place

    def compute(self, run, measure):
        return np.ascontiguousarray(self.base.compute(run, measure)[..., self.place])


def copied(data: TaskData, place: np.ndarray, prompt: np.ndarray | None = None) -> TaskData:
    """The task whose row i is a copy of row `place[i]`; `prompt` numbers the rows' prompts."""
    prompt = np.arange(data.n_rows) if prompt is None else prompt
    own = numbered(prompt[place].tolist())
    first = np.array([place.tolist().index(one) for one in place])
    clusters = place if len(np.unique(data.clusters)) == data.n_rows else data.clusters[place]
    kept = numbered(clusters.tolist())
    if clusters is place:  # as `jsonl` numbers them: a row each
        kept = np.arange(len(place))
    return replace(
        data,
        row_ids=tuple(f"{data.row_ids[one]}-{i}" for i, one in enumerate(place)),
        lengths=data.lengths[place],
        labels={name: tuple(values[i] for i in place) for name, values in data.labels.items()},
        clusters=kept,
        crossed=data.crossed[place] if data.crossed is not None else None,
        repeats=Repeats(reference=own, pairs={None: own}, first=first),
        key=f"{data.key}:copied",
    )


N = 24
ORDERS = {
    "behind": np.tile(np.arange(N), 3),
    "beside": np.repeat(np.arange(N), 3),
    "some": np.concatenate([np.arange(N), [3, 3, 3, 7]]),
}


def outcomes(text: str, data: TaskData, place: np.ndarray, header: str, prompt=None):
    """The judgements of some rows and of their copies."""
    program, resolver, session = world(text, header=header, tasks={"t": data})
    base = judge(program, resolver, session, algebra=Algebra())
    program, resolver, session = world(text, header=header, tasks={"t": data})
    again = Copied(session, copied(data, place, prompt), place)
    return base, judge(program, resolver, again, algebra=Algebra())


def compared(claim: ClaimResult) -> list[float]:
    found = [claim.estimate, *(claim.interval or ()), claim.p_value, claim.level, claim.settle_n]
    for part in (*claim.parts, *claim.members):
        found += [part.estimate, *(part.interval or ())]
    if claim.prompts is not None:
        found += [claim.prompts.n, claim.prompts.least, *claim.prompts.quartiles]
    return [float(x) if x is not None else -1.0 for x in found]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("rows", ["alone", "clusters", "crossed", "split"])
def test_copies_change_nothing(rows: str, order: str) -> None:
    data, header, text = task_data(N), TOP1, LAW + TESTS
    kinds = tuple("ab"[i % 2] for i in range(N))
    if rows == "clusters":
        data = task_data(N, clusters=np.arange(N) // 2)
    elif rows == "crossed":
        data = replace(task_data(N, clusters=np.arange(N) // 4), crossed=np.arange(N) % 4)
        text = LAW
    elif rows == "split":
        data = replace(data, labels={"kind": kinds})
        header = header.replace("treated = other", "treated = other; split_by = kind")
    base, again = outcomes(text, data, ORDERS[order], header)
    assert base.quantities[0].interval == pytest.approx(again.quantities[0].interval, rel=1e-12)
    for one, other in zip(base.claims, again.claims, strict=True):
        assert (one.verdict, one.n) == (other.verdict, other.n), one.name
        assert compared(one) == pytest.approx(compared(other), rel=1e-11, abs=1e-11), one.name
        assert one.notes == other.notes, one.name
        if one.n == N:
            assert other.rows == len(ORDERS[order])


def test_prompts_that_stand_twice_are_one_cluster() -> None:
    """Rows of one prompt with other answers: n counts prompts, and intervals are of clusters."""
    twice = np.arange(N) // 2
    data = task_data(N)
    numbers = numbered(twice.tolist())
    repeats = Repeats(reference=numbers, pairs={None: numbers}, first=np.arange(N))
    own, clustered = (
        judge(*world(LAW, header=TOP1, tasks={"t": one}), algebra=Algebra())
        for one in (replace(data, repeats=repeats), task_data(N, clusters=twice))
    )
    for one, other in zip(own.claims, clustered.claims, strict=True):
        assert (one.estimate, one.interval, one.verdict) == (
            other.estimate, other.interval, other.verdict,
        )  # fmt: skip
    assert {claim.n for claim in own.claims} == {N // 2, N // 4}


def test_clusters_that_hold_one_prompt_are_joined() -> None:
    clusters = np.array([0, 0, 1, 1, 2, 2, 3])
    assert joined(clusters, np.array([0, 1, 2, 1, 3, 4, 5])).tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert joined(clusters, np.array([0, 1, 2, 3, 1, 4, 2])).tolist() == [0, 0, 1, 1, 0, 0, 1]
    assert joined(clusters, None) is clusters


def test_crossed_copies_join_the_clusters_of_both_fields() -> None:
    """A grid written again under other names of its pairs has as many pairs as before."""
    pair, sentence = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    numbers = np.tile(np.arange(30), 2)
    data = replace(
        task_data(60, clusters=np.concatenate([pair, pair + 6])),
        crossed=np.concatenate([sentence, sentence]),
        repeats=Repeats(reference=numbers, pairs={None: numbers}, first=np.arange(60)),
    )
    text = "claim mean: mean(LD(keep(C))) >= 1 at 95% confidence\n"
    plain = replace(task_data(60, clusters=np.tile(pair, 2)), crossed=data.crossed)
    (one,), (other,) = (
        judge(*world(text, tasks={"t": made}), algebra=Algebra()).claims for made in (data, plain)
    )
    assert one.interval == other.interval
    assert (one.n, one.rows, other.n) == (30, 60, 60)


@pytest.mark.parametrize("seed", range(20))
def test_no_prompt_lies_in_both_halves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = numbered(rng.integers(0, 12, 40).tolist())
    data = replace(
        task_data(40, clusters=numbered(rng.integers(0, 30, 40).tolist())),
        repeats=Repeats(reference=numbers, pairs={}, first=np.arange(40)),
    )
    search, judged = (
        part_mask(data, Half(seed=seed, side=side)) for side in ("search", "judge")
    )  # fmt: skip
    assert not (search & judged).any() and (search | judged).all()
    for labels in (numbers, data.clusters):
        assert not set(labels[search].tolist()) & set(labels[judged].tolist())


def test_what_is_read_of_rows_says_which_are_copies() -> None:
    prompts = {"prompt": np.array([[1, 2], [1, 2], [1, 2], [3, 0]]),
               "other": np.array([[1, 3], [1, 3], [1, 4], [3, 0]])}  # fmt: skip
    own, mean = TreatedSpec(kind="paired", column="other"), TreatedSpec(kind="zero")
    lengths = np.array([2, 2, 2, 1])
    found = repeats_of(prompts, lengths, "prompt", own, [own, mean], [["x", "x", "x", "y"]])
    assert found is not None
    assert found.reference.tolist() == [0, 0, 0, 1]
    assert found.of(None).tolist() == found.of(own).tolist() == [0, 0, 1, 2]
    assert found.of(mean).tolist() == found.reference.tolist()
    assert found.first.tolist() == [0, 0, 2, 3]
    labels = [["x", "y", "x", "y"]]
    again = repeats_of(prompts, lengths, "prompt", own, [own], labels)
    assert again is not None and again.counted.all()
    # A prompt is not the beginning of another one, whatever it is padded with.
    short = {"prompt": np.array([[5, 0], [5, 0]])}
    assert repeats_of(short, np.array([1, 2]), "prompt", None, [], []) is None


# ------------------------------------------------------------------------------- its level


def test_intervals_of_copies_hold_as_often_as_those_of_their_prompts() -> None:
    """Counted as 120 rows of 12 prompts, an interval would miss more than half of the time."""
    rng = np.random.default_rng(1)
    missed = {"counted once": 0, "as rows": 0}
    samples = 300
    for _ in range(samples):
        x = np.tile(rng.normal(0.0, 1.0, 12), 10)
        for name in missed:
            boot: Bootstrap = bootstrap({"a": x}, count=200)
            tasks_of = boot.evaluator.session.tasks
            if name == "counted once":
                numbers = np.tile(np.arange(12), 10)
                tasks_of["t"] = replace(
                    tasks_of["t"], repeats=Repeats(reference=numbers, pairs={}, first=numbers)
                )
            node = agg("a")
            low, high = boot.interval(node, 0.95).pair()
            missed[name] += not low <= 0 <= high
            assert design_of(node, tasks_of).n == (12 if name == "counted once" else 120)
    assert missed["counted once"] / samples < 0.05 + 3.3 * np.sqrt(0.05 * 0.95 / samples)
    assert missed["as rows"] / samples > 0.4
