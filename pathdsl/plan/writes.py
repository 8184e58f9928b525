"""What nodes write to the residual stream, as steps of a plan.

A metric of a component reads the copy that goes straight to `logits`, the one that the direct edge
carries: the head, MLP or input as the residual stream before the final norm has it. What it writes
is the value of a step; a set of nodes writes the sum of its members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pathdsl.errors import Diagnostic, PlanError, Span
from pathdsl.graph.model.components import HEAD, INPUT, bits
from pathdsl.graph.resolve.places import Places
from pathdsl.lang import ast
from pathdsl.lang.program import Program
from pathdsl.plan.copies import RunBuilder
from pathdsl.plan.masks import FALSE
from pathdsl.plan.outputs import CopyRead, MixedCopyRead, Parts, WriteRead
from pathdsl.plan.readout import Measure
from pathdsl.plan.runs import RunSpec
from pathdsl.plan.steps import (
    NOTHING,
    REFERENCE,
    Blend,
    Frozen,
    HeadsWrite,
    InputResid,
    MlpResid,
    Place,
    PlainResid,
    Step,
)
from pathdsl.plan.table import CopyTable
from pathdsl.plan.treated import TreatedSpec

__all__ = ["copy_read", "treated_beside", "write_read"]

_EMPTY = Program(path="", file=ast.File(path="", span=Span(path="", start=0, end=0)))


def write_read(
    table: CopyTable,
    builder: RunBuilder,
    measure: Measure,
    positions: int,
    mixed: int,
    source: int | None,
) -> WriteRead:
    """The steps of one measure in one run, and those in the plain run that it is compared with.

    `mixed`: where the norms of what `logits` reads are frozen. `source`: the number of the plain
    run, None where nothing is compared.
    """
    assert measure.ref is not None
    places = Places(_EMPTY, table.layout).nodes(measure.ref, {})
    nodes = 0
    for place in places:
        nodes |= place.mask
    masks = table.masks
    # Only a norm behind attention makes what `logits` reads another vector where it is frozen.
    split = mixed if table.layout.shape.norm_after_attention else FALSE
    parts: list[tuple[int, int]] = []
    for where, frozen in ((masks.without(positions, split), False), (split, True)):
        if (here := masks.both(where, positions)) != FALSE:
            to = builder.frozen_to if frozen else None
            own = _steps(table, nodes, builder.direct_blend, builder.direct_mlp, to)
            parts += ((step, here) for step in own)
    beside: Parts = ()
    if source is not None:
        whole = table.values(source)

        def of_mlp(layer: int) -> Step:
            return MlpResid(stage=2 * layer + 2, layer=layer, previous=NOTHING, blend=whole)

        plain = _steps(table, nodes, lambda layer, head: whole, of_mlp, None)
        beside = tuple((step, positions) for step in plain)
    return WriteRead(measure=measure, positions=positions, parts=tuple(parts), beside=beside)


def treated_beside(
    requests: Iterable[Measure], own: TreatedSpec | None, task: str
) -> TreatedSpec | None:
    """The task's treated value, if some measure compares a run with the treated run.

    Raises PlanError: there is none (PD221), or it is drawn anew for each of several runs (PD260).
    """
    asking = next((measure for measure in requests if measure.run == "treated"), None)
    if asking is None:
        return None
    if own is None:
        raise PlanError(
            Diagnostic(
                code="PD221",
                message=f"`{asking.kind}(…, treated)` needs a treated value; `{task}` has none",
                help="add `treated = COLUMN` to the task, or compare with `reference`",
            )
        )
    if own.by_draw:
        raise PlanError(
            Diagnostic(
                code="PD260",
                message=f"`{asking.kind}(…, treated)` compares with one run, and `{own}` is "
                "several",
                help="compare with `reference`, or give the task a paired treated value",
            )
        )
    return own


def _steps(
    table: CopyTable,
    nodes: int,
    blend: Callable[[int, int], Blend],
    of_mlp: Callable[[int], Step],
    frozen_to: Callable[[Sequence[str], int], Frozen] | None,
) -> list[int]:
    """The steps whose values add up to what some nodes write.

    `blend`: where the value of a head, by layer and number, comes from; of `input`, by -1 and 0.
    `frozen_to`: of a norm behind attention that is frozen.
    """
    layout = table.layout
    heads: dict[int, list[int]] = {}
    found: list[Step] = []
    for index in bits(nodes):
        component = layout.components[index]
        if component.kind is INPUT:
            found.append(InputResid(blend=blend(-1, 0)))
        elif component.kind is HEAD:
            heads.setdefault(component.layer, []).append(component.head)
        else:
            found.append(of_mlp(component.layer))
    for layer, chosen in heads.items():
        normed = layout.shape.norm_after_attention
        every = range(layout.shape.heads_in(layer)) if normed else ()
        found.append(
            HeadsWrite(
                layer=layer,
                heads=tuple(chosen),
                blends=tuple(blend(layer, head) for head in chosen),
                beside=tuple(blend(layer, head) for head in every),
                frozen=frozen_to is not None and frozen_to(["scale_after_attention"], layer),
            )
        )
    return [table.add(step) for step in found]


def copy_read(
    table: CopyTable, builder: RunBuilder, run: RunSpec, measure: Measure,
    positions: tuple[int, ...],
) -> CopyRead:  # fmt: skip
    """The stream from which a measure copies, and whose tokens stand there.

    Raises PlanError PD260 where what goes straight to `logits` has no prompt's token.
    """
    plain = run.identity
    stage = min(2, 2 * table.layout.shape.n_layers)
    if not run.under and (column := _own_column(plain)) is not None:
        source = builder.source if plain.treats else REFERENCE
        step = table.add(PlainResid(stage=stage, source=source))
        return CopyRead(measure=measure, step=step, column=column, positions=positions)
    cut, other = FALSE, ""
    for mask in positions:
        cut = table.masks.either(cut, table.masks.both(builder.treated_input(), mask))
    if cut != FALSE:
        treated = replace(run, kind="treated", paths=None)
        if (column := _own_column(treated)) is None:
            raise PlanError(
                Diagnostic(
                    code="PD260",
                    message=f"`{measure.kind}` asks which tokens a head copies, and where "
                    f"`{run.label or run.kind}` treats `input` there is no prompt's token",
                    help="read it on `reference`, or with a paired treated value",
                )
            )
        other = column
    ((step, _),) = builder.read(Place("resid", stage))
    return MixedCopyRead(
        measure=measure, step=step, column="", positions=positions, other=other, cut=cut
    )


def _own_column(run: RunSpec) -> str | None:
    """The column whose prompts a plain run is on, "" for the reference; None: of none."""
    if run.kind == "reference":
        return ""
    if run.kind == "treated" and run.treated is not None and run.treated.how.own_run:
        return run.treated.column
    return None
