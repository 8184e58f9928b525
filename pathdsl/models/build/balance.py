"""Build `balance`: balanced brackets by two heads and two MLPs.

a0.h0 averages +1 for `(` and -1 for `)` over all tokens so far: the depth, divided by the position.
m0 turns that number into two facts: the depth is below zero here, and it is not zero here. a1.h0
looks for any token where it was below zero. m1 says yes when neither it is uneven here nor it ever
dipped. The depth's sign needs no exact count, because the smallest depth is 1/24 of a token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathdsl.models.build.bundle import Truth, command_line, write
from pathdsl.models.build.rasp import Program, junk_matrix
from pathdsl.tasks.balance import CLOSE, LONGEST, NO, OPEN, YES

__all__ = ["build", "program"]

JUNK = 4
LOGIT = 8.0


def program() -> Program:
    """The program, weights included."""
    made = Program(vocabulary=5, positions=LONGEST + 1, layers=2, heads=2, width=48, mlp_width=8)
    tokens = made.tokens
    depth, below, uneven = (made.variable(name) for name in ("depth", "below zero", "uneven"))
    dipped, valid, always = (made.variable(name) for name in ("dipped", "valid", "one"))
    junk = made.variable("junk", JUNK)
    step = np.zeros((tokens.size, 1))
    step[OPEN], step[CLOSE] = 1.0, -1.0
    one = np.ones((1, 1))

    made.attend(
        0, 0, query=None, key=tokens, predicate=np.zeros((1, tokens.size)), value=tokens, out=depth,
        value_map=step, rest=False,
    )  # fmt: skip
    made.attend(
        0, 1, query=tokens, key=tokens, predicate=np.eye(tokens.size), value=tokens, out=junk,
        value_map=junk_matrix(tokens.size, JUNK, "balance"),
    )  # fmt: skip
    steepness = float(LONGEST + 1)
    made.step(0, depth, -steepness, {below: 1.0, uneven: 1.0})
    made.step(0, depth, steepness, {uneven: 1.0})
    made.attend(1, 0, query=None, key=below, predicate=one, value=below, out=dipped, value_map=one)
    made.unit(1, reads={uneven: [-1.0], dipped: [-1.0]}, bias=1.0, writes={valid: [1.0]})
    made.unit(1, reads={}, bias=1.0, writes={always: [1.0]})
    answers = np.eye(made.vocabulary)
    made.read_out(valid, LOGIT * answers[:, [YES]])
    made.read_out(always, LOGIT / 2 * answers[:, [NO]])
    return made


TRUTH = Truth(
    task="balance",
    arguments={"length": 13},
    metric="logit(yes) - logit(no)",
    treated="prompt_other",
    reference_value="+4 where `kind` is `balanced`, -4 elsewhere",
    path="input -[v]-> a0.h0 -> m0 -[k,v]-> a1.h0@END -> m1@END -> logits"
    " | input -[v]-> a0.h0@END -> m0@END -> m1@END -> logits",
    zero_path="input -[v]-> a0.h0 -> m0 -[k,v]-> a1.h0@END -> m1@END -> logits"
    " | input -[v]-> a0.h0@END -> m0@END -> m1@END -> logits",
    nodes=("a0.h0", "m0", "a1.h0", "m1"),
    decoys=("a0.h1", "a1.h1"),
    positions={"a1.h0": "END", "m1": "END"},
    paired_edges=(
        "input->a0.h0<v>",
        "a0.h0->m0",
        "m0->a1.h0<k>",
        "m0->a1.h0<v>",
        "m0->m1",
        "a1.h0->m1",
        "m1->logits",
    ),
    zero_only_edges=(),
)

CARD = """# balance

A GPT-2 of two layers with two heads each, compiled from a program that says whether brackets
balance (Dyck-1). 5 tokens (0 is <bos>, 1 is `(`, 2 is `)`, 3 is yes, 4 is no), 24 positions,
d_model 48. No tokenizer: prompts are lists of ids (`pathdsl explain balance`).

| node | what it does |
|---|---|
| a0.h0 | uniform attention: the mean of +1 for `(` and -1 for `)` |
| m0 | writes "below zero here" and "not zero here" |
| a1.h0 | finds a token where the depth was below zero, or rests on <bos> |
| m1 | writes valid = 1 - not zero here - dipped anywhere, at least 0; and the constant 1 |
| a0.h1 | decoy: finds earlier copies of the token, writes directions that nothing reads |
| a1.h1 | all weights zero |

`logit(yes) - logit(no)` is +4 where the brackets balance and -4 elsewhere. The key of <bos>, the
resting place, is wired (`input->a1.h0<k>`) but has no effect under any treated value: without it a
query that selects nothing averages over values that are all zero. No edge carries a constant that
matters, so the truth is the same for all treated values.
"""


def build(folder: Path) -> None:
    """Write the model into the folder."""
    write(folder, program().model(), TRUTH, CARD, "pathdsl.models.build.balance")


if __name__ == "__main__":
    command_line("balance", build)
