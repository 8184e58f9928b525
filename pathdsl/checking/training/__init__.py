"""Series of checkpoints: one file judged at each revision of a model."""
