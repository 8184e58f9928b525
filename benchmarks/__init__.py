"""Measured workloads: `python -m benchmarks` prints a table, `--json FILE` writes it."""
