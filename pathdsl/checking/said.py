"""What a check said of each claim and quantity, as plain values; and what the last one of a file
said, which the result store keeps for those who look at the file.

Nothing is judged from it: a check makes its verdicts anew.

    keep_said(outcome, store)
    last_said("ioi.circuit", store)    # Said(tree="9f…", claims={"enough": {"verdict": …}}, …)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from pathdsl.lang.canonical import tree_hash
from pathdsl.record import record
from pathdsl.score.results import Verdict

if TYPE_CHECKING:
    from pathdsl.checking.outcome import FileOutcome
    from pathdsl.engine.store.store import Store
    from pathdsl.score.results import ClaimResult, Judgement, QuantityResult

__all__ = ["One", "Said", "claims_said", "keep_said", "last_said", "quantities_said"]

MOST_BYTES = 1_000_000
"""Of what is kept of one file; of a sweep over all edges nothing is."""

One = dict[str, Any]
"""What is said of one claim or quantity."""


@record
class Said:
    """What a check said, by name, and the hash of the syntax tree of the file that it was given."""

    tree: str
    claims: Mapping[str, One]
    quantities: Mapping[str, One]


def claims_said(judgement: Judgement) -> dict[str, One]:
    """Estimate, interval, n, verdict and expectation of each claim."""
    return {claim.name: _claim(claim) for claim in judgement.claims}


def quantities_said(judgement: Judgement) -> dict[str, One]:
    """Estimate, interval, n and unit of each quantity."""
    return {one.name: _quantity(one) for one in judgement.quantities}


def keep_said(outcome: FileOutcome, store: Store | None) -> None:
    """Keep what a check said of a whole file as it stands; nothing where options replace a part."""
    judgement = outcome.judgement
    program = outcome.program
    if store is None or not store.on or judgement is None or program is None or outcome.replaced:
        return
    said = {
        "tree": tree_hash(program.file),
        "claims": claims_said(judgement),
        "quantities": quantities_said(judgement),
    }
    text = json.dumps(said)
    if len(text) <= MOST_BYTES:
        store.replace_record(_key(outcome.path), text)


def last_said(path: str, store: Store) -> Said | None:
    """What was kept of the file at `path`; None where that is nothing."""
    text = store.record(_key(path)) if store.on else None
    try:
        found = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {*found} != {"tree", "claims", "quantities"}:
        return None
    if not all(map(_is_claim, found["claims"].values())):
        return None
    return Said(tree=found["tree"], claims=found["claims"], quantities=found["quantities"])


def _is_claim(one: Any) -> bool:
    """Whether a program of today would say so, whichever kept it."""
    return isinstance(one, dict) and one.get("verdict") in [verdict.value for verdict in Verdict]


def _key(path: str) -> str:
    from pathdsl.engine.store.digest import digest

    return digest("said", os.path.realpath(path))


def _claim(claim: ClaimResult) -> One:
    return {
        **_numbers(claim.estimate, claim.interval, claim.n),
        "verdict": claim.verdict.value,
        "expected": claim.expected.value,
    }


def _quantity(quantity: QuantityResult) -> One:
    return {
        **_numbers(quantity.estimate, quantity.interval, quantity.n),
        "unit": quantity.unit,
    }


def _numbers(estimate: float | None, interval: tuple[float, float] | None, n: int) -> One:
    low, high = interval if interval is not None else (None, None)
    return {"estimate": _number(estimate), "low": _number(low), "high": _number(high), "n": n}


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
