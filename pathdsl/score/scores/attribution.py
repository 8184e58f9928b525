"""`attribution(UNIT, by: METHOD)`: what patching one node, mark or edge would do, or an estimate.

The score of a unit is, prompt by prompt, m(treat(unit)) - m(reference), the reference run in which
the unit alone carries its treated value. `by: exact` runs it; the other methods estimate it by
slopes, all units of one method in one go (`pathdsl.engine.attribution`). A method that compares no
runs gives shares of what is read, of the reference run.

Source: docs/scores.md, attribution(UNIT, by: METHOD).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pathdsl.graph.resolve.attributed import Attributed
from pathdsl.lang import ast
from pathdsl.lang.serving import fields_of
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS, AttributionRecord
from pathdsl.plan.readout import ESTIMATE, Measure
from pathdsl.plan.runs import RunSpec, Subject
from pathdsl.plan.treated import TreatedSpec, treated_spec
from pathdsl.score.attribution import Attribution
from pathdsl.score.faults import fault
from pathdsl.score.quantity import RowExpr, RowMetric, RowNumber, RowOp, RowScored, Scalar
from pathdsl.score.scores.faithfulness import rms
from pathdsl.score.scores.setting import Setting

__all__ = ["attribution"]


def attribution(setting: Setting) -> Scalar:
    """The mean over prompts of the score of a unit, or the root of its mean square."""
    options = setting.options
    record = ATTRIBUTIONS[options.word("by")]
    slot = options["slot"] or ""
    unit = setting.resolver.attributed(setting.subject, str(slot), setting.bindings, record)
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
        run, measure = _asked(setting, record, unit)
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
    setting: Setting, record: AttributionRecord, unit: Attributed
) -> tuple[RunSpec, Measure]:
    """What all units of one attribution read: one request, whoever asks for it."""
    task, options, of = setting.task, setting.options, unit.of
    by_position = unit.at is not None
    label = f"attribution of {of} by {record.name}"
    steps = options["steps"] or record.steps
    rule = options["rule"] or (record.rules[0] if record.rules else "")
    run, metric, treated = _compared(setting, record)
    asked = Attribution(
        method=record.name,
        steps=int(steps),  # type: ignore[call-overload]
        rule=str(rule),
        metric=metric,
        treated=treated,
        task=task,
        of=of,
        by_position=by_position,
        reader=unit.reader,
    )
    text = "; ".join(
        [
            record.name,
            *([f"{steps} steps, {rule}"] if record.steps else []),
            of + (" by position" if by_position else ""),
            *([f"read at {unit.reader}"] if unit.reader is not None else []),
            *([metric.metric.canonical] if isinstance(metric, RowMetric) else []),
        ]
    )
    return replace(run, label=label), Measure(kind=ESTIMATE.name, text=text, asked=asked)


def _compared(setting: Setting, record: AttributionRecord) -> tuple[RunSpec, RowExpr, TreatedSpec]:
    """The run with the treated value, the metric and that value; of a method that compares none
    the reference run, no metric, and the reference prompts themselves."""
    context, reference = setting.context, setting.reference()
    fields = fields_of(context.program, context.program.tasks[setting.task])
    if not record.effect:
        column = fields["reference"].value
        assert isinstance(column, ast.Name)
        return reference, RowNumber(value=0.0), TreatedSpec(kind="paired", column=column.name)
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
    treated = treated_spec(fields["treated"].value if value is None else value)
    run = replace(reference, kind="treated", treated=treated)
    return run, RowMetric(metric=metric, run=reference), treated
