"""Scores of nodes and edges by other libraries, run by an interpreter that has the library.

Each function takes the same `transformers` GPT-2 and two lists of prompts, and calls the library as
its pages show it. `scores` of a result have the names of `pathdsl`: nodes `a0.h1` and edges
`a0.h1->a1.h2<q>`, each a mean over prompts, of edges and nodes by position one number a token.
Nothing of `pathdsl` is imported here.

Sources: TransformerLens 4.3 (`tools.analysis.attribution_patching`), auto-circuit 1.0.1
(`prune_algos.mask_gradient`, `prune_algos.edge_attribution_patching`).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["PEERS", "run_child"]

STEPS = 5
"""Points of auto-circuit's integral over masks."""
Scores = dict[str, list[float]]


class Lens:
    """TransformerLens: attribution patching on a bridge over the same model, weights as they are.

    Its gradient is taken on the corrupt run and its difference leads to the clean one: it is told
    that the reference prompts are the corrupt ones.
    """

    package = "transformer_lens"

    def __init__(self, model: Any, scratch: Path) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        # A bridge wants a tokenizer that can be loaded again; prompts are ids, so any will do.
        words = Tokenizer(WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
        ends = {"bos_token": "<end>", "eos_token": "<end>", "pad_token": "<end>"}
        folder = scratch / "words"
        PreTrainedTokenizerFast(tokenizer_object=words, **ends).save_pretrained(folder)
        self.bridge = TransformerBridge.boot_transformers(
            "gpt2", hf_model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu"
        )
        self.bridge.eval()

    def scored(self, what: str, reference: Tensor, treated: Tensor, answers: Tensor) -> Scores:
        """`what`: "nodes" or "edges", each at each position."""
        from transformer_lens.tools.analysis import attribution_patching as patching

        # The metric is told of logits alone, and not of which prompt they are.
        totals: dict[Any, float] = {}
        config = patching.EdgeAttributionConfig(granularity=what[:-1])
        for row in range(len(reference)):
            good, bad = answers[row].tolist()

            def metric(logits: Tensor, good: int = good, bad: int = bad) -> Tensor:
                return logits[0, -1, good] - logits[0, -1, bad]

            found = patching.attribution_patch(
                self.bridge, treated[row : row + 1], reference[row : row + 1], metric, config
            )
            scores = found.node_scores if what == "nodes" else found.edge_scores
            for key, value in scores.items():
                totals[key] = totals.get(key, 0.0) + value / len(reference)
        length = reference.shape[1]
        named: Scores = {}
        for key, value in totals.items():
            ends = key if what == "edges" else (key,)
            name = "->".join(map(self._name, ends))
            named.setdefault(name, [0.0] * length)[ends[-1].position] = value
        return named

    @staticmethod
    def _name(node: Any) -> str:
        match node.kind:
            case "embed":
                return "input"
            case "attn_head_out":
                return f"a{node.layer}.h{node.head}"
            case "mlp_out" | "mlp_in":
                return f"m{node.layer}"
            case "logits":
                return "logits"
        return f"a{node.layer}.h{node.head}<{node.kind[0]}>"


class AutoCircuit:
    """auto-circuit: scores of edges by the gradient of masks, on a model of TransformerLens 2.

    Its scores are those of a loss, which is minus the metric.
    """

    package = "auto_circuit"

    def __init__(self, model: Any, scratch: Path) -> None:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
        from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

        of = model.config
        config = HookedTransformerConfig(
            n_layers=of.n_layer, d_model=of.n_embd, n_ctx=of.n_positions, n_heads=of.n_head,
            d_head=of.n_embd // of.n_head, d_mlp=of.n_inner or 4 * of.n_embd,
            d_vocab=of.vocab_size, act_fn=of.activation_function, eps=of.layer_norm_epsilon,
            normalization_type="LN", original_architecture="GPT2LMHeadModel", device="cpu",
        )  # fmt: skip
        hooked = HookedTransformer(config)
        hooked.load_and_process_state_dict(
            convert_gpt2_weights(model, config),
            fold_ln=False,
            center_writing_weights=False,
            center_unembed=False,
            fold_value_biases=False,
        )
        hooked.set_use_attn_result(True)
        hooked.set_use_split_qkv_input(True)
        hooked.set_use_hook_mlp_in(True)
        for parameter in hooked.parameters():
            parameter.requires_grad = False
        self.hooked = hooked
        self.patchable: Any = None

    def scored(self, what: str, reference: Tensor, treated: Tensor, answers: Tensor) -> Scores:
        """`what`: "edges", "edges by masks" or "edges by an integral over masks", pooled."""
        from auto_circuit.data import PromptDataLoader, PromptDataset
        from auto_circuit.prune_algos.edge_attribution_patching import (
            edge_attribution_patching_prune_scores,
        )
        from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores
        from auto_circuit.utils.graph_utils import patchable_model

        if self.patchable is None:
            self.patchable = patchable_model(
                self.hooked, factorized=True, slice_output="last_seq", separate_qkv=True
            )
        good, bad = answers.split(1, dim=1)
        # One batch: gradients of batches are added up, and each is a mean over its own prompts.
        loader = PromptDataLoader(
            PromptDataset(reference, treated, list(good), list(bad)),
            seq_len=None,
            diverge_idx=0,
            batch_size=len(reference),
        )
        if what == "edges":
            scores = edge_attribution_patching_prune_scores(self.patchable, loader, None)
        else:
            integral = "integral" in what
            scores = mask_gradient_prune_scores(
                self.patchable, loader, None, grad_function="logit", answer_function="avg_diff",
                mask_val=None if integral else 0.0,
                integrated_grad_samples=STEPS - 1 if integral else None,
            )  # fmt: skip
        points = STEPS if "integral" in what else 1  # they are added up
        return {
            self._name(edge): [-float(scores[edge.dest.module_name][edge.patch_idx]) / points]
            for edge in self.patchable.edges
        }

    @staticmethod
    def _name(edge: Any) -> str:
        def part(name: str) -> str:
            if name.startswith("Resid"):
                return "input" if name == "Resid Start" else "logits"
            if name.startswith("MLP"):
                return f"m{name.split()[1]}"
            layer, head, *slot = name[1:].split(".")
            return f"a{layer}.h{head}" + (f"<{slot[0].lower()}>" if slot else "")

        return f"{part(edge.src.name)}->{part(edge.dest.name)}"


PEERS: dict[str, Callable[[Any, Path], Any]] = {
    one.package: one for one in (Lens, AutoCircuit)
}  # fmt: skip


def run_child(arguments: dict[str, Any]) -> dict[str, Any]:
    """One kind of scores by one library: written to `out`; times and versions as plain data."""
    import transformers

    scratch = Path(arguments["scratch"])
    if arguments["threads"]:
        torch.set_num_threads(arguments["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(
        arguments["model"], attn_implementation="eager"
    ).eval()
    lines = [json.loads(line) for line in Path(arguments["rows"]).read_text().splitlines()]
    reference, treated = (torch.tensor([one[key] for one in lines]) for key in ("prompt", "cf"))
    answers = torch.tensor([[one["io"], one["s"]] for one in lines])

    def plain() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            model(reference, use_cache=False)
        return time.perf_counter() - started

    plain()
    plain_s = min(plain(), plain(), plain())  # before a library touches the model
    peer = PEERS[arguments["peer"]](model, scratch)
    if arguments["warm"]:
        peer.scored(arguments["what"], reference[:1], treated[:1], answers[:1])
    started = time.perf_counter()
    scores = peer.scored(arguments["what"], reference, treated, answers)
    seconds = time.perf_counter() - started
    Path(arguments["out"]).write_text(json.dumps(scores))
    return {
        "plain_s": plain_s,
        "seconds": seconds,
        "version": version(arguments["peer"].replace("_", "-")),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


if __name__ == "__main__":
    print(json.dumps(run_child(json.loads(sys.argv[1]))))
