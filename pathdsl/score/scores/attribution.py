"""`attribution(UNIT, by: METHOD)`: what patching one node or edge would do, measured or estimated.

The score of a unit is, prompt by prompt, m(treat(unit)) - m(reference), the reference run in which
the unit alone carries its treated value. `by: exact` runs it; the other methods estimate it by
slopes, all units of one method in one go (`pathdsl.engine.attribution`).

Source: docs/scores.md, attribution(UNIT, by: METHOD).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pathdsl.lang import ast
from pathdsl.lang.serving import fields_of
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS, AttributionRecord
from pathdsl.plan.readout import ESTIMATE, Measure
from pathdsl.plan.runs import RunSpec, Subject
from pathdsl.plan.treated import treated_spec
from pathdsl.score.attribution import Attribution
from pathdsl.score.faults import fault
from pathdsl.score.quantity import RowExpr, RowMetric, RowOp, RowScored, Scalar
from pathdsl.score.scores.faithfulness import rms
from pathdsl.score.scores.setting import Setting

__all__ = ["attribution"]


def attribution(setting: Setting) -> Scalar:
    """The mean over prompts of the score of a unit, or the root of its mean square."""
    options = setting.options
    record = ATTRIBUTIONS[options.word("by")]
    slot = options["slot"] or ""
    unit = setting.resolver.attributed(
        setting.subject, str(slot), setting.bindings, exact=record.exact
    )
    title = f"{setting.title}, slot: {slot}" if slot else setting.title
    label = f"attribution({title}, by: {record.name})"
    rows: RowExpr
    if record.exact:
        run = setting.treated_alone()
        if not unit.sender:
            paths = setting.resolver.patched(setting.subject, unit, setting.bindings)
            about = Subject(paths=paths, text=title, treated=lambda other: other, drawn=False)
            run = replace(setting.treat(paths, f"treat({title})"), subject=about)
        rows = RowOp(op="-", args=(setting.rows(run), setting.rows(setting.reference())))
    else:
        kind = "neurons" if unit.neuron else "edges" if unit.sender and unit.receiver else "nodes"
        run, measure = _asked(setting, record, kind, unit.at is not None)
        rows = RowScored(
            run=run,
            measure=measure,
            sender=unit.sender,
            receiver=unit.receiver,
            slot=unit.slot,
            at=unit.at,
        )
    made: dict[str, Callable[[], Scalar]] = {
        "mean": lambda: setting.average(rows, f"mean({label})"),
        "rms": lambda: rms(setting, rows, label),
    }
    return made[setting.form]()


def _asked(
    setting: Setting, record: AttributionRecord, of: str, by_position: bool
) -> tuple[RunSpec, Measure]:
    """What all units of one attribution read: one request, whoever asks for it."""
    context, task, options = setting.context, setting.task, setting.options
    metric = setting.metric
    assert metric is not None
    if isinstance(setting.treated, ast.PlainRun):
        raise fault(
            "PD408",
            f"`by: {record.name}` estimates what treated values do, and not what interventions do",
            setting.treated,
            help="`by: exact` measures it",
        )
    value = setting.treated
    if value is None:
        value = fields_of(context.program, context.program.tasks[task])["treated"].value
    treated = treated_spec(value)
    steps = options["steps"] or record.steps
    rule = options["rule"] or (record.rules[0] if record.rules else "")
    label = f"attribution of {of} by {record.name}"
    run = replace(setting.reference(), kind="treated", treated=treated, label=label)
    asked = Attribution(
        method=record.name,
        steps=int(steps),  # type: ignore[call-overload]
        rule=str(rule),
        metric=RowMetric(metric=metric, run=setting.reference()),
        treated=treated,
        task=task,
        of=of,  # type: ignore[arg-type]
        by_position=by_position,
    )
    text = "; ".join(
        [
            record.name,
            *([f"{steps} steps, {rule}"] if record.steps else []),
            of + (" by position" if by_position else ""),
            metric.canonical,
        ]
    )
    return run, Measure(kind=ESTIMATE.name, text=text, asked=asked)
