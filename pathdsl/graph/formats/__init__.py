"""Circuits as other programs write them: one reader and one writer a format, one form between.

A reader gets what the bytes of a file hold (`content.py`) and makes a `Circuit` of it, and a writer
makes bytes of one. No reader knows the model, none runs code, and none imports torch: what a
`.circuit` file names is read here, and tensors are not among it.
"""
