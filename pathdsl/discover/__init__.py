"""From scores to circuits: scores kept prompt by prompt, selection, stability, certificates."""
