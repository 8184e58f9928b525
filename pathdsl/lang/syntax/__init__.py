"""Text to syntax tree: one look over the text, the parser, the builder, faults in words."""
