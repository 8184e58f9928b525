"""The selftest as a small table: one line per model and treated value."""

from __future__ import annotations

from collections.abc import Sequence

from pathdsl.checking.selftest import Trial
from pathdsl.report.numbers import many, plain
from pathdsl.report.text.style import View, table

__all__ = ["selftest_report"]


def selftest_report(trials: Sequence[Trial], view: View) -> str:
    """What is known by construction beside what the checker found."""
    rows = [
        ["model", "treated", "recovered", "KL", "true edges", "least", "false edges", "most",
         "wrong circuit", ""]
    ]  # fmt: skip
    for trial in trials:
        rows.append(
            [
                trial.model,
                trial.treated,
                plain(trial.recovered, 6),
                f"{trial.kl:.0e}",
                str(trial.true_edges),
                plain(trial.smallest_true, 2),
                str(trial.false_edges),
                f"{trial.largest_false:.0e}",
                "" if trial.other is None else plain(trial.other, 2),
                "holds" if trial.holds else "FAILS",
            ]
        )
    body = table(rows, right=(2, 3, 4, 5, 6, 7, 8))
    lines = [view.heading(body[0])]
    for line, trial in zip(body[1:], trials, strict=True):
        lines.append(view.paint(line, *(() if trial.holds else ("bold", "red"))))
    failed = sum(not trial.holds for trial in trials)
    edges = sum(trial.true_edges + trial.false_edges for trial in trials)
    lines += [
        "",
        "recovered, KL: of the circuit that is true by construction, 1 and 0. least, most: the "
        "effect of single\nedges on the metric, of any true one and of no false one. wrong "
        "circuit: what the circuit of\nthe paired value recovers where that is not the true one.",
        "",
    ]
    text = f"{many(len(trials), 'trial')} over {edges} edges: "
    lines.append(view.heading(text + (f"{failed} FAILED" if failed else "all hold")))
    return "\n".join(lines) + "\n"
