"""Runs: the forward passes that a hypothesis asks for, as plain hashable data.

`treat(P)`: paths in P carry the treated value, all others the reference input; `keep(P)` is
`treat(full - P)`. Two equal specs are one run of a check.

What a run stands under is data, too: an `Action` is one line of an `intervene` block with its names
resolved on the model, a `Block` is such a block. Two blocks that say the same are one, whatever
their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from pathdsl.errors import Span
from pathdsl.graph.model.components import Slot
from pathdsl.graph.paths.pathset import FULL, NONE, PathSet, Pos
from pathdsl.graph.resolve.targets import Target
from pathdsl.plan.readout import Measure
from pathdsl.plan.treated import TreatedSpec

__all__ = ["Action", "Block", "Request", "RunSpec", "Target", "Verb", "under_text"]

Verb = Literal["pattern", "block", "zero", "scale", "set", "add"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action of an `intervene` block on one kind of value.

    `slot` is that of `zero`. `number` is the factor of `scale`. `keys` are the key positions of
    `block` and `pattern`, and `how` what `pattern` makes: `uniform`, `only` or `from`. `source` is
    what `set` puts there, or the run whose pattern `from` reads. `terms` and `vector` are what
    `add` adds: treated values of the target times a number each, and numbers as wide as the
    stream.
    """

    verb: Verb
    targets: tuple[Target, ...]
    slot: Slot | None = None
    number: float = 1.0
    keys: tuple[Pos, ...] = ()
    how: str = ""
    source: RunSpec | TreatedSpec | Target | None = None
    terms: tuple[tuple[float, TreatedSpec], ...] = ()
    vector: tuple[float, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def inside(self) -> bool:
        """Whether it acts inside heads, and not on a value."""
        return self.verb not in ("scale", "set", "add")

    @property
    def fixes(self) -> bool:
        """Whether it makes its targets constants, which carry nothing of what they would read."""
        return self.verb == "set" and not isinstance(self.source, Target)

    @property
    def values(self) -> Iterator[TreatedSpec]:
        """The treated values that it reads."""
        if isinstance(self.source, TreatedSpec):
            yield self.source
        yield from (spec for _, spec in self.terms)

    @property
    def values_only(self) -> bool:
        """Whether it puts treated values and nothing else, so that it acts where these are."""
        return any(True for _ in self.values) and not self.vector

    def text(self) -> str:
        """The action as one text: equal texts do the same."""
        on = ", ".join(map(str, self.targets))
        match self.source:
            case RunSpec() as run:
                of = repr((run.kind, run.paths, run.treated, run.under))
            case other:
                of = "" if other is None else f"{type(other).__name__} {other}"
        added = " ".join(f"{number!r} {spec}" for number, spec in self.terms)
        parts = [
            self.verb, self.slot or "", on, self.how, ", ".join(map(str, self.keys)),
            repr(self.number), of, added, repr(self.vector) if self.vector else "",
        ]  # fmt: skip
        return " | ".join(parts)

    def normal(self, treated: TreatedSpec | None) -> Action:
        """The action with its task's treated value in the run that it reads."""
        if not isinstance(self.source, RunSpec):
            return self
        return replace(self, source=self.source.normal(treated))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An `intervene` block; `name` is only for people."""

    name: str = field(default="", compare=False)
    actions: tuple[Action, ...]


def under_text(blocks: tuple[Block, ...], of_treated: tuple[Block, ...] | None = None) -> str:
    """What a run stands under as one text, "" for nothing; `of_treated`: its treated side apart."""
    text = _texts(blocks) if blocks else ""
    return text if of_treated in (None, blocks) else f"{text} treated {_texts(of_treated or ())}"


def _texts(blocks: tuple[Block, ...]) -> str:
    return repr([[action.text() for action in block.actions] for block in blocks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The path set that a run is about.

    `text` is how it is written. `treated(Q)` is the treated set of the run with Q in its place.
    `drawn`: chance drew it, as a control.
    """

    paths: PathSet
    text: str
    treated: Callable[[PathSet], PathSet]
    drawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run on one task. `paths` is the treated set of `treat`.

    `under` says what the run stands under, which `blocks` are in the order in which they act; it is
    `under_text` of them. `of_treated`: what its treated side stands under instead. `label` is only
    for people; `form` is the label with loop variables as they were written, so that the runs of
    one sweep can be told as one. `subject` is None where the run is about no path
    set of the author's, such as the reference run and `keep(none)` of a score.
    """

    task: str
    kind: Literal["reference", "treated", "treat"]
    paths: PathSet | None = None
    treated: TreatedSpec | None = None
    under: str = ""
    label: str = field(default="", compare=False)
    form: str = field(default="", compare=False)
    subject: Subject | None = field(default=None, compare=False)
    blocks: tuple[Block, ...] = field(default=(), compare=False, repr=False)
    of_treated: tuple[Block, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def treated_blocks(self) -> tuple[Block, ...]:
        """What the treated side stands under."""
        return self.blocks if self.of_treated is None else self.of_treated

    @property
    def actions(self) -> Iterator[Action]:
        """Every action of either side."""
        sides = [self.blocks] if self.of_treated is None else [self.blocks, self.of_treated]
        return (action for side in sides for block in side for action in block.actions)

    def normal(self, treated: TreatedSpec | None) -> RunSpec:
        """The run with its task's treated value filled in; reference runs have none."""
        run = self
        if not run.treats:
            run = replace(run, treated=None, paths=None, of_treated=None)
        elif run.treated is None:
            run = replace(run, treated=treated)
        if not run.blocks and run.of_treated is None:
            return run

        def filled(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
            return tuple(
                replace(b, actions=tuple(a.normal(treated) for a in b.actions)) for b in blocks
            )

        blocks = filled(run.blocks)
        side = None if run.of_treated is None else filled(run.of_treated)
        under = under_text(blocks, side)
        return replace(run, blocks=blocks, of_treated=side, under=under)

    @property
    def treats(self) -> bool:
        """Whether it reads a treated value."""
        return self.kind != "reference"

    @property
    def treated_paths(self) -> PathSet:
        """The set T such that this run is `treat(T)`."""
        match self.kind:
            case "reference":
                return NONE
            case "treated":
                return FULL
            case "treat":
                return self.paths if self.paths is not None else NONE
            case unknown:
                assert_never(unknown)

    @property
    def identity(self) -> RunSpec:
        """The run under one name: what treats nothing is the reference run, what treats all the
        treated run."""
        treated = self.treated_paths
        if treated == NONE:
            return replace(self, kind="reference", paths=None, treated=None, of_treated=None,
                           under=under_text(self.blocks))  # fmt: skip
        if treated == FULL:
            return replace(self, kind="treated", paths=None)
        return self

    def instead(self, other: PathSet, text: str) -> RunSpec:
        """The run with another set in the place of the one that it is about, which has to be."""
        assert self.subject is not None
        label = self.label.replace(self.subject.text, text)
        treated = self.subject.treated(other)
        return replace(self, paths=treated, label=label, form=label, subject=None)


Request = tuple[RunSpec, Measure]
"""A measure of a run, as scoring asks for it."""
