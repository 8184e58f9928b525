"""What a file asks for that has no meaning on the structure of its model, whatever the weights are.

    structure_faults(program, shape, declarations, tasks)     [] or PD257, PD262, PD263, PD383

A logit is a sum of what components write only where nothing but a norm and a matrix stands between
them, and a norm has one scale only where the stream itself is not normed. Where heads see later
positions, they see the tokens whose prediction would be asked for. Where logits are of something
else than tokens, no token has one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from pathdsl.errors import Diagnostic, PlanError
from pathdsl.graph.model.shape import ModelShape
from pathdsl.lang import ast
from pathdsl.lang.program import Declaration, Program
from pathdsl.lang.serving import field_word, fields_of
from pathdsl.lang.signatures.calls import whole_answers
from pathdsl.lang.signatures.measures import MEASURES
from pathdsl.lang.signatures.norms import NORM_MODES, ROUTINGS
from pathdsl.lang.walk import walk

__all__ = ["no_frozen_norms", "structure_faults"]

NEXT = "next"
"""The column of the tokens that follow the position read."""


def structure_faults(
    program: Program,
    shape: ModelShape,
    declarations: Iterable[Declaration],
    tasks: Collection[str] | None,
) -> Iterator[Diagnostic]:
    """PD257, PD262, PD263 and PD383 of a program's tasks (None: all), and of metrics among
    declarations."""
    for name, task in program.tasks.items():
        if tasks is None or name in tasks:
            yield from _of_task(program, shape, task)
    for declaration in declarations:
        if isinstance(declaration, ast.MetricDecl):
            for node in walk(declaration.expression):
                if isinstance(node, ast.Call):
                    yield from _of_measure(program, shape, node)


def _of_task(program: Program, shape: ModelShape, task: ast.TaskDecl) -> Iterator[Diagnostic]:
    fields = fields_of(program, task)
    routing = fields.get("routing")
    if (
        routing is not None
        and shape.mixture is None
        and ROUTINGS[field_word(program, task, "routing")].frozen
    ):
        yield Diagnostic(
            code="PD257",
            message=f"`{task.name.name}` has a frozen routing, and no MLP of its model "
            f"(`{shape.family}`) is a mixture of experts",
            span=routing.span,
            label="nothing is routed",
            help="leave `routing` out",
        )
    norms, answers = fields.get("layernorm"), fields.get("answers")
    if (
        norms is not None
        and shape.normed_stream
        and NORM_MODES[field_word(program, task, "layernorm")].frozen
    ):
        yield from no_frozen_norms(shape, norms).diagnostics
    if (
        answers is not None
        and not shape.causal
        and whole_answers(field_word(program, task, "answers"))
    ):
        yield Diagnostic(
            code="PD263",
            message=f"heads of this model (`{shape.family}`) would see an answer behind the prompt",
            span=answers.span,
            label="puts answers behind the prompts",
            help="write the answer's place into the prompt as mask tokens, and read one token at "
            "each: `metric M @MASK = logprob(answer)`",
        )

    elif (
        answers is not None
        and shape.d_vocab_out
        and whole_answers(field_word(program, task, "answers"))
    ):
        yield Diagnostic(
            code="PD383",
            message=f"the {shape.d_vocab_out} logits of this model are not those of its tokens",
            span=answers.span,
            label="puts answers behind the prompts as tokens",
            help="leave `answers` out, and give the number of one logit",
        )


def no_frozen_norms(shape: ModelShape, at: ast.Node | None = None) -> PlanError:
    """PD262 for norms that are to have scales of the reference run."""
    return PlanError(
        Diagnostic(
            code="PD262",
            message=f"norms of this model (`{shape.family}`) are of the stream itself, and are not "
            "frozen",
            span=at.span if at is not None else None,
            label="wants scales of the reference run",
            notes=("each reader norms the sums that it is sent, one inside the other",),
            help="leave `layernorm` out: norms are recomputed",
        )
    )


def _of_measure(program: Program, shape: ModelShape, call: ast.Call) -> Iterator[Diagnostic]:
    record = MEASURES.get(call.name)
    if record is None or (call.name in program.metrics and not record.reserved):
        return
    why = ""
    if shape.normed_stream and (record.scaled or record.reads == "copy"):
        why = "norms of the stream stand between what a node writes and the logits"
    elif shape.gated_heads and record.reads == "copy":
        why = "a gate stands between a head's values and what it writes"
    elif shape.prediction_head and record.scaled:
        why = "layers stand between the final norm and the unembedding"
    if why:
        yield Diagnostic(
            code="PD262",
            message=f"`{call.name}` has no value on this model (`{shape.family}`)",
            span=call.span,
            label=why,
            help="measure what treating the node does: `effect(through(NODE), metric: M)`",
        )
    if record.reads == "head" and (recurrent := _recurrent(program, shape, call)):
        yield Diagnostic(
            code="PD262",
            message=f"`{call.name}` has no value at `{recurrent}`",
            span=call.span,
            label="of a recurrence over tokens, which attends to nothing",
            help=f"measure what treating it does: `effect(through({recurrent}), metric: M)`",
        )
    of_token = record.reads == "copy" or (record.reads == "answer" and _column(call) == NEXT)
    if shape.d_vocab_out and of_token:
        yield Diagnostic(
            code="PD383",
            message=f"the {shape.d_vocab_out} logits of this model are not those of its tokens",
            span=call.span,
            label="is of the logit of a token",
            help="give the number of a logit a column: `logit(answer)`",
        )
    elif not shape.causal and record.reads == "answer" and _column(call) == NEXT:
        yield Diagnostic(
            code="PD263",
            message=f"heads of this model (`{shape.family}`) see the token that follows",
            span=call.span,
            label="is of a token in sight",
            help="give the token that is predicted a column: `logit(answer)`",
        )


def _recurrent(program: Program, shape: ModelShape, call: ast.Call) -> str:
    """The recurrence in the place of heads that a measure of a head names, "" for none."""
    for node in walk(call):
        if isinstance(node, ast.Name) and node.name in program.groups:
            named: ast.Node = program.groups[node.name].nodes
        elif isinstance(node, ast.AttentionArgs):
            named = node.head
        else:
            continue
        for head in walk(named):
            if isinstance(head, ast.HeadRef) and head.layer.single:
                layer = head.layer.ranges[0][0]
                if layer < shape.n_layers and shape.recurs(layer):
                    return f"a{layer}.h0"
    return ""


def _column(call: ast.Call) -> str:
    """The name of the column that a measure reads, "" where it is none."""
    first = call.arguments[0].value if call.arguments else None
    return first.name if isinstance(first, ast.Name) else ""
