"""Runs: the forward passes that a hypothesis asks for, as plain hashable data.

`treat(P)`: paths in P carry the treated value, all others the reference input; `keep(P)` is
`treat(full - P)` (semantics.md section 2). Two equal specs are one run of a check.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from pathdsl.graph.paths.pathset import FULL, NONE, PathSet

TreatedKind = Literal["paired", "mean", "zero", "noise", "resample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreatedSpec:
    """The value that treated paths carry.

    `paired`: the prompt in `column`, row by row. `mean`: each component's mean output per token
    index over rows of equal `by` label and length, run on `column`. `zero`. `noise`: Gaussian added
    to `input` at the positions `at`, `scale` times the standard deviation of the embedding matrix.
    `resample`: `draws` other rows' `column`, of equal length (and `by` label), never the row's own.
    """

    kind: TreatedKind
    column: str = ""
    by: str = ""
    at: tuple[str, ...] = ()
    scale: float = 0.0
    seed: int = 0
    draws: int = 1

    @property
    def constant(self) -> bool:
        """Whether the treated value is no activation of any input (language.md section 3)."""
        return self.kind in ("mean", "zero")

    def __str__(self) -> str:
        match self.kind:
            case "paired":
                return self.column
            case "mean":
                return f"mean({self.column}" + (f", by: {self.by})" if self.by else ")")
            case "zero":
                return "zero"
            case "noise":
                places = ", ".join(self.at)
                return f"noise(at: [{places}], scale: {self.scale:g}, seed: {self.seed})"
            case "resample":
                by = f", by: {self.by}" if self.by else ""
                return f"resample({self.column}{by}, draws: {self.draws}, seed: {self.seed})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run on one task. `paths` is the treated set of `treat`.

    `label` is only for people; `form` is the label with loop variables as they were written, so
    that the runs of one sweep can be told as one.
    """

    task: str
    kind: Literal["reference", "treated", "treat"]
    paths: PathSet | None = None
    treated: TreatedSpec | None = None
    under: str = ""
    label: str = field(default="", compare=False)
    form: str = field(default="", compare=False)

    @property
    def treated_paths(self) -> PathSet:
        """The set T such that this run is `treat(T)`."""
        match self.kind:
            case "reference":
                return NONE
            case "treated":
                return FULL
            case _:
                return self.paths if self.paths is not None else NONE

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
