"""From per-prompt metric values to quantities with intervals and to verdicts: arithmetic on arrays.

One module per step: `metrics` (what is read off a run), `quantity` (expressions over prompts),
`context` and `lowering` (syntax to quantities, with `scores` for the built-in scores), `statistics`
(values, resamples, intervals, verdicts), and `judge`, which does all of it. No model is run here:
`session` says what scoring asks of whoever runs one.
"""

from __future__ import annotations

from pathdsl.score.judge import judge
from pathdsl.score.metrics import Metric, compile_metric
from pathdsl.score.results import ClaimResult, Judgement, QuantityResult, Verdict

__all__ = [
    "ClaimResult",
    "Judgement",
    "Metric",
    "QuantityResult",
    "Verdict",
    "compile_metric",
    "judge",
]
