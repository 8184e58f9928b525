"""Pages PD368 and PD369: means at named places, and columns of lengths of their own."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_data import example, rows_text

__all__ = ["PAGES"]

_OTHER = "Then, Sarah and Paul went to"
_SECOND = {"prompt": "Then, Sarah and Paul went to the park. Simon gave a book to"}
_ROW = {"other": _OTHER, "positions": {"S": 1}}
_TOLD = {"other": _OTHER, "positions": {"S": 1, "other": {"S": 0}}}
_MEAN = "positions = [S]", "treated = mean(other, at: [S])"
_PLACED = {"positions": {"S": 1, "T": [1, 2], "U": [2, 3]}}
_GOOD = rows_text(_PLACED, _PLACED | _SECOND)

PAGES: tuple[Page, ...] = (
    Page(
        code="PD368",
        name="place-unknown-in-column",
        summary="A mean is taken at a place that the rows do not give for the prompts of its "
        "column.",
        why="The places of a row are those of its reference prompt. A prompt of another length has "
        "its own, and the token of the same index would be another word.",
        repair="Say where it is in that column, beside the places of the reference prompt: "
        '`"positions": {"S": 4, "other": {"S": 2}}`, and so in `spans`. `END` and places counted '
        "from it, `END-2`, are known in every prompt.",
        failing=example(rows_text(_ROW, _ROW | _SECOND), *_MEAN),
        passing=example(rows_text(_TOLD, _TOLD | _SECOND), *_MEAN),
    ),
    Page(
        code="PD369",
        name="place-of-a-mean",
        summary="A mean at named places has no value, or two, where one is wanted.",
        why="Each place of `at:` has a value of its own, over all tokens that stand there. A token "
        "at which two places stand would have two, a prompt of special tokens has none for "
        "`at: any`, and an action cannot put a value where there is none.",
        repair="Leave one of the two places out of `at:`; put the action where the mean has a "
        "value, or take the mean where the action is. A value of another place is that of a second "
        "column with the same prompt, in which the places have each other's names.",
        failing=example(_GOOD, "positions = [T, U]", "treated = mean(prompt, at: [T, U])"),
        passing=example(_GOOD, "positions = [T]", "treated = mean(prompt, at: [T, END])"),
    ),
)
