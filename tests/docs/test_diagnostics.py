"""docs/diagnostics.md lists every code; `python -m tests.docs.test_diagnostics` writes it anew."""

from __future__ import annotations

from pathlib import Path

from pathdsl.lang.rules import pages

PAGE = Path(__file__).parents[2] / "docs" / "diagnostics.md"
FAMILIES = {
    "PD0": "Syntax",
    "PD1": "Names and structure",
    "PD2": "The model's graph",
    "PD3": "Data",
    "PD4": "Units, metrics and quantities",
    "PD5": "Method (warnings)",
    "PD6": "Models and the machine",
}
HEAD = """# Diagnostics

Every fault has a code that stays the same for ever, a name, a place in the file, and, where there
is one, a repair that works when pasted. `pathdsl explain CODE` prints the page of a code, with a
file that gives it and one that does not; both run as tests. Errors stop a check before anything is
judged; warnings never change the exit code.
"""


def written() -> str:
    """The page as it has to be."""
    text = HEAD
    for family, title in FAMILIES.items():
        text += f"\n## {family}: {title}\n\n| code | name | what it is |\n|---|---|---|\n"
        for code, page in pages().items():
            if code.startswith(family):
                summary = page.summary.replace("|", "\\|")
                text += f"| {code} | {page.name} | {summary} |\n"
    return text


def test_every_code_belongs_to_a_family() -> None:
    assert {code[:3] for code in pages()} == set(FAMILIES)


def test_the_page_lists_every_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == written()


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
