"""A file over the revisions of a model as text and as one object: claims by steps, and curves.

Every let and claim has a row for each step, with its estimate, its interval and a line of signs
that shows both beside the threshold. A long series is thinned, `--all` shows every step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from pathdsl.checking.training.series import Series, Track
from pathdsl.errors import errors_in
from pathdsl.lang.render import render
from pathdsl.lang.visible import visible
from pathdsl.report.data.result import Object, diagnostic_object, dump, fields_of
from pathdsl.report.numbers import Pair, many, pair, shown, wanted_text
from pathdsl.report.text.style import View, fit, paragraph, table
from pathdsl.score.emerging import EmergenceResult, StepResult
from pathdsl.score.results import ClaimResult, QuantityResult, Verdict

__all__ = [
    "SIGNS",
    "emergence_text",
    "misshapen_text",
    "thinned",
    "training_json",
    "training_object",
    "training_report",
]

SIGNS = {
    Verdict.SUPPORTED: "+", Verdict.REFUTED: "-", Verdict.INCONCLUSIVE: "?",
    Verdict.UNDEFINED: "u", None: "x",
}  # fmt: skip
_COLOURS = {
    Verdict.SUPPORTED: "green", Verdict.REFUTED: "red", Verdict.INCONCLUSIVE: "yellow",
    Verdict.UNDEFINED: "magenta",
}  # fmt: skip
_LEGEND = "+ supported, - refuted, ? inconclusive, u undefined, x not judged"
MOST_ROWS = 24
_PLOT = 41
AnyResult = QuantityResult | ClaimResult | StepResult


def training_report(series: Series, view: View) -> str:
    """The report as text; ends in a line break."""
    parts = ["\n".join(_header(series, view))]
    if series.diagnostics:
        faults = render(
            series.diagnostics, series.sources, style="concise" if view.concise else "full",
            colour=view.colour,
        ).rstrip()  # fmt: skip
        parts.append(faults)
        parts += ["\n".join(where)] if (where := [*_where(series, view)]) else []
    if matrix := _matrix(series, view):
        parts.append("\n".join(matrix))
    if not view.quiet:
        for track in series.quantities:
            first = track.first
            unit = f" ({first.unit})" if isinstance(first, QuantityResult) else ""
            unit = unit if unit != " (none)" else ""
            parts.append("\n".join([view.heading(track.name) + unit, *_rows(series, track, view)]))
        for track in series.claims:
            head = f"{view.heading(track.name)}  {_wanted(track.first)}"
            parts.append("\n".join([head, *_rows(series, track, view)]))
    parts += ["\n".join(_emergence(series, one, view)) for one in series.emergences]
    parts.append("\n".join(_summary(series, view)))
    fitted = [part if i == 1 and series.diagnostics else fit(part, view)
              for i, part in enumerate(parts)]  # fmt: skip
    return visible("\n\n".join(fitted) + "\n")


def _header(series: Series, view: View) -> Iterator[str]:
    yield view.heading(series.path)
    circuit = series.program.circuit
    if circuit is not None:
        yield f"  {circuit.name.name}: {circuit.title}"
    first, last = series.steps[0].revision, series.steps[-1].revision
    yield (
        f"  model {series.varied.model} at {len(series.steps)} revisions, `{first.name}` (step "
        f"{first.step}) to `{last.name}` (step {last.step})"
    )
    for name, value in series.steps[0].outcome.replaced.items():
        if name != f"model {series.varied.model}":
            yield f"  {name} = {value}, set on the command line"
    for at in series.steps:
        if not at.judged:
            text = f"`{at.revision.name}` (step {at.revision.step}) is not judged: {at.why}"
            yield view.paint(paragraph(text, view, "  ", "  "), "yellow")
    for some in series.alike:
        text = "the same weights: " + ", ".join(
            f"`{at.revision.name}` (step {at.revision.step})" for at in some
        )
        yield view.paint(paragraph(text, view, "  ", "  "), "yellow")
    if text := misshapen_text(series):
        yield view.paint(paragraph(text, view, "  ", "  "), "yellow")


def misshapen_text(series: Series) -> str:
    """Which revisions are of another shape than the others; "" where none is."""
    some = [f"`{at.revision.name}` (step {at.revision.step})" for at in series.misshapen]
    more = f" and {len(some) - 8} more" if len(some) > 8 else ""
    return f"of another shape than most revisions: {', '.join(some[:8])}{more}" if some else ""


def _where(series: Series, view: View) -> Iterator[str]:
    """At which steps a warning was given that not every revision gives."""
    told = errors_in(series.diagnostics)  # by the revisions that are not judged
    for found, steps in series.where.items():
        if found in told:
            continue
        text = f"[{found.code}] at step {_listed(steps)}: {found.message}"
        yield paragraph(text, view, "  ", "  ")


def _listed(steps: Sequence[int]) -> str:
    more = f" and {len(steps) - 8} more" if len(steps) > 8 else ""
    return ", ".join(map(str, steps[:8])) + more


def _matrix(series: Series, view: View) -> list[str]:
    """Claims by steps, a sign each."""
    rows: list[tuple[str, list[Verdict | None]]] = [
        (t.name, [r.verdict if isinstance(r, ClaimResult) else None for r in t.results])
        for t in series.claims
    ]
    rows += [(one.name, [at.verdict for at in one.steps]) for one in series.emergences]
    if not rows:
        return []
    left = max(len(name) for name, _ in rows)
    titles = [str(step) for step in series.varied.steps]
    wide = max(map(len, titles)) + 1
    lines = []
    if 2 + left + wide * len(titles) <= view.width:
        head = "".join(title.rjust(wide) for title in titles)
        lines.append(view.heading("Claims by step".ljust(left + 2)[: left + 2]) + head)
        if left < 12:
            lines = [view.heading("Claims by step"), " " * (left + 2) + head]
        for name, verdicts in rows:
            signs = "".join(_sign(v, wide, view) for v in verdicts)
            lines.append(f"  {name.ljust(left)}{signs}")
    else:
        lines.append(
            view.heading("Claims by step") + f", {titles[0]} to {titles[-1]}, one sign each"
        )
        room = max(10, view.width - left - 4)
        for name, verdicts in rows:
            for start in range(0, len(verdicts), room):
                signs = "".join(_sign(v, 1, view) for v in verdicts[start : start + room])
                lines.append(f"  {(name if not start else '').ljust(left)}  {signs}")
    lines.append(view.faint(f"  {_LEGEND}"))
    return lines


def _sign(verdict: Verdict | None, wide: int, view: View) -> str:
    sign = SIGNS[verdict].rjust(wide)
    return view.paint(sign, _COLOURS[verdict]) if verdict is not None else sign


def _wanted(result: AnyResult) -> str:
    if not isinstance(result, ClaimResult):
        return ""
    expected = ", expected refuted" if result.expected is Verdict.REFUTED else ""
    return f"wanted {wanted_text(result.relation, result.threshold, result.within)}{expected}"


def _rows(series: Series, track: Track, view: View) -> list[str]:
    first = track.first
    bounds = [first.threshold] if isinstance(first, ClaimResult) else []
    results = list(zip(series.varied.steps, track.results, strict=True))
    return _curve(series, results, bounds, (), view)


def thinned(steps: Sequence[int], keep: Sequence[int | None], view: View) -> list[int]:
    """The places of the steps that are shown: all of few, else some, and those to keep."""
    n = len(steps)
    if n <= MOST_ROWS or view.everything:
        return list(range(n))
    found = {round(i * (n - 1) / (MOST_ROWS - 1)) for i in range(MOST_ROWS)}
    for step in keep:
        if step is not None and step in steps:
            found |= {max(0, steps.index(step) - 1), steps.index(step)}
    return sorted(found)


def _curve(
    series: Series,
    results: Sequence[tuple[int, AnyResult | None]],
    bounds: Sequence[float],
    keep: Sequence[int | None],
    view: View,
) -> list[str]:
    """A row for each step: number, interval, verdict, and a line of signs."""
    noise = series.noise
    places = thinned([step for step, _ in results], keep, view)
    some = [results[i] for i in places]
    values = [x for _, r in results if r is not None for x in _numbers(r)] + [*bounds]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high == low:
        low, high = low - 0.5, high + 0.5
    rows = []
    for step, result in some:
        if result is None:
            rows.append([str(step), "", "", "not judged", ""])
            continue
        value, ends = result.estimate, result.interval
        verdict = getattr(result, "verdict", None)
        word = verdict.value if verdict is not None else ""
        if isinstance(result, StepResult) and verdict is None:
            word = "not judged"
        number = shown(value, ends, noise) if word != "not judged" else ""
        line = _line(value, ends, bounds, low, high)
        rows.append([str(step), number, pair(ends, value or 0.0, noise), word, line])
    lines = [f"  {text.rstrip()}" for text in table(rows, right=(0, 1))]
    if len(places) < len(results):
        lines.append(f"  {len(places)} of {len(results)} steps; `--all` shows every one")
    return lines


def _numbers(result: AnyResult) -> list[float]:
    found = [result.estimate, *(result.interval or ())]
    return [x for x in found if x is not None and isfinite(x)]


def _line(
    value: float | None, ends: Pair | None, bounds: Sequence[float], low: float, high: float
) -> str:
    """The interval as a line, the estimate as a dot, thresholds as colons."""
    signs = [" "] * _PLOT

    def at(x: float) -> int:
        return min(_PLOT - 1, max(0, round((x - low) / (high - low) * (_PLOT - 1))))

    if ends is not None:
        for i in range(at(ends[0]), at(ends[1]) + 1):
            signs[i] = "-"
    for bound in bounds:
        signs[at(bound)] = ":" if signs[at(bound)] == " " else "+"
    if value is not None and isfinite(value):
        signs[at(value)] = "o"
    return "|" + "".join(signs) + "|"


def emergence_text(one: EmergenceResult) -> str:
    """Where an emergence lies, in words."""
    sure = f" at {100 * one.confidence:g}% confidence" if one.confidence is not None else ""
    if one.lower is None:
        return f"never{sure}"
    first = one.steps[0].step
    begins = f"step {one.lower}" if one.lower != first else f"step {first} (or before)"
    if one.upper is None:
        return f"at {begins} or later, if at all{sure}"
    if one.upper == one.lower:
        return f"at {begins}{sure}"
    return f"from {begins} to step {one.upper}{sure}"


def _emergence(series: Series, one: EmergenceResult, view: View) -> Iterator[str]:
    condition = wanted_text(one.condition, one.threshold, None)
    expected = ", expected refuted" if one.expected is Verdict.REFUTED else ""
    word = view.paint(one.verdict.value.upper(), "bold", _COLOURS[one.verdict])
    wanted = f"emerges({condition}) {one.relation} {one.step:.15g}"
    yield f"{word}  {view.heading(one.name)}  wanted {wanted}{expected}"
    if one.text:
        yield paragraph(f'"{one.text}"', view, "  ", "")
    guess = f"step {one.estimate}" if one.estimate is not None else "never"
    yield f"  emerges {emergence_text(one)}; by the estimates alone: {guess}"
    if view.quiet:
        return
    together = "all intervals hold together" if one.level is not None else ""
    if together:
        yield f"  {together}: each is at {100 * one.level:.4g}%"  # type: ignore[operator]
    results: list[tuple[int, AnyResult | None]] = [(at.step, at) for at in one.steps]
    yield from _curve(series, results, [one.threshold], [one.lower, one.upper], view)
    for note in one.notes:
        yield paragraph(note, view, "  ", "  ")


def _summary(series: Series, view: View) -> Iterator[str]:
    judged = sum(at.judged for at in series.steps)
    holes = len(series.steps) - judged
    text = f"{judged} of {len(series.steps)} revisions judged"
    if series.claims:
        flat = [r for t in series.claims for r in t.results if isinstance(r, ClaimResult)]
        good = sum(one.as_expected for one in flat)
        text += f"; {many(len(series.claims), 'claim')} at each: {good} of {len(flat)} as expected"
    if series.emergences:
        good = sum(one.as_expected for one in series.emergences)
        total = many(len(series.emergences), "claim")
        text += f"; {total} of steps: {good} as expected"
    tone = ("green",) if series.exit_code == 0 else ("bold", "red") if holes else ("red",)
    yield view.paint(text, *tone)


def training_json(series: Series, view: View) -> str:
    """The object as text."""
    return dump(training_object(series))


def training_object(series: Series) -> Object:
    """The same as one object: revisions, and each let and claim over the steps."""
    steps = series.varied.steps
    return {
        "schema_version": 1,
        "path": series.path,
        "circuit": series.program.circuit.name.name if series.program.circuit else None,
        "model": series.varied.model,
        "replaced": {
            name: value
            for name, value in series.steps[0].outcome.replaced.items()
            if name != f"model {series.varied.model}"
        },
        "diagnostics": [
            {**diagnostic_object(d, series.sources), "steps": list(series.where.get(d, steps))}
            for d in series.diagnostics
        ],
        "prepared": series.prepared,
        "same_weights": [[at.revision.step for at in some] for some in series.alike],
        "other_shape": [at.revision.step for at in series.misshapen],
        "revisions": [
            {
                "name": at.revision.name,
                "step": at.revision.step,
                "source": at.revision.source.written,
                "weights": {
                    name: digest
                    for model, used in at.outcome.models.items()
                    if model == series.varied.model
                    for name, digest in used.weights.items()
                },
                "judged": at.judged,
                "why": at.why or None,
                "exit_code": int(at.outcome.exit_code),
            }
            for at in series.steps
        ],
        "quantities": [
            {
                "name": track.name,
                **fields_of(track.first, "unit confidence"),
                "steps": [
                    {"step": step, **_fields(result, "estimate interval n")}
                    for step, result in zip(steps, track.results, strict=True)
                ],
            }
            for track in series.quantities
        ],
        "claims": [
            {
                "name": track.name,
                **fields_of(track.first, "relation threshold within expected confidence text"),
                "steps": [
                    {"step": step, **_fields(result, "verdict as_expected estimate interval n")}
                    for step, result in zip(steps, track.results, strict=True)
                ],
            }
            for track in series.claims
        ],
        "emerges": [
            {
                "name": one.name,
                **fields_of(
                    one,
                    "verdict expected as_expected relation step condition threshold lower upper "
                    "estimate confidence level text",
                ),
                "notes": list(one.notes),
                "steps": [
                    {
                        **fields_of(at, "step estimate interval n"),
                        "verdict": at.verdict.value if at.verdict is not None else None,
                        "why": at.why or None,
                    }
                    for at in one.steps
                ],
            }
            for one in series.emergences
        ],
        "exit_code": int(series.exit_code),
    }


def _fields(result: QuantityResult | ClaimResult | None, names: str) -> Object:
    return dict.fromkeys(names.split()) if result is None else fields_of(result, names)
