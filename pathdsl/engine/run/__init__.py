"""Executes plans: plain runs, mixed copies, and what is measured at the logits."""
