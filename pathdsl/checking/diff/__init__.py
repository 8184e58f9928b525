"""Two circuits beside one another: what their graphs share, and how far apart their scores are.

`compare` is the entry. `joined` makes one program of two files, so that both path sets are read on
one graph and measured in one check; `graphs` says what they share, `shared` which tasks and metrics
both files have, and `scores` what comes of those.
"""
