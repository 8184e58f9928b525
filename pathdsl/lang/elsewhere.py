"""Words of other tools and papers, and how what they stand for is written here.

>>> elsewhere("embed")
'`input`: the embedding, where paths begin'
>>> elsewhere("a_name_of_ones_own")
''
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ELSEWHERE", "elsewhere"]

ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "patch": ("a run whose paths carry the treated value", "`treat(through(a9.h9))`"),
    "path_patch": ("a run whose paths carry the treated value", "`treat(a7.h3 -[q]-> a9.h9)`"),
    "activation_patch": ("a run with one node treated", "`treat(through(a9.h9))`"),
    "ablate": ("a run with a node at 0 or at its mean", "`treat(through(a9.h9), treated: zero)`"),
    "zero_ablate": ("a run with a node at 0", "`treat(through(a9.h9), treated: zero)`"),
    "mean_ablate": (
        "a run with a node at its mean",
        "`treat(through(a9.h9), treated: mean(prompt))`",
    ),
    "resample_ablate": (
        "a run with a node's value of another row",
        "`treat(through(a9.h9), treated: resample(prompt))`",
    ),
    "mean_ablation": ("a treated value", "`mean(prompt)`"),
    "zero_ablation": ("a treated value", "`zero`"),
    "resample_ablation": ("a treated value", "`resample(prompt)`"),
    "knockout": ("a run without a node", "`treat(through(a9.h9), treated: mean(prompt))`"),
    "knock_out": ("a run without a node", "`treat(through(a9.h9), treated: mean(prompt))`"),
    "clean": ("the plain run", "`reference`"),
    "original": ("the plain run", "`reference`"),
    "baseline": ("the plain run", "`reference`"),
    "prompt": ("the plain run, on the reference prompts", "`reference`"),
    "ablated": ("the run in which every path is treated", "`treated`"),
    "corrupted": ("the run in which every path is treated", "`treated`"),
    "corrupt": ("the run in which every path is treated", "`treated`"),
    "counterfactual": ("the run in which every path is treated", "`treated`"),
    "patched": ("a run whose paths carry the treated value", "`treat(P)`"),
    "denoise": ("a run that keeps a node and treats the rest", "`keep(through(a9.h9))`"),
    "noising": ("a run with one node treated", "`treat(through(a9.h9))`"),
    "denoising": ("a run that keeps a node and treats the rest", "`keep(through(a9.h9))`"),
    "between": ("the paths from one node to another", "`a5.h5 ~> a9.h9`"),
    "from_to": ("the paths from one node to another", "`a5.h5 ~> a9.h9`"),
    "embed": ("the embedding, where paths begin", "`input`"),
    "embeds": ("the embedding, where paths begin", "`input`"),
    "embedding": ("the embedding, where paths begin", "`input`"),
    "tok_embeds": ("the embedding, where paths begin", "`input`"),
    "unembed": ("where every path ends", "`logits`"),
    "lm_head": ("where every path ends", "`logits`"),
    "output": ("where every path ends", "`logits`"),
    "outputs": ("where every path ends", "`logits`"),
    "heads": ("all heads", "`attn`"),
    "all_heads": ("all heads", "`attn`"),
    "attn_out": ("what the attention of a layer writes: its heads", "`a9`"),
    "mlp_out": ("what the MLP of a layer writes", "`m9`"),
    "all_mlps": ("all MLPs", "`mlp`"),
    "mlps": ("all MLPs", "`mlp`"),
    "resid_pre": ("the residual stream that enters a layer", "`r5`"),
    "resid_post": ("the residual stream that leaves layer 5", "`r6`"),
    "last": ("the last token", "`@END`"),
    "LAST": ("the last token", "`@END`"),
    "end": ("the last token", "`@END`"),
    "direct_effect": ("the effect of a direct edge", "`effect(a9.h9 -> logits)`"),
    "indirect_effect": (
        "the effect of all paths through a node but the direct one",
        "`effect(through(a9.h9) - (a9.h9 -> logits))`",
    ),
    "total_effect": ("the effect of all paths through a node", "`effect(through(a9.h9))`"),
    "logit_diff": ("a metric", "`metric LD: logits = logit(io) - logit(s)`"),
    "logit_difference": ("a metric", "`metric LD: logits = logit(io) - logit(s)`"),
    "log_prob": ("a metric", "`metric L: nats = logprob(io)`"),
    "cross_entropy": ("minus the log-probability of the answer", "`metric L: nats = -logprob(io)`"),
    "loss": ("minus the log-probability of the answer", "`metric L: nats = -logprob(io)`"),
    "kl_div": ("a metric", "`metric D: nats = kl(reference)`"),
    "kl_divergence": ("a metric", "`metric D: nats = kl(reference)`"),
    "sufficiency": ("a score", "`faithfulness(P)`"),
    "recovered": ("a form of a score", "`faithfulness(P, as: recovered)`"),
    "iou": ("a score", "`overlap(P, Q, as: united)`"),
    "jaccard": ("a score", "`overlap(P, Q, as: united)`"),
    "softmax": ("the probability of an answer", "`prob(io)`"),
    "log_softmax": ("the log-probability of an answer", "`logprob(io)`"),
    "p_value": ("a test is a claim", "`claim c: mean(LD(reference)) > 0 at 95% confidence`"),
    "pvalue": ("a test is a claim", "`claim c: mean(LD(reference)) > 0 at 95% confidence`"),
    "avg": ("a mean over prompts", "`mean(LD(reference))`"),
    "attention_pattern": ("what a query attends to a key", "`attention(a9.h9, END -> S2)`"),
    "HookedTransformer": ("a model of the hub", '`hf("OWNER/MODEL", revision: "…")`'),
    "from_pretrained": ("a model of the hub", '`hf("OWNER/MODEL", revision: "…")`'),
    "LanguageModel": ("a model of the hub", '`hf("OWNER/MODEL", revision: "…")`'),
    "assert": ("a claim", "`claim enough: faithfulness(P) >= 80% at 95% confidence`"),
}
"""Words of other tools and papers: what they stand for, and how that is written here."""


def elsewhere(word: str) -> str:
    """The repair for a word of another tool, "" for others."""
    meaning, right = ELSEWHERE.get(word, ("", ""))
    return f"{right}: {meaning}" if right else ""
