"""The report of `pathdsl robustness`: a table for each claim, or one object."""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.checking.robustness import ClaimRobustness, Judged, Robustness
from pathdsl.report.data.result import Object, diagnostic_object, fields_of
from pathdsl.report.numbers import many, pair, shown, wanted_text
from pathdsl.report.text.style import View, fit, paragraph, table
from pathdsl.score.results import ClaimResult, Verdict

__all__ = ["numbers", "robustness_object", "robustness_report", "stated"]

_COLOURS = {
    Verdict.SUPPORTED: "green", Verdict.REFUTED: "red", Verdict.INCONCLUSIVE: "yellow",
    Verdict.UNDEFINED: "magenta",
}  # fmt: skip
RESULT = "verdict estimate interval n"
NO_RESULT: Object = dict.fromkeys(RESULT.split())


def robustness_report(robustness: Robustness, silent: Mapping[str, str], view: View) -> str:
    """The report as text: the file, a table for each claim, axes that change nothing, a summary."""
    lines = [robustness.base.path]
    program = robustness.base.program
    if program is not None and program.circuit is not None:
        lines.append(f"  {program.circuit.name.name}: {program.circuit.title}")
    lines.append(f"  {many(len(robustness.cells), 'cell')} beside the file as written")
    for name, value in robustness.base.replaced.items():
        lines.append(f"  {name} = {value}, set on the command line")
    for claim in robustness.claims:
        lines += ["", *_claim(claim, robustness.noise, view)]
    for cell, names in robustness.gone.items():
        text = f"members that only `{cell}` has, not judged here: {', '.join(names)}"
        lines += ["", paragraph(text, view, "")]
    if silent:
        lines += ["", view.heading("Choices that change nothing here")]
        lines += [paragraph(f"{axis}: {why}", view, "  ", "  ") for axis, why in silent.items()]
    lines += ["", _summary(robustness)]
    return fit("\n".join(lines), view) + "\n"


def stated(claim: ClaimResult) -> str:
    """What a claim states of its number, and that it is expected to be refuted."""
    expected = ", expected refuted" if claim.expected is Verdict.REFUTED else ""
    return f"wanted {wanted_text(claim.relation, claim.threshold, claim.within)}{expected}"


def _claim(claim: ClaimRobustness, noise: float, view: View) -> list[str]:
    lines = [f"{view.heading(claim.name)}  {stated(claim.own)}"]
    rows = [["as written", *numbers(claim.own, noise), claim.own.verdict.value, ""]]
    marks: list[Verdict | None] = [claim.own.verdict]
    for judged in claim.cells:
        rows.append(_row(claim, judged, noise))
        marks.append(judged.result.verdict if judged.result is not None else None)
    for text, mark in zip(table(rows, right=(1,)), marks, strict=True):
        if mark is not None:
            text = text.replace(mark.value, view.paint(mark.value, _COLOURS[mark]), 1)
        lines.append(f"  {text}")
    for why, names in _unjudged(claim).items():
        lines.append(paragraph(f"{', '.join(names)}: {why}", view, "    ", "  "))
    worst = claim.worst
    if worst is not None and worst.result is not None:
        kept = "" if claim.flips else ", the same verdict"
        lines.append(f"  worst case: {worst.cell.name} ({worst.result.verdict.value}{kept})")
    return lines


def numbers(result: ClaimResult, noise: float) -> tuple[str, str]:
    """The estimate and its interval, "" where there is none; below `noise` both are `0`."""
    value, ends = result.estimate, result.interval
    return shown(value, ends, noise), pair(ends, value or 0.0, noise)


def _row(claim: ClaimRobustness, judged: Judged, noise: float) -> list[str]:
    if judged.result is None:
        return [judged.cell.name, "", "", "not judged" if judged.applies else "does not apply", ""]
    flip = "FLIPPED" if claim.flipped(judged) else ""
    return [judged.cell.name, *numbers(judged.result, noise), judged.result.verdict.value, flip]


def _unjudged(claim: ClaimRobustness) -> dict[str, list[str]]:
    """The reasons of cells without a result, each with its cells."""
    reasons: dict[str, list[str]] = {}
    for judged in claim.cells:
        if judged.result is None:
            reasons.setdefault(judged.why, []).append(judged.cell.name)
    return reasons


def _summary(robustness: Robustness) -> str:
    flip = [claim for claim in robustness.claims if claim.flips]
    idle = [claim for claim in robustness.claims if claim.worst is None]
    kept = len(robustness.claims) - len(flip) - len(idle)
    text = f"{many(len(robustness.claims), 'claim')}: {kept} with one verdict in every cell judged"
    for some, what in ((flip, "with a verdict that flips"), (idle, "judged in no cell")):
        if some:
            text += f", {len(some)} {what} (" + ", ".join(claim.name for claim in some) + ")"
    return text


def robustness_object(robustness: Robustness, silent: Mapping[str, str]) -> Object:
    """The same as one object: claims with their cells, `worst` by the cell's name."""
    base = robustness.base
    return {
        "schema_version": 1,
        "path": base.path,
        "replaced": dict(base.replaced),
        "diagnostics": [diagnostic_object(d, base.sources) for d in base.diagnostics],
        "cells": [{"name": c.name, "changes": dict(c.changes)} for c in robustness.cells],
        "unchanged": dict(silent),
        "claims": [_claim_object(claim) for claim in robustness.claims],
        "only_there": {cell: list(names) for cell, names in robustness.gone.items()},
        "exit_code": int(robustness.exit_code),
    }


def _claim_object(claim: ClaimRobustness) -> Object:
    own = claim.own
    return {
        "name": claim.name,
        **fields_of(own, "relation threshold within expected"),
        "as_written": fields_of(own, RESULT),
        "cells": [
            {
                "cell": judged.cell.name,
                "applies": judged.applies,
                "why": judged.why or None,
                "flipped": claim.flipped(judged),
                **(fields_of(judged.result, RESULT) if judged.result else NO_RESULT),
            }
            for judged in claim.cells
        ],
        "worst": claim.worst.cell.name if claim.worst is not None else None,
        "flips": len(claim.flips),
    }
