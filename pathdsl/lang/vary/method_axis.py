"""The axis of estimates: by which method attributions follow slopes."""

from __future__ import annotations

from collections.abc import Mapping

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import named_option
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.subjects import meant
from pathdsl.lang.vary.axis import below, meant_below
from pathdsl.lang.vary.edits import Edit, text_of
from pathdsl.record import record

__all__ = ["Estimates", "estimates_in"]


def estimates_in(program: Program, claim: ast.ClaimDecl) -> list[ast.Score]:
    """The attributions of a claim and of its lets that estimate, as they are meant."""
    return [node for node in meant_below(program, claim) if _estimates(node)]  # type: ignore[misc]


def _estimates(node: ast.Node) -> bool:
    if not isinstance(node, ast.Score) or SCORES[node.name].of != "unit":
        return False
    record = ATTRIBUTIONS.get(named_option(node.options, "by") or "")
    return record is not None and not record.exact


def _takes(program: Program, score: ast.Score, method: str) -> bool:
    """Whether a method scores what a score is of."""
    record, unit = ATTRIBUTIONS[method], meant(program, score.subjects[0])
    return record.edges if isinstance(unit, ast.Chain | ast.Edges) else record.nodes


@record
class Estimates:
    """The method by which attributions are estimated; those `by: exact` stay."""

    name: str = "estimates"
    probe: str = ""
    nothing: str = ""

    def values(self, program: Program) -> tuple[str, ...]:
        """The other methods that score what every estimate of some claim is of."""
        return tuple(
            name
            for name, record in ATTRIBUTIONS.items()
            if not record.exact
            and any(c.name.name not in self.left_out(program, name) for c in program.claims)
        )

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims without an estimate, or of what the method does not score, or by it already."""
        found = {}
        for claim in program.claims:
            scores = estimates_in(program, claim)
            if not scores:
                found[claim.name.name] = "it reads no estimate by slopes"
            elif {_signed(score) for score in scores} != {ATTRIBUTIONS[value].signed}:
                found[claim.name.name] = f"`{value}` gives {_kind(value)}"
            elif not all(_takes(program, score, value) for score in scores):
                found[claim.name.name] = f"`{value}` has no scores of what it attributes"
            elif {named_option(score.options, "by") for score in scores} == {value}:
                found[claim.name.name] = "that is its method already"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """The method of every estimate that has such a score; an integral goes where none is."""
        edits: dict[int, Edit] = {}
        for claim in program.claims:
            for node in below(program, claim):
                if not _estimates(node):
                    continue
                assert isinstance(node, ast.Score)
                kept = [
                    text_of(program, one)
                    for one in node.options
                    if one.keyword != "by" and (ATTRIBUTIONS[value].steps or not _of_integral(one))
                ]
                start = node.options[0].span.start
                last = node.options[-1].span
                edit = Edit(start=start, end=last.end, text=", ".join([f"by: {value}", *kept]))
                edits[start] = edit
        return list(edits.values())


def _signed(score: ast.Score) -> bool:
    return ATTRIBUTIONS[str(named_option(score.options, "by"))].signed


def _kind(method: str) -> str:
    return "scores with a sign" if ATTRIBUTIONS[method].signed else "sizes, without a sign"


def _of_integral(option: ast.Argument) -> bool:
    return option.keyword in ("steps", "rule")
