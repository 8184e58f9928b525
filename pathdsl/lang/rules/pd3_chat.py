"""Pages PD370 to PD374: tasks whose prompts are messages, `chat = true`."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.pd3_data import example, rows_text

__all__ = ["PAGES"]

_SHOWN_BY = "tests/engine/test_chat.py"
_GOOD = rows_text({})

PAGES: tuple[Page, ...] = (
    Page(
        code="PD370",
        name="no-chat-template",
        summary="The task says `chat = true`, and the tokenizer of the model has no chat template.",
        why="How messages become one text is part of a model: any other text is one that it was "
        "not trained on.",
        repair="Take the model that was trained on chats, or write prompts as texts and leave "
        "`chat` out.",
        failing=example(
            rows_text({"prompt": [{"role": "user", "content": "Who got the book?"}]}),
            "chat = true",
        ),
        passing=example(_GOOD),
    ),
    Page(
        code="PD371",
        name="not-messages",
        summary="With `chat = true`, a prompt is no list of messages.",
        why="A message is an object with the texts `role` and `content`. Other fields would be "
        "read by some templates and not by others.",
        repair='Write `[{"role": "user", "content": "…"}]`: as it is in JSONL, and as a text of '
        "JSON in a cell of CSV.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD372",
        name="template-refuses",
        summary="The chat template of the model refuses messages, fails, or passes a limit.",
        why="Many templates want the roles `user` and `assistant` in turn, and some no `system`. "
        "A template is a program that came with the model: it runs in a process of its own, "
        "without files, clock and chance, and ends at a limit of time, memory and output.",
        repair="Write messages as the template wants them; the message is its own.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD373",
        name="span-not-written",
        summary="A span lies in a message that the chat template does not write as it is.",
        why="Where the template changes a text, or strips blanks off it, the characters of the "
        "span are not in the prompt.",
        repair="Give the token's index in `positions`, counted with all tokens of the template.",
        shown_by=_SHOWN_BY,
    ),
    Page(
        code="PD374",
        name="token-in-message",
        summary="A message writes a special token of the tokenizer.",
        why="The tokenizer reads it as that token: a turn may end in the middle of a message, or "
        "begin twice. So it is with texts that a template was applied to before.",
        repair="Give what was said alone; the template writes its tokens.",
        shown_by=_SHOWN_BY,
    ),
)
