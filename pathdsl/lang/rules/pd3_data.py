"""Pages PD320 to PD350: faults of data that show when the rows are read, by `plan` and `check`."""

from __future__ import annotations

import json
from typing import Any

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import CIRCUIT, METRIC, MODEL

__all__ = ["PAGES", "example", "rows_text"]

_PROMPT = "Then, Mary and John went to the park. John gave a book to"
_OTHER = "Then, Sarah and Paul went to the park. Simon gave a book to"
_ROW = {"id": "0", "prompt": _PROMPT, "other": _OTHER, "io": " Mary", "s": " John"}
_LET = "\nlet whole = mean(LD(reference))\n"
_SHOWN_BY = "tests/engine/test_data.py"
_ROWS_TEST = "tests/engine/test_rows.py"


def rows_text(*changes: dict[str, Any], without: str = "") -> str:
    """The text of a JSONL file: one row for each change of the usual row."""
    rows = [{**_ROW, "id": str(i), **change} for i, change in enumerate(changes)]
    return "".join(
        json.dumps({k: v for k, v in row.items() if k != without}) + "\n" for row in rows
    )


def example(
    text: str, *fields: str, data: str = 'jsonl("rows.jsonl")', model: str = MODEL
) -> Example:
    """A file whose task reads `rows.jsonl` with this text, and has these further fields."""
    lines = "".join(f"  {field}\n" for field in (f"data = {data}", "reference = prompt", *fields))
    task = f"\ntask own {{\n{lines}}}\n"
    return Example(
        text=CIRCUIT + model + task + METRIC + _LET, files={"rows.jsonl": text}, command="plan"
    )


_GOOD = rows_text({})
_PASSING = example(_GOOD, "treated = other")
_IDS = 'model sorter = bundled("induction-2l")\n'

_FILES: tuple[Page, ...] = (
    Page(
        code="PD320",
        name="unreadable-data-file",
        summary="The data file of a task is not there or cannot be opened.",
        why="Nothing could be run.",
        repair="Correct the path: it is relative to the file that it is written in.",
        shown_by=_ROWS_TEST,
    ),
    Page(
        code="PD321",
        name="other-data-file",
        summary="The data file is not the one whose hash the task names.",
        why="Other rows give other numbers: the claim was made about the rows of that hash.",
        repair="Get the file that was meant, or put the hash that is printed into the task.",
        failing=example(_GOOD, data='jsonl("rows.jsonl", sha256: "0000")'),
        passing=_PASSING,
    ),
    Page(
        code="PD322",
        name="bad-line",
        summary="A line of the data file cannot be read as a row.",
        why="A row that is left out silently would change every mean.",
        repair="Each line of a JSONL file is one object; each line of a CSV file has as many "
        "cells as the header.",
        failing=example(_GOOD + '{"prompt": \n'),
        passing=_PASSING,
    ),
    Page(
        code="PD323",
        name="not-utf8",
        summary="The data file is not UTF-8 text.",
        why="In another encoding the same bytes are other words.",
        repair="Save the file as UTF-8.",
        shown_by=_ROWS_TEST,
    ),
    Page(
        code="PD324",
        name="no-rows",
        summary="A task has no rows, or its filter leaves none.",
        why="There is nothing to average over.",
        repair="Fill the file, or correct the value after `where … ==`.",
        failing=example("\n"),
        passing=_PASSING,
    ),
    Page(
        code="PD325",
        name="too-few-rows",
        summary="`take:` asks for more rows than the file has.",
        why="A result that says 200 prompts must be over 200 prompts.",
        repair="Take as many as there are.",
        failing=example(_GOOD, data='jsonl("rows.jsonl", take: 200)'),
        passing=example(_GOOD, data='jsonl("rows.jsonl", take: 1)'),
    ),
    Page(
        code="PD326",
        name="no-such-source",
        summary="No generator of that name is installed, or an installed one is broken.",
        why="A file names a generator; it never brings its code along.",
        repair="Install the package that has it, or use one of the names that are listed.",
        shown_by=_ROWS_TEST,
    ),
    Page(
        code="PD327",
        name="source-argument",
        summary="A data source does not take this argument, or not this value.",
        why="An argument that is ignored would mean other rows than the author thinks.",
        repair="`pathdsl explain ioi` lists the arguments of the generator `ioi`.",
        shown_by=_ROWS_TEST,
    ),
    Page(
        code="PD375",
        name="too-few-words",
        summary="A tokenizer leaves a generator too few words that are one token each.",
        why="Rows align, and an answer is one token, only where every word that varies is one. "
        "Words that are not are left out before anything is drawn, and the report says how many. "
        "Some tasks cannot be had with some tokenizers: years as pairs of digits where each digit "
        "is a token.",
        repair="Take fewer rows where that is what is short, else write rows of your own, whose "
        "places `spans` give.",
        failing=Example(
            text=CIRCUIT
            + MODEL
            + "\ntask own {\n  data      = greater_than(take: 60)\n  reference = prompt\n}\n"
            + "\nmetric PD: prob = prob(later) - prob(not_later)\n"
            + "\nlet whole = mean(PD(reference))\n",
            command="plan",
        ),
        passing=example("", data="ioi(take: 60)"),
    ),
)

_COLUMNS: tuple[Page, ...] = (
    Page(
        code="PD328",
        name="missing-column",
        summary="A row lacks a column that the task, a treated value or a metric needs.",
        why="Without it the row can take part in nothing.",
        repair="Add the column to every row, or name one that all rows have.",
        failing=example(rows_text({}, {}, without="io")),
        passing=_PASSING,
    ),
    Page(
        code="PD329",
        name="wrong-value-in-row",
        summary="A field of a row holds a value of another kind than its use needs.",
        why="Prompts are texts or lists of token ids, answers are tokens, labels single values.",
        repair="Write the value as the message says.",
        failing=example(rows_text({"prompt": 3})),
        passing=_PASSING,
    ),
    Page(
        code="PD330",
        name="empty-prompt",
        summary="A prompt has no tokens.",
        why="There is no last token to read the answer at.",
        repair="Give the row a prompt, or remove it.",
        failing=example(rows_text({"prompt": ""})),
        passing=_PASSING,
    ),
    Page(
        code="PD331",
        name="long-prompt",
        summary="A prompt has more tokens than the model has positions.",
        why="Cutting it would change the question.",
        repair="Shorten the prompt.",
        failing=example(rows_text({"prompt": " ".join([_PROMPT] * 9)})),
        passing=_PASSING,
    ),
    Page(
        code="PD332",
        name="id-outside-vocabulary",
        summary="A token id is not in the model's vocabulary.",
        why="The rows were made with another tokenizer.",
        repair="Tokenise the rows with this model's tokenizer, or give them as texts.",
        failing=example(rows_text({"prompt": [5, 6, 99999]})),
        passing=example(rows_text({"prompt": [5, 6, 7]})),
    ),
    Page(
        code="PD333",
        name="answer-not-one-token",
        summary="An answer is not exactly one token as it is written.",
        why="A logit belongs to one token. ` Mary` and `Mary` are different tokens: most "
        "tokenizers count the space before a word to the word.",
        repair="Write the answer with its leading space, choose a word of one token, or give a "
        "list of tokens that all count. With `answers = whole` in the task an answer may have "
        "several tokens.",
        failing=example(rows_text({"io": "Mary Ann"})),
        passing=_PASSING,
    ),
    Page(
        code="PD334",
        name="unequal-lengths",
        summary="Two prompts of one row differ in their number of tokens.",
        why="A treated value is carried over token by token, so the tokens must stand in the "
        "same places (Zhang and Nanda 2023, arXiv:2309.16042: symmetric token replacement keeps "
        "the number of tokens).",
        repair="Use words of equal length in tokens; the message prints both lists.",
        failing=example(rows_text({"other": "Then, Sarah"}), "treated = other"),
        passing=_PASSING,
    ),
    Page(
        code="PD339",
        name="double-row-id",
        summary="Two rows have the same id.",
        why="Draws are keyed by row id, and reports name rows by it.",
        repair="Give each row its own id, or none.",
        failing=example(rows_text({}, {"id": "0"})),
        passing=_PASSING,
    ),
    Page(
        code="PD342",
        name="no-tokenizer",
        summary="A prompt or an answer is a text, and the model comes without a tokenizer.",
        why="There is no way to say which token ids the text is.",
        repair="Write token ids, or put the tokenizer into the model's folder.",
        failing=example(_GOOD, model=_IDS),
        passing=example(
            rows_text({"prompt": [1, 2, 3], "other": [1, 2, 4], "io": 5, "s": 6}), model=_IDS
        ),
    ),
    Page(
        code="PD344",
        name="no-bos-token",
        summary="`bos = true`, and the tokenizer has no beginning-of-sequence token.",
        why="Another token in its place would be another prompt.",
        repair="Remove the field, or write `bos = false`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD349",
        name="bos-of-ids",
        summary="The task states `bos`, and its prompts are lists of token ids.",
        why="Ids are used as they are: no token is put in front of them and none is taken away.",
        repair="Remove the field; write the token into the rows where it is wanted.",
        failing=example(rows_text({"prompt": [0, 5, 9, 5]}), "bos = true"),
        passing=example(rows_text({"prompt": [0, 5, 9, 5]})),
    ),
    Page(
        code="PD350",
        name="several-answers",
        summary="`logit` is asked of a column that lists several tokens.",
        why="A sum of probabilities has a meaning, and so has the best rank; logits do not add up.",
        repair="Use `prob`, `logprob`, `rank` or `top1`, or name one token per row.",
        shown_by="tests/engine/test_session.py",
    ),
    Page(
        code="PD345",
        name="unreadable-task",
        summary="The task that a task is made from is not declared, or is made from itself.",
        why="A part of a task has the fields of the whole.",
        repair="Declare the task that it is made from.",
        shown_by=_ROWS_TEST,
    ),
    Page(
        code="PD346",
        name="word-not-in-vocabulary",
        summary="The tokenizer replaces a part of a prompt by its token for unknown words.",
        why="The model then does not see the word that the row names.",
        repair="Use words of the model's vocabulary.",
        failing=example(rows_text({"prompt": "Then, Zarathustra and John went to"})),
        passing=_PASSING,
    ),
)

_PLACED = {"positions": {"S2": 12}}
_POSITIONS: tuple[Page, ...] = (
    Page(
        code="PD335",
        name="missing-position",
        summary="A row does not give a position that the task lists.",
        why="Every row needs it: paths are cut there on each prompt.",
        repair="Add it to the row's `positions`, an index or a list of indices.",
        failing=example(rows_text(_PLACED, {}), "positions = [S2]"),
        passing=example(rows_text(_PLACED), "positions = [S2]"),
    ),
    Page(
        code="PD336",
        name="position-outside-prompt",
        summary="A position, with its offset, lies outside the prompt of a row.",
        why="There is no token to read or cut at.",
        repair="Indices run from 0, special tokens included; the message prints the tokens.",
        failing=example(rows_text({"positions": {"S2": 99}}), "positions = [S2]"),
        passing=example(rows_text(_PLACED), "positions = [S2]"),
    ),
    Page(
        code="PD337",
        name="span-splits-token",
        summary="A span of characters begins or ends inside a token, or lies on none.",
        why="The token carries more than the word that is meant.",
        repair="Let the span cover the whole word, without its leading space.",
        failing=example(rows_text({"spans": {"S2": [6, 8]}}), "positions = [S2]"),
        passing=example(rows_text({"spans": {"S2": [6, 10]}}), "positions = [S2]"),
    ),
    Page(
        code="PD338",
        name="position-not-in-rows",
        summary="A position is named that not all rows of the task give.",
        why="It must be known on each prompt.",
        repair="Use a name that the message lists, or add this one to every row.",
        failing=example(rows_text(_PLACED), "treated = noise(at: [S1], scale: 3.0)"),
        passing=example(
            rows_text(_PLACED), "treated = noise(at: [S2], scale: 3.0)", "positions = [S2]"
        ),
    ),
    Page(
        code="PD347",
        name="nothing-follows",
        summary="`next` is asked for at the last token of a prompt.",
        why="`next` is the token that follows the position read; after the last there is none.",
        repair="Read at an earlier position, `logit(next) @END-1`.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD348",
        name="empty-position",
        summary="A position is an empty set on some row, or a span is.",
        why="Nothing can stand or be read at no place. `S1..S2` is empty where S2 stands first.",
        repair="Give at least one index, or remove the row. A task `… where LABEL == …` has the "
        "rows on which a span runs forwards.",
        failing=example(rows_text({"positions": {"S2": []}}), "positions = [S2]"),
        passing=example(rows_text(_PLACED), "positions = [S2]"),
    ),
)

_TEMPLATES = ({"template": "x"}, {"template": "x", "prompt": _OTHER})
_TREATED: tuple[Page, ...] = (
    Page(
        code="PD340",
        name="treated-equals-reference",
        summary="The treated prompt of a row is its reference prompt.",
        why="Treating any path changes nothing there, so the row dilutes every effect. Reports "
        "count such rows beside n; where all rows are so, it is an error (PD358).",
        repair="Remove the row, or give it another treated prompt.",
        failing=example(rows_text({}, {"other": _PROMPT}), "treated = other"),
        passing=_PASSING,
    ),
    Page(
        code="PD363",
        name="answer-is-wrong-answer",
        summary="Two answers that a metric takes apart are the same token.",
        why="`logit(io) - logit(s)` is 0 where both columns hold the same token, in every run: the "
        "row dilutes every effect. It is an error where all rows are so, since every effect is 0 "
        "then, and every ratio undefined.",
        repair="Give the wrong answer in a column of its own, and leave out rows that have none.",
        failing=example(rows_text({"s": " Mary"})),
        passing=example(rows_text({})),
    ),
    Page(
        code="PD341",
        name="group-of-one",
        summary="A row is alone in the group over which the mean is taken.",
        why="The mean of one row is that row's own value: nothing is taken away from it. Reports "
        "count such rows beside n; where all rows are so, it is an error (PD358).",
        repair="Take more rows, or group by a coarser label.",
        failing=example(
            rows_text(*_TEMPLATES, {"template": "y"}), "treated = mean(prompt, by: template)"
        ),
        passing=example(rows_text(*_TEMPLATES), "treated = mean(prompt, by: template)"),
    ),
    Page(
        code="PD351",
        name="split-too-fine",
        summary="The label that a task is split by has more values than a table can show.",
        why="A field that is different in every row, such as a name, splits nothing: each part is "
        "one prompt, without an interval.",
        repair="Split by a coarser label, such as the template.",
        failing=example(
            rows_text(*({"template": f"t{i}"} for i in range(25))),
            "treated = zero",
            "split_by = template",
        ),
        passing=example(rows_text(*_TEMPLATES), "treated = zero", "split_by = template"),
    ),
    Page(
        code="PD343",
        name="no-partner",
        summary="No other row can stand in for a row when resampling.",
        why="A partner has as many tokens and the same label, and is never the row itself.",
        repair="Take more rows, or resample without `by:`.",
        failing=example(rows_text(_TEMPLATES[0]), "treated = resample(prompt, by: template)"),
        passing=example(rows_text(*_TEMPLATES), "treated = resample(prompt, by: template)"),
    ),
)

_CROSSED: tuple[Page, ...] = (
    Page(
        code="PD360",
        name="fields-do-not-cross",
        summary="`cluster` names two fields that do not cross.",
        why="Rows of names and sentences depend on one another by their name and by their "
        "sentence, and the interval adds up both. Where each sentence stands beside one name only, "
        "the names are the clusters.",
        repair="Name two fields of which neither decides the other, or the coarser one alone.",
        failing=example(
            rows_text(
                {"template": "x", "name": "a"}, {"template": "y", "name": "b", "prompt": _OTHER}
            ),
            "treated = zero",
            "cluster = [template, name]",
        ),
        passing=example(
            rows_text(
                {"template": "x", "name": "a"},
                {"template": "y", "name": "b", "prompt": _OTHER},
                {"template": "x", "name": "b", "prompt": _OTHER},
                {"template": "y", "name": "a"},
            ),
            "treated = zero",
            "cluster = [template, name]",
        ),
    ),
)

PAGES: tuple[Page, ...] = (*_FILES, *_COLUMNS, *_POSITIONS, *_TREATED, *_CROSSED)
