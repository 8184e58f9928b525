"""The page of one diagnostic code as text."""

from __future__ import annotations

from pathdsl.lang.rules import Page
from pathdsl.lang.rules.page import Example
from pathdsl.report.text.style import View, paragraph

__all__ = ["page_text"]


def page_text(page: Page, view: View) -> str:
    """Name, summary, why, repair, and the two examples that the tests run."""
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
        lines += ["", view.heading("This gives it"), *_example(page.failing, view)]
    if page.passing is not None:
        lines += ["", view.heading("This does not"), *_example(page.passing, view)]
    if page.shown_by:
        text = f"No file alone shows it; the test `{page.shown_by}` does."
        lines += ["", paragraph(text, view, "")]
    return "\n".join(lines) + "\n"


def _example(example: Example, view: View) -> list[str]:
    lines = [f"    {line}".rstrip() for line in example.text.rstrip("\n").split("\n")]
    for name, text in example.files.items():
        lines += ["", view.faint(f"  with `{name}`:")]
        lines += [f"    {line}".rstrip() for line in text.rstrip("\n").split("\n")]
    return [*lines, view.faint(f"  (shown by `pathdsl {example.command}`)")]
