"""Claims of one form in several files that are judged together.

A correction counts the claims of one file. Who judges a folder has as many chances to be supported
by luck as its files have claims of one form, so the document says how many these are.

Source: docs/reports.md, Several files · `pathdsl.lang.method.families`, what a form is.

    families_of(result["files"])      # [{"form": …, "claims": [{"path": …, "name": …}, …], …}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pathdsl.lang.method.families import MANY_COPIES, about
from pathdsl.report.numbers import many

if TYPE_CHECKING:  # `lint` prints JSON too, and must start fast
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["families_of", "family_text", "forms_of"]

Object = dict[str, Any]


def families_of(files: Sequence[Mapping[str, Any]]) -> list[Object]:
    """The families in objects of files, by their first claim; those of one file are its own."""
    found: dict[str, list[Object]] = {}
    for file in files:
        for claim in file.get("claims", ()):
            if form := claim.get("about"):
                found.setdefault(form, []).append({"path": file["path"], "name": claim["name"]})
    return [
        {"form": form, "claims": claims, "count": len(claims)}
        for form, claims in found.items()
        if len(claims) >= MANY_COPIES and len({claim["path"] for claim in claims}) > 1
    ]


def forms_of(outcome: FileOutcome) -> Mapping[str, str]:
    """The form of each claim of a check that counts to a family, by its name."""
    program = outcome.program
    return about(program) if program is not None and outcome.judgement is not None else {}


def family_text(family: Mapping[str, Any]) -> str:
    """`12 claims of one form in 6 files, each at its own confidence: …`."""
    files = len({claim["path"] for claim in family["claims"]})
    return (
        f"{family['count']} claims of one form in {many(files, 'file')}, each at its own "
        f"confidence: {family['form']}"
    )
