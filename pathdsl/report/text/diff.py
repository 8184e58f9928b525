"""Two circuits beside one another, for people and as an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from pathdsl.checking.breaking.changes import written
from pathdsl.checking.diff.compare import FEW_EDGES, Difference
from pathdsl.checking.diff.graphs import DENOMINATORS, SMALLER, Shared
from pathdsl.checking.diff.scores import Scored
from pathdsl.graph.formats.names import written_edge
from pathdsl.lang.program import Program
from pathdsl.report.data.result import Object, diagnostic_object, fields_of
from pathdsl.report.numbers import many, pair, share_text, shown
from pathdsl.report.text.style import View, fit, paragraph, table

__all__ = ["Side", "diff_object", "diff_text"]

_SOME = {"node": 12, "edge": 6}
"""Of a kind of thing as many are listed, unless all are asked for."""
_RELATIONS = {
    "equal": "A and B have the same paths",
    "within": "every path of A is one of B; B alone has {b}",
    "holds": "every path of B is one of A; A alone has {a}",
    "apart": "A and B have no path in common",
    "other": "A alone has {a}; B alone has {b}",
}
_NUMBER = "estimate interval confidence"
_SAID = {
    "alike": ("A and B score alike, within {within} of one another", "green"),
    "apart": ("they score more than {within} apart", "yellow"),
    "undecided": ("whether they lie within {within} of one another is not decided", "yellow"),
    "": ("when they are alike is not said: `--within X` in {unit}", "dim"),
    "undefined": ("undefined: something below a line may be 0", "red"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: the file as it was named, its program and the path set."""

    path: str
    program: Program
    name: str

    @property
    def models(self) -> str:
        """The models as the file writes them."""
        return ", ".join(written(self.program, m.source) for m in self.program.models.values())


def diff_text(a: Side, b: Side, found: Difference, view: View) -> str:
    """The text, ending in a line break."""
    same = b.models in (a.models, "")
    lines = [
        f"{view.heading(label)}  {side.path}: {side.name}" + ("" if same else f", {side.models}")
        for label, side in (("A", a), ("B", b))
    ]
    lines += [f"   both on {a.models}"] if same else []
    if found.graph:
        lines.append(f"   on the graph of {found.graph}")
    told = "\n".join([*lines, "", *_graphs(found, view), "", *_scores(found, view)])
    return fit(told, view) + "\n"


def _graphs(found: Difference, view: View) -> list[str]:
    graphs = found.graphs
    head = ("", "A", "B", "both", *DENOMINATORS)
    rows: list[Sequence[str]] = [head]
    for one in graphs.shared:
        n = len(one.both)
        below = (n + len(one.only_a) + len(one.only_b), one.n_a, one.n_b)
        parts = (share_text([(n, of)]) if of else "-" for of in below)
        rows.append((f"{one.over}s", f"{one.n_a:,}", f"{one.n_b:,}", f"{n:,}", *parts))
    first, second, common = graphs.paths
    below = (first + second - common, first, second)
    parts = (share_text([(common, of)]) if of else "-" for of in below)
    rows.append(("paths", *(f"{n:,}" for n in graphs.paths), *parts))
    said = _RELATIONS[graphs.relation].format(a=f"`{graphs.without_b}`", b=f"`{graphs.without_a}`")
    lines = [view.heading("On the graph")]
    lines += [f"  {line}" for line in table(rows, right=range(1, len(head)))]
    lines.append(paragraph(said, view, "  ", "  "))
    heads, nodes = graphs.over("head"), graphs.over("node")
    if len(heads.both) > len({label.partition("@")[0] for label in nodes.both}):
        text = "heads count as one wherever they stand; of nodes each position is another"
        lines.append(paragraph(text, view, "  ", "  "))
    for kind in ("node", "edge"):
        lines += _listed(graphs.over(kind), view)
    if graphs.equal:
        pairs = (f"{one.a} = {one.b}" if one.a != one.b else one.a for one in graphs.equal)
        text = "path sets that are the same in both files: " + ", ".join(pairs)
        lines.append(paragraph(text, view, "  ", "  "))
    if graphs.unread:
        text = "not compared, for they are none on this graph: " + ", ".join(graphs.unread)
        lines.append(paragraph(text, view, "  ", "  "))
    return lines


def _listed(one: Shared, view: View) -> list[str]:
    lines = []
    for label, names in (("both", one.both), ("A alone", one.only_a), ("B alone", one.only_b)):
        if not names:
            continue
        kept = names if view.everything else names[: _SOME[one.over]]
        more = f" and {len(names) - len(kept):,} more (--all)" if len(kept) < len(names) else ""
        written = map(written_edge, kept) if one.over == "edge" else kept
        text = f"{one.over}s of {label}: {', '.join(written)}{more}"
        lines.append(view.faint(paragraph(text, view, "  ", "  ")))
    return lines


def _scores(found: Difference, view: View) -> list[str]:
    lines = [view.heading("Scores on shared tasks")]
    for task in found.tasks:
        text = f"task {task.name}"
        if task.other not in ("", task.name):
            text += f", B's `{task.other}`"
        if n := next((row.a.n for row in found.rows if row.task == task.name), 0):
            text += f": {many(n, 'prompt')}"
        a, b = task.takes
        if task.other and a != b and a is not None and b is not None:
            text += f"; A's file takes {a:,.0f}, B's {b:,.0f}"
        if not task.other:
            text += "; it was asked for, whatever B's tasks are"
        lines.append(paragraph(text, view, "  ", "  "))
        for row in (row for row in found.rows if row.task == task.name):
            lines += _row(row, found, view)
    faults = found.scores.faults if found.scores is not None else []
    whys = [f"no scores: [{one.code}] {one.message}" for one in faults[:1]]
    warnings = found.scores.warnings if found.scores is not None else {}
    whys += [f"warning: [{code}] {text}" for code, text in warnings.items()]
    whys += [f"not measured: {why}" for why in found.why]
    return lines + [paragraph(why, view, "  ", "  ") for why in whys]


def _row(row: Scored, found: Difference, view: View) -> list[str]:
    by = f" by {row.metric}" if row.metric else ""
    noise = found.scores.noise if found.scores is not None else 0.0
    cells = (
        (
            label,
            shown(one.estimate, one.interval, noise),
            pair(one.interval, one.estimate or 0.0, noise),
        )
        for label, one in (("A", row.a), ("B", row.b), ("A - B", row.difference))
    )
    said, colour = _SAID[row.said]
    said = said.format(within=found.within, unit=row.difference.unit)
    if found.rivals(row):
        edges = found.graphs.over("edge")
        shared = share_text([(len(edges.both), min(edges.n_a, edges.n_b))])
        said = f"rivals: {said}, and have {shared} of the smaller one's edges in common"
    unit = f", {row.difference.unit}" if row.difference.unit not in ("", "none") else ""
    return [
        f"    {row.score}{by}{unit}",
        *(f"      {line}" for line in table(list(cells), right=(1,))),
        paragraph(view.paint(said, colour), view, "      ", "  "),
    ]


# ------------------------------------------------------------------------------- as an object


def diff_object(a: Side, b: Side, found: Difference, exit_code: int) -> Object:
    """What `diff --format json` prints; `schema/diff.schema.json` says what stands where."""
    graphs, scores = found.graphs, found.scores
    sources = scores.outcome.sources if scores is not None else {}
    faults = scores.faults if scores is not None else []
    first, second, common = graphs.paths
    return {
        "schema_version": 1,
        "a": _side(a),
        "b": _side(b),
        "graph": {
            "of_model": found.graph or None,
            "relation": graphs.relation,
            "paths": {"a": first, "b": second, "both": common},
            "path_of_a_alone": graphs.without_b,
            "path_of_b_alone": graphs.without_a,
            "shared": [_shared(one) for one in graphs.shared],
            "equal_path_sets": [{"a": one.a, "b": one.b} for one in graphs.equal],
            "path_sets_not_compared": list(graphs.unread),
        },
        "within": found.within,
        "few_edges": FEW_EDGES,
        "tasks": [
            {"a": one.name, "b": one.other or None, "metrics": list(one.metrics)}
            for one in found.tasks
        ],
        "scores": [_scored(row, found) for row in found.rows],
        "not_measured": list(found.why),
        "faults": [diagnostic_object(one, sources) for one in faults],
        "warnings": dict(scores.warnings) if scores is not None else {},
        "exit_code": exit_code,
    }


def _side(side: Side) -> Object:
    models = side.program.models
    return {
        "path": side.path,
        "of": side.name,
        "models": {name: written(side.program, one.source) for name, one in models.items()},
    }


def _shared(one: Shared) -> Object:
    parts = {word: one.part(word) for word in (*DENOMINATORS, SMALLER)}
    return {
        "over": one.over,
        "both": list(one.both),
        "only_a": list(one.only_a),
        "only_b": list(one.only_b),
        **{word: part if isfinite(part) else None for word, part in parts.items()},
    }


def _scored(row: Scored, found: Difference) -> Object:
    return {
        "score": row.score,
        "task": row.task,
        "metric": row.metric or None,
        "unit": row.difference.unit,
        "n": row.difference.n,
        "a": fields_of(row.a, _NUMBER),
        "b": fields_of(row.b, _NUMBER),
        "difference": fields_of(row.difference, _NUMBER),
        "said": row.said or None,
        "rivals": found.rivals(row),
    }
