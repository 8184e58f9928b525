"""Text to syntax tree and back: grammar, parser, formatter, static checks, rendering of faults.

Nothing here imports torch, transformers, networkx or sympy: `lint`, `fmt` and `explain CODE` must
answer at once.
"""
