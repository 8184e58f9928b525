# ruff: noqa: D102 - one method per rule of circuit.lark, named after it
"""From lark's tree of one statement to the syntax tree of `pathdsl.lang.ast`.

Bottom up and without recursion (lark's `Transformer_NonRecursive`), one method per rule of
`circuit.lark`. Each method gets every token of its rule, so that spans are exact: from the first
child to the last. What the grammar lets through and the language does not (a range that runs
backwards, two fields on one line, `at 95 confidence`) is collected in `faults`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lark import Token
from lark.visitors import Transformer_NonRecursive

from pathdsl.errors import Diagnostic, Fix, Span
from pathdsl.lang import ast
from pathdsl.limits import DIGITS

# More digits than any layer, seed or count has; keeps numbers exact in 64 bits.
MAX_DIGITS = DIGITS.most

_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_INDEX = r"(\d+|\*|\[[^\]]*\])"
_HEAD = re.compile(rf"a{_INDEX}(?:\.h{_INDEX}|\.kv{_INDEX})?")
_MLP = re.compile(rf"m{_INDEX}(?:\.n{_INDEX})?")
_RESID = re.compile(rf"r{_INDEX}")

Child = Any
"""A child of a rule: a token, a syntax node, or a pair of a span and a value where a rule has no
node of its own. Which one stands where is said by `circuit.lark`."""
Children = list[Child]
K = TypeVar("K")


class Builder(Transformer_NonRecursive):
    """Builds one statement of the file at `path`; `faults` has what is wrong with it."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(visit_tokens=False)
        self.path = path
        self.text = text
        self.faults: list[Diagnostic] = []

    # ---------------------------------------------------------------------------------------------
    # Helpers
    # ---------------------------------------------------------------------------------------------

    def _span(self, item: Child) -> Span:
        if isinstance(item, Token):
            return Span(path=self.path, start=item.start_pos or 0, end=item.end_pos or 0)
        return item[0] if isinstance(item, tuple) else item.span

    def _over(self, children: Children) -> Span:
        return self._span(children[0]).to(self._span(children[-1]))

    def _fault(self, code: str, message: str, at: Child | Span, label: str = "", help: str = "",
               labels: tuple[tuple[Span, str], ...] = (),
               fix: str | None = None) -> None:  # fmt: skip
        """`fix`: what is to stand at the place instead."""
        span = at if isinstance(at, Span) else self._span(at)
        was = self.text[span.start : span.end]
        repair = Fix(span=span, was=was, text=fix) if fix is not None else None
        self.faults.append(
            Diagnostic(
                code=code, message=message, span=span, label=label, help=help, labels=labels,
                fix=repair,
            )
        )  # fmt: skip

    def _int(self, digits: str, at: Child) -> int:
        digits = digits.replace("_", "")
        if len(digits.lstrip("+-0")) > MAX_DIGITS:
            self._fault("PD012", "this number is too large", at, f"more than {MAX_DIGITS} digits")
            return 0
        return int(digits)

    def _number(self, token: Token, *, negative: bool = False) -> ast.Number:
        written = token.removesuffix("%").replace("_", "")
        percent = token.endswith("%")
        integer = not percent and written.isdecimal()
        value = float(self._int(written, token)) if integer else float(written)
        if not math.isfinite(value):
            self._fault("PD012", "this number is too large", token, "beyond a float64")
            value = 0.0
        # 80% must be the float that 0.8 is, and 0.1% the float 0.001: shift the decimal point.
        if percent and value:
            value = float(f"{written}e-2") if "e" not in written.lower() else value / 100
        return ast.Number(
            value=-value if negative else value,
            percent=percent,
            integer=integer,
            written=f"-{token}" if negative else str(token),
            span=self._span(token),
        )

    def _count(self, token: Token, what: str) -> int:
        if not token.replace("_", "").isdecimal():
            self._fault("PD012", f"{what} is a whole number, found `{token}`", token)
            return 1
        return self._int(token, token)

    def _indices(self, text: str, start: int) -> ast.Indices:
        span = Span(path=self.path, start=start, end=start + len(text))
        if text == "*":
            return ast.Indices(every=True, span=span)
        ranges = []
        for part in text.strip("[]").split(","):
            low, _, high = part.partition("..")
            first = self._int(low.strip(), (span, None))
            last = self._int(high.strip(), (span, None)) if high else first
            if last < first:
                self._fault(
                    "PD017", f"the range `{first}..{last}` runs backwards", span,
                    help=f"both ends are included: `{last}..{first}`",
                )  # fmt: skip
            ranges.append((first, last))
        return ast.Indices(ranges=tuple(ranges), span=span)

    def _numbers(self, spelling: re.Pattern[str], token: Token) -> list[Any]:
        """The indices in a node's spelling; None for a part that is left out."""
        match, start = spelling.fullmatch(token), token.start_pos or 0
        assert match is not None  # the grammar's terminal says the same
        return [
            self._indices(text, start + match.start(number)) if text else None
            for number, text in enumerate(match.groups(), 1)
        ]

    def _string(self, token: Token) -> str:
        def one(match: re.Match[str]) -> str:
            body = match.group(1)
            if len(body) == 5:
                code = chr(int(body[1:], 16))
                if not 0xD800 <= ord(code) <= 0xDFFF:
                    return code
            elif body in _ESCAPES:
                return _ESCAPES[body]
            start = (token.start_pos or 0) + 1 + match.start()
            self._fault(
                "PD016", f"a string has no escape `{match.group()}`",
                Span(path=self.path, start=start, end=start + len(match.group())),
                help='known are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u00e9`',
            )  # fmt: skip
            return ""

        return _ESCAPE.sub(one, token[1:-1])

    def _name(self, token: Token, at: ast.Position | None = None) -> ast.Name:
        span = self._span(token)
        return ast.Name(name=str(token), at=at, span=span.to(at.span) if at else span)

    def _first_name(self, children: Children) -> ast.Name:
        return next(self._name(c) for c in children if isinstance(c, Token) and c.type == "NAME")

    def _apart(self, items: Sequence[ast.Node], what: str) -> None:
        """Inside braces, a line's end or `;` stands between two items."""
        for before, after in itertools.pairwise(items):
            between = self.text[before.span.end : after.span.start]
            if "\n" not in between and ";" not in between:
                self._fault(
                    "PD013", f"two {what} on one line need `;` between them", after.span,
                    help=f"`{self.text[before.span.start : before.span.end]}; "
                    f"{self.text[after.span.start : after.span.end]}`",
                    labels=((before.span, "this one ends here"),),
                )  # fmt: skip

    def _once(self, named: Iterable[tuple[str, Span]], what: str) -> None:
        seen: dict[str, Span] = {}
        for name, span in named:
            if name and name in seen:
                self._fault(
                    "PD018", f"{what} `{name}` is given twice", span,
                    labels=((seen[name], "first given here"),),
                )  # fmt: skip
            seen.setdefault(name, span)

    def _options(self, children: Children) -> tuple[ast.Argument, ...]:
        options = only(children, ast.Argument)
        self._once(((o.keyword, o.span) for o in options), "the argument")
        return options

    # ---------------------------------------------------------------------------------------------
    # Nodes and positions
    # ---------------------------------------------------------------------------------------------

    def place(self, c: Children) -> ast.Position:
        offset = self._int(c[1], c[1]) if len(c) > 1 else 0
        return ast.Position(name=str(c[0]), offset=offset, span=self._over(c))

    def token(self, c: Children) -> ast.Position:
        return replace(self._token(c[1]), span=self._over(c))

    def _token(self, index: Token | ast.Number) -> ast.Position:
        span = self._span(index)
        if isinstance(index, Token):
            return ast.Position(variable=str(index), span=span)
        return ast.Position.of_index(self._index(index), span)

    def _index(self, number: ast.Number) -> int:
        if not number.integer:
            self._fault(
                "PD012", f"the index of a token is a whole number, found `{number.written}`", number
            )
            return 0
        return int(number.value)

    def span(self, c: Children) -> ast.Position:
        if c[0] == "[":
            ends = (self._token(c[1]), self._token(c[3]))
        else:
            dots = c.index("..")
            first = c[0] if isinstance(c[0], ast.Position) else self.place(c[:dots])
            ends = (first, c[dots + 1])
        return ast.Position(ends=ends, span=self._over(c))

    def positions(self, c: Children) -> ast.Position:
        return ast.Position(among=nodes(c), span=self._over(c))

    def at(self, c: Children) -> ast.Position:
        position = c[1]
        return replace(position, span=self._over(c))

    def place_item(self, c: Children) -> ast.Position:
        return self.at(c)

    def name(self, c: Children) -> ast.Name:
        return self._name(c[0], c[1] if len(c) > 1 else None)

    def head(self, c: Children) -> ast.HeadRef | ast.KvRef:
        layer, head, group = self._numbers(_HEAD, c[0])
        at, span = one(c, ast.Position), self._over(c)
        if group:
            return ast.KvRef(layer=layer, group=group, at=at, span=span)
        every = ast.Indices(every=True, span=self._span(c[0]))
        return ast.HeadRef(layer=layer, head=head or every, at=at, span=span)

    def mlp(self, c: Children) -> ast.MlpRef | ast.NeuronRef:
        layer, neuron = self._numbers(_MLP, c[0])
        at, span = one(c, ast.Position), self._over(c)
        if neuron:
            return ast.NeuronRef(layer=layer, neuron=neuron, at=at, span=span)
        return ast.MlpRef(layer=layer, at=at, span=span)

    def resid(self, c: Children) -> ast.ResidRef:
        (layer,) = self._numbers(_RESID, c[0])
        return ast.ResidRef(layer=layer, at=one(c, ast.Position), span=self._over(c))

    def word(self, c: Children) -> ast.Word:
        return ast.Word(word=c[0].value, at=one(c, ast.Position), span=self._over(c))

    def member(self, c: Children) -> tuple[Span, tuple[bool, ast.NodeRef]]:
        return self._over(c), (len(c) > 1, c[-1])

    def node_set(self, c: Children) -> ast.NodeSet:
        # `except` holds for what follows it: `{A, except b, c}` leaves out b and c.
        kept: list[ast.NodeRef] = []
        left_out: list[ast.NodeRef] = []
        for _, (excepted, node) in (x for x in c if isinstance(x, tuple)):
            (left_out if excepted or left_out else kept).append(node)
        return ast.NodeSet(
            members=tuple(kept),
            excluded=tuple(left_out),
            at=one(c, ast.Position),
            span=self._over(c),
        )

    def nodes_file(self, c: Children) -> ast.NodesFile:
        return ast.NodesFile(
            path=self._string(c[2]),
            options=self._options(c),
            at=one(c, ast.Position),
            span=self._over(c),
        )

    def windows(self, c: Children) -> ast.Windows:
        size, by = self._count(c[4], "the size of a window"), ""
        for option in self._options(c):
            value = option.value
            if option.keyword == "by" and isinstance(value, ast.Name) and value.name == "layer":
                by = "layer"
            else:
                self._fault(
                    "PD019", "`windows` takes nothing by name but `by: layer`", option,
                    help="`windows(attn, 1, by: layer)`",
                )  # fmt: skip
        return ast.Windows(nodes=c[2], size=size, by=by, span=self._over(c))

    # ---------------------------------------------------------------------------------------------
    # Paths
    # ---------------------------------------------------------------------------------------------

    def relation(self, c: Children) -> ast.Relation:
        size = None
        if len(c) > 1:
            number = c[2] if isinstance(c[2], ast.Number) else self._number(c[3])
            if not number.integer:
                self._fault(
                    "PD012", f"`{c[0]}` takes a whole number, found `{number.written}`", number
                )
            size = int(number.value)
        return ast.Relation(kind=c[0].value, size=size, span=self._over(c))

    def label(self, c: Children) -> tuple[Span, tuple[ast.Slot, ast.Relation | None]]:
        return self._over(c), (c[0].value, c[2] if len(c) > 1 else None)

    def labels(self, c: Children) -> tuple[Span, tuple[ast.SlotRelation, ...]]:
        # A relation binds the slots since the relation before it.
        labels: list[ast.SlotRelation] = []
        waiting: list[tuple[Span, ast.Slot]] = []
        parts = [x for x in c if isinstance(x, tuple)]
        for index, (span, (slot, relation)) in enumerate(parts):
            waiting.append((span, slot))
            if relation is not None or index == len(parts) - 1:
                slots = tuple(slot for _, slot in waiting)
                whole = waiting[0][0].to(span)
                labels.append(ast.SlotRelation(slots=slots, relation=relation, span=whole))
                waiting = []
        self._once(((slot, span) for span, (slot, _) in parts), "the slot")
        return self._over(c), tuple(labels)

    def arrow(self, c: Children) -> ast.Arrow:
        labels = c[1][1] if len(c) > 1 else ()
        return ast.Arrow(reach=c[0].startswith("~"), labels=labels, span=self._over(c))

    def hop(self, c: Children) -> ast.Hop:
        return ast.Hop(arrow=c[0], target=c[1], span=self._over(c))

    def quantifier(self, c: Children) -> tuple[Span, tuple[int, int | None, str]]:
        written = "".join(str(x) for x in c)
        fixed = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(written)
        if fixed is None:
            least = self._count(c[1], "a repeat count")
            most = self._count(c[3], "a repeat count") if len(c) > 3 else least
            if most < least:
                self._fault(
                    "PD017", f"the repeat `{written}` runs backwards", self._over(c),
                    help=f"`{{{most},{least}}}`",
                )  # fmt: skip
            fixed = (least, most)
        return self._over(c), (*fixed, written)

    def repeat(self, c: Children) -> ast.Repeat:
        _, (least, most, written) = c[-1]
        hops = only(c, ast.Hop)
        return ast.Repeat(hops=hops, least=least, most=most, written=written, span=self._over(c))

    def chain(self, c: Children) -> ast.Chain:
        first, rest = c[0], c[1:]
        if isinstance(first, Token):
            at = rest[0] if isinstance(rest[0], ast.Position) else None
            first, rest = self._name(first, at), rest[1:] if at else rest
        return ast.Chain(first=first, steps=tuple(rest), span=self._over(c))

    def choice(self, c: Children) -> ast.Choice:
        return ast.Choice(options=nodes(c), span=self._over(c))

    def set_op(self, c: Children) -> ast.SetOp:
        return ast.SetOp(op=c[1].value, left=c[0], right=c[2], span=self._over(c))

    def group(self, c: Children) -> ast.Group:
        return ast.Group(inner=c[1], span=self._over(c))

    def full(self, c: Children) -> ast.Full:
        return ast.Full(span=self._over(c))

    def none_path(self, c: Children) -> ast.NonePath:
        return ast.NonePath(span=self._over(c))

    def through(self, c: Children) -> ast.Through:
        return ast.Through(nodes=nodes(c), span=self._over(c))

    def within(self, c: Children) -> ast.Within:
        return ast.Within(nodes=nodes(c), span=self._over(c))

    def edge_chain(self, c: Children) -> ast.Chain:
        for hop in only(c, ast.Hop):
            if hop.arrow.reach:
                self._fault(
                    "PD020", "`edges` lists single edges, found `~>`", hop.arrow,
                    help="write `->`, or use a path expression without `edges`",
                )  # fmt: skip
        return ast.Chain(first=c[0], steps=tuple(c[1:]), span=self._over(c))

    def edges(self, c: Children) -> ast.Edges:
        chains = only(c, ast.Chain)
        self._apart(chains, "chains of edges")
        return ast.Edges(chains=chains, span=self._over(c))

    def edges_file(self, c: Children) -> ast.EdgesFile:
        return ast.EdgesFile(path=self._string(c[2]), options=self._options(c), span=self._over(c))

    def random_like(self, c: Children) -> ast.RandomLike:
        return ast.RandomLike(inner=c[2], options=self._options(c), span=self._over(c))

    def random_edges(self, c: Children) -> ast.RandomEdges:
        return ast.RandomEdges(options=self._options(c), span=self._over(c))


def nodes(children: Children) -> tuple[Any, ...]:
    """The syntax nodes among the children of a rule, its punctuation left out."""
    return only(children, ast.Node)


def only(children: Children, kind: type[K]) -> tuple[K, ...]:
    """The children of one class."""
    return tuple(c for c in children if isinstance(c, kind))


def one(children: Children, kind: type[K]) -> K | None:
    """The first child of a class, if there is any."""
    return next(iter(only(children, kind)), None)
