"""`pathdsl explain FILE:NAME`: one declaration, with what the model's graph makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from pathdsl.errors import PathdslError
from pathdsl.lang import ast
from pathdsl.lang.program import Program, kind_of
from pathdsl.lang.serving import (
    columns_of,
    field_word,
    fields_of,
    known_positions,
    model_of,
    serving,
)
from pathdsl.lang.signatures.norms import NORM_MODES, ROUTINGS
from pathdsl.lang.signatures.scores import is_p_value
from pathdsl.lang.units import unit_of
from pathdsl.lang.walk import walk
from pathdsl.report.numbers import groups_text, many, mlps_text
from pathdsl.report.text.style import View, clip, paragraph, table

if TYPE_CHECKING:
    from pathdsl.graph.resolve.resolver import Resolver
    from pathdsl.score.requests import FirstRound

__all__ = ["described", "file_text", "runs_text"]

UNITS = 40
FROZEN = (
    "frozen norms: where kept and treated paths meet in a component, its norms have the scales of "
    "the reference run and means of their own; `check` also judges with recomputed norms and says "
    "where that changes a verdict"
)

ROUTED = (
    "frozen routing: where kept and treated paths meet in a mixture of experts, it uses the "
    "experts that the reference run uses there, with their weights"
)


def described(name: str, program: Program, resolver: Callable[[], Resolver], view: View) -> str:
    """What a name is; `resolver` is called where the graph is needed and may raise PathdslError."""
    decl = program.find(name)
    if decl is None:
        raise KeyError(name)
    lines = [
        f"{view.heading(f'{kind_of(decl)} {name}')}   {view.faint(_where(decl, program))}",
        "",
        *(f"  {line}".rstrip() for line in _source(decl, program).split("\n")),
        "",
    ]
    match decl:
        case ast.PathDecl():
            lines += _on_each(resolver(), program, lambda graph: _path(decl, graph, view))
        case ast.GroupDecl():
            lines += _on_each(resolver(), program, lambda graph: _group(decl, graph, view))
            users = _users(name, program)
            lines.append("  used by: " + (", ".join(users) or "nothing"))
        case ast.MetricDecl():
            lines += _metric(decl, program, view)
        case ast.ClaimDecl() | ast.LetDecl():
            lines += _measured(decl, program, view)
        case ast.TaskDecl():
            lines += _task(decl, program, view)
        case ast.ModelDecl():
            graph, on = resolver(), [t for t in program.tasks if model_of(program, t) is decl]
            shape = graph.on(on[0]).shape if on else graph.shape
            if len(program.models) > 1:
                lines.append("  tasks: " + (", ".join(on) or "none"))
            lines += table(
                [
                    ["  family", shape.family],
                    ["  layers", str(shape.n_layers)],
                    [
                        "  heads",
                        f"{shape.n_heads} in each layer, of width {shape.d_head}"
                        + shape.recurrences,
                    ],
                    ["  key/value groups", groups_text(shape)],
                    ["  mlps", mlps_text(shape)],
                    ["  width", str(shape.d_model)],
                    ["  vocabulary", f"{shape.d_vocab:,}"],
                ]
            )
        case ast.InterveneDecl():
            lines += _acts(decl, resolver(), view)
            users = _users(name, program)
            lines.append("  used by: " + (", ".join(users) or "nothing"))
        case _:
            assert_never(decl)
    return "\n".join(lines).rstrip() + "\n"


def runs_text(asked: FirstRound, view: View) -> str:
    """The runs that `asked` holds, each once, and whether searches will ask for more."""
    runs = list(dict.fromkeys(run.label for run, _ in asked.requests))
    lines = ["", f"  {many(len(runs), 'run')}:" if runs else "  no runs: counted on the graph"]
    lines += [f"    {clip(run, view.width - 4)}" for run in runs[:UNITS]]
    if len(runs) > UNITS:
        lines.append(f"    … {len(runs) - UNITS} more")
    if asked.adaptive:
        lines.append(f"  its search for knockouts asks for at most {asked.later_runs:,} more")
    return "\n".join(lines) + "\n"


def file_text(program: Program, view: View) -> str:
    """The names that a file declares, by kind."""
    lines = [view.heading(program.path)]
    if program.circuit is not None and program.circuit.title:
        lines.append(f"  {program.circuit.name.name}: {program.circuit.title}")
    by_kind: dict[str, list[str]] = {}
    for name in [*program.origin, *(c.name.name for c in program.claims)]:
        names = by_kind.setdefault(program.kind(name), [])
        if name not in names:
            names.append(name)
    lines += ["", *table([[f"  {kind}", ", ".join(names)] for kind, names in by_kind.items()])]
    lines += ["", view.faint(f"  `pathdsl explain {program.path}:NAME` says more of one of them")]
    return "\n".join(lines) + "\n"


def _source(node: ast.Node, program: Program) -> str:
    source = program.sources.get(node.span.path)
    return source.text[node.span.start : node.span.end].rstrip() if source else ""


def _text(node: ast.Node, program: Program) -> str:
    return " ".join(_source(node, program).split())


def _where(node: ast.Node, program: Program) -> str:
    source = program.sources.get(node.span.path)
    return f"{node.span.path}:{source.line_col(node.span.start)[0]}" if source else node.span.path


def _names(names: list[str], view: View, title: str) -> list[str]:
    shown = names[:UNITS]
    more = f", … {len(names) - UNITS} more" if len(names) > UNITS else ""
    return [paragraph(f"{title}: {', '.join(shown)}{more}", view, "  ", "  ")]


def _path(decl: ast.PathDecl, resolver: Resolver, view: View) -> list[str]:
    paths = resolver.describe(decl.path)
    if not paths.n_paths:
        return ["  no path of the model is in this set"]
    count = f"{paths.n_paths:,}" if paths.n_paths < 10**9 else f"{paths.n_paths:.3e}"
    kinds = "heads, MLPs and neurons" if paths.n_neurons else "heads and MLPs"
    lines = table(
        [
            ["  paths", f"{count} (node, slot) sequences from input to logits"],
            ["  nodes", f"{paths.n_nodes:,} {kinds}"],
            ["  edges", f"{paths.n_edges:,}"],
            ["  states", f"{paths.n_states:,} of the automaton"],
        ]
    )
    if paths.units:
        names = [unit.label for unit in paths.units]
        lines += ["", *_names(names, view, many(len(names), "unit"))]
    if not paths.examples:
        return [*lines, "", "  it has no path where its positions are different tokens"]
    lines += ["", "  some of its paths:"]
    lines += [f"    {clip(example, view.width - 4)}" for example in paths.examples]
    return lines


def _on_each(
    resolver: Resolver, program: Program, made: Callable[[Resolver], list[str]]
) -> list[str]:
    """What is said on the graph of the models, or on each one where these differ in nodes."""
    if not resolver.others:
        return made(resolver)
    lines: list[str] = []
    for graph in resolver.graphs:
        models = {
            decl.name.name: None
            for task in program.tasks
            if resolver.on(task) is graph and (decl := model_of(program, task)) is not None
        }
        try:
            found = made(graph)
        except PathdslError as error:
            found = [f"  {error.diagnostics[0].message}"]
        lines += [f"  on {', '.join(models)}:", *found, ""]
    return lines


def _group(decl: ast.GroupDecl, resolver: Resolver, view: View) -> list[str]:
    reference = ast.Name(name=decl.name.name, span=decl.name.span)
    loop = ast.Loop(variable=decl.name, members=reference, span=decl.span)
    members = [member.label for member in resolver.loop(loop)]
    return _names(members, view, many(len(members), "node"))


def _acts(decl: ast.InterveneDecl, resolver: Resolver, view: View) -> list[str]:
    """The values that each action acts on."""
    lines = []
    for action in decl.actions:
        on = [str(target) for target in resolver.targets(action)]
        lines += _names(on, view, f"{action.verb} acts on {many(len(on), 'value')}")
    return lines


def _users(name: str, program: Program) -> list[str]:
    """The declarations that mention a name."""
    users: dict[str, None] = {}
    for declaration in program.declarations():
        mentions = (
            isinstance(n, ast.Name | ast.Call) and n.name == name for n in walk(declaration)
        )
        if declaration.name.name != name and any(mentions):
            users[declaration.name.name] = None
    return list(users)


def _metric(decl: ast.MetricDecl, program: Program, view: View) -> list[str]:
    from pathdsl.score.metrics import compile_metric

    metric = compile_metric(decl, program.groups)
    positions = sorted({at for m in metric.measures if not m.of_head for at in m.places})
    rows = [
        ["  unit", unit_of(program).get(decl.name.name, "none")],
        ["  formula", metric.canonical],
        ["  LaTeX", metric.latex],
        ["  positions", ", ".join(positions) or "those of the pattern"],
        ["  tasks", ", ".join(serving(program, decl)) or "none"],
    ]
    users = _users(decl.name.name, program)
    if users:
        rows.append(["  used by", ", ".join(users)])
    return table(rows)


def _measured(decl: ast.ClaimDecl | ast.LetDecl, program: Program, view: View) -> list[str]:
    """Runs and scores of a claim or a let, and of the lets that it names."""
    runs: dict[str, None] = {}
    scores: dict[str, None] = {}
    lets: dict[str, None] = {}
    pending: list[ast.Node] = [decl]
    while pending:
        for node in walk(pending.pop()):
            if isinstance(node, ast.PlainRun | ast.PathRun):
                runs[_text(node, program)] = None
            elif isinstance(node, ast.Score):
                scores[_text(node, program)] = None
            elif isinstance(node, ast.Name) and node.name in program.lets:
                if node.name not in lets and program.lets[node.name] is not decl:
                    lets[node.name] = None
                    pending.append(program.lets[node.name])
    rows = [["  unit", unit_of(program).get(decl.name.name, "none")]]
    if isinstance(decl, ast.ClaimDecl):
        left, right = _text(decl.left, program), _text(decl.right, program)
        within = f" within {_text(decl.within, program)}" if decl.within is not None else ""
        said = f"{left} {decl.relation} {right}{within}"
        if (emerges := decl.emerges) is not None:
            said = f"emerges({said}) {emerges.relation} {_text(emerges.step, program)}"
        rows = [["  claims", said]]
        level = decl.confidence
        rows.append(
            ["  confidence", _text(level, program) if level else "none: the estimate decides"]
        )
        methods = [_text(method, program) for method in decl.methods]
        counted = is_p_value(decl.left) or is_p_value(decl.right)
        usual = "counting; a p-value has no interval" if counted else "the bootstrap over prompts"
        rows.append(["  by", ", ".join(methods) or usual])
        rows.append(["  expected", decl.expect])
    if decl.loop is not None:
        domains = [_text(one.members, program) for one in decl.loop.bindings]
        rows.append(["  for each", ", ".join(domains)])
    for title, texts in (("scores", scores), ("runs", runs), ("through", lets)):
        for i, text in enumerate(texts):
            rows.append([f"  {title}" if i == 0 else "", clip(text, view.width - 16)])
    return table(rows)


def _task(decl: ast.TaskDecl, program: Program, view: View) -> list[str]:
    rows = [
        [f"  {name}", clip(_text(field.value, program), view.width - 20)]
        for name, field in fields_of(program, decl).items()
    ]
    rows += [["  and" if i else "  where", _text(one, program)] for i, one in enumerate(decl.where)]
    lines = table(rows)
    if NORM_MODES[field_word(program, decl, "layernorm")].frozen:
        lines += ["", paragraph(FROZEN, view, "  ", "  ")]
    if ROUTINGS[field_word(program, decl, "routing")].frozen:
        lines += ["", paragraph(ROUTED, view, "  ", "  ")]
    columns = columns_of(program, decl)
    if columns is not None:
        lines += ["", *table(
            [
                ["  prompt columns", ", ".join(columns.prompts)],
                ["  token columns", ", ".join(columns.tokens)],
                ["  labels", ", ".join(columns.labels) or "none"],
                ["  positions", ", ".join(known_positions(program, decl))],
            ]
        )]  # fmt: skip
    metrics = [n for n, m in program.metrics.items() if decl.name.name in serving(program, m)]
    return [*lines, "", "  metrics: " + (", ".join(metrics) or "none")]
