"""Pages PD380 to PD382: rows that found a circuit do not judge it."""

from __future__ import annotations

from typing import Literal

from pathdsl.lang.rules.page import Example, Page

__all__ = ["PAGES"]

_FOUND = """{"prompt": [0, 5, 9, 5], "other": [0, 6, 8, 6], "answer": 9, "wrong": 8}
{"prompt": [0, 7, 3, 7], "other": [0, 4, 2, 4], "answer": 3, "wrong": 2}
"""
_HELD_OUT = """{"prompt": [0, 6, 1, 6], "other": [0, 3, 8, 3], "answer": 1, "wrong": 8}
{"prompt": [0, 2, 9, 2], "other": [0, 4, 7, 4], "answer": 9, "wrong": 7}
"""
_RECORD = """{
 "pairs": ["29078f2053dac75b769543804a9eca8e", "59af3b48e0c4e6d5528c1bbebcfec9c9"],
 "record_version": 1,
 "references": ["e6e7b7ec28aa34e165461de78b9fd7a1", "143137a1200b4fed73a395f3d4f75cd3"],
 "said": {"data": "rows.jsonl"},
 "sha256": "bbf422e9d65e1e63dc7f5e9bd378ef6e05a647fb1122c6fcf517fcc3a53e5da3",
 "tokenizer": ""
}
"""
_SHOWN_BY = "tests/checking/test_discovered.py"


def _example(
    rows: str, record: str | None = _RECORD, command: Literal["lint", "plan"] = "plan"
) -> Example:
    """A circuit that was found on the rows of the record, judged on `rows`."""
    text = (
        'circuit found "A head" {\n  language   = 1\n  discovered = "found.rows.json"\n}\n\n'
        'model toy = bundled("induction-2l")\n\n'
        'task held_out {\n  data      = jsonl("rows.jsonl")\n  reference = prompt\n'
        "  treated   = other\n}\n\nmetric LD: logits = logit(answer) - logit(wrong)\n\n"
        "let moved: logits = effect(through(a1.h2))\n"
    )
    files = {"rows.jsonl": rows} | ({"found.rows.json": record} if record is not None else {})
    return Example(text=text, files=files, command=command)


PAGES: tuple[Page, ...] = (
    Page(
        code="PD380",
        name="no-record-of-discovery",
        summary="The record of the rows that found a circuit is missing or damaged.",
        why="`discovered` says that a search found the circuit, and names the rows of the search. "
        "A circuit fits the rows that chose it better than any others, so that they may not judge "
        "it; without the record nobody can see whether they do.",
        repair="Restore the file that `pathdsl discover` wrote beside the circuit, or discover "
        "anew.",
        failing=_example(_HELD_OUT, None, "lint"),
        passing=_example(_HELD_OUT, command="lint"),
        shown_by=f"{_SHOWN_BY}::test_a_record_that_is_damaged",
    ),
    Page(
        code="PD381",
        name="record-of-another-tokenizer",
        summary="The record of the discovery rows is of another tokenizer than the task's model.",
        why="Rows are compared by the ids of their tokens. With another tokenizer the same prompt "
        "has other ids, and would pass for a new one.",
        repair="Judge with the model on which the circuit was found, or discover on this one.",
        shown_by=f"{_SHOWN_BY}::test_a_record_of_another_tokenizer",
    ),
    Page(
        code="PD382",
        name="judged-on-its-discovery",
        summary="A task holds rows that found the circuit which is judged on them.",
        why="Among thousands of edges a search finds some that do well on its rows by chance, and "
        "on the same rows they do well again. A row is the same where its prompts have the same "
        "tokens, whatever it is called, in whichever file and place it stands, and which of its "
        "two prompts is the reference.",
        repair="Judge on rows that had no part in finding the circuit.",
        failing=_example(_FOUND),
        passing=_example(_HELD_OUT),
        shown_by=_SHOWN_BY,
    ),
)
