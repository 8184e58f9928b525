"""The plan: a straight-line program of value-numbered steps that one pass over the rows executes.

    input ──► resid stage 0 ──► heads of layer 0 ──► stage 1 ──► MLP 0 ──► stage 2 ──► …

A *residual step* is the residual stream as some readers see it: the previous stage plus what the
components of one block write. A *copy* is one component evaluated on residual steps of its own.
A *blend* says for each reader where a sender's value comes from, position by position: the
reference run, a treated value, or a copy. Steps are in topological order; equal steps are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import TRUE, MaskTable
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.treated import TreatedSpec

REFERENCE = -1
"""Source number of the reference run; treated value k is `treated_source(k)`, copies are ≥ 0."""

Blend = tuple[tuple[int, int], ...]
"""(source, mask) pairs with disjoint masks that together cover every position, sorted."""


SCALES = ("scale_attention", "scale_after_attention", "scale_mlp", "scale_after_mlp", "scale_final")
"""Kinds of scales of norms, one number per token: before attention, of the heads' sum, before the
MLP, of the MLP's output, and the final norm (whose layer is the number of layers)."""


def treated_source(which: int) -> int:
    """The source number of a treated value of the plan."""
    return -2 - which


def treated_index(source: int) -> int:
    """Which treated value of the plan a source number is."""
    return -2 - source


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainResid:
    """The residual stream of a plain run at a stage; `source` is REFERENCE or a treated source."""

    stage: int
    source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputResid:
    """Stage 0: the embeddings, blended."""

    blend: Blend
    stage: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionResid:
    """`previous` plus the heads of one layer, each head blended, plus the constant output bias.

    `frozen`: the norm of the heads' sum has the reference run's scale.
    """

    stage: int
    layer: int
    previous: int
    heads: tuple[Blend, ...]
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpResid:
    """`previous` plus one MLP's output, blended.

    With `neurons`, groups of hidden units that come from elsewhere than the rest of the MLP, all
    blends are of hidden values and the output projection is applied to what they make up together.
    """

    stage: int
    layer: int
    previous: int
    blend: Blend
    neurons: tuple[tuple[tuple[int, ...], Blend], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCopy:
    """A head on residual steps of its own; keys and values by distance set where they differ.

    `frozen`: the norm of what it reads has the reference run's scale, token by token.
    """

    layer: int
    head: int
    query: int
    keys: tuple[tuple[int, int], ...]
    values: tuple[tuple[int, int], ...]
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpCopy:
    """An MLP on a residual step of its own; `frozen`: its norms have the reference run's scales."""

    layer: int
    resid: int
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCopy:
    """The hidden units of an MLP on a residual step: all its neurons and the rest that read it."""

    layer: int
    resid: int
    frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResid:
    """A stream that is another step's at some positions; readers look through it, see `parts_of`.

    `parts`: (step, mask) with disjoint masks that together cover every position, sorted. Only plain
    runs and, at the positions where paths of both kinds stand, one step of the stream's own.
    """

    stage: int
    parts: tuple[tuple[int, int], ...]


Step = (
    PlainResid
    | InputResid
    | AttentionResid
    | MlpResid
    | HeadCopy
    | MlpCopy
    | HiddenCopy
    | JoinResid
)


def parts_of(steps: Sequence[Step], number: int) -> tuple[tuple[int, int], ...]:
    """The steps that a residual step is put together from: (step, mask); itself if no join."""
    step = steps[number]
    return step.parts if isinstance(step, JoinResid) else ((number, TRUE),)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRead:
    """Attention mass of one measure: where its head's pattern comes from at each query position."""

    measure: Measure
    blend: Blend
    queries: int
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One run's logits: final residual step, positions read, what is measured there.

    `kept`/`cut`: masks of the positions read at which some kept / some treated path ends.
    `frozen`, `frozen_at`: with frozen norms, the final residual step that is read instead of
    `resid` where both end, and that mask; there the final norm has the reference run's scale.
    """

    run: RunSpec
    resid: int
    positions: int
    measures: tuple[Measure, ...]
    attention: tuple[AttentionRead, ...] = ()
    kept: int = 0
    cut: int = 0
    frozen: int = -1
    frozen_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Everything one pass over one task's rows computes, for all runs of a check.

    `steps[i]` is the step with number i; `need[i]` is the mask of positions at which it is wanted
    (FALSE: dead, not computed). `plain_need` maps (source, kind, layer) of plain values that blends
    read, kind in input|head|attn|mlp|hidden, to a mask (`attn`: what all heads of a layer write
    together), and in the reference run of scales that frozen norms take, kind in `SCALES`.
    `position_masks`: masks of the positions that measures name. `frozen`: whether the norms of
    mixed copies have the reference run's scales (a task's `layernorm`).
    """

    task: str
    shape: ModelShape
    masks: MaskTable
    treated: tuple[TreatedSpec, ...]
    steps: tuple[Step, ...]
    need: tuple[int, ...]
    outputs: tuple[Output, ...]
    plain_need: Mapping[tuple[int, str, int], int]
    position_masks: Mapping[str, int]
    frozen: bool = False

    @property
    def alive(self) -> list[int]:
        """Numbers of the steps that are computed or kept."""
        return [
            i for i, mask in enumerate(self.need)
            if mask and not isinstance(self.steps[i], JoinResid)
        ]  # fmt: skip

    @property
    def draws(self) -> int:
        """How many draws the plan is executed for."""
        return max([1, *(spec.draws for spec in self.treated)])


def slot_of(step: Step) -> float:
    """When a step runs: stages are whole numbers, copies run right after the stage they read."""
    match step:
        case HeadCopy(layer=layer):
            return 2 * layer + 0.5
        case MlpCopy(layer=layer) | HiddenCopy(layer=layer):
            return 2 * layer + 1.5
        case _:
            return float(step.stage)
