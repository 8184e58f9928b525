"""Intervals, resamples, exact tests and verdicts: arithmetic on arrays."""
