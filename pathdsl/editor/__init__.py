"""What editors and notebooks are given: the language server, highlighting, the cell magic."""
