"""Random path expressions as text in the `.circuit` language, for models of a few layers.

An expression is grown along a skeleton: a rising sequence of *ranks*, one per attention or MLP
sublayer (`2 * layer` for the heads of a layer, `2 * layer + 1` for its MLP). Each place of a chain
is written as something that holds a node of its rank, so that chains can be met; positions,
relations and set algebra may still make a path set empty. `random_like`, `random_edges` and files
are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

RELATIONS = (
    "prev",
    "prev",
    "same",
    "window(2)",
    "window(1)",
    "window(3)",
    "offset(-1)",
    "offset(-2)",
)
PLAIN_LABELS = ("q", "k", "v", "k,v", "q,k", "q,v", "q,k,v")


@dataclass(frozen=True, slots=True)
class Chooser:
    """Makes every choice of a case from `number(low, high)`: an integer, both ends in."""

    number: Callable[[int, int], int]

    def pick(self, options: Iterable[T]) -> T:
        """One of the options."""
        listed = tuple(options)
        return listed[self.number(0, len(listed) - 1)]

    def odds(self, percent: int) -> bool:
        """True about so often; shrinks to False."""
        return self.number(0, 99) >= 100 - percent

    def some(self, options: Iterable[T], count: int) -> tuple[T, ...]:
        """So many different options, in their order."""
        listed = tuple(options)
        left = list(range(len(listed)))
        chosen = [left.pop(self.number(0, len(left) - 1)) for _ in range(count)]
        return tuple(listed[index] for index in sorted(chosen))


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes the text of one file: the model's size, the positions there are, what is declared."""

    choose: Chooser
    n_layers: int
    n_heads: int
    places: tuple[str, ...]
    head_groups: dict[str, int] = field(default_factory=dict)  # name -> rank
    complete: list[str] = field(default_factory=list)  # names usable as operands
    statements: list[str] = field(default_factory=list)
    counter: int = 0
    neurons: tuple[int, ...] = ()  # of every MLP, those that may be named

    def pick(self, options: Iterable[T]) -> T:
        """One of the options."""
        return self.choose.pick(options)

    def odds(self, percent: int) -> bool:
        """True about so often."""
        return self.choose.odds(percent)

    def number(self, low: int, high: int) -> int:
        """An integer of a range, both ends in."""
        return self.choose.number(low, high)

    def fresh(self, prefix: str) -> str:
        """A name not used before."""
        self.counter += 1
        return f"{prefix}_{self.counter}"

    def at(self, percent: int = 25) -> str:
        """A position to put behind a node, often none."""
        return f"@{self.pick(self.places)}" if self.odds(percent) else ""

    # -- nodes ----------------------------------------------------------------------------------

    @property
    def ranks(self) -> range:
        """Every rank of the model."""
        return range(2 * self.n_layers)

    def unit(self, rank: int, percent: int = 25) -> str:
        """A head or heads of one layer, or one MLP, by rank."""
        layer, is_mlp = divmod(rank, 2)
        if is_mlp and self.neurons and self.odds(50):
            return self.neuron(layer) + self.at(percent)
        if is_mlp:
            return self.pick((f"m{layer}", f"m{layer}", f"m[{layer}..{layer}]")) + self.at(percent)
        head = self.number(0, self.n_heads - 1)
        last = self.n_heads - 1
        written = [f"a{layer}.h{head}"] * 3
        written += [f"a{layer}", f"a{layer}.h*", f"a{layer}.h[0..{last}]", f"a[{layer}].h{head}"]
        if last:
            written.append(f"a{layer}.h[0,{last}]")
        return self.pick(written) + self.at(percent)

    def neuron(self, layer: int) -> str:
        """Some of the neurons that may be named of one MLP, or the MLP without one."""
        one = self.pick(self.neurons)
        some = ", ".join(map(str, self.neurons))
        last = self.n_layers - 1
        return self.pick(
            (
                f"m{layer}.n{one}",
                f"m{layer}.n{one}",
                f"m{layer}.n[{some}]",
                f"m[{layer}..{last}].n{one}",
                f"{{m{layer}, except m{layer}.n{one}}}",
            )
        )

    def broad(self, rank: int, heads_only: bool) -> str:
        """A set of several layers that holds the nodes of a rank."""
        layer, is_mlp = divmod(rank, 2)
        last = self.n_layers - 1
        low, high = self.number(0, layer), self.number(layer, last)
        written = ["any", f"m[{low}..{high}]" if is_mlp else f"a[{low}..{high}].h*"]
        written.append("mlp" if is_mlp else "attn")
        if heads_only and is_mlp:
            return "any"
        return self.pick(written) + self.at(20)

    def braces(self, rank: int, heads_only: bool, place: bool = True) -> str:
        """A set in braces that holds nodes of a rank, perhaps with an exception."""
        outer = self.at(25) if place else ""
        inner = 0 if outer else 25
        allowed = [r for r in self.ranks if not heads_only or r % 2 == 0]
        ranks = [rank, *(self.pick(allowed) for _ in range(self.number(0, 2)))]
        members = [self.unit(r, inner) for r in ranks]
        others = [r for r in allowed if r != rank]
        if others and self.odds(35):
            members.append("attn" if heads_only else "any")
            members.append("except " + self.unit(self.pick(others), inner))
        return "{" + ", ".join(members) + "}" + outer

    def group(self, rank: int, heads_only: bool) -> str:
        """The name of a new or earlier group that holds nodes of a rank."""
        known = [g for g, r in self.head_groups.items() if r == rank]
        if known and self.odds(40):
            return self.pick(known)
        name = self.fresh("g")
        where = self.pick(("group", "members", "reference", "nowhere"))  # where `@` is written
        percent = 40 if where == "members" else 0
        allowed = [r for r in self.ranks if not heads_only or r % 2 == 0]
        ranks = [rank, *(self.pick(allowed) for _ in range(self.number(0, 2)))]
        members = ", ".join(self.unit(r, percent) for r in ranks)
        outer = self.at(100) if where == "group" else ""
        self.statements.append(f"group {name} {outer} = {{ {members} }}")
        if heads_only:
            self.head_groups[name] = rank
        return name + (self.at(100) if where == "reference" else "")

    def node(self, rank: int, heads_only: bool = False) -> str:
        """A node reference that holds nodes of a rank; heads and `any` alone if `heads_only`."""
        kind = self.number(0, 9)
        if kind <= 4:
            return self.unit(rank)
        if kind <= 6:
            return self.broad(rank, heads_only)
        if kind == 7:
            return self.group(rank, heads_only)
        return self.braces(rank, heads_only)

    # -- arrows and chains ------------------------------------------------------------------------

    def labels(self) -> str:
        """The labels of an arrow into heads."""
        if self.odds(30):
            return self.pick(PLAIN_LABELS)
        relation = self.pick(RELATIONS)
        other = self.pick(RELATIONS)
        return self.pick(
            (
                f"k: {relation}",
                f"v: {relation}",
                f"k,v: {relation}",
                f"k: {relation}, v: {other}",
                f"k: {relation}, v",
                f"k: {relation}, q",
            )
        )

    def arrow(self, into_heads: bool) -> str:
        """`->`, `~>` or a labelled one where the receiver is heads."""
        reach = self.odds(35)
        if into_heads and self.odds(75):
            return f"~[{self.labels()}]~>" if reach else f"-[{self.labels()}]->"
        return "~>" if reach else "->"

    def mark(self, before: int, rank: int) -> str:
        """A residual mark that some edge from one rank (-1: `input`) to a later one crosses."""
        low, high = (before - before % 2) // 2 + 1 if before >= 0 else 0, rank // 2
        if low > high:
            return ""
        layer = self.number(low, high)
        written = (f"r{layer}", f"r{layer}", f"r[{low}..{high}]", f"{{r{low}, r{layer}}}")
        return f" {self.pick(('->', '->', '~>'))} {self.pick(written)}{self.at(30)}"

    def section(self, before: int, rank: int) -> str:
        """A repeated section that fits between two ranks, possibly no times."""
        between = [r for r in self.ranks if before < r < rank]
        body = self.pick(
            (
                "-> mlp", "-> mlp", "-> any", "-> attn", "-[v]-> attn", "-[v: prev]-> any",
                "-[k,v: window(2)]-> attn", "-> attn -> mlp", "~> m*", "-> {a0, m0}", "-> attn@END",
            )
        )  # fmt: skip
        quantifiers = ["*", "*", "?", "{0,1}", "{0,2}"]
        if between:
            quantifiers += ["+", "{1,2}", "{1}", "{2}"]
        return f" ({body}){self.pick(quantifiers)}"

    def chain(self, ranks: tuple[int, ...], before: int, heads_only: bool = False) -> str:
        """A chain along a skeleton; `heads_only` holds for its first place."""
        places: list[tuple[int, str, bool]] = []
        rest = ranks
        while rest:
            size = self.number(1, len(rest)) if self.odds(25) else 1
            labelled = rest[0] % 2 == 0 and (heads_only if not places else self.odds(60))
            places.append((rest[0], self.place(rest[:size], labelled), labelled))
            rest = rest[size:]
        text = places[0][1]
        last = ranks[0]
        for rank, written, labelled in places[1:]:
            if self.odds(20):
                text += self.section(last, rank)
            if self.odds(15):
                text += self.mark(last, rank)
            text += f" {self.arrow(labelled)} {written}"
            last = rank
        return text

    def place(self, ranks: tuple[int, ...], heads_only: bool) -> str:
        """What stands at one place of a chain: a node, a bracket, or a named sub-path."""
        if len(ranks) == 1 and not self.odds(15):
            return self.node(ranks[0], heads_only)
        inner = self.chain(ranks, -1, heads_only) if len(ranks) > 1 else None
        first = inner or self.node(ranks[0], heads_only)
        if self.odds(50):
            first = f"{first} | {self.node(ranks[0], heads_only)}"
        if self.odds(40):
            name = self.fresh("sub")
            self.statements.append(f"path {name} = {first}")
            return self.pick((name, f"({name})"))
        return f"({first})"

    def skeleton(self, least: int = 1, most: int = 3) -> tuple[int, ...]:
        """Some ranks, rising."""
        count = self.number(least, min(most, len(self.ranks)))
        return self.choose.some(self.ranks, count)

    def whole_chain(self) -> str:
        """A chain of at least one arrow, with or without `input` and `logits` written."""
        ranks = self.skeleton()
        begins, ends = self.odds(30), self.odds(40)
        if len(ranks) == 1 and not begins:
            ends = True
        labelled = begins and ranks[0] % 2 == 0 and self.odds(50)
        text = self.chain(ranks, -1, labelled)
        if begins:
            middle = self.mark(-1, ranks[0]) if self.odds(15) else ""
            text = f"input{self.at()}{middle} {self.arrow(labelled)} {text}"
        if ends:
            if self.odds(25):
                text += self.section(ranks[-1], 2 * self.n_layers)
            if self.odds(15):
                text += self.mark(ranks[-1], 2 * self.n_layers)
            text += f" {self.pick(('->', '~>'))} logits"
        return text

    # -- complete path sets -----------------------------------------------------------------------

    def some_node(self) -> str:
        """A node reference of any rank."""
        return self.node(self.number(0, 2 * self.n_layers - 1))

    def through(self) -> str:
        """`through(…)` of nodes and marks."""
        marks = (f"r{self.number(0, self.n_layers)}", f"r[0..{self.n_layers - 1}]", "r[1..1]")
        listed = [
            self.pick(marks) + self.at(60) if self.odds(25) else self.some_node()
            for _ in range(self.number(1, 2))
        ]
        if self.odds(10):
            listed = [f"input@{self.pick(self.places)}"]
        return f"through({', '.join(listed)})"

    def within(self) -> str:
        """`within(…)`, sometimes with the word `mlp`, `attn` or `input@…`."""
        listed = [self.some_node() for _ in range(self.number(1, 3))]
        listed += [word + self.at(15) for word in ("mlp", "attn") if self.odds(40)]
        if self.odds(30):
            listed.append(f"input@{self.pick(self.places)}")
        return f"within({', '.join(listed)})"

    def edges(self) -> str:
        """`edges { … }` of chains from `input` to `logits`."""
        chains = []
        for _ in range(self.number(1, 3)):
            text = f"input{self.at(15)}"
            for rank in self.skeleton(0):
                label = f"-[{self.labels()}]->" if rank % 2 == 0 and self.odds(45) else "->"
                text += f" {label} {self.pick((self.unit(rank, 15), self.unit(rank, 0)))}"
            chains.append(f"{text} -> logits")
        return "edges { " + "; ".join(chains) + " }"

    def leaf(self) -> str:
        """A path set without set algebra at its top; a bare node set is written `through(…)`."""
        kind = self.number(0, 19)
        if kind <= 9:
            return self.whole_chain()
        if kind <= 12:
            return self.edges()
        if kind <= 15:
            return self.within()
        if kind <= 17:
            return self.through()
        if kind == 18:
            return "full"
        return self.pick(self.complete or ["full"])

    def expression(self, depth: int) -> str:
        """A path set; brackets wherever the grammar's precedence would read it otherwise."""
        if depth == 0 or self.odds(45):
            text = self.leaf()
            if self.odds(10):
                name = self.fresh("set")
                self.statements.append(f"path {name} = {text}")
                self.complete.append(name)
                return name
            return text
        op = self.pick("&-|")
        left, right = self.expression(depth - 1), self.expression(depth - 1)
        if op == "|" and self.odds(20):
            right = self.pick((self.some_node(), "none"))
        if op != "|":
            left, right = self.bracketed(left), self.bracketed(right)
        return f"{left} {op} {right}"

    def bracketed(self, text: str) -> str:
        """An operand of `&` or `-`, in brackets if it holds an operator outside of brackets."""
        bare = text.replace("->", "").replace("-[", "").split()
        return f"({text})" if any(word in ("|", "&", "-") for word in bare) else text
