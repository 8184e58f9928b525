"""Reports for readers elsewhere: one HTML page, LaTeX for a paper, Markdown.

Made from the JSON object of `check` alone, so anyone who has that object can make them. A file may
be a stranger's: every text is escaped for the language that it is written in, and the page's own
policy allows no request and no script but the one that it brings.

Source: `templates/`; formulas of the object are printed as LaTeX where they hold nothing but
symbols (`pathdsl.report.formulas.tex.plain_formula`), as they were written elsewhere.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Literal

import jinja2
from markupsafe import Markup, escape

from pathdsl.lang.visible import token_text, visible
from pathdsl.report.data.result import schema
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.formulas.tex import escape as tex_escape
from pathdsl.report.formulas.tex import macro_word, plain_formula
from pathdsl.report.page.circuit_svg import circuit_svg, colours
from pathdsl.report.page.file import FileView, page_of
from pathdsl.strictjson import JsonFault, read_json

__all__ = ["Kind", "NotAResult", "read_result", "write"]

Kind = Literal["html", "tex", "md"]
MACRO_PARTS = ("", "Value", "Interval", "N", "Verdict", "Hash")
"""What follows a claim's name in the names of its macros."""
OWN_MACROS = ("Table", "Formulas", "Method", "Hash", "Scope", "Lock", "num")
Object = Mapping[str, Any]


class NotAResult(ValueError):
    """A text that is not what `check --format json` prints; the message says where."""


def read_result(text: str) -> Object:
    """The object that `check --format json` printed; raises NotAResult for anything else."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        found = read_json(text, finite=True)
    except JsonFault as error:
        raise NotAResult(f"line {error.line}: {error}") from error
    fault = best_match(Draft202012Validator(schema()).iter_errors(found))
    if fault is not None:
        raise NotAResult(f"{fault.json_path}: {fault.message[:200]}")
    for i, file in enumerate(found["files"]):
        _vet_drawing(file.get("drawing"), f"$.files[{i}].drawing")
    result: Object = found
    return result


def _vet_drawing(drawing: Object | None, place: str) -> None:
    """What the schema cannot say: positions are listed and edges join nodes that there are."""
    if drawing is None:
        return
    for node in drawing["nodes"]:
        if node["at"] is not None and node["at"] not in drawing["positions"]:
            raise NotAResult(f"{place}: `{node['at']}` is none of its positions")
    ends = [end for edge in drawing["edges"] or () for end in (edge["from"], edge["to"])]
    if any(end >= len(drawing["nodes"]) for end in ends):
        raise NotAResult(f"{place}: an edge ends at a node that is not there")


def write(result: Object, kind: Kind) -> str:
    """The report as text, ending in a line break; equal objects give equal texts."""
    files = page_of(result)
    match kind:
        case "html":
            return _html(result, files)
        case "tex":
            return _tex(files)
        case "md":
            return _template("report.md.jinja", _markdown()).render(files=files)


def _html(result: Object, files: tuple[FileView, ...]) -> str:
    style, script = (_text(f"templates/report.{end}").strip() for end in ("css", "js"))
    policy = (
        f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    pictures = {
        view.short_hash + str(number): circuit_svg(
            view.drawing, view.units, view.keys, f"circuit{number}"
        )
        for number, view in enumerate(files, 1)
        if view.drawing
    }
    groups = [colours(view.drawing) if view.drawing else {} for view in files]
    environment = jinja2.Environment(
        autoescape=True, finalize=lambda v: visible(v) if type(v) is str else v
    )
    environment.filters["token"] = token_text
    environment.filters["breaks"] = _breaks
    environment.filters["mathml"] = lambda text: Markup(plain_mathml(text))
    return _template("report.html.jinja", environment).render(
        files=files,
        pictures=pictures,
        groups=groups,
        # Both are the package's own texts, not data.
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        schema_version=result["schema_version"],
    )


def _breaks(name: str) -> Markup:
    """A name that may break before its member and its position, and elsewhere only if it must."""
    return Markup(re.sub(r"(\[|@)", r"<wbr>\1", str(escape(visible(name)))))


def _allowed(text: str) -> str:
    """A style or script in a content security policy: by its hash, so that no other one runs."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _tex(files: tuple[FileView, ...]) -> str:
    environment = jinja2.Environment(
        block_start_string="<%", block_end_string="%>",
        variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else tex_escape(str(value)),
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["formula"] = _formula
    environment.filters["num"] = _number
    environment.filters["comment"] = lambda text: Markup(visible(" ".join(text.split())))
    environment.filters["breakable"] = _breakable
    names = [
        (view, _stem(view, i, files), _macros(view, _stem(view, i, files)))
        for i, view in enumerate(files)
    ]
    return _template("report.tex.jinja", environment).render(files=names)


def _stem(view: FileView, number: int, files: tuple[FileView, ...]) -> Markup:
    """What the names of a file's macros begin with: `pd`, and the circuit where there are more."""
    if len(files) == 1:
        return Markup("pd")
    words = [macro_word(file.name) or "File" for file in files]
    word = words[number] + "x" * words[:number].count(words[number])
    return Markup("pd" + word[:1].upper() + word[1:])


def _macros(view: FileView, stem: str) -> list[tuple[Any, Markup]]:
    """A macro name for each claim, told apart by a letter where two would be the same."""
    found: dict[str, Any] = {}
    taken: set[str] = {stem + word for word in OWN_MACROS}
    for claim in view.claims:
        word = macro_word(claim.name) or "claim"
        name = stem + word[:1].upper() + word[1:]
        while taken & {name + part for part in MACRO_PARTS}:
            name += "x"
        taken |= {name + part for part in MACRO_PARTS}
        found[name] = claim
    return [(claim, Markup(name)) for name, claim in found.items()]


def _formula(latex: str, text: str) -> Markup:
    """A formula between dollars, or the text that it comes from."""
    if latex and plain_formula(latex):
        return Markup(f"${latex}$")
    return _breakable(text)


def _number(text: str) -> Markup:
    """A number, an interval or a comparison in a formula; words stay words."""
    if re.fullmatch(r"[-+\d.,e\[\] ]+", text):
        # An interval breaks behind its comma where a column is too narrow for it, and only there.
        breakable = text.replace(", ", r",\penalty5000 ")
        return Markup(rf"\ensuremath{{{breakable}}}")
    comparison = re.fullmatch(r"(<=|>=|<|>|~=) ([-+\d.e]+)(?: within ([-+\d.e]+))?", text)
    if comparison is None:
        return Markup(tex_escape(text))
    sign = {"<=": r"\le", ">=": r"\ge", "~=": r"\approx"}.get(comparison[1], comparison[1])
    within = rf"\pm {comparison[3]}" if comparison[3] else ""
    return Markup(rf"\ensuremath{{{sign} {comparison[2]}{within}}}")


def _breakable(text: str) -> Markup:
    """Typewriter letters that may break behind brackets, dots and commas."""
    escaped = tex_escape(" ".join(text.split())).replace(" ", "\\ ")
    return Markup(r"\texttt{" + re.sub(r"([(,.@:[]|\\_)", r"\1\\allowbreak{}", escaped) + "}")


def _markdown() -> jinja2.Environment:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, Markup) else _marked(str(value)),
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters["code"] = _code
    return environment


def _marked(text: str) -> str:
    """The text in Markdown: nothing in it is markup, a link or HTML."""
    text = (
        visible(" ".join(text.split()))
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
    )
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    # At the start of a line these make a heading, a list or a rule.
    text = re.sub(r"^([#+=-]+|\d+[.)])(?=\s|$)", lambda m: f"&#{ord(m[1][0])};{m[1][1:]}", text)
    # GitHub makes links of bare addresses and mentions of names.
    return re.sub(r"://|\bwww\.|@", lambda m: "".join(f"&#{ord(c)};" for c in m[0]), text)


def _code(text: str) -> Markup:
    """The text as code, also in a table."""
    text = visible(" ".join(text.split())).replace("|", "\\|") or " "
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    room = " " if "`" in text else ""
    return Markup(f"{ticks}{room}{text}{room}{ticks}")


def _template(name: str, environment: jinja2.Environment) -> jinja2.Template:
    environment.undefined = jinja2.StrictUndefined
    if name.endswith(".html.jinja"):
        environment.trim_blocks = environment.lstrip_blocks = True
        environment.keep_trailing_newline = True
    return environment.from_string(_text(f"templates/{name}"))


@cache
def _text(name: str) -> str:
    return resources.files("pathdsl.report").joinpath(name).read_text("utf-8")
