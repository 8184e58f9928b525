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
from pathdsl.lang.signatures.methods import correction_of
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
    """The form of each claim of a check that counts to a family, by its name.

    Members of a loop count one by one. Those that are corrected for their number are one chance
    together, and the first of them counts.
    """
    program, judgement = outcome.program, outcome.judgement
    if program is None or judgement is None:
        return {}
    forms = about(program)
    corrected = {one.name.name for one in program.claims if one.loop and correction_of(one)}
    found: dict[str, str] = {}
    counted: set[str] = set()
    for claim in judgement.claims:
        form = forms.get(claim.declared)
        if form is not None and not (claim.declared in corrected and claim.declared in counted):
            found[claim.name] = form
            counted.add(claim.declared)
    return found


def family_text(family: Mapping[str, Any]) -> str:
    """`12 claims of one form in 6 files, each at its own confidence: …`."""
    files = len({claim["path"] for claim in family["claims"]})
    return (
        f"{family['count']} claims of one form in {many(files, 'file')}, each at its own "
        f"confidence: {family['form']}"
    )
