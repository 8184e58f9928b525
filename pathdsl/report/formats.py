"""Every format that a result is written in, each as one record: whoever lists formats, lists these.

To add one, write a module that makes it and a record here.

    format_of("junit").media_type, [one.name for one in taken_by("report")]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from pathdsl.errors import Diagnostic, ExitCode
from pathdsl.lang.syntax.source import SourceFile
from pathdsl.record import record
from pathdsl.report.text.style import View

if TYPE_CHECKING:  # `lint` prints formats, too, and must start fast
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.checking.training.series import Series

__all__ = [
    "FORMATS", "Document", "Format", "Settings", "Verb", "document_of", "format_of", "taken_by",
    "write", "write_pages", "write_series",
]  # fmt: skip

Verb = Literal["check", "lint", "series", "report", "referee", "pages"]
"""The commands that take formats: `series` is `check --revisions`, `referee` is `report --referee`,
`pages` `report -o FOLDER`."""


@record
class Settings:
    """What the command line says of how files are printed; `locked`: each beside its lock."""

    view: View = field(default_factory=View)
    allow_inconclusive: bool = False
    locked: bool = False


class Document:
    """What one command prints of its files in a format; a text that it gives is printed at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def checked(self, outcome: FileOutcome) -> str:
        """Take in one file that was checked, keeping nothing of its session."""
        raise NotImplementedError

    def linted(
        self,
        path: str,
        diagnostics: Sequence[Diagnostic],
        sources: Mapping[str, SourceFile],
        unchecked: str,
    ) -> str:
        """Take in one file that was linted; `unchecked` says what was not looked at, and why."""
        raise NotImplementedError

    def end(self, code: ExitCode) -> str:
        """What stands after the last file; `code` is what the process exits with."""
        raise NotImplementedError


@record
class Format:
    """One format.

    `makers` names what makes it as `module:attribute`, by the command that takes it: a kind of
    Document for `check` and `lint`, for `report` and its section for a referee a function from the
    object that `check --format json` prints, and from whether it is of a check made now, to the
    text, for `series` from a `Series` and a view to the text, and for `pages` to names and texts of
    several. `method` is the method of a `Result` that gives it, or "". `one_document`: several
    files make one document, else they follow one another.
    """

    name: str
    shows: str
    suffix: str
    media_type: str
    one_document: bool
    makers: Mapping[Verb, str]
    method: str


_T, _D, _A, _P = (f"pathdsl.report.{folder}" for folder in ("text", "data", "annotate", "page"))
FORMATS = (
    Format(
        name="text", shows="the report for people", suffix=".txt", media_type="text/plain",
        one_document=False, method="__str__",
        makers={
            "check": f"{_T}.check:CheckText", "lint": f"{_T}.lint:LintText",
            "referee": f"{_T}.referee:referee", "series": f"{_T}.training:training_report",
        },
    ),
    Format(
        name="json", shows="everything, as one object with a schema", suffix=".json",
        media_type="application/json", one_document=True, method="to_dict",
        makers={
            "check": f"{_D}.documents:Json", "lint": f"{_D}.documents:Json",
            "series": f"{_T}.training:training_json",
        },
    ),
    Format(
        name="concise", shows="a line for each fault", suffix=".txt", media_type="text/plain",
        one_document=False, method="", makers={"lint": f"{_T}.lint:LintConcise"},
    ),
    Format(
        name="junit", shows="a suite for each file, a test case for each claim", suffix=".xml",
        media_type="application/xml", one_document=True, method="",
        makers={"check": f"{_A}.junit:JUnit"},
    ),
    Format(
        name="sarif", shows="faults, and claims not as expected, at their lines", suffix=".sarif",
        media_type="application/sarif+json", one_document=True, method="",
        makers={"check": f"{_A}.sarif:Sarif", "lint": f"{_A}.sarif:Sarif"},
    ),
    Format(
        name="github", shows="the same as workflow commands of GitHub", suffix=".txt",
        media_type="text/plain", one_document=True, method="",
        makers={"check": f"{_A}.github:GitHub", "lint": f"{_A}.github:GitHub"},
    ),
    Format(
        name="html", shows="one page with drawings, for a browser", suffix=".html",
        media_type="text/html", one_document=True, method="",
        makers={
            "report": f"{_P}.html:html", "referee": f"{_P}.html:html_referee",
            "pages": f"{_P}.html:html_pages",
        },
    ),
    Format(
        name="tex", shows="macros of LaTeX, for a paper", suffix=".tex",
        media_type="application/x-tex", one_document=True, method="",
        makers={"report": f"{_P}.latex:latex", "referee": f"{_P}.latex:latex_referee"},
    ),
    Format(
        name="md", shows="Markdown", suffix=".md", media_type="text/markdown", one_document=True,
        method="",
        makers={
            "report": f"{_P}.markdown:markdown", "referee": f"{_P}.markdown:markdown_referee"
        },
    ),
    Format(
        name="notebook", shows="tables for the cell of a notebook", suffix=".html",
        media_type="text/html", one_document=False, method="_repr_html_", makers={},
    ),
)  # fmt: skip


def taken_by(verb: Verb) -> list[Format]:
    """The formats that a command takes, its default first."""
    return [one for one in FORMATS if verb in one.makers]


def format_of(name: str) -> Format:
    """The record of a format; raises KeyError for any other name."""
    return {one.name: one for one in FORMATS}[name]


def document_of(name: str, verb: Verb, settings: Settings) -> Document:
    """An empty document of a format that `check` or `lint` takes."""
    made: Document = _maker(name, verb)(settings)
    return made


def write(
    result: Mapping[str, Any], name: str, *, checked: bool = False, referee: bool = False
) -> str:
    """A result in a format that `report` takes; equal objects give equal texts.

    Unless it was `checked` now, the text says that it was laid out from JSON. `referee`: the
    section for a referee alone.
    """
    text: str = _maker(name, "referee" if referee else "report")(result, checked)
    return text


def write_series(series: Series, name: str, view: View) -> str:
    """A file over the revisions of a model, in a format that `check --revisions` takes."""
    text: str = _maker(name, "series")(series, view)
    return text


def write_pages(
    result: Mapping[str, Any], name: str, *, checked: bool = False
) -> Iterator[tuple[str, str]]:
    """Names and texts of the pages of a folder, in a format that has such; the same otherwise."""
    pages: Iterator[tuple[str, str]] = _maker(name, "pages")(result, checked)
    return pages


def _maker(name: str, verb: Verb) -> Any:
    """What makes a format for a command; ValueError where that command does not take it."""
    makers = format_of(name).makers
    if verb not in makers:
        command = "report --referee" if verb == "referee" else verb
        raise ValueError(f"`{command}` does not write `{name}`")
    return resolve_name(makers[verb])
