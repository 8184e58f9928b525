"""The colours of pictures: orange above 0, blue below, as dark as the value is large.

A value and its negative are equally dark, so that a picture in grey still says how large each value
is; which side of 0 it lies on is then said by a mark. Blue and orange differ for every common kind
of colour-blindness.

Source: CIELAB, lightness from 97 to 40 in equal steps, hues 265° to 275° and 70° to 58°.
"""

from __future__ import annotations

__all__ = ["ABOVE", "BELOW", "EDGE", "SOFT", "colour", "fill_of", "ink", "luminance", "sign_on"]

SOFT, EDGE = "#55616e", "#dde2e8"
"""Of titles and numbers beside a picture, and of the lines between its cells."""
ABOVE = (
    "#f6f6f6", "#f6dec9", "#f3c59e", "#eead74", "#e6944b", "#dd7b1d", "#c96706", "#b35500",
    "#9b4500",
)  # fmt: skip
BELOW = (
    "#f6f6f6", "#d7e3f4", "#b8d0f2", "#97bdef", "#73aaec", "#4698e9", "#3085d5", "#0f73c0",
    "#0061a8",
)  # fmt: skip
"""From 0 to the largest value of a picture, in equal steps."""


def colour(share: float) -> str:
    """The colour of a value, given as its share of the largest: -1 to 1.

    >>> colour(0.0), colour(1.0), colour(-1.0)
    ('#f6f6f6', '#9b4500', '#0061a8')
    """
    stops = ABOVE if share > 0 else BELOW
    place = min(1.0, abs(share)) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    pairs = zip(_channels(stops[low]), _channels(stops[low + 1]), strict=True)
    mixed = (round(a + (b - a) * (place - low)) for a, b in pairs)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def fill_of(share: float | None) -> str:
    """The colour of a cell, by the share of its value; white where that is undefined."""
    return "#ffffff" if share is None else colour(share)


def sign_on(fill: str) -> str:
    """The colour of a dot, a dash or a cross on a cell."""
    return SOFT if luminance(fill) > 0.55 else ink(fill)


def ink(background: str) -> str:
    """Black or white, whichever is read better on it; the contrast is 4.5 and more."""
    return "#ffffff" if luminance(background) < 0.18 else "#000000"


def luminance(colour: str) -> float:
    """The relative luminance of a colour, 0 to 1; source: WCAG 2.1."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
