"""Pages PD365 to PD367 and PD383: answers of several tokens, and answers that are none."""

from __future__ import annotations

from dataclasses import replace

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_data import example, rows_text

__all__ = ["PAGES"]

_WHOLE = "answers = whole"
_PASSING = example(rows_text({}), _WHOLE)

PAGES: tuple[Page, ...] = (
    Page(
        code="PD365",
        name="token-of-whole-answer",
        summary="With `answers = whole`, what is measured belongs to one token, and an answer has "
        "several.",
        why="Log probabilities of an answer's tokens add up to that of the answer. Logits do not "
        "add up, and a rank is a place among single tokens. An answer that is not read behind the "
        "prompt is one token, too.",
        repair="Write `logprob(answer)`, `prob(answer)` or `top1(answer)`, without an `@`.",
        failing=replace(example(rows_text({"io": " Mary John"}), _WHOLE), command="check"),
        passing=_PASSING,
    ),
    Page(
        code="PD366",
        name="answer-as-position",
        summary="`ANSWER` stands where it means nothing: in a measure, in `noise`, with an offset "
        "other than -1, or as a position of the rows.",
        why="With `answers = whole`, `ANSWER` names the tokens of an answer, which stand behind "
        "the prompt where that answer is read. Measures are read at the prompt, `input` is the "
        "same there in every run, and answers differ in length.",
        repair="Write `ANSWER` in paths, groups and interventions; `ANSWER-1` is where each token "
        "of the answer is predicted.",
        failing=example(rows_text({}), "treated = noise(at: [ANSWER], scale: 3.0)", _WHOLE),
        passing=example(rows_text({}), "treated = noise(at: [END], scale: 3.0)", _WHOLE),
    ),
    Page(
        code="PD367",
        name="no-whole-answer",
        summary="With `answers = whole`, a cell is no answer that can stand behind its prompt.",
        why="A text is read as it continues the prompt. Where that makes other tokens of the end "
        "of the prompt itself, the answer would stand behind another prompt. Several texts would "
        "be several answers, of which one probability says nothing.",
        repair="Begin the answer with a blank and take trailing blanks off the prompt, or give the "
        "tokens as a list of ids; write further answers into columns of their own.",
        failing=example(rows_text({"io": [" Mary", " John"]}), _WHOLE),
        passing=_PASSING,
    ),
    Page(
        code="PD383",
        name="answer-of-no-token",
        summary="The logit of a token is asked for, and the model's logits are of something else.",
        why="A classifier has a logit for each class, and a model of modular addition one for each "
        "sum (`d_vocab_out`). Which of them a text means, the tokenizer does not know.",
        repair="Give answers as numbers of logits, counted from 0.",
        shown_by="tests/engine/test_toy_answers.py",
    ),
)
