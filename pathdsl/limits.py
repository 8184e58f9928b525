"""Every limit on what a file may ask for: one record each; those of JSON stand in `strictjson`.

What passes a limit is refused with a code, before any work is done for it. The limits are far above
what a hypothesis needs and low enough that a file from a stranger costs seconds and at most 1 GB.
`docs/limits.md` prints this table, and a test holds the two together.

    >>> BOOTSTRAP.most, BOOTSTRAP.code
    (1000000, 'PD116')
"""

from __future__ import annotations

from pathdsl.record import record

__all__ = ["LIMITS", "Limit"]


@record
class Limit:
    """`most` of what `what` says may be asked for; more is refused with `code`."""

    most: int
    what: str
    code: str


# Text
FILE_BYTES = Limit(most=2_000_000, what="bytes of a `.circuit` file", code="PD011")
DEPTH = Limit(
    most=200, what="brackets and operators inside one another, in one statement", code="PD008"
)
NAMED_DEPTH = Limit(
    most=300,
    what="brackets, operators and names inside one another, what a name means put in its place",
    code="PD131",
)
DIGITS = Limit(most=18, what="digits of a whole number", code="PD012")

FILES = Limit(most=1_000, what="files that one file uses, itself counted", code="PD023")

# Path sets
STATES = Limit(
    most=100_000, what="automaton states of one path set; `--max-states` raises it", code="PD210"
)
LETTERS = Limit(most=20_000, what="nodes and edges that a path expression spells out", code="PD211")
COPIES = Limit(most=200_000, what="steps of a plan; `--max-copies` raises it", code="PD211")
WALKS = Limit(most=200_000, what="walks that a random control is drawn from", code="PD218")
MOVES = Limit(
    most=500_000,
    what="steps of counting a path set with alternatives at positions",
    code="PD215",
)

# Loops
ITEMS = Limit(most=1_000, what="items of a list that a variable ranges over", code="PD116")
MEMBERS = Limit(
    most=20_000, what="members of a loop over several variables, or over edges", code="PD116"
)

# Models
LAYERS = Limit(most=1_000, what="layers of a model", code="PD615")
HEADS = Limit(most=100_000, what="heads in all layers of a model", code="PD615")
SIZE = Limit(
    most=100_000_000, what="heads, positions, tokens or units that a config gives", code="PD615"
)

# Data
TAKE = Limit(most=1_000_000, what="rows of a generator (`take:`)", code="PD327")
CHAT_SECONDS = Limit(
    most=60, what="seconds in which a chat template makes the prompts of a task", code="PD372"
)
CHAT_BYTES = Limit(
    most=1_000_000_000, what="bytes of memory of the process that does so", code="PD372"
)
CHAT_CHARACTERS = Limit(
    most=1_000_000, what="characters that a chat template makes of one prompt", code="PD372"
)
EDGE_FILE_BYTES = Limit(most=512 * 1024 * 1024, what="bytes of a file of edges", code="PD217")
LITERAL_BYTES = Limit(
    most=20_000_000, what="bytes of a list of edges that is written in Python", code="PD217"
)
TENSOR_BYTES = Limit(
    most=1024 * 1024 * 1024, what="bytes of a file of tensors, unpacked", code="PD447"
)
TENSOR_NUMBERS = Limit(most=20_000_000, what="numbers of a file of tensors", code="PD447")
PICKLE_CODES = Limit(
    most=100_000, what="codes of a pickle that are looked at to say what it is", code="PD442"
)
KEPT_BYTES = Limit(
    most=1024 * 1024 * 1024, what="bytes of scores that are kept prompt by prompt", code="PD245"
)
LOCK_BYTES = Limit(most=20_000_000, what="bytes of a lock", code="PD651")
RECORD_BYTES = Limit(most=100_000_000, what="bytes of a record of discovery rows", code="PD380")

# Repetitions
BOOTSTRAP = Limit(most=1_000_000, what="resamples of `by bootstrap(N)`", code="PD116")
AMONG = Limit(most=100_000, what="controls of `chance(…, among: N)`", code="PD116")
RANDOM = Limit(most=100_000, what="knockouts of `random(N)`", code="PD116")
DRAWS = Limit(
    most=100_000, what="`draws:` of `resample`, `noise` and of `independence_test`", code="PD116"
)
STEPS = Limit(most=1_000, what="`steps:` of the integral of an attribution", code="PD116")
GREEDY = Limit(
    most=100_000,
    what="steps, `runs:` and `sample:` of `greedy(N)`; steps beyond the number of units are none",
    code="PD116",
)

LIMITS: tuple[Limit, ...] = tuple(value for value in globals().values() if isinstance(value, Limit))
"""All limits, in the order of the docs."""
