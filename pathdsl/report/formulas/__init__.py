"""Declarations as formulas: LaTeX and MathML."""
