"""The models that ship with the package: `model m = bundled("induction-2l")`.

All are `save_pretrained` folders with safetensors, loaded offline by `transformers`: of
`GPT2LMHeadModel`, but for `attention-mini`, which is a toy model. Four are built by hand, so that
their circuits are known by arithmetic and not by experiment; `pathdsl selftest` checks the checker
against them. `ioi-mini` is trained and does indirect object identification, `ioi-mini-tuned` is its
fine-tuned child, `reuse-mini` is trained on three tasks, with checkpoints, `induction-mini` on
induction, and `attention-mini`, without MLPs, on induction and docstrings.
Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DATA", "MODELS", "BundledModel", "bundled", "names", "truth"]

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledModel:
    """One bundled model: `task` is the generator of its rows."""

    name: str
    summary: str
    task: str
    hand_built: bool


MODELS: tuple[BundledModel, ...] = (
    BundledModel(
        name="induction-2l",
        summary="two layers, a previous-token head feeds the keys of an induction head; decoys",
        task="induction",
        hand_built=True,
    ),
    BundledModel(
        name="frac-prevs",
        summary="compiled: an MLP marks x, a head averages; positions matter under `zero` alone",
        task="frac_prevs",
        hand_built=True,
    ),
    BundledModel(
        name="balance",
        summary="compiled: balanced brackets by two heads and two MLPs",
        task="balance",
        hand_built=True,
    ),
    BundledModel(
        name="two-hop",
        summary="compiled: two look-ups in a row, one head's answer is another head's query",
        task="two_hop",
        hand_built=True,
    ),
    BundledModel(
        name="ioi-mini",
        summary="trained: four layers, word-level tokenizer, indirect object identification",
        task="mini_ioi",
        hand_built=False,
    ),
    BundledModel(
        name="ioi-mini-tuned",
        summary="fine-tuned: ioi-mini, trained further on names that it had not met in the pattern",
        task="mini_ioi",
        hand_built=False,
    ),
    BundledModel(
        name="reuse-mini",
        summary="trained on three tasks at once: indirect objects, colored objects, greater-than",
        task="mini_colored_objects",
        hand_built=False,
    ),
    *(
        BundledModel(
            name=f"reuse-mini-step-{step}",
            summary=f"reuse-mini as it was after {step} of 2000 steps of training",
            task="mini_colored_objects",
            hand_built=False,
        )
        for step in (300, 400, 500, 700, 900)
    ),
    BundledModel(
        name="induction-mini",
        summary="trained: two layers, a previous-token head feeds induction heads, pairs of words",
        task="mini_induction",
        hand_built=False,
    ),
    BundledModel(
        name="attention-mini",
        summary="trained, attention alone: three layers, induction and the arguments of docstrings",
        task="mini_docstring",
        hand_built=False,
    ),
)


def names() -> tuple[str, ...]:
    """The names of the bundled models."""
    return tuple(model.name for model in MODELS)


def bundled(name: str) -> Path:
    """The folder of that model; raises KeyError where there is none of that name."""
    if name not in names():
        raise KeyError("there are " + ", ".join(f"`{known}`" for known in names()))
    return DATA / name


def truth(name: str) -> dict[str, Any]:
    """What is known by construction, as in `truth.json`; raises KeyError for a trained model.

    Keys: `task`, `arguments`, `metric`, `treated`, `reference_value`, `nodes`, `decoys`,
    `positions`; by treated value (`paired`, `mean`, `zero`), `paths`, the circuit as a path
    expression, and `true_edges`, a list of `sender->receiver<slot>`.
    """
    path = bundled(name) / "truth.json"
    if not path.exists():
        raise KeyError(name)
    return json.loads(path.read_text())
