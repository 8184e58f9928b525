"""A result as one HTML page.

A file may be a stranger's: every text is escaped, and the page's own policy allows no request and
no script but the one that it brings.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from markupsafe import Markup, escape

from pathdsl.lang.visible import token_text, visible
from pathdsl.report.content.file import FileContent
from pathdsl.report.content.rows import Object
from pathdsl.report.data.families import families_of, family_text
from pathdsl.report.figures.curve import curve_svg
from pathdsl.report.figures.svg import picture_svg
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.page.circuit_svg import circuit_svg, claims_by_unit, colours, unit_rows
from pathdsl.report.page.forest import strips
from pathdsl.report.page.template import rendered, text_of

__all__ = ["claim_key", "html", "html_referee"]


def html(result: Object, checked: bool) -> str:
    """The page of all files, `checked` now or read; equal objects give equal texts."""
    return _written(result, checked, alone=False)


def html_referee(result: Object, checked: bool) -> str:
    """The section for a referee alone, of all files."""
    return _written(result, checked, alone=True)


def _written(result: Object, checked: bool, *, alone: bool) -> str:
    style, script = (text_of(f"report.{end}").strip() for end in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return rendered(
        "report.html.jinja",
        {
            "families": [(family_text(one), one["claims"]) for one in families_of(result["files"])],
            "articles": [
                _article(file, number, checked, alone=alone)
                for number, file in enumerate(result["files"], 1)
            ],
            # Both are the package's own texts, not data.
            "style": Markup(style),
            "script": Markup(script),
            "policy": policy,
            "alone": alone,
            "schema_version": result["schema_version"],
        },
        {
            "token": token_text,
            "breaks": _breaks,
            "mathml": lambda text: Markup(plain_mathml(text)),
        },
        lambda value: visible(value) if type(value) is str else value,
        autoescape=True,
    )


def claim_key(file: int, claim: int) -> str:
    """What names a claim in links, both counted from 1: `f1c3`."""
    return f"f{file}c{claim}"


def _article(file: Object, number: int, checked: bool, *, alone: bool) -> Object:
    """One file for the template; a claim comes with its key in links and its forest plot.

    `alone`: for the section for a referee, which draws nothing.
    """
    content = FileContent(file, checked=checked)
    if alone:
        return {"content": content}
    keys = [claim_key(number, i) for i in range(1, len(content.claims) + 1)]
    first = file.get("drawing")  # alone in a result of before there were several
    drawings = file.get("drawings") or ([first] if first else [])
    return {
        "content": content,
        "claims": list(zip(content.claims, keys, strips(file["claims"]), strict=True)),
        "drawings": [
            _drawing(drawing, file, keys, f"circuit{number}-{i}")
            for i, drawing in enumerate(drawings, 1)
        ],
        "curves": [
            {"curve": one, "svg": curve_svg(one, f"curve{number}-{i}")}
            for i, one in enumerate(content.curves, 1)
        ],
        "left_out": file.get("drawings_left_out", 0),
        "sweeps": [
            {"picture": one, "svg": picture_svg(one, f"sweep{number}-{i}")}
            for i, one in enumerate(content.pictures, 1)
        ],
    }


def _drawing(drawing: Object, file: Object, keys: Sequence[str], prefix: str) -> Object:
    """One drawing with its picture; `prefix` sets what is in it apart from other pictures."""
    units = list(unit_rows(drawing, file))
    concerned = claims_by_unit(drawing, file, keys)
    return {
        "drawing": drawing,
        "units": units,
        "picture": circuit_svg(drawing, units, concerned, prefix),
        "colours": colours(drawing),
    }


def _breaks(name: str) -> Markup:
    """A name that may break before its member and its position, and elsewhere only if it must."""
    return Markup(re.sub(r"(\[|@)", r"<wbr>\1", str(escape(visible(name)))))


def _allowed(text: str) -> str:
    """A style or script in a content security policy: by its hash, so that no other one runs."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
