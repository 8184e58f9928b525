"""The plan: a straight-line program of value-numbered steps that one pass over the rows executes.

    input ──► resid stage 0 ──► heads of layer 0 ──► stage 1 ──► MLP 0 ──► stage 2 ──► …

A *residual step* is the residual stream as some readers see it: the previous stage plus what the
components of one block write. A *copy* is one component evaluated on residual steps of its own.
A *blend* says for each reader where a sender's value comes from, position by position: the
reference run, a treated value, or a copy. Steps are in topological order; equal steps are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Literal, NamedTuple

from pathdsl.graph.model.components import MLP
from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import FALSE, TRUE
from pathdsl.record import record

NOTHING = -1
"""In the place of the step before: what a component writes, without the stream behind it."""
REFERENCE = -1
"""Source number of the reference run; treated value k is `treated_source(k)`, copies are ≥ 0."""

Blend = tuple[tuple[int, int], ...]
"""(source, mask) pairs with disjoint masks that together cover every position, sorted."""


@record
class PlainKind:
    """One kind of value that is kept of a plain run, by layer or stage.

    `axes`: those of the value beside its tokens. `stage`: the stage of the stream at which it is
    there. `wide`: kept in float32 where the model's dtype is narrower.
    """

    axes: Callable[[ModelShape, int], tuple[int, ...]]
    stage: Callable[[int], int]
    wide: bool = False


def _stream(shape: ModelShape, number: int) -> tuple[int, ...]:
    return (shape.d_model,)


def _scale(stage: Callable[[int], int]) -> PlainKind:
    """The scale of a norm, one number per token."""
    return PlainKind(axes=lambda shape, layer: (1,), stage=stage, wide=True)


def _after_attention(layer: int) -> int:
    return 2 * layer + 1


def _after_mlp(layer: int) -> int:
    return 2 * layer + 2


PLAIN_KINDS: dict[str, PlainKind] = {
    "input": PlainKind(axes=lambda shape, layer: (shape.input_width,), stage=lambda number: 0),
    "resid": PlainKind(axes=_stream, stage=lambda stage: stage),
    "head": PlainKind(
        axes=lambda shape, layer: (shape.heads_in(layer), shape.head_width(layer)),
        stage=_after_attention,
    ),
    "attn": PlainKind(axes=_stream, stage=_after_attention),
    "mlp": PlainKind(axes=_stream, stage=_after_mlp),
    "hidden": PlainKind(axes=lambda shape, layer: (shape.d_mlp + 1,), stage=_after_mlp),
    "scale_attention": _scale(_after_attention),
    "scale_after_attention": _scale(_after_attention),
    "scale_mlp": _scale(_after_mlp),
    "scale_after_mlp": _scale(_after_mlp),
    "scale_after_gate": _scale(_after_mlp),
    "scale_final": _scale(lambda layer: 2 * layer),
    "routing": PlainKind(axes=lambda shape, layer: (shape.n_experts,), stage=_after_mlp, wide=True),
}
"""`head`: of all heads of a layer; `attn`: what they write together. `hidden`: hidden units of an
MLP and, last, whether its output bias is there (1). Scales of norms: before attention, of the
heads' sum, before the MLP, of the MLP's output, of what its gate of `input` adds, and of the final
norm (whose layer is the number of layers). `routing`: of a mixture the weight of each expert,
frozen as scales are."""

ROUTING = "routing"
OF_MLP = ("scale_mlp", "scale_after_mlp", "scale_after_gate", ROUTING)
"""Scales of the norms of an MLP, before it and behind it; and its routing."""
SCALES = tuple(name for name, kind in PLAIN_KINDS.items() if kind.wide)


@record
class FrozenTo:
    """What is frozen, and where it is from: by kind of `SCALES` a blend.

    Its sources are the plain reference run and `ScaleCopy` steps, which stand for that run under an
    intervention. Norms of kinds that are not there have their own scales. `keys`: that of the norm
    before attention of the layer whose keys a head reads, where that is another than its own.
    """

    blends: tuple[tuple[str, Blend], ...]
    keys: Blend = ()

    def blend(self, kind: str) -> Blend:
        """That of one kind."""
        return dict(self.blends)[kind]


Frozen = bool | FrozenTo
"""Whether norms are frozen: True all, to the plain reference run's scales; or which, to whose."""


def treated_source(which: int) -> int:
    """The source number of a treated value of the plan."""
    return -2 - which


def treated_index(source: int) -> int:
    """Which treated value of the plan a source number is."""
    return -2 - source


def copies_in(*blends: Blend) -> Iterator[int]:
    """The copies that blends read, by number."""
    return (source for blend in blends for source, _ in blend if source >= 0)


def frozen_kinds(frozen: Frozen, kinds: Sequence[str]) -> Sequence[str]:
    """Which kinds are frozen: all of the given ones, where that says no more than that some are."""
    if isinstance(frozen, FrozenTo):
        return [kind for kind, _ in frozen.blends]
    return kinds if frozen else ()


def keys_frozen(frozen: Frozen) -> Frozen:
    """To what the norm is frozen that a head's keys and values are made with."""
    if isinstance(frozen, FrozenTo) and frozen.keys:
        return FrozenTo(blends=(("scale_attention", frozen.keys),))
    return frozen


def scales_in(frozen: Frozen) -> Iterator[int]:
    """The `ScaleCopy` steps that frozen norms read, by number."""
    if isinstance(frozen, FrozenTo):
        yield from copies_in(*(blend for _, blend in frozen.blends), frozen.keys)


class StepFacts:
    """What planning and execution ask of every step, whatever it is.

    Not an `ABC`: of those `isinstance`, which is asked a million times, is several times slower.
    """

    __slots__ = ()

    @property
    def slot(self) -> float:
        """When it runs: stages are whole numbers, copies run right after the stage they read."""
        raise NotImplementedError

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads; `parts_of` says what a join among them is."""
        raise NotImplementedError

    def width(self, shape: ModelShape) -> int:
        """Numbers that one token of its value holds."""
        raise NotImplementedError


class Resid(StepFacts):
    """A residual stream at a stage."""

    __slots__ = ()
    stage: int

    @property
    def slot(self) -> float:
        """Its stage."""
        return float(self.stage)

    def width(self, shape: ModelShape) -> int:
        """The stream's."""
        return shape.d_model


@record
class PlainResid(Resid):
    """The residual stream of a plain run at a stage; `source` is REFERENCE or a treated source."""

    stage: int
    source: int

    @property
    def reads(self) -> tuple[int, ...]:
        """Nothing: it is a plain run's."""
        return ()


@record
class InputResid(Resid):
    """Stage 0: the embeddings, blended."""

    blend: Blend
    stage: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (*copies_in(self.blend),)


@record
class AttentionResid(Resid):
    """`previous` plus the heads of one layer, each head blended, plus the constant output bias.

    `frozen`: the norm of the heads' sum has the reference run's scale.
    """

    stage: int
    layer: int
    previous: int
    heads: tuple[Blend, ...]
    frozen: Frozen = False

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (self.previous, *copies_in(*self.heads), *scales_in(self.frozen))


@record
class MlpResid(Resid):
    """`previous` plus one MLP's output, blended; the output alone where `previous` is NOTHING.

    With `neurons`, groups of hidden units that come from elsewhere than the rest of the MLP, all
    blends are of hidden values and the output projection is applied to what they make up together;
    a vector that an intervention adds to the rest is added to what that gives.
    """

    stage: int
    layer: int
    previous: int
    blend: Blend
    neurons: tuple[tuple[tuple[int, ...], Blend], ...] = ()

    @property
    def slot(self) -> float:
        """Its stage; before it what neurons write together, which streams there may read."""
        alone = self.previous == NOTHING and bool(self.neurons)
        return self.stage - (0.1 if alone else 0.0)

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        before = () if self.previous == NOTHING else (self.previous,)
        return (*before, *copies_in(self.blend, *(apart for _, apart in self.neurons)))


@record
class HeadsWrite(StepFacts):
    """What some heads of one layer add to the residual stream, summed, without the output bias.

    `heads` are their numbers, `blends` where each value comes from. Where a norm follows attention
    it is that of the sum of all heads as the reader has them: `beside` are the blends of all heads,
    and empty without such a norm. `frozen`: that norm has the reference run's scale.
    """

    layer: int
    heads: tuple[int, ...]
    blends: tuple[Blend, ...]
    beside: tuple[Blend, ...] = ()
    frozen: Frozen = False

    @property
    def slot(self) -> float:
        """Where the heads' layer has been run."""
        return 2.0 * self.layer + 1

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (*copies_in(*(self.beside or self.blends)), *scales_in(self.frozen))

    def width(self, shape: ModelShape) -> int:
        """The stream's."""
        return shape.d_model


@record
class HeadCopy(StepFacts):
    """A head on residual steps of its own; keys and values by distance set where they differ.

    Its query reads a stream at the entry of its layer, keys and values at that of
    `ModelShape.entry`.
    `frozen`: the norm of what it reads has the reference run's scale, token by token.
    """

    layer: int
    head: int
    query: int
    keys: tuple[tuple[int, int], ...]
    values: tuple[tuple[int, int], ...]
    frozen: Frozen = False

    @property
    def slot(self) -> float:
        """Right after the stage that it reads."""
        return 2 * self.layer + 0.5

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        inputs = (self.query, *(read for _, read in (*self.keys, *self.values)))
        return (*inputs, *scales_in(self.frozen))

    def width(self, shape: ModelShape) -> int:
        """A head's."""
        return shape.d_head


@record
class RecurrentCopy(StepFacts):
    """A layer's recurrence on residual steps of its own, by distance set where they differ.

    `frozen`: the norm of what it reads has the reference run's scale, token by token.
    """

    layer: int
    values: tuple[tuple[int, int], ...]
    frozen: Frozen = False

    @property
    def slot(self) -> float:
        """Right after the stage that it reads."""
        return 2 * self.layer + 0.5

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (*(read for _, read in self.values), *scales_in(self.frozen))

    def width(self, shape: ModelShape) -> int:
        """The stream's."""
        return shape.d_model


class Place(NamedTuple):
    """A value of the model: a kind of `PLAIN_KINDS`, its layer, and a head's number.

    Of a mark `resid`, whose `layer` is a stage.
    """

    kind: str
    layer: int = 0
    head: int = -1

    @property
    def in_mlp(self) -> bool:
        """Whether it is an MLP's output."""
        return self.kind == MLP.name


@record
class HeadAct:
    """What an intervention does inside a head, at its own positions `queries`.

    `q`, `k`, `v`: the projected vector is 0, of the tokens `queries`. `block`: those of `keys` are
    not seen, `only`: no others are. `uniform`: equal weights on those of `keys` that are seen.
    `copied`: the pattern of the head copy `pattern`.
    """

    kind: Literal["q", "k", "v", "block", "only", "uniform", "copied"]
    queries: int
    keys: int = FALSE
    pattern: int = -1


@record
class ActedHeadCopy(HeadCopy):
    """A head that an intervention changes inside."""

    acts: tuple[HeadAct, ...]

    @property
    def patterns(self) -> tuple[int, ...]:
        """Numbers of the head copies whose patterns it takes."""
        return tuple(act.pattern for act in self.acts if act.pattern >= 0)

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        inputs = (self.query, *(read for _, read in (*self.keys, *self.values)))
        return (*inputs, *self.patterns, *scales_in(self.frozen))


@record
class ValueCopy(StepFacts):
    """What an intervention makes of a value: `factor` times a blend, plus terms and a vector.

    It stands at `place`; the blend is of the value `of`, most often the same. `terms` are numbers
    with blends of the value's own place. Of `hidden` units the vector is what is added to the
    MLP's output (`MlpResid`).
    """

    place: Place
    of: Place
    blend: Blend
    factor: float = 1.0
    terms: tuple[tuple[float, Blend], ...] = ()
    vector: tuple[float, ...] = ()

    @property
    def slot(self) -> float:
        """Right after the copies of its place."""
        kind, layer, _ = self.place
        after = {"input": -0.5, "head": 0.75, "mlp": 1.75, "hidden": 1.75}
        return layer + 0.25 if kind == "resid" else 2 * layer + after[kind]

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return tuple(copies_in(self.blend, *(blend for _, blend in self.terms)))

    def width(self, shape: ModelShape) -> int:
        """That of the value."""
        if self.place.head >= 0:
            return shape.head_width(self.place.layer)
        return prod(PLAIN_KINDS[self.place.kind].axes(shape, self.place.layer))


@record
class ScaleCopy(StepFacts):
    """The scale that a norm has in the reference run of an intervened model, or the routing of a
    mixture; `kind` of `SCALES`.

    Of the norm behind attention it is that of the heads' sum, of others that of a residual step;
    `given` is that of `MlpCopy`.
    """

    kind: str
    layer: int
    resid: int = NOTHING
    heads: tuple[Blend, ...] = ()
    given: Blend = ()

    @property
    def slot(self) -> float:
        """Right before what is normed with it."""
        after = {"scale_after_attention": 0.9, **dict.fromkeys(OF_MLP, 1.4)}
        return 2 * self.layer + after.get(self.kind, 0.4)

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        before = () if self.resid == NOTHING else (self.resid,)
        return (*before, *copies_in(*self.heads, self.given))

    def width(self, shape: ModelShape) -> int:
        """One number, or one for each expert."""
        return prod(PLAIN_KINDS[self.kind].axes(shape, self.layer))


@record
class _OfMlp(StepFacts):
    """What reads a residual step; `frozen`: its norms have the reference run's scales."""

    layer: int
    resid: int
    frozen: Frozen = False

    @property
    def slot(self) -> float:
        """Right after the stage that it reads."""
        return 2 * self.layer + 1.5

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (self.resid, *scales_in(self.frozen))


@record
class MlpCopy(_OfMlp):
    """An MLP on a residual step of its own, and on what `input` gives it beside the stream."""

    given: Blend = ()

    @property
    def reads(self) -> tuple[int, ...]:
        """Numbers of the steps that it reads."""
        return (self.resid, *copies_in(self.given), *scales_in(self.frozen))

    def width(self, shape: ModelShape) -> int:
        """The stream's."""
        return shape.d_model


@record
class HiddenCopy(_OfMlp):
    """The hidden units of an MLP on a residual step: all its neurons and the rest that read it."""

    def width(self, shape: ModelShape) -> int:
        """Hidden units, and whether the output bias is there."""
        return shape.d_mlp + 1


@record
class JoinResid(Resid):
    """A stream that is another step's at some positions; readers look through it, see `parts_of`.

    `parts`: (step, mask) with disjoint masks that together cover every position, sorted. Only plain
    runs and, at the positions where paths of both kinds stand, one step of the stream's own.
    """

    stage: int
    parts: tuple[tuple[int, int], ...]

    @property
    def reads(self) -> tuple[int, ...]:
        """Nothing: its readers read its parts."""
        return ()


Step = (
    PlainResid
    | InputResid
    | AttentionResid
    | MlpResid
    | HeadsWrite
    | HeadCopy
    | RecurrentCopy
    | MlpCopy
    | HiddenCopy
    | ValueCopy
    | ScaleCopy
    | JoinResid
)


COPIES = HeadCopy | RecurrentCopy | MlpCopy | HiddenCopy
"""Components on streams of their own."""


def parts_of(steps: Sequence[Step], number: int) -> tuple[tuple[int, int], ...]:
    """The steps that a residual step is put together from: (step, mask); itself if no join."""
    step = steps[number]
    return step.parts if isinstance(step, JoinResid) else ((number, TRUE),)
