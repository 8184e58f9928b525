"""docs/limits.md lists every limit; `python -m tests.docs.test_limits` writes its table anew."""

from __future__ import annotations

import ast
from pathlib import Path

from pathdsl import limits
from pathdsl.lang.rules import pages
from pathdsl.limits import LIMITS
from pathdsl.strictjson import MOST_DIGITS, MOST_LEVELS

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
HEAD = "| at most | of | code |\n|---|---|---|\n"


def table() -> str:
    """The table as it has to be."""
    rows = [f"| {limit.most:,} | {limit.what} | {limit.code} |\n" for limit in LIMITS]
    return HEAD + "".join(row.replace("(|", "(\\|") for row in rows)


def test_the_page_holds_every_limit() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(table())


def test_the_page_holds_what_json_may_hold() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"at most {MOST_LEVELS} lists and objects within one another" in text
    assert f"and {MOST_DIGITS} digits in a number" in text


def test_every_limit_has_a_code() -> None:
    assert {limit.code for limit in LIMITS} <= set(pages())


def test_no_limit_is_set_twice() -> None:
    """A name that is bound again would take the place of the first, in silence."""
    tree = ast.parse(Path(limits.__file__).read_text(encoding="utf-8"))
    names = [
        target.id
        for line in tree.body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    ]
    assert len(names) == len(set(names)) == len(LIMITS)
    assert len({limit.what for limit in LIMITS}) == len(LIMITS)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text[: text.index(HEAD)] + table(), encoding="utf-8")
