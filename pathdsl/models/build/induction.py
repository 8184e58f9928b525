"""Build `induction-2l`: the two-layer induction circuit, by hand, among decoys.

The circuit is that of Elhage et al. 2021: a previous-token head writes, at every token, which
token stood before; an induction head asks where the token before was the one I read now, and
copies what stands there. Around it stand a head and an MLP that read and write but that nothing on
the way to the logits reads, heads that write nothing, and an MLP that reads the circuit's own
output to no effect.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathdsl.models.build.bundle import Truth, command_line, write
from pathdsl.models.build.rasp import BOS, Program, junk_matrix
from pathdsl.tasks.induction import CONTENT, LONGEST

__all__ = ["build", "program"]

JUNK = 8
LOGIT = 10.0


def program() -> Program:
    """The program, weights included."""
    made = Program(
        vocabulary=CONTENT + 1, positions=LONGEST, layers=2, heads=3, width=96, mlp_width=16
    )
    tokens, indices = made.tokens, made.indices
    before = made.variable("token before", tokens.size)
    answer = made.variable("answer", tokens.size)
    junk, waste = made.variable("junk", JUNK), made.variable("waste", JUNK)
    content = np.eye(tokens.size)
    content[BOS] = 0.0  # resting on <bos> copies nothing
    same, shift = np.eye(tokens.size), np.eye(LONGEST, k=-1)
    to_junk = junk_matrix(tokens.size, JUNK, "tokens")

    made.attend(
        0, 0, query=tokens, key=tokens, predicate=same, value=tokens, out=junk, value_map=to_junk
    )
    made.attend(
        0,
        1,
        query=indices,
        key=indices,
        predicate=shift,
        value=tokens,
        out=before,
        value_map=content,
    )
    made.attend(
        0, 2, query=tokens, key=tokens, predicate=same, value=tokens, out=junk, value_map=to_junk
    )
    made.silence(0, 2)
    for number, (reads, writes) in enumerate(zip(to_junk.T, np.eye(JUNK), strict=True)):
        made.unit(
            0,
            reads={tokens: list(reads), junk: list(junk_matrix(1, JUNK, f"m0.{number}")[0])},
            writes={waste: list(writes)},
        )
    made.attend(
        1, 0, query=junk, key=waste, predicate=junk_matrix(JUNK, JUNK, "a1.h0") / 8, value=junk,
        out=waste, value_map=junk_matrix(JUNK, JUNK, "a1.h0 value"),
    )  # fmt: skip
    made.attend(
        1, 1, query=tokens, key=before, predicate=same, value=tokens, out=answer, value_map=content
    )
    made.silence(1, 1)
    made.attend(
        1, 2, query=tokens, key=before, predicate=same, value=tokens, out=answer, value_map=content
    )
    for number, reads in enumerate(junk_matrix(JUNK, answer.size, "m1")):
        made.unit(
            1,
            reads={answer: list(reads), waste: [1.0] * JUNK},
            writes={junk: list(junk_matrix(1, JUNK, f"m1.{number}")[0])},
        )
    made.read_out(answer, LOGIT * content)
    return made


TRUTH = Truth(
    task="induction",
    arguments={"length": 16},
    metric="logit(answer) - logit(wrong)",
    treated="prompt_other",
    reference_value="10 on every prompt",
    path="input@FIRST_A -[v]-> a0.h1@FIRST_B -[k]-> a1.h2@END -> logits"
    " | input@END -[q]-> a1.h2@END -> logits | input@FIRST_B -[v]-> a1.h2@END -> logits",
    zero_path="input -[q,k,v]-> a0.h1@FIRST_B -[k]-> a1.h2@END -> logits"
    " | input@END -[q]-> a1.h2@END -> logits | input@FIRST_B -[v]-> a1.h2@END -> logits",
    nodes=("a0.h1", "a1.h2"),
    decoys=("a0.h0", "a0.h2", "m0", "a1.h0", "a1.h1", "m1"),
    positions={"a0.h1": "FIRST_B", "a1.h2": "END"},
    paired_edges=(
        "input->a0.h1<v>",
        "a0.h1->a1.h2<k>",
        "input->a1.h2<q>",
        "input->a1.h2<v>",
        "a1.h2->logits",
    ),
    zero_only_edges=("input->a0.h1<q>", "input->a0.h1<k>"),
)

CARD = """# induction-2l

A GPT-2 of two layers with three heads each that does induction, `<bos> ... A B ... A` -> B, by a
circuit put in by hand. 17 tokens (0 is <bos>), 24 positions, d_model 96. No tokenizer: prompts are
lists of ids (`pathdsl explain induction`).

| node | what it does |
|---|---|
| a0.h1 | previous-token head: copies the token before, content only |
| a1.h2 | induction head: asks with its token, keys are a0.h1's output, copies the token found |
| a0.h0 | decoy: finds earlier copies of the token, writes directions that only decoys read |
| m0 | decoy: reads tokens and a0.h0, writes directions that only decoys read |
| a1.h0 | decoy: reads a0.h0 and m0 with all three inputs, writes directions that only m1 reads |
| a0.h2, a1.h1 | decoys: attend and carry values like a0.h0 and a1.h2, write nothing |
| m1 | decoy: reads a1.h2 and a1.h0, writes directions that nothing reads |

The logit of the answer is 10, of all others 0, on every prompt of the task. The previous-token head
finds its key by position, so its queries and keys carry the same in every prompt: their edges
matter under `zero` and have no effect under a paired, resampled or mean treated value.
"""


def build(folder: Path) -> None:
    """Write the model into the folder."""
    write(folder, program().model(), TRUTH, CARD, "pathdsl.models.build.induction")


if __name__ == "__main__":
    command_line("induction-2l", build)
