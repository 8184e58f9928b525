"""What a model can do, from its config alone: components, edges, path sets, counts. No torch."""
