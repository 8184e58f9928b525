"""What is in a result store, as text and as JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from pathdsl.engine.store.prune import Contents, Kept, Pruned
from pathdsl.report.numbers import many, size_text
from pathdsl.report.text.style import View, clip, fit, table

__all__ = ["contents_object", "info_text", "list_text", "pruned_object", "pruned_text"]


def info_text(contents: Contents, limit: int | None) -> str:
    """How much is in a store, and where it lies; `limit` is what a check leaves at most, None for
    all of it."""
    values = many(contents.n_values, "value")
    rows = [
        ["folder", str(contents.folder)],
        ["values", f"{values} of {many(len(contents.plans), 'plan')}, {_size(contents.plans)}"],
        [
            "limit",
            "none: nothing is removed"
            if limit is None
            else f"{size_text(limit)}; the least recently used go first",
        ],
        ["self-checks and models", f"{contents.records:,}"],
        ["index", size_text(contents.index_bytes)],
    ]
    if contents.unfinished:
        batches = many(sum(len(blob.labels) for blob in contents.unfinished), "batch", "batches")
        size = _size(contents.unfinished)
        text = f"{batches} of checks that were cut off, {size}; the same check goes on from there"
        of_shards = ["batches", f"{batches} that shards computed, {size}"]
        rows.insert(2, of_shards if limit is None else ["unfinished", text])
    if contents.damaged:
        what = many(contents.damaged, "entry", "entries")
        rows.append(["damaged", f"{what}, never used; `pathdsl cache prune` removes them"])
    if contents.leftover_bytes:
        left = f"{size_text(contents.leftover_bytes)} of checks that were cut off"
        rows.append(["leftovers", f"{left}; `pathdsl cache prune` removes those an hour old"])
    return "\n".join(table(rows)) + "\n"


def _size(blobs: Sequence[Kept]) -> str:
    return size_text(sum(blob.bytes for blob in blobs))


def list_text(contents: Contents, view: View) -> str:
    """One line for the values of each plan, the last used first."""
    if not contents.blobs:
        return "the result store is empty\n"
    head = ["key", "size", "runs", "values", "last used", "task", "model"]
    rows = [head, *(_row(blob, view) for blob in contents.blobs)]
    lines = table(rows, right=(1, 2, 3))
    lines[0] = view.faint(lines[0])
    return fit("\n".join(lines), view) + "\n"


def _row(blob: Kept, view: View) -> list[str]:
    return [
        blob.name if view.everything else blob.name[:12],
        size_text(blob.bytes),
        f"{blob.runs:,}",
        "unfinished" if blob.unfinished else f"{len(blob.labels):,}",
        _when(blob.used),
        blob.task if view.everything else clip(blob.task, 30),
        blob.model if view.everything else clip(blob.model, 40),
    ]


def pruned_text(gone: Pruned) -> str:
    """What was removed."""
    parts = [f"{many(gone.values, 'value')} of {many(gone.blobs, 'plan')}"]
    if gone.damaged:
        parts.append(many(gone.damaged, "damaged entry", "damaged entries"))
    if gone.leftovers:
        parts.append(many(gone.leftovers, "leftover file"))
    return f"removed {' and '.join(parts)}, {size_text(gone.bytes)}\n"


def contents_object(contents: Contents, limit: int | None, *, everything: bool) -> dict[str, Any]:
    """A store as JSON; `everything`: with every plan's values."""
    info: dict[str, Any] = {
        "schema_version": 1,
        "folder": str(contents.folder),
        "values": contents.n_values,
        "plans": len(contents.plans),
        "unfinished": len(contents.unfinished),
        "damaged": contents.damaged,
        "bytes": contents.bytes,
        "max_bytes": limit,
        "records": contents.records,
        "index_bytes": contents.index_bytes,
        "leftover_bytes": contents.leftover_bytes,
    }
    if everything:
        info["list"] = [
            {
                "key": blob.name,
                "bytes": blob.bytes,
                "created": _iso(blob.created),
                "used": _iso(blob.used),
                "model": blob.model,
                "task": blob.task,
                "runs": blob.runs,
                "values": list(blob.labels),
                "unfinished": blob.unfinished,
            }
            for blob in contents.blobs
        ]
    return info


def pruned_object(gone: Pruned) -> dict[str, Any]:
    """What was removed, as JSON."""
    return {
        "schema_version": 1,
        "plans": gone.blobs,
        "values": gone.values,
        "damaged": gone.damaged,
        "leftovers": gone.leftovers,
        "bytes": gone.bytes,
    }


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
