"""Small models, few prompts: the same runs in plain hooks, batched as a careful user would.

    python -m benchmarks.small [NAME …] [--shape small] [--shape mini] [--rows 16] [--turns 9]

By hand many runs are stacked to one batch, each site has one hook for all of them, what is put in
place is chosen by one mask, values of both prompts are computed once, and only the last position is
unembedded. How many runs are stacked is whatever is fastest of `STACKED`. `pathdsl` plans and runs,
as a check does; self-checks and statistics are no part of either. Both take turns in one process,
and their logit differences are compared. With `--knockouts 1000` W6b is a thousand knockout sets,
of a circuit of twelve of the sixteen heads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .drivers import Hooks, Taken, touched_queries
from .engine import prepare_workload
from .patches import Patch, Run, Site, Source, hand_written, wanted
from .shapes import SHAPES
from .workloads import acted_heads, circuit_heads, receivers_of

__all__ = ["NAMES", "STACKED", "Stacked", "compared", "differences"]

NAMES = ("W1r", "W1h", "W2", "W3", "W6a", "W6b", "W7a", "W7b", "W8a", "W8b")
STACKED = (8, 32, 128)
"""Runs in a batch."""

MEMBERS = 12
"""Heads of the circuit whose knockouts are drawn where it is said how many; 2**12 sets are more."""

Kept = dict[tuple[Source, Site], Tensor]
"""Values of both prompts (rows, positions, width); of a first forward (runs, rows, …)."""


class Stacked:
    """One forward for several runs of the reference prompts, (runs * rows, positions) ids."""

    def __init__(self, model: Any) -> None:
        self.model, self.taken = model, Taken(model)

    def forward(
        self, ids: Tensor, patches: Sequence[Sequence[Patch]], values: Mapping[Any, Tensor],
        keep: Sequence[Site],
    ) -> tuple[Tensor, Kept]:  # fmt: skip
        """(runs, rows, vocabulary) logits at the last position, and what is at the sites to keep.

        `patches`: of each run.
        """
        kept: Kept = {}
        sites = sorted({p.site for run in patches for p in run} | set(keep), key=lambda s: s.order)
        handles = []
        for site in sites:
            touch = partial(
                self._touch, site=site, values=values, keep=site in keep, kept=kept,
                chosen=self._chosen([[p for p in run if p.site == site] for run in patches], ids),
            )  # fmt: skip
            name, side = self.taken.module(site)
            module = self.model.get_submodule(name)
            if site.kind == "q" and self.taken.parts.fused:
                touch = partial(touched_queries, touch=touch)
            if side == "input":
                handles.append(module.register_forward_pre_hook(partial(_before, touch)))
            else:
                handles.append(module.register_forward_hook(partial(_after, touch)))
        try:
            every = ids.repeat(len(patches), 1)
            logits = self.model(every, use_cache=False, logits_to_keep=1).logits[:, 0]
        finally:
            for handle in handles:
                handle.remove()
        return logits.unflatten(0, (len(patches), len(ids))), kept

    def _chosen(self, patches: Sequence[Sequence[Patch]], ids: Tensor) -> dict[Source, Tensor]:
        """Where each source is put: (runs, 1, positions, heads, 1) bool."""
        found: dict[Source, Tensor] = {}
        for number, run in enumerate(patches):
            for patch in run:
                if patch.source not in found:
                    found[patch.source] = torch.zeros(
                        len(patches), ids.shape[1], self.taken.n_heads, dtype=torch.bool
                    )
                where = slice(None) if patch.position is None else patch.position
                heads = slice(None) if patch.heads is None else list(patch.heads)
                found[patch.source][number, where, heads] = True
        return {source: mask[:, None, :, :, None] for source, mask in found.items()}

    def _touch(
        self, value: Tensor, site: Site, chosen: Mapping[Source, Tensor],
        values: Mapping[Any, Tensor], keep: bool, kept: Kept,
    ) -> Tensor:  # fmt: skip
        heads = self.taken.n_heads
        for source, mask in chosen.items():
            split = value.unflatten(0, (len(mask), -1)).unflatten(-1, (heads, -1))
            if source == "zero":
                value = split.masked_fill(mask, 0.0).reshape(value.shape)
                continue
            other = values[source, site]
            there = other.reshape(-1, *split.shape[1:])  # of all runs, or of each
            value = torch.where(mask, there, split).reshape(value.shape)
        if keep:
            kept["first", site] = value
        return value


def _before(touch: Callable[[Tensor], Tensor], module: Any, inputs: tuple[Any, ...]) -> Any:
    return (touch(inputs[0]), *inputs[1:])


def _after(touch: Callable[[Tensor], Tensor], module: Any, inputs: Any, out: Tensor) -> Any:
    return touch(out)


def differences(
    model: Any, runs: Sequence[Run], ids: Tensor, other: Tensor, answers: Tensor, together: int
) -> Tensor:
    """Logit differences (runs, rows), so many runs in one batch."""
    stacked, plain = Stacked(model), Hooks(model, Path())
    found = []
    with torch.no_grad():
        values: dict[Any, Tensor] = {}
        sources: tuple[tuple[Source, Tensor], ...] = (("reference", ids), ("treated", other))
        for source, prompt in sources:
            if sites := wanted(runs, source):
                _, kept = plain.forward(prompt, (), {}, sites)
                values |= {(source, site): value for site, value in kept.items()}
        for start in range(0, len(runs), together):
            some = runs[start : start + together]
            here = values
            if any(run.first for run in some):
                first = [run.first for run in some]
                _, kept_first = stacked.forward(ids, first, values, [*wanted(some, "first")])
                here = values | kept_first
            logits, _ = stacked.forward(ids, [run.patches for run in some], here, ())
            good, bad = logits.gather(2, answers.expand(len(some), -1, -1)).unbind(2)
            found.append(good - bad)
    return torch.cat(found).double()


def compared(
    name: str, shape: str, scratch: Path, rows: int, turns: int, knockouts: int, threads: int
) -> dict[str, Any]:
    """One workload both ways: processor seconds of each, by turns, and how far numbers differ."""
    from pathdsl.engine.run.runner import plan_cost

    members = MEMBERS if knockouts else None
    ready = prepare_workload(
        name, shape, scratch, rows=rows, knockouts=knockouts or 100, members=members,
        threads=threads,
    )  # fmt: skip
    lines = [json.loads(line) for line in (scratch / "rows.jsonl").read_text().splitlines()]
    ids, other = (torch.tensor([line[key] for line in lines]) for key in ("prompt", "cf"))
    answers = torch.tensor([[line["io"], line["s"]] for line in lines])
    model = ready.loaded.model
    ready.work()
    ours_by_label = ready.differences()
    want = torch.tensor([*ours_by_label.values()])
    made = SHAPES[shape]
    runs = hand_written(
        name, [*ours_by_label], circuit_heads(shape, members), receivers_of(shape), made.n_layers,
        made.n_heads, acted_heads(shape),
    )  # fmt: skip
    hooks = {n: partial(differences, model, runs, ids, other, answers, n) for n in STACKED}
    tried = {}
    for n, work in hooks.items():
        got = work()
        tried[n] = _seconds(work)
    best = min(tried, key=tried.__getitem__)
    plain, ours, theirs = [], [], []
    for _ in range(turns):
        plain.append(min(_seconds(ready.plain), _seconds(ready.plain)))
        ours.append(_seconds(ready.work))
        theirs.append(_seconds(hooks[best]))
    counted = sum(plan_cost(plan, 4).forwards for plan in ready.last)
    return {
        "workload": name, "shape": shape, "rows": rows, "runs": len(runs), "threads": threads,
        "plain_s": statistics.median(plain), "pathdsl_s": statistics.median(ours),
        "hooks_s": statistics.median(theirs), "stacked": best,
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        "counted": counted, "difference": float((got - want).abs().max()),
    }  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print a line for each shape and workload."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--shape", action="append")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--knockouts", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if odd := [name for name in options.names if name not in NAMES]:
        parser.error(f"not written by hand: {odd[0]}")
    found = []
    print(f"{'':<5}{'shape':<7}{'runs':>6}{'W0 ms':>8}{'pathdsl ms':>12}{'hooks ms':>10}"
          f"{'stacked':>9}{'ratio':>7}{'x W0':>8}{'counted':>9}  differ")  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shape or ("small", "mini"):
            for name in options.names or NAMES:
                row = compared(name, shape, Path(scratch), options.rows, options.turns,
                               options.knockouts, options.threads)  # fmt: skip
                found.append(row)
                w0 = row["plain_s"]
                print(f"{name:<5}{shape:<7}{row['runs']:>6,}{1e3 * w0:>8.1f}"
                      f"{1e3 * row['pathdsl_s']:>12.1f}{1e3 * row['hooks_s']:>10.1f}"
                      f"{row['stacked']:>9}{row['ratio']:>7.2f}{row['pathdsl_s'] / w0:>8.2f}"
                      f"{row['counted']:>9.2f}  {row['difference']:.1e}", flush=True)  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
