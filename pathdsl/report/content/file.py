"""What a report says of one file, for text, page, Markdown, LaTeX and notebook to lay out.

    result of a check -> its JSON object -> FileContent -> one of the layouts

Made from the JSON object alone, so that a report can be written anywhere and at any later time.

    contents(json.loads(text), checked=False)     # of what `check --format json` printed
    content_of(outcome)                           # of a check made now
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pathdsl.report.content.claims import ClaimContent, counted
from pathdsl.report.content.curves import curves_of
from pathdsl.report.content.lock import lock_content, other_weights
from pathdsl.report.content.method import (
    checks,
    cost_text,
    metrics_text,
    norms_text,
    shared_method,
    store_text,
)
from pathdsl.report.content.path_sets import path_set_rows
from pathdsl.report.content.quantities import families
from pathdsl.report.content.referee import RefereeContent, referee_content
from pathdsl.report.content.rows import Object, noise_of
from pathdsl.report.data.hashed import result_hash
from pathdsl.report.data.result import outcome_object
from pathdsl.report.figures.grid import Picture, pictures
from pathdsl.report.formulas.safe_mathml import plain_mathml
from pathdsl.report.numbers import many, replaced_text, rows_text

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome

__all__ = [
    "FileContent", "Formula", "content_of", "contents", "headline", "judged", "overview",
    "provenance",
]  # fmt: skip


class Formula(NamedTuple):
    """A declaration as written and as formulas."""

    name: str
    text: str
    latex: str
    mathml: str


class FileContent:
    """Everything that a report says of one file; texts are "" where there is nothing to say.

    `tone` is good, open or bad. `faults` are the objects of diagnostics with a `place`, and
    `fault_counts` says how many there are by severity, `1 warning`. `stated` are quantities and
    claims as formulas. `noise` says what `0` means. `provenance` says that
    the numbers were read and not found, "" for those of a check made now.
    `path_sets` are those that claims are about, and `made_of` names and texts of the declarations
    that they are made of. `other_weights` says that the lock beside the file is of other weights.
    """

    def __init__(self, file: Object, seconds: float | None = None, *, checked: bool) -> None:
        """Of a JSON object; `seconds` is how long the check took, if it was `checked` now."""
        self._file = file
        self.provenance = "" if checked else provenance(file)
        rounding = file.get("rounding") or 0.0
        tasks = {task["name"]: bool(task["read"]) for task in file.get("tasks", ())}
        lets = {name: (text, mathml) for name, text, _, mathml in _formulas(file, "let")}
        self.path: str = file["path"]
        self.circuit: str = file["circuit"] or ""
        self.title: str = file.get("title", "")
        self.sources: Mapping[str, str] = file.get("sources", {})
        self.headline = headline(file)
        self.tone = {0: "good", 5: "open"}.get(file["exit_code"], "bad")
        self.scope = list(_scope(file))
        self.replaced = replaced_text(file["replaced"])
        self.faults = [_fault(fault) for fault in file["diagnostics"]]
        severities = [fault["severity"] for fault in self.faults]
        self.fault_counts = [
            (kind, many(severities.count(kind), kind))
            for kind in ("error", "warning")
            if kind in severities
        ]
        self.claims = [ClaimContent(claim, file, rounding) for claim in file["claims"]]
        self.path_sets = path_set_rows(file)
        self.made_of = [(one["name"], one["text"]) for one in file.get("made_of", ())]
        self.norms = norms_text(file)
        self.quantities = list(families(file["quantities"], lets, noise_of(file)))
        self.curves = list(curves_of(file))
        self.metrics = list(_formulas(file, "metric"))
        self.metrics_line = metrics_text(file)
        self.stated = list(_formulas(file, "let", "claim"))
        self.method = list(shared_method(file["methodology"], tasks).items())
        self.checks = list(checks(file["proofs"]))
        self.cost = cost_text(file["cost"], seconds)
        self.store = store_text(file["store"])
        less = f"below {noise_of(file):.0e}, less than the rounding of this dtype"
        self.noise = less if rounding else ""
        self.lock = lock_content(file)
        self.other_weights = other_weights(file)

    @cached_property
    def pictures(self) -> list[Picture]:
        """The pictures of sweeps."""
        return pictures(self._file)

    @cached_property
    def short_hash(self) -> str:
        """The first twelve digits of `result_sha256`."""
        return result_hash(self._file)[:12]

    @cached_property
    def referee(self) -> RefereeContent:
        """What a sceptical reader asks of the result, with the answers."""
        weights = (self._file.get("weights") or {}).get("sha256")
        texts = (
            f"not the published scope: {self.replaced}" if self.replaced else "",
            f"result {self.short_hash}",
            f"weights sha256 {weights[:12]}" if weights else "weights not known",
            self.lock.brief if self.lock is not None else "",
        )
        origin = "; ".join(text for text in texts if text)
        return referee_content(self._file, self.claims, self.headline, origin)

    @property
    def name(self) -> str:
        """The circuit, or the path of a file without one."""
        return self.circuit or self.path

    @property
    def heading(self) -> str:
        """`ioi: Who gets the drink`; "" without a circuit."""
        return f"{self.circuit}: {self.title}" if self.circuit and self.title else self.circuit


def contents(result: Object, *, checked: bool) -> tuple[FileContent, ...]:
    """The content of every file of what `check --format json` prints.

    `checked`: it is of a check made now, and was not read from anywhere.
    """
    return tuple(FileContent(file, checked=checked) for file in result["files"])


def content_of(outcome: FileOutcome) -> FileContent:
    """The content of a check made now; it alone says how long the check took."""
    file = outcome_object(outcome)
    if file["cost"] is None and outcome.tally is not None:
        spent = outcome.self_checks
        file["cost"] = {"runs": 0, "copies": 0, "forwards": spent, "self_checks": spent}
    return FileContent(file, outcome.seconds, checked=True)


def _formulas(file: Object, *kinds: str) -> Iterable[Formula]:
    for formula in file.get("formulas", ()):
        if formula["kind"] in kinds:
            yield Formula(
                name=formula["name"],
                text=formula["text"],
                latex=formula["latex"],
                mathml=plain_mathml(formula.get("mathml", "")),
            )


def provenance(file: Object) -> str:
    """That the numbers of a result were read and not found."""
    if "result_sha256" in file:
        return "laid out from JSON, not checked"
    return (
        "laid out from JSON, not checked; an old result without a hash, so that nobody can tell "
        "whether its numbers were changed"
    )


def headline(file: Object) -> str:
    """`4 claims: 3 supported, 1 refuted as expected`."""
    match file["exit_code"]:
        case 2:
            return "the file was not checked: see its faults"
        case 3:
            return "the check could not be finished"
    claims, declared = file["claims"], file.get("declared_claims", 0)
    if not claims:
        return no_claims(len(file["quantities"]), declared)
    texts = [text for _, text in counted((c["verdict"], c["as_expected"]) for c in claims)]
    if (file.get("lock") or {}).get("drifted"):
        texts.append("drifted from its lock")
    return f"{judged(len(claims), declared)}: {', '.join(texts)}"


def no_claims(quantities: int, declared: int) -> str:
    """`6 quantities, no claims`; `1 quantity; none of 3 claims was asked for` where `--only` names
    a let. `no claims` where there is nothing at all."""
    if not quantities:
        return judged(0, declared) if declared else "no claims"
    said = many(quantities, "quantity", "quantities")
    if not declared:
        return f"{said}, no claims"
    return f"{said}; none of {many(declared, 'claim')} was asked for"


def overview(files: Sequence[FileContent]) -> str:
    """`3 files, 17 claims: 14 supported, 3 refuted as expected`."""
    claims = [claim for file in files for claim in file.claims]
    texts = [text for _, text in counted((c.verdict, c.as_expected) for c in claims)]
    said = f"{many(len(files), 'file')}, {many(len(claims), 'claim')}"
    return f"{said}: {', '.join(texts)}" if texts else said


def judged(count: int, declared: int) -> str:
    """`4 claims`, or `1 of 4 claims judged` where the file makes more."""
    return (
        many(count, "claim")
        if count >= declared
        else f"{count:,} of {many(declared, 'claim')} judged"
    )


def _scope(file: Object) -> Iterable[str]:
    method = file["methodology"]
    if models := method.get("models"):
        yield f"models {models}"
    elif model := method.get("model"):
        yield f"model {model}"
    for task in file.get("tasks", ()):
        if task["read"]:
            prompts, where, taken = task["prompts"], task.get("where", ""), task.get("taken", "")
            rows = rows_text(prompts, task.get("rows", prompts), where, taken)
            distinct = task.get("distinct", prompts)
            more = f", {distinct:,} distinct" if distinct < prompts else ""
            yield f"task {task['name']}, {rows}{more}"


def _fault(diagnostic: Object) -> Object:
    """A diagnostic with its `place` as `PATH:LINE:COLUMN` and its labels among its notes."""
    span, place = diagnostic["span"], ""
    if span is not None:
        place = span["path"] + (f":{span['line']}:{span['column']}" if span["line"] else "")
    notes = (*(label["text"] for label in diagnostic["labels"]), *diagnostic["notes"])
    return {**diagnostic, "place": place, "notes": notes}
