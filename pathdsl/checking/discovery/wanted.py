"""What a discovery is asked for, and of which task, metric and model of a file.

Everything is vetted here, before a row is read: what cannot be done is an `Unwanted` with a repair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pathdsl.checking.discovery.goal import Goal, Unwanted, unknown
from pathdsl.lang.check.scope import listed
from pathdsl.lang.fence import SUFFIX
from pathdsl.lang.program import Program
from pathdsl.lang.serving import fields_of, lineage, model_of, serving
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.signatures.selections import SELECTIONS
from pathdsl.score.statistics.unverified import subsets_for

__all__ = [
    "ACDC", "PER_CIRCUIT", "STEADY", "Named", "Places", "Wanted", "named", "places_of",
    "read_bound", "read_passes", "read_share_or_count",
]  # fmt: skip

ACDC = "acdc"
"""The method that scores no edge, and takes edges out one by one."""
STEADY = "stable"
"""The selection that takes the edges of largest score among those whose interval excludes 0."""
BOUND_AT, IN_EACH = 0.95, 0.1
"""The confidence of `--bound`, and the share of its subsets that each unit is in."""
PER_CIRCUIT = 2.0
"""Plain forward passes that keeping a circuit, or treating a random subset, costs at most: its
copies, and the treated run's."""
PASSES = "W0s"
"""How a number of plain forward passes is spelled behind the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a discovery; `size`: edges (an int) or a share of them (a float).

    `budget`: plain forward passes over the discovery rows. `tau`: the threshold of ACDC. `share`:
    which part of the rows finds the circuit where the file has no rows for judging. `signed`: rank
    by score instead of absolute score. `bound`: by how many random subsets what is outside is
    bounded. `curves`: whether circuits of all sizes are measured. None means: not said.
    """

    method: str
    select: str
    size: int | float | None
    budget: float | None
    until: Goal | None
    tau: float | None
    steps: int | None
    rule: str | None
    signed: bool
    bound: int | None
    curves: bool
    task: str | None
    metric: str | None
    judge: str | None
    seed: int
    share: float
    out: str | None
    force: bool

    def __post_init__(self) -> None:
        self._vet_method()
        known = [name for name, record in SELECTIONS.items() if record.scored]
        if self.select not in known:
            raise Unwanted(unknown("selection", self.select, known))
        if self.size is not None and self.until is not None:
            raise Unwanted("`--size` says how many edges, `--until` how good: choose one of them")
        if self.method == ACDC:
            if self.tau is None or self.size or self.until or self.budget:
                raise Unwanted(
                    "ACDC has a threshold and no size: `--method acdc --tau 0.01`; each edge whose "
                    "removal moves the output by less than it is taken out"
                )
            for option in ("bound", "curves"):
                if getattr(self, option):
                    raise Unwanted(
                        f"`--{option}` is of units that have scores: not for `--method acdc`"
                    )
        elif self.tau is not None:
            raise Unwanted("`--tau` is the threshold of `--method acdc`; use `--size 5%` here")
        elif self.size is None and self.until is None and self.budget is None:
            raise Unwanted(
                'how large a circuit? `--size 5%`, `--size 200`, `--until "faithfulness >= 90%"`, '
                "or `--budget 40` plain forward passes"
            )
        if self.tau is not None and not self.tau > 0:
            raise Unwanted(f"`--tau {self.tau:g}`: wanted a number above 0, such as 0.01")
        if self.budget is not None and not self.budget > 0:
            raise Unwanted(f"`--budget {self.budget:g}`: wanted plain forward passes, such as 40")
        least = subsets_for(BOUND_AT, IN_EACH)
        if self.bound is not None and self.bound < least:
            raise Unwanted(
                f"`--bound {self.bound}`: a bound at {BOUND_AT:.0%} takes {least} random subsets "
                f"at least, `--bound {least}` or `--bound {PER_CIRCUIT * least:.0f}{PASSES}`: each "
                "of them is two plain forward passes"
            )
        if not 0 < self.share < 1:
            raise Unwanted("`--share` is the part of the rows that finds: above 0% and below 100%")

    def _vet_method(self) -> None:
        if self.method == ACDC:
            return
        if self.method not in ATTRIBUTIONS:
            raise Unwanted(unknown("method", self.method, (*ATTRIBUTIONS, ACDC)))
        record = ATTRIBUTIONS[self.method]
        if self.bound and record.exact:
            raise Unwanted(f"`--method {self.method}` patches every unit: none is left to bound")
        by_sign = self.select in SELECTIONS and SELECTIONS[self.select].by_sign
        if not record.signed and (self.signed or by_sign):
            option = "--signed" if self.signed else f"--select {self.select}"
            raise Unwanted(
                f"`{option}` ranks by the sign of scores, and those of `{self.method}` have none: "
                "leave it out"
            )
        if self.steps is not None and not (record.steps and self.steps >= 1):
            what = "has no integral" if not record.steps else "needs one step at least"
            raise Unwanted(f"`--steps {self.steps}`: `{self.method}` {what}; leave it out")
        if self.rule is not None and self.rule not in record.rules:
            known = listed(record.rules) if record.rules else "no rule: leave `--rule` out"
            raise Unwanted(f"`--rule {self.rule}`: `{self.method}` has {known}")


def read_passes(text: str, option: str) -> float:
    """Plain forward passes, `40` or `40W0s`, above 0; raises Unwanted."""
    found = re.fullmatch(rf"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*(?:{PASSES})?\s*", text, re.A)
    if found is None or not (passes := float(found[1].replace("_", ""))) > 0:
        raise Unwanted(
            f"`{option} {text[:40]}`: wanted plain forward passes, such as `40` or `40{PASSES}`"
        )
    return passes


def read_bound(text: str) -> int:
    """Random subsets: `290` of them, or as many as `580W0s` pay for; raises Unwanted."""
    if PASSES in text:
        passes = read_passes(text, "--bound")
        subsets, least = int(passes // PER_CIRCUIT), subsets_for(BOUND_AT, IN_EACH)
        if subsets < least:
            raise Unwanted(
                f"`--bound {text.strip()}`: pays for {subsets} random subsets, and a bound at "
                f"{BOUND_AT:.0%} takes {least}; the least is `{PER_CIRCUIT * least:.0f}{PASSES}`"
            )
        return subsets
    if (found := re.fullmatch(r"\s*([0-9][0-9_]*)\s*", text, re.A)) is None:
        raise Unwanted(
            f"`--bound {text[:40]}`: wanted random subsets, `290`, or plain forward passes, "
            f"`580{PASSES}`"
        )
    return int(found[1])


def read_share_or_count(text: str, option: str) -> int | float:
    """`5%` is a share, `200` a count; raises Unwanted for what is neither, and for nothing."""
    found = re.fullmatch(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?)\s*(%?)\s*", text, re.A)
    whole = found is not None and "." not in found[1]
    if found is None or not (found[2] or whole):
        raise Unwanted(f"`{option} {text[:40]}`: wanted a count or a share, `200` or `5%`")
    number = float(found[1].replace("_", ""))
    if number <= 0:
        none = "no row" if option == "--share" else "no circuit"
        raise Unwanted(f"`{option} {text}` is {none} at all; wanted for example `5%`")
    if found[2] and number > 100:
        raise Unwanted(f"`{option} {text}` is more than there is; wanted for example `5%`")
    return number / 100 if found[2] else int(number)


# ------------------------------------------------------------------------------- the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What of a file is meant; `judge` is the task whose rows judge, None for a part of `task`."""

    task: str
    metric: str
    model: str
    judge: str | None


def named(program: Program, wanted: Wanted) -> Named:
    """The task, metric and model of a file without faults; raises Unwanted."""
    path = program.path
    if not program.tasks:
        raise Unwanted(f"`{path}` has no task: `task t {{ data = …; reference = …; treated = … }}`")
    task = _task(program, wanted.task, "--task")
    if task is None:
        names = list(program.tasks)
        raise Unwanted(
            f"`{path}` has {len(names)} tasks: `--task {names[0]}` names the one whose rows find "
            f"the circuit, and `--judge {names[1]}` one whose rows judge it"
        )
    judge = _task(program, wanted.judge, "--judge") if wanted.judge is not None else None
    if judge == task:
        raise Unwanted(
            f"the rows of `{task}` would judge what they found; name another task, or leave "
            "`--judge` out, and a part of the rows is kept for judging"
        )
    model = model_of(program, task)
    if model is None:
        raise Unwanted(f"`{path}` names no model for `{task}`: `model m = hf(…)`")
    for one in (task, *([judge] if judge else [])):
        if "treated" not in fields_of(program, program.tasks[one]):
            raise Unwanted(
                f"`{one}` says nothing of what treated paths carry, and a circuit is what keeps "
                "the behaviour where all else is treated: `treated = COLUMN`"
            )
    if judge is not None and model_of(program, judge) is not model:
        raise Unwanted(f"`{task}` and `{judge}` run on two models; judge on the one that found it")
    return Named(
        task=task, metric=_metric(program, wanted.metric, task), model=model.name.name, judge=judge
    )


def _task(program: Program, name: str | None, option: str) -> str | None:
    if name is None:
        return next(iter(program.tasks)) if len(program.tasks) == 1 else None
    if name not in program.tasks:
        raise Unwanted(f"`{option} {name}`: {unknown('task', name, program.tasks)}")
    return name


def _metric(program: Program, name: str | None, task: str) -> str:
    path = program.path
    if not program.metrics:
        raise Unwanted(
            f"`{path}` has no metric: what is the behaviour? `metric LD: logits = logit(COLUMN) - "
            "logit(COLUMN)`"
        )
    if name is not None:
        if name not in program.metrics:
            raise Unwanted(f"`--metric {name}`: {unknown('metric', name, program.metrics)}")
        return name
    line = {one.name.name for one in lineage(program, program.tasks[task])}
    fit = [m for m, decl in program.metrics.items() if line & {*serving(program, decl)}]
    if len(fit) != 1:
        names = fit or list(program.metrics)
        what = (
            f"{len(fit)} metrics serve `{task}`" if fit else f"no metric is said to serve `{task}`"
        )
        raise Unwanted(f"{what}: choose with `--metric {names[0]}`")
    return fit[0]


# ------------------------------------------------------------------------------- where it goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of a discovery: the circuit, and beside it what belongs to it."""

    circuit: Path
    rows: Path
    judging: Path
    edges: Path
    scores: Path


def places_of(path: str, wanted: Wanted) -> Places:
    """Where the files go; raises Unwanted where the circuit is there, or cannot be written.

    What lies there without a circuit was left by a discovery that was interrupted.
    """
    task = Path(path)
    name = task.name.removesuffix(SUFFIX)
    circuit = (
        Path(wanted.out) if wanted.out is not None else task.with_name(f"{name}_found{SUFFIX}")
    )
    if circuit.suffix != SUFFIX:
        raise Unwanted(f"`--out {circuit}`: a circuit file ends in `{SUFFIX}`")
    if circuit.resolve().parent != task.resolve().parent:
        raise Unwanted(
            f"`--out {circuit}`: the circuit lies beside its task, since what both name is "
            f"relative to their folder; wanted `{task.with_name(circuit.name)}`"
        )
    if circuit.resolve() == task.resolve():
        raise Unwanted(f"`--out {circuit}` is the task itself; wanted another name")
    stem = circuit.name.removesuffix(SUFFIX)
    found = Places(
        circuit=circuit,
        rows=circuit.with_name(f"{stem}.rows.json"),
        judging=circuit.with_name(f"{stem}.judging.jsonl"),
        edges=circuit.with_name(f"{stem}.edges.json"),
        scores=circuit.with_name(f"{stem}.scores.json"),
    )
    if circuit.exists() and not wanted.force:
        raise Unwanted(
            f"`{circuit}` is there already: `--force` writes over it, `--out NAME{SUFFIX}` beside "
            "it"
        )
    _writable(circuit.parent if str(circuit.parent) else Path("."))
    return found


def _writable(folder: Path) -> None:
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Unwanted(
            f"nothing can be written into `{folder}`: {why}; copy the task to a folder of yours"
        ) from error
