"""The language server: what an editor asks, answered in its protocol over standard streams.

`build()` makes it; `pathdsl lsp` runs it. One `Document` per open file. A keystroke is answered
with the quick look at once; the whole look follows `REST` seconds after the last one, beside the
loop that reads keystrokes.

Source: Language Server Protocol 3.17.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from pathdsl.editor.completing import completions
from pathdsl.editor.document import Document
from pathdsl.editor.hover import hover, page
from pathdsl.editor.lines import Lines
from pathdsl.editor.renaming import Refused, definition, references, renamable, rename
from pathdsl.errors import Diagnostic, LanguageError, Severity, Span
from pathdsl.lang import ast
from pathdsl.lang.format.layout import format_text
from pathdsl.lang.program import kind_of
from pathdsl.lang.rules import name_of
from pathdsl.lang.syntax.source import SourceFile, read_source
from pathdsl.lang.visible import visible

__all__ = ["REST", "Server", "build"]

REST = 0.2
"""Seconds without a keystroke after which a file is looked at as a whole."""
_SEVERITY = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
}
_ITEMS = {
    "keyword": lsp.CompletionItemKind.Keyword,
    "node": lsp.CompletionItemKind.EnumMember,
    "name": lsp.CompletionItemKind.Variable,
    "position": lsp.CompletionItemKind.Constant,
    "column": lsp.CompletionItemKind.Field,
    "option": lsp.CompletionItemKind.Property,
    "value": lsp.CompletionItemKind.Value,
    "function": lsp.CompletionItemKind.Function,
    "file": lsp.CompletionItemKind.File,
}
_SYMBOLS = {
    "task": lsp.SymbolKind.Struct, "group": lsp.SymbolKind.Array, "path": lsp.SymbolKind.Interface,
    "metric": lsp.SymbolKind.Function, "let": lsp.SymbolKind.Variable,
    "intervention": lsp.SymbolKind.Event, "model": lsp.SymbolKind.Module,
    "claim": lsp.SymbolKind.Boolean,
}  # fmt: skip


class _Open:
    """An open file: its document, its lines, and the look that waits."""

    def __init__(self, uri: str, path: str, text: str, version: int | None) -> None:
        self.uri = uri
        self.path = path
        self.text = text
        self.number = version
        self.document: Document | None = None
        self.lines = Lines(text)
        self.waiting: asyncio.TimerHandle | None = None
        self.looking = False


class Server(LanguageServer):
    """The server with its open files, by address."""

    def __init__(self) -> None:
        super().__init__(
            "pathdsl", version("pathdsl"),
            text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental,
        )  # fmt: skip
        self.files: dict[str, _Open] = {}

    # ---------------------------------------------------------------------------------------------
    # Files
    # ---------------------------------------------------------------------------------------------

    def encoding(self) -> str:
        """The unit of columns that the client agreed to."""
        return str(getattr(self.workspace.position_encoding, "value", "utf-16"))

    def opened(self, path: str) -> str | None:
        """The text of an open file by its path."""
        real = os.path.realpath(path)
        return next((f.text for f in self.files.values() if os.path.realpath(f.path) == real), None)

    def roots(self) -> tuple[str, ...]:
        """The folders that the user opened, links resolved."""
        folders = [folder.uri for folder in self.workspace.folders.values()]
        if self.workspace.root_uri:
            folders.append(self.workspace.root_uri)
        paths = (to_fs_path(uri) for uri in folders)
        return tuple(dict.fromkeys(os.path.realpath(path) for path in paths if path))

    def open(self, uri: str, text: str, version: int | None) -> None:
        """Take in a file that was opened."""
        path = to_fs_path(uri) if uri.startswith("file:") else None
        file = _Open(uri, path or f"{uri.rpartition(':')[2] or 'untitled'}.circuit", text, version)
        self.files[uri] = file
        file.document = Document(file.path, text, self.opened, self.roots())
        file.lines = Lines(text, self.encoding())
        self._look_soon(file, 0.0)

    def change(self, uri: str, changes: Iterable[Any], version: int | None) -> None:
        """Take in a keystroke: the quick look, told at once."""
        file = self.files.get(uri)
        if file is None:  # of a file that was never opened nothing is known
            return
        for change in changes:
            span = getattr(change, "range", None)
            if span is None:
                file.text = change.text
            else:
                start, end = span.start, span.end
                file.text = file.lines.changed(
                    (start.line, start.character), (end.line, end.character), change.text
                )
            file.lines = Lines(file.text, self.encoding())
        file.number = version
        if file.document is not None:
            file.document.change(file.text)
        self.tell(file)
        self._look_soon(file, REST)

    def close(self, uri: str) -> None:
        """Forget a file."""
        file = self.files.pop(uri, None)
        if file is not None and file.waiting is not None:
            file.waiting.cancel()
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri=uri, diagnostics=[])
        )

    def again(self, uri: str) -> None:
        """Look anew at the other open files, which may use one that was saved."""
        for other in self.files.values():
            if other.document is not None:
                if other.uri != uri:
                    other.document.change(other.text)
                self._look_soon(other, 0.0)

    # ---------------------------------------------------------------------------------------------
    # Looks
    # ---------------------------------------------------------------------------------------------

    def _look_soon(self, file: _Open, seconds: float) -> None:
        if file.waiting is not None:
            file.waiting.cancel()
        loop = asyncio.get_running_loop()
        file.waiting = loop.call_later(seconds, lambda: loop.create_task(self._look(file)))

    async def _look(self, file: _Open) -> None:
        if file.looking or file.document is None or self.files.get(file.uri) is not file:
            return  # the look that is under way starts the next one
        document, file.looking = file.document, True
        try:
            whole = await asyncio.get_running_loop().run_in_executor(None, document.look)
        except Exception as error:  # a bug must not end the server: the file is told of it
            self.window_log_message(
                lsp.LogMessageParams(
                    type=lsp.MessageType.Error,
                    message=f"this is a bug in pathdsl: {type(error).__name__}: {error}",
                )
            )
            return
        finally:
            file.looking = False
        if not document.seen(whole):
            self._look_soon(file, REST)
            return
        self.tell(file)
        inlay = self.client_capabilities.workspace and self.client_capabilities.workspace.inlay_hint
        if inlay and inlay.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    def tell(self, file: _Open) -> None:
        """Send what is wrong with a file."""
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(
                uri=file.uri, version=file.number, diagnostics=list(self.diagnostics(file))
            )
        )

    def diagnostics(self, file: _Open) -> Iterator[lsp.Diagnostic]:
        """The faults of a file in the order of its text; those of files that it uses at `use`."""
        assert file.document is not None
        told = [(self.range(file, fault.span), fault) for fault in file.document.faults]
        told.sort(key=lambda one: (one[0].start.line, one[0].start.character,
                                   one[0].end.line, one[0].end.character))  # fmt: skip
        for place, fault in told:
            yield self._diagnostic(file, place, fault)

    def _diagnostic(self, file: _Open, place: lsp.Range, fault: Diagnostic) -> lsp.Diagnostic:
        name = name_of(fault.code)
        lines = [fault.message]
        lines += [fault.label] if fault.label else []
        lines += [f"note: {note}" for note in fault.notes]
        lines += [f"help: {fault.help}"] if fault.help else []
        spans = list(fault.labels)
        if fault.span is not None and fault.span.path != file.path:
            lines[0] = f"in `{os.path.basename(fault.span.path)}`: {fault.message}"
            spans.insert(0, (fault.span, fault.label or fault.message))
        related = []
        for span, text in spans:
            location = self.location(file, span)
            if location is not None:
                related.append(
                    lsp.DiagnosticRelatedInformation(location=location, message=visible(text))
                )
        return lsp.Diagnostic(
            range=place,
            message=visible("\n".join(lines)),
            severity=_SEVERITY[fault.severity],
            code=fault.code,
            source=f"pathdsl {name}",
            related_information=related or None,
            tags=[lsp.DiagnosticTag.Unnecessary] if fault.code == "PD104" else None,
        )

    # ---------------------------------------------------------------------------------------------
    # Places
    # ---------------------------------------------------------------------------------------------

    def range(self, file: _Open, span: Span | None) -> lsp.Range:
        """Where a span stands in an open file; that of another file at its `use`."""
        assert file.document is not None
        document = file.document
        if span is not None and span.path != document.path:
            uses = [s for s in document.program.file.statements if isinstance(s, ast.UseDecl)]
            folder = os.path.dirname(document.path)
            target = os.path.realpath(span.path)
            named = [u for u in uses if os.path.realpath(os.path.join(folder, u.path)) == target]
            span = next((u.path_span for u in (named or uses)), None)
        found = document.version.here(span) if span is not None else None
        return self.between(file.lines, *(found or (0, 0)))

    def between(self, lines: Lines, start: int, end: int) -> lsp.Range:
        """A range of the protocol."""
        first, last = lines.place(start), lines.place(end)
        return lsp.Range(start=lsp.Position(*first), end=lsp.Position(*last))

    def location(self, file: _Open, span: Span) -> lsp.Location | None:
        """Where a span stands, in this file or another; None where it is gone."""
        assert file.document is not None
        if span.path == file.document.path:
            found = file.document.version.here(span)
            if found is None:
                return None
            return lsp.Location(uri=file.uri, range=self.between(file.lines, *found))
        source = file.document.program.sources.get(span.path) or read_source(span.path, named=False)
        uri = from_fs_path(os.path.abspath(span.path))
        if not isinstance(source, SourceFile) or uri is None:
            return None
        lines = Lines(source.text, self.encoding())
        return lsp.Location(uri=uri, range=self.between(lines, span.start, span.end))


def build() -> Server:
    """The server with all that it answers."""
    server = Server()

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def _(params: lsp.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        server.open(document.uri, document.text, document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def _(params: lsp.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        server.change(document.uri, params.content_changes, document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def _(params: lsp.DidSaveTextDocumentParams) -> None:
        server.again(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def _(params: lsp.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def _(params: lsp.DidChangeConfigurationParams) -> None:
        """There is nothing to configure, and some clients send it unasked."""

    def at(params: Any) -> tuple[_Open, Document, int] | None:
        file = server.files.get(params.text_document.uri)
        if file is None or file.document is None:
            return None
        position = params.position
        return file, file.document, file.lines.offset(position.line, position.character)

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def _(params: lsp.HoverParams) -> lsp.Hover | None:
        if (found := at(params)) is None:
            return None
        file, document, offset = found
        told = hover(document, offset)
        parts = [told[1]] if told is not None else []
        codes = []
        for fault in document.faults:
            place = document.version.here(fault.span) if fault.span is not None else None
            if place is not None and fault.span is not None and fault.span.path == file.path:
                if place[0] <= offset <= place[1] and fault.code not in codes:
                    codes.append(fault.code)
        parts += [text for code in codes[:2] if (text := page(code))]
        if not parts:
            return None
        where = server.range(file, told[0]) if told is not None else None
        value = lsp.MarkupContent(kind=lsp.MarkupKind.Markdown, value="\n\n---\n\n".join(parts))
        return lsp.Hover(contents=value, range=where)

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def _(params: lsp.DefinitionParams) -> lsp.Location | None:
        if (found := at(params)) is None:
            return None
        file, document, offset = found
        named = document.at(offset)
        if named is not None and named[0].told == "file":
            target = os.path.join(os.path.dirname(document.path), named[0].name)
            uri = from_fs_path(os.path.abspath(target))
            start = lsp.Position(0, 0)
            return lsp.Location(uri=uri, range=lsp.Range(start, start)) if uri else None
        span = definition(document, offset)
        return server.location(file, span) if span is not None else None

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def _(params: lsp.ReferenceParams) -> list[lsp.Location]:
        if (found := at(params)) is None:
            return []
        file, document, offset = found
        spans = references(document, offset)
        if not params.context.include_declaration:
            first = definition(document, offset)
            spans = [one for one in spans if one != first]
        return [one for span in spans if (one := server.location(file, span)) is not None]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    def _(params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight]:
        if (found := at(params)) is None:
            return []
        file, document, offset = found
        return [
            lsp.DocumentHighlight(range=server.range(file, span))
            for span in references(document, offset)
            if span.path == document.path
        ]

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def _(params: lsp.PrepareRenameParams) -> lsp.Range | None:
        if (found := at(params)) is None:
            return None
        file, document, offset = found
        try:
            return server.range(file, renamable(document, offset))
        except Refused as why:
            server.window_show_message(
                lsp.ShowMessageParams(type=lsp.MessageType.Info, message=str(why))
            )
            return None

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def _(params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        if (found := at(params)) is None:
            return None
        file, document, offset = found
        try:
            spans = rename(document, offset, params.new_name)
        except Refused as why:
            server.window_show_message(
                lsp.ShowMessageParams(type=lsp.MessageType.Error, message=str(why))
            )
            return None
        edits = [lsp.TextEdit(server.range(file, span), params.new_name) for span in spans]
        return lsp.WorkspaceEdit(changes={file.uri: edits})

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.CompletionOptions(trigger_characters=["@", ".", "(", ",", ":", '"', "="]),
    )
    def _(params: lsp.CompletionParams) -> lsp.CompletionList:
        if (found := at(params)) is None:
            return lsp.CompletionList(is_incomplete=False, items=[])
        file, document, offset = found
        start, items = completions(document, offset)
        place = server.between(file.lines, start, offset)
        return lsp.CompletionList(
            is_incomplete=True,  # heads are offered once their layer is written
            items=[
                lsp.CompletionItem(
                    label=item.text.removesuffix(" "),
                    kind=_ITEMS[item.told],
                    detail=item.says.split("\n")[0] or None,
                    documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, item.says)
                    if "\n" in item.says
                    else None,
                    sort_text=f"{number:04}",
                    text_edit=lsp.TextEdit(place, item.text),
                )
                for number, item in enumerate(items)
            ],
        )

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def _(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        file = server.files.get(params.text_document.uri)
        if file is None:
            return None
        try:
            text = format_text(file.text, file.path)
        except LanguageError:
            return None  # what is wrong is told where it is
        if text == file.text:
            return []
        return [lsp.TextEdit(server.between(file.lines, 0, len(file.text)), text)]

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(
            code_action_kinds=[lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]
        ),
    )
    def _(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        file = server.files.get(params.text_document.uri)
        if file is None or file.document is None:
            return []
        only = params.context.only
        return [
            action
            for action in _actions(server, file, params.range)
            if only is None or any(str(action.kind).startswith(str(one)) for one in only)
        ]

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    def _(params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        file = server.files.get(params.text_document.uri)
        if file is None or file.document is None or file.document.whole is None:
            return []
        return list(_hints(file, file.document, params.range))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def _(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        file = server.files.get(params.text_document.uri)
        if file is None or file.document is None:
            return []
        return [
            lsp.DocumentSymbol(
                name=one.name.name,
                detail=kind_of(one),
                kind=_SYMBOLS[kind_of(one)],
                range=server.range(file, one.span),
                selection_range=server.range(file, one.name.span),
            )
            for one in file.document.program.file.statements
            if not isinstance(one, ast.UseDecl | ast.CircuitDecl)
        ]

    return server


def _actions(server: Server, file: _Open, asked: lsp.Range) -> Iterator[lsp.CodeAction]:
    """The repairs that stand beside the asked range, and one for all of the file."""
    document = file.document
    assert document is not None
    first = file.lines.offset(asked.start.line, asked.start.character)
    last = file.lines.offset(asked.end.line, asked.end.character)
    edits: list[tuple[int, int, str]] = []
    for fault in document.faults:
        fix = fault.fix
        place = document.version.here(fix.span) if fix and fix.span.path == file.path else None
        if fix is None or place is None or file.text[place[0] : place[1]] != fix.was:
            continue
        if all(place[0] >= end or place[1] <= start for start, end, _ in edits):
            edits.append((*place, fix.text))
        around = document.version.here(fault.span) if fault.span is not None else place
        low, high = around or place
        if high < first or low > last:
            continue
        edit = lsp.TextEdit(server.between(file.lines, *place), fix.text)
        yield lsp.CodeAction(
            title=_title(fix.was, fix.text),
            kind=lsp.CodeActionKind.QuickFix,
            diagnostics=[server._diagnostic(file, server.range(file, fault.span), fault)],
            edit=lsp.WorkspaceEdit(changes={file.uri: [edit]}),
            is_preferred=True,
        )
    if edits:
        yield lsp.CodeAction(
            title="Make all repairs that are printed for this file",
            kind=lsp.CodeActionKind.SourceFixAll,
            edit=lsp.WorkspaceEdit(
                changes={
                    file.uri: [
                        lsp.TextEdit(server.between(file.lines, start, end), text)
                        for start, end, text in edits
                    ]
                }
            ),
        )


def _title(was: str, text: str) -> str:
    if not was:
        return f"Write `{text.strip()}`"
    return f"Replace `{was}` by `{text.strip()}`" if text else f"Leave out `{was}`"


def _hints(file: _Open, document: Document, asked: lsp.Range) -> Iterator[lsp.InlayHint]:
    """Sizes behind the names of paths and groups, as the last whole look found them."""
    assert document.whole is not None
    sizes, before = document.whole.sizes, document.whole.program
    for one in document.program.file.statements:
        if not isinstance(one, ast.PathDecl | ast.GroupDecl):
            continue
        name = one.name.name
        place = document.version.here(one.name.span)
        if name not in sizes or place is None or before.find(name) is not one:
            continue
        line, column = file.lines.place(place[1])
        if asked.start.line <= line <= asked.end.line:
            yield lsp.InlayHint(
                position=lsp.Position(line, column),
                label=f"· {sizes[name]}",
                padding_left=True,
            )
