"""Pages of codes about what has no meaning on the structure of a model."""

from __future__ import annotations

from pathdsl.lang.rules.page import Example, Page
from pathdsl.lang.rules.sample import HEAD, whole

__all__ = ["STRUCTURE_PAGES"]

_BERT = (
    '{"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 4, '
    '"intermediate_size": 32, "vocab_size": 100, "max_position_embeddings": 64}'
)


def _in_bert(*lines: str) -> Example:
    """A file on a small BERT."""
    text = HEAD.replace('bundled("ioi-mini")', 'folder("bert")')
    return whole(text, *lines, files={"bert/config.json": _BERT})


STRUCTURE_PAGES: tuple[Page, ...] = (
    Page(
        code="PD262",
        name="no-sum-of-writes",
        summary="A measure or norm mode needs logits, or a stream, that are sums of writes.",
        why="`dla` is what a write adds to a logit. In BERT, RoBERTa and OPT-350m norms stand "
        "behind each sum of the stream, one inside the other, and a masked language model has "
        "layers of its own before the unembedding: no logit is a sum of writes there. "
        "`copy_score` goes the same way, and stops at a gate behind values (Qwen 3.5). Where "
        "norms are of the stream itself, each reader norms the sums that it is sent, and no "
        "scale of the reference run is one of theirs.",
        repair="Measure what treating the node does: `effect(through(NODE), metric: M)`. Leave "
        "`layernorm = frozen` out.",
        failing=_in_bert("metric direct = dla(a3.h1, io)", "let told = mean(direct(reference))"),
        passing=_in_bert("let told = effect(through(a3.h1), metric: LD)"),
    ),
    Page(
        code="PD263",
        name="token-in-sight",
        summary="A token is asked for that the heads of the model see.",
        why="Heads of an encoder read positions behind their own, too. `next` is the token that "
        "follows, and with `answers = whole` an answer stands behind the prompt: both would be "
        "read, not predicted. What such a model predicts is the token at a mask.",
        repair="Write mask tokens into the prompt and read the metric there: `metric M @MASK = "
        "logit(answer)`.",
        failing=_in_bert("metric N @[2] = logit(next)", "let told = mean(N(reference))"),
        passing=_in_bert("metric N @[2] = logit(io)", "let told = mean(N(reference))"),
    ),
)
