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

from pathdsl.graph.paths.pathset import PathSet
from pathdsl.plan.readout import DIVERGENCES, Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import (
    Aggregate,
    Constant,
    Op,
    Part,
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


def faithfulness(
    setting: Setting,
    paths: PathSet,
    form: str,
    by: str = "absolute",
    among: str | None = None,
    answer: str = "",
) -> Scalar:
    """The faithfulness of `keep(paths)` in one of the forms above.

    `by` is the dissimilarity of `explained` and `unexplained`. `among`, `wrong` or `right`, has
    agreement over those prompts whose top token in the reference run is not, or is, in the column
    `answer`.
    """
    model, circuit = setting.reference(), setting.keep(paths, f"keep({setting.title})")
    match form:
        case "recovered":
            empty = setting.empty()
            return setting.quotient((circuit, empty), (model, empty))
        case "ratio":
            return setting.quotient((circuit, None), (model, None))
        case "gap":
            return Op(op="abs", args=(setting.between(model, circuit),))
        case "explained":
            return _explained(setting, paths, by)
        case "unexplained":
            return setting.average(_apart(setting, circuit, by), "AUE")
        case "kl":
            kl = atom(Measure(kind="kl", position=setting.position))
            rows = RowMetric(metric=kl, run=circuit)
            return setting.average(rows, f"mean KL(reference || {circuit.label})")
        case "agreement":
            return _agreement(setting, circuit, among, answer)
        case "rms":
            between = RowOp(op="-", args=(setting.rows(model), setting.rows(circuit)))
            return rms(setting, between, f"m(reference) - m({circuit.label})")
        case _:
            raise ValueError(f"`{form}` is no form of faithfulness")


def rms(setting: Setting, difference: RowOp, label: str, part: Part | None = None) -> Scalar:
    """The root of the mean square of a per-prompt difference, in the metric's unit."""
    square = RowOp(op="*", args=(difference, difference))
    total = setting.average(square, f"mean(({label})^2)", part)
    return Op(op="^", args=(total, Constant(value=0.5)))


def _apart(setting: Setting, run: RunSpec, by: str) -> RowExpr:
    """D(M, run), per prompt."""
    if by in DIVERGENCES:
        measure = Measure(kind=by, position=setting.position)  # type: ignore[arg-type]
        return RowMetric(metric=atom(measure), run=run)
    change = RowOp(op="-", args=(setting.rows(setting.reference()), setting.rows(run)))
    if by == "absolute":
        return RowOp(op="abs", args=(change,))
    return RowOp(op="^", args=(change, RowNumber(value=2.0)))


def _explained(setting: Setting, paths: PathSet, by: str) -> Scalar:
    unexplained = _apart(setting, setting.keep(paths, f"keep({setting.title})"), by)
    total = _apart(setting, setting.empty(), by)
    if setting.mean_of_ratios:
        share = RowOp(op="/", args=(unexplained, total))
        return difference(
            Constant(value=1.0), setting.average(share, "mean of the prompts' AUE / ATE")
        )
    above, below = setting.average(unexplained, "AUE"), setting.average(total, "ATE")
    return difference(Constant(value=1.0), ratio(above, below))


def _agreement(setting: Setting, circuit: RunSpec, among: str | None, answer: str) -> Scalar:
    model = setting.reference()
    token = atom(Measure(kind="top_token", position=setting.position))
    same: RowExpr = RowOp(
        op="same",
        args=(RowMetric(metric=token, run=model), RowMetric(metric=token, run=circuit)),
    )
    if among is None:
        return setting.average(same, "share of equal top tokens")
    hit = atom(Measure(kind="top1", column=answer, position=setting.position))
    counted: RowExpr = RowMetric(metric=hit, run=model)
    if among == "wrong":
        counted = RowOp(op="-", args=(RowNumber(value=1.0), counted))
    both = RowOp(op="*", args=(same, counted))
    verb = "is wrong" if among == "wrong" else "is right"
    above: Aggregate = setting.average(both, f"share where the model {verb} and both agree")
    return ratio(above, setting.average(counted, f"share where the model {verb}"))
