"""The outcome of `check` for people: what was measured, what was claimed, what came of it.

A pure function of the outcome. Verdicts come first in every claim, numbers carry as many digits as
their interval is worth, and what a reader needs only when something went wrong (the prompts that
speak most against a claim) is shown only then; `--all` shows everything.

Source: language.md sections 6 and 9; reference/dsl_anchors.md section 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pathdsl.checking.outcome import FileOutcome
from pathdsl.errors import ExitCode
from pathdsl.lang.render import render
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.lang.visible import visible
from pathdsl.report.annotate.findings import noise_of
from pathdsl.report.method import shared_method
from pathdsl.report.numbers import many, plain
from pathdsl.report.text.claims import claim_block, claim_line
from pathdsl.report.text.quantities import quantities_block
from pathdsl.report.text.style import View, paragraph, table
from pathdsl.score.results import ClaimResult, Judgement

if TYPE_CHECKING:
    from pathdsl.engine.recall import Tally
    from pathdsl.engine.self_check import Proof

__all__ = ["closing", "report", "summary_line", "view_of"]

NORM_WORDS = {"recompute": "recomputed", "frozen": "frozen"}
SHORT = 44
SAID_ABOVE = ("model", "replaced", "not the published scope")


def report(
    outcome: FileOutcome,
    sources: Mapping[str, SourceFile],
    view: View,
    replaced: Mapping[str, str] | None = None,
) -> str:
    """The report of one file; ends in a line break.

    `replaced` is what the command line set in place of what the file says.
    """
    view = view_of(outcome, view)
    parts = [_header(outcome, view, replaced or {})]
    if outcome.diagnostics:
        style = "concise" if view.concise else "full"
        parts.append(
            render(outcome.diagnostics, sources, style=style, colour=view.colour).rstrip()  # type: ignore[arg-type]
        )
    judgement = outcome.judgement
    if judgement is not None:
        if judgement.quantities and not view.quiet:
            parts.append(quantities_block(judgement.quantities, view))
        if judgement.claims:
            if view.quiet:
                blocks = [claim_line(c, view) for c in judgement.claims]
                parts.append("\n".join(blocks))
            else:
                blocks = [claim_block(c, outcome.tasks, view) for c in judgement.claims]
                parts.append(view.heading("Claims") + "\n" + "\n\n".join(blocks))
        if judgement.other_norms:
            parts.append(paragraph(_norms(judgement), view, "  " * (not view.quiet), "  "))
        if not view.quiet:
            parts += [part for part in (_checks(outcome, view), _method(outcome, view)) if part]
    parts.append(summary_line(outcome, view))
    return visible("\n\n".join(parts) + "\n")


def closing(codes: Sequence[ExitCode], view: View) -> str:
    """The last line where there were several files."""
    if len(codes) < 2:
        return ""
    words = {
        ExitCode.AS_EXPECTED: "as expected",
        ExitCode.NOT_AS_EXPECTED: "not as expected",
        ExitCode.WRONG_INPUT: "with faults",
        ExitCode.MACHINE_FAILED: "failed",
        ExitCode.NOTHING_TO_CHECK: "without claims",
    }
    counts = Counter(codes)
    told = [f"{counts[code]} {word}" for code, word in words.items() if counts[code]]
    return view.heading(f"\n{many(len(codes), 'file')}: {', '.join(told)}") + "\n"


def _header(outcome: FileOutcome, view: View, replaced: Mapping[str, str]) -> str:
    program = outcome.program
    lines = [view.heading(outcome.path)]
    if program is not None and program.circuit is not None:
        title = program.circuit.title
        lines.append(f"  {program.circuit.name.name}" + (f": {title}" if title else ""))
    elif program is not None and program.is_library and program.file.statements:
        lines.append("  a library, only linted: no circuit, model or claim of its own")
    if outcome.judgement is not None:
        read = outcome.tasks_read
        scope = [
            f"task {name}, {many(t.n_rows, 'prompt')}"
            for name, t in outcome.tasks.items()
            if name in read
        ]
        model = outcome.methodology.get("model", "")
        lines.append("  " + " · ".join([*([f"model {model}"] if model else []), *scope]))
    if replaced and outcome.judgement is not None:
        told = ", ".join(f"{name} = {value}" for name, value in replaced.items())
        text = f"not the published scope: {told} set on the command line"
        lines.append(view.paint(paragraph(text, view, "  ", "  "), "yellow"))
    return "\n".join(lines)


def _norms(judgement: Judgement) -> str:
    """What the second norm mode changed, in one line."""
    modes = judgement.other_norms
    words = set(modes.values())
    if len(words) == 1:
        second = f"with {NORM_WORDS[words.pop()]} norms"
        tasks = {task for claim in judgement.claims for task in claim.tasks}
        if tasks - set(modes):
            second += " in " + ", ".join(f"task {task}" for task in modes)
    else:
        told = ", ".join(f"{NORM_WORDS[mode]} in task {task}" for task, mode in modes.items())
        second = f"with norms {told}"
    changed = [claim.name for claim in judgement.claims if claim.changes_with_norm]
    if not changed:
        return f"norms: both modes give the same verdicts (judged again {second})"
    return f"norms: another verdict {second}: {', '.join(changed)}"


def _checks(outcome: FileOutcome, view: View) -> str:
    """Self-checks, one line per kind with the largest error over tasks and plans."""
    if not outcome.proofs:
        return ""
    rows: list[list[str]] = []
    worst: dict[str, tuple[Proof, int]] = {}
    for _, proof in outcome.proofs:
        seen = worst.get(proof.name)
        count = seen[1] + 1 if seen else 1
        largest = proof if seen is None or not proof.error <= seen[0].error else seen[0]
        worst[proof.name] = (largest, count)
    for name, (proof, count) in worst.items():
        mark = "" if count == 1 else f"largest of {count}"
        rows.append([f"  {name}", f"{proof.error:.1e}", f"allowed {proof.tolerance:.0e}", mark])
    return "\n".join([view.heading("Self-checks"), *table(rows, right=(1,))])


def _method(outcome: FileOutcome, view: View) -> str:
    lines = []
    if outcome.methodology:
        lines.append(view.heading("Method"))
        said = {n: t for n, t in _said(outcome).items() if n not in SAID_ABOVE}
        short = [f"{n}: {t}" for n, t in said.items() if len(n + t) <= SHORT]
        lines.append(paragraph(" · ".join(t.replace(" ", "\0") for t in short), view, "  ", "  "))
        lines[-1] = lines[-1].replace("\0", " ")
        lines += [
            paragraph(f"{name}: {text}", view, "  ", "  ")
            for name, text in said.items()
            if len(name + text) > SHORT
        ]
    if outcome.costs:
        plans = (*outcome.plans, *outcome.other_plans)
        runs = sum(len(plan.outputs) for plan in plans)
        copies = sum(sum(cost.copies_by_layer) for cost in outcome.costs)
        text = f"{many(runs, 'run')}, {many(copies, 'component copy', 'component copies')}"
        lines.append(f"  cost: {text}, {_forwards(outcome)}, {outcome.seconds:.1f} s")
    elif outcome.tally is not None:
        checks = f", {_forwards(outcome)}" if outcome.self_checks else ""
        lines.append(f"  cost: no run{checks}, {outcome.seconds:.1f} s")
    if outcome.tally is not None and outcome.tally.stored:
        lines.append(paragraph(f"store: {_stored(outcome.tally)}", view, "  ", "  "))
    if view.noise:
        lines.append(f"  ≈0: below {view.noise:.0e}, less than the rounding of this dtype")
    return "\n".join(lines)


def _forwards(outcome: FileOutcome) -> str:
    """The arithmetic of runs and self-checks."""
    total = sum(cost.forwards for cost in outcome.costs) + outcome.self_checks
    times = plain(total, 1 if total < 100 else 0)
    checks = plain(outcome.self_checks, 1)
    of_them = f" ({checks} of them self-checks)" if outcome.self_checks >= 0.05 else ""
    return f"about {times} plain forward passes{of_them}"


def _said(outcome: FileOutcome) -> dict[str, str]:
    read = outcome.tasks_read
    return shared_method(outcome.methodology, {name: name in read for name in outcome.tasks})


def _stored(tally: Tally) -> str:
    """How many values were not computed now, and how many of those were computed beside others."""
    total = tally.stored + tally.computed
    text = f"{tally.stored:,} of {many(total, 'value')} from the result store"
    if tally.beside_others:
        text += (
            f", {tally.beside_others:,} of them computed beside other runs, so that the last "
            "digits may differ from computing all at once (`--no-cache`)"
        )
    return text


def view_of(outcome: FileOutcome, view: View) -> View:
    """The view with the rounding of the outcome's dtype as its noise, where something ran."""
    return replace(view, noise=noise_of(outcome)) if outcome.session is not None else view


def summary_line(outcome: FileOutcome, view: View) -> str:
    """The last line of one file: its verdicts, or why there are none."""
    match outcome.exit_code:
        case ExitCode.WRONG_INPUT:
            return view.paint("the file was not checked: its faults are above", "bold", "red")
        case ExitCode.MACHINE_FAILED:
            return view.paint("the check could not be finished", "bold", "red")
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    if not claims:
        return view.heading("no claims")
    return verdicts(claims, view)


def verdicts(claims: Sequence[ClaimResult], view: View) -> str:
    """`4 claims: 3 supported, 1 refuted as expected`."""
    counts = Counter((c.verdict.value, c.as_expected) for c in claims)
    told = []
    for verdict in ("supported", "refuted", "inconclusive", "undefined"):
        for good in (True, False):
            count = counts[verdict, good]
            if not count:
                continue
            usual = good and verdict == "supported"
            remark = "" if usual else " as expected" if good else " NOT as expected"
            colour = "green" if good else "yellow" if verdict == "inconclusive" else "red"
            told.append(view.paint(f"{count} {verdict}{remark}", colour))
    return view.heading(f"{many(len(claims), 'claim')}: ") + ", ".join(told)
