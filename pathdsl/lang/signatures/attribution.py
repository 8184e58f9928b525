"""Methods that estimate what patching a node, a mark or an edge would do, as records.

A record says what the checker knows of a method without running it. What computes it stands in
`pathdsl.engine.attribution`.
"""

from __future__ import annotations

from pathdsl.record import record

__all__ = ["ATTRIBUTIONS", "HEAD_SLOTS", "RULES", "TO_REFERENCE", "AttributionRecord"]


@record
class AttributionRecord:
    """One method.

    `nodes`, `marks`, `edges`: what it scores. `steps`: how many points its integral has unless
    said, 0 for a method without one. `rules`: the names of its rules of integration, the first is
    the default.
    `at_reference`: whether its slopes are those of the reference run alone, where a divergence from
    that run has none. `treated_runs`: whether it takes slopes of runs on treated inputs, which a
    mean and zero do not have. `least_layers`: how many layers a model must have.
    `linear`: whether the score of a sum of metrics is the sum of their scores. `signed`: whether
    scores have a sign; else they are sizes. `exact`: whether it patches, and estimates nothing.
    `softmax`: whether it takes a treated key or query through the softmax by a formula of its own.
    `effect`: whether a score is what treating the unit does to the metric; else it describes the
    reference run alone, and is a share. `readers`: whether the position of who reads a key or value
    counts, beside that of the token that is read. `through`: whether it has a rule of its own for
    activations, in the place of their derivative. `source`: where it is defined.
    """

    name: str
    nodes: bool
    marks: bool
    edges: bool
    steps: int
    rules: tuple[str, ...]
    at_reference: bool
    treated_runs: bool
    least_layers: int
    linear: bool
    signed: bool
    exact: bool
    softmax: bool
    effect: bool
    readers: bool
    through: bool
    source: str

    @property
    def kind(self) -> str:
        """What its scores are, in words."""
        if not self.effect:
            return "shares of what a reader reads"
        return "scores with a sign" if self.signed else "sizes, without a sign"


_KRAMAR = "Kramár et al. 2024 (arXiv:2403.00745)"
_HANNA = "Hanna et al. 2024 (arXiv:2403.17806)"

ATTRIBUTIONS = {
    record.name: record
    for record in (
        AttributionRecord(
            name="exact", nodes=True, marks=True, edges=True,
            steps=0, rules=(),
            at_reference=False, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=True, softmax=False, effect=True, readers=True, through=False,
            source="each patched alone",
        ),
        AttributionRecord(
            name="atp", nodes=True, marks=True, edges=False,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=False,
            source=f"{_KRAMAR}, section 2",
        ),
        AttributionRecord(
            name="atp_qk", nodes=True, marks=False, edges=False,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=True, effect=True,
            readers=False, through=False,
            source=f"{_KRAMAR}, section 3.1.1",
        ),
        AttributionRecord(
            name="atp_star", nodes=True, marks=False, edges=False,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=2, linear=False, signed=False,
            exact=False, softmax=True, effect=True,
            readers=False, through=False,
            source=f"{_KRAMAR}, section 3.1.2",
        ),
        AttributionRecord(
            name="eap", nodes=False, marks=False, edges=True,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True,
            readers=False, through=False,
            source="Syed et al. 2023 (arXiv:2310.10348)",
        ),
        AttributionRecord(
            name="eap_ig", nodes=False, marks=False, edges=True,
            steps=5, rules=("right", "left"),
            at_reference=False, treated_runs=True, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=False,
            source=_HANNA,
        ),
        AttributionRecord(
            name="eap_ig_activations", nodes=False, marks=False, edges=True,
            steps=5, rules=("right", "left"),
            at_reference=False, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=False,
            source=_HANNA,
        ),
        AttributionRecord(
            name="clean_corrupted", nodes=False, marks=False, edges=True,
            steps=0, rules=(),
            at_reference=False, treated_runs=True, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=False,
            source=_HANNA,
        ),
        AttributionRecord(
            name="relp", nodes=True, marks=True, edges=True,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=True,
            source="Rezaei Jafari et al. 2025 (arXiv:2508.21258)",
        ),
        AttributionRecord(
            name="gim", nodes=True, marks=True, edges=True,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True,
            readers=False, through=False,
            source="Edin et al. 2025 (arXiv:2505.17630)",
        ),
        AttributionRecord(
            name="eap_gp", nodes=False, marks=False, edges=True,
            steps=5, rules=("left", "right"),
            at_reference=False, treated_runs=True, least_layers=1, linear=True, signed=True,
            exact=False, softmax=False, effect=True, readers=False, through=False,
            source="Zhang et al. 2025 (arXiv:2502.06852)",
        ),
        AttributionRecord(
            name="peap", nodes=False, marks=False, edges=True,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=True,
            exact=False, softmax=True, effect=True, readers=True, through=False,
            source="Haklay et al. 2025 (arXiv:2502.04577)",
        ),
        AttributionRecord(
            name="ifr", nodes=False, marks=False, edges=True,
            steps=0, rules=(),
            at_reference=True, treated_runs=False, least_layers=1, linear=True, signed=False,
            exact=False, softmax=False, effect=False, readers=False, through=False,
            source="Ferrando and Voita 2024 (arXiv:2403.00824)",
        ),
    )
}  # fmt: skip
RULES = tuple(dict.fromkeys(rule for record in ATTRIBUTIONS.values() for rule in record.rules))
"""The rules of all integrals."""

TO_REFERENCE = "right"
"""The rule one of whose points is the reference run: of one step, it is the only one."""

HEAD_SLOTS = ("q", "k", "v")
"""The inputs of a head that have scores of their own."""
