"""Every page of `explain CODE`: the failing example gives the code, the passing one does not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pathdsl.checking.check import check_file
from pathdsl.checking.chosen import check_chosen
from pathdsl.checking.discovered import check_discovered
from pathdsl.checking.interventions import check_interventions
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.prepare import prepare, vet_file
from pathdsl.checking.presence import check_presence
from pathdsl.errors import PathdslError
from pathdsl.lang.rules import Example, Page, pages

LANG = Path(__file__).parents[2] / "pathdsl" / "lang"
OWN = ["check/*", "lint", "method/*", "program", "serving", "units", "signatures/*"]
OWN_PAGES = re.compile(r"PD(1\d\d|206|207|30\d|31\d|379|380|4[01]\d|436|437|440|5\d\d)\Z")


def examples() -> list[object]:
    found = []
    for page in pages().values():
        for kind, example in (("failing", page.failing), ("passing", page.passing)):
            if example is not None:
                found.append(pytest.param(page, kind, example, id=f"{page.code}-{kind}"))
    return found


def codes(example: Example, folder: Path) -> set[str]:
    """The codes that an example gives, by the function behind its command."""
    path = folder / "example.circuit"
    path.write_text(example.text, encoding="utf-8")
    for name, text in example.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    if example.command == "lint":
        return {fault.code for fault in vet_file(str(path))[1]}
    options = CheckOptions()
    if example.command == "check":
        return {fault.code for fault in check_file(str(path), options).diagnostics}
    program, found = vet_file(str(path))
    try:  # what `pathdsl plan` does
        ready = prepare(program, options)
        found += [*ready.warnings, *check_presence(program, ready.resolver, ready.planner)]
        found += check_interventions(program, ready.planner, ready.first_round().requests)
        found += check_chosen(ready, None)
        found += check_discovered(ready, None)
        ready.planner.plans(list(ready.first_round().requests))
    except PathdslError as error:
        found += error.diagnostics
    return {fault.code for fault in found}


@pytest.mark.parametrize(("page", "kind", "example"), examples())
def test_page(page: Page, kind: str, example: Example, tmp_path: Path) -> None:
    found = codes(example, tmp_path)
    assert (page.code in found) == (kind == "failing"), found
    if page.code.startswith("PD2") and kind == "passing":
        assert not [code for code in found if code.startswith("PD2")]


def complete(page: Page) -> bool:
    """Whether a page has a name, says what and why and what to do, and shows it."""
    shown = (page.failing is not None and page.passing is not None) or page.shown_by
    named = re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", page.name) and page.summary.endswith(".")
    return bool(named and page.why and page.repair and shown)


def test_every_page_is_complete() -> None:
    assert [page.code for page in pages().values() if not complete(page)] == []


def test_no_name_is_used_twice() -> None:
    names = [page.name for page in pages().values()]
    assert len(set(names)) == len(names)


def test_every_code_of_the_static_checks_has_a_page_and_every_page_a_check() -> None:
    emitted: set[str] = set()
    for pattern in OWN:
        for path in LANG.glob(f"{pattern}.py"):
            emitted |= set(re.findall(r'"(PD\d{3})"', path.read_text(encoding="utf-8")))
    package = LANG.parent  # warnings of the method that need rows or values
    for room in ("engine", "checking", "score", "graph"):
        for path in package.glob(f"{room}/**/*.py"):
            emitted |= set(re.findall(r'"(PD5\d\d)"', path.read_text(encoding="utf-8")))
    assert emitted == {code for code in pages() if OWN_PAGES.match(code)}


ADVICE = {"PD104", "PD501", "PD502", "PD506", "PD508", "PD511"}
"""Warnings about what a short example leaves out: a control, an interval, a reader of a metric."""


@pytest.mark.parametrize(
    "page", [one for one in pages().values() if one.passing is not None], ids=lambda one: one.code
)
def test_what_is_shown_as_right_is_right(page: Page, tmp_path: Path) -> None:
    assert page.passing is not None
    as_linted = replace(page.passing, command="lint")
    assert codes(as_linted, tmp_path) - ADVICE == set()
