"""`discover`: from a task to a discovered file, with what was measured on the way."""
