"""The literal definition of path patching, kept as an oracle for the engine.

Nothing here is clever and nothing is shared with the engine: `paths` decides whether one path
belongs to a path expression, `tree` evaluates the tree with one copy of `input` per path, `cases`
puts both together for a drawn case and `strategies` draws such cases.
"""
