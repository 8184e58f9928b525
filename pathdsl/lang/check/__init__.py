"""Static checks that need neither a model nor data."""
