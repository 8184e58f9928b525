"""The page of one diagnostic code as text."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from pathdsl.lang.rules import Page
from pathdsl.lang.rules.page import Example
from pathdsl.report.text.style import View, paragraph

__all__ = ["page_text"]

MOST_CHANGED = 1 / 3
"""Where more of a file's lines differ from the failing one, the whole of it is easier to read."""


def page_text(page: Page, view: View) -> str:
    """Name, summary, why, repair, and the two examples that the tests run.

    Of the passing one only what differs from the failing one, where that is little.
    """
    lines = [
        view.heading(f"{page.code} {page.name}"),
        "",
        paragraph(page.summary, view, ""),
        "",
        view.heading("Why"),
        paragraph(page.why, view, "  "),
        "",
        view.heading("Repair"),
        paragraph(page.repair, view, "  "),
    ]
    if page.failing is not None:
        lines += ["", view.heading("This gives it"), *_example(page.failing, None, view)]
    if page.passing is not None:
        lines += ["", view.heading("This does not"), *_example(page.passing, page.failing, view)]
    if page.shown_by:
        text = f"No file alone shows it; the test `{page.shown_by}` does."
        lines += ["", paragraph(text, view, "")]
    return "\n".join(lines) + "\n"


def _example(example: Example, failing: Example | None, view: View) -> list[str]:
    """An example and the files beside it, as changes to those of `failing` where these are few."""
    before = dict(failing.files) if failing is not None else {}
    lines = _file(example.text, failing.text if failing is not None else None, view)
    for name, text in example.files.items():
        lines += ["", view.faint(f"  with `{name}`:"), *_file(text, before.get(name), view)]
    return [*lines, view.faint(f"  (shown by `pathdsl {example.command}`)")]


def _file(text: str, before: str | None, view: View) -> list[str]:
    """A file whole, or what to change in the one `before`."""
    new = text.rstrip("\n").split("\n")
    if before is None:
        return _code(new)
    old = before.rstrip("\n").split("\n")
    changes = [
        (old[:a], old[a:b], new[c:d])
        for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if kind != "equal"
    ]
    if not changes:
        return [view.faint("  the same as above")]
    if sum(max(len(gone), len(come)) for _, gone, come in changes) > MOST_CHANGED * len(new):
        return _code(new)
    lines = [view.faint(f"  the same, with {'these changes' if changes[1:] else 'this change'}:")]
    for above, gone, come in changes:
        before_it = [line for line in above if line.strip()][-1:]
        if not come:
            lines += [view.faint("  leave out"), *_code(gone)]
        elif gone:
            lines += [view.faint("  instead of"), *_code(gone), view.faint("  write"), *_code(come)]
        else:
            place = [view.faint("  after"), *_code(before_it)] if before_it else []
            lines += [*place, view.faint("  add" if place else "  first add"), *_code(come)]
    return lines


def _code(lines: Sequence[str]) -> list[str]:
    return [f"    {line}".rstrip() for line in "\n".join(lines).strip("\n").split("\n")]
