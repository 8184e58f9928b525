"""An index of a folder of files as Markdown: what each says, on which model, and what came out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from pathdsl.checking.lock.index import Indexed
from pathdsl.report.numbers import many
from pathdsl.report.page.markdown import code_text, marked_text

__all__ = ["index_markdown"]

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})(v\d+)?", re.IGNORECASE)
_COMMIT = re.compile(r"\b([0-9a-f]{7})[0-9a-f]{33}\b")
_EXPECTED = ("supported", "refuted")
_ORDER = (*_EXPECTED, "inconclusive", "undefined")
_STATES = {
    "stale": "its lock is of another text",
    "unreadable": "its lock cannot be read",
    "unlocked": "not judged here",
    "faulty": "not judged: the file has faults",
    "library": "no claim: it is there to be used",
}


def index_markdown(files: Sequence[Indexed], folder: str, command: str) -> str:
    """The page, ending in a line break; links are from `folder`, `command` writes it anew."""
    judged = sum(one.state == "locked" for one in files)
    lines = [
        "# Hypotheses",
        "",
        f"{many(len(files), 'file')}, of which {judged} {'is' if judged == 1 else 'are'} judged. "
        "A verdict is that of the lock beside the file; `pathdsl check --locked` compares with it.",
        f"This page is made from the locks by `{command}`.",
    ]
    section = None
    for one in files:
        here = _from(str(PurePath(one.path).parent), folder)
        if here != section:
            section = here
            lines += ["", f"## {marked_text(here)}", "", "| file | what it says | model | source | "
                      "claims |", "|---|---|---|---|---|"]  # fmt: skip
        lines.append(_row(one, folder))
    return "\n".join(lines) + "\n"


def _row(one: Indexed, folder: str) -> str:
    link = quote(_from(one.path, folder))
    name = PurePath(one.path).name
    models = ", ".join(code_text(_COMMIT.sub(r"\1…", model)) for model in one.models) or "-"
    cells = (
        f"[{marked_text(name)}]({link})",
        marked_text(one.title) or "-",
        models,
        ", ".join(map(_source, one.cites)) or "-",
        _claims(one, folder),
    )
    return f"| {' | '.join(cells)} |"


def _from(path: str, folder: str) -> str:
    return PurePath(os.path.relpath(path, folder)).as_posix()


def _source(cites: str) -> str:
    match = _ARXIV.fullmatch(cites.strip())
    if match is not None:
        return f"[{cites.strip()}](https://arxiv.org/abs/{match[1]})"
    return marked_text(cites)


def _claims(one: Indexed, folder: str) -> str:
    if one.state != "locked":
        why = _STATES[one.state]
        return f"{why} ({many(one.declared, 'claim')})" if one.declared else why
    told = []
    for verdict in _ORDER:
        if not (n := sum(claim.verdict == verdict for claim in one.claims)):
            continue
        text = f"{n} {verdict}"
        if other := sum(c.verdict == verdict != c.expected for c in one.claims):
            if verdict in _EXPECTED:
                text += ", not expected" if other == n else f", {other} not expected"
        elif verdict == "refuted":
            text += " as expected"
        told.append(text)
    lock = quote(_from(f"{one.path}.lock", folder))
    return f"{'; '.join(told) or 'no claim'} ([lock]({lock}))"
