"""From per-prompt metric values to quantities with intervals and to verdicts: arithmetic on arrays.

One module per step: `metrics` (what is read off a run), `quantity` (expressions over prompts),
`context` and `lowering` (syntax to quantities, with `scores` for the built-in scores), `statistics`
(values, resamples, intervals, verdicts), and `judge`, which does all of it. No model is run here:
`session` says what scoring asks of whoever runs one.
"""
