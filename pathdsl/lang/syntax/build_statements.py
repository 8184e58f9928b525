# ruff: noqa: D102 - one method per rule of circuit.lark, named after it
"""The second half of `build_paths`: values, runs, expressions and statements."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from lark import Token, Tree

from pathdsl.errors import Diagnostic, Span
from pathdsl.lang import ast
from pathdsl.lang.elsewhere import elsewhere
from pathdsl.lang.signatures.comparisons import COMPARISONS
from pathdsl.lang.signatures.emergence import emergence_of
from pathdsl.lang.signatures.measures import takes_nodes
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.signatures.scores import SCORES, ScoreRecord
from pathdsl.lang.syntax.build_paths import Builder, Child, Children, nodes, one, only


def build_statement(
    tree: Tree[Token], path: str, text: str
) -> tuple[ast.Statement, list[Diagnostic]]:
    """The statement that a tree of `circuit.lark` stands for, and what is wrong with it."""
    builder = StatementBuilder(path, text)
    return builder.transform(tree), builder.faults


class StatementBuilder(Builder):
    """Builds one whole statement."""

    # ---------------------------------------------------------------------------------------------
    # Values, runs and expressions
    # ---------------------------------------------------------------------------------------------

    def number(self, c: Children) -> ast.Number:
        return self._number(c[0])

    def signed(self, c: Children) -> ast.Number:
        number = self._number(c[-1], negative=len(c) > 1)
        return ast.Number(
            value=number.value, percent=number.percent, integer=number.integer,
            written=number.written, span=self._over(c),
        )  # fmt: skip

    def string(self, c: Children) -> ast.String:
        return ast.String(value=self._string(c[0]), span=self._over(c))

    def true(self, c: Children) -> ast.Bool:
        return ast.Bool(value=True, span=self._over(c))

    def false(self, c: Children) -> ast.Bool:
        return ast.Bool(value=False, span=self._over(c))

    def list_value(self, c: Children) -> ast.ListValue:
        return ast.ListValue(items=nodes(c), span=self._over(c))

    def map_item(self, c: Children) -> tuple[Span, tuple[ast.NodeRef, ast.NodeRef]]:
        return self._over(c), (c[0], c[2])

    def map_value(self, c: Children) -> ast.MapValue:
        items = tuple(x[1] for x in c if isinstance(x, tuple))
        return ast.MapValue(items=items, span=self._over(c))

    def key(self, c: Children) -> Token:
        return c[0]

    def keyword_arg(self, c: Children) -> ast.Argument:
        return ast.Argument(keyword=str(c[0]), value=c[2], span=self._over(c))

    def positional(self, c: Children) -> ast.Argument:
        return ast.Argument(value=c[0], span=self._over(c))

    def positional_text(self, c: Children) -> ast.Argument:
        return ast.Argument(value=self.string(c), span=self._over(c))

    def positional_node(self, c: Children) -> ast.Argument:
        return ast.Argument(value=c[0], span=self._over(c))

    def placed(self, c: Children) -> ast.Argument:
        node = self._name(c[0], c[1])
        return ast.Argument(value=node, span=node.span)

    def attention(self, c: Children) -> ast.Argument:
        span = self._over(c)
        value = ast.AttentionArgs(head=c[0], query=c[2], key=c[4], span=span)
        return ast.Argument(value=value, span=span)

    def call(self, c: Children) -> ast.Call | ast.Score:
        name, arguments = str(c[0]), self._options(c)
        if name in _NOT_CALLED:
            # Where a number is wanted the grammar knows no runs and no paths: they are names there.
            self._fault(
                "PD021",
                f"`{name}` is {_NOT_CALLED[name]}, and a number is wanted here",
                c[0],
                help="read a run with a metric: `LD(treat(P))`",
            )
        runs = [
            a for a in arguments
            if not a.keyword and isinstance(a.value, ast.PlainRun | ast.PathRun)
        ]  # fmt: skip
        if name in _OF_TWO_RUNS and len(runs) == 2 and one(c, ast.Position) is None:
            options = tuple(a for a in arguments if a not in runs)
            return self._score(c, [a.value for a in runs], options)
        needed = _OF_PATHS.get(name)
        if needed is not None and (
            any(a.keyword == needed for a in arguments)
            or any(_only_of(SCORES[name], a) for a in arguments if not a.keyword)
        ):
            subjects = [self._paths(a.value) for a in arguments if not a.keyword]
            return self._score(c, subjects, tuple(a for a in arguments if a.keyword))
        if not takes_nodes(name):
            arguments = tuple(self._no_node(one, elsewhere(name)) for one in arguments)
        for before, after in itertools.pairwise(arguments):
            if before.keyword and not after.keyword:
                self._fault(
                    "PD019", "arguments with a name come last", after,
                    labels=((before.span, "this one has a name"),),
                )  # fmt: skip
        return ast.Call(
            name=name, arguments=arguments, at=one(c, ast.Position),
            name_span=self._span(c[0]), span=self._over(c),
        )  # fmt: skip

    def _paths(self, value: ast.Node) -> ast.PathExpr:
        """A path set where the grammar, which does not know what is called, read a number."""
        match value:
            case ast.Bracket(inner=inner):
                return ast.Group(inner=self._paths(inner), span=value.span)
            case ast.Name(name="full", at=None):
                return ast.Full(span=value.span)
            case ast.Name(name="none", at=None):
                return ast.NonePath(span=value.span)
            case ast.Name() | ast.Through() | ast.Within() | ast.Edges() | ast.EdgesFile():
                return value
            case ast.Chain():
                return value
            case _ if isinstance(value, _NODES):
                return value
            case _:
                self._fault(
                    "PD021",
                    f"a {_kind_of(value)} stands here, and a path set is wanted",
                    value,
                    help="give the path set a name: `path P = …`",
                )
                return ast.NonePath(span=value.span)

    def _no_node(self, argument: ast.Argument, instead: str) -> ast.Argument:
        """An argument of what takes no nodes: `a1` and `input` may be columns there.

        `instead` is what to write where another tool's function is called.
        """
        value = argument.value
        if not argument.keyword and isinstance(value, ast.Chain):
            self._fault(
                "PD021", "a path stands here, and a run or a number is wanted",
                value.steps[0].arrow if isinstance(value.steps[0], ast.Hop) else value,
                help=instead or "`treat(A -> B)` or `keep(A -> B)` makes a run of it",
            )  # fmt: skip
            return argument
        if not argument.keyword and isinstance(value, ast.Name) and value.at is not None:
            self._fault(
                "PD021", f"`{value.name} @…` is a node, and a number is wanted here", value,
                help=instead
                or f"treat its paths and read a metric: `LD(treat(through({value.name} @…)))`",
            )  # fmt: skip
            return argument
        if not argument.keyword and isinstance(value, _SETS):
            word = self.text[value.span.start : value.span.end].split("(")[0].split("{")[0].strip()
            self._fault(
                "PD021",
                f"`{word}` is {_NOT_CALLED[word]}, and a number is wanted here",
                value,
                help=instead or "read a run with a metric: `LD(treat(P))`",
            )
            return argument
        if argument.keyword or not isinstance(value, _NODES):
            return argument
        written = self.text[value.span.start : value.span.end]
        if written.isidentifier():
            return replace(argument, value=ast.Name(name=written, span=value.span))
        self._fault(
            "PD021",
            f"`{written}` is a node, and a number is wanted here" if written[0] != "{" else
            "found `{`, and a number is wanted here",
            value,
            help=instead or f"treat its paths and read a metric: `LD(treat(through({written})))`",
        )  # fmt: skip
        return argument

    def pattern_call(self, c: Children) -> ast.Call:
        given = [n for n in nodes(c) if isinstance(n, ast.Position | ast.PlainRun | ast.PathRun)]
        arguments = tuple(ast.Argument(value=one, span=one.span) for one in given)
        return ast.Call(
            name=str(c[0]), arguments=arguments,
            name_span=self._span(c[0]), span=self._over(c),
        )  # fmt: skip

    def under(self, c: Children) -> tuple[Span, tuple[ast.Name, ...]]:
        names = tuple(self._name(x) for x in c if _is(x, "NAME"))
        self._once(((name.name, name.span) for name in names), "the intervention")
        return self._over(c), names

    def run(self, c: Children) -> ast.Run:
        names = c[-1][1] if isinstance(c[-1], tuple) else ()
        under, also = (names[0] if names else None), names[1:]
        which, span = c[0].value, self._over(c)
        if which in ("reference", "treated"):
            return ast.PlainRun(which=which, under=under, also=also, span=span)
        return ast.PathRun(
            which=which, paths=c[2], options=self._options(c), under=under, also=also, span=span
        )

    def score(self, c: Children) -> ast.Score:
        subjects = [n for n in nodes(c) if not isinstance(n, ast.Argument)]
        return self._score(c, subjects, self._options(c))

    def _score(
        self, c: Children, subjects: list[Any], options: tuple[ast.Argument, ...]
    ) -> ast.Score:
        return ast.Score(
            name=str(c[0]), subjects=tuple(subjects), options=options,
            name_span=self._span(c[0]), span=self._over(c),
        )  # fmt: skip

    def subscript(self, c: Children) -> ast.Subscript:
        member, *more = nodes(c[2:])
        return ast.Subscript(
            name=self._name(c[0]), member=member, more=tuple(more), span=self._over(c)
        )

    def negative(self, c: Children) -> ast.Unary:
        return ast.Unary(operand=c[1], span=self._over(c))

    def binary(self, c: Children) -> ast.Binary:
        return ast.Binary(op=c[1].value, left=c[0], right=c[2], span=self._over(c))

    def bracket(self, c: Children) -> ast.Bracket:
        return ast.Bracket(inner=c[1], span=self._over(c))

    # ---------------------------------------------------------------------------------------------
    # Statements
    # ---------------------------------------------------------------------------------------------

    def field(self, c: Children) -> ast.Field:
        return ast.Field(name=str(c[0]), value=c[2], name_span=self._span(c[0]), span=self._over(c))

    def block(self, c: Children) -> tuple[Span, tuple[ast.Field, ...]]:
        fields = only(c, ast.Field)
        self._apart(fields, "fields")
        self._once(((f.name, f.name_span) for f in fields), "the field")
        return self._over(c), fields

    def loop(self, c: Children) -> ast.Loop:
        return self._loop(c, self._over(c))

    def _loop(self, c: Children, span: Span) -> ast.Loop:
        """The loop of the `NAME in SET` among these children."""
        first, *more = (
            ast.Binding(
                variable=self._name(c[i - 1]), members=c[i + 1],
                span=self._span(c[i - 1]).to(self._span(c[i + 1])),
            )
            for i, x in enumerate(c)
            if _is(x, "IN")
        )  # fmt: skip
        self._once(((b.variable.name, b.variable.span) for b in (first, *more)), "the variable")
        return ast.Loop(variable=first.variable, members=first.members, more=tuple(more), span=span)

    def edges_of(self, c: Children) -> ast.EdgesOf:
        (paths,) = nodes(c)
        return ast.EdgesOf(paths=paths, span=self._over(c))

    def things(self, c: Children) -> ast.Things:
        return ast.Things(items=nodes(c), span=self._over(c))

    def index_range(self, c: Children) -> ast.IndexRange:
        first, last = (self._index(number) for number in (c[1], c[3]))
        if first >= 0 > last:
            self._fault(
                "PD017", "how many members this loop has, each prompt would say for itself",
                self._over(c), help="a loop counts from one end: `[0..5]`, or `[-5..-1]`",
            )  # fmt: skip
        elif last < first:
            self._fault(
                "PD017", f"the range `{first}..{last}` runs backwards", self._over(c),
                help=f"both ends are included: `[{last}..{first}]`",
            )  # fmt: skip
        return ast.IndexRange(first=first, last=last, span=self._over(c))

    def over_members(self, c: Children) -> ast.Argument:
        colon = next(i for i, x in enumerate(c) if isinstance(x, Token) and x == ":")
        loop = self._loop(c[:colon], self._over(c[:colon]))
        value, *rest = c[colon + 1 :]
        over = ast.OverMembers(
            loop=loop, value=value, relation=rest[0].value if rest else None,
            bound=rest[1] if rest else None, span=self._over(c),
        )  # fmt: skip
        return ast.Argument(value=over, span=over.span)

    def compared(self, c: Children) -> ast.Argument:
        left, relation, right = c
        span = self._over(c)
        compared = ast.Compared(left=left, relation=relation.value, right=right, span=span)
        return ast.Argument(value=compared, span=span)

    def unit(self, c: Children) -> tuple[Span, tuple[str, ast.Name]]:
        return self._over(c), ("unit", self._name(c[1]))

    def on_task(self, c: Children) -> tuple[Span, tuple[str, ast.Name]]:
        return self._over(c), ("task", self._name(c[1]))

    def tolerance(self, c: Children) -> tuple[Span, tuple[str, ast.Expr]]:
        return self._over(c), ("within", c[1])

    def confidence(self, c: Children) -> tuple[Span, tuple[str, ast.Number]]:
        number = self._number(c[1])
        if not number.percent:
            share = number.value if 0 < number.value < 1 else number.value / 100
            meant = f"{share * 100:g}%" if 0 < share < 1 else "95%"
            self._fault(
                "PD012", f"a confidence is a percentage, found `{c[1]}`", c[1],
                help=f"`at {meant} confidence`", fix=meant,
            )  # fmt: skip
        return self._over(c), ("at", number)

    def method(self, c: Children) -> tuple[Span, tuple[str, ast.Call]]:
        return self._over(c), ("by", c[1])

    def expectation(self, c: Children) -> tuple[Span, tuple[str, str]]:
        if c[1] not in ("refuted", "supported"):
            self._fault(
                "PD001", f"a claim is expected `refuted` or `supported`, found `{c[1]}`", c[1],
                help="`expect refuted`",
            )  # fmt: skip
        return self._over(c), ("expect", str(c[1]))

    def remark(self, c: Children) -> tuple[Span, tuple[str, str]]:
        return self._over(c), ("text", self._string(c[0]))

    def circuit_decl(self, c: Children) -> ast.CircuitDecl:
        title = next((self._string(t) for t in c if _is(t, "STRING")), "")
        fields = next((x[1] for x in c if isinstance(x, tuple)), ())
        return ast.CircuitDecl(
            name=self._first_name(c), title=title, fields=fields, span=self._over(c)
        )

    def use_decl(self, c: Children) -> ast.UseDecl:
        return ast.UseDecl(path=self._string(c[1]), path_span=self._span(c[1]), span=self._over(c))

    def model_decl(self, c: Children) -> ast.ModelDecl:
        return ast.ModelDecl(name=self._first_name(c), source=c[3], span=self._over(c))

    def task_decl(self, c: Children) -> ast.TaskDecl:
        return ast.TaskDecl(name=self._first_name(c), fields=c[2][1], span=self._over(c))

    def task_derived(self, c: Children) -> ast.TaskDecl:
        conditions = only(c, ast.Condition)
        fields = next((x[1] for x in c if isinstance(x, tuple)), ())
        made = ast.TaskDecl(
            name=self._first_name(c), base=self._name(c[3]), fields=fields, span=self._over(c)
        )
        one = conditions[0] if len(conditions) == 1 else None
        if one is not None and isinstance(one.left, ast.Name) and one.relation == "==":
            return replace(made, where_field=one.left, where_value=one.value)
        return replace(made, conditions=conditions)

    def condition(self, c: Children) -> ast.Condition:
        if c[1] not in COMPARISONS:
            self._fault(
                "PD005", f"a row meets a condition or does not: found `{c[1]}`", c[1],
                help="`==`, `!=`, `<`, `<=`, `>`, `>=`",
            )  # fmt: skip
        left = c[0] if isinstance(c[0], ast.Call) else self._name(c[0])
        return ast.Condition(left=left, relation=c[1].value, value=c[2], span=self._over(c))

    def of_run(self, c: Children) -> ast.Call:
        run = ast.Argument(value=c[2], span=c[2].span)
        return ast.Call(
            name=str(c[0]), arguments=(run,), name_span=self._span(c[0]), span=self._over(c)
        )

    def group_decl(self, c: Children) -> ast.GroupDecl:
        return ast.GroupDecl(
            name=self._first_name(c), at=one(c, ast.Position), nodes=c[-1], span=self._over(c)
        )

    def path_decl(self, c: Children) -> ast.PathDecl:
        return ast.PathDecl(name=self._first_name(c), path=c[3], span=self._over(c))

    def metric_decl(self, c: Children) -> ast.MetricDecl:
        parts: dict[str, Any] = dict(x[1] for x in c if isinstance(x, tuple))
        return ast.MetricDecl(
            name=self._first_name(c), task=parts.get("task"), unit=parts.get("unit"),
            expression=c[-1], at=one(c, ast.Position), span=self._over(c),
        )  # fmt: skip

    def let_decl(self, c: Children) -> ast.LetDecl:
        parts: dict[str, Any] = dict(x[1] for x in c if isinstance(x, tuple))
        loop = one(c, ast.Loop)
        return ast.LetDecl(
            name=self._first_name(c), loop=loop, unit=parts.get("unit"), expression=c[-1],
            span=self._over(c),
        )  # fmt: skip

    def claim_decl(self, c: Children) -> ast.ClaimDecl:
        parts = [(span, *part) for span, part in (x for x in c if isinstance(x, tuple))]
        self._once(((kind, span) for span, kind, _ in parts if kind != "by"), "the part")
        given = {kind: value for _, kind, value in parts}
        at = next(i for i, x in enumerate(c) if _is(x, "REL"))
        around = RELATIONS[c[at]].asks == "around"
        if around and "within" not in given:
            self._fault("PD014", "`~=` needs a tolerance", c[at], help="`A ~= B within 0.1`")
        if not around and "within" in given:
            span = next(span for span, kind, _ in parts if kind == "within")
            self._fault("PD019", f"`within` belongs to `~=`, found `{c[at]}`", span)
        left, relation, right = c[at - 1], c[at].value, c[at + 1]
        emerges = None
        if (found := emergence_of(left, relation, right)) is not None:
            condition, emerges = found
            left, relation, right = condition.left, condition.relation, condition.right
        return ast.ClaimDecl(
            name=self._first_name(c), loop=one(c, ast.Loop), emerges=emerges,
            left=left, relation=relation, right=right, within=given.get("within"),
            confidence=given.get("at"), methods=tuple(v for _, k, v in parts if k == "by"),
            expect=given.get("expect", "supported"), text=given.get("text", ""),
            span=self._over(c),
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------
    # Interventions
    # ---------------------------------------------------------------------------------------------

    def act_pattern(self, c: Children) -> ast.Action:
        return ast.Action(verb="pattern", node=c[2], value=c[5], span=self._over(c))

    def act_block(self, c: Children) -> ast.Action:
        return ast.Action(verb="block", node=c[2], key=c[4], span=self._over(c))

    def act_zero(self, c: Children) -> ast.Action:
        slots = [x for x in c if _is(x, "SLOT")]
        self._once(((str(x), self._span(x)) for x in slots), "the slot")
        first, *more = (x.value for x in slots)
        node: Any = next(x for x in c if isinstance(x, ast.Node))
        return ast.Action(verb="zero", slot=first, node=node, more=tuple(more), span=self._over(c))

    def act_scale(self, c: Children) -> ast.Action:
        return ast.Action(verb="scale", node=c[1], value=c[3], span=self._over(c))

    def act_set(self, c: Children) -> ast.Action:
        return ast.Action(verb="set", node=c[1], value=c[3], span=self._over(c))

    def act_add(self, c: Children) -> ast.Action:
        return ast.Action(verb="add", node=c[1], value=c[3], span=self._over(c))

    def intervene_decl(self, c: Children) -> ast.InterveneDecl:
        actions = only(c, ast.Action)
        self._apart(actions, "actions")
        return ast.InterveneDecl(name=self._first_name(c), actions=actions, span=self._over(c))


_OF_TWO_RUNS = frozenset(
    name for name, score in SCORES.items() if score.of == "run" and not score.reserved
)
"""Scores whose names are free: a metric is of one run, so two runs tell them apart."""

_OF_PATHS = {
    name: next(p.name for p in score.parameters if p.required and not p.by_place)
    for name, score in SCORES.items()
    if score.of in ("paths", "unit", "kept") and not score.reserved
}
"""Scores of path sets and of single nodes and edges whose names are free, with the option that
tells them from a metric."""

_SETS = (ast.Through, ast.Within, ast.Edges, ast.EdgesFile)

_NODES = (
    ast.HeadRef, ast.KvRef, ast.MlpRef, ast.NeuronRef, ast.ResidRef, ast.Word, ast.NodeSet,
    ast.NodesFile,
)  # fmt: skip
"""What only nodes are written as; a bare name may be anything."""

_NOT_CALLED = dict.fromkeys(("treat", "keep"), "a run") | dict.fromkeys(
    ("through", "within", "edges", "random_like", "random_edges"), "a path set"
)


def _only_of(score: ScoreRecord, argument: ast.Argument) -> bool:
    """Whether an argument is what a score is of and no metric: a node or an edge, or a file."""
    if score.of == "unit":
        return isinstance(argument.value, (*_NODES, ast.Chain))
    return score.of == "kept" and isinstance(argument.value, ast.EdgesFile)


def _kind_of(value: ast.Node) -> str:
    if isinstance(value, ast.PlainRun | ast.PathRun):
        return "run"
    return "score" if isinstance(value, ast.Score) else "number"


def _is(item: Child, kind: str) -> bool:
    return isinstance(item, Token) and item.type == kind
