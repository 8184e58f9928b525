"""docs/tasks.md says of every generator what its columns are, and what `pathdsl data` prints."""

from __future__ import annotations

import re
import shlex

import pytest

from pathdsl import tasks
from pathdsl.cli import main as cli
from tests.docs.test_language import DOCS

TEXT = (DOCS / "tasks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
DOCUMENTED = [name for name in tasks.names() if tasks.get(name).words]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_columns_of_a_generator(name: str) -> None:
    made = tasks.get(name)
    kinds = {
        "prompt": made.prompt_columns,
        "token": made.token_columns,
        "label": made.labels,
        "position": made.positions,
    }
    wanted = [f"| `{c.name}` ({kind}) | {c.doc} |" for kind, found in kinds.items() for c in found]
    lines = SECTIONS[name].splitlines()
    start = lines.index("| column | holds |") + 2
    assert lines[start : start + len(wanted)] == wanted


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_number_of_prompts(name: str) -> None:
    row = re.findall(rf"^\| \[`{name}`\]\(#{name}\) \|.*\| (.*) \|$", TEXT, re.MULTILINE)
    most = tasks.get(name).most()
    assert row and (most is None or most > 10**9 or row == [f"{most:,}"])


@pytest.mark.parametrize(("command", "printed"), COMMANDS)
def test_what_is_printed(command: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._run(shlex.split(command)[1:], False) == 0
    assert capsys.readouterr().out == printed


def test_every_generator_is_named() -> None:
    assert all(f"`{name}`" in TEXT for name in tasks.names())
