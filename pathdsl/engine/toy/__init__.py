"""Toy models: the reference module of the project's own, and checkpoints that become one."""
