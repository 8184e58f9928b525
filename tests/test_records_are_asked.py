"""What is known of a named thing stands in its record: nobody else compares the name with a text.

A comparison, a `case` or a set of names outside of the place that implements the thing is a fact
about it that its record should have as a field, and that a new record would lack.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pathdsl.engine.adapters import FAMILIES
from pathdsl.graph.model import components
from pathdsl.graph.model.shape import SHAPES
from pathdsl.lang.signatures.calls import AVERAGES, DATA_FILES, DTYPES, LOADERS, TOKENS
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
from tests.test_imports import modules

NODE_KINDS = [k.name for k in vars(components).values() if isinstance(k, components.NodeKind)]
FORMS = {form.name for score in SCORES.values() for form in score.forms} - {""}
NAMES = {
    name: kind
    for kind, names in {
        "form of a score": FORMS,
        "score": SCORES,
        "distance": DISSIMILARITIES,
        "measure": [*MEASURES, TOP_TOKEN.name],
        "treated value": TREATED_KINDS,
        "method": METHODS,
        "choice of knockouts": KNOCKOUTS,
        "test": P_VALUES,
        "function": STATISTICS,
        "relation": RELATIONS,
        "loader": LOADERS,
        "file of rows": DATA_FILES,
        "norm mode": NORM_MODES,
        "order of averaging": AVERAGES,
        "reading of answers": TOKENS,
        "dtype": DTYPES,
        "kind of node": NODE_KINDS,
        "family of models": [*FAMILIES, *SHAPES],
        "format": [one.name for one in FORMATS],
    }.items()
    for name in names
}


def texts(node: ast.AST) -> Iterator[str]:
    """The texts that something is compared with: one, or those of a tuple, list or set."""
    for one in node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                yield from ((node.lineno, text) for text in texts(side))
        elif isinstance(node, ast.MatchValue):
            yield from ((node.lineno, text) for text in texts(node.value))


def test_scan():
    for module, (path, tree) in modules().items():
        if module.startswith(("pathdsl.lang.signatures", "pathdsl.models.build")):
            continue
        L = path.read_text().split("\n")
        for line, text in compared(tree):
            if text in NAMES:
                print(f"{module}:{line}: {text} ({NAMES[text]})   {L[line - 1].strip()}")
