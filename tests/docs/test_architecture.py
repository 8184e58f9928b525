"""The map of docs/architecture.md names files that there are, and counts them right."""

from __future__ import annotations

import re

from tests.test_imports import ORDER, PACKAGE, ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`")


def test_every_file_and_folder_of_the_map_exists() -> None:
    named = set(PATH.findall(TEXT)) - {"tests/"}
    assert len(named) > 40
    lost = [name for name in named if not any((top / name).exists() for top in (PACKAGE, ROOT))]
    assert [name for name in lost if not list(PACKAGE.rglob(name))] == []


def test_every_package_is_on_the_map() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert [name for name in sorted(folders | {*ORDER} - {"errors"}) if name not in TEXT] == []


def test_what_is_to_be_touched_is_counted_and_is_little() -> None:
    table = TEXT.partition("| to add | files | which |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) >= 9
    for thing, count, which in rows:
        listed = len(re.findall(r"`[\w/]+\.py`", which)) + len(
            re.findall(r"grammar|in `lang/rules/`", which)
        )
        assert int(count) <= 5, thing
        assert int(count) == listed or "a file of" in which, thing
