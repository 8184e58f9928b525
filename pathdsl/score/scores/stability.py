"""How alike the circuits are that bootstrap samples of the prompts give, from kept scores alone.

`stability(edges("found.scores.json"), size: 5%)` is the mean Jaccard index of all pairs of
circuits, each of the n edges of largest absolute mean (`rank: signed`: of those that lower the
metric most; `select:` another rule) on a resample of the prompts that were scored, edges on no path
from `input` to `logits` taken out. It is 1 where every resample gives the same circuit. No run is
made, and no prompt of the checked file enters: the number is of the prompts that the scores were
made from, and has no interval.

Source: Méloux et al. 2025 (arXiv:2510.00845).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pathdsl.errors import DataError, LanguageError
from pathdsl.graph.model.components import Layout
from pathdsl.lang import ast
from pathdsl.lang.fence import outside
from pathdsl.lang.signatures.calls import resolve_options
from pathdsl.lang.signatures.kinds import count_of
from pathdsl.lang.signatures.selections import SELECTIONS
from pathdsl.score.context import Context
from pathdsl.score.faults import fault
from pathdsl.score.kept import stability as kept_scores
from pathdsl.score.kept.file import Kept, read_kept, values_path
from pathdsl.score.kept.graph import EdgeGraph
from pathdsl.score.kept.selection import HALF, Asked, select
from pathdsl.score.quantity import Constant, Scalar
from pathdsl.score.session import Bindings

__all__ = ["stability"]

_USUAL = "top"
"""The rule that is taken from the means of all resamples at once."""


def stability(context: Context, score: ast.Score, bindings: Bindings) -> Scalar:
    """The mean Jaccard index over pairs of resamples, 0 to 1.

    Raises LanguageError: PD245 for a file that keeps no scores of edges of this model, PD116 for a
    size that it does not have, PD436 for a selection that is not repeated, PD217 for a file that
    cannot be read.
    """
    subject = score.subjects[0]
    if not isinstance(subject, ast.EdgesFile):
        raise fault("PD423", f"`{score.name}` takes a file of kept scores", subject)
    options = resolve_options(score)

    def read(path: Path, layout: Layout) -> tuple[Kept, Layout]:
        numbers = values_path(path)
        if not context.program.fence.holds(numbers):  # a link may lead out
            raise LanguageError(outside(numbers.name, subject.span))
        return read_kept(path, layout), layout

    try:
        kept, layout = context.counted_on(score).read_file(subject, read)
    except DataError as error:
        raise LanguageError([replace(d, span=subject.span) for d in error.diagnostics]) from error
    if not kept.of_edges:
        why = f"`{subject.path}` cannot be used: it scores {kept.of}, and circuits are of edges"
        raise fault("PD245", why, subject, help="score the edges")
    size = options["size"]
    assert isinstance(size, int | float)
    n, scored = count_of(size, layout.n_edges()), len(kept.scored.units)
    if not 1 <= n <= scored:
        why = f"{n:,} of the {scored:,} edges that `{subject.path}` scores"
        raise fault("PD116", why, score, help="`size:` is at least one edge, and all at most")
    again = SELECTIONS[options.word("select")].not_again
    if again:  # `pathdsl lint` finds it first
        raise fault("PD436", f"`{score.name}` has no such `select:`: it {again}", score)
    values = kept.scored.values
    graph, rule = EdgeGraph.of(kept.scored.units, layout), options.word("select")
    asked = Asked(n=n, signed=options.word("rank") == "signed", share=HALF, among=None)
    how = f" by `{rule}`" if rule != _USUAL else ""
    found = kept_scores.stability(
        graph,
        values.sum(axis=1) if kept.by_position else values,
        kept.clusters,
        choose=_by(graph, rule, asked) if how else None,
        n=n,
        signed=asked.signed,
        samples=options.integer("draws"),
        seed=options.integer("seed"),
    )
    prompts = f"{found.rows:,} prompts"
    if found.clusters < found.rows:
        prompts += f" in {found.clusters:,} clusters"
    note = (
        f"{found.samples:,} circuits of {n:,} edge{'s' * (n != 1)}{how} from resamples of the "
        f"{prompts} that `{kept.method}` scored; with that of all prompts they share "
        f"{found.to_found:.3g}"
    )
    return Constant(value=found.jaccard, note=note)


def _by(graph: EdgeGraph, rule: str, asked: Asked) -> kept_scores.Choose:
    """What takes the circuit of a rule from the means of a resample."""
    return lambda means: select(rule, graph, means, asked).chosen
