"""Drawn reports: one HTML page, LaTeX, Markdown, a cell of a notebook."""
