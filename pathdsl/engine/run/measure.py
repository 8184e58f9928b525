"""Measures at the logits: from a run's final residual stream to one number per prompt.

`logit`, `prob`, `logprob`, `rank`, `top1`, KL in both directions, the id of the best token, and
attention mass; see `pathdsl.plan.readout.Measure`, and `pathdsl.engine.run.written` for measures of
what a component writes. Only the vocabulary columns that are asked for
are computed when nothing normalises over the vocabulary. Normalisers are summed in float64.

Ties count against: a token that shares the highest logit with another has rank 2. The rank of a
list is the best of its tokens' ranks, so equal tokens of the list count against each other, too;
`top1` asks only whether some token outside the list is as likely as its best.

An answer of several tokens is read before each of them, with those before it given: its
log probability is their sum, and it is the most likely where each of them is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pathdsl.engine.adapters.base import Adapter
from pathdsl.engine.data.positions import position_mask
from pathdsl.engine.run.execute import BatchExecution
from pathdsl.engine.run.projections import portions
from pathdsl.engine.run.sites import Sites
from pathdsl.engine.run.written import copied, final_scales, written
from pathdsl.graph.paths.pathset import Pos
from pathdsl.plan.outputs import AttentionRead, Output, Plan
from pathdsl.plan.readout import Measure
from pathdsl.plan.taskdata import TaskData

VOCAB_CHUNK = 1 << 23
"""Logits (tokens x vocabulary) that are in memory at once."""


def token_answers(
    task: TaskData, measure: Measure, rows: np.ndarray, positions: np.ndarray
) -> list[tuple[int, ...]]:
    """The accepted ids of a measure's column for each token read; `next` follows the position."""
    if task.reads_whole(measure):
        prompt = task.prompts[task.reference]
        # The last token is read by no answer; it gets a stand-in.
        last = prompt.shape[1] - 1
        return [(int(prompt[r, min(p + 1, last)]),) for r, p in zip(rows, positions, strict=True)]
    if measure.column == "next":
        prompt = task.prompts[task.reference]
        inside = position_mask(task)(Pos.parse(measure.position))
        # Tokens that only other measures read get a stand-in; nothing may follow them.
        return [
            (int(prompt[r, p + 1]),) if inside[r, p] else (0,)
            for r, p in zip(rows, positions, strict=True)
        ]
    return [task.answers[measure.column][r] for r in rows]


def measure_outputs(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    execution: BatchExecution,
    sites: Sites,
    reference_final: int | None,
    tick: Callable[[], None] = lambda: None,
) -> dict[tuple[int, Measure], np.ndarray]:
    """(output number, measure) to (rows of the batch,) float64; `tick` after each output.

    `reference_final`: the residual step of the reference run's logits, for divergences.
    """
    found: dict[tuple[int, Measure], np.ndarray] = {}
    of_columns = _columns_of_all(plan, task, adapter, execution, sites)
    for number, output in enumerate(plan.outputs):
        tick()
        for read in output.attention:
            found[number, read.measure] = _attention(plan, read, execution, sites)
        for copy in output.copies:
            found[number, copy.measure] = copied(plan, task, adapter, execution, sites, copy)
        scales = None
        if any(write.measure.record.scaled for write in output.writes):
            scales = final_scales(plan, adapter, execution, sites, output)
        for write in output.writes:
            measure, rows = write.measure, sites.rows_of(write.positions)
            answers: Sequence[tuple[int, ...]] = ()
            if measure.column:
                positions = sites.positions_of(write.positions)
                answers = token_answers(task, measure, rows + sites.start, positions)
            given = scales if measure.record.scaled else None
            values = written(adapter, execution, sites, write, output, given, answers)
            found[number, measure] = _mean_by_row(values, rows, sites.stop - sites.start)
        measures = _at_logits(output)
        if not measures:
            continue
        tokens = of_columns.get(number) or _token_values(
            plan, task, adapter, execution, sites, output, measures, reference_final
        )
        rows = sites.rows_of(output.positions)
        for measure in measures:
            mask = plan.position_masks[measure.position]
            inside = sites.inside(mask, output.positions)
            keep = np.ones(len(rows), bool) if inside is None else inside.cpu().numpy()
            by_row = _OF_WHOLE[measure.kind][1] if task.reads_whole(measure) else _mean_by_row
            found[number, measure] = by_row(
                tokens[measure][keep], rows[keep], sites.stop - sites.start
            )
    return found


def _at_logits(output: Output) -> tuple[Measure, ...]:
    return tuple(m for m in output.measures if m.at_logits and not m.record.scaled)


def _columns_of_all(
    plan: Plan, task: TaskData, adapter: Adapter, execution: BatchExecution, sites: Sites
) -> dict[int, dict[Measure, np.ndarray]]:
    """`_token_values` of the outputs that read single logits, those at the same tokens together.

    Each token is a product of its own, so that equal streams have equal bits whichever outputs are
    beside them: what changes nothing is exactly 0. A prediction head has products over tokens.
    """
    if plan.shape.prediction_head:
        return {}
    groups: dict[tuple[int, tuple[Measure, ...]], list[int]] = defaultdict(list)
    for number, output in enumerate(plan.outputs):
        measures = _at_logits(output)
        whole = any(m.record.vocabulary for m in measures)
        if measures and not whole and not sites.count(output.frozen_at):
            groups[output.positions, measures].append(number)
    found: dict[int, dict[Measure, np.ndarray]] = {}
    for (mask, measures), numbers in groups.items():
        rows, positions = sites.rows_of(mask) + sites.start, sites.positions_of(mask)
        answers = [token_answers(task, m, rows, positions) for m in measures]
        ids = torch.tensor(
            [[of[token][0] for of in answers] for token in range(len(rows))], dtype=torch.long
        ).reshape(len(rows), len(measures))
        for some in portions(numbers, lambda _, n=len(rows): n, execution.most):  # type: ignore[misc]
            streams = [execution.at(plan.outputs[number].resid, mask) for number in some]
            normed = adapter.final_norm(torch.cat(streams)).unsqueeze(1)
            logits = adapter.unembed_columns(normed, ids.repeat(len(some), 1))[:, 0]
            each = logits.unflatten(0, (len(some), -1)).double().cpu().numpy()
            for number, values in zip(some, each, strict=True):  # (tokens, columns)
                found[number] = {m: values[:, n] for n, m in enumerate(measures)}
    return found


def _mean_by_row(values: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    total = np.bincount(rows, weights=values, minlength=n_rows)
    return total / np.bincount(rows, minlength=n_rows)


def _sum_by_row(values: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    return np.bincount(rows, weights=values, minlength=n_rows)


def _all_by_row(values: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    return (_sum_by_row(1 - values, rows, n_rows) == 0).astype(np.float64)


def _token_values(
    plan: Plan,
    task: TaskData,
    adapter: Adapter,
    execution: BatchExecution,
    sites: Sites,
    output: Output,
    measures: Sequence[Measure],
    reference_final: int | None,
) -> dict[Measure, np.ndarray]:
    """Each measure at every token read, (tokens,) float64."""
    rows = sites.rows_of(output.positions) + sites.start
    positions = sites.positions_of(output.positions)
    normed = _normed(plan, adapter, execution, sites, output)
    answers = {m: token_answers(task, m, rows, positions) for m in measures if m.column}
    if not any(m.record.vocabulary for m in measures):
        return _columns(adapter, normed, answers)  # with a frozen norm
    reference = None
    if any(m.record.reads == "reference" for m in measures):
        if reference_final is None:
            raise ValueError("the plan lacks the reference run that a divergence compares with")
        reference = adapter.final_norm(execution.at(reference_final, output.positions))
    size = max(VOCAB_CHUNK // plan.shape.n_logits, 1)
    parts: dict[Measure, list[np.ndarray]] = defaultdict(list)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        logits = adapter.unembed(normed[part]).double()
        base = None if reference is None else adapter.unembed(reference[part]).double()
        for m in measures:
            ids = answers[m][part] if m in answers else []
            found = from_logits(m, logits, ids, base, whole=task.reads_whole(m))
            parts[m].append(found.double().cpu().numpy())
    return {m: np.concatenate(parts[m]) if parts[m] else np.zeros(0) for m in measures}


def _normed(
    plan: Plan, adapter: Adapter, execution: BatchExecution, sites: Sites, output: Output
) -> Tensor:
    """(tokens read, d): what is unembedded; the final norm is frozen where the output says so."""
    own_at = plan.masks.without(output.positions, output.frozen_at)
    own = frozen = None
    if sites.count(own_at):
        own = adapter.final_norm(execution.at(output.resid, own_at))
    if sites.count(output.frozen_at):
        scales = execution.scales(
            ["scale_final"], plan.shape.n_layers, [output.frozen_at], output.frozen_to
        )
        frozen = adapter.final_norm(execution.at(output.frozen, output.frozen_at), scales)
    if own is None or frozen is None:
        whole = own if frozen is None else frozen
        assert whole is not None
        return whole
    where = sites.inside(output.frozen_at, output.positions)
    assert where is not None
    normed = own.new_empty((len(where), own.shape[-1]))
    normed[where], normed[~where] = frozen, own
    return normed


def _columns(
    adapter: Adapter, normed: Tensor, answers: Mapping[Measure, Sequence[tuple[int, ...]]]
) -> dict[Measure, np.ndarray]:
    """Single logits without the rest of the vocabulary."""
    measures = list(answers)
    ids = torch.tensor(
        [[answers[m][t][0] for m in measures] for t in range(len(normed))], dtype=torch.long
    ).reshape(len(normed), len(measures))
    logits = adapter.unembed_columns(normed.unsqueeze(1), ids)[:, 0].double().cpu().numpy()
    return {m: logits[:, place] for place, m in enumerate(measures)}


Accepted = Sequence[tuple[int, ...]]
"""The ids that count as the answer, for each token read."""


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _mask(logits: Tensor, ids: Accepted) -> Tensor:
    """(tokens, vocabulary) bool: the answers."""
    mask = torch.zeros_like(logits, dtype=torch.bool)
    at = [(token, one) for token, accepted in enumerate(ids) for one in accepted]
    tokens, answers = torch.tensor(at, dtype=torch.long, device=logits.device).reshape(-1, 2).T
    mask[tokens, answers] = True
    return mask


def _logit(logits: Tensor, ids: Accepted) -> Tensor:
    first = torch.tensor([t[0] for t in ids], device=logits.device)
    return logits.gather(1, first.unsqueeze(1))[:, 0]


def _logprob(logits: Tensor, ids: Accepted) -> Tensor:
    return logits.log_softmax(-1).masked_fill(~_mask(logits, ids), -torch.inf).logsumexp(-1)


def _level(logits: Tensor, mask: Tensor) -> Tensor:
    """The best answer, the tokens ahead of it and those tied with it."""
    return logits >= logits.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True)


def _top1(logits: Tensor, ids: Accepted) -> Tensor:
    mask = _mask(logits, ids)
    return ~(_level(logits, mask) & ~mask).any(-1)


_OF_ANSWERS: dict[str, Callable[[Tensor, Accepted], Tensor]] = {
    "logit": _logit,
    "prob": lambda logits, ids: _logprob(logits, ids).exp(),
    "logprob": _logprob,
    "rank": lambda logits, ids: _level(logits, _mask(logits, ids)).sum(-1),
    "top1": _top1,
    "top_token": lambda logits, ids: logits.argmax(-1),
}
_ByRow = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
_OF_WHOLE: dict[str, tuple[Callable[[Tensor, Accepted], Tensor], _ByRow]] = {
    "prob": (_logprob, lambda values, rows, n_rows: np.exp(_sum_by_row(values, rows, n_rows))),
    "logprob": (_logprob, _sum_by_row),
    "top1": (_top1, _all_by_row),
}
"""Of an answer of several tokens: what is taken of each token, and a row's tokens together."""
_OF_PAIRS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": lambda logits, reference: _divergence(reference, logits),
    "reverse_kl": lambda logits, reference: _divergence(logits, reference),
}
"""How each measure at the logits is computed, (tokens,)."""


def from_logits(
    measure: Measure,
    logits: Tensor,
    ids: Accepted,
    reference: Tensor | None,
    *,
    whole: bool = False,
) -> Tensor:
    """One measure of (tokens, vocabulary) float64 logits; `whole`: a part of that of an answer."""
    if measure.record.reads == "reference":
        assert reference is not None
        return _OF_PAIRS[measure.kind](logits, reference)
    if whole:
        return _OF_WHOLE[measure.kind][0](logits, ids)
    return _OF_ANSWERS[measure.kind](logits, ids)


def _attention(
    plan: Plan, read: AttentionRead, execution: BatchExecution, sites: Sites
) -> np.ndarray:
    """Attention mass on the key positions, averaged over the query positions, per row."""
    n_rows = sites.stop - sites.start
    total, count = np.zeros(n_rows), np.zeros(n_rows)
    key_mask = plan.masks.array(read.keys)[sites.start : sites.stop]
    for source, mask in read.blend:
        if not sites.count(mask):
            continue
        tensors = execution.attention[source]
        weights = tensors[0].double().cpu().numpy()  # NumPy has no bfloat16
        asked, have = (part.cpu().numpy() for part in tensors[1:])
        wanted = plan.masks.array(mask)[sites.start : sites.stop]
        row = np.arange(n_rows)[:, None]
        use = (asked >= 0) & wanted[row, np.maximum(asked, 0)]
        on_key = (have >= 0) & key_mask[row, np.maximum(have, 0)]
        mass = (weights * on_key[:, None, :]).sum(-1)
        total += (mass * use).sum(-1)
        count += use.sum(-1)
    return total / count
