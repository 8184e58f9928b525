"""Methods that estimate by gradients what patching a node or an edge would do, as records.

A record says what the checker knows of a method without running it. What computes it stands in
`pathdsl.engine.attribution`.
"""

from __future__ import annotations

from pathdsl.record import record

__all__ = ["ATTRIBUTIONS", "HEAD_SLOTS", "RULES", "TO_REFERENCE", "AttributionRecord"]


@record
class AttributionRecord:
    """One method.

    `nodes`, `edges`: what it scores. `steps`: how many points its integral has unless said, 0 for a
    method without one. `rules`: the names of its rules of integration, the first is the default.
    `at_reference`: whether its slopes are those of the reference run alone, where a divergence from
    that run has none. `treated_runs`: whether it takes slopes of runs on treated inputs, which a
    mean and zero do not have. `least_layers`: how many layers a model must have.
    `linear`: whether the score of a sum of metrics is the sum of their scores. `signed`: whether
    scores have a sign; else they are sizes. `exact`: whether it patches, and estimates nothing.
    `source`: where it is defined.
    """

    name: str
    nodes: bool
    edges: bool
    steps: int
    rules: tuple[str, ...]
    at_reference: bool
    treated_runs: bool
    least_layers: int
    linear: bool
    signed: bool
    exact: bool
    source: str


_KRAMAR = "Kramár et al. 2024 (arXiv:2403.00745)"
_HANNA = "Hanna et al. 2024 (arXiv:2403.17806)"

ATTRIBUTIONS = {
    record.name: record
    for record in (
        AttributionRecord(
            name="exact", nodes=True, edges=True, steps=0, rules=(),
            at_reference=False, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=True, source="each patched alone",
        ),
        AttributionRecord(
            name="atp", nodes=True, edges=False, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source=f"{_KRAMAR}, section 2",
        ),
        AttributionRecord(
            name="atp_qk", nodes=True, edges=False, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source=f"{_KRAMAR}, section 3.1.1",
        ),
        AttributionRecord(
            name="atp_star", nodes=True, edges=False, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=2, linear=False, signed=False,
            exact=False, source=f"{_KRAMAR}, section 3.1.2",
        ),
        AttributionRecord(
            name="eap", nodes=False, edges=True, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source="Syed et al. 2023 (arXiv:2310.10348)",
        ),
        AttributionRecord(
            name="eap_ig", nodes=False, edges=True, steps=5, rules=("right", "left"),
            at_reference=False, treated_runs=True, least_layers=1, linear=True, signed=True,
            exact=False, source=_HANNA,
        ),
        AttributionRecord(
            name="eap_ig_activations", nodes=False, edges=True, steps=5, rules=("right", "left"),
            at_reference=False, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source=_HANNA,
        ),
        AttributionRecord(
            name="clean_corrupted", nodes=False, edges=True, steps=0, rules=(),
            at_reference=False, treated_runs=True, least_layers=1, linear=True, signed=True,
            exact=False, source=_HANNA,
        ),
        AttributionRecord(
            name="relp", nodes=True, edges=True, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source="Rezaei Jafari et al. 2025 (arXiv:2508.21258)",
        ),
        AttributionRecord(
            name="gim", nodes=True, edges=True, steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, source="Edin et al. 2025 (arXiv:2505.17630)",
        ),
    )
}  # fmt: skip
RULES = tuple(dict.fromkeys(rule for record in ATTRIBUTIONS.values() for rule in record.rules))
"""The rules of all integrals."""

TO_REFERENCE = "right"
"""The rule whose last point is the reference run: of one step, it is the only one."""

HEAD_SLOTS = ("q", "k", "v")
"""The inputs of a head that have scores of their own."""
