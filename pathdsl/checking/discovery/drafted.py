"""The draft of a discovered file: groups by role and place, a path set, claims with thresholds.

Everything that decides a word of the draft is measured on the rows that found the circuit. So its
thresholds lie below what these rows show: on others a circuit does worse than where it was found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from pathdsl.checking.check import check_file
from pathdsl.checking.discovery.goal import Goal
from pathdsl.checking.discovery.searched import Attribute, Search, asked_of
from pathdsl.checking.discovery.thresholds import (
    LEFT,
    complete_from,
    necessary_from,
    sufficient_from,
)
from pathdsl.checking.discovery.wanted import Named, Places
from pathdsl.checking.options import CheckOptions
from pathdsl.discover.roles import CONCENTRATED, Look, looks, may_read, place_of, places, role_of
from pathdsl.discover.write import (
    Draft,
    Edge,
    NodeGroup,
    circuit_json,
    circuit_text,
    edge_lines,
    grouped,
)
from pathdsl.engine.session import EngineSession
from pathdsl.errors import LanguageError, PathdslError, errors_in
from pathdsl.graph.model.components import HEAD
from pathdsl.graph.paths.pathset import PathSet
from pathdsl.graph.paths.product import MAX_STATES
from pathdsl.graph.resolve.resolver import Resolver
from pathdsl.lang.fence import SUFFIX
from pathdsl.lang.lint import lint_file
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS

__all__ = ["Drafted", "Drafting"]

MOST_LINES = 60
"""Lines of edges in the text; more stand in a circuit file beside it."""
LOST, LITTLE = 0.05, 0.01
"""Faithfulness that naming positions may cost on the discovery rows: of all nodes, and of one."""
CONTROLS = {
    "random_edges(like: {}, by: walks, seed: 0)": "random walks, as many edges",
    "random_like({}, seed: 0)": "the same with other nodes of its layers",
    "random_edges(like: {}, seed: 0)": "other edges, as many of each kind",
}
"""Random sets that stand beside the circuit, the better first, with what they are."""
KNOCKOUTS = 20
SEEN = 1e-3
"""The share of the largest score of a node below which slopes see nothing of it."""
MOST_RUNS = 120
"""Runs that may be spent on where nodes stand."""
BY_POSITION = ("atp_qk", "atp")
"""The methods that say where a node stands, the better one first: it sees through a softmax that is
saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """The text of a draft, the circuit file beside it ("" for none), and what it says.

    `roles`: by head the role, where it looks, and with how much of its attention. `finding`: the
    faithfulness on the discovery rows, NaN where it is undefined there, `kept` the name of the
    quantity that is the same on others. `reached` is the name of the claim that it reaches another
    goal, and `goal` that goal's score on the discovery rows, None where it is undefined there.
    `unclaimed`: why nothing is claimed, "" where something is.
    `not_placed`: why no position is named, "" where some are.
    """

    text: str
    edges: str
    nodes: int
    roles: Mapping[str, tuple[str, str, float]]
    placed: bool
    not_placed: str
    finding: float
    unclaimed: str
    kept: str
    reached: str
    goal: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A path set as written, with its groups; `nodes` are its heads and MLPs."""

    name: str
    path: str
    groups: tuple[NodeGroup, ...]
    nodes: tuple[str, ...]

    @property
    def statements(self) -> str:
        """The statements that declare it."""
        groups = "".join(f"{one.text()}\n" for one in self.groups)
        return f"{groups}path {self.name} = {self.path}\n"


@dataclass(slots=True)
class Drafting:
    """What a draft is made from; `text` is the file on the finding rows, which `program` is.

    `taken`: names of the task's file, which the draft may have too.
    """

    path: str
    text: str
    program: Program
    options: CheckOptions
    session: EngineSession
    search: Search
    chosen: np.ndarray
    meant: Named
    places: Places
    attribute: Attribute
    taken: frozenset[str]

    def _name(self, word: str) -> str:
        """The word, or one like it that no declaration of the file has."""
        number = 1
        while (name := word if number == 1 else f"{word}_{number}") in self.taken:
            number += 1
        return name

    # ---------------------------------------------------------------- what is measured

    def _measured(self, more: str) -> dict[str, float | None] | None:
        """The estimates of lets on the finding rows; None where the text has a fault."""
        outcome = check_file(self.path, self.options, self.text + more)
        judgement = outcome.judgement
        if judgement is None or errors_in(outcome.diagnostics):
            return None
        return {one.name: one.estimate for one in judgement.quantities}

    def _at(self, nodes: Collection[str]) -> dict[str, str]:
        """Where nodes stand, by the scores of their outputs at each position."""
        spec = self.session.planner.specs[self.meant.task]
        task = self.session.tasks[self.meant.task]
        assert spec.treated is not None
        scored = None
        for name in BY_POSITION:
            asked = replace(
                asked_of(
                    ATTRIBUTIONS[name], None, None, self.search.metric, spec.treated,
                    self.meant.task,
                ),
                of="nodes",
                by_position=True,
            )  # fmt: skip
            with suppress(PathdslError):  # a structure on which the method has no meaning
                scored = self.attribute(self.session, asked, spec)
                break
        if scored is None:
            return {}
        known = places(task)
        found = {}
        largest = float(np.abs(scored.values).sum(axis=(1, 2)).max(initial=0.0))
        for unit, values in zip(scored.units, scored.values, strict=True):
            seen = float(np.abs(values).sum()) > SEEN * largest
            if not unit.receiver and unit.sender in nodes and seen:
                if place := place_of(values, known):
                    found[unit.sender] = place
        return found | self._at_by_patching(sorted({*nodes} - {*found}), [p.text for p in known])

    def _at_by_patching(self, nodes: Sequence[str], known: Sequence[str]) -> dict[str, str]:
        """Where nodes stand whose slopes do not say: where treating them does, prompt by prompt,
        what treating them everywhere does. Nothing where that takes too many runs."""
        if not nodes or len(nodes) * (len(known) + 1) > MOST_RUNS:
            return {}
        asked = {
            (node, place): f"{self._name('stands')}_{n}"
            for n, (node, place) in enumerate(product(nodes, ("", *known)))
        }
        statements = "".join(
            f"path {name} = through({node}{f'@{place}' if place else ''})\n"
            for (node, place), name in asked.items()
        )
        program, faults = lint_file(self.path, self.text + statements, self.options.fence)
        if errors_in(faults):
            return {}
        resolver = Resolver(program, self.session.planner.shape, MAX_STATES)
        sets = {key: resolver.path_set(program.paths[name].path) for key, name in asked.items()}
        reference, *values = self.search.treated(list(sets.values()))
        moved = dict(zip(sets, (one - reference for one in values), strict=True))
        found = {}
        for node in nodes:
            whole = moved[node, ""]
            size = float(np.abs(whole).sum())
            missed = {place: float(np.abs(moved[node, place] - whole).sum()) for place in known}
            best = min(known, key=lambda place: missed[place])
            if size > 0 and missed[best] <= (1 - CONCENTRATED) * size:
                found[node] = best
        return found

    def _roles(self, at: Mapping[str, str]) -> dict[str, tuple[str, str, float]]:
        """The roles of heads that stand at a place, by their attention there."""
        task = self.session.tasks[self.meant.task]
        kinds = {str(one): one.kind for one in self.search.layout.components}
        known = {one.text: one for one in places(task)}
        answers = sorted({m.column for m in self.search.metric.measures if m.column})
        asked: list[tuple[str, Look]] = [
            (head, look)
            for head, place in at.items()
            if kinds[head] is HEAD
            for look in looks(task, known[place], answers)
        ]
        if not asked:
            return {}
        prefix = self._name("looks")
        lines = []
        for n, (head, look) in enumerate(asked):
            lines.append(f"metric {prefix}_{n} = attention({head}, {at[head]} -> {look.to})")
            lines.append(f"let {prefix}_of_{n} = mean({prefix}_{n}(reference))")
            if look.role == "copying":
                lines.append(f"metric {prefix}_c{n} = copy_score({head}, of: [{look.to}])")
                lines.append(f"let {prefix}_copy_{n} = mean({prefix}_c{n}(reference))")
        values = self._measured("\n".join(lines) + "\n") or {}
        seen: dict[str, dict[Look, float]] = {}
        copies: dict[str, float] = {}
        for n, (head, look) in enumerate(asked):
            seen.setdefault(head, {})[look] = values.get(f"{prefix}_of_{n}") or 0.0
            copied = values.get(f"{prefix}_copy_{n}") or 0.0
            copies[head] = max(copies.get(head, 0.0), copied)
        found = {}
        for head, attention in seen.items():
            if role := role_of(attention, copies[head]):
                look = max(
                    (one for one in attention if one.role == role), key=attention.__getitem__
                )
                found[head] = (role, look.to, attention[look])
        return found

    # ---------------------------------------------------------------- the path set

    def _plain(self, roles: Mapping[str, tuple[str, str]]) -> _Written:
        """The circuit at every position."""
        search, layout = self.search, self.search.layout
        if search.names:
            nodes = [search.names[i] for i in np.flatnonzero(self.chosen)]
            groups = grouped(nodes, roles, {}, layout, self.taken)
            return _Written(
                name=self._name("found"),
                path=_within(nodes, groups, {}),
                groups=groups,
                nodes=tuple(nodes),
            )
        return self._listed(self.chosen, {}, roles)

    def _listed(
        self, chosen: np.ndarray, at: Mapping[str, str], roles: Mapping[str, tuple[str, str]]
    ) -> _Written:
        """A circuit of edges as a list; of too many, as the file beside."""
        layout, graph = self.search.layout, self.search.graph
        edges = self._edges(chosen)
        nodes = sorted(
            {name for edge in edges for name in edge[:2]} - {"input", "logits"},
            key=layout.named.__getitem__,
        )
        groups = grouped(nodes, roles, at, layout, self.taken)
        lines = edge_lines(edges, groups, at, layout)
        if len(lines) > MOST_LINES:
            groups = grouped(nodes, roles, {}, layout, self.taken)
            path = f'edges("{self.places.edges.name}")'
        else:
            path = "edges {\n" + "".join(f"  {line}\n" for line in lines) + "}"
        assert len(graph)
        return _Written(name=self._name("found"), path=path, groups=groups, nodes=tuple(nodes))

    def _edges(self, chosen: np.ndarray) -> list[Edge]:
        layout = self.search.layout
        return [
            (layout.label(u), layout.label(v), slot)
            for u, v, slot in self.search.graph.triples(chosen)
        ]

    def _placed(
        self, at: Mapping[str, str], roles: Mapping[str, tuple[str, str]]
    ) -> _Written | None:
        """The circuit with nodes where they stand; None where edges are left that join nothing."""
        search = self.search
        if search.names:
            nodes = [search.names[i] for i in np.flatnonzero(self.chosen)]
            groups = grouped(nodes, roles, at, search.layout, self.taken)
            return _Written(
                name=self._name("found"),
                path=_within(nodes, groups, at),
                groups=groups,
                nodes=tuple(nodes),
            )
        task = self.session.tasks[self.meant.task]
        where = {one.text: one for one in places(task)}
        read, last = search.metric.position or "END", search.layout.label(search.layout.logits)
        kept = self.chosen.copy()
        for n, (sender, receiver, slot) in zip(
            np.flatnonzero(kept), self._edges(kept), strict=True
        ):
            one = where.get(at.get(sender, ""))
            other = where.get(read if receiver == last else at.get(receiver, ""))
            if one is not None and other is not None:
                kept[n] = may_read(one, other, slot, causal=search.layout.shape.causal)
        kept = search.graph.on_a_path(kept)
        return self._listed(kept, at, roles) if kept.any() else None

    # ---------------------------------------------------------------- the draft

    def drafted(
        self, about: tuple[str, ...], judge: Mapping[str, Any], record: str, goal: Goal | None
    ) -> Drafted:
        """The draft, formatted; `goal` is one that is no faithfulness, which is claimed as well."""
        search = self.search
        self.session.meter.start("where its nodes stand and look")
        nodes = set(self._plain({}).nodes)
        at = self._at(nodes)
        looked = self._roles(at)
        roles = {head: (role, to) for head, (role, to, _) in looked.items()}
        plain = self._plain(roles)
        in_file = plain.path.startswith('edges("')
        if in_file:
            self._write_edges()
        (keeps,) = self._kept([plain])
        final, why = plain, "" if at else "no node's score is at one place"
        if in_file and at:
            why = "its edges stand in a file, which has no positions"
        elif at:
            placed, why = self._at_places(at, roles, keeps or 0.0)
            final = placed or plain
        (finding,) = search.faithfulness([self._path_set(final)])
        control, known = self._controlled(final)
        if control and known["kept"] is None:  # the interval of what it is a share of contains 0
            finding = math.nan
        unclaimed = _unclaimed(control, finding)
        claims: tuple[str, ...] = ()
        if not unclaimed:
            claims = self._claims(final, finding, control, known, goal, judge)
        text = self._text(
            final, finding, about, judge, record,
            claims=claims,
            unclaimed=unclaimed,
        )  # fmt: skip
        return Drafted(
            text=text,
            edges=self._edges_file() if in_file else "",
            nodes=len(final.nodes),
            roles={
                head: looked[head] for head in sorted(looked, key=search.layout.named.__getitem__)
            },
            placed=final is not plain,
            not_placed=why if final is plain else "",
            finding=finding,
            unclaimed=unclaimed,
            kept=self._name("kept"),
            reached=self._name("reached"),
            goal=self._of_goal(final, goal) if goal is not None else None,
        )

    def _of_goal(self, final: _Written, goal: Goal) -> float | None:
        name = self._name("reached")
        let = f"{final.statements}let {name} = {goal.of(final.name)}\n"
        return (self._measured(let) or {}).get(name)

    def _kept(self, some: Sequence[_Written]) -> list[float | None]:
        """What path sets keep prompt by prompt on the finding rows, None of what is no path set."""
        found: dict[int, PathSet] = {}
        for n, one in enumerate(some):
            with suppress(PathdslError):
                found[n] = self._path_set(one)
        values = dict(zip(found, self.search.explained(list(found.values())), strict=True))
        return [values.get(n) for n in range(len(some))]

    def _path_set(self, one: _Written) -> PathSet:
        """The paths of what is written; LanguageError for what has none."""
        program, faults = lint_file(self.path, self.text + one.statements, self.options.fence)
        if wrong := errors_in(faults):
            raise LanguageError(wrong)
        resolver = Resolver(program, self.session.planner.shape, MAX_STATES)
        return resolver.path_set(program.paths[one.name].path)

    def _at_places(
        self, at: Mapping[str, str], roles: Mapping[str, tuple[str, str]], keeps: float
    ) -> tuple[_Written | None, str]:
        """The circuit with nodes where they stand; or why there is none.

        Where naming all places loses too much, those are named that lose next to nothing alone.
        """
        whole = self._placed(at, roles)
        (kept,) = self._kept([whole]) if whole is not None else (None,)
        if whole is None or kept is None or kept < keeps - LOST:
            lost = "nothing" if kept is None else f"{kept:.1%}"
            why = f"at the places of their scores its nodes keep {lost}, and {keeps:.1%} anywhere"
            alone = {node: self._placed({node: place}, roles) for node, place in at.items()}
            tried = {node: one for node, one in alone.items() if one is not None}
            values = dict(zip(tried, self._kept(list(tried.values())), strict=True))
            some = {
                node: at[node]
                for node, value in values.items()
                if value is not None and value >= keeps - LITTLE
            }
            whole = self._placed(some, roles) if some else None
            (kept,) = self._kept([whole]) if whole is not None else (None,)
            if whole is None or kept is None or kept < keeps - LOST:
                return None, why
        # The graph may hold it, and a prompt may not.
        checked = self._measured(
            f"{whole.statements}let kept = faithfulness({whole.name}, metric: "
            f"{self.meant.metric})\n"
        )
        if checked is None:
            return None, "a prompt has no path through its nodes at the places of their scores"
        return whole, ""

    def _edges_file(self) -> str:
        values = self.search.values
        means = values.mean(axis=1) if values.size else np.zeros(len(self.search.graph))
        scores = (0.0 - means[np.flatnonzero(self.chosen)]).tolist()  # as in files of EAP-IG
        edges = dict(zip(self._edges(self.chosen), scores, strict=True))
        return circuit_json(edges, self.search.layout)

    def _write_edges(self) -> None:
        from pathdsl.whole import write_whole

        self.places.circuit.unlink(missing_ok=True)  # an earlier one would read these edges
        write_whole(self.places.edges, self._edges_file().encode())

    def _text(
        self,
        final: _Written,
        finding: float,
        about: tuple[str, ...],
        judge: Mapping[str, Any],
        record: str,
        *,
        claims: tuple[str, ...],
        unclaimed: str,
    ) -> str:
        metric = self.meant.metric
        stem = self.places.circuit.name.removesuffix(SUFFIX)
        name = re.sub(r"\W", "_", stem, flags=re.A)
        note = (
            f"Drafts: each claims about {LEFT:.0%} of what the rows that found the circuit show "
            f"(faithfulness {finding:.1%}), since others show less. Undecided is a fair verdict."
        )
        draft = Draft(
            name=name if re.match(r"[A-Za-z_]", name) else f"c_{name}",
            title=f"A circuit of `{metric}` on the task `{judge['task']}`, discovered",
            hypothesis=final.name,
            record=record,
            about=about,
            uses=judge["uses"],
            model=judge["pieces"].model,
            tasks=judge["tasks"],
            groups=final.groups,
            path=final.path,
            metrics=(*judge["pieces"].groups, judge["pieces"].metric),
            lets=self._lets(final),
            note=f"No claim is drafted: {unclaimed}." if unclaimed else note,
            claims=claims,
        )
        return circuit_text(draft)

    def _lets(self, final: _Written) -> tuple[str, ...]:
        """What the circuit keeps, what the whole moves, and what each group does by itself."""
        metric = self.meant.metric
        found = [
            f"let {self._name('kept')} = faithfulness({final.name}, metric: {metric})",
            f"let {self._name('total')}: {self._unit()} = "
            f"mean({metric}(reference) - {metric}(treated))",
        ]
        names = [one.name for one in final.groups]
        if names:
            found.append(
                f"let {self._name('of_group')} for g in [{', '.join(names)}]: {self._unit()} = "
                f"mean({metric}(reference) - {metric}(treat(through(g))))"
            )
        return tuple(found)

    def _unit(self) -> str:
        from pathdsl.lang.units import unit_of

        return unit_of(self.program).get(self.meant.metric, "none")

    def _shares(self, final: _Written) -> tuple[str, str]:
        """What is left without the circuit, and what its complement makes up for, as texts."""
        metric, name = self.meant.metric, final.name
        return (
            f"mean({metric}(treat({name}))) / mean({metric}(reference))",
            f"completeness({name}, knockouts: random({KNOCKOUTS}, seed: 0), as: share, "
            f"metric: {metric})",
        )

    def _controlled(self, final: _Written) -> tuple[str, dict[str, float | None]]:
        """The first random set that can be drawn, "" for none, and what the finding rows show of
        it and of the circuit."""
        metric, name = self.meant.metric, final.name
        share, missed = self._shares(final)
        controls = [text.format(name) for text in CONTROLS]
        for control in controls:
            found = self._measured(
                f"{final.statements}let share_without = {share}\nlet misses = {missed}\n"
                f"let kept = faithfulness({name}, metric: {metric})\n"
                f"let by_chance = faithfulness({control}, metric: {metric})\n"
            )
            if found is not None:
                return control, found
        return "", {}

    def _claims(
        self,
        final: _Written,
        finding: float,
        control: str,
        known: Mapping[str, float | None],
        goal: Goal | None,
        judge: Mapping[str, Any],
    ) -> tuple[str, ...]:
        """The claims, their control last."""
        metric, name = self.meant.metric, final.name
        share, missed = self._shares(final)
        least = sufficient_from(finding)
        claims = [
            f"claim {self._name('sufficient')}: faithfulness({name}, metric: {metric}) >= "
            f'{_per_cent(least)} at 95% confidence "draft: all else treated, this is kept"'
        ]
        if goal is not None:
            task = judge["task"] if len(judge["tasks"]) > 1 else ""
            claims.append(
                f'{goal.claim(self._name("reached"), name, task)} "what was to be reached"'
            )
        without = known.get("share_without")
        most = necessary_from(without) if without is not None else None
        if most is not None:
            claims.append(
                f"claim {self._name('necessary')}: {share} <= {_per_cent(most)} at 95% confidence "
                '"draft: without it, this share is left"'
            )
        misses = known.get("misses")
        most = complete_from(misses) if misses is not None else None
        if most is not None:
            claims.append(
                f"claim {self._name('complete')}: {missed} <= {_per_cent(most)} at 95% confidence "
                '"draft: nothing outside of it makes up for its parts"'
            )
        why = next(why for text, why in CONTROLS.items() if text.format(name) == control)
        return (
            *claims,
            f"claim {self._name('control')}: faithfulness({control}, metric: {metric}) >= "
            f"{_per_cent(least)} at 95% confidence expect refuted "
            f'"{why}"',
        )


def _unclaimed(control: str, finding: float) -> str:
    """Why a circuit is no hypothesis: what keeps nothing where it was found is not claimed to be
    necessary or complete either, which any set may be that does nothing. "" where it is one."""
    rows = "on the rows that found it"
    if not math.isfinite(finding):
        return (
            f"{rows} it is not plain that the metric differs between the reference run and the "
            "treated run, and so not what share of the way the circuit keeps"
        )
    if sufficient_from(finding) <= 0:
        return f"{rows} the circuit keeps {finding:.1%} of the way"
    if not control:
        return f"{rows} no random set of its kind can be drawn to stand beside it"
    return ""


def _within(nodes: Iterable[str], groups: Iterable[NodeGroup], at: Mapping[str, str]) -> str:
    """A circuit of nodes: groups by name, the rest one by one."""
    inside = {node for group in groups for node in group.members}
    alone = [f"{n}@{at[n]}" if at.get(n) else n for n in nodes if n not in inside]
    return f"within({', '.join([*(group.name for group in groups), *alone])})"


def _per_cent(value: float) -> str:
    return f"{100 * value:.4g}%"
