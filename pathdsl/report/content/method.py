"""What a report says of how a result came about: method, self-checks, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import NamedTuple

from pathdsl.lang.signatures.norms import NORM_MODES
from pathdsl.report.content.rows import Object
from pathdsl.report.numbers import many, plain

__all__ = [
    "CheckRow", "checks", "cost_text", "metrics_text", "norms_text", "shared_method", "store_text",
]  # fmt: skip

PER_TASK = ("treated", "norm", "routing", "average", "unseen", "tokens")
"""What the methodology says of each task in a few words, nearly always the same for all."""


class CheckRow(NamedTuple):
    """Self-checks of one kind by the largest error; `mark` says of how many, "" of one."""

    name: str
    error: str
    allowed: str
    mark: str


def shared_method(methodology: Mapping[str, str], tasks: Mapping[str, bool]) -> dict[str, str]:
    """The methodology by name; what all tasks have in common is said once.

    `tasks` says which some run reads; of the others only names are given.
    """
    said = dict(methodology)
    unread = [name for name, read in tasks.items() if not read]
    for kind, name in product(("task", *PER_TASK), unread):
        said.pop(f"{kind} {name}", None)
    for kind in PER_TASK:
        keys = [key for name in tasks if (key := f"{kind} {name}") in said]
        if len(keys) > 1 and len({said[key] for key in keys}) == 1:
            said = {kind if k == keys[0] else k: t for k, t in said.items() if k not in keys[1:]}
    if unread:
        said["tasks read by no run"] = ", ".join(unread)
    return said


def norms_text(file: Object) -> str:
    """What the second norm mode changed, in one line; "" where there was none."""
    modes = file["other_norms"]
    if not modes:
        return ""
    words = {NORM_MODES[mode].adjective for mode in modes.values()}
    if len(words) == 1:
        second = f"with {words.pop()} norms"
        if {task["name"] for task in file.get("tasks", ()) if task["read"]} - set(modes):
            second += " in " + ", ".join(f"task {task}" for task in modes)
    else:
        each = (f"{NORM_MODES[mode].adjective} in task {task}" for task, mode in modes.items())
        second = f"with norms {', '.join(each)}"
    changed = [
        claim["name"]
        for claim in file["claims"]
        if claim["other_norm"] is not None and claim["other_norm"]["verdict"] != claim["verdict"]
    ]
    if not changed:
        return f"norms: both modes give the same verdicts (judged again {second})"
    return f"norms: another verdict {second}: {', '.join(changed)}"


def metrics_text(file: Object) -> str:
    """The metrics as written, in one line: their names are the author's."""
    texts = (one["text"] for one in file.get("formulas", ()) if one["kind"] == "metric")
    return "; ".join(" ".join(text.removeprefix("metric ").split()) for text in texts)


def checks(proofs: Iterable[Object]) -> Iterable[CheckRow]:
    """Self-checks by kind, each by the one that is worst: undefined, failed, or furthest off."""
    kinds: dict[str, list[Object]] = {}
    for proof in proofs:
        kinds.setdefault(proof["name"], []).append(proof)
    for name, some in kinds.items():
        worst = max(some, key=lambda p: (p["error"] is None, not p["holds"], p["error"] or 0.0))
        yield CheckRow(
            name=name,
            error="undefined" if worst["error"] is None else f"{worst['error']:.1e}",
            allowed=f"{worst['tolerance']:.0e}",
            mark="" if len(some) == 1 else f"largest of {len(some)}",
        )


def cost_text(cost: Object | None, seconds: float | None = None) -> str:
    """`3 runs, 44 component copies, about 3.0 plain forward passes, 1.2 s`; "" for None."""
    if cost is None:
        return ""
    parts = ["no run"]
    if cost["runs"]:
        copies = many(cost["copies"], "component copy", "component copies")
        parts = [many(cost["runs"], "run"), copies]
    if number := cost.get("attributions", 0):
        parts = [*(parts if cost["runs"] else []), many(number, "attribution")]
    times, self_checks = cost["forwards"], cost.get("self_checks") or 0.0
    if cost["runs"] or cost.get("attributions") or self_checks:
        about = "undefined" if times is None else plain(times, 1 if times < 100 else 0)
        own = f" ({plain(self_checks, 1)} self-checks)" if self_checks >= 0.05 else ""
        parts.append(f"about {about} plain forward passes{own}")
    return ", ".join([*parts, *([] if seconds is None else [f"{seconds:.1f} s"])])


def store_text(store: Object | None) -> str:
    """How many values were not computed now, and how many of those were computed beside others."""
    if store is None or not store["stored"]:
        return ""
    total = store["stored"] + store["computed"]
    text = f"{store['stored']:,} of {many(total, 'value')} from the result store"
    if store["beside_others"]:
        text += (
            f", {store['beside_others']:,} of them computed beside other runs, so that the last "
            "digits may differ from computing all at once (`--no-cache`)"
        )
    return text
