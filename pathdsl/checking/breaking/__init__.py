"""Which claims say less than they did at a revision of git."""
