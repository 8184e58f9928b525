"""Pages of the family PD4 about circuits that come from other programs or go to them."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.sample import CIRCUIT, MODEL, TASK, whole

__all__ = ["PAGES"]

_SHOWN_BY = "tests/formats/test_refused.py"

PAGES: tuple[Page, ...] = (
    Page(
        code="PD440",
        name="placeholder",
        summary="A drafted file names no model or no rows yet.",
        why="`pathdsl import` knows a circuit, and not which model it is of or on which prompts it "
        "was found. `OWNER/MODEL` and `ROWS.jsonl` stand for what only you know.",
        repair="Write the model and the rows, or import again with `--model` and `--rows`.",
        failing=whole(CIRCUIT, 'model m = hf("OWNER/MODEL")', TASK),
        passing=whole(CIRCUIT, MODEL, TASK),
    ),
    Page(
        code="PD441",
        name="which-format",
        summary="A circuit file is in no format that is read, or in several alike.",
        why="Formats are told apart by what a file holds, not by its name. Where that leaves it "
        "open, a guess could read another circuit.",
        repair="Say the format: `pathdsl import FILE --from eap-ig`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD442",
        name="pickle",
        summary="A circuit file is a pickle, or holds tensors where only text is read.",
        why="A pickle is a program that runs when it is loaded. Tensors of `torch.save` are read "
        "by `pathdsl import` with `weights_only`; a `.circuit` file never leads to one.",
        repair="Convert it where it was made, or with the script that the message prints, which "
        "takes lists, texts and numbers and runs nothing of the file.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD443",
        name="same-name-twice",
        summary="Two nodes or edges of a circuit file have one name.",
        why="What refers to the name may mean either. In graphs of circuit-tracer the error node "
        "of layer L is `0_L_P`, and so may be the feature L of layer 0.",
        repair="Give each a name of its own where the file is made.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD444",
        name="nothing-kept",
        summary="A circuit file does not say what is kept, or keeps nothing.",
        why="A ranking is no circuit, and a circuit without a path from `input` to `logits` treats "
        "everything: its metric is that of the treated run.",
        repair="Say how much is kept: `--top 200`, `--top 5%` or `--threshold 0.1`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD445",
        name="nan-among-scores",
        summary="The largest scores are asked for, and some are NaN.",
        why="EAP-IG and auto-circuit rank NaN before all numbers, pathdsl behind them. The first N "
        "are another circuit for each.",
        repair="Say which is meant: `--nan first`, as the tool ranks, or `--nan last`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD446",
        name="not-carried-over",
        summary="Between two formats a circuit would become another one.",
        why="Not every format has inputs of heads, positions, neurons, or one node for token and "
        "position embedding. What is left would be run as if it were the circuit.",
        repair="Choose a format that can say it (`docs/formats.md`), or write what is left with "
        "`--allow-loss`, which reports every loss.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD447",
        name="tensors-unusable",
        summary="A file of tensors is damaged, dangerous to read, or not as its format has it.",
        why="An archive may unpack to more than a disk holds, and a tensor may repeat one number "
        "without end. Sizes of matrices have to fit the names of their rows and columns.",
        repair="Save it again with `torch.save`, or copy it again.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD448",
        name="model-not-said",
        summary="A circuit file does not say its model, and what is written has to.",
        why="Many edges stand in a circuit file of their own, which names layers and heads, so "
        "that it is not read for another model.",
        repair="Name the model: `pathdsl import FILE --model hf:ID`.",
        shown_by=_SHOWN_BY,
    ),
)
