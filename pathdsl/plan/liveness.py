"""When each step of a plan runs, when its value may be freed, what that costs and weighs.

Memory and arithmetic are estimated from the plan alone, so batches follow from the plan and a
stated limit, never from what happens to be free (docs/semantics.md, Reproducibility).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import assert_never
from weakref import WeakKeyDictionary

import numpy as np

from pathdsl.graph.model.shape import ModelShape
from pathdsl.plan.masks import FALSE
from pathdsl.plan.needs import PlainNeed, plain_write, stages_read
from pathdsl.plan.outputs import Plan, ends_of
from pathdsl.plan.steps import (
    NOTHING,
    OF_MLP,
    PLAIN_KINDS,
    REFERENCE,
    AttentionResid,
    HeadCopy,
    HeadsWrite,
    HiddenCopy,
    InputResid,
    JoinResid,
    MlpCopy,
    MlpResid,
    PlainResid,
    RecurrentCopy,
    ScaleCopy,
    ValueCopy,
    parts_of,
    treated_index,
    treated_source,
)

DEFAULT_MEMORY = 256_000_000
"""Bytes that the values of one batch of rows may take, if nothing else is said."""
KEPT_BYTES = 128_000_000
"""Bytes of what is read of plain runs that may be kept from a mean over them until it is read."""


def share_of(memory: int) -> int:
    """Of the bytes that values may take, those of a batch; as many are left to what is kept."""
    return memory // 2


def reads_of(plan: Plan, number: int) -> Iterator[int]:
    """Numbers of the live steps that a step reads, through joins."""
    steps, need = plan.steps, plan.need
    for read in steps[number].reads:
        step = steps[read]
        if isinstance(step, JoinResid):
            yield from (part for part, _ in step.parts if need[part] != FALSE)
        elif need[read] != FALSE:
            yield read


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Steps by slot, in order, and the slot after which each value is free.

    `slot_of`: the slot of each live step. `written_over`: the copy of an MLP that nothing but one
    residual step reads, by that step, which takes its place in memory.
    """

    slots: tuple[tuple[float, tuple[int, ...]], ...]
    last_use: dict[int, float]
    slot_of: Mapping[int, float]
    written_over: Mapping[int, int]


_SCHEDULES: WeakKeyDictionary[Plan, Schedule] = WeakKeyDictionary()
_COSTS: WeakKeyDictionary[Plan, dict[tuple[int, int | None], Cost]] = WeakKeyDictionary()
"""What is known of plans that are in use: a check asks several times, for each of its parts."""


def schedule(plan: Plan) -> Schedule:
    """Slots in which the live steps of a plan run; outputs are read after the last slot.

    A value that is read below where it stands (back-patching), or beside it, puts what reads it
    into another pass through the layers.
    """
    found = _SCHEDULES.get(plan)
    if found is None:
        found = _SCHEDULES[plan] = _schedule(plan)
    return found


def _schedule(plan: Plan) -> Schedule:
    n_layers = plan.shape.n_layers
    whole = 2.0 * n_layers + 2  # slots of one pass
    by_slot: dict[float, list[int]] = {}
    last: dict[int, float] = {}
    passes: dict[int, int] = {}
    slots: dict[int, float] = {}
    final = []
    owns: dict[int, float] = {}
    for number in plan.alive:
        step, turn = plan.steps[number], 0
        own, reads = step.slot, [*dict.fromkeys(reads_of(plan, number))]
        owns[number] = own
        for read in reads:
            turn = max(turn, passes[read] + (owns[read] >= own))
        passes[number] = turn
        slot = slots[number] = turn * whole + own
        by_slot.setdefault(slot, []).append(number)
        for read in reads:
            if last[read] < slot:
                last[read] = slot
        last[number] = slot
        if isinstance(step, PlainResid) and step.stage == 2 * n_layers:
            final.append(number)
    end = 1 + max([2.0 * n_layers, *slots.values()])
    last |= dict.fromkeys(final, end)  # `kl` compares every output with the reference run's
    for output in plan.outputs:
        if output.positions != FALSE:
            for read in (output.resid, output.frozen):
                if read >= 0:
                    for part, _ in parts_of(plan.steps, read):
                        last[part] = end
        for read in ends_of(output):
            for part, _ in parts_of(plan.steps, read):
                last[part] = end
    return Schedule(
        slots=tuple((slot, tuple(by_slot[slot])) for slot in sorted(by_slot)),
        last_use=last,
        slot_of=slots,
        written_over=dict(_written_over(plan, last, slots)),
    )


def _written_over(
    plan: Plan, last: Mapping[int, float], slots: Mapping[int, float]
) -> Iterator[tuple[int, int]]:
    steps, need = plan.steps, plan.need
    readers: dict[int, int] = {}
    for number in plan.alive:
        for read in dict.fromkeys(reads_of(plan, number)):
            readers[read] = readers.get(read, 0) + 1
    for number in plan.alive:
        step, here = steps[number], need[number]
        if not isinstance(step, MlpResid) or step.neurons or step.previous == NOTHING:
            continue
        copy, *others = (s for s, mask in step.blend if plan.masks.both(mask, here) != FALSE)
        if others or copy < 0 or not isinstance(steps[copy], MlpCopy) or readers[copy] > 1:
            continue
        if need[copy] == here and last[copy] == slots[number]:
            yield number, copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Multiply-adds of a plan, of one plain forward of the same rows, and memory.

    `plain_runs`: forward passes over whole prompts that give the cached values. `row_bytes`: the
    most that values of one row weigh at any moment; `copies_by_layer`: computed copies. Parts of
    `macs`: `by_slot` are those of the copies for one draw, by slot; `readout` those at the logits
    for one draw; `plain_run` those of one whole plain run. A plain run stops behind the last layer
    that is read of it: `plain_of` are the multiply-adds of one by its source, and `unread` what all
    of them leave out. `macs` counts them whole, since batches are cut by it.
    """

    macs: int
    plain_macs: int
    plain_runs: int
    row_bytes: int
    copies_by_layer: tuple[int, ...]
    by_slot: Mapping[float, int] = field(default_factory=dict)
    readout: int = 0
    plain_run: int = 0
    plain_of: Mapping[int, int] = field(default_factory=dict)
    unread: int = 0

    @property
    def spent(self) -> int:
        """Multiply-adds that executing the plan takes."""
        return self.macs - self.unread

    @property
    def forwards(self) -> float:
        """The plan's arithmetic as a multiple of one plain forward pass with full unembedding."""
        return self.spent / self.plain_macs if self.plain_macs else 0.0


def cost(plan: Plan, itemsize: int, vocab_columns: int | None) -> Cost:
    """Estimate a plan; `vocab_columns` None means some metric reads the whole vocabulary."""
    known = _COSTS.setdefault(plan, {})
    if (itemsize, vocab_columns) not in known:
        known[itemsize, vocab_columns] = _cost(plan, itemsize, vocab_columns)
    return known[itemsize, vocab_columns]


def _cost(plan: Plan, itemsize: int, vocab_columns: int | None) -> Cost:
    s, masks = plan.shape, plan.masks
    tokens = {
        m: int(masks.array(m).sum()) for m in {*plan.need, *(o.positions for o in plan.outputs)}
    }
    keys_seen = np.arange(1, masks.n_pos + 1)  # in causal attention; in others all of the prompt
    pairs: dict[int, int] = {}  # (query, key) pairs of the tokens of a mask
    lengths = masks.valid.sum(axis=1)
    pairs_plain = int((lengths * (lengths + 1) // 2 if s.causal else lengths**2).sum())
    n_tokens = int(lengths.sum())
    d, dh, heads = s.d_model, s.d_head, s.n_heads
    into_mlp = d * s.d_mlp * (2 if s.gated_mlp else 1)  # up to the hidden units
    # Of a mixture the router and the experts that a token uses.
    mlps = [
        d * (s.used_units(layer) * (3 if s.gated_mlp else 2) + s.routes(layer) * s.n_experts)
        for layer in range(s.n_layers)
    ]
    if s.per_layer_input:  # its gate of `input`, there and back
        mlps = [of_layer + 2 * d * s.per_layer_input for of_layer in mlps]
    asks = 2 if s.gated_heads else 1  # a query and its gate
    projections = d * dh * ((1 + asks) * heads + 2 * s.n_groups)
    recurrent = 0 if s.recurrence is None else s.recurrence.macs(d)
    attentive = sum(not s.recurs(layer) for layer in range(s.n_layers))
    per_token = attentive * projections + (sum(mlps) if s.has_mlp else 0)
    per_token += (s.n_layers - attentive) * recurrent
    per_token -= sum(map(s.shares, range(s.n_layers))) * 2 * d * dh * s.n_groups
    per_token += d * s.n_layers * s.per_layer_input
    trunk = n_tokens * per_token + attentive * 2 * heads * dh * pairs_plain
    plain = trunk + n_tokens * d * s.n_logits
    by_slot: dict[float, int] = {}
    by_layer = [0] * s.n_layers
    order = schedule(plan)
    projected: set[tuple[int, int, int, str]] = set()
    for number in plan.alive:
        here = tokens[plan.need[number]]
        macs = 0
        match plan.steps[number]:
            case AttentionResid() as written if s.recurs(written.layer):
                pass  # it is written already
            case AttentionResid() as written:
                if plain_write(written, plan.need[number], masks) is None:
                    macs += here * d * heads * dh
            case HeadsWrite(layer=layer) if s.recurs(layer):
                pass
            case HeadsWrite(heads=chosen, beside=beside):
                # With a norm behind them: all heads for its scale, then the chosen and none alone.
                macs += here * d * dh * (3 * heads if beside else len(chosen))
            case HeadCopy(layer=layer, head=head, query=query, keys=keys, values=values):
                by_layer[layer] += 1
                need = plan.need[number]
                if need not in pairs:
                    queries = masks.array(need)
                    seen = queries @ keys_seen if s.causal else queries.sum(axis=1) * lengths
                    pairs[need] = int(seen.sum())
                macs += 2 * pairs[need] * dh
                for reads_by, read in [
                    ("q", query),
                    *(("k", step) for _, step in keys),
                    *(("v", step) for _, step in values),
                ]:
                    whose = head if reads_by == "q" else head * s.n_groups // heads
                    for step, _ in parts_of(plan.steps, read):
                        if (layer, step, whose, reads_by) not in projected:
                            projected.add((layer, step, whose, reads_by))
                            each = asks if reads_by == "q" else 1
                            macs += tokens[plan.need[step]] * d * dh * each
            case RecurrentCopy(layer=layer, values=values):
                by_layer[layer] += 1
                read_at = sum(tokens[plan.need[part]] for _, read in values
                              for part, _ in parts_of(plan.steps, read))  # fmt: skip
                # By distance every token has a sequence of its own.
                macs += (read_at if len(values) == 1 else here * masks.n_pos) * recurrent
            case MlpCopy(layer=layer):
                by_layer[layer] += 1
                macs += here * mlps[layer]
            case ScaleCopy(kind=kind, layer=layer):  # of a norm of an MLP by way of the MLP
                macs += here * (mlps[layer] if kind in OF_MLP else d * heads * dh)
            case HiddenCopy(layer=layer):
                by_layer[layer] += 1
                macs += here * into_mlp
            case MlpResid(neurons=neurons) if neurons:
                macs += here * d * s.d_mlp
            case PlainResid() | InputResid() | MlpResid() | JoinResid() | ValueCopy():
                pass
            case unknown:
                assert_never(unknown)
        slot = order.slot_of[number]
        by_slot[slot] = by_slot.get(slot, 0) + macs
    columns = s.n_logits if vocab_columns is None else vocab_columns
    readout = sum(tokens[o.positions] for o in plan.outputs) * d * columns
    for copy in (copy for o in plan.outputs for copy in o.copies):  # OV and the whole vocabulary
        for part, _ in parts_of(plan.steps, copy.step):
            readout += tokens[plan.need[part]] * d * (2 * dh + s.n_logits)
    plain_of: dict[int, int] = {}
    for source, kind, place in plain_reads(plan):
        stage = PLAIN_KINDS[kind].stage(place)
        run = trunk * ((stage + 1) // 2) // s.n_layers
        plain_of[source] = max(plain_of.get(source, 0), run)
    runs = sum(_runs_of(plan, source) for source in plain_of)
    unread = sum(_runs_of(plan, source) * (trunk - run) for source, run in plain_of.items())
    for source, (mean, share) in made_before(plan, itemsize).items():
        unread += round(share * min(plain_of[source], plain_of[mean]))
    draws = plan.draws
    hidden = [source for source, kind, _ in plan.plain_need if kind == "hidden"]
    again = sum(_runs_of(plan, source) for source in hidden)
    whole = (sum(by_slot.values()) + readout) * draws + runs * trunk
    return Cost(
        macs=whole + again * n_tokens * into_mlp,
        plain_macs=plain,
        plain_runs=runs,
        row_bytes=row_bytes(plan, itemsize, order),
        copies_by_layer=tuple(by_layer),
        by_slot=by_slot,
        readout=readout,
        plain_run=trunk,
        plain_of=plain_of,
        unread=unread,
    )


def made_before(plan: Plan, itemsize: int) -> dict[int, tuple[int, float]]:
    """Plain runs of a column over which a mean is taken, too, by source: the mean's source, and the
    share that need not be run again, since what is read of it is kept until then (`KEPT_BYTES`)."""
    if plan.draws > 1:
        return {}
    read = {spec.column: n for n, spec in enumerate(plan.treated) if spec.how.own_run}
    found: dict[int, tuple[int, float]] = {}
    for number, spec in enumerate(plan.treated):
        paired = read.get(spec.column)
        if paired is None or not spec.how.averaged or number in plan.means:
            continue
        source, mean = treated_source(paired), treated_source(number)
        weight = sum(
            int(plan.masks.array(mask).sum()) * _plain_bytes((kind, at), itemsize, plan.shape)
            for (of, kind, at), mask in plain_reads(plan).items()
            if of == source
        )
        if weight and any(of == mean for of, _, _ in plan.plain_need):
            found[source] = mean, min(1.0, KEPT_BYTES / weight)
    return found


def plain_reads(plan: Plan) -> PlainNeed:
    """What is read of each plain run, the stages that steps are among it."""
    found: PlainNeed = {}
    for (source, kind, layer), mask in stages_read(plan.steps, plan.need, plan.plain_need).items():
        key = plan.run_of(source, kind, layer), kind, layer
        found[key] = plan.masks.either(found.get(key, FALSE), mask)
    return found


def _runs_of(plan: Plan, source: int) -> int:
    return 1 if source == REFERENCE else plan.treated[treated_index(source)].runs


def row_bytes(plan: Plan, itemsize: int, order: Schedule) -> int:
    """The most bytes that values of one average row hold at any moment of a plan."""
    s = plan.shape
    rows = max(plan.masks.n_rows, 1)
    masks = {*plan.need, *plan.plain_need.values()}
    tokens = {mask: plan.masks.array(mask).sum() / rows for mask in masks}
    size: dict[int, float] = {}
    for number in plan.alive:
        width = plan.steps[number].width(s)
        size[number] = tokens[plan.need[number]] * width * itemsize
    fixed = sum(
        tokens[mask] * _plain_bytes((kind, at), itemsize, s)
        for (_, kind, at), mask in plan.plain_need.items()
    )
    live = most = 0.0
    ends: dict[float, float] = {}
    over, under = order.written_over, set(order.written_over.values())
    for slot, steps in order.slots:
        live += sum(size[n] for n in steps if n not in over)
        for n in steps:
            if n not in under:
                ends[order.last_use[n]] = ends.get(order.last_use[n], 0.0) + size[n]
        most = max(most, live)
        for when in [w for w in ends if w <= slot]:
            live -= ends.pop(when)
    units = max(map(s.used_units, range(s.n_layers)), default=0)
    width = 6 * s.d_model + units + s.n_heads * plan.masks.n_pos
    width += s.n_layers * s.per_layer_input
    width += 0 if s.recurrence is None else s.recurrence.working
    working = plan.masks.valid.sum() / rows * itemsize * width
    return int(most + fixed + working)


def _plain_bytes(key: tuple[str, int], itemsize: int, shape: ModelShape) -> int:
    """Bytes that one token of a kept plain value, a kind with its layer, holds."""
    record = PLAIN_KINDS[key[0]]
    return (max(itemsize, 4) if record.wide else itemsize) * prod(record.axes(shape, key[1]))
