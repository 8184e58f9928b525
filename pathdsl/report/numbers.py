"""Numbers for people: as many digits as the interval is worth, aligned in columns.

>>> shown(0.93217, (0.9101, 0.9512)), pair((0.9101, 0.9512))
('0.932', '[0.910, 0.951]')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, isfinite, log10

from pathdsl.graph.model.fields import layers_said
from pathdsl.graph.model.shape import ModelShape

__all__ = [
    "NOUGHT", "Pair", "apart", "digits", "distinct_prompts", "groups_text", "many", "mlps_text",
    "nothing_to_treat", "nought", "p_text", "pair", "plain", "replaced_text", "rows_text",
    "share_text", "shown", "size_text", "spread_words", "wanted_text", "widths_text",
]  # fmt: skip

Pair = Sequence[float]
"""The two ends of an interval."""
_MOST = 6
NOUGHT = "0"
_LEAST_P = 1e-4


def p_text(value: float) -> str:
    """`p = 0.012`; far in the tail no sample shows more than that p is small.

    >>> p_text(0.0123), p_text(5.9e-39)
    ('p = 0.012', 'p < 0.0001')
    """
    return f"p = {value:.2g}" if value >= _LEAST_P else f"p < {_LEAST_P:.4f}"


def digits(value: float, interval: Pair | None) -> int | None:
    """Digits after the point; None where only powers of ten can show the number.

    With an interval its half-width is shown to two digits, else the value to four.
    """
    largest = max(abs(value), *(abs(end) for end in interval)) if interval else abs(value)
    width = (interval[1] - interval[0]) / 2 if interval else 0.0
    if largest == 0:
        return 0
    if width > 0 and width > largest * 1e-4:
        places = 1 - floor(log10(width))
    else:
        places = 3 - floor(log10(largest))
    if largest >= 1e7 or places > _MOST + 2 or (places > _MOST and largest < 1e-4):
        return None
    return max(0, min(places, _MOST))


def apart(
    value: float, interval: Pair | None, bounds: Sequence[float], noise: float = 0.0
) -> int | None:
    """Digits that also show on which side of each bound the value and its interval's ends lie.

    `0.812 [0.797, 0.827]` is not `0.81 [0.80, 0.83]` beside a wanted `>= 0.8`. What is within
    `noise` of a bound is left as it is.
    """
    places = digits(value, interval)
    if places is None:
        return None
    pairs = [(x, bound) for x in (value, *(interval or ())) for bound in bounds]
    pairs = [(x, bound) for x, bound in pairs if abs(x - bound) > max(noise, 10.0**-_MOST)]
    for more in range(places, _MOST + 1):
        if all(round(x, more) != round(bound, more) for x, bound in pairs):
            return more
    return places


def plain(value: float, places: int | None) -> str:
    """One number; `-0.00` is `0.00`."""
    if not isfinite(value):
        return "undefined"
    if places is None:
        return f"{value:.3g}"
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def shown(
    value: float | None, interval: Pair | None = None, noise: float = 0.0, places: int | None = None
) -> str:
    """An estimate with the digits that its interval is worth; `0` where all is below `noise`."""
    if value is None or not isfinite(value):
        return "undefined"
    if nought(value, interval, noise):
        return NOUGHT
    return plain(value, digits(value, interval) if places is None else places)


def nought(value: float, interval: Pair | None, noise: float) -> bool:
    """Whether a number and its interval are nothing but rounding, and not plainly 0."""
    largest = max(abs(value), *(abs(end) for end in interval or (0.0,)))
    return 0 < largest < noise


def pair(
    interval: Pair | None, value: float = 0.0, noise: float = 0.0, places: int | None = None
) -> str:
    """`[0.91, 0.95]`, or "" where there is no interval or it is nothing but rounding."""
    if interval is None or nought(value, interval, noise):
        return ""
    places = digits(value, interval) if places is None else places
    return f"[{plain(interval[0], places)}, {plain(interval[1], places)}]"


def wanted_text(relation: str, threshold: float | None, within: float | None) -> str:
    """What a claim states of its number: `>= 0.8`, `~= 1 within 0.1`."""
    defined = threshold is not None and isfinite(threshold)
    margin = f" within {within:g}" if within is not None else ""
    return f"{relation} {f'{threshold:g}' if defined else 'undefined'}{margin}"


def many(count: int, word: str, words: str = "") -> str:
    """`1 claim`, `2 claims`, `1,000 claims`."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def share_text(counts: Sequence[tuple[int, int]]) -> str:
    """The shares of several counts, each with what it is of, in percent; 100% is all of it.

    >>> share_text([(287, 479)]), share_text([(1, 479), (478, 479)])
    ('60%', '0.2% to 99.7%')
    """
    shares = [100 * count / of if of else 0.0 for count, of in counts]
    return " to ".join(dict.fromkeys(map(_percent, (min(shares), max(shares)))))


def _percent(share: float) -> str:
    """A share in percent; only all of it is 100%, and only none of it 0%."""
    if 0 < share < 0.1:
        return "under 0.1%"
    if share < 1 or 99 < share < 100:
        return f"{floor(share * 10) / 10:g}%"
    return f"{share:.0f}%"


def distinct_prompts(n: int, rows: int) -> str:
    """How many prompts were judged, `8 distinct prompts of 200` where some stand in many rows."""
    return f"{n:,} distinct prompt{'s' if n != 1 else ''} of {rows:,}" if rows > n else f"{n:,}"


def nothing_to_treat(count: int) -> str:
    """What stands beside n where some prompts have no treated value of their own."""
    return f"{count:,} with nothing to treat"


def rows_text(prompts: int, rows: int, where: str, taken: str) -> str:
    """`200 prompts`; `36 of 90 rows (where right == true)` of which a filter left out the others.

    `taken` says which rows of a file were taken, "" for all of them.
    """
    said = "; ".join(text for text in (f"where {where}" if where else "", taken) if text)
    count = f"{prompts:,} of {many(rows, 'row')}" if where else many(prompts, "prompt")
    return f"{count} ({said})" if said else count


def replaced_text(replaced: Mapping[str, str]) -> str:
    """`take = 5, only = control`: what the command line says in place of the file."""
    return ", ".join(f"{name} = {value}" for name, value in replaced.items())


def groups_text(shape: ModelShape) -> str:
    """The key/value groups of a layer, `2, each read by 2 heads: kv0 is h[0..1]`."""
    if not shape.keys_from:
        return _groups(shape)
    given = [layer for layer in range(shape.n_layers) if shape.shares(layer)]
    sources = sorted({shape.entry(layer, "k") for layer in given})
    return (
        f"{_groups(shape)}; layers {layers_said(given)} are given those of "
        f"{', '.join(map(str, sources))}"
    )


def _groups(shape: ModelShape) -> str:
    if shape.n_groups == shape.n_heads:
        return f"{shape.n_groups:,}, one for each head"
    if shape.groups:
        return f"{min(shape.groups):,} to {max(shape.groups):,}, by layer"
    size = shape.n_heads // shape.n_groups
    return f"{shape.n_groups:,}, each read by {many(size, 'head')}: kv0 is h[0..{size - 1}]"


def widths_text(shape: ModelShape) -> str:
    """The hidden units of MLPs that are no mixtures, `3,072`, `6,144 to 12,288`."""
    least = min(shape.units, default=shape.d_mlp)
    return f"{least:,} to {shape.d_mlp:,}" if least < shape.d_mlp else f"{shape.d_mlp:,}"


def mlps_text(shape: ModelShape) -> str:
    """The MLPs of a model: `of width 3,072`, `mixtures of 8 experts of width 20, 2 for a token`."""
    if not shape.has_mlp:
        return "none"
    mixture = shape.mixture
    if mixture is None:
        return f"of width {widths_text(shape)}"
    layers = [layer for layer, own in enumerate(mixture.layers) if own]
    text = (
        f"mixtures of {many(mixture.n_experts, 'expert')} of width {mixture.width:,}, "
        f"{mixture.top:,} for a token"
    )
    if mixture.shared:
        text += f", {mixture.shared:,} hidden units shared"
    if len(layers) == shape.n_layers:
        return text
    return f"{text}, in layers {', '.join(map(str, layers))}; others of width {shape.d_mlp:,}"


def size_text(count: float) -> str:
    """A number of bytes, `3.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{plain(count, 0 if unit == 'B' else 1)} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def spread_words(least: float, quartiles: Sequence[float], most: float, noise: float = 0.0) -> str:
    """`-0.31 to 2.04, quartiles 0.52, 0.91, 1.20`, in the digits that the range is worth.

    `1.000 on each` where all are equal.
    """
    places = digits(quartiles[1], (least, most) if most > least else None)
    low, middle, high = (shown(q, None, noise, places) for q in quartiles)
    first, last = (shown(end, None, noise, places) for end in (least, most))
    if least == most:
        return f"{first} on each"
    return f"{first} to {last}, quartiles {low}, {middle}, {high}"
