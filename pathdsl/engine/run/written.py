"""Measures of a component: from what it writes to the residual stream to one number per prompt.

With w the write of the nodes in the copy that goes straight to `logits`, in float64:

- `dla`: the entries of `linear part of the final norm (w)` in the column of the unembedding that
  belongs to the token, with the scale that the final norm has in this run;
- `norm`: the length of w, the root of the sum of its squares;
- `cosine`: of w and the write of the same nodes in a plain run;
- `copy_score`: see `copied`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.adapters.norms import Given, Noted
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.sites import Sites
from pathdsl.errors import Diagnostic, EngineError
from pathdsl.plan.masks import FALSE
from pathdsl.plan.outputs import CopyRead, MixedCopyRead, Output, Parts, Plan, WriteRead
from pathdsl.plan.readout import Measure
from pathdsl.plan.taskdata import TaskData

__all__ = ["copied", "final_scales", "written"]

_CHUNK = 1 << 23
"""Logits (tokens x vocabulary) that are in memory at once."""


def final_scales(
    plan: Plan, adapter: Adapter, execution: BatchExecution, sites: Sites, output: Output
) -> Given:
    """The scale of the final norm at each token read, (tokens, 1); empty without a final norm.

    The run's own; the reference run's where the output is frozen.
    """
    own_at = plan.masks.without(output.positions, output.frozen_at)
    found: list[tuple[int, Tensor]] = []
    if sites.count(own_at):
        noted = Noted()
        adapter.final_norm(execution.at(output.resid, own_at), noted)
        found += ((own_at, scale) for scale in noted.found.values())
    if sites.count(output.frozen_at):
        given = execution.scales(
            ["scale_final"], plan.shape.n_layers, [output.frozen_at], output.frozen_to
        )
        found += ((output.frozen_at, scale) for scale in given.scales.values())
    if not found:
        return Given(scales={})
    whole = found[0][1].new_empty((sites.count(output.positions), 1), dtype=torch.float64)
    for mask, scale in found:
        where = sites.inside(mask, output.positions)
        whole[slice(None) if where is None else where] = scale.double()
    return Given(scales={"scale_final": whole})


def written(
    adapter: Adapter,
    execution: BatchExecution,
    sites: Sites,
    read: WriteRead,
    output: Output,
    scales: Given | None,
    answers: Sequence[tuple[int, ...]],
) -> np.ndarray:
    """One measure of what nodes write, (tokens of the measure,) float64.

    `scales` of the final norm at the tokens of the output, and the `answers` of each token of the
    measure: of one that is scaled, which is what is added to the logit of the answer.

    Raises EngineError PD261 where a cosine is asked of a write that is 0.
    """
    own = _sum(execution, sites, read.parts, read.positions)
    if scales is not None:
        where = sites.inside(read.positions, output.positions)
        here = {k: s if where is None else s[where] for k, s in scales.scales.items()}
        normed = adapter.final_norm_part(own, Given(scales=here))
        ids = torch.tensor([[ids[0]] for ids in answers], dtype=torch.long)
        values = adapter.unembed_part(normed, ids.reshape(len(own), 1))[:, 0]
    elif read.beside:
        other = _sum(execution, sites, read.beside, read.positions)
        _no_zero(own, other, read, sites)
        values = OF_PAIRS[read.measure.kind](own, other)
    else:
        values = OF_WRITES[read.measure.kind](own)
    return values.cpu().numpy()


OF_WRITES: dict[str, Callable[[Tensor], Tensor]] = {"norm": lambda own: own.norm(dim=-1)}
OF_PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda own, other: (
        (own * other).sum(-1) / (own.norm(dim=-1) * other.norm(dim=-1))
    ).clamp(-1.0, 1.0),
}
"""How each measure is computed of what is written, here and in a plain run: (tokens, d) each."""


def _sum(execution: BatchExecution, sites: Sites, parts: Parts, positions: int) -> Tensor:
    """The summed values of some steps at each token, (tokens, d) float64."""
    shape, adapter = execution.plan.shape, execution.adapter
    total = torch.zeros(
        (sites.count(positions), shape.d_model), dtype=torch.float64, device=adapter.device
    )
    for step, mask in parts:
        if sites.count(mask):
            where = sites.inside(mask, positions)
            total[slice(None) if where is None else where] += execution.at(step, mask).double()
    return total


def _no_zero(own: Tensor, other: Tensor, read: WriteRead, sites: Sites) -> None:
    """Raise EngineError PD261 where a write has no direction."""
    lengths = own.norm(dim=-1), other.norm(dim=-1)
    below = lengths[0] * lengths[1]
    if bool((below == 0).any()):
        token = int((below == 0).nonzero()[0, 0])
        row = int(sites.rows_of(read.positions)[token]) + sites.start
        which = "this run" if bool(lengths[0][token] == 0) else f"`{read.measure.run}`"
        raise EngineError(
            Diagnostic(
                code="PD261",
                message=f"`{read.measure.nodes}` writes 0 in {which} at "
                f"`@{read.measure.position}` of prompt {row + 1}, and 0 has no direction",
                help=f"leave these nodes out, or compare lengths: `norm({read.measure.nodes})`",
            )
        )


def copied(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    execution: BatchExecution,
    sites: Sites,
    read: CopyRead,
) -> np.ndarray:
    """The share of tokens that a head would copy, (rows of the batch,) float64.

    The stream after the first layer, at each token in turn, goes through the head's own norm, its
    values and its output projection, then through the final norm and the unembedding, biases
    included: what the head would write if it looked at that token alone. The token is copied where
    fewer than `top` others have a logit at least as large. The sign of the write is turned where
    the measure is `negated`. Wang et al. 2022 (arXiv:2211.00593), section 3.1.
    """
    measure = read.measure
    prompts = _tokens(plan, task, read)
    n_rows = sites.stop - sites.start
    hits, count = np.zeros(n_rows), np.zeros(n_rows)
    known: dict[int, np.ndarray] = {}
    for mask in read.positions:
        rows = sites.rows_of(mask)
        if mask not in known:
            ids = torch.from_numpy(prompts[rows + sites.start, sites.positions_of(mask)])
            stream = execution.at(read.step, mask)
            size = max(_CHUNK // plan.shape.n_logits, 1)
            parts = zip(stream.split(size), ids.split(size), strict=True)
            found = [_copies(adapter, measure, part, wanted) for part, wanted in parts]
            known[mask] = np.concatenate(found) if found else np.zeros(0)
        hits += np.bincount(rows, weights=known[mask], minlength=n_rows)
        count += np.bincount(rows, minlength=n_rows)
    return hits / count


def _tokens(plan: Plan, task: TaskData, read: CopyRead) -> np.ndarray:
    """(rows, pos): the token ids that stand in the stream."""
    ids = task.prompts[read.column or task.reference]
    if isinstance(read, MixedCopyRead) and read.cut != FALSE:
        return np.where(plan.masks.array(read.cut), task.prompts[read.other], ids)
    return ids


def _copies(adapter: Adapter, measure: Measure, stream: Tensor, ids: Tensor) -> np.ndarray:
    """1 where the head copies a token, else 0: (tokens, d) and (tokens,) -> (tokens,)."""
    assert measure.head is not None
    layer, head = measure.head
    entry = adapter.shape.entry(layer, "v")
    normed = adapter.attention_input(entry, stream)
    value = adapter.project(entry, "v", normed.unsqueeze(0), [head])[0]  # (tokens, 1, d_head)
    out = _written_alone(adapter, layer, head, value)
    logits = adapter.unembed(adapter.final_norm(-out if measure.negated else out))
    own = logits.gather(1, ids.to(logits.device).unsqueeze(1))
    ranks = (logits >= own).sum(-1)
    return (ranks <= measure.top).double().cpu().numpy()


def _written_alone(adapter: Adapter, layer: int, head: int, value: Tensor) -> Tensor:
    """What one head with this value writes, through the norm after attention where there is one."""
    if not adapter.shape.norm_after_attention:
        return adapter.write(layer, value, [head])
    every = value.new_zeros((len(value), adapter.shape.n_heads, adapter.shape.d_head))
    every[:, head] = value[:, 0]
    noted = Noted()
    adapter.attention_write(layer, every, noted)
    scales = Given(scales=noted.found)
    return adapter.attention_write(layer, every, scales) - adapter.attention_write(
        layer, torch.zeros_like(every), scales
    )
