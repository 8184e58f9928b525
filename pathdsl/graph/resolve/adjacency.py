"""Steps of a path that no model of this shape can take, found before any data is read.

Each arrow is checked between the last nodes of what stands before it and the first nodes of what
follows: does the layer order allow the edge, has the receiver such an input, and can the two
positions both hold? Between sets one possible pair is enough. What only the data can tell (whether
two names coincide on some prompt) is left to the run.

Positions are compared where the language itself decides: one name with two offsets, two absolute
indices, and `END`, which every other position precedes, where attention would carry it back. A
query, an MLP and `logits` keep the position of what they read; `END` and another name may be the
same token there, so that is no fault here.

Source: docs/language.md, Edges.

    a9.h9 -> a5.h5                        PD201, the sender's layer is later
    a5.h5@S1 -[q]-> a9.h9@S1+1            PD202, only keys and values move
    s_inhibition@END -[v]-> induction@S2  PD203, attention cannot read the future
"""

from __future__ import annotations

from collections.abc import Iterable

from pathdsl.errors import Diagnostic, LanguageError
from pathdsl.graph.model.components import HEAD, MLP, bits
from pathdsl.graph.paths.neurons import whole
from pathdsl.graph.paths.pathset import Nodes
from pathdsl.graph.resolve.arrows import labels_of
from pathdsl.graph.resolve.places import Bindings, Mark, Places
from pathdsl.graph.resolve.positions import Step, distance, is_after, place_fault, reads_any
from pathdsl.lang import ast
from pathdsl.record import record

__all__ = ["check_chain", "no_edge"]


@record
class End:
    """A place where a sub-path begins or ends, and the reference that wrote it."""

    place: Nodes
    node: ast.Node


def check_chain(places: Places, chain: ast.Chain, bindings: Bindings) -> None:
    """Raise LanguageError with every arrow of the chain that cannot be met; None when all can."""
    checker = _Checker(places, bindings)
    checker.steps(checker.ends(chain.first, last=True), chain.steps)
    if checker.faults:
        raise LanguageError(checker.faults)


def no_edge(
    places: Places,
    chain: ast.Chain,
    step: ast.Hop,
    senders: tuple[Nodes, ...],
    receivers: tuple[Nodes, ...],
) -> LanguageError:
    """The fault of a listed step of `chain` between whose two sets the model has no edge."""
    before: ast.Node = chain.first
    for earlier in chain.steps:
        if earlier is step:
            break
        if isinstance(earlier, ast.Hop):
            before = earlier.target
    checker = _Checker(places, {})
    checker.hop(
        [End(place=n, node=before) for n in whole(senders, places.layout)],
        step,
        [End(place=n, node=step.target) for n in whole(receivers, places.layout)],
    )
    faults = checker.faults or [_plain(step.target, before)]
    return LanguageError(faults)


def _plain(receiver: ast.Node, sender: ast.Node) -> Diagnostic:
    return Diagnostic(
        code="PD204", message="no node of the first set is read by a node of the second",
        span=receiver.span, label="does not read it", labels=((sender.span, "the sender"),),
    )  # fmt: skip


class _Checker:
    """The faults of one chain's arrows."""

    def __init__(self, places: Places, bindings: Bindings) -> None:
        self.places = places
        self.program = places.program
        self.layout = places.layout
        self.causal = places.layout.shape.causal
        self.bindings = bindings
        self.faults: list[Diagnostic] = []

    # ---------------------------------------------------------------------------------------------
    # Where sub-paths begin and end
    # ---------------------------------------------------------------------------------------------

    def ends(
        self, expr: ast.PathExpr, *, last: bool, bindings: Bindings | None = None,
        shown: ast.Node | None = None,
    ) -> list[End]:  # fmt: skip
        """The first or last nodes of a sub-path; `shown` is the name through which it is read."""
        bindings = self.bindings if bindings is None else bindings
        match expr:
            case ast.Group(inner=inner):
                return self.ends(inner, last=last, bindings=bindings, shown=shown)
            case ast.Choice(options=options):
                return _once(
                    e
                    for option in options
                    for e in self.ends(option, last=last, bindings=bindings, shown=shown)
                )
            case ast.Chain(first=first) if not last:
                return self.ends(first, last=False, bindings=bindings, shown=shown)
            case ast.Chain(first=first, steps=steps):
                senders = self.ends(first, last=True, bindings=bindings, shown=shown)
                return self.after(senders, steps, bindings, shown)
            case ast.Name(name=name) if name in self.program.paths and name not in bindings:
                path = self.program.paths[name].path
                return self.ends(path, last=last, bindings={}, shown=shown or expr)
            case _:
                nodes = self.places.nodes(expr, bindings)  # type: ignore[arg-type]
                return [End(place=n, node=shown or expr) for n in whole(nodes, self.layout)]

    def after(
        self,
        senders: list[End],
        steps: Iterable[ast.Hop | ast.Repeat],
        bindings: Bindings,
        shown: ast.Node | None = None,
    ) -> list[End]:
        """The nodes that may stand last once `steps` were taken."""
        for step in steps:
            if isinstance(step, ast.Repeat):
                inside = self.after([], step.hops, bindings, shown)
                senders = _once([*(senders if step.least == 0 else []), *inside])
            elif not self.places.marks(step.target, bindings):
                senders = self.ends(step.target, last=True, bindings=bindings, shown=shown)
        return senders

    # ---------------------------------------------------------------------------------------------
    # Walking the arrows
    # ---------------------------------------------------------------------------------------------

    def steps(self, senders: list[End], steps: Iterable[ast.Hop | ast.Repeat]) -> None:
        """Check every arrow; `senders` may stand before the first (none: it is not known)."""
        crossing: tuple[ast.Hop, tuple[Mark, ...]] | None = None
        for step in steps:
            if isinstance(step, ast.Repeat):
                self.steps(senders if step.least else [], step.hops)
                senders = self.after(senders, (step,), self.bindings)
                continue
            marks = self.places.marks(step.target, self.bindings)
            if marks:
                crossing = (step, marks)
                continue
            receivers = self.ends(step.target, last=False)
            if crossing:
                self.crossing(senders, *crossing, step, receivers)
            else:
                self.hop(senders, step, receivers)
            crossing = None
            senders = self.ends(step.target, last=True)

    def hop(self, senders: list[End], step: ast.Hop, receivers: list[End]) -> None:
        """Check one arrow between nodes."""
        if not receivers:
            return
        if all(r.place.mask == 1 for r in receivers):
            self.report("PD204", "nothing is read by `input`, so no arrow leads to it", step.target,
                        label="`input` only sends", help="begin the path with `input`")  # fmt: skip
            return
        if not senders:
            return
        if all(s.place.mask == 1 << self.layout.logits for s in senders):
            self.report("PD219", "a path ends at `logits`, so nothing follows it", step.target,
                        label="stands after `logits`",
                        labels=((senders[0].node, "the path ends here"),),
                        help="end the path at `logits`")  # fmt: skip
            return
        fault = self.pairs(senders, step.arrow, receivers)
        if fault:
            self.faults.append(fault)

    def pairs(
        self, senders: list[End], arrow: ast.Arrow, receivers: list[End]
    ) -> Diagnostic | None:
        """None when some sender is read by some receiver; else the fault to show."""
        labels = labels_of(arrow, causal=self.causal)
        if labels and not any(
            reads_any(self.layout, v, labels) for r in receivers for v in bits(r.place.mask)
        ):
            return self.no_slots(senders, receivers)
        step = Step(labels=labels, reach=arrow.reach, layout=self.layout)
        misplaced: tuple[End, End, str] | None = None
        for sender in senders:
            for receiver in receivers:
                code = place_fault(step, sender.place, receiver.place)
                if code == "":
                    return None
                if code is not None and misplaced is None:
                    misplaced = (sender, receiver, code)
        if misplaced:
            return self.misplaced(*misplaced, arrow)
        moved = labels is None or any(slot != "q" for slot, _ in labels)
        if (
            self.causal
            and moved
            and all(is_after(s.place.at, r.place.at) for s in senders for r in receivers)
        ):
            return self.misplaced(senders[0], receivers[0], "PD203", arrow)
        return self.wrong_layers(senders, arrow, receivers)

    def crossing(
        self, senders: list[End], into: ast.Hop, marks: tuple[Mark, ...], step: ast.Hop,
        receivers: list[End],
    ) -> None:  # fmt: skip
        """Check `A -> r5@S2 -> B`: A writes before the mark, B reads behind it."""
        first: Diagnostic | None = None
        for mark in marks:
            below = self.layout.below[mark.layer]
            fault = None
            crossers: list[End] = []
            for s in senders:
                mask = s.place.mask & below if not into.arrow.reach else below
                if not s.place.mask & below:
                    continue
                apart = distance(s.place.at, mark.at)
                back = apart is not None and apart < 0 and self.causal
                if back or (apart and not into.arrow.reach):
                    fault = self.diagnostic(
                        "PD202", "an edge crosses a residual mark at its sender's position",
                        into.target, label=f"marked at {mark.at}",
                        labels=((s.node, f"stands at {s.place.at}"),),
                        help=f"write the mark at `@{s.place.at}`",
                    )  # fmt: skip
                    continue
                at = mark.at if mark.at or into.arrow.reach else s.place.at
                crossers.append(End(place=Nodes(mask=mask, at=at), node=s.node))
            readers = [
                End(place=Nodes(mask=mask, at=r.place.at), node=r.node)
                for r in receivers
                if (mask := self._behind(r.place.mask, step.arrow, mark.layer))
            ]
            if senders and not crossers:
                fault = fault or self.diagnostic(
                    "PD201", f"the sender writes after the entry of layer {mark.layer}",
                    into.target, label="stands before the sender",
                    labels=((senders[0].node, "the sender"),),
                    help="mark a later layer",
                )  # fmt: skip
            elif receivers and not readers:
                fault = self.diagnostic(
                    "PD201", f"the receiver reads before the entry of layer {mark.layer}",
                    step.target, label="reads before the mark",
                    labels=((into.target, "the mark"),), help="mark an earlier layer",
                )  # fmt: skip
            elif crossers and readers:
                fault = self.pairs(crossers, step.arrow, readers)
            if fault is None:
                return
            first = first or fault
        if first:
            self.faults.append(first)

    def _behind(self, mask: int, arrow: ast.Arrow, layer: int) -> int:
        """Those of some components that read at the entry of a layer or behind, by an arrow."""
        slots = [slot for label in arrow.labels for slot in label.slots] or ["q"]
        shape, found = self.layout.shape, 0
        for v in bits(mask & ~self.layout.below[layer]):
            entries = [shape.entry(self.layout.layer_of[v], slot) for slot in slots]
            found |= (max(entries) >= layer) << v
        return found

    # ---------------------------------------------------------------------------------------------
    # Wording
    # ---------------------------------------------------------------------------------------------

    def text(self, node: ast.Node, place: Nodes) -> str:
        """What was written for a node, or its label."""
        source = self.program.sources.get(node.span.path)
        if source is not None:
            return source.text[node.span.start : node.span.end]
        label = "{" + ", ".join(self.layout.label(i) for i in bits(place.mask)) + "}"
        return (label if "," in label else label[1:-1]) + (f"@{place.at}" if place.at else "")

    def arrow_text(self, arrow: ast.Arrow) -> str:
        source = self.program.sources.get(arrow.span.path)
        return source.text[arrow.span.start : arrow.span.end] if source else "->"

    def diagnostic(
        self, code: str, message: str, node: ast.Node, *, label: str,
        labels: tuple[tuple[ast.Node, str], ...] = (), help: str = "", notes: tuple[str, ...] = (),
    ) -> Diagnostic:  # fmt: skip
        return Diagnostic(
            code=code, message=message, span=node.span, label=label, help=help, notes=notes,
            labels=tuple((n.span, text) for n, text in labels if n.span.path == node.span.path),
        )  # fmt: skip

    def report(
        self, code: str, message: str, node: ast.Node, *, label: str,
        labels: tuple[tuple[ast.Node, str], ...] = (), help: str = "",
    ) -> None:  # fmt: skip
        self.faults.append(
            self.diagnostic(code, message, node, label=label, labels=labels, help=help)
        )

    def no_slots(self, senders: list[End], receivers: list[End]) -> Diagnostic:
        node = receivers[0].node
        recurrent = [v for r in receivers for v in bits(r.place.mask & self.layout.heads_mask)]
        if recurrent:
            return self.diagnostic(
                "PD204",
                f"`{self.layout.label(recurrent[0])}` is a recurrence over tokens "
                "(`linear_attention`), whose one input is `v`",
                node,
                label="has no queries and no keys",
                labels=((senders[0].node, "the sender"),),
                help=f"write `{self.text(senders[0].node, senders[0].place)} -[v]-> "
                f"{self.text(node, receivers[0].place)}`",
            )
        written = isinstance(node, ast.MlpRef | ast.NeuronRef | ast.Word) and not (
            isinstance(node, ast.Word) and node.word == "mlp"
        )
        return self.diagnostic(
            "PD206" if written else "PD204",
            "only a head has the inputs q, k and v",
            node,
            label="has one input without a name",
            labels=((senders[0].node, "the sender"),),
            help=f"write `{self.text(senders[0].node, senders[0].place)} -> "
            f"{self.text(node, receivers[0].place)}`",
        )

    def turned(self, sender: End, arrow: ast.Arrow, receiver: End) -> str:
        """The help that shows the other direction, if that one is possible."""
        if self.pairs_possible([receiver], arrow, [sender]):
            return (
                f"the other direction exists: `{self.text(receiver.node, receiver.place)} "
                f"{self.arrow_text(arrow)} {self.text(sender.node, sender.place)}`"
            )
        return ""

    def pairs_possible(self, senders: list[End], arrow: ast.Arrow, receivers: list[End]) -> bool:
        labels = labels_of(arrow, causal=self.causal)
        step = Step(labels=labels, reach=arrow.reach, layout=self.layout)
        return any(place_fault(step, s.place, r.place) == "" for s in senders for r in receivers)

    def misplaced(self, sender: End, receiver: End, code: str, arrow: ast.Arrow) -> Diagnostic:
        at, to = sender.place.at, receiver.place.at
        a, b = self.text(sender.node, sender.place), self.text(receiver.node, receiver.place)
        labels = ((sender.node, f"sender stands at {at}"),)
        match code:
            case "PD203":
                return self.diagnostic(
                    code, "attention cannot read the future", receiver.node,
                    label=f"stands at {to} and would read {at}", labels=labels,
                    help=self.turned(sender, arrow, receiver) or "let an earlier position send",
                )  # fmt: skip
            case "PD213":
                return self.diagnostic(
                    code, "the relation contradicts the two positions", arrow,
                    label=f"{to} is not so far behind {at}",
                    labels=(*labels, (receiver.node, f"head stands at {to}")),
                    help=f"leave out the relation, or one of `@{at}` and `@{to}`",
                )  # fmt: skip
            case "PD204":
                return self.diagnostic(
                    code, "this model's attention window does not reach so far",
                    receiver.node, label=f"stands at {to} and cannot see {at}", labels=labels,
                    help=f"write `{a} ~> {b}` to go there in several steps",
                )  # fmt: skip
        help = f"write both at one position: `@{at}`"
        for other in ("-[k,v]->", "~>"):
            tried = Step(
                labels=(("k", None), ("v", None)) if "k" in other else None,
                reach=other == "~>",
                layout=self.layout,
            )
            if place_fault(tried, sender.place, receiver.place) == "":
                help = f"only keys and values move between positions: `{a} {other} {b}`"
                break
        return self.diagnostic(
            "PD202", "a position moves without attention", receiver.node,
            label=f"stands at {to} and reads there only", labels=labels, help=help,
        )  # fmt: skip

    def wrong_layers(
        self, senders: list[End], arrow: ast.Arrow, receivers: list[End]
    ) -> Diagnostic:
        layers = self.layout.layer_of
        sending = [i for s in senders for i in bits(s.place.mask)]
        reading = [i for r in receivers for i in bits(r.place.mask)]
        sender, receiver = senders[0], receivers[0]
        first, last = min(sending), max(reading)
        for v in reading:
            layer, entry = layers[v], self.layout.shape.entry(layers[v], "k")
            if any(entry <= layers[u] < layer for u in sending):  # and by `q` it would be one
                return self.diagnostic(
                    "PD204", f"keys and values of layer {layer} are those of layer {entry}",
                    receiver.node, label=f"reads them at the entry of layer {entry}",
                    labels=((sender.node, f"writes at layer {layers[first]}"),),
                    help="only its query is read behind there: "
                    f"`{self.text(sender.node, sender.place)} -[q]-> "
                    f"{self.text(receiver.node, receiver.place)}`",
                )  # fmt: skip
        if self.layout.shape.parallel and any(
            layers[u] == layers[v]
            and self.layout.components[u].kind is HEAD
            and self.layout.components[v].kind is MLP
            for u in sending
            for v in reading
        ):
            return self.diagnostic(
                "PD204", "attention and MLP of one layer stand in parallel in this model",
                receiver.node, label="reads the stream before the sender writes to it",
                labels=((sender.node, "the sender"),),
                help=f"let a later layer read it: `{self.text(sender.node, sender.place)} -> "
                f"m{min(layers[first] + 1, self.layout.shape.n_layers - 1)}`",
            )  # fmt: skip
        same = layers[first] == layers[last]
        return self.diagnostic(
            "PD201",
            "heads of one layer do not read each other"
            if same and (self.layout.heads_mask >> last & self.layout.heads_mask >> first) & 1
            else "a node reads only what was written before it",
            receiver.node,
            label=f"reads at layer {layers[last]}",
            labels=((sender.node, f"writes at layer {layers[first]}"),),
            help=self.turned(sender, arrow, receiver) or "choose a receiver in a later layer",
        )  # fmt: skip


def _once(found: Iterable[End]) -> list[End]:
    """Ends without repetition, in order."""
    return list({(e.place, id(e.node)): e for e in found}.values())
