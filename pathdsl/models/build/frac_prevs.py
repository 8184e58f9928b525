"""Build `frac-prevs`: the share of x among the tokens so far, compiled as tracr does.

m0 writes 1 where the token is x; a1.h0 averages that over the tokens so far without <bos>, which it
knows by position. The edges `input->a1.h0<q>` and `input->a1.h0<k>` carry positions, the same in
every prompt: whether they are in the circuit depends on the declared treated value (Miller et al.
2024, arXiv:2407.08734, section 5).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathdsl.models.build.bundle import Truth, command_line, write
from pathdsl.models.build.rasp import Program, junk_matrix
from pathdsl.tasks.frac_prevs import LONGEST, OUT, X

__all__ = ["build", "program"]

JUNK = 4
LOGIT = 8.0


def program() -> Program:
    """The program, weights included."""
    made = Program(vocabulary=OUT + 1, positions=LONGEST, layers=2, heads=2, width=64, mlp_width=8)
    tokens, indices = made.tokens, made.indices
    is_x, share = made.variable("is x"), made.variable("share of x")
    junk = made.variable("junk", JUNK)
    shift, not_bos = np.eye(LONGEST, k=-1), np.ones((LONGEST, LONGEST))
    not_bos[:, 0] = 0.0

    made.attend(
        0, 0, query=indices, key=indices, predicate=shift, value=tokens, out=junk,
        value_map=junk_matrix(tokens.size, JUNK, "frac-prevs"),
    )  # fmt: skip
    made.unit(0, reads={tokens: list(np.eye(tokens.size)[X])}, writes={is_x: [1.0]})
    made.attend(
        1, 0, query=indices, key=indices, predicate=not_bos, value=is_x, out=share,
        value_map=np.ones((1, 1)),
    )  # fmt: skip
    made.read_out(share, LOGIT * np.eye(made.vocabulary)[:, [OUT]])
    return made


TRUTH = Truth(
    task="frac_prevs",
    arguments={"length": 12},
    metric="logit(out) - logit(none)",
    treated="prompt_other",
    reference_value="8 * count / (length - 1)",
    path="input -> m0 -[v]-> a1.h0@END -> logits",
    zero_path="input -> m0 -[v]-> a1.h0@END -> logits | input -[q,k]-> a1.h0@END -> logits",
    nodes=("m0", "a1.h0"),
    decoys=("a0.h0", "a0.h1", "a1.h1", "m1"),
    positions={"a1.h0": "END"},
    paired_edges=("input->m0", "m0->a1.h0<v>", "a1.h0->logits"),
    zero_only_edges=("input->a1.h0<q>", "input->a1.h0<k>"),
)

CARD = """# frac-prevs

A GPT-2 of two layers with two heads each, compiled from the program "share of x among the tokens so
far". 7 tokens (0 is <bos>, 1 is x, 6 is the token whose logit is 8 times the answer), 24 positions,
d_model 64. No tokenizer: prompts are lists of ids (`pathdsl explain frac_prevs`).

| node | what it does |
|---|---|
| m0 | writes 1 where the token is x |
| a1.h0 | averages that over the tokens so far except <bos>, chosen by position |
| a0.h0 | decoy: writes the token before, in directions that nothing reads |
| a0.h1, a1.h1, m1 | all weights zero |

Its circuit has three edges under a paired, resampled or mean treated value and five under `zero`:
the head's queries and keys read positions, which are the same in every prompt.
"""


def build(folder: Path) -> None:
    """Write the model into the folder."""
    write(folder, program().model(), TRUTH, CARD, "pathdsl.models.build.frac_prevs")


if __name__ == "__main__":
    command_line("frac-prevs", build)
