"""Scores as records: all that the checker knows of each.

A record is a signature and what the rest asks about a score: what it is of, what it gives, its
unit, whether random controls can be drawn for it. What a score is computed from stands beside its
formula, in the table of `pathdsl.score.scores.lower`. A new score is a record here, a function
there, a name in `grammars/circuit.lark` and a section of docs/scores.md.

Source: docs/scores.md.
"""

from __future__ import annotations

from typing import Literal

from pathdsl.lang import ast
from pathdsl.lang.signatures.attribution import ATTRIBUTIONS, HEAD_SLOTS, RULES
from pathdsl.lang.signatures.dissimilarities import DISSIMILARITIES, Dissimilarity
from pathdsl.lang.signatures.forms import (
    AREAS,
    ATTRIBUTED,
    COMPLETE,
    EFFECT,
    FAITHFUL,
    MEASURED,
    MINIMAL,
    OVERLAP,
    Fixed,
    Form,
    chance,
    counted,
    not_below_0,
    share,
    share_of,
)  # fmt: skip
from pathdsl.lang.signatures.kinds import (
    REQUIRED,
    SEED,
    Kind,
    Parameter,
    Signature,
    first,
    table,
    word,
)
from pathdsl.lang.signatures.pvalues import DRAWN, P_VALUES
from pathdsl.lang.signatures.relations import Asks
from pathdsl.lang.signatures.selections import SELECTIONS
from pathdsl.limits import BOOTSTRAP, STEPS
from pathdsl.record import record

__all__ = [
    "DISSIMILARITIES", "MEASURED", "OVER", "RENAMED", "SCORES", "Dissimilarity", "Fixed", "Form",
    "Order", "ScoreRecord", "is_p_value",
]  # fmt: skip


@record
class Order:
    """For claims that it is below a threshold, or above: what alone makes them say less, or more.

    `wider` and `narrower` path sets, `fewer` and `more` knockouts.
    """

    asks: Asks
    less: Literal["wider", "narrower", "fewer", "more"]
    more: Literal["wider", "narrower", "fewer", "more"]


@record
class ScoreRecord(Signature):
    """What is known of a score.

    `of`: what it takes, path sets, a run, a single node or edge (a `unit`), a file that ranks
    edges, a file of scores `kept` prompt by prompt, or a score. `gives`: an `estimate` over the
    prompts, a `share` of them that has an exact interval, a `count` on the graph or of a file that
    no prompt changes, or a `p-value`. `forms`: the default first. `controls`: which
    random path sets `chance` may compare it with: none, those with other `units`, `walks` as
    well, or a walk that extends P by an `edge`. `searches`: how often a greedy choice of knockouts
    is run. `keeps`: whether a set is kept as a circuit is, and all else treated. `order`: what
    `breaking` knows of claims about it beyond that a wider path set says less; None for no more.
    `reserved`: whether nothing else may have its name; a score that came after version 0.1 leaves
    the name free, and is known by the runs or the option that it is called with.
    """

    parameters: tuple[Parameter, ...]
    of: Literal["paths", "run", "unit", "file", "kept", "score"]
    gives: Literal["estimate", "share", "count", "p-value"]
    forms: tuple[Form, ...]
    controls: Literal["none", "units", "walks", "edge"]
    searches: Literal["never", "once", "for each unit"]
    keeps: bool
    order: Order | None
    reserved: bool

    def form(self, word: str | None) -> Form:
        """The form of that name; the default without a name, or with one that is a fault."""
        return next((form for form in self.forms if form.name == word), self.forms[0])

    @property
    def of_file(self) -> bool:
        """Whether it is of a file as a whole, and of no path set."""
        return self.of in ("file", "kept")

    @property
    def needs_task(self) -> bool:
        """Whether it is measured on the runs of a task; what a score inside needs is its own."""
        return self.gives != "count" and self.of != "score"

    @property
    def eased_by_width(self) -> bool:
        """Whether the set of all paths passes whatever the model does: it keeps what it is of."""
        return self.of == "paths" and self.order is not None

    @property
    def counts(self) -> bool:
        """Whether it is a number of things on the graph, of which a percentage means nothing.

        A score that version 0.1 had is compared with any number, as it was.
        """
        return self.gives == "count" and self.forms[0].range is not_below_0 and not self.reserved

    @property
    def treats(self) -> bool:
        """Whether it treats path sets itself, with the treated value of its task."""
        return self.needs_task and self.of in ("paths", "unit", "file")


_TASK = Parameter(name="task", kind=Kind.TASK, means="the task whose prompts are meant")
_METRIC = Parameter(name="metric", kind=Kind.METRIC, means="the metric that is read")
_COMMON = (
    _METRIC,
    _TASK,
    Parameter(name="scope", kind=Kind.PATHS, means="paths outside of it keep the reference"),
)
_TREATED = Parameter(
    name="treated", kind=Kind.TREATED, means="what treated paths carry, in the place of the task's"
)
_TREATING = (*_COMMON, _TREATED)
"""The options of scores that treat path sets themselves."""
_ANSWER = Parameter(
    name="answer", kind=Kind.COLUMN, default=REQUIRED, means="the column of the right answer"
)
_P = first("P", Kind.PATHS)
OVER = Parameter(
    name="over",
    kind=Kind.UNITS,
    means="the units that are meant, in the place of those that the path set names",
)
RENAMED = Parameter(
    name="over",
    kind=Kind.NODES,
    means="the nodes that stand in for others, in the place of those that the path set names",
)
"""Which units a random set has others for."""
_SPLIT = Parameter(
    name="split",
    kind=Kind.BOOL,
    default=True,
    means="whether prompts that choose and prompts that judge are apart",
)


def _as(forms: tuple[Form, ...]) -> Parameter:
    """The option that chooses a form."""
    return word(
        "as", tuple(form.name for form in forms), forms[0].name, means="the form of the score"
    )


SCORES = table(
    ScoreRecord(
        name="faithfulness",
        parameters=(
            _P,
            *_TREATING,
            _as(FAITHFUL),
            word(
                "by",
                tuple(DISSIMILARITIES),
                "absolute",
                means="how two runs are compared, in forms that do so prompt by prompt",
            ),
            word(
                "among",
                ("wrong", "right"),
                means="only the prompts on which the model is right, or wrong",
            ),
            Parameter(
                name="answer",
                kind=Kind.COLUMN,
                means="the column of the right answer, which `among` needs",
            ),
        ),
        example="faithfulness(P, as: recovered)",
        of="paths",
        gives="estimate",
        forms=FAITHFUL,
        controls="walks",
        searches="never",
        keeps=True,
        order=Order(asks="above", less="wider", more="narrower"),
        reserved=True,
    ),
    ScoreRecord(
        name="completeness",
        parameters=(
            _P,
            *_TREATING,
            Parameter(
                name="knockouts",
                kind=Kind.KNOCKOUTS,
                default=REQUIRED,
                choices=("random", "groups", "greedy"),
                means="which units are knocked out together",
            ),
            _as(COMPLETE),
            OVER,
            _SPLIT,
        ),
        example="completeness(P, knockouts: random(100, seed: 0))",
        of="paths",
        gives="estimate",
        forms=COMPLETE,
        controls="units",
        searches="once",
        keeps=True,
        # The worst of fewer knockouts is no worse.
        order=Order(asks="below", less="fewer", more="more"),
        reserved=True,
    ),
    ScoreRecord(
        name="minimality",
        parameters=(
            _P,
            *_TREATING,
            word("per", ("node", "edge", "group"), "node", means="what a unit is"),
            Parameter(
                name="knockouts",
                kind=Kind.KNOCKOUTS,
                choices=("groups", "greedy"),
                means="what else is knocked out beside each unit",
            ),
            Parameter(
                name="given", kind=Kind.GIVEN, means="for each unit, what is knocked out beside it"
            ),
            _as(MINIMAL),
            OVER,
            _SPLIT,
        ),
        example="minimality(P, per: node)",
        of="paths",
        gives="estimate",
        forms=MINIMAL,
        controls="edge",
        searches="for each unit",
        keeps=True,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="effect",
        parameters=(_P, *_TREATING, _as(EFFECT)),
        example="effect(P)",
        of="paths",
        gives="estimate",
        forms=EFFECT,
        controls="walks",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="attribution",
        parameters=(
            first("UNIT", Kind.UNIT),
            _METRIC,
            _TASK,
            _TREATED,
            word("by", tuple(ATTRIBUTIONS), REQUIRED, means="the method"),
            word("slot", HEAD_SLOTS, means="one input of the head alone"),
            Parameter(
                name="steps",
                kind=Kind.INTEGER,
                least=1,
                most=STEPS.most,
                means="how many points the integral has",
            ),
            word("rule", RULES, means="at which end of each step the integral is summed"),
            _as(ATTRIBUTED),
        ),
        example="attribution(a9.h9, by: atp_star)",
        of="unit",
        gives="estimate",
        forms=ATTRIBUTED,
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="accuracy",
        parameters=(first("RUN", Kind.RUN), *_COMMON, _ANSWER),
        example="accuracy(reference, answer: io)",
        of="run",
        gives="share",
        forms=(counted("", share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="broken",
        parameters=(first("RUN", Kind.RUN), first("BY", Kind.RUN), *_COMMON, _ANSWER),
        example="broken(reference, treat(P), answer: io)",
        of="run",
        gives="share",
        forms=(counted("", share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="overlap",
        parameters=(
            _P,
            first("Q", Kind.PATHS),
            Parameter(
                name="over",
                kind=Kind.OVER,
                default="node",
                choices=("node", "head", "edge"),
                means="what is counted",
            ),
            _as(OVERLAP),
            _TASK,
        ),
        example="overlap(P, Q, over: node, as: united)",
        of="paths",
        gives="count",
        forms=OVERLAP,
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    *(
        ScoreRecord(
            name=name,
            parameters=(
                _P,
                *_TREATING,
                word(
                    "rank",
                    ("signed", "absolute"),
                    REQUIRED,
                    means="whether the sign of a score counts in its order",
                ),
            ),
            example=f'{name}(edges("scores.json"), rank: {rank})',
            of="file",
            gives="estimate",
            forms=(share("", better, "difference", spans, MEASURED),),
            controls="none",
            searches="never",
            keeps=False,
            order=None,
            reserved=True,
        )
        for name, rank, better, spans in AREAS
    ),
    ScoreRecord(
        name="paths",
        parameters=(_P, _TASK),
        example="paths(P)",
        of="paths",
        gives="count",
        forms=(counted("", not_below_0),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
    ScoreRecord(
        name="size",
        parameters=(_P, word("in", ("node", "edge"), REQUIRED, means="what is counted"), _TASK),
        example="size(P, in: edge)",
        of="paths",
        gives="count",
        forms=(counted("", not_below_0),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="stability",
        parameters=(
            _P,
            Parameter(
                name="size",
                kind=Kind.COUNT,
                default=REQUIRED,
                least=1,
                means="how large the circuits are, a number of edges or a share of them",
            ),
            word(
                "rank",
                ("absolute", "signed"),
                "absolute",
                means="whether the sign of a score counts in its order",
            ),
            word(
                "select",
                tuple(SELECTIONS),
                "top",
                means="by which rule a circuit is chosen from scores",
            ),
            Parameter(
                name="draws",
                kind=Kind.INTEGER,
                default=1000,
                least=2,
                most=BOOTSTRAP.most,
                means="how many pairs of resamples are compared",
            ),
            SEED,
            _TASK,
        ),
        example='stability(edges("found.scores.json"), size: 5%)',
        of="kept",
        gives="count",
        forms=(counted("", share_of),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=False,
    ),
    ScoreRecord(
        name="chance",
        parameters=(first("SCORE", Kind.EXPRESSION), *_TREATING, *DRAWN, SEED, RENAMED),
        example="chance(faithfulness(P), among: 100, seed: 0)",
        of="score",
        gives="p-value",
        forms=(counted("", chance),),
        controls="none",
        searches="never",
        keeps=False,
        order=None,
        reserved=True,
    ),
)


def is_p_value(side: ast.Node) -> bool:
    """True where one side of a claim is itself a p-value: a test or `chance(…)`."""
    match side:
        case ast.Bracket(inner=inner):
            return is_p_value(inner)
        case ast.Score(name=name):
            return SCORES[name].gives == "p-value"
        case ast.Call(name=name):
            return name in P_VALUES
        case _:
            return False
