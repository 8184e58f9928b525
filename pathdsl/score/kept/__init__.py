"""Scores kept prompt by prompt, and what follows from them without another run."""
