"""What a check left behind, as an editor shows it: verdicts on a claim, faults of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pygls")
pytest.importorskip("lsprotocol")

from lsprotocol import types as lsp

from pathdsl.checking.check import check_file
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.user_store import open_store
from tests.editor.client import Client, session

TEXT = """circuit c "A file" {}

model m = bundled("ioi-mini")

task own {
  data      = jsonl("rows.jsonl")
  reference = prompt
  treated   = other
}

metric LD: logits = logit(io) - logit(s)
let total: logits = mean(LD(reference))
claim holds: mean(LD(reference)) > 0 "they are told apart"
"""
ROW = (
    '{"prompt": "Then, Mary and John went to the park. John gave a book to", '
    '"other": "Then, Sarah and Paul went to the park. Simon gave a book to", '
    '"io": " Mary", "s": " John"}\n'
)


def checked(path: Path, text: str, only: str | None = None) -> None:
    path.write_text(text)
    with open_store() as store:
        check_file(str(path), CheckOptions(store=store, only=only))


def test_hover_shows_what_the_last_check_said(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROW)
    path = tmp_path / "x.circuit"
    checked(path, TEXT.replace("> 0 ", "> 1000 "))

    async def work(client: Client) -> None:
        client.open("x.circuit", TEXT)
        await client.until("x.circuit", lambda f: bool(f))

        async def hovered(piece: str) -> str:
            params = lsp.HoverParams(**client.place("x.circuit", piece))
            found = await client.text_document_hover_async(params)
            assert found is not None and isinstance(found.contents, lsp.MarkupContent)
            return found.contents.value

        told = await hovered("holds")
        assert "in the last check, of an earlier text of the file:" in told
        assert "**refuted** (expected supported)" in told and "n = 1" in told
        checked(path, TEXT)
        told = await hovered("holds")
        assert "in the last check:" in told and "**supported**" in told
        assert "in the last check:" in await hovered("total")
        checked(path, TEXT.replace("> 0 ", "> 1000 "), only="holds")
        assert "**supported**" in await hovered("holds")

    session(tmp_path, work)


def test_faults_of_rows_and_a_field_that_is_put_in(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROW + ROW.replace(" John", " Mary"))

    async def work(client: Client) -> None:
        client.open("x.circuit", TEXT)
        found = await client.until("x.circuit", lambda f: "PD363" in {one.code for one in f})
        (row,) = (one for one in found if one.code == "PD363")
        assert "line 2 of `rows.jsonl`" in row.message
        (one,) = (one for one in found if one.code == "PD511")
        params = lsp.CodeActionParams(
            client.named("x.circuit"), one.range, lsp.CodeActionContext(diagnostics=found)
        )
        given = await client.text_document_code_action_async(params)
        titles = [action.title for action in given or ()]
        assert "Write `language = 1`" in titles

    session(tmp_path, work)
