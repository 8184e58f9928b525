"""Small models of every block structure, and metrics and questions about them as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from pathdsl.engine.adapters import Adapter, adapter_for
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec
from pathdsl.score.attribution import Attribution
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import RowExpr, RowMetric, RowOp
from tests.engine import decoder_cases, encoder_cases, engine_cases, family_cases, toy_cases
from tests.engine.family_cases import Exact

REFERENCE = RunSpec(task="t", kind="reference")
MODELS: Mapping[str, Callable[[], Any]] = {
    "gpt2": lambda: engine_cases.adapter_of().model,
    "llama": lambda: family_cases.make("llama"),  # grouped queries
    "gpt_neox": lambda: decoder_cases.make("gpt_neox"),  # parallel
    "gemma2": lambda: family_cases.make("gemma2"),  # norms behind attention and MLP, capped
    "olmo2": lambda: family_cases.make("olmo2"),  # the same, queries normed over all heads
    "qwen3": lambda: family_cases.make("qwen3"),  # queries and keys normed by head
    "modernbert": lambda: encoder_cases.make("modernbert"),  # sees later positions, a head behind
    "bloom": lambda: decoder_cases.make("bloom"),  # a bias of scores by position
    "falcon": lambda: decoder_cases.make("falcon"),  # parallel, one key for all heads
    # Sinks, and experts that no clamp bends, since differences cross where it does.
    "gpt_oss": lambda: family_cases.make("gpt_oss", swiglu_limit=50.0),
    "qwen2_moe": lambda: family_cases.make("qwen2_moe"),  # experts, one shared, and an MLP
    "toy_solu": lambda: toy_cases.make("solu", d_head=4),  # hidden units mixed, a norm
    "toy_solu_gated": lambda: toy_cases.make("solu_gated"),  # hidden units mixed and gated, no norm
    "toy_bent": lambda: toy_cases.make(
        "attn_coeff", act_fn="gelu"
    ),  # rows of patterns do not sum to one
    "toy_shortformer": lambda: toy_cases.make("shortformer"),  # attention alone
    "granite": lambda: family_cases.make("granite"),  # writes and logits scaled
    "cohere": lambda: family_cases.make("cohere"),  # a gain of each head, parallel on one norm
    "ministral3": lambda: family_cases.make("ministral3"),  # queries grow with their position
}
MAIN = ("gpt2", "llama", "gpt_neox", "gemma2")


def model_of(name: str) -> Any:
    """A new model in float64; to be run in `Exact()`.

    It is made there, too: the frequencies of rotary positions are computed where a model is made.
    """
    with Exact():
        return MODELS[name]().double()


@cache
def adapter(name: str) -> Adapter:
    """The parts of one model in float64; to be run in `Exact()`."""
    return adapter_for(model_of(name))


def measured(kind: str, column: str = "", position: str = "END") -> RowMetric:
    """A measure of the reference run as a metric."""
    one = atom(Measure(kind=kind, column=column, position=position))
    return RowMetric(metric=one, run=REFERENCE)


def minus(left: RowExpr, right: RowExpr) -> RowOp:
    """`left - right`."""
    return RowOp(op="-", args=(left, right))


DIFFERENCE = minus(measured("logit", "t1"), measured("logit", "t2"))


def asked(
    method: str,
    of: Any = "nodes",
    *,
    metric: RowExpr = DIFFERENCE,
    treated: TreatedSpec = engine_cases.PAIRED,
    by_position: bool = False,
    steps: int = 0,
    rule: str = "",
    reader: Pos | None = None,
) -> Attribution:
    """One attribution of the task of `engine_cases`."""
    return Attribution(
        method=method, steps=steps, rule=rule, metric=metric, treated=treated, task="t", of=of,
        by_position=by_position, reader=reader,
    )  # fmt: skip


def padded(*lengths: int) -> torch.Tensor:
    """Token ids of as many prompts."""
    return family_cases.some_ids(len(lengths), max(lengths))
