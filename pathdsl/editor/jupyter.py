"""The language server for JupyterLab, named in the package's entry points.

`jupyter_lsp` calls `spec` when the notebook server starts; docs/editor.md says what JupyterLab
wants besides.

Source: jupyter-lsp, specification of language servers, version 2.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["spec"]


def spec(manager: object = None) -> dict[str, dict[str, Any]]:
    """The servers by name; `manager` is the one that asks, of which nothing is wanted."""
    return {
        "pathdsl": {
            "version": 2,
            "argv": [sys.executable, "-m", "pathdsl", "lsp"],
            "languages": ["circuit"],
            "mime_types": ["text/x-circuit"],
            "display_name": "pathdsl",
            "install": {"pip": "pip install 'pathdsl[editor]'"},
        }
    }
