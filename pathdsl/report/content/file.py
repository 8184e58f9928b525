"""What a report says of one file, for text, page, Markdown, LaTeX and notebook to lay out.

    result of a check -> its JSON object -> FileContent -> one of the layouts

Made from the JSON object alone, so that a report can be written anywhere and at any later time.

    contents(json.loads(text))        # of what `check --format json` printed
    content_of(outcome)               # of a check made now
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING, NamedTuple

from pathdsl.report.content.claims import ClaimContent, claim_content, counted
from pathdsl.report.content.lock import LockContent, lock_content
from pathdsl.report.content.method import (
    CheckRow,
    checks,
    cost_text,
    norms_text,
    shared_method,
    store_text,
)
from pathdsl.report.content.quantities import QuantityFamily, families
from pathdsl.report.content.rows import Object
from pathdsl.report.data.result import outcome_object
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.numbers import many

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = ["FileContent", "Formula", "content_of", "contents", "file_content"]


class Formula(NamedTuple):
    """A declaration as written and as formulas."""

    name: str
    text: str
    latex: str
    mathml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """Everything that a report says of one file; texts are "" where there is nothing to say.

    `tone` is good, open or bad. `faults` are the objects of diagnostics with a `place`. `stated`
    are quantities and claims as formulas. `noise` says what `≈0` means. `short_hash` is of method,
    quantities and claims.
    """

    path: str
    circuit: str
    title: str
    sources: Mapping[str, str]
    headline: str
    tone: str
    scope: tuple[str, ...]
    replaced: str
    faults: tuple[Object, ...]
    claims: tuple[ClaimContent, ...]
    norms: str
    quantities: tuple[QuantityFamily, ...]
    metrics: tuple[Formula, ...]
    stated: tuple[Formula, ...]
    method: tuple[tuple[str, str], ...]
    checks: tuple[CheckRow, ...]
    cost: str
    store: str
    noise: str
    lock: LockContent | None
    short_hash: str

    @property
    def name(self) -> str:
        """The circuit, or the path of a file without one."""
        return self.circuit or self.path

    @property
    def heading(self) -> str:
        """`ioi: Who gets the drink`; "" without a circuit."""
        return f"{self.circuit}: {self.title}" if self.circuit and self.title else self.circuit


def contents(result: Object) -> tuple[FileContent, ...]:
    """The content of every file of what `check --format json` prints."""
    return tuple(file_content(file) for file in result["files"])


def content_of(outcome: FileOutcome) -> FileContent:
    """The content of a check made now; it alone says how long the check took."""
    file = outcome_object(outcome)
    if file["cost"] is None and outcome.tally is not None:
        spent = outcome.self_checks
        file["cost"] = {"runs": 0, "copies": 0, "forwards": spent, "self_checks": spent}
    return file_content(file, outcome.seconds)


def file_content(file: Object, seconds: float | None = None) -> FileContent:
    """The content of one file's JSON object; `seconds` is how long the check took."""
    rounding = file.get("rounding") or 0.0
    tasks = {task["name"]: bool(task["read"]) for task in file.get("tasks", ())}
    lets = {name: (text, mathml) for name, text, _, mathml in _formulas(file, "let")}
    noise = f"below {rounding / 100:.0e}, less than the rounding of this dtype" if rounding else ""
    return FileContent(
        path=file["path"],
        circuit=file["circuit"] or "",
        title=file.get("title", ""),
        sources=file.get("sources", {}),
        headline=_headline(file),
        tone={0: "good", 5: "open"}.get(file["exit_code"], "bad"),
        scope=tuple(_scope(file)),
        replaced=", ".join(f"{name} = {value}" for name, value in file["replaced"].items()),
        faults=tuple(_fault(fault) for fault in file["diagnostics"]),
        claims=tuple(claim_content(claim, file, rounding) for claim in file["claims"]),
        norms=norms_text(file),
        quantities=tuple(families(file["quantities"], lets, rounding / 100)),
        metrics=tuple(_formulas(file, "metric")),
        stated=tuple(_formulas(file, "let", "claim")),
        method=tuple(shared_method(file["methodology"], tasks).items()),
        checks=tuple(checks(file["proofs"])),
        cost=cost_text(file["cost"], seconds),
        store=store_text(file["store"]),
        noise=noise,
        lock=lock_content(file),
        short_hash=sha256(dumps(_lasting(file), sort_keys=True).encode()).hexdigest()[:12],
    )


def _formulas(file: Object, *kinds: str) -> Iterable[Formula]:
    for formula in file.get("formulas", ()):
        if formula["kind"] in kinds:
            yield Formula(
                name=formula["name"],
                text=formula["text"],
                latex=formula["latex"],
                mathml=plain_mathml(formula.get("mathml", "")),
            )


def _lasting(file: Object) -> Object:
    """What came out and how, without where it was computed from and what is drawn of it."""
    kept = ("methodology", "replaced", "quantities", "claims", "other_norms")
    return {key: file[key] for key in kept}


def _headline(file: Object) -> str:
    """`4 claims: 3 supported, 1 refuted as expected`."""
    match file["exit_code"]:
        case 2:
            return "the file was not checked: see its faults"
        case 3:
            return "the check could not be finished"
    claims = file["claims"]
    if not claims:
        return "no claims"
    texts = [text for _, text in counted((c["verdict"], c["as_expected"]) for c in claims)]
    if (file.get("lock") or {}).get("drifted"):
        texts.append("drifted from its lock")
    return f"{many(len(claims), 'claim')}: {', '.join(texts)}"


def _scope(file: Object) -> Iterable[str]:
    if model := file["methodology"].get("model"):
        yield f"model {model}"
    for task in file.get("tasks", ()):
        if task["read"]:
            yield f"task {task['name']}, {many(task['prompts'], 'prompt')}"


def _fault(diagnostic: Object) -> Object:
    """A diagnostic with its `place` as `PATH:LINE:COLUMN` and its labels among its notes."""
    span, place = diagnostic["span"], ""
    if span is not None:
        place = span["path"] + (f":{span['line']}:{span['column']}" if span["line"] else "")
    notes = (*(label["text"] for label in diagnostic["labels"]), *diagnostic["notes"])
    return {**diagnostic, "place": place, "notes": notes}
