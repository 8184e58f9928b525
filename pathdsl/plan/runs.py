"""Runs: the forward passes that a hypothesis asks for, as plain hashable data.

`treat(P)`: paths in P carry the treated value, all others the reference input; `keep(P)` is
`treat(full - P)`. Two equal specs are one run of a check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from pathdsl.graph.paths.pathset import FULL, NONE, PathSet
from pathdsl.plan.readout import Measure
from pathdsl.plan.treated import TreatedSpec


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

    `label` is only for people; `form` is the label with loop variables as they were written, so
    that the runs of one sweep can be told as one. `subject` is None where the run is about no path
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
            return replace(self, kind="reference", paths=None, treated=None)
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
