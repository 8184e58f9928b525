"""Pages PD120 to PD126, PD206 and PD207: sets of nodes and of paths, as far as syntax shows it."""

from __future__ import annotations

from pathdsl.lang.rules.page import Page
from pathdsl.lang.rules.sample import sample

__all__ = ["ARROW_PAGES", "PATH_PAGES"]

_MOVERS = "group movers = { a3.h1, a3.h2 }"

PATH_PAGES: tuple[Page, ...] = (
    Page(
        code="PD120",
        name="algebra-of-bare-sets",
        summary="`&` or `-` stands between two bare sets of nodes.",
        why=(
            "It could mean two things: leave out all paths through a node, or leave the node out "
            "of the set. A path through A and b is gone in the first case and stays in the second."
        ),
        repair="Write `through(A) - through(B)` for paths or `{A, except b}` for nodes.",
        failing=sample(_MOVERS, "let kept = mean(LD(keep(movers - a3.h2)))"),
        passing=sample(_MOVERS, "let kept = mean(LD(keep(through(movers) - through(a3.h2))))"),
    ),
    Page(
        code="PD121",
        name="two-positions",
        summary="Something that stands at a position gets a second, different one.",
        why="A group's position belongs to each member, wherever the group is written.",
        repair="Leave one of the two out, or declare a second group.",
        failing=sample(
            "group copies @S2 = { a1.h0, a1.h0 }", "let k = mean(LD(keep(through(copies@END))))"
        ),
        passing=sample(
            "group copies = { a1.h0, a1.h0 }", "let k = mean(LD(keep(through(copies@END))))"
        ),
    ),
    Page(
        code="PD123",
        name="mark-outside-paths",
        summary="`r2` stands where a node is wanted.",
        why="The residual stream as it enters a layer is no component but a mark on the edge that "
        "crosses it, and every path crosses each once.",
        repair="Write `through(r2@S2)`, or put it between two arrows: `A -> r2@S2 -> B`.",
        failing=sample("let kept = mean(LD(keep(r2@S2)))"),
        passing=sample("let kept = mean(LD(keep(through(r2@S2))))"),
    ),
    Page(
        code="PD124",
        name="position-on-logits",
        summary="`logits` gets an `@`.",
        why="It is reached at the position that the metric reads.",
        repair="Put the position on the metric: `metric LD @S2 = logit(io) - logit(s)`.",
        failing=sample("let kept = mean(LD(keep(a3.h1 -> logits@END)))"),
        passing=sample("let kept = mean(LD(keep(a3.h1 -> logits)))"),
    ),
    Page(
        code="PD125",
        name="nested-repeat",
        summary="A repeated section holds another one, or no edge.",
        why="Nested repetition says the same in more than one way and hides how long a path is.",
        repair="Write the inner section once, or unroll one of the two.",
        failing=sample("let k = mean(LD(keep(a0.h1 (-> (a1.h0 (-> mlp)*))+ -> logits)))"),
        passing=sample("let k = mean(LD(keep(a0.h1 (-> a1.h0 -> mlp)+ -> logits)))"),
    ),
    Page(
        code="PD126",
        name="path-set-as-step",
        summary="A complete path set stands as a step inside a chain.",
        why="`through`, `within`, `edges`, `&`, `-` and the like run from input to logits already.",
        repair="Combine it outside the chain: `(A -> B) & through(C)`.",
        failing=sample("let k = mean(LD(keep(a0.h1 -> through(a3.h1))))"),
        passing=sample("let k = mean(LD(keep((a0.h1 ~> logits) & through(a3.h1))))"),
    ),
)

ARROW_PAGES: tuple[Page, ...] = (
    Page(
        code="PD206",
        name="slot-on-mlp",
        summary="An arrow names inputs of a head and leads to something that is no head.",
        why="Only heads have a query, keys and values; an MLP and `logits` have a single input.",
        repair="Write `->`, or lead the arrow to a head.",
        failing=sample("let k = mean(LD(keep(a0.h1 -[v]-> m3)))"),
        passing=sample("let k = mean(LD(keep(a0.h1 -> m3)))"),
    ),
    Page(
        code="PD207",
        name="relation-on-query",
        summary="A relation such as `prev` binds `q`.",
        why="A query stands where it reads, so there is no distance to speak of.",
        repair="Bind keys or values: `-[k: prev]->`; name the query without a relation.",
        failing=sample("let k = mean(LD(keep(a0.h1 -[q: prev]-> a1.h0)))"),
        passing=sample("let k = mean(LD(keep(a0.h1 -[k: prev]-> a1.h0)))"),
    ),
)
