"""The first round of requests is what judging asks for first, and later rounds stay in bounds."""

from __future__ import annotations

from pathdsl.graph.model.shape import ModelShape
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.program import load_program
from pathdsl.score.judge import judge
from pathdsl.score.requests import first_round
from tests.score.test_whole_file import FILE, HashedSession

SHAPE = ModelShape(
    family="gpt2", n_layers=4, n_heads=4, d_model=128, d_head=32, d_mlp=256, d_vocab=194,
    n_positions=64,
)  # fmt: skip


class Recording(HashedSession):
    """Keeps what each round asked for."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.asked_by_round: list[set] = []

    def measures(self, requests) -> None:
        self.asked_by_round.append(set(requests))
        super().measures(requests)


def test_the_first_round_is_the_judges_and_bounds_the_rest():
    program, _ = load_program("ioi.circuit", FILE)
    session = Recording(64)
    found = first_round(program, Resolver(program, SHAPE), session.tasks)
    assert session.asked_by_round == []
    judge(program, Resolver(program, SHAPE), session)
    first, *later = session.asked_by_round
    assert set(found.requests) == first and len(found.requests) == len(first)
    assert found.adaptive == ("complete",)
    runs = {run for asked in later for run, _ in asked}
    assert later and len(runs) <= found.later_runs <= 100


def test_one_name_asks_for_its_own_runs():
    program, _ = load_program("ioi.circuit", FILE)
    session = HashedSession(64)
    resolver = Resolver(program, SHAPE)
    found = first_round(program, resolver, session.tasks, "sufficient")
    assert {run.label for run, _ in found.requests} == {
        "reference", "keep(nodes)", "keep(none)",
    }  # fmt: skip
    assert found.adaptive == () and found.later_runs == 0
    one = first_round(program, resolver, session.tasks, "each[a3.h1@END]")
    every = first_round(program, resolver, session.tasks, "each")
    assert one.requests == every.requests  # Holm judges the family whole
    runs = {run for run, _ in every.requests}
    # With no path in the place of a member, and with all, it is one of two runs for all of them.
    assert len(runs) == 5 and "treated" in {run.kind for run in runs}
