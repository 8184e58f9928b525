"""The documentation of a generator as text is whole, whatever the width."""

from __future__ import annotations

import pytest

from pathdsl import tasks
from pathdsl.report.text.explain_task import generator_text
from pathdsl.report.text.style import View


@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize("width", [60, 100])
def test_nothing_is_cut(name: str, width: int) -> None:
    text = generator_text(tasks.get(name), View(width=width))
    words = text.split()
    for column in (*tasks.get(name).prompt_columns, *tasks.get(name).labels):
        said = column.doc.split()
        assert any(words[at : at + len(said)] == said for at in range(len(words))), column.doc
