"""What is measured at the logits of a run: the atoms that metrics are built from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pathdsl.lang import ast
from pathdsl.lang.signatures.measures import MEASURES, TOP_TOKEN, MeasureRecord
from pathdsl.lang.signatures.ranges import ANY

__all__ = ["ANSWER", "BEFORE_ANSWER", "ESTIMATE", "Measure"]

ANSWER = "ANSWER"
"""The position of the tokens of an answer that stands behind the prompt."""

BEFORE_ANSWER = f"{ANSWER}-1"
"""Where the tokens of such an answer are predicted: the prompt's last token, and all but the last
of the answer."""

ESTIMATE = replace(TOP_TOKEN, name="attribution", reads="slopes", values="reals",
                   vocabulary=False, range=ANY)  # fmt: skip
"""The scores of an attribution, which no metric names either."""

_RECORDS = {**MEASURES, TOP_TOKEN.name: TOP_TOKEN, ESTIMATE.name: ESTIMATE}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Measure:
    """One number per prompt read off one run.

    `kind` names a record of `pathdsl.lang.signatures.measures`. `column`: the token column (`io`;
    `next` = the token that follows the position read), "" for divergences, `top_token` and
    `attention`. `position`: resolved name with offset as written, `END`, or `[3]`; at a set of
    positions the measure is the mean over it. `kl` is KL(reference ‖ this run) and `reverse_kl`
    KL(this run ‖ reference), in nats. `top_token` is the id of the best token (for agreement).
    `attention`: `head` is (layer, head), of the copy that goes straight to `logits`; summed over
    `key` positions, averaged over `query` positions.

    Of measures of what nodes write, `nodes` are these nodes in one spelling without names, and
    `ref` the same as syntax; `run` is the plain run that `cosine` compares with. `copy_score` reads
    `head` on the tokens at the positions `of`, with ranks up to `top`, and with the sign of what
    the head writes turned where it is `negated`.

    An `attribution` is no number per prompt but one for each unit and prompt, of the run whose
    treated value it compares with; `asked` is which (`pathdsl.score.attribution`), `text` the same
    in one spelling.
    """

    kind: str
    column: str = ""
    position: str = "END"
    head: tuple[int, int] | None = None
    query: str = ""
    key: str = ""
    nodes: str = ""
    ref: ast.NodeRef | None = field(default=None, compare=False, repr=False)
    run: str = ""
    of: tuple[str, ...] = ()
    top: int = 0
    negated: bool = False
    text: str = field(default="", metadata={"later": True})
    asked: Any = field(default=None, compare=False, repr=False)

    @property
    def record(self) -> MeasureRecord:
        """What is known of this kind of measure."""
        return _RECORDS[self.kind]

    @property
    def of_head(self) -> bool:
        """Whether an attention pattern is read, and not the logits at `position`."""
        return self.record.reads == "head"

    @property
    def at_logits(self) -> bool:
        """Whether the logits at `position`, or the norm before them, are read."""
        return self.record.reads in ("answer", "reference", "nothing") or self.record.scaled

    @property
    def may_lack(self) -> bool:
        """Whether it has no value in some runs: a constant has no attention pattern, a write of 0
        has no direction, and a run of several inputs no prompt to copy from."""
        return self.record.reads in ("head", "copy") or bool(self.run)

    @property
    def at_position(self) -> bool:
        """Whether it is read where the metric reads, and not where its arguments say."""
        return self.record.reads not in ("head", "copy")

    @property
    def places(self) -> tuple[str, ...]:
        """The positions that it reads, by name."""
        if self.record.reads == "head":
            return (self.query, self.key)
        return self.of if self.record.reads == "copy" else (self.position,)
