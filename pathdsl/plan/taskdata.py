"""The prompts of one task after tokenisation and vetting: arrays, no text processing left.

Made by `pathdsl.engine.data.build`, read by the planner (positions become masks) and the executor.
Rows are right-padded to the longest; padding never reaches a real position: causal attention does
not see it, and what is not causal masks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pathdsl.plan.readout import BEFORE_ANSWER, Measure
from pathdsl.plan.treated import TreatedSpec

__all__ = ["Apart", "Repeats", "TaskData"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repeats:
    """Which rows of a task are the same prompts, where some are.

    Numbers that equal rows share, in order of first appearance: `reference`, (rows,) int64, of
    those with one reference prompt; `pairs[treated]` of those with one reference and one treated
    prompt, for treated values that are prompts of their own, None for the task's. `first`: (rows,)
    int64, for each row the first one that is like it in all that is read of it, its own place where
    none before it is.
    """

    reference: np.ndarray
    pairs: Mapping[TreatedSpec | None, np.ndarray]
    first: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """(rows,) bool: False for a copy of a row before it, which counts once."""
        return np.asarray(self.first == np.arange(len(self.first)))

    def of(self, treated: TreatedSpec | None) -> np.ndarray:
        """(rows,) int64, equal where a run with this treated value begins from equal prompts."""
        return self.pairs.get(treated, self.reference)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Apart:
    """Where the tokens and positions of a prompt column are that has places of its own.

    As `lengths` and `positions` of `TaskData`.
    """

    lengths: np.ndarray
    positions: Mapping[str, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskData:
    """All rows of one task.

    `prompts[column]`: (rows, pos) int64 token ids, right-padded with 0; `reference` names one.
    `lengths`: (rows,) int64 true lengths. `answers[column][row]`: token ids accepted as this column
    (one, or several for lists). `positions[name][row]`: sorted token indices; `END` is among them.
    `labels[column][row]`: other fields. `clusters`: (rows,) int64, what is resampled for intervals;
    where rows cross in two fields that of the first, and `crossed`, (rows,) int64, of the second.
    `tokens[row]`: the reference prompt's tokens as text, for reports, `first_answers[column]` the
    first row's answers as text and id. `unchanged[treated]`: (rows,) bool, where a treated value is
    the reference's own, None for the task's; those that are so nowhere are left out. `repeats` is
    None where no reference prompt stands in two rows; `near_copies` counts distinct reference
    prompts that differ from another one in one token. `facts`: for
    the methodology line (special tokens, source and hash of the data). `apart[column]`: of prompts
    that differ from the reference prompts in length or in where positions are, as only means at
    named places read them. `special`: ids of tokens that `at: any` leaves out. `key`: content hash
    of everything above, equal for tasks that share rows (same data, seed and take). `drawn`: hash
    of the rows and their clusters, equal also where another column is the reference: what is
    resampled together. Where rows are copies of others both begin with the hash of the rows
    without them, up to a colon: that is what seeds are made of.

    `whole`: answers are read whole (`answers = whole`): `answers[column][row]` are the tokens of
    one answer in their order, `answer_tokens` the same as text, and `branches[column]` the same
    rows with that answer behind every prompt, for columns in which some answer has several tokens.
    `longest` has behind each prompt the longest of its answers. In these `appended`, (rows,) int64,
    says how many tokens the answer has, `lengths` count them, and `END` is the prompt's last token.
    No answer stands behind the prompts of a column that is `apart`.
    """

    name: str
    row_ids: tuple[str, ...]
    reference: str
    prompts: Mapping[str, np.ndarray]
    lengths: np.ndarray
    answers: Mapping[str, tuple[tuple[int, ...], ...]]
    positions: Mapping[str, tuple[tuple[int, ...], ...]]
    labels: Mapping[str, tuple[str | int | float | bool, ...]]
    clusters: np.ndarray
    crossed: np.ndarray | None = None
    tokens: tuple[tuple[str, ...], ...] = ()
    unchanged: Mapping[TreatedSpec | None, np.ndarray] = field(default_factory=dict)
    first_answers: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    repeats: Repeats | None = None
    near_copies: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, Apart] = field(default_factory=dict)
    special: frozenset[int] = frozenset()
    key: str = ""
    drawn: str = ""
    whole: bool = False
    answer_tokens: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    branches: Mapping[str, TaskData] = field(default_factory=dict)
    longest: TaskData | None = None
    appended: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """Number of prompts."""
        return len(self.row_ids)

    @property
    def rows_before(self) -> int:
        """Number of rows before conditions on them, `where`, left some out."""
        return int(self.facts.get("rows_before", self.n_rows))

    @property
    def n_distinct(self) -> int:
        """Number of distinct prompts: of pairs of them where the treated value is a prompt."""
        return len(np.unique(self.repeats.of(None))) if self.repeats is not None else self.n_rows

    @property
    def n_pos(self) -> int:
        """Length of the longest prompt, with the answer behind it where one is."""
        return int(self.lengths.max())

    @property
    def valid(self) -> np.ndarray:
        """(rows, pos) bool: True where a real token stands."""
        return np.arange(self.n_pos)[None, :] < self.lengths[:, None]

    @property
    def ordinary(self) -> np.ndarray:
        """(rows, pos) bool: True where a token of the reference prompt is that is not special."""
        ids = self.prompts[self.reference]
        return np.asarray(self.valid & ~np.isin(ids, sorted(self.special)))

    def reading(self, column: str) -> TaskData:
        """The rows with the prompts of a column as their reference prompts."""
        own = self.apart.get(column)
        if own is None:
            return self if column == self.reference else replace(self, reference=column)
        return replace(
            self, reference=column, lengths=own.lengths, positions=own.positions, appended=None
        )

    @property
    def prompt_lengths(self) -> np.ndarray:
        """(rows,) int64: lengths without the answers behind the prompts."""
        return self.lengths if self.appended is None else self.lengths - self.appended

    def as_read(self, measure: Measure) -> Measure:
        """The measure where it is read: an answer of several tokens before each of its tokens."""
        if measure.column in self.branches and measure.record.whole and measure.position == "END":
            return replace(measure, position=BEFORE_ANSWER)
        return measure

    def behind(self, measure: Measure) -> str:
        """The column whose answers stand behind the prompts where a measure is read, or ""."""
        inside = measure.column in self.branches and measure.position == BEFORE_ANSWER
        return measure.column if inside else ""

    def branch(self, column: str) -> TaskData:
        """The rows with these answers behind their prompts; without any for ""."""
        return self.branches[column] if column else self

    def reads_whole(self, measure: Measure) -> bool:
        """Whether a measure is of all tokens of the answers that stand behind these prompts."""
        return (
            self.appended is not None and measure.record.whole and measure.position == BEFORE_ANSWER
        )
