"""Scores of nodes and edges by gradients, prompt by prompt (`pathdsl.score.attribution`)."""
