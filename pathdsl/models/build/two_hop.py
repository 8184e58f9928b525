"""Build `two-hop`: a look-up of a look-up, three heads in three layers.

a0.h0 writes on each value the key it stands behind; a1.h1 looks up the token read, a2.h2 looks up
what a1.h1 found. The last two compose through the query, as S-inhibition and name-mover heads do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathdsl.models.build.bundle import Truth, command_line, write
from pathdsl.models.build.rasp import BOS, Program, junk_matrix
from pathdsl.tasks.two_hop import CONTENT, LONGEST

__all__ = ["build", "program"]

JUNK = 8
LOGIT = 10.0


def program() -> Program:
    """The program, weights included."""
    made = Program(
        vocabulary=CONTENT + 1, positions=LONGEST, layers=3, heads=3, width=84, mlp_width=8
    )
    tokens, indices = made.tokens, made.indices
    my_key = made.variable("my key", tokens.size)
    found = made.variable("found", tokens.size)
    answer = made.variable("answer", tokens.size)
    junk = made.variable("junk", JUNK)
    content = np.eye(tokens.size)
    content[BOS] = 0.0
    same = np.eye(tokens.size)
    # <bos> stands at 0, so keys stand at odd and values at even positions.
    behind_key = np.eye(LONGEST, k=-1) * (np.arange(LONGEST) % 2 == 0)[:, None]

    made.attend(
        0, 0, query=indices, key=indices, predicate=behind_key, value=tokens, out=my_key,
        value_map=content,
    )  # fmt: skip
    made.attend(
        0, 1, query=tokens, key=tokens, predicate=same, value=tokens, out=junk,
        value_map=junk_matrix(tokens.size, JUNK, "two-hop"),
    )  # fmt: skip
    made.attend(
        1, 1, query=tokens, key=my_key, predicate=same, value=tokens, out=found, value_map=content
    )
    made.attend(
        2, 2, query=found, key=my_key, predicate=same, value=tokens, out=answer, value_map=content
    )
    made.attend(
        2, 0, query=tokens, key=found, predicate=same, value=my_key, out=junk,
        value_map=junk_matrix(tokens.size, JUNK, "two-hop late"),
    )  # fmt: skip
    made.read_out(answer, LOGIT * content)
    return made


TRUTH = Truth(
    task="two_hop",
    arguments={"pairs": 4},
    metric="logit(answer) - logit(wrong)",
    treated="prompt_other",
    reference_value="10 on every prompt",
    path="input -[v]-> a0.h0 -[k]-> a1.h1@END -[q]-> a2.h2@END -> logits"
    " | input -[q,v]-> a1.h1@END -[q]-> a2.h2@END -> logits"
    " | input -[v]-> a0.h0@Z -[k]-> a2.h2@END -> logits | input@Z -[v]-> a2.h2@END -> logits",
    zero_path="input -[q,k,v]-> a0.h0 -[k]-> a1.h1@END -[q]-> a2.h2@END -> logits"
    " | input -[q,v]-> a1.h1@END -[q]-> a2.h2@END -> logits"
    " | input -[q,k,v]-> a0.h0@Z -[k]-> a2.h2@END -> logits | input@Z -[v]-> a2.h2@END -> logits",
    nodes=("a0.h0", "a1.h1", "a2.h2"),
    decoys=("a0.h1", "a0.h2", "m0", "a1.h0", "a1.h2", "m1", "a2.h0", "a2.h1", "m2"),
    positions={"a1.h1": "END", "a2.h2": "END"},
    paired_edges=(
        "input->a0.h0<v>",
        "a0.h0->a1.h1<k>",
        "a0.h0->a2.h2<k>",
        "input->a1.h1<q>",
        "input->a1.h1<v>",
        "input->a2.h2<v>",
        "a1.h1->a2.h2<q>",
        "a2.h2->logits",
    ),
    zero_only_edges=("input->a0.h0<q>", "input->a0.h0<k>"),
)

CARD = """# two-hop

A GPT-2 of three layers with three heads each, compiled from a program that looks up a key, takes
the value as the next key, and looks that up. 13 tokens (0 is <bos>), 18 positions, d_model 84. No
tokenizer: prompts are lists of ids (`pathdsl explain two_hop`).

| node | what it does |
|---|---|
| a0.h0 | on each value (even positions): copies the key before it |
| a1.h1 | first look-up: asks with its token, keys are a0.h0's output, copies the value's token |
| a2.h2 | second look-up: asks with a1.h1's output, keys are a0.h0's, copies the value's token |
| a0.h1 | decoy: finds earlier copies of the token, writes directions that nothing reads |
| a2.h0 | decoy: reads the token, a1.h1 and a0.h0, writes directions that nothing reads |
| others | all weights zero |

The logit of the answer is 10, of all others 0, on every prompt of the task. a0.h0 finds its key by
position: `input->a0.h0<q>` and `input->a0.h0<k>` matter under `zero` alone.
"""


def build(folder: Path) -> None:
    """Write the model into the folder."""
    write(folder, program().model(), TRUTH, CARD, "pathdsl.models.build.two_hop")


if __name__ == "__main__":
    command_line("two-hop", build)
