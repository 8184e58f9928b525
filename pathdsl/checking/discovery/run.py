"""`discover`: rows divided, units scored, a circuit selected and measured, a file written, judged.

    found = discover_file("ioi.circuit", wanted, CheckOptions(), tell=print_forecast)
    found.text, found.held_out, found.exit_code

`discover_by` is the same with another source of scores.

What is measured goes by the store, and scores are kept beside the circuit as soon as they are
there, so that a discovery which was interrupted goes on with the same bits.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pathdsl.checking.check import check_file
from pathdsl.checking.discovery.alone import alone
from pathdsl.checking.discovery.beside import (
    areas_of,
    beside_others,
    bound_outside,
    without_proofs,
)
from pathdsl.checking.discovery.divided import Rows, data_text, divided
from pathdsl.checking.discovery.drafted import Drafted, Drafting
from pathdsl.checking.discovery.found import CurvePoint, Discovery, Forecast, Reached
from pathdsl.checking.discovery.goal import Goal, Unwanted, read_goal
from pathdsl.checking.discovery.reached import Reaching
from pathdsl.checking.discovery.searched import (
    HALVINGS,
    LADDER,
    Attribute,
    Search,
    asked_of,
    first_order,
    scores_of,
    sizes,
)
from pathdsl.checking.discovery.texts import Pieces, pieces_of, task_on_rows
from pathdsl.checking.discovery.wanted import (
    ACDC,
    PER_CIRCUIT,
    Named,
    Places,
    Wanted,
    named,
    places_of,
)
from pathdsl.checking.machines import Machines, Unproved
from pathdsl.checking.options import CheckOptions
from pathdsl.checking.outcome import FileOutcome
from pathdsl.checking.prepare import Ready, prepare
from pathdsl.discover.rows import record_text
from pathdsl.engine.attribution.cost import attribution_cost, beginning
from pathdsl.engine.attribution.units import edge_units
from pathdsl.engine.data.task import TaskSpec
from pathdsl.engine.proof import unproved
from pathdsl.engine.session import EngineSession
from pathdsl.errors import EngineError, LanguageError, errors_in
from pathdsl.graph.files.ranking import SIZES
from pathdsl.graph.model.components import HEAD, MLP, Layout
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS
from pathdsl.lang.units import unit_of
from pathdsl.plan.readout import ESTIMATE, Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.score.attribution import Attribution, Scored
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.metrics import compile_metric
from pathdsl.whole import write_whole

__all__ = ["attribute", "discover_by", "discover_file"]

USUAL_GOAL = read_goal("faithfulness >= 80%")
"""What a budget alone is spent on."""
PER_UNIT = 0.3
"""Plain forward passes that patching one unit costs, sharing what it can with the others."""
CURVES = 2 * len(SIZES)
"""Circuits of the curves: of each size by signed and by absolute score."""


def discover_file(
    path: str,
    wanted: Wanted,
    options: CheckOptions,
    tell: Callable[[Forecast], None],
) -> Discovery:
    """Discover a circuit of the task in a file, write it, and judge it.

    `tell` hears what will be done before any weight is read. Raises Unwanted for what cannot be
    done as asked, and PathdslError for faults of the file, its rows or the model.
    """
    return discover_by(attribute, path, wanted, options, tell)


def discover_by(
    attribute: Attribute,
    path: str,
    wanted: Wanted,
    options: CheckOptions,
    tell: Callable[[Forecast], None],
) -> Discovery:
    """The same with units scored by `attribute`, whatever the method of `wanted` is called."""
    started = time.monotonic()
    program, faults = lint_file(path, None, options.fence)
    if wrong := errors_in(faults):
        raise LanguageError(wrong)
    meant = named(program, wanted)
    places = places_of(path, wanted)
    ready = prepare(program, options)
    rows = divided(program, ready, meant, wanted)
    with alone(places.circuit), tempfile.TemporaryDirectory(prefix="pathdsl-") as folder:
        at = Path(folder) / "rows.jsonl"
        at.write_text(rows.finding, encoding="utf-8")
        work = _Work(
            path, program, ready, meant, wanted, places, rows, options, at.as_posix(), attribute
        )
        return work.discovered(tell, started)


def attribute(session: EngineSession, asked: Attribution, spec: TaskSpec) -> Scored:
    """The scores by the session: from the store, or computed and proved on the null pair.

    Raises EngineError where that does not hold.
    """
    if ATTRIBUTIONS[asked.method].exact:
        from pathdsl.engine.attribution.exact import exact

        return exact(without_proofs(session), session.adapter.shape, asked)
    run = RunSpec(task=asked.task, kind="treated", treated=asked.treated, label="treated")
    if not ATTRIBUTIONS[asked.method].effect:  # nothing is treated, and nothing proves itself so
        run = RunSpec(task=asked.task, kind="reference", label="reference")
    text = f"{asked.method}; {asked.steps} {asked.rule}; {asked.of}; {asked.by_position}"
    measure = Measure(kind=ESTIMATE.name, text=text, asked=asked)
    session.measures([(run, measure)])
    faults = unproved([(asked.task, one) for one in session.proofs.get(asked.task, ())])
    if faults:
        raise EngineError(faults)
    return session.scores.whole(session.planner.read((run, measure)))


@dataclass(slots=True)
class _Work:
    """One discovery under way; `at` is the file of the rows that find."""

    path: str
    program: Program
    ready: Ready
    meant: Named
    wanted: Wanted
    places: Places
    rows: Rows
    options: CheckOptions
    at: str
    attribute: Attribute

    @property
    def _loose(self) -> CheckOptions:
        """The options with which texts about the finding rows are checked: these lie elsewhere."""
        return replace(self.options, allow_outside=True, only=None)

    def _no_circuit(self, size: int, scored: bool) -> str:
        """What is said where no path is in what was selected, and where its scores are."""
        wanted = self.wanted
        if not scored:
            return (
                f"no edge moves the output by `--tau {wanted.tau}`, and none is left: take a "
                "smaller threshold"
            )
        return (
            f"no path from `input` to `logits` is in a circuit of {size} edges by "
            f"`{wanted.select}`: take a larger size"
            + ", or `--select ilp`, whose edges all lie on paths" * (wanted.select != "ilp")
            + f"; its scores are kept in `{self.places.scores}`"
        )

    def discovered(self, tell: Callable[[Forecast], None], started: float) -> Discovery:
        """The whole way. Raises as `discover_file`."""
        wanted = self.wanted
        pieces = pieces_of(self.program, self.meant, self.meant.metric, "")
        task = self.ready.planner.tasks[self.meant.task]
        own = task_on_rows(
            self.program, self.meant.task, self.at, self.rows.finding, task, self.meant.task
        )
        text = "\n\n".join([pieces.model, own, *pieces.groups, pieces.metric]) + "\n"
        program, faults = lint_file(self.path, text, self._loose.fence)
        if wrong := errors_in(faults):
            raise LanguageError(wrong)
        ready = prepare(program, self._loose)
        layout = Layout(ready.resolver.shape)
        decl = program.metrics[self.meant.metric]
        metric = compile_metric(decl, program.groups)
        spec = ready.planner.specs[self.meant.task]
        kept, asked = None, None
        if wanted.method != ACDC:
            assert spec.treated is not None
            asked = asked_of(
                ATTRIBUTIONS[wanted.method], wanted.steps, wanted.rule, metric, spec.treated,
                self.meant.task,
            )  # fmt: skip
        reaching = None
        if wanted.until is not None and not wanted.until.usual:
            reaching = Reaching(
                wanted.until, self.path, text, self._loose, Path(self.at).parent,
                frozenset(self.program.origin),
            )  # fmt: skip
        forecast, ladder = self._forecast(ready, layout, asked, reaching)
        tell(forecast)
        session = self._session(ready)
        if asked is not None:
            kept, _ = scores_of(
                session, asked, spec, metric, self.rows.record.pairs,
                session.tasks[self.meant.task].clusters.tolist(), self.places.scores,
                self.attribute,
                unit_of(program).get(self.meant.metric, "")
                if ATTRIBUTIONS[wanted.method].effect
                else "",
            )  # fmt: skip
        search = Search.of(without_proofs(session), self.meant.task, metric, wanted, kept)
        orders = search.by_removal() if kept is None else None
        curve: list[CurvePoint] = []
        if orders is not None:
            chosen, dangling = first_order(orders), next(iter(orders.found.values())).dangling
            size, reached, tied = int(chosen.sum()), None, False
        else:
            size, curve, reached = self._sized(search, ladder, reaching)
            selection = search.select(size)
            chosen, dangling, tied = selection.chosen, selection.dangling, bool(selection.tied)
        if not chosen.any():
            raise Unwanted(self._no_circuit(size, kept is not None))
        stability, certificate = search.stability(size), search.certificate(size)
        drafting = Drafting(
            self.path, text, program, self._loose, session, search, chosen, self.meant,
            self.places, self.attribute, frozenset(self.program.origin),
        )  # fmt: skip
        drafted = drafting.drafted(
            about=self._about(size, int(chosen.sum()), search, data_text(task)),
            judge=(judging := self._judging(pieces, task)),
            record=self.places.rows.name,
            goal=wanted.until if reaching is not None else None,
        )
        self._write(drafted.text, drafted.edges)
        outcome = check_file(str(self.places.circuit), replace(self.options, only=None))
        held_out, interval = _kept(outcome, drafted.kept)
        return Discovery(
            forecast=forecast,
            text=drafted.text,
            wanted=size,
            edges=int(chosen.sum()),
            nodes=drafted.nodes,
            units=search.units,
            dangling=tuple(dangling),
            tied=tied,
            curve=tuple(curve),
            reached=reached,
            goal=_goal_of(wanted.until, drafted, outcome) if reaching is not None else None,
            finding=drafted.finding,
            unclaimed=drafted.unclaimed,
            held_out=held_out,
            interval=interval,
            roles=drafted.roles,
            placed=drafted.placed,
            not_placed=drafted.not_placed,
            names=tuple(search.graph.names),
            chosen=chosen,
            stability=stability,
            certificate=certificate,
            orders=orders,
            rivals=beside_others(
                search, chosen, size, outcome, self.meant.judge or self.meant.task
            ),
            bound=bound_outside(session, search, chosen, asked),
            areas=areas_of(search, self.places, judging, self._loose),
            outcome=outcome,
            written=tuple(
                one.name
                for one in (
                    self.places.circuit,
                    self.places.rows,
                    self.places.judging,
                    self.places.edges,
                    self.places.scores,
                )
                if one.exists()
            ),
            seconds=time.monotonic() - started,
        )

    # ---------------------------------------------------------------- before anything runs

    def _forecast(
        self, ready: Ready, layout: Layout, asked: Attribution | None, reaching: Reaching | None
    ) -> tuple[Forecast, list[int]]:
        """What will be done, and the sizes of circuits that are measured."""
        wanted = self.wanted
        record = ATTRIBUTIONS.get(wanted.method)
        nodes = record is not None and not record.edges
        inner = sum(one.kind in (HEAD, MLP) for one in layout.components)
        units = inner if nodes else layout.n_edges()
        if isinstance(wanted.size, int) and wanted.size > units:
            what = "heads and MLPs" if nodes else "edges"
            raise Unwanted(f"`--size {wanted.size}`: the model has {units:,} {what}")
        if nodes and wanted.select != "top":
            raise Unwanted(
                f"`{wanted.method}` scores nodes, and `--select {wanted.select}` chooses edges: "
                "leave `--select` out, or score edges, `--method eap`"
            )
        if nodes and wanted.curves:
            raise Unwanted(
                f"`{wanted.method}` scores nodes, and `--curves` ranks edges: score edges, "
                "`--method eap`"
            )
        per_circuit = PER_CIRCUIT
        if reaching is not None:
            graph = EdgeGraph.of(edge_units(layout.shape), layout)
            per_circuit = max(per_circuit, float(reaching.vetted(graph, layout)))
        task = ready.planner.tasks[self.meant.task]
        size, stated = ready.itemsize(self.meant.task), ready.planner.stated(self.meant.task)
        cost = (
            attribution_cost(
                asked, layout.shape, task.n_rows, task.n_pos, size,
                beginning(asked, task, layout.shape, size, stated), stated,
            )
            if asked is not None
            else None
        )  # fmt: skip
        scoring = cost.forwards if cost is not None else 0.0
        if asked is not None and cost is None:  # each unit is patched
            scoring = 2.0 + PER_UNIT * units
        ladder: list[int] = []
        if wanted.size is None and wanted.method != ACDC:
            ladder = sizes(units)
            if wanted.budget is not None:
                paid = int((wanted.budget - scoring) // per_circuit)
                if paid < 1:
                    raise Unwanted(
                        f"`--budget {wanted.budget:g}`: `{wanted.method}` alone takes about "
                        f"{scoring:.0f} plain forward passes, and a circuit {per_circuit:.0f}; the "
                        f"least is {scoring + per_circuit:.0f}"
                    )
                ladder = sizes(units, max(1, paid))
        elif wanted.budget is not None and scoring > wanted.budget:
            raise Unwanted(
                f"`--budget {wanted.budget:g}`: `{wanted.method}` takes about {scoring:.0f} plain "
                "forward passes; raise the budget, or choose a cheaper method"
            )
        circuits = len(ladder) or 1
        values = ready.planner.room(self.meant.task)
        memory = max(values, cost.peak) if cost is not None else values
        forecast = Forecast(
            task=self.meant.task,
            metric=self.meant.metric,
            method=wanted.method,
            units=units,
            kind="heads and MLPs" if nodes else "edges",
            finding=self.rows.n_finding,
            judging=self.rows.n_judging,
            rule=self.rows.rule,
            scoring=scoring,
            goal=str(wanted.until) if wanted.until is not None else "",
            circuits=0 if wanted.method == ACDC else circuits,
            measuring=per_circuit * (3 * units if wanted.method == ACDC else circuits),
            subsets=wanted.bound or 0,
            bounding=PER_CIRCUIT * (wanted.bound or 0),
            curves=PER_CIRCUIT * CURVES if wanted.curves else 0.0,
            memory=memory + 8 * units * task.n_rows,
            resumed=self.places.scores.exists(),
            places={"circuit": self.places.circuit.name, "record": self.places.rows.name},
        )
        return forecast, ladder

    # ---------------------------------------------------------------- the search

    def _session(self, ready: Ready) -> EngineSession:
        machines = Machines(self._loose)
        try:
            session = machines.session(ready, ready.planner)
        except Unproved as error:
            raise EngineError(machines.faults) from error
        assert isinstance(session, EngineSession)
        return session

    def _sized(
        self, search: Search, ladder: Sequence[int], reaching: Reaching | None
    ) -> tuple[int, list[CurvePoint], bool | None]:
        """How many units the circuit gets, what was measured on the way, and whether it reached
        its goal; None without one."""
        wanted, total = self.wanted, search.units
        if wanted.size is not None:
            count = wanted.size if isinstance(wanted.size, int) else int(wanted.size * total)
            if count < 1:
                raise Unwanted(
                    f"`--size {100 * wanted.size:g}%` of {total:,} is less than one; wanted more"
                )
            return count, [], None
        goal = wanted.until or USUAL_GOAL
        curve: dict[int, CurvePoint] = {}

        def reaches(n: int) -> bool:
            if n not in curve:
                selection = search.select(n)
                if reaching is not None:
                    value = reaching.value(search, selection.chosen)
                else:
                    (value,) = search.faithfulness([search.path_set(selection.chosen)])
                if math.isnan(value) and reaching is None:
                    raise Unwanted(
                        f"`{self.meant.metric}` is on average the same in the reference run and in "
                        "the treated run: there is no way to keep; treat by other prompts, or "
                        "choose another metric"
                    )
                curve[n] = CurvePoint(wanted=n, edges=int(selection.chosen.sum()), value=value)
            return goal.meets(curve[n].value)

        meter = search.session.meter
        below, enough = 0, None
        for place, n in enumerate(ladder):
            meter.start(f"circuits of {len(LADDER)} sizes", len(ladder))
            meter.add(place)
            if reaches(n):
                enough = n
                break
            below = n
        left = HALVINGS if wanted.budget is None else max(0, len(ladder) - len(curve))
        while enough is not None and enough - below > 1 and left > 0:
            middle, left = (below + enough) // 2, left - 1
            if reaches(middle):
                enough = middle
            else:
                below = middle
        measured = [curve[n] for n in sorted(curve)]
        known = [one for one in measured if not math.isnan(one.value)]
        if not known:
            raise Unwanted(
                f"`--until {goal}`: no circuit that was measured has a {goal.title}; see what "
                "`pathdsl check` says of a claim about one"
            )
        turned = 1 if goal.larger else -1
        best = max(known, key=lambda one: (turned * one.value, -one.wanted)).wanted
        return enough or best, measured, enough is not None

    # ---------------------------------------------------------------- the file

    def _about(self, size: int, edges: int, search: Search, data: str) -> tuple[str, ...]:
        from importlib.metadata import version

        wanted = self.wanted
        how = f"`{wanted.method}`"
        if search.kept is not None and search.kept.steps:
            how += f" ({search.kept.steps} steps, rule {search.kept.rule})"
        what = "heads and MLPs" if search.names else "edges"
        if wanted.method == ACDC:
            chosen = (
                f"by removal ({how}, tau {wanted.tau:g}): {edges} of {search.units:,} {what} are "
                "left"
            )
        else:
            largest = "lowest" if wanted.signed else "largest absolute"
            left = f", of which {edges} lie on a path" if edges < size else ""
            chosen = (
                f"by {how}: of {search.units:,} {what} {size} of {largest} mean score, selected by "
                f"`{wanted.select}`{left}"
            )
        return (
            f"A draft that pathdsl {version('pathdsl')} discovered {chosen}.",
            f"Found on {self.rows.n_finding} rows of {data}, and judged on {self.rows.n_judging} "
            f"others ({self.rows.rule}).",
            "Edit names, groups and claims: what a part does is shown by interventions, not by how "
            "it was found.",
        )

    def _judging(self, pieces: Pieces, task: Any) -> Mapping[str, Any]:
        """The statements of the task that judges, its name, and those that come with it."""
        program, judge = self.program, self.meant.judge
        if judge is None:
            assert self.rows.judging is not None
            statement = task_on_rows(
                program, self.meant.task, self.places.judging.name, self.rows.judging, task,
                self.meant.task,
            )  # fmt: skip
            return {"tasks": (statement,), "task": self.meant.task, "uses": (), "pieces": pieces}
        from pathdsl.checking.discovery.texts import text_of
        from pathdsl.lang import ast
        from pathdsl.lang.serving import lineage

        line = list(lineage(program, program.tasks[judge]))
        own = [one for one in reversed(line) if program.origin[one.name.name] == program.path]
        uses = [text_of(program, s) for s in program.file.statements if isinstance(s, ast.UseDecl)]
        on = "" if len({*own}) == 1 and not uses else judge
        return {
            "tasks": tuple(text_of(program, one) for one in own),
            "task": judge,
            "uses": tuple(uses),
            "pieces": pieces_of(program, self.meant, self.meant.metric, on),
        }

    def _write(self, text: str, edges: str) -> None:
        places = self.places
        files = [(places.rows, record_text(self.rows.record))]
        if self.rows.judging is not None:
            files.append((places.judging, self.rows.judging))
        if edges:
            files.append((places.edges, edges))
        # What lies there is of an earlier discovery. Its circuit goes first, and the new one comes
        # last: none ever lies beside the record of other rows.
        earlier = [places.circuit, places.judging, places.edges]
        if self.wanted.method == ACDC:
            earlier += [places.scores, places.scores.with_suffix(".safetensors")]
        place = places.circuit
        try:
            for place in earlier:
                place.unlink(missing_ok=True)
            for place, content in [*files, (places.circuit, text)]:
                write_whole(place, content.encode("utf-8"))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Unwanted(f"`{place}` cannot be written: {why}") from error
        if any(place.read_bytes() != content.encode("utf-8") for place, content in files):
            places.circuit.unlink(missing_ok=True)
            raise Unwanted(
                f"another discovery wrote `{places.rows}` at the same time: run one at a time, or "
                "each with an `--out` of its own"
            )


def _goal_of(goal: Goal | None, drafted: Drafted, outcome: FileOutcome) -> Reached:
    """What was found of a goal, on the rows that find and on those that judge."""
    assert goal is not None
    claims = outcome.judgement.claims if outcome.judgement is not None else ()
    told = next((one for one in claims if one.name == drafted.reached), None)
    return Reached(
        score=goal.title,
        text=str(goal),
        finding=drafted.goal,
        held_out=told.estimate if told is not None else None,
        interval=told.interval if told is not None else None,
    )


def _kept(outcome: FileOutcome, name: str) -> tuple[float | None, tuple[float, float] | None]:
    """What the circuit keeps on the rows that judge."""
    judgement = outcome.judgement
    for one in judgement.quantities if judgement is not None else ():
        if one.name == name:
            return one.estimate, one.interval
    return None, None
