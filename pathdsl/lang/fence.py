"""Where what a file names may lie: a file may be a stranger's, and a path in it may lead anywhere.

Whatever a `.circuit` file names (`use`, `jsonl`, `csv`, `edges`, `folder`) lies, links resolved,
below the folder in which pathdsl was started or below the folder of the file itself. The first does
not count where it is the home or a folder above that, since everything of a user lies below it.
What the command line names is free, and so is everything with `--allow-outside`.

    fence = Fence.around("hypotheses/quickstart/induction.circuit")
    fence.holds("../../etc/passwd")
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pathdsl.errors import Diagnostic, Span

__all__ = [
    "CLOSED", "FREE", "STDIN", "SUFFIX", "Fence", "is_circuit", "no_circuit", "outside", "too_many",
]  # fmt: skip

STDIN = "<stdin>"
"""The path of a text that stands in no file."""
SUFFIX = ".circuit"


@dataclass(frozen=True, slots=True)
class Fence:
    """Folders, links resolved, that everything lies below; `roots` None: there is no fence."""

    roots: tuple[str, ...] | None = ()

    @classmethod
    def around(cls, path: str) -> Fence:
        """The fence of the file `path`; a text of standard input has no folder of its own."""
        here, home = os.path.realpath("."), os.path.realpath(os.path.expanduser("~"))
        roots = [] if _below(home, here) or here == os.sep else [here]
        if path != STDIN:
            roots.append(os.path.realpath(os.path.dirname(path) or "."))
        return cls(tuple(dict.fromkeys(roots)))

    def holds(self, target: str | os.PathLike[str]) -> bool:
        """Whether a path may be looked at at all; where it leads out it is not even looked for."""
        if self.roots is None:
            return True
        try:
            real = os.path.realpath(target)
        except (OSError, ValueError):  # U+0000, a name that is too long
            return False
        return any(_below(real, root) for root in self.roots)


FREE = Fence(None)
CLOSED = Fence(())


def outside(written: str, span: Span | None) -> Diagnostic:
    """PD664: the path `written` in a file leads out of the fence."""
    return Diagnostic(
        code="PD664",
        message=f"`{written}` leads out of the folder of this file and the one that pathdsl was "
        "started in",
        span=span,
        label="leads out",
        notes=("links are followed before that is decided; whether there is such a file is not",),
        help="start pathdsl in a folder that holds both, or allow it with `--allow-outside`",
    )


def no_circuit(written: str, span: Span | None) -> Diagnostic:
    """PD022: nothing of such a file is shown, which may be any file of this machine."""
    return Diagnostic(
        code="PD022",
        message=f"`{written}` is no circuit file",
        span=span,
        label="this file" if span is not None else "",
        notes=("its faults are told where its name, links resolved, ends in `.circuit`",),
        help="name a file that ends in `.circuit`",
    )


def too_many(most: int, span: Span) -> Diagnostic:
    """PD023: a `use` that asks for one file more than a program may have."""
    return Diagnostic(
        code="PD023",
        message=f"this program has more than {most:,} files",
        span=span,
        label="one too many",
        help="put their declarations into fewer files",
    )


def is_circuit(path: str) -> bool:
    """Whether a path, links resolved, is named as a circuit file is."""
    try:
        return os.path.realpath(path).endswith(SUFFIX)
    except (OSError, ValueError):
        return False


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
