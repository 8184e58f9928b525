"""The language server as an editor meets it: over its standard streams."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("pygls")
pytest.importorskip("lsprotocol")

from lsprotocol import types as lsp

from pathdsl.checking.prepare import vet_file
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.syntax.source import SourceFile
from tests.editor.client import Client, session

TEXT = """circuit c "A file" {
  language   = 1
  hypothesis = main
}

model m = bundled("ioi-mini")

task ioi {
  data      = mini_ioi(take: 20, seed: 0)
  reference = prompt
  treated   = prompt_abc
  positions = [IO, S1, S2]
}

group movers @END = { a3.h1, a3.h2 }
path main = input@S2 ~> movers -> logits
metric LD: logits = logit(io) - logit(s)
let each for h in movers: logits = mean(LD(reference) - LD(treat(through(h))))
claim holds: faithfulness(main, metric: LD) >= 10% at 95% confidence
claim one: each[a3.h1@END] > 0 at 95% confidence "é😀"
"""


def lint(path: Path, text: str) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """What `lint` finds: code, first and last line and column, from 0."""
    source = SourceFile(str(path), text)

    def at(offset: int) -> tuple[int, int]:
        line, column = source.line_col(offset)
        return line - 1, column - 1

    faults = vet_file(str(path), text)[1]
    return sorted((f.code, at(f.span.start), at(f.span.end)) for f in faults if f.span)


def shown(faults: list[lsp.Diagnostic]) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    found = []
    for one in faults:
        start, end = one.range.start, one.range.end
        found.append((str(one.code), (start.line, start.character), (end.line, end.character)))
    return sorted(found)


def codes(faults: list[lsp.Diagnostic]) -> set[str]:
    return {str(one.code) for one in faults}


def test_faults_as_one_types_are_those_of_lint(tmp_path: Path) -> None:
    path = tmp_path / "x.circuit"

    async def work(client: Client) -> None:
        client.open("x.circuit", TEXT)
        await client.until("x.circuit", lambda f: shown(f) == lint(path, TEXT))
        for piece, text in (
            ("movers -> logits", "mover -> logits"),
            ("a3.h2 }", "a9.h2 }"),
            ("let each", "let  each"),
            ("group movers", "# a comment\ngroup movers"),
            ("a9.h2 }", "a3.h2 }"),
            ("mover -> logits", "movers => logits"),
            ("=> logits", "-> logits"),
        ):
            at = client.texts["x.circuit"].index(piece)
            client.edit("x.circuit", at, at + len(piece), text)
            wanted = lint(path, client.texts["x.circuit"])
            await client.until("x.circuit", lambda f, wanted=wanted: shown(f) == wanted)

    session(tmp_path, work)


def test_a_fault_says_all_that_lint_prints(tmp_path: Path) -> None:
    text = TEXT.replace("claim one", "claim holds")

    async def work(client: Client) -> None:
        client.open("x.circuit", text)
        found = await client.until("x.circuit", lambda f: "PD103" in codes(f))
        (one,) = [f for f in found if f.code == "PD103"]
        assert "`holds` is declared twice" in one.message
        assert "help: rename one of them" in one.message
        assert one.severity == lsp.DiagnosticSeverity.Error
        assert one.related_information is not None
        (first,) = one.related_information
        assert first.message == "first declared here"
        assert client.text_at("x.circuit", first.location.range) == "holds"
        assert client.text_at("x.circuit", one.range) == "holds"

    session(tmp_path, work)


def test_questions_about_names(tmp_path: Path) -> None:
    lock = {
        "lock_version": 1,
        "claims": {"holds": {"estimate": 0.5, "low": 0.25, "high": 0.75, "n": 20,
                             "verdict": "supported", "expected": "supported"}},
        "quantities": {},
        "inputs": {"file": {"tree": "0", "uses": {}}, "model": {"weights": {}}, "tasks": {},
                   "overrides": {}},
        "surroundings": {"packages": {}},
        "tolerance": {"estimate": 1e-9, "interval": 1e-9},
    }  # fmt: skip
    (tmp_path / "x.circuit.lock").write_text(json.dumps(lock), encoding="utf-8")

    async def work(client: Client) -> None:
        name = "x.circuit"
        client.open(name, TEXT)
        await client.until(name, lambda f: shown(f) == lint(tmp_path / name, TEXT))

        async def hovered(piece: str, inside: int = 0) -> str:
            params = lsp.HoverParams(**client.place(name, piece, inside))
            found = await client.text_document_hover_async(params)
            if found is None:
                return ""
            assert isinstance(found.contents, lsp.MarkupContent)
            return found.contents.value

        assert "paths" in await hovered("main =") and "edges" in await hovered("main, metric")
        assert "2 nodes: a3.h1@END, a3.h2@END" in await hovered("movers ->")
        assert "**supported**: 0.5, 0.25 to 0.75, n = 20" in await hovered("holds:")
        assert "of an earlier text" in await hovered("holds:")
        assert "faithfulness(P, as: recovered)" in await hovered("faithfulness")
        assert "last token" in await hovered("END] > 0")
        assert "token column of `mini_ioi`" in await hovered("io) - logit")
        assert "each member of `movers`" in await hovered("h))))")
        assert "rows" not in await hovered("é")

        async def defined(piece: str, inside: int = 0) -> str:
            params = lsp.DefinitionParams(**client.place(name, piece, inside))
            found = await client.text_document_definition_async(params)
            assert isinstance(found, lsp.Location)
            assert (
                client.text_at(name, found.range)
                == client.texts[name][client.texts[name].index(piece) :][
                    : len(client.text_at(name, found.range))
                ]
            )
            line = client.texts[name].split("\n")[found.range.start.line]
            return line

        assert (await defined("movers -> logits")).startswith("group movers")
        assert (await defined("LD(reference)")).startswith("metric LD")
        assert (await defined("h))))")).startswith("let each for h")
        assert "positions = [IO" in await defined("S2 ~>")
        assert (await defined("each[a3")).startswith("let each")

        async def found(piece: str) -> int:
            context = lsp.ReferenceContext(include_declaration=True)
            params = lsp.ReferenceParams(context=context, **client.place(name, piece))
            return len(await client.text_document_references_async(params) or ())

        assert await found("movers @END") == 3
        assert await found("LD: logits") == 4
        assert await found("h in movers") == 2
        assert await found("S2 ~>") == 2

        async def renamed(piece: str, new: str) -> int | str:
            client.messages.clear()
            params = lsp.RenameParams(new_name=new, **client.place(name, piece))
            edit = await client.text_document_rename_async(params)
            if edit is None:
                return client.messages[-1]
            assert edit.changes is not None
            (edits,) = edit.changes.values()
            return len(edits)

        assert await renamed("movers @END", "heads") == 3
        assert await renamed("h in movers", "head") == 2
        assert "`main` is a path already" == await renamed("movers @END", "main")
        assert "name of a score" in str(await renamed("main =", "effect"))
        assert "spelling of a node" in str(await renamed("main =", "m3"))
        assert "no name" in str(await renamed("main =", "3m"))
        assert "`LD` is a metric already" == await renamed("h in movers", "LD")
        assert "where `movers` is named" in str(await renamed("movers @END", "h"))
        assert "where `LD` is named" in str(await renamed("LD: logits", "io"))
        assert "not declared in this file" in str(await renamed("S2 ~>", "S3"))

        hints = await client.text_document_inlay_hint_async(
            lsp.InlayHintParams(
                client.named(name), lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
            )
        )
        labels = [str(one.label) for one in hints or ()]
        assert labels[0] == "· 2 nodes" and labels[1].endswith(" paths") and len(labels) == 2

    session(tmp_path, work)


def test_what_could_be_written(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "other": "b", "right": " c"}\n')
    (tmp_path / "rows.csv").write_text("prompt,answer\na,b\n")
    (tmp_path / "lib.circuit").write_text("group g = { a0 }\n")

    async def work(client: Client) -> None:
        name = "x.circuit"
        client.open(name, TEXT)
        await client.until(name, lambda f: shown(f) == lint(tmp_path / name, TEXT))

        async def offered(line: str) -> list[str]:
            text = TEXT + line
            client.edit(name, 0, len(client.texts[name]), text)
            where = {"text_document": client.named(name), "position": client._at(text, len(text))}
            found = await client.text_document_completion_async(lsp.CompletionParams(**where))
            assert isinstance(found, lsp.CompletionList)
            for item in found.items:
                assert isinstance(item.text_edit, lsp.TextEdit)
            return [item.label for item in found.items]

        assert {"claim", "path", "let"} <= set(await offered(""))
        assert await offered("cl") == ["claim"]
        nodes = await offered("path p = ")
        assert {"main", "movers", "a0", "a3", "m3", "r4", "input", "full", "through"} <= set(nodes)
        assert "LD" not in nodes and "a4" not in nodes
        assert await offered("path p = input -> a3.h") == [f"a3.h{i}" for i in ("*", 0, 1, 2, 3)]
        assert {"IO", "S1", "S2", "END"} <= set(await offered("path p = input@"))
        assert {"->", "a0"} & set(await offered("path p = input ")) == set()
        assert {"LD", "each", "mean", "faithfulness", "sign_test"} <= set(await offered("let x = "))
        options = await offered("let x = faithfulness(main, ")
        assert {"metric:", "as:", "scope:"} <= set(options)
        assert "metric:" not in await offered("let x = faithfulness(main, metric: LD, ")
        assert {"recovered", "ratio"} <= set(await offered("let x = faithfulness(main, as: "))
        assert await offered("let x = faithfulness(main, metric: L") == ["LD"]
        assert {"reference", "treated", "treat", "keep"} <= set(await offered("let x = mean(LD("))
        assert {"io", "s", "next"} <= set(await offered("metric P = prob("))
        assert {"io", "s"} <= set(await offered("let x = accuracy(reference, answer: "))
        assert {"random", "groups", "greedy"} <= set(
            await offered("let x = completeness(main, knockouts: ")
        )
        assert {"holm", "bh", "bootstrap"} <= set(await offered("claim x: each[a3.h1] > 0 by "))
        assert await offered("claim x: each[a3.h1] > 0 expect ") == ["supported", "refuted"]
        assert {"logits", "nats", "prob"} <= set(await offered("let x: "))
        assert {"data", "reference", "treated"} <= set(await offered("task t {\n  "))
        assert {"prompt", "prompt_abc", "mean", "zero"} <= set(
            await offered("task t {\n  data = mini_ioi(take: 3)\n  treated = ")
        )
        assert {"take:", "seed:"} <= set(await offered("task t {\n  data = mini_ioi("))
        assert {"ioi", "jsonl", "csv"} <= set(await offered("task t {\n  data = "))
        rows = 'task t {\n  data = jsonl("rows.jsonl")\n  reference = '
        assert "ioi-mini" in await offered('model n = bundled("')
        assert await offered('use "') == ["lib.circuit"]
        assert "rows.jsonl" in await offered('task t { data = jsonl("')
        assert await offered("# a comm") == []
        text = TEXT.replace("mini_ioi(take: 20, seed: 0)", 'jsonl("rows.jsonl")')
        for data, wanted in (("jsonl", {"prompt", "other", "right"}), ("csv", {"answer"})):
            text = TEXT.replace("mini_ioi(take: 20, seed: 0)", f'{data}("rows.{data}")')
            text = text[: text.index("  reference")] + "  reference = "
            client.edit(name, 0, len(client.texts[name]), text)
            where = {"text_document": client.named(name), "position": client._at(text, len(text))}
            found = await client.text_document_completion_async(lsp.CompletionParams(**where))
            assert isinstance(found, lsp.CompletionList)
            assert wanted <= {item.label for item in found.items}, (rows, data)

    session(tmp_path, work)


def test_repairs_and_the_formatter(tmp_path: Path) -> None:
    text = TEXT.replace("movers -> logits", "mover -> logits").replace(">= 10%", "≥ 10%")
    text += (
        "claim two: each[a3.h1] > 0 at 0.95 confidence\nclaim three: each[a3.h1] > 0 by homl()\n"
    )

    async def work(client: Client) -> None:
        name = "x.circuit"
        client.open(name, text)
        found = await client.until(name, lambda f: {"PD101", "PD005"} <= codes(f))
        everything = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))

        async def actions(where: lsp.Range) -> list[lsp.CodeAction]:
            context = lsp.CodeActionContext(diagnostics=found)
            params = lsp.CodeActionParams(client.named(name), where, context)
            given = await client.text_document_code_action_async(params)
            return [one for one in given or () if isinstance(one, lsp.CodeAction)]

        (one,) = [f for f in found if f.code == "PD101"]
        quick = [a for a in await actions(one.range) if a.kind == lsp.CodeActionKind.QuickFix]
        assert [a.title for a in quick] == ["Replace `mover` by `movers`"]
        every = [a for a in await actions(everything) if a.kind == lsp.CodeActionKind.SourceFixAll]
        assert len(every) == 1 and every[0].edit is not None and every[0].edit.changes is not None
        (edits,) = every[0].edit.changes.values()
        assert len(edits) >= 3
        lines = client.texts[name].split("\n")
        for edit in sorted(edits, key=lambda e: (-e.range.start.line, -e.range.start.character)):
            start, end = edit.range.start, edit.range.end
            line = lines[start.line]
            lines[start.line] = line[: start.character] + edit.new_text + line[end.character :]
        client.edit(name, 0, len(text), "\n".join(lines))
        await client.until(
            name, lambda f: all(d.severity != lsp.DiagnosticSeverity.Error for d in f)
        )
        options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
        made = await client.text_document_formatting_async(
            lsp.DocumentFormattingParams(client.named(name), options)
        )
        assert made is not None and len(made) == 1
        assert made[0].new_text == format_text(client.texts[name], "x.circuit")

    session(tmp_path, work)


def test_a_library_that_is_open_is_read_as_it_stands_in_the_editor(tmp_path: Path) -> None:
    (tmp_path / "lib.circuit").write_text("group g = { a0.h0 }\n", encoding="utf-8")
    user = (
        TEXT.replace("model m", 'use "lib.circuit"\n\nmodel m')
        + "path second = input -> g -> logits\nlet y = effect(second)\n"
    )

    async def work(client: Client) -> None:
        client.open("x.circuit", user)
        await client.until("x.circuit", lambda f: "PD101" not in codes(f) and bool(f))
        params = lsp.DefinitionParams(**client.place("x.circuit", "g -> logits\nlet y"))
        found = await client.text_document_definition_async(params)
        assert isinstance(found, lsp.Location) and found.uri.endswith("lib.circuit")
        rename = lsp.RenameParams(new_name="z", **client.place("x.circuit", "g -> logits\nlet y"))
        assert await client.text_document_rename_async(rename) is None
        assert "rename it there" in client.messages[-1]
        client.open("lib.circuit", "group other = { a0.h0 }\n")
        saved = lsp.DidSaveTextDocumentParams(client.named("lib.circuit"))
        client.text_document_did_save(saved)
        await client.until("x.circuit", lambda f: "PD101" in codes(f))
        client.edit("lib.circuit", 0, len(client.texts["lib.circuit"]), "group g = { a0.hx }\n")
        client.text_document_did_save(saved)
        found = await client.until("x.circuit", lambda f: any("in `lib" in d.message for d in f))
        (one,) = [f for f in found if "in `lib" in f.message]
        assert client.text_at("x.circuit", one.range) == '"lib.circuit"'

    session(tmp_path, work)


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    from pathdsl.cli.main import main

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        main(["lsp"])
    assert end.value.code == 2
    assert "pip install 'pathdsl[editor]'" in capsys.readouterr().err


def test_the_server_imports_no_heavy_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from pathdsl.editor.document import Document\n"
        "from pathdsl.editor.hover import hover\n"
        "from pathdsl.editor.completing import completions\n"
        "from pathdsl.editor.server import build\n"
        f"text = {TEXT!r}\n"
        "build()\n"
        "document = Document('x.circuit', text, lambda path: None)\n"
        "document.seen(document.look())\n"
        "for at in range(len(text)):\n"
        "    hover(document, at), completions(document, at)\n"
        "heavy = {'torch', 'transformers', 'networkx', 'sympy', 'scipy', 'safetensors'}\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout == "[]\n"
