"""Locks: what a check found, on what, and how a later check compares."""
