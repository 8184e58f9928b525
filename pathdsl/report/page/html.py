"""A result as one HTML page.

A file may be a stranger's: every text is escaped, and the page's own policy allows no request and
no script but the one that it brings.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

from markupsafe import Markup, escape

from pathdsl.lang.visible import token_text, visible
from pathdsl.report.content.file import FileContent, overview
from pathdsl.report.content.rows import Object
from pathdsl.report.data.families import families_of, family_text
from pathdsl.report.figures.curve import curve_svg
from pathdsl.report.figures.grid import LONGEST_NAME
from pathdsl.report.figures.svg import picture_svg
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.page.circuit_svg import circuit_svg, claims_by_unit, colours, unit_rows
from pathdsl.report.page.forest import strips
from pathdsl.report.page.template import rendered, text_of

__all__ = ["claim_key", "html", "html_pages", "html_referee", "page_names"]


INDEX = "index.html"


def html(result: Object, checked: bool) -> str:
    """The page of all files, `checked` now or read; equal objects give equal texts.

    Of several files it begins with an index of them.
    """
    files = result["files"]
    links = [f"#f{number}" for number in range(1, len(files) + 1)]
    return _written(result, checked, index=links if len(files) > 1 else [])


def html_referee(result: Object, checked: bool) -> str:
    """The section for a referee alone, of all files."""
    return _written(result, checked, alone=True)


def html_pages(result: Object, checked: bool) -> Iterator[tuple[str, str]]:
    """Names and texts of the pages of a folder: `index.html`, and one for each file.

    Links between them are names alone, so that the folder can be moved.
    """
    names = page_names([file["path"] for file in result["files"]])
    yield INDEX, _written(result, checked, index=names, pages=True)
    for name, file in zip(names, result["files"], strict=True):
        yield name, _written({**result, "files": [file]}, checked, back=INDEX)


def page_names(paths: Sequence[str]) -> list[str]:
    """A name for the page of each file, from its path below the folder that all are in.

    Letters, digits, `_`, `.` and `-` alone, whatever a stranger's result says, and each once, also
    where a disk does not tell capitals.

    >>> page_names(["a/ioi.circuit", "a/b/ioi.circuit"])
    ['ioi.html', 'b-ioi.html']
    """
    parts = [PurePosixPath(path.replace("\\", "/")).parts for path in paths]
    levels = [len(set(level)) for level in zip(*(one[:-1] for one in parts), strict=False)]
    shared = next((i for i, count in enumerate(levels) if count > 1), len(levels))
    taken, names = {INDEX}, []
    for one in parts:
        words = "-".join(one[shared:]).removesuffix(".circuit")
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", words)[:LONGEST_NAME].strip("_-") or "file"
        name, number = f"{stem}.html", 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}.html", number + 1
        taken.add(name.lower())
        names.append(name)
    return names


def _written(
    result: Object,
    checked: bool,
    *,
    alone: bool = False,
    index: Sequence[str] = (),
    pages: bool = False,
    back: str = "",
) -> str:
    """One page. `index` are links to the files, which stand in `pages` of their own or below it.

    `back` is the page that lists this one; `alone` is as in `_article`.
    """
    contents = [FileContent(file, checked=checked) for file in result["files"]]
    style, script = (text_of(f"report.{end}").strip() for end in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return rendered(
        "report.html.jinja",
        {
            "families": [(family_text(one), one["claims"]) for one in families_of(result["files"])],
            "articles": []
            if pages
            else [
                _article(file, content, number, alone=alone)
                for number, (file, content) in enumerate(
                    zip(result["files"], contents, strict=True), 1
                )
            ],
            "index": list(zip(contents, index, strict=True)) if index else [],
            "overview": overview(contents),
            "pages": pages,
            "back": back,
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


def _article(file: Object, content: FileContent, number: int, *, alone: bool) -> Object:
    """One file for the template; a claim comes with its key in links and its forest plot.

    `alone`: for the section for a referee, which draws nothing.
    """
    if alone:
        return {"content": content}
    keys = [claim_key(number, i) for i in range(1, len(content.claims) + 1)]
    stated = {family.name: family.statement for family in content.quantities}
    stated |= {claim.declared: claim.statement for claim in content.claims}
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
            {
                "picture": one,
                "svg": picture_svg(one, f"sweep{number}-{i}"),
                "statements": [stated[name] for name in one.names if stated.get(name)],
            }
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
    """A name that may break before its member and its position, a path behind its folders.

    Elsewhere it breaks only if it must.
    """
    told = re.sub(r"(\[|@)", r"<wbr>\1", str(escape(visible(name))))
    return Markup(re.sub(r"(?<!<)/", "/<wbr>", told))


def _allowed(text: str) -> str:
    """A style or script in a content security policy: by its hash, so that no other one runs."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
