"""What contradicts itself in a result: verdicts that do not follow from their numbers, and so on.

A hash tells what was changed after it was written, but for whoever computes it anew. What a report
shows hangs together, however: a verdict follows from interval, threshold and relation, a member's
level from the p-values of its family, an estimate from its terms, the exit code from the claims.
All of that is computed again here. Numbers that were made up so that they fit one another are not
found out; hence a report from JSON says that it is not checked.

    next(contradictions(result), "")    # "claim `sufficient`, `verdict`: supported, but …"

Source: docs/semantics.md, Verdicts; `pathdsl.score.claims`, `pathdsl.score.statistics.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import isclose, isfinite
from typing import Any

import numpy as np

from pathdsl.checking.breaking.changes import constant
from pathdsl.errors import ExitCode, overall
from pathdsl.lang.method.said import LOW_CONFIDENCE
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.report.content.claims import written_claim
from pathdsl.report.content.rows import split_name
from pathdsl.report.data.details import SIZES
from pathdsl.report.data.result import AT, fields_of
from pathdsl.report.numbers import wanted_text
from pathdsl.score.places import spelled
from pathdsl.score.remarks import CORRECTED, DOUBT, HELD_BACK, NOT_RESAMPLED, is_no_interval
from pathdsl.score.results import LONGEST_FORMULA, FromTerms, Verdict
from pathdsl.score.statistics.arithmetic import apply
from pathdsl.score.statistics.ends import Interval
from pathdsl.score.statistics.verdict import CORRECTIONS, Correction, Rule, decide

__all__ = ["contradictions"]

Object = Mapping[str, Any]

_CLOSE = 1e-9
"""Relative to the larger of 1 and the number: what equals a threshold may lie on either side."""
_LOCK = "PD65"


def contradictions(result: Object) -> Iterator[str]:
    """Every contradiction in what `check --format json` prints, each in one line."""
    for file in result["files"]:
        for said in _of_file(file):
            yield said if len(result["files"]) == 1 else f"`{file['path']}`: {said}"
    worst = overall(ExitCode(file["exit_code"]) for file in result["files"])
    # Values that could not be written make it 2, whatever the claims.
    if result["files"] and result["exit_code"] not in (worst, ExitCode.WRONG_INPUT):
        yield f"`exit_code`: {result['exit_code']}, but that of its files gives {worst}"


def _of_file(file: Object) -> Iterator[str]:
    rows = _rows(file)
    for quantity in file["quantities"]:
        yield from _numbers(f"quantity `{quantity['name']}`", quantity, rows)
    families: dict[str, list[Object]] = {}
    for claim in file["claims"]:
        name = f"claim `{claim['name']}`"
        yield from _numbers(name, claim, rows)
        yield from (f"{name}, {said}" for said in _of_claim(claim))
        yield from (f"{name}, {said}" for said in _declared(claim, file))
        families.setdefault(split_name(claim["name"])[0], []).append(claim)
    for name, family in families.items():
        yield from (f"claim `{name}`, {said}" for said in _of_family(family))
    yield from _sizes(file)
    yield from _warnings(file)
    yield from _exit_code(file)
    lock = file.get("lock")
    if lock is not None and lock["drifted"] != bool(lock["drift"]):
        yield f"`lock`: drifted is {_word(lock['drifted'])} beside {len(lock['drift'])} drifts"


def _rows(file: Object) -> int | None:
    """All prompts of all tasks; None where the file does not say."""
    return sum(task["prompts"] for task in file["tasks"]) if "tasks" in file else None


# ------------------------------------------------------------------------------- one number


def _moved(one: Object) -> str | None:
    """What `at` says of a member whose name says otherwise: a picture would show it elsewhere."""
    at, place = one.get("at"), spelled(split_name(one["name"])[1])
    if at is None or place is None:
        return None
    found, named = ({key: of[key] for key in NAMED} for of in (at, fields_of(place, AT)))
    if place.position is None:  # a variable of its own may say it
        named["position"] = found["position"]
    wrong = [key for key in NAMED if found[key] != named[key]]
    return f"{wrong[0]} {found[wrong[0]]}" if wrong else None


NAMED = ("kind", "layer", "head", "neuron", "position", "to")


def _numbers(name: str, one: Object, rows: int | None) -> Iterator[str]:
    """The order of ends and quartiles, and counts that others contain, of a claim or quantity."""
    measured = [(name, one), *((f"{name}, member `{m['name']}`", m) for m in one["members"])]
    measured += [(f"{name}, part `{part['value']}`", part) for part in one.get("parts", ())]
    if one.get("other_norm") is not None:
        measured.append((f"{name}, `other_norm`", one["other_norm"]))
    if (moved := _moved(one)) is not None:
        yield f"{name}, `at`: {moved} is not what its name says"
    for of, found in measured:
        ends = found["interval"]
        if ends is not None and ends[0] > ends[1]:
            yield f"{of}, `interval`: its lower end {ends[0]:g} is above its upper end {ends[1]:g}"
    if one.get("unchanged", 0) > one["n"]:
        yield f"{name}, `unchanged`: {one['unchanged']} prompts of {one['n']}"
    if rows is not None and one["n"] > rows:
        yield f"{name}, `n`: {one['n']} prompts, but the tasks have {rows} in all"
    spreads = [(name, one.get("prompts"))]
    spreads += [(f"{name}, term `{t['text']}`", t.get("prompts")) for t in one.get("terms", ())]
    for of, spread in spreads:
        if spread is None:
            continue
        ordered = [spread["least"], *spread["quartiles"], spread["most"]]
        if any(a > b + _slack(b) for a, b in pairwise(ordered)):
            yield f"{of}, `prompts`: least, quartiles and most are not in order"
        counts = (spread["negative"], spread["satisfied"] or 0)
        if max(counts) > spread["n"]:
            yield f"{of}, `prompts`: {max(counts)} prompts of {spread['n']}"
        if rows is not None and spread["n"] > rows:
            yield f"{of}, `prompts`: {spread['n']} prompts, but the tasks have {rows} in all"


# ------------------------------------------------------------------------------- one claim


def _of_claim(claim: Object) -> Iterator[str]:
    verdict = Verdict(claim["verdict"])
    if claim["as_expected"] != (verdict.value == claim["expected"]):
        yield (
            f"`as_expected`: {_word(claim['as_expected'])}, but it is {verdict.value} and "
            f"{claim['expected']} was expected"
        )
    undefined = verdict is Verdict.UNDEFINED
    if undefined != (claim["estimate"] is None):
        has = "an estimate" if undefined else "no estimate"
        yield f"`verdict`: {verdict.value} with {has}"
    elif not undefined:
        yield from _verdict(claim, verdict)
        yield from _terms(claim)
    asked, level = claim["confidence"], claim["level"]
    if asked is None and (level is not None or claim["interval"] is not None):
        field = "level" if level is not None else "interval"
        yield f"`{field}`: there is one, but no confidence was asked"
    if asked is not None and level is None:
        yield "`level`: there is none, but a confidence was asked"
    elif asked is not None and claim["p_value"] is None and not _is_close(level, asked):
        yield f"`level`: {level:g} for a confidence of {asked:g} without a correction"
    elif asked is not None and level < asked - _CLOSE:
        yield f"`level`: {level:g} is below the confidence of {asked:g}"
    p_value = claim["p_value"]
    if p_value is not None and not 0 <= p_value <= 1:
        yield f"`p_value`: {p_value:g} is no probability"
    other = claim["other_norm"]
    if other is not None and other["interval"] is not None and claim["threshold"] is not None:
        told, ends = Verdict(other["verdict"]), other["interval"]
        if told in (Verdict.SUPPORTED, Verdict.REFUTED) and told not in _found(claim, ends):
            yield f"`other_norm`: {told.value}, but its interval says otherwise"
    for part in claim["parts"]:
        estimate, satisfied = part["estimate"], part["satisfied"]
        if estimate is None or satisfied is None or claim["threshold"] is None:
            continue
        if satisfied not in {v is Verdict.SUPPORTED for v in _found(claim, (estimate,) * 2)}:
            yield f"`parts`: `{part['value']}` at {estimate:g} is told to be on the other side"


def _verdict(claim: Object, verdict: Verdict) -> Iterator[str]:
    """The verdict beside interval, or estimate, and threshold."""
    ends, estimate, notes = claim["interval"], claim["estimate"], claim["notes"]
    if claim["threshold"] is None:
        yield "`threshold`: there is none, but a verdict"
        return
    if RELATIONS[claim["relation"]].asks == "around" and claim["within"] is None:
        yield "`within`: there is none, but the relation asks for it"
        return
    if any(note.endswith(CORRECTED) for note in notes):
        if verdict is Verdict.SUPPORTED and Verdict.SUPPORTED not in _point(claim):
            yield f"`verdict`: supported, but before correction p = {estimate:g}"
        return
    if claim["confidence"] is not None and ends is None:
        # One end may be known, and decide; what is said of both is that there is no interval.
        if not any(is_no_interval(note) or note == NOT_RESAMPLED for note in notes):
            yield "`interval`: there is none, and no note says why"
        elif verdict is not Verdict.INCONCLUSIVE and verdict not in _point(claim):
            yield f"`verdict`: {verdict.value}, but the estimate {estimate:g} is not on that side"
        return
    found = _found(claim, ends) if ends is not None else _point(claim)
    doubted = any(DOUBT in note or note == HELD_BACK for note in notes)
    if verdict not in found and not (verdict is Verdict.INCONCLUSIVE and doubted):
        what = f"the estimate {estimate:g}"
        if ends is not None:
            what = f"the interval [{ends[0]:g}, {ends[1]:g}]"
        words = " or ".join(sorted(one.value for one in found))
        yield f"`verdict`: {verdict.value}, but {what}, wanted {_wanted(claim)}, gives {words}"


def _found(claim: Object, ends: Sequence[float]) -> set[Verdict]:
    """The verdicts that an interval may give: one, but where an end is all but a bound."""
    interval = Interval(low=ends[0], high=ends[1], method="read")
    slack = _slack(claim["threshold"])
    rules = [
        Rule(
            relation=claim["relation"], threshold=claim["threshold"], within=claim["within"] or 0.0,
            tolerance=tolerance, exact=True,
        )
        for tolerance in (0.0, slack)
    ]  # fmt: skip
    found = {decide(rule, interval) for rule in rules}
    near = any(abs(end - bound) <= slack for end in ends for bound in rules[0].bounds)
    return {*found, *(Verdict if near else ())}


def _point(claim: Object) -> set[Verdict]:
    return _found(claim, (claim["estimate"],) * 2)


def _wanted(claim: Object) -> str:
    return wanted_text(claim["relation"], claim["threshold"], claim["within"])


# ------------------------------------------------------------------------------- terms


def _terms(claim: Object) -> Iterator[str]:
    """The estimate beside what its terms make."""
    formula, values = claim.get("from_terms"), [term["value"] for term in claim["terms"]]
    if formula is None or any(value is None for value in values):
        return
    try:
        made = _made(formula, values, [LONGEST_FORMULA])
    except (IndexError, KeyError, TypeError, ValueError):
        yield "`from_terms`: it is no formula of the terms"
        return
    if not isfinite(made) or abs(made - claim["estimate"]) > _slack(claim["estimate"]):
        yield f"`estimate`: {claim['estimate']:g}, but its terms give {made:g}"


def _made(formula: FromTerms, values: Sequence[float], left: list[int]) -> float:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError("longer than any that is written")
    match formula:
        case bool():
            raise TypeError("no number of a term")
        case int() if formula >= 0:
            return values[formula]
        case ["number", int() | float() as value]:
            return float(value)
        case [str() as op, *args] if args:
            made = [np.float64(_made(arg, values, left)) for arg in args]
            return float(apply(op, [np.asarray(one) for one in made]))
    raise TypeError("no formula")


# ------------------------------------------------------------------------------- declarations


def _declared(claim: Object, file: Object) -> Iterator[str]:
    """What the claim says in the file's own words beside what the result says that it asks."""
    written, _ = written_claim(claim["name"], file)
    if written is None:
        return
    if written.expect != claim["expected"]:
        yield f"`expected`: {claim['expected']}, but the claim as written expects {written.expect}"
    asked = written.confidence.value if written.confidence is not None else None
    if not _is_close(asked, claim["confidence"]):
        yield f"`confidence`: {claim['confidence']}, but the claim as written asks {asked}"
    relation, bound = written.relation, constant(written.right)
    relations = {relation, RELATIONS[relation].turned}  # a quantity on the left may be a number
    if bound is not None:
        relations = {relation}
    elif (bound := constant(written.left)) is not None:
        relations = {RELATIONS[relation].turned}
    if claim["relation"] not in relations:
        yield f"`relation`: {claim['relation']}, but the claim as written asks {relation}"
    if bound is not None and not _is_close(claim["threshold"], bound):
        yield f"`threshold`: {claim['threshold']}, but the claim as written asks {bound:g}"
    within = constant(written.within)
    if within is not None and not _is_close(claim["within"], within):
        yield f"`within`: {claim['within']}, but the claim as written asks {within:g}"


# ------------------------------------------------------------------------------- families


def _of_family(family: Sequence[Object]) -> Iterator[str]:
    """Levels and verdicts of members that were corrected together, beside their p-values.

    One member alone was asked for alone, so that the family is not known.
    """
    corrected = [claim for claim in family if claim["p_value"] is not None]
    if len(family) < 2 or not corrected or family[0]["confidence"] is None:
        return
    check = _of_p_values if all(_is_p(claim) for claim in corrected) else _of_levels
    said = []
    for name, correction in CORRECTIONS.items():
        wrong = check(family, correction)
        if not wrong:
            return
        said.append(f"`{wrong}` under {name}")
    yield f"`level` or `verdict`: not what the p-values of its members give, {', '.join(said)}"


def _of_levels(family: Sequence[Object], correction: Correction) -> str:
    """The first member whose level or verdict is not that of a correction; "" for none."""
    judges = [lambda level, verdict=_alone(claim): verdict for claim in family]
    p_values = [1.0 if claim["p_value"] is None else claim["p_value"] for claim in family]
    made = correction.family(p_values, judges, 1 - family[0]["confidence"])
    for claim, one in zip(family, made, strict=True):
        same = claim["verdict"] == one.verdict.value or any(DOUBT in n for n in claim["notes"])
        if not same or not _is_close(claim["level"], one.level):
            return str(claim["name"])
    return ""


def _of_p_values(family: Sequence[Object], correction: Correction) -> str:
    """The same of claims that p-values are small: these are compared after correction."""
    p_values = [1.0 if claim["p_value"] is None else claim["p_value"] for claim in family]
    for claim, p_value in zip(family, correction.adjusted(p_values), strict=True):
        compared = any(note.endswith(CORRECTED) for note in claim["notes"])
        if compared and Verdict(claim["verdict"]) not in _found(claim, (p_value, p_value)):
            return str(claim["name"])
    return ""


def _alone(claim: Object) -> Verdict:
    """What a member's own interval says; its verdict where no correction can have changed it."""
    verdict, ends = Verdict(claim["verdict"]), claim["interval"]
    if verdict is not Verdict.INCONCLUSIVE or ends is None or HELD_BACK not in claim["notes"]:
        return verdict
    found = _found(claim, ends)
    return next(iter(found)) if len(found) == 1 else verdict


def _is_p(claim: Object) -> bool:
    """Whether the claim is about a p-value itself, which is then compared after correction."""
    return bool(claim["p_value"] == claim["estimate"])


# ------------------------------------------------------------------------------- what was judged


def _sizes(file: Object) -> Iterator[str]:
    """Sizes of path sets and counts of prompts, of which one holds the other."""
    for one in file.get("path_sets", ()):
        name, sizes = f"path set `{one['name']}`", [one[key] for key in SIZES]
        if any(size is None for size in sizes):
            if any(size is not None for size in sizes):
                yield f"{name}: some of {', '.join(SIZES)} are known and some are not"
            continue
        for part, whole in (("nodes", "of_nodes"), ("edges", "of_edges")):
            if one[part] > one[whole]:
                yield f"{name}, `{part}`: {one[part]:,} of {one[whole]:,}"
    for task in file.get("tasks", ()):
        name, prompts = f"task `{task['name']}`", task["prompts"]
        for key in ("distinct", "near_copies"):
            if (task.get(key) or 0) > prompts:
                yield f"{name}, `{key}`: {task[key]:,} of {prompts:,} prompts"
        if (rows := task.get("rows")) is not None and prompts > rows:
            yield f"{name}, `prompts`: {prompts:,} of {rows:,} rows"


def _warnings(file: Object) -> Iterator[str]:
    """Warnings that a check gives by numbers that stand in the result, and that are not there."""
    given = {fault["code"] for fault in file["diagnostics"]}
    for claim in file["claims"]:
        name, asked, none = f"claim `{claim['name']}`", claim["confidence"], "no warning is there"
        found = claim.get("instead")
        if found is None:
            continue  # of an earlier version, which had neither
        if "PD524" not in given and asked is not None and 0 < asked < LOW_CONFIDENCE:
            yield f"{name}, `confidence`: it is {asked:g}, and {none} (PD524)"
        if "PD525" in given or not found or claim["verdict"] != Verdict.SUPPORTED:
            continue
        # Two numbers that agree with no path and with all paths are no fault by themselves.
        if claim["within"] is None and all(one["satisfied"] for one in found):
            yield f"{name}, `instead`: any path set satisfies it, and {none} (PD525)"


# ------------------------------------------------------------------------------- exit codes


def _exit_code(file: Object) -> Iterator[str]:
    """The exit code beside the claims; an inconclusive one may be excused."""
    code, claims = file["exit_code"], file["claims"]
    errors = [
        fault["code"]
        for fault in file["diagnostics"]
        if fault["severity"] == "error" and not fault["code"].startswith(_LOCK)
    ]
    drifted = (file.get("lock") or {}).get("drifted", False)
    if errors and code not in (ExitCode.WRONG_INPUT, ExitCode.MACHINE_FAILED):
        yield f"`exit_code`: {code} beside the error {errors[0]}"
    if not claims:
        if code == ExitCode.AS_EXPECTED and not file["quantities"]:
            yield "`exit_code`: 0 with nothing that was asked"
        return
    wrong = [claim for claim in claims if not claim["as_expected"]]
    allowed = {ExitCode.NOT_AS_EXPECTED if wrong or drifted else ExitCode.AS_EXPECTED}
    if wrong and not drifted and all(c["verdict"] == Verdict.INCONCLUSIVE for c in wrong):
        allowed.add(ExitCode.AS_EXPECTED)
    if code not in allowed:
        why = f"claim `{wrong[0]['name']}` is not as expected" if wrong else "all claims are as"
        why += "" if wrong else " expected" + (", and its lock drifted" if drifted else "")
        yield f"`exit_code`: {code}, but {why}"


def _slack(value: float) -> float:
    return _CLOSE * max(1.0, abs(value))


def _is_close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _word(value: bool) -> str:
    return "true" if value else "false"
