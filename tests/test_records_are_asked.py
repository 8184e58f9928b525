"""What is known of a named thing stands in its record: nobody else compares the name with a text.

A comparison or a `case` with a name, outside of the code that is the thing itself, is a fact that
its record should have as a field and that the next record would lack in silence.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from pathdsl.engine.adapters import FAMILIES
from pathdsl.graph.model import components
from pathdsl.lang.signatures.calls import (
    ANSWERS,
    AVERAGES,
    DATA_FILES,
    DTYPES,
    LOADERS,
    PATH_SETS,
    TOKENS,
)
from pathdsl.lang.signatures.knockouts import KNOCKOUTS
from pathdsl.lang.signatures.measures import MEASURES, TOP_TOKEN
from pathdsl.lang.signatures.methods import METHODS
from pathdsl.lang.signatures.norms import NORM_MODES
from pathdsl.lang.signatures.pvalues import P_VALUES
from pathdsl.lang.signatures.relations import RELATIONS
from pathdsl.lang.signatures.scores import DISSIMILARITIES, SCORES
from pathdsl.lang.signatures.statistics import STATISTICS
from pathdsl.lang.signatures.treated import TREATED_KINDS
from pathdsl.report.formats import FORMATS
from pathdsl.score.results import Verdict
from tests.test_imports import modules

KINDS = {
    "form of a score": {form.name for score in SCORES.values() for form in score.forms} - {""},
    "score": SCORES,
    "distance": DISSIMILARITIES,
    "measure": [*MEASURES, TOP_TOKEN.name],
    "treated value": TREATED_KINDS,
    "method": METHODS,
    "choice of knockouts": KNOCKOUTS,
    "test": P_VALUES,
    "function": STATISTICS,
    "path set": PATH_SETS,
    "relation": RELATIONS,
    "loader": LOADERS,
    "file of rows": DATA_FILES,
    "norm mode": NORM_MODES,
    "order of averaging": AVERAGES,
    "reading of answers": [*TOKENS, *ANSWERS],
    "dtype": DTYPES,
    "node": [k.name for k in vars(components).values() if isinstance(k, components.NodeKind)],
    "family of models": FAMILIES,
    "format": [one.name for one in FORMATS],
    "verdict": [one.value for one in Verdict],
}
NAMES = {name: kind for kind, names in KINDS.items() for name in names}
FIELDS = (
    "better",
    "controls",
    "drawn",
    "gives",
    "of",
    "over",
    "reads",
    "searches",
    "unit",
    "values",
)
"""Fields of records whose values may be words that are names elsewhere."""

# Whose subject the names are, or who writes the same word of something else.
ALLOWED: Mapping[str, tuple[str, str]] = {
    "pathdsl.score.statistics": (
        "function",
        "how each moves under resampling and rounding",
    ),
    "pathdsl.score.evidence": ("function", "what is said of a standard deviation of few rows"),
    "pathdsl.score.prompts": ("function", "the prompt that decides a largest or smallest"),
    "pathdsl.score.scores.lower": ("form of a score function", "the forms of an effect"),
    "pathdsl.report.formulas": ("function", "bars around an absolute value"),
    "pathdsl.lang.vary.task_axes": (
        "order of averaging function",
        "one order rewritten as the other",
    ),
    "pathdsl.lang.method.metrics": ("function", "what is said of a mean of quotients"),
    "pathdsl.lang.serving": ("order of averaging", "the one place that reads the field"),
    "pathdsl.engine.data.task": ("reading of answers", "the one place that reads the field"),
    "pathdsl.engine.load.weights": ("dtype", "what is said of weights too large for float16"),
    "pathdsl.engine.store.folder": ("dtype", "what numpy calls the values of a stored file"),
    "pathdsl.graph.files.eap": ("node path set", "the words of another program's files"),
    "pathdsl.graph.formats.drawn": ("relation", "the sign of a label of HTML"),
    "pathdsl.graph.formats": ("node path set measure", "the words of other programs' files"),
    "pathdsl.discover.imported": ("path set", "what the scores of a file rank"),
    "pathdsl.graph.resolve": ("node", "what the words of the language stand for"),
    "pathdsl.lang.check": ("node treated value", "where a word of the language may stand"),
    "pathdsl.lang.vary.path_axes": ("path set", "the words of its axis"),
    "pathdsl.score.metrics": ("node", "`reads` of a record, matched together with arguments"),
    "pathdsl.lang.vary.drawing": ("node", "the ends of every path that is drawn"),
    "pathdsl.lang.format": ("path set", "rules of the grammar"),
    "pathdsl.lang.render": ("format", "the two styles of a diagnostic"),
    "pathdsl.lang.syntax.faults": ("relation", "what is written for a sign of other languages"),
    "pathdsl.lang.syntax.build_statements": ("verdict", "what may be expected"),
    "pathdsl.lang.subjects": ("verdict", "a claim that expects to be refuted"),
    "pathdsl.lang.method.controls": ("verdict", "a claim that expects to be refuted"),
    "pathdsl.lang.method.quantities": ("function", "a mean of a difference is one of means"),
    "pathdsl.lang.method.ranges": ("verdict", "a control that cannot hold is none"),
    "pathdsl.checking.breaking.claims": ("verdict", "a claim that expects to be refuted"),
    "pathdsl.report": ("verdict node path set", "words of the JSON object that is shown"),
    "pathdsl.plan.masks": ("relation", "the direction in which positions are shifted"),
    "pathdsl.checking.doctor": ("measure", "modules whose class is called a norm"),
    "pathdsl.strictjson": ("format", "a token of JSON"),
}


def compared(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every text that something is compared with, but for fields of records."""
    for node in ast.walk(tree):
        if isinstance(node, ast.MatchValue):
            yield from ((node.value, text) for text in texts(node.value))
        elif isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if not any(isinstance(side, ast.Attribute) and side.attr in FIELDS for side in sides):
                yield from ((node, text) for side in sides for text in texts(side))


def texts(node: ast.AST) -> Iterator[str]:
    for one in node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def test_names_are_compared_by_their_own_code_alone() -> None:
    wrong, used = [], set()
    for module, (_, tree) in modules().items():
        homes = {home for home in ALLOWED if f"{module}.".startswith(f"{home}.")}
        for node, text in compared(tree):
            kind = NAMES.get(text, "")
            right = {home for home in homes if kind in ALLOWED[home][0]}
            used |= right if kind else set()
            if kind and not right:
                wrong.append(f"{module}, line {node.lineno}: `{text}`, a {kind}")
    assert wrong == [], "make it a field of the record"
    assert sorted(set(ALLOWED) - used) == [], "allowed and not needed"


def test_a_comparison_is_seen() -> None:
    source = """
if name == "holm" or kind in ("zero", "mean"): ...
match call:
    case Call(name="kl"): ...
if record.gives == "share": ...
"""
    assert [text for _, text in compared(ast.parse(source))] == ["holm", "zero", "mean", "kl"]
