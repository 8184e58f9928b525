"""All diagnostic codes with their pages, by family: pd0 syntax, pd1 names, pd2 graph, pd3 data and
models, pd4 units and metrics, pd5 method, pd6 the machine and its self-checks.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pathdsl.lang.rules.page import Example, Page

__all__ = ["Example", "Page", "name_of", "page_of", "pages"]

FAMILIES = ("pd0", "pd1", "pd2", "pd3", "pd4", "pd5", "pd6")


@cache
def pages() -> dict[str, Page]:
    """Every page by its code, in the order of the codes."""
    found = [
        page for family in FAMILIES for page in import_module(f"pathdsl.lang.rules.{family}").PAGES
    ]
    return {page.code: page for page in sorted(found, key=lambda page: page.code)}


@cache
def _of_family(family: str) -> dict[str, Page]:
    return {page.code: page for page in import_module(f"pathdsl.lang.rules.{family}").PAGES}


def page_of(code: str) -> Page | None:
    """The page of a code, in capitals or not; no other family's pages are imported for it."""
    code = code.upper()
    family = code[:3].lower()
    return _of_family(family).get(code) if family in FAMILIES else None


def name_of(code: str) -> str:
    """The kebab-case name of a code, for rendering; the code itself when it has no page."""
    page = page_of(code)
    return page.name if page else code.lower()
