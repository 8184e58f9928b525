"""Lint of the method: what a reviewer would ask about a hypothesis that is well formed."""
