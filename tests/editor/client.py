"""A real client: it starts `pathdsl lsp` and talks to it over its standard streams."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

T = TypeVar("T")
PATIENCE = 20.0


class Client(LanguageClient):
    """One editor window with its files; `place` finds where a piece of text stands."""

    def __init__(self, folder: Path) -> None:
        super().__init__("test", "1")
        self.folder = folder
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.told: dict[str, list[lsp.PublishDiagnosticsParams]] = {}
        self.messages: list[str] = []
        self.came = asyncio.Event()
        self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda p: self._published(p))
        self.feature(lsp.WINDOW_SHOW_MESSAGE)(lambda p: self.messages.append(p.message))
        self.feature(lsp.WINDOW_LOG_MESSAGE)(lambda p: self.messages.append(p.message))

    def _published(self, params: lsp.PublishDiagnosticsParams) -> None:
        self.told.setdefault(params.uri, []).append(params)
        self.came.set()

    async def start(self) -> lsp.InitializeResult:
        await self.start_io(sys.executable, "-m", "pathdsl", "lsp")
        found = await self.initialize_async(
            lsp.InitializeParams(
                capabilities=lsp.ClientCapabilities(),
                workspace_folders=[lsp.WorkspaceFolder(self.folder.as_uri(), "test")],
            )
        )
        self.initialized(lsp.InitializedParams())
        return found

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def named(self, name: str) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri(name))

    def open(self, name: str, text: str) -> None:
        self.texts[name], self.numbers[name] = text, 1
        item = lsp.TextDocumentItem(self.uri(name), "circuit", 1, text)
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    def edit(self, name: str, start: int, end: int, text: str) -> None:
        """Replace characters of an open file, as a keystroke does."""
        before = self.texts[name]
        change = lsp.TextDocumentContentChangePartial(
            range=lsp.Range(self._at(before, start), self._at(before, end)), text=text
        )
        self.texts[name] = before[:start] + text + before[end:]
        self.numbers[name] += 1
        document = lsp.VersionedTextDocumentIdentifier(self.numbers[name], self.uri(name))
        self.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))

    def _at(self, text: str, offset: int) -> lsp.Position:
        line = text.count("\n", 0, offset)
        start = text.rfind("\n", 0, offset) + 1
        return lsp.Position(line, len(text[start:offset].encode("utf-16-le")) // 2)

    def place(self, name: str, piece: str, inside: int = 0) -> dict[str, Any]:
        """The parameters of a question about the first time that a piece of text stands there."""
        text = self.texts[name]
        offset = text.index(piece) + inside
        return {"text_document": self.named(name), "position": self._at(text, offset)}

    def text_at(self, name: str, where: lsp.Range) -> str:
        lines = self.texts[name].split("\n")
        assert where.start.line == where.end.line
        return lines[where.start.line][where.start.character : where.end.character]

    async def until(
        self, name: str, good: Callable[[list[lsp.Diagnostic]], bool]
    ) -> list[lsp.Diagnostic]:
        """The first faults of the newest version that are as wanted."""
        uri = self.uri(name)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    self.came.clear()
                    for told in reversed(self.told.get(uri, [])):
                        if told.version == self.numbers[name] and good(list(told.diagnostics)):
                            return list(told.diagnostics)
                    await self.came.wait()
        except TimeoutError:
            told = self.told.get(uri, [])
            raise AssertionError(f"never came; last: {told[-1:]}; {self.messages}") from None

    async def end(self) -> None:
        await self.shutdown_async(None)
        self.exit(None)
        await self.stop()


def session(folder: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    """What is done with a started client."""

    async def all_of_it() -> T:
        client = Client(folder)
        await client.start()
        try:
            return await work(client)
        finally:
            async with asyncio.timeout(PATIENCE):
                await client.end()

    return asyncio.run(all_of_it())
