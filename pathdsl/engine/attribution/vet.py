"""What cannot be attributed, and why; all of it is known before anything runs. No torch here."""

from __future__ import annotations

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS, AttributionRecord
from pathdsl.score.attribution import Attribution
from pathdsl.score.quantity import RowExpr, RowMetric, RowOp

__all__ = ["vet", "vet_answers"]

_MEASURES = "attribute a metric of `logit`, `logprob` or `prob`, or `by: exact`"


def vet(asked: Attribution, shape: ModelShape, routed: bool) -> None:
    """Raise PlanError PD435 where a method has no score for what is asked.

    `routed`: whether the task's mixtures have a frozen routing.
    """
    record = ATTRIBUTIONS[asked.method]
    kind = "nodes" if asked.of == "neurons" else asked.of
    if not getattr(record, kind):
        others = [name for name, one in ATTRIBUTIONS.items() if getattr(one, kind)]
        raise _refused(
            f"`by: {record.name}` scores no {asked.of}", advice=f"by: {', '.join(others)}"
        )
    if asked.of == "neurons" and shape.no_neurons:
        raise _refused(
            f"neurons of this model (`{shape.family}`) write nothing of their own",
            shape.no_neurons,
            "attribute nodes",
        )  # fmt: skip
    if asked.of == "neurons" and shape.mixture is not None:
        raise _refused(
            f"neurons of this model (`{shape.family}`) are not scored all",
            "those of a mixture of experts are no nodes",
            "attribute nodes",
        )
    if record.through and shape.mixture is not None:
        raise _refused(
            f"`by: {record.name}` has a rule for activations, and none for a router that weights "
            "experts",
            advice="by: eap, or by: exact",
        )
    if shape.recurrence is not None and not record.exact:
        raise _refused(
            f"`by: {record.name}` has no scores on this model (`{shape.family}`)",
            "layers of it are recurrences over tokens, which are no attention",
            "by: exact; to discover a circuit, `--method acdc`",
        )
    if shape.gated_heads and not record.exact:
        raise _refused(
            f"`by: {record.name}` has no scores on this model (`{shape.family}`)",
            "a gate stands behind what its heads mix, which slopes and shares leave out",
            "by: exact",
        )
    if shape.keys_from and not record.exact:
        raise _refused(
            f"`by: {record.name}` has no scores on this model (`{shape.family}`)",
            "heads of its last layers read the keys and values of earlier ones, which gradients "
            "here do not go back to",
            "by: exact; to discover a circuit, `--method acdc`",
        )
    if shape.per_layer_input and not record.exact:
        raise _refused(
            f"`by: {record.name}` has no scores on this model (`{shape.family}`)",
            "`input` gives its MLPs a second embedding beside the stream, which slopes leave out",
            "by: exact; to discover a circuit, `--method acdc`",
        )
    if routed and not record.exact:
        raise _refused(
            f"`by: {record.name}` follows slopes, and these are of routings that are recomputed",
            "the task has `routing = frozen`",
            "by: exact",
        )
    if shape.normed_stream and not record.exact:
        raise _refused(
            f"`by: {record.name}` has no scores on this model (`{shape.family}`)",
            "its norms are of the stream itself, which is no sum of what components write",
            "by: exact; to discover a circuit, `--method acdc`",
        )
    if record.softmax and shape.bent_pattern:
        raise _refused(
            f"`by: {record.name}` takes treated queries and keys through a softmax",
            "the pattern of this model is one with a constant added (`attn_coeff`)",
            "by: exact, or atp",
        )
    if shape.n_layers < record.least_layers:
        raise _refused(
            f"`by: {record.name}` leaves out one other layer after another, and the model has one",
            advice="by: atp_qk",
        )
    if record.steps and (asked.steps < 1 or asked.rule not in record.rules):
        raise _refused(
            f"`by: {record.name}` has an integral of {asked.steps} points by the rule "
            f"`{asked.rule}`",
            advice=f"steps: {record.steps}, rule: {record.rules[0]}",
        )
    if record.treated_runs and asked.treated.how.constant:
        raise _refused(
            f"`by: {record.name}` takes gradients on treated inputs, and there is no input that "
            f"gives every component the value of `{asked.treated}`",
            "a mean or zero is given component by component",
            "by: eap, eap_ig_activations, or a treated prompt",
        )
    if asked.reader is not None and not record.readers:
        raise _refused(
            f"`by: {record.name}` does not tell which token reads a key or value",
            advice="by: peap, or by: exact",
        )
    if record.effect:
        _vet_metric(asked.metric, asked, record)


def _vet_metric(expr: RowExpr, asked: Attribution, record: AttributionRecord) -> None:
    match expr:
        case RowMetric(metric=metric, run=run):
            if run.treats or run.blocks or run.task != asked.task:
                raise _refused(
                    f"`{metric.name}` is measured on `{run.label or run.kind}`",
                    "a score is of a metric of the reference run of its own task, without "
                    "interventions",
                    f"attribute `{metric.name}(reference)`",
                )
            if record.exact:
                return
            for measure in metric.measures:
                known = measure.record
                if known.exact:
                    raise _refused(
                        f"`{measure.kind}` of `{metric.name}` counts, and has no gradient",
                        advice=_MEASURES,
                    )
                if known.reads not in ("answer", "reference"):
                    raise _refused(
                        f"`{measure.kind}` of `{metric.name}` is measured at a component, not at "
                        "the logits",
                        advice=_MEASURES,
                    )
                if known.reads == "reference" and record.at_reference:
                    raise _refused(
                        f"the gradient of `{measure.kind}` is 0 at the reference run, where it is "
                        "least",
                        advice="by: eap_ig, or another metric",
                    )
        case RowOp(op="same"):
            raise _refused("whether two numbers are equal has no gradient")
        case RowOp(args=args):
            for arg in args:
                _vet_metric(arg, asked, record)


def vet_answers(asked: Attribution) -> None:
    """Raise PlanError PD435 where measures that are read behind different answers would have to be
    known together at a run that is not the reference run."""
    if not ATTRIBUTIONS[asked.method].at_reference and not _linear(asked.metric):
        raise _refused(
            f"`by: {asked.method}` looks away from the reference run, and there the metric would "
            "have to be known behind several answers at once",
            "each answer of several tokens is read in runs of its own",
            "a metric that is a sum or difference of them, or by: eap",
        )


def _linear(expr: RowExpr) -> bool:
    """Whether the slope by each measure is the same whatever the measures are."""
    match expr:
        case RowMetric(metric=metric):
            return metric.linear
        case RowOp(op="+" | "-" | "neg", args=args):
            return all(map(_linear, args))
        case RowOp():
            return False
        case _:
            return True


def _refused(message: str, note: str = "", advice: str = "") -> PlanError:
    notes = (note,) if note else ()
    return PlanError(Diagnostic(code="PD435", message=message, notes=notes, help=advice))
