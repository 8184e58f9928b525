"""From per-prompt metric values to quantities with intervals and to verdicts (numpy, no torch).

One module per step: `metrics` (what is read off a run), `quantity` (expressions over prompts),
`lowering` (syntax to quantities; `scores` and its parts for the built-in scores), `evaluate` and
`design` (values and resamples), `intervals`, `verdict`, and `judge`, which does all of it.
"""
