"""Quantities with `max`, `min` and `abs` brought into a form whose interval is known.

No bootstrap of a maximum or an absolute value is right where members are alike or a value is near
0: |x| is never below 0 in any resample, so that `abs(x) > 0` would always be supported. Intervals
are therefore taken of the smooth parts, and `max`, `min` and `abs` are applied to their ends (see
`intervals`). How tight that is depends on the form, so the extremes are moved outwards first:

    |x| / y, y > 0         |x / y|                    max(a, b) - c     max(a - c, b - c)
    |x| + |y|              max(|x + y|, |x - y|)      max(a) - min(b)   max over pairs of a - b
    |x| + y                max(x + y, y - x)          x * x, x^2        |x|^2, a square hides an abs

and so on for signs and pairs while that makes 256 parts or fewer. What stays inside (a quotient by
a maximum, say) is computed with the ends of its parts, which holds and is too wide.

A product of two measured quantities is smooth where one of them is surely not 0. Where both may be
0 its estimate is biased like a square, and it is kept apart: `Worst` of one member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from pathdsl.score.quantity import (
    Among,
    Constant,
    Op,
    Scalar,
    Worst,
    inner_first,
    is_constant,
    parts,
    rebuilt,
)  # fmt: skip

__all__ = ["Lattice", "is_leaf", "leaves", "named_members", "rational"]

PARTS = 256
WORK = 2048
NESTING = 64
DENOMINATORS = 3
FLIPPED = {"max": "min", "min": "max"}

_Members = tuple[tuple[str, Scalar], ...]


def is_leaf(node: Scalar) -> bool:
    """Whether a quantity has no `max`, `min` or `abs` over prompts."""
    return not isinstance(node, Op | Worst | Among) or node.nesting == 0


def leaves(node: Scalar) -> tuple[Scalar, ...]:
    """The largest parts without an extreme, numbers left out, each once."""
    found: dict[Scalar, None] = {}
    seen: set[int] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if is_leaf(part):
            if not is_constant(part):
                found[part] = None
        else:
            stack += reversed(parts(part))
    return tuple(found)


def named_members(node: Scalar) -> tuple[tuple[str, Scalar], ...]:
    """The members of a quantity that is the largest, smallest or share of named ones."""
    if not isinstance(node, Worst | Among) or not all(name for name, _ in node.members):
        return ()
    return node.members


class Lattice:
    """Brings quantities into form.

    `sign(x)` is -1, 0 or 1: 0 where x may be 0. `never_negative(x)` holds where no prompt could
    make x negative.
    """

    def __init__(
        self,
        sign: Callable[[Scalar], int],
        estimate: Callable[[Scalar], float],
        never_negative: Callable[[Scalar], bool],
    ) -> None:
        self._sign = sign
        self._estimate = estimate
        self._never_negative = never_negative
        # Both hold the node beside its result, so that no other object gets its id.
        self._known: dict[int, tuple[Scalar, Scalar]] = {}
        self._counted: dict[int, tuple[Scalar, int]] = {}

    def form(self, node: Scalar) -> Scalar:
        """An equal quantity with its extremes outside, as far as they go."""
        for one in inner_first(node):
            if id(one) not in self._known:
                below = [self._known[id(part)][1] for part in parts(one)]
                self._known[id(one)] = (one, self._form(one, below))
        return self._known[id(node)][1]

    def _form(self, node: Scalar, below: list[Scalar]) -> Scalar:
        match node:
            case Op(op="max" | "min" as op):
                return _extreme(op, below)
            case Op(op=op) if op not in ("+", "-", "neg") or not is_leaf(node):
                return self._arithmetic(op, tuple(below))
            case _:
                return rebuilt(node, below)

    def _arithmetic(self, op: str, args: tuple[Scalar, ...]) -> Scalar:
        if any(not is_leaf(x) and not _moves(x) for x in args):
            return Op(op=op, args=args)  # type: ignore[arg-type]
        match op:
            case "abs":
                return self._absolute(args[0])
            case "neg":
                return self._scaled(args[0], -1.0)
            case "+":
                return self._sum(args[0], args[1])
            case "-":
                if is_leaf(args[0]) and is_leaf(args[1]):
                    return Op(op="-", args=args)
                return self._sum(args[0], self._scaled(args[1], -1.0))
            case "*":
                return self._product(args[0], args[1])
            case "/":
                return self._quotient(args[0], args[1])
            case "^":
                return self._power(args[0], args[1])
            case _:
                raise ValueError(f"`{op}` is no arithmetic on quantities")

    # ---------------------------------------------------------------------------------------------
    # Views
    # ---------------------------------------------------------------------------------------------

    def _view(self, node: Scalar) -> tuple[str, _Members] | None:
        """A node as an extreme of members: `Worst`, |x| and -|x|; None for others."""
        match node:
            case Worst(which=which, members=members):
                return which, members
            case Op(op="abs", args=(x,)):
                return "max", (("", x), ("", _negative(x)))
            case Op(op="neg", args=(Op(op="abs", args=(x,)),)):
                return "min", (("", x), ("", _negative(x)))
            case Op(op="+", args=(x, y)):
                for one, other in ((x, y), (y, x)):
                    if is_constant(other) and (view := self._view(one)) is not None:
                        return view[0], tuple((n, self._sum(m, other)) for n, m in view[1])
        return None

    def _parts(self, node: Scalar) -> int:
        """How many smooth parts a node has once |x| is written as max(x, -x)."""
        if id(node) not in self._counted:
            self._counted[id(node)] = (node, self._count(node))
        return self._counted[id(node)][1]

    def _count(self, node: Scalar) -> int:
        if is_leaf(node):
            return 1
        view = self._view(node)
        if view is not None:
            return sum(self._parts(m) for _, m in view[1])
        return sum(self._parts(part) for part in parts(node))

    # ---------------------------------------------------------------------------------------------
    # Arithmetic on forms
    # ---------------------------------------------------------------------------------------------

    def _absolute(self, x: Scalar) -> Scalar:
        if is_leaf(x):
            return Op(op="abs", args=(x,))
        match x:
            case Op(op="abs"):
                return x
            case Op(op="neg", args=(Op(op="abs") as inner,)):
                return inner
            case Worst() if self._parts(x) <= PARTS:
                return Worst(which="max", members=(("", x), ("", self._scaled(x, -1.0))))
            case _:
                return Op(op="abs", args=(x,))

    def _scaled(self, x: Scalar, factor: float) -> Scalar:
        if factor == 1.0:
            return x
        if is_leaf(x):
            return _negative(x) if factor == -1.0 else _times(x, factor)
        match x:
            case Worst(which=which, members=members):
                turned = FLIPPED[which] if factor < 0 else which
                return _each(turned, members, lambda m: self._scaled(m, factor))
            case Op(op="abs", args=(inner,)) if is_leaf(inner):
                scaled = Op(op="abs", args=(self._scaled(inner, abs(factor)),))
                return Op(op="neg", args=(scaled,)) if factor < 0 else scaled
            case Op(op="neg", args=(Op(op="abs") as inner,)):
                return self._scaled(inner, -factor)
            case _:
                return _times(x, factor)

    def _sum(self, x: Scalar, y: Scalar) -> Scalar:
        plain = Op(op="+", args=(x, y))
        if is_leaf(x) and is_leaf(y):
            return plain
        if x == y:
            return self._scaled(x, 2.0)
        for one, other in ((x, y), (y, x)):
            # A number moves the ends of an absolute value as it moves the value.
            if is_constant(other) and not isinstance(one, Worst):
                return plain
        match x, y:
            case Op(op="abs", args=(a,)), Op(op="abs", args=(b,)) if is_leaf(a) and is_leaf(b):
                signed = (Op(op="+", args=(a, b)), Op(op="-", args=(a, b)))
                parts = tuple(("", Op(op="abs", args=(s,))) for s in signed)
                return Worst(which="max", members=parts)
        if not is_leaf(x) and not is_leaf(y) and self._parts(x) * self._parts(y) > PARTS:
            return plain
        for one, other in ((x, y), (y, x)):
            if (view := self._view(one)) is not None:
                return _each(*view, partial(self._sum, y=other))
        return plain

    def _product(self, x: Scalar, y: Scalar) -> Scalar:
        for one, other in ((x, y), (y, x)):
            if is_constant(one):
                factor = self._estimate(one)
                return Op(op="*", args=(x, y)) if is_leaf(other) else self._scaled(other, factor)
        if is_leaf(x) and is_leaf(y):
            if x == y:
                return self._power(x, Constant(value=2.0))
            if self._sign(x) or self._sign(y):
                return Op(op="*", args=(x, y))
            return Op(op="*", args=(Worst(which="max", members=(("", x),)), y))
        for one, other in ((x, y), (y, x)):
            if is_leaf(other) and (sign := self._sign(other)):
                plain = Op(op="*", args=(one, other))
                return self._through(one, partial(self._product, other), sign, plain)
        return Op(op="*", args=(x, y))

    def _quotient(self, x: Scalar, y: Scalar) -> Scalar:
        match y:
            case Op(op="abs", args=(inner,)) if is_leaf(inner):
                # A denominator whose interval holds 0 makes the whole undefined: its sign is known.
                return self._quotient(x, inner if self._estimate(inner) >= 0 else _negative(inner))
            case Op(op="neg", args=(Op(op="abs") as inner,)):
                return self._scaled(self._quotient(x, inner), -1.0)
        plain = Op(op="/", args=(x, y))
        if is_leaf(x) or not is_leaf(y):
            return plain
        sign = 1 if self._estimate(y) >= 0 else -1
        return self._through(x, lambda m: self._quotient(m, y), sign, plain)

    def _through(
        self, x: Scalar, by: Callable[[Scalar], Scalar], sign: int, plain: Scalar
    ) -> Scalar:
        """An extreme whose members go through a multiplication or division of known sign."""
        match x:
            case Worst(which=which, members=members):
                return _each(FLIPPED[which] if sign < 0 else which, members, by)
            case Op(op="abs", args=(inner,)) if is_leaf(inner):
                scaled = Op(op="abs", args=(by(inner),))
                return Op(op="neg", args=(scaled,)) if sign < 0 else scaled
            case Op(op="neg", args=(Op(op="abs", args=(inner,)) as turned,)) if is_leaf(inner):
                return self._through(turned, by, -sign, plain)
            case _:
                return plain

    def _power(self, x: Scalar, y: Scalar) -> Scalar:
        exponent = self._estimate(y) if is_constant(y) else None
        if exponent is None:
            return Op(op="^", args=(x, y))
        if exponent == 1.0:
            return x
        if exponent % 2 == 0 and is_leaf(x):
            return Op(op="^", args=(Op(op="abs", args=(x,)), y))
        if exponent % 1 and is_leaf(x) and not self._never_negative(x) and self._sign(x) <= 0:
            # No resample below 0 has a root: that x may be below is seen in its own ends.
            return Op(op="^", args=(Worst(which="max", members=(("", x),)), y))
        match x:
            case Op(op="^", args=(Op(op="abs") as inner, power)) if is_constant(power):
                return self._power(inner, Constant(value=self._estimate(power) * exponent))
            case _:
                return Op(op="^", args=(x, y))


def _each(which: str, members: _Members, by: Callable[[Scalar], Scalar]) -> Worst:
    """The extreme of what the members become."""
    return Worst(which=which, members=tuple((name, by(m)) for name, m in members))  # type: ignore[arg-type]


def _moves(x: Scalar) -> bool:
    """Whether the extremes of a form are few enough to be moved out of further arithmetic."""
    return not isinstance(x, Op | Worst | Among) or (
        x.nesting <= NESTING and x.size * x.nesting <= WORK
    )


def _extreme(which: Literal["max", "min"], members: Sequence[Scalar]) -> Scalar:
    """`max` or `min` of forms: each once, and those of the same kind in place of themselves."""
    found: dict[Scalar, None] = {}
    for member in members:
        same = isinstance(member, Worst) and member.which == which and len(member.members) > 1
        found.update(dict.fromkeys(parts(member) if same else (member,)))
    return Worst(which=which, members=tuple(("", member) for member in found))


def _negative(x: Scalar) -> Scalar:
    return x.args[0] if isinstance(x, Op) and x.op == "neg" else Op(op="neg", args=(x,))


def _times(x: Scalar, factor: float) -> Scalar:
    return Op(op="*", args=(Constant(value=factor), x))


# -------------------------------------------------------------------------------------------------
# Quotients
# -------------------------------------------------------------------------------------------------

ONE = Constant(value=1.0)


def rational(node: Scalar) -> tuple[Scalar, Scalar]:
    """A smooth quantity as numerator and denominator, the denominator `ONE` where none is left.

    Where more than three different denominators would be multiplied, the quantity stays whole.
    """
    known: dict[int, _Quotient] = {}
    for one in inner_first(node):
        known[id(one)] = _rational(one, [known[id(part)] for part in parts(one)])
    above, below = known[id(node)]
    if not below:
        return above, ONE
    denominator = below[0]
    for factor in below[1:]:
        denominator = Op(op="*", args=(denominator, factor))
    return above, denominator


_Quotient = tuple[Scalar, tuple[Scalar, ...]]
"""A numerator and the factors of its denominator."""


def _rational(node: Scalar, args: list[_Quotient]) -> _Quotient:
    whole: _Quotient = (node, ())
    if not isinstance(node, Op) or node.op not in ("neg", "+", "-", "*", "/"):
        return whole
    a, b = args[0]
    if node.op == "neg":
        return (_negative(a), b) if b else whole
    c, d = args[1]
    if node.op == "/" and is_constant(node.args[1]):
        return (Op(op="/", args=(a, node.args[1])), b) if b else whole
    match node.op:
        case "/":
            above, below = _times_all(a, d), (*b, c)
        case "*":
            above, below = Op(op="*", args=(a, c)), (*b, *d)
        case _:
            shared, only_b, only_d = _shared(b, d)
            left, right = _times_all(a, only_d), _times_all(c, only_b)
            above, below = Op(op=node.op, args=(left, right)), (*shared, *only_b, *only_d)
    return (above, below) if 0 < len(below) <= DENOMINATORS else whole


def _times_all(x: Scalar, factors: tuple[Scalar, ...]) -> Scalar:
    for factor in factors:
        x = Op(op="*", args=(x, factor))
    return x


def _shared(
    b: tuple[Scalar, ...], d: tuple[Scalar, ...]
) -> tuple[tuple[Scalar, ...], tuple[Scalar, ...], tuple[Scalar, ...]]:
    """Factors of both, of the first only and of the second only."""
    rest = list(d)
    shared, only = [], []
    for factor in b:
        if factor in rest:
            rest.remove(factor)
            shared.append(factor)
        else:
            only.append(factor)
    return tuple(shared), tuple(only), tuple(rest)
