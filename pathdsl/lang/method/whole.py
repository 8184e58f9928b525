"""Lint of the method: what a reviewer would ask about a hypothesis that is otherwise well formed.

All warnings; they never change the exit code. Each has its reasons, with sources, on its page.

Sources: docs/method.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathdsl.errors import Diagnostic, Fix, Span
from pathdsl.lang import ast
from pathdsl.lang.check.scope import Faults, warning
from pathdsl.lang.loops import loops_of
from pathdsl.lang.method.attributions import check_attributions, check_sizes
from pathdsl.lang.method.claims import check_claims, check_prompts
from pathdsl.lang.method.controls import check_control
from pathdsl.lang.method.metrics import check_averages, check_metrics
from pathdsl.lang.method.readings import check_readings
from pathdsl.lang.method.said import check_confidence, check_hypothesis
from pathdsl.lang.method.treated import check_grain, check_treated
from pathdsl.lang.needs import FIRST, field_put, release, wanted
from pathdsl.lang.program import Program
from pathdsl.lang.signatures.calls import LANGUAGE_VERSION, LOADERS, literal
from pathdsl.lang.walk import walk

__all__ = ["check_method"]

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def check_method(program: Program) -> list[Diagnostic]:
    """Every warning about the method of a program, each told once."""
    if program.is_library:
        return [*check_treated(program), *check_averages(program)]
    return [
        *_version(program),
        *_needs(program),
        *_revisions(program),
        *check_control(program),
        *check_claims(program),
        *check_confidence(program),
        *check_hypothesis(program),
        *check_prompts(program),
        *check_metrics(program),
        *check_averages(program),
        *check_treated(program),
        *check_grain(program),
        *check_readings(program),
        *check_attributions(program),
        *check_sizes(program),
        *_windows(program),
    ]


def _version(program: Program) -> Faults:
    circuit = program.circuit
    if circuit is None:
        first = program.file.statements[0].span if program.file.statements else None
        yield warning(
            "PD511",
            "the file does not say which version of the language it is written in",
            first,
            "before this",
            help=f'`circuit NAME "title" {{ language = {LANGUAGE_VERSION} }}`',
        )
    elif all(field.name != "language" for field in circuit.fields):
        yield warning(
            "PD511",
            "the file does not say which version of the language it is written in",
            circuit.name.span,
            "has no `language`",
            help=f"`language = {LANGUAGE_VERSION}`",
            fix=_field(program, circuit, f"language = {LANGUAGE_VERSION}"),
        )


def _needs(program: Program) -> Faults:
    """A form that came later than the version that the file says is enough for it."""
    newest, circuit = wanted(program.file), program.circuit
    if newest is None or circuit is None:
        return
    form, node = newest
    needs = next((f for f in circuit.fields if f.name == "needs"), None)
    given = FIRST if needs is None else literal(needs.value)
    enough, since = release(str(given)), release(form.since)
    if enough is not None and since is not None and enough < since:
        yield warning(
            "PD537",
            f"{form.name} came with pathdsl {form.since}, and the file does not say that it needs "
            "it",
            node.span,
            "an older one cannot read this",
            help=f'`needs = "{form.since}"`',
            fix=_field(program, circuit, f'needs = "{form.since}"', needs),
        )


def _field(
    program: Program, circuit: ast.CircuitDecl, text: str, instead: ast.Field | None = None
) -> Fix | None:
    """The repair that puts a field into the block of a circuit, or in the place of one."""
    source = program.sources.get(circuit.span.path)
    if source is None:
        return None
    if instead is not None:
        span = instead.span
        return Fix(span=span, was=source.text[span.start : span.end], text=text)
    at, put = field_put(source.text, circuit, text)
    span = Span(path=circuit.span.path, start=at, end=at)
    return Fix(span=span, was="", text=put)


def _revisions(program: Program) -> Faults:
    """Models of the hub whose commit is left open."""
    for model in program.models.values():
        loader = LOADERS.get(model.source.name)
        if loader is not None and loader.lies == "on the hub":
            yield from _revision(model)


def _revision(model: ast.ModelDecl) -> Faults:
    given = next((a for a in model.source.arguments if a.keyword == "revision"), None)
    if given is None:
        yield warning(
            "PD510",
            "the model's revision is left open",
            model.source.span,
            "whatever the hub has on that day",
            help='`revision: "…"` with the commit of the weights',
        )
    elif isinstance(given.value, ast.String) and not _COMMIT.match(given.value.value):
        yield warning(
            "PD510",
            f"`{given.value.value}` is no commit",
            given.value.span,
            "a branch or tag may move",
            help='`revision: "…"` with the forty characters of a commit',
        )


# -------------------------------------------------------------------------------------------------
# Windows
# -------------------------------------------------------------------------------------------------


def _windows(program: Program) -> Faults:
    """A sweep over windows of nodes without a sweep over the same kind of nodes one by one."""
    declarations: list[ast.LetDecl | ast.ClaimDecl] = [*program.lets.values(), *program.claims]
    domains = [
        one.members
        for declaration in declarations
        for loop in loops_of(program, declaration)
        for one in loop.bindings
    ]
    single = {_kind(program, members) for members in domains if not _is_window(members)}
    for members in domains:
        if not isinstance(members, ast.Windows) or members.size < 2:
            continue
        if not members.by and (layers := _layers_crossed(program, members.nodes)):
            yield warning(
                "PD531",
                f"windows of {members.size} heads run over the border of a layer",
                members.span,
                f"the last heads of one layer with the first of the next, over {layers}",
                help=f"`windows({_text(program, members.nodes)}, 1, by: layer)` slides over layers",
            )
        if _kind(program, members.nodes) in single or "nodes" in single:
            continue
        yield warning(
            "PD512",
            f"windows of {members.size} nodes are not compared with single nodes",
            members.span,
            "an effect of the window may be that of no single node",
            help=f"`let one for v in {_text(program, members.nodes)} = …` beside it",
        )


def _layers_crossed(program: Program, nodes: ast.Node) -> str:
    """Whether heads of several layers are swept one by one; their layers as they are written.

    Heads that somebody listed have the neighbours that they were given.
    """
    match nodes:
        case ast.Word(word="attn" | "any"):
            return "all layers"
        case ast.HeadRef(layer=layer) | ast.KvRef(layer=layer):
            if layer.every:
                return "all layers"
            several = any(low < high for low, high in layer.ranges) or len(layer.ranges) > 1
            return "several layers" if several else ""
        case ast.NodeSet(members=members):
            found = (_layers_crossed(program, member) for member in members)
            return next((layers for layers in found if layers), "")
        case ast.Name(name=name) if name in program.groups:
            return _layers_crossed(program, program.groups[name].nodes)
        case _:
            return ""


def _is_window(members: ast.Node) -> bool:
    return isinstance(members, ast.Windows) and members.size > 1


def _kind(program: Program, members: ast.Node) -> str:
    """`mlp`, `attn` or `resid`; `nodes` for a set of several kinds, which holds any of them."""
    found: set[str] = set()
    for node in _reach_groups(program, members):
        if isinstance(node, ast.MlpRef | ast.NeuronRef):
            found.add("mlp")
        elif isinstance(node, ast.HeadRef | ast.KvRef):
            found.add("attn")
        elif isinstance(node, ast.ResidRef):
            found.add("resid")
        elif isinstance(node, ast.Word):
            found.add(node.word)
    return found.pop() if len(found) == 1 and "any" not in found else "nodes"


def _reach_groups(program: Program, members: ast.Node) -> Iterable[ast.Node]:
    for node in walk(members):
        yield node
        if isinstance(node, ast.Name) and node.name in program.groups:
            yield from _reach_groups(program, program.groups[node.name].nodes)


def _text(program: Program, node: ast.Node) -> str:
    source = program.sources.get(node.span.path)
    return source.text[node.span.start : node.span.end] if source is not None else "SET"
