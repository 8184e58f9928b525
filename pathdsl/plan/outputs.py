"""A plan: its steps, and what is read of them when they are computed, run by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import MaskTable
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import REFERENCE, Blend, Frozen, JoinResid, Step, scales_in
from pathdsl.plan.treated import TreatedSpec
from pathdsl.record import record


@record
class AttentionRead:
    """Attention mass of one measure: where its head's pattern comes from at each query position."""

    measure: Measure
    blend: Blend
    queries: int
    keys: int


Parts = tuple[tuple[int, int], ...]
"""(step, mask) pairs that are summed: at each token those whose mask has it."""


@record
class WriteRead:
    """What the nodes of one measure write at `positions`, in this run and in a plain run beside it.

    `beside` is empty where nothing is compared.
    """

    measure: Measure
    positions: int
    parts: Parts
    beside: Parts = ()


@record
class CopyRead:
    """The stream from which a head would copy: that of a plain run on the prompts of `column`.

    `column` is "" for the reference prompts.
    `step`: the stream after the first layer; `positions`: a mask for each place of the measure.
    """

    measure: Measure
    step: int
    column: str
    positions: tuple[int, ...]


@record
class MixedCopyRead(CopyRead):
    """The same in a run that is no prompt's own: what goes straight to `logits` there.

    `column` has the tokens but where `input` is treated, `cut`, which are those of `other`.
    """

    other: str
    cut: int


@record
class Output:
    """One run's logits: final residual step, positions read, what is measured there.

    `kept`/`cut`: masks of the positions read at which some kept / some treated path ends.
    `frozen`, `frozen_at`: with frozen norms, the final residual step that is read instead of
    `resid` where both end, and that mask; there the final norm is `frozen_to`.
    """

    run: RunSpec
    resid: int
    positions: int
    measures: tuple[Measure, ...]
    attention: tuple[AttentionRead, ...] = ()
    writes: tuple[WriteRead, ...] = ()
    copies: tuple[CopyRead, ...] = ()
    kept: int = 0
    cut: int = 0
    frozen: int = -1
    frozen_at: int = 0
    frozen_to: Frozen = field(default=True, compare=False)


def ends_of(output: Output) -> tuple[int, ...]:
    """The steps that measures of components read when the run is over, and not its logits."""
    written = (step for one in output.writes for step, _ in (*one.parts, *one.beside))
    scales = scales_in(output.frozen_to) if output.frozen_at else ()
    return (*written, *(one.step for one in output.copies), *scales)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Plan:
    """Everything one pass over one task's rows computes, for all runs of a check.

    `steps[i]` is the step with number i; `need[i]` is the mask of positions at which it is wanted
    (FALSE: dead, not computed). `plain_need` maps (source, kind, layer) of plain values that blends
    read, kind in input|head|attn|mlp|hidden, to a mask (`attn`: what all heads of a layer write
    together), and in the reference run of scales that frozen norms take, kind in `SCALES`.
    `position_masks`: masks of the positions that measures name. `frozen`: whether the norms of
    mixed copies have the reference run's scales (a task's `layernorm`); `routed`: whether they have
    its routing of mixtures (a task's `routing`). `means`: by the number of
    a constant, the plan of the intervened runs behind it. `behind`: the column whose answers stand
    behind the prompts, "" for none. `lent`: (kind, layer) of values of the reference run that are
    read where those of a treated run are equal, and so are read of that one, by its source.
    `alive`: numbers of the steps that are computed or kept.
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
    routed: bool = False
    means: Mapping[int, MeanPlan] = field(default_factory=dict)
    behind: str = ""
    lent: Mapping[tuple[str, int], int] = field(default_factory=dict)
    alive: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = [
            i for i, mask in enumerate(self.need)
            if mask and not isinstance(self.steps[i], JoinResid)
        ]  # fmt: skip
        object.__setattr__(self, "alive", found)

    def run_of(self, source: int, kind: str, layer: int) -> int:
        """The source whose plain run a value of a source is read of."""
        return self.lent.get((kind, layer), source) if source == REFERENCE else source

    @property
    def draws(self) -> int:
        """How many draws the plan is executed for."""
        return max([1, *(spec.draws for spec in self.treated)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanPlan:
    """The runs of an intervened model over which a mean is taken.

    `values`: by kind and layer where the values to average come from, of heads one blend each; of
    hidden units those of the rest, and of each group of `neurons` of the layer.
    """

    plan: Plan
    values: Mapping[tuple[str, int], tuple[Blend, ...]]
    neurons: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
