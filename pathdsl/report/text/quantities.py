"""The table of quantities; a long sweep (`let x for h in attn`) shows its largest members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pathdsl.report.numbers import digits, many, nothing_to_treat
from pathdsl.report.text.members import members_block
from pathdsl.report.text.style import View, table
from pathdsl.score.results import QuantityResult

__all__ = ["quantities_block"]

TOP, BOTTOM = 10, 2


def quantities_block(quantities: Sequence[QuantityResult], view: View) -> str:
    """All quantities, one line each; members of a sweep by size, the middle left out."""
    rows: list[list[str]] = []
    before: dict[int, str] = {}
    after: dict[int, list[str]] = {}
    for name, members in _families(quantities):
        if len(members) == 1 and members[0].name == name:
            rows.append(_row(members[0], f"  {name}", view))
            found = [*(f"      {note}" for note in members[0].notes)]
            if members[0].unchanged:
                found.append(f"      {nothing_to_treat(members[0].unchanged)}")
            if members[0].members:
                found.append(members_block(members[0].members, members[0].estimate, view, "      "))
            after[len(rows) - 1] = [view.faint(line) for line in found]
            continue
        ordered = sorted(
            members,
            key=lambda q: (q.estimate is None, -abs(q.estimate) if q.estimate is not None else 0.0),
        )
        title = f"({many(len(members), 'member')}, largest first)"
        before[len(rows)] = f"  {name} {view.faint(title)}"
        places = next((digits(q.estimate, q.interval) for q in ordered if q.estimate), None)
        hide = 0 if view.everything else max(0, len(ordered) - TOP - BOTTOM - 1)
        kept = [*ordered[:TOP], *ordered[-BOTTOM:]] if hide else ordered
        for i, member in enumerate(kept):
            rows.append(_row(member, f"    [{member.member}]", view, places))
            if hide and i == TOP - 1:
                text = f"    … {hide + 1} between; `--all` shows them"
                after[len(rows) - 1] = [view.faint(text)]
    titles = ["  name", "unit", "estimate", "95% interval", "n"]
    body = table([titles, *rows], right=(2, 4))
    lines = [view.heading("Quantities"), view.faint(body[0])]
    for i, line in enumerate(body[1:]):
        lines += [before[i]] if i in before else []
        lines.append(line)
        lines += after.get(i, [])
    return "\n".join(lines)


def _families(
    quantities: Sequence[QuantityResult],
) -> Iterator[tuple[str, list[QuantityResult]]]:
    """Members of one `let` together, in order."""
    found: dict[str, list[QuantityResult]] = {}
    for quantity in quantities:
        found.setdefault(quantity.declared, []).append(quantity)
    yield from found.items()


def _counted(estimate: float) -> str:
    """A number that was counted: whole where it is one that can be read, else four digits."""
    whole = estimate == int(estimate) and abs(estimate) < 1e15
    return f"{int(estimate):,}" if whole else f"{estimate:.4g}"


def _row(quantity: QuantityResult, name: str, view: View, places: int | None = None) -> list[str]:
    estimate = quantity.estimate
    if not quantity.n and estimate is not None:  # counted: nothing was resampled
        return [name, "" if quantity.unit == "none" else quantity.unit, _counted(estimate), "", ""]
    return [
        name,
        "" if quantity.unit == "none" else quantity.unit,
        view.number(estimate, quantity.interval, places),
        view.interval(quantity.interval, estimate, places),
        str(quantity.n) if quantity.n else "",
    ]
