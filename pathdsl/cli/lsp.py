"""`pathdsl lsp`: the language server, for editors.

Source: docs/editor.md.
"""

from __future__ import annotations

import importlib.util

import typer

from pathdsl.cli.output import err
from pathdsl.errors import ExitCode

__all__ = ["lsp"]


def lsp() -> None:
    """Serve an editor over standard input and output, by the Language Server Protocol.

    It is for editors to start, and needs the extra `editor`.
    """
    if importlib.util.find_spec("pygls") is None or importlib.util.find_spec("lsprotocol") is None:
        err("the language server needs pygls: pip install 'pathdsl[editor]'\n")
        raise typer.Exit(ExitCode.WRONG_INPUT)
    from pathdsl.editor.server import build

    build().start_io()
