"""Broken files at every boundary, made from sound ones by seeded changes; see `__main__`."""
