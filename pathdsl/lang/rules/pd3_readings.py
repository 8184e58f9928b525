"""Pages PD352 to PD359: which token a cell of the data is, and treated values that are none."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_data import example, rows_text

__all__ = ["PAGES"]

_SHOWN_BY = "tests/engine/test_readings.py"
_GOOD = rows_text({})
_PASSING = example(_GOOD, "treated = other")

PAGES: tuple[Page, ...] = (
    Page(
        code="PD352",
        name="cell-not-as-declared",
        summary="A cell cannot be read as `ids:` or `texts:` says of its column.",
        why="A cell that is read otherwise than declared would be another token in silence.",
        repair="An id is a whole number; several are a JSON list. Correct the cell, or take the "
        "column out of the list.",
        failing=example(_GOOD, data='jsonl("rows.jsonl", ids: [io])'),
        passing=example(_GOOD, data='jsonl("rows.jsonl", texts: [io])'),
    ),
    Page(
        code="PD353",
        name="digits-as-text-or-id",
        summary="All cells of a column are numbers, which could be token ids or texts.",
        why="In many vocabularies `673` is a token, and token 673 is another one. CSV does not say "
        'which is meant, and tools that write JSON turn "1" into 1 and back.',
        repair="Say which it is in the task, `ids: [answer]` or `texts: [answer]`. Without either, "
        "CSV cells are texts but for lists, and JSON texts and numbers are what they are.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD354",
        name="python-list",
        summary="A cell holds a list or map as Python writes it.",
        why="It is not JSON, so that it would be one long text.",
        repair="Write JSON, with double quotes; `json.dumps` does it.",
        failing=example(rows_text({"io": "[' Mary', ' John']"})),
        passing=example(rows_text({"io": " Mary"})),
    ),
    Page(
        code="PD355",
        name="second-bos",
        summary="A prompt begins with the text of the beginning-of-sequence token, and gets "
        "another one.",
        why="Two such tokens are another prompt than one: attention and effects change.",
        repair="Write `bos = false` into the task, or take the text of the token out of the rows.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD356",
        name="other-continuation",
        summary="An answer by itself is another token than the one that continues the prompt.",
        why="Answers are tokenised alone. Behind a quotation mark, say, a tokenizer goes on with "
        "a word without its leading blank, so that the model is asked for a token that "
        "would not come.",
        repair="Write `tokens = continued` into the task to read the token that continues the "
        "reference prompt, or write the answer as the token that is meant.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD357",
        name="no-continuation",
        summary="With `tokens = continued`, an answer does not continue the prompt by one token.",
        why="The answer becomes several tokens, or changes those of the prompt itself.",
        repair="Begin the answer with a blank, take trailing blanks off the prompt, or write the "
        "token's id.",
        failing=example(rows_text({"io": " Mary John"}), "tokens = continued"),
        passing=example(_GOOD, "tokens = continued"),
    ),
    Page(
        code="PD358",
        name="nothing-to-treat",
        summary="On every row the treated value is the reference's own.",
        why="Treating any path changes nothing, so that every effect is 0 by construction and a "
        "claim that one is small is supported whatever the model does.",
        repair="Take rows that share a group, group by a coarser label, or name a column with "
        "other prompts.",
        failing=example(rows_text({"template": "x"}), "treated = mean(prompt, by: template)"),
        passing=_PASSING,
    ),
    Page(
        code="PD359",
        name="texts-and-ids-mixed",
        summary="A column holds texts on some rows and token ids on others.",
        why="Tools that write JSON turn some texts into numbers; then one column is read in two "
        "ways.",
        repair="Say which they are, `ids: [answer]` or `texts: [answer]`, or write them alike.",
        failing=example(rows_text({}, {"io": 5})),
        passing=example(rows_text({}, {"io": " Sarah"})),
    ),
)
