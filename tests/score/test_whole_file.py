"""The example file of the language on the real resolver, with made-up values for the runs."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np

from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.plan.runs import RunSpec
from pathdsl.score.judge import judge
from pathdsl.score.results import Verdict
from tests.score.fakes import task_data

FILE = """
circuit ioi { language = 1 }
model mini = bundled("ioi-mini")
task ioi {
  data = ioi(take: 64, seed: 0)
  reference = prompt
  treated = prompt_abc
  positions = [IO, S1, S2]
}
group early @S2 = { a0.h0, a1.h1 }
group late @END = { a2.h0, a3.h1, a3.h2 }
path nodes = within(early, late, mlp)
path main = input ~> (early) (-> mlp)* -[k,v]-> late ~> logits
metric LD: logits = logit(io) - logit(s)
let ATE: logits = mean(abs(LD(reference) - LD(treated)))
let AUE: logits = mean(abs(LD(reference) - LD(keep(main))))
let explained = 1 - AUE / ATE
let direct for h in attn: logits = mean(LD(treat(h -> logits)) - LD(reference))
let strongest = direct[a3.h1] / ATE
let like_chance = chance(faithfulness(nodes), among: 9)
claim sufficient: faithfulness(nodes) >= 80% at 95% confidence
claim necessary: mean(LD(treat(main))) / mean(LD(reference)) <= 20% at 95% confidence
claim complete: completeness(nodes, knockouts: greedy(3, seed: 0, runs: 2, sample: 3)) <= 9 at 95% confidence
claim minimal: minimality(nodes, per: node, as: share) >= 1% at 95% confidence
claim edges: minimality(circuit_edges, per: edge) > 0 at 95% confidence
claim each for h in late: mean(LD(reference) - LD(treat(through(h)))) > 0 at 95% confidence by holm()
claim control: faithfulness(random_like(nodes, seed: 0)) >= 80% at 95% confidence expect refuted
path circuit_edges = edges { input -> a0.h0; a0.h0 -[v]-> a2.h0 -> logits }
"""  # noqa: E501


class HashedSession:
    """A logit difference per run that is a hash of its treated paths."""

    def __init__(self, n: int) -> None:
        self.tasks = {"ioi": task_data(n, "ioi")}
        self.rounds: list[int] = []
        self.n = n
        self.asked: set = set()
        self.known: set = set()

    def measures(self, requests) -> None:
        self.rounds.append(len(requests))
        self.asked |= set(requests)
        self.known |= {(run.identity, measure) for run, measure in requests}

    def value(self, run, measure) -> np.ndarray:
        run = run.identity
        assert (run, measure) in self.known
        if measure.column == "s":
            return np.zeros((1, self.n))
        digest = hashlib.sha256(repr((run.kind, run.paths)).encode()).digest()
        share = {"reference": 1.0, "treated": 0.0}.get(run.kind, 0.2 + digest[0] / 400)
        rng = np.random.default_rng(list(digest[:8]))
        base = np.random.default_rng(5).normal(3, 0.3, self.n)
        return (base * share + rng.normal(0, 0.05, self.n))[None]

    def rounding(self) -> float:
        return 1e-4

    def allowance(self, task: str = "") -> float:
        return 1e-6

    def identity(self, run: RunSpec) -> RunSpec:
        return run.identity


def test_the_example_file_on_the_real_resolver():
    shape = ModelShape(
        family="gpt2", n_layers=4, n_heads=4, d_model=128, d_head=32, d_mlp=256, d_vocab=194,
        n_positions=64,
    )  # fmt: skip
    program, faults = load_program("ioi.circuit", FILE)
    assert not faults
    session = HashedSession(64)
    judgement = judge(program, Resolver(program, shape), session)
    assert {c.name for c in judgement.claims} >= {"sufficient", "each[a3.h2@END]", "edges"}
    assert len(judgement.quantities) == 3 + 16 + 2
    claims = {c.name: c for c in judgement.claims}
    assert claims["each[a2.h0@END]"].verdict is Verdict.SUPPORTED
    assert [m.name for m in claims["edges"].members] == [
        "input -[q]-> a0.h0", "input -[k]-> a0.h0", "input -[v]-> a0.h0",
        "a0.h0 -[v]-> a2.h0", "a2.h0 -> logits",
    ]  # fmt: skip
    assert claims["complete"].n == 32
    drawn = {run.label for run, _ in session.asked if "seed: …" in run.label}
    assert drawn == {"keep(random_like(nodes, seed: …))"}  # the controls of `chance`
    # One round with everything but the search; then its start and its steps; then its judgement.
    assert len(session.rounds) <= 5 and session.rounds[0] > 90
    again = judge(program, Resolver(program, shape), HashedSession(64))
    assert again == judgement


def test_scoring_never_imports_torch():
    code = "import sys, pathdsl.score; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
