"""Axes that are fields of a task: the treated value, norms, the order of averaging."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.lang.serving import (
    columns_of,
    fields_of,
    form_of,
    lineage,
    named_option,
    scores_meant,
    tasks_read,
    treated_by,
)
from pathdsl.lang.signatures.kinds import literal
from pathdsl.lang.signatures.scores import SCORES
from pathdsl.lang.signatures.treated import ROW, TREATED_KINDS, TreatedKind, kind_of, written
from pathdsl.lang.vary.axis import below, meant_below, scores_of
from pathdsl.lang.vary.edits import Edit, replaced, text_of
from pathdsl.lang.walk import strip
from pathdsl.record import record

__all__ = ["Treated", "Word"]


def _declared(program: Program, field: str) -> list[ast.TaskDecl]:
    """The tasks that others take a field from: whole ones, and derived ones that have their own."""
    return [task for task in program.tasks.values() if _has(task, field)]


def _has(task: ast.TaskDecl, field: str) -> bool:
    return task.base is None or any(one.name == field for one in task.fields)


def _holders(program: Program, claim: ast.ClaimDecl, field: str) -> set[str]:
    """The tasks whose field decides what a claim reads; empty where that is not clear."""
    found = set()
    for name in tasks_read(program, meant_below(program, claim)):
        task = program.tasks.get(name)
        above = lineage(program, task) if task is not None else ()
        found.add(next((one.name.name for one in above if _has(one, field)), name))
    return found


def _set(task: ast.TaskDecl, name: str, text: str) -> Edit:
    """The edit that gives a field of a task another value, or adds the field."""
    field = next((f for f in task.fields if f.name == name), None)
    if field is not None:
        return replaced(field.value, text)
    end = task.fields[-1].span.end if task.fields else task.span.end - 1
    return Edit(start=end, end=end, text=f"\n  {name} = {text}")


@record
class Treated:
    """The value that treated paths carry: paired, mean, zero, resampled."""

    name: str = "treated"
    probe: str = ""
    nothing: str = "no task declares a treated value"

    def values(self, program: Program) -> tuple[str, ...]:
        """`prompt_abc`, `mean(prompt_abc)`, `zero`, `resample(prompt_abc)`, but the file's own.

        Prompts are those that the file's treated value reads; where that is zero or noise, the
        prompts of the task's generator.
        """
        found: dict[str, None] = {}
        for task in _declared(program, self.name):
            found |= dict.fromkeys(_candidates(program, task))
        return tuple(found)

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """Claims without a run on their task's treated value, or whose tasks keep theirs."""
        found = {}
        names = {task.name.name for task in self._set_by(program, value)}
        for claim in program.claims:
            read = _holders(program, claim, self.name)
            if read and not read & names:
                found[claim.name.name] = "its task has that value, or not the prompts for it"
            elif not any(map(_treats, _meant(below(program, claim)))):
                found[claim.name.name] = "no run of it carries the task's treated value"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """The field `treated` of every task that has the prompts for the value."""
        return [_set(task, "treated", value) for task in self._set_by(program, value)]

    def _set_by(self, program: Program, value: str) -> list[ast.TaskDecl]:
        """The tasks that a value changes; a value of the reader's own changes all."""
        tasks = [
            t for t in _declared(program, self.name) if any(f.name == "treated" for f in t.fields)
        ]
        return [t for t in tasks if value in _candidates(program, t)] or tasks


def _meant(nodes: Iterable[ast.Node]) -> list[ast.Node]:
    """Nodes, with scores inside scores as they are meant."""
    found = list(nodes)
    meant = scores_meant(found)
    return [meant.get(id(node), node) for node in found]


def _treats(node: ast.Node) -> bool:
    """Whether a run or a score treats paths with the value of its task."""
    if isinstance(node, ast.PlainRun):
        return node.which == "treated"
    if isinstance(node, ast.Score) and not SCORES[node.name].treats:
        return False
    return isinstance(node, ast.PathRun | ast.Score) and treated_by(node) is None


def _is_treated(node: ast.Node) -> bool:
    """Whether a run or a score treats paths, with whatever value."""
    if isinstance(node, ast.Score):
        return SCORES[node.name].treats
    return isinstance(node, ast.PathRun) or _treats(node)


def _candidates(program: Program, task: ast.TaskDecl) -> list[str]:
    fields = fields_of(program, task)
    if "treated" not in fields:
        return []
    own = fields["treated"].value
    columns, by, at = _reads(own)
    if not columns:
        known = columns_of(program, task)
        reference = literal(fields["reference"].value) if "reference" in fields else None
        if known is not None:
            left_out = {reference, *known.added}
            columns = [c for c in known.prompts if c not in left_out]
    kinds = [kind for kind in TREATED_KINDS.values() if kind.varied]
    found = [written(kind, {}) for kind in kinds if not kind.reads_column]
    for column in columns:
        given = {"column": column, "by": "" if by == ROW else by}
        found += [written(kind, given) for kind in kinds if kind.reads_column]
        if at:
            given = {"column": column, "by": by, "at": "any"}
            found += [written(kind, given) for kind in kinds if _is_placed(kind)]
    same = {"".join(text_of(program, own).split())}
    if (kind := kind_of(own)) is not None:  # its draws and seed are no choice of method
        given = {"column": columns[0] if columns else "", "by": by}
        given |= {"at": "any"} if at == "any" else {}
        same.add("".join(written(kind, given).split()))
    return [one for one in found if "".join(one.split()) not in same]


def _is_placed(kind: TreatedKind) -> bool:
    """Whether a kind reads a column, at named places if they are given."""
    signature = kind.signature
    return kind.reads_column and signature is not None and bool(signature.parameter("at"))


def _reads(value: ast.Node) -> tuple[list[str], str, str]:
    """The prompt columns of a treated value, the label that it groups by, and its places."""
    kind = kind_of(value)
    if kind is None or not kind.reads_column:
        return [], "", ""
    if isinstance(value, ast.Name):
        return [value.name], "", ""
    if not isinstance(value, ast.Call):
        return [], "", ""
    columns = [
        a.value.name
        for a in value.arguments
        if a.keyword in ("", "column") and isinstance(a.value, ast.Name)
    ]
    at = next((a.value for a in value.arguments if a.keyword == "at"), None)
    places = "" if at is None else at.word if isinstance(at, ast.Word) else "named"
    return columns, named_option(value.arguments, "by") or "", places


@record
class Word:
    """A field of a task with one of a few words: `layernorm`, `average`."""

    name: str
    words: tuple[str, ...]
    probe: str = ""
    nothing: str = "nothing to change"

    def values(self, program: Program) -> tuple[str, ...]:
        """The words that some task does not have; the first is what an absent field means."""
        own = {self._own(program, task) for task in _declared(program, self.name)}
        return tuple(word for word in self.words if own and own != {word})

    def left_out(self, program: Program, value: str) -> Mapping[str, str]:
        """For norms, claims without a treated run; for averages, claims without a quotient.

        For both, claims whose tasks have the word already.
        """
        found = {}
        names = {task.name.name for task in self._set_by(program, value)}
        for claim in program.claims:
            read = _holders(program, claim, self.name)
            if read and not read & names:
                found[claim.name.name] = "its task says so already"
            elif self.name == "average":
                written = any(_averaged(program, n, value) for n in below(program, claim))
                quotients = (form_of(s).divides_by != "nothing" for s in scores_of(program, claim))
                if not written and not any(quotients):
                    found[claim.name.name] = "it has no score that is a quotient, nor one of means"
            elif not any(map(_is_treated, below(program, claim))):
                found[claim.name.name] = "no run of it is treated"
        return found

    def edits(self, program: Program, value: str) -> list[Edit]:
        """The field of every task that has another word, and quotients of means written out."""
        edits = [_set(task, self.name, value) for task in self._set_by(program, value)]
        if self.name == "average":
            for claim in program.claims:
                for node in below(program, claim):
                    text = _averaged(program, node, value)
                    edits += [replaced(node, text)] if text else []
        return edits

    def _own(self, program: Program, task: ast.TaskDecl) -> object:
        field = fields_of(program, task).get(self.name)
        return literal(field.value) if field is not None else self.words[0]

    def _set_by(self, program: Program, value: str) -> list[ast.TaskDecl]:
        return [task for task in _declared(program, self.name) if self._own(program, task) != value]


def _averaged(program: Program, node: ast.Node, value: str) -> str:
    """A quotient that is written out, averaged in the other order; "" for any other node."""
    if value == "mean_of_ratios" and isinstance(node, ast.Binary) and node.op == "/":
        above, below_line = _mean_of(node.left), _mean_of(node.right)
        if above is not None and below_line is not None:
            parts = [
                text_of(program, part)
                if isinstance(part, ast.Call)
                else f"({text_of(program, part)})"
                for part in (above, below_line)
            ]
            return f"mean({' / '.join(parts)})"
    if value == "ratio_of_means" and (inner := _mean_of(node)) is not None:
        quotient = strip(inner)
        if isinstance(quotient, ast.Binary) and quotient.op == "/":
            left, right = (text_of(program, strip(p)) for p in (quotient.left, quotient.right))
            return f"(mean({left}) / mean({right}))"
    return ""


def _mean_of(node: ast.Node) -> ast.Node | None:
    """What `mean(x)` averages, None for anything else."""
    call = strip(node)
    if isinstance(call, ast.Call) and call.name == "mean" and len(call.arguments) == 1:
        if isinstance(call.arguments[0].value, ast.OverMembers):
            return None
        return call.arguments[0].value
    return None
