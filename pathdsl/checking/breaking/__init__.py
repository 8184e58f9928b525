"""Which claims say less than they did at a revision of git.

`since` is the entry: files as they were and as they are. `revision` asks git, and nothing else
does. `claims` compares two programs: what they stand on by `inputs` and `locked`, what each claim
measures by `measured`. What they find are the `changes`.
"""
