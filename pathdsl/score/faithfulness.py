"""Faithfulness: does the circuit alone behave like the model?

With F the mean of the metric over prompts, M the reference run, C = `keep(P)`, E = `keep(none)`:

==============  =======================================  =========================================
`recovered`     (F(C) - F(E)) / (F(M) - F(E))            1 is the model, 0 the empty circuit; may
                                                         exceed 1 (MIB 2025's f)
`ratio`         F(C) / F(M)                              Wang et al. 2022, "87 %"
`gap`           abs(F(M) - F(C))                         Wang et al. 2022, section 4
`explained`     1 - AUE / ATE                            AUE, ATE: mean over prompts of
                                                         abs(m(M) - m(C)) and abs(m(M) - m(E));
                                                         Goldowsky-Dill et al. 2023, section 3
`kl`            mean KL(reference || C)                  Conmy et al. 2023; nats
`agreement`     share of prompts with equal top token    also on prompts that the model gets wrong
`rms`           sqrt(mean (m(M) - m(C))^2)               Shi et al. 2024's F(M, C), its root
==============  =======================================  =========================================

`gap` takes the absolute value after the mean, so errors of both signs cancel; `explained` before
it, so they do not: a circuit can recover 100 % on average and explain little.
"""

from __future__ import annotations

from pathdsl.graph.pathset import PathSet
from pathdsl.plan.readout import Measure
from pathdsl.score.metrics import atom
from pathdsl.score.quantity import Constant, Op, RowMetric, RowOp, Scalar, difference, ratio
from pathdsl.score.setting import Setting

__all__ = ["FORMS", "faithfulness", "rms"]

FORMS = ("recovered", "ratio", "gap", "explained", "kl", "agreement", "rms")


def faithfulness(setting: Setting, paths: PathSet, form: str) -> Scalar:
    """The faithfulness of `keep(paths)` in one of `FORMS`."""
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
            return _explained(setting, paths)
        case "kl":
            kl = atom(Measure(kind="kl", position=setting.position))
            rows = RowMetric(metric=kl, run=circuit)
            return setting.average(rows, f"mean KL(reference || {circuit.label})")
        case "agreement":
            token = atom(Measure(kind="top_token", position=setting.position))
            pair = (RowMetric(metric=token, run=model), RowMetric(metric=token, run=circuit))
            return setting.average(RowOp(op="same", args=pair), "share of equal top tokens")
        case "rms":
            between = RowOp(op="-", args=(setting.rows(model), setting.rows(circuit)))
            return rms(setting, between, f"m(reference) - m({circuit.label})")
        case _:
            raise ValueError(f"`{form}` is no form of faithfulness, wanted one of {FORMS}")


def rms(setting: Setting, difference: RowOp, label: str) -> Scalar:
    """The root of the mean square of a per-prompt difference, in the metric's unit."""
    square = RowOp(op="*", args=(difference, difference))
    total = setting.average(square, f"mean(({label})^2)")
    return Op(op="^", args=(total, Constant(value=0.5)))


def _explained(setting: Setting, paths: PathSet) -> Scalar:
    model = setting.rows(setting.reference())
    circuit = setting.rows(setting.keep(paths, f"keep({setting.title})"))
    empty = setting.rows(setting.empty())
    unexplained = RowOp(op="abs", args=(RowOp(op="-", args=(model, circuit)),))
    total = RowOp(op="abs", args=(RowOp(op="-", args=(model, empty)),))
    if setting.mean_of_ratios:
        share = RowOp(op="/", args=(unexplained, total))
        return difference(
            Constant(value=1.0), setting.average(share, "mean of the prompts' AUE / ATE")
        )
    above, below = setting.average(unexplained, "AUE"), setting.average(total, "ATE")
    return difference(Constant(value=1.0), ratio(above, below))
