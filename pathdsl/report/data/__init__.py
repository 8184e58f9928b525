"""Results as data: the JSON object, its drawing, values and tables."""
