"""Faithfulness: does the circuit alone behave like the model?

With F the mean of the metric over prompts, M the reference run, C = `keep(P)`, E = `keep(none)`:

==============  =======================================  =========================================
`recovered`     (F(C) - F(E)) / (F(M) - F(E))            1 is the model, 0 the empty circuit; may
                                                         exceed 1 (MIB 2025's f)
`ratio`         F(C) / F(M)                              Wang et al. 2022, "87 %"
`gap`           abs(F(M) - F(C))                         Wang et al. 2022, section 4
`explained`     1 - AUE / ATE                            AUE, ATE: mean over prompts of D(M, C)
                                                         and D(M, E), D a dissimilarity;
                                                         Goldowsky-Dill et al. 2023, section 3
`unexplained`   AUE                                      of `none`: ATE
`kl`            mean KL(reference || C)                  Conmy et al. 2023; nats
`agreement`     share of prompts with equal top token    also on prompts that the model gets wrong,
                                                         or `among` those alone
`rms`           sqrt(mean (m(M) - m(C))^2)               Shi et al. 2024's F(M, C), its root
==============  =======================================  =========================================

D(M, C) is abs(m(M) - m(C)) (`absolute`), its square (`squared`), KL(M || C) (`kl`) or KL(C || M)
(`reverse_kl`). Among the prompts that the model gets wrong, agreement is the share of these on
which both have the same token: a ratio of two means, so that a resample counts the prompts anew.

`gap` takes the absolute value after the mean, so errors of both signs cancel; `explained` before
it, so they do not: a circuit can recover 100 % on average and explain little.
"""

from __future__ import annotations

from collections.abc import Callable

from pathdsl.lang.serving import dissimilarity_of
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Half,
    Op,
    RowExpr,
    RowMetric,
    RowNumber,
    RowOp,
    Scalar,
    difference,
    ratio,
)  # fmt: skip
from pathdsl.score.scores.setting import Setting

__all__ = ["faithfulness", "rms"]


def faithfulness(setting: Setting) -> Scalar:
    """The faithfulness of `keep(P)` in one of the forms above."""
    return _FORMS[setting.form](setting)


def _recovered(setting: Setting) -> Scalar:
    model, circuit, empty = setting.reference(), setting.circuit(), setting.empty()
    return setting.quotient((circuit, empty), (model, empty))


def _ratio(setting: Setting) -> Scalar:
    return setting.quotient((setting.circuit(), None), (setting.reference(), None))


def _gap(setting: Setting) -> Scalar:
    return Op(op="abs", args=(setting.between(setting.reference(), setting.circuit()),))


def _kl(setting: Setting) -> Scalar:
    circuit = setting.circuit()
    kl = atom(Measure(kind="kl", position=setting.position))
    rows = RowMetric(metric=kl, run=circuit)
    return setting.average(rows, f"mean KL(reference || {circuit.label})")


def _rms(setting: Setting) -> Scalar:
    circuit = setting.circuit()
    between = RowOp(op="-", args=(setting.rows(setting.reference()), setting.rows(circuit)))
    return rms(setting, between, f"m(reference) - m({circuit.label})")


def rms(setting: Setting, difference: RowExpr, label: str, part: Half | None = None) -> Scalar:
    """The root of the mean square of a per-prompt difference, in the metric's unit."""
    square = RowOp(op="*", args=(difference, difference))
    total = setting.average(square, f"mean(({label})^2)", part)
    return Op(op="^", args=(total, Constant(value=0.5)))


def _apart(setting: Setting, run: RunSpec) -> RowExpr:
    """D(M, run), per prompt; D is what `by:` names."""
    compared = dissimilarity_of(setting.score)
    assert compared is not None  # both forms that come here read `by:`
    if not compared.reads_metric:
        return RowMetric(
            metric=atom(Measure(kind=compared.name, position=setting.position)), run=run
        )
    change = RowOp(op="-", args=(setting.rows(setting.reference()), setting.rows(run)))
    if compared.unit == "power":
        return RowOp(op="^", args=(change, RowNumber(value=2.0)))
    return RowOp(op="abs", args=(change,))


def _unexplained(setting: Setting) -> Scalar:
    return setting.average(_apart(setting, setting.circuit()), "AUE")


def _explained(setting: Setting) -> Scalar:
    unexplained = _apart(setting, setting.circuit())
    total = _apart(setting, setting.empty())
    if setting.mean_of_ratios:
        share = RowOp(op="/", args=(unexplained, total))
        return difference(
            Constant(value=1.0), setting.average(share, "mean of the prompts' AUE / ATE")
        )
    above, below = setting.average(unexplained, "AUE"), setting.average(total, "ATE")
    return difference(Constant(value=1.0), ratio(above, below))


def _agreement(setting: Setting) -> Scalar:
    """Over all prompts, or over those whose top token in the reference run is an answer, or not."""
    model, circuit = setting.reference(), setting.circuit()
    token = atom(Measure(kind="top_token", position=setting.position))
    same: RowExpr = RowOp(
        op="same",
        args=(RowMetric(metric=token, run=model), RowMetric(metric=token, run=circuit)),
    )
    among = setting.options["among"]
    if among is None:
        return setting.average(same, "share of equal top tokens")
    answer = setting.options.word("answer")
    hit = atom(Measure(kind="top1", column=answer, position=setting.position))
    counted: RowExpr = RowMetric(metric=hit, run=model)
    if among == "wrong":
        counted = RowOp(op="-", args=(RowNumber(value=1.0), counted))
    both = RowOp(op="*", args=(same, counted))
    verb = "is wrong" if among == "wrong" else "is right"
    above: Aggregate = setting.average(both, f"share where the model {verb} and both agree")
    return ratio(above, setting.average(counted, f"share where the model {verb}"))


_FORMS: dict[str, Callable[[Setting], Scalar]] = {
    "recovered": _recovered,
    "ratio": _ratio,
    "gap": _gap,
    "explained": _explained,
    "unexplained": _unexplained,
    "kl": _kl,
    "agreement": _agreement,
    "rms": _rms,
}
