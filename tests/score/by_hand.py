"""Node circuits by PyTorch hooks on the unmodified transformers model: nothing of the engine.

A head is its slice of the input of `c_proj`; an MLP is the output of its module. `Hooked.run`
sets either to given values where a mask says so and lets everything else be recomputed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pathdsl.models import DATA
from pathdsl.tasks.mini_ioi import GENERATOR

Head = tuple[int, int, str]  # layer, head, position ("" = everywhere)


@dataclass(kw_only=True)
class Cache:
    """One run: z (rows, pos, heads, d_head) and MLP output by layer, input, logits at END."""

    logits: torch.Tensor
    z: list[torch.Tensor] = field(default_factory=list)
    mlp: list[torch.Tensor] = field(default_factory=list)
    embed: torch.Tensor | None = None


class Hooked:
    """`ioi-mini` in float64 on rows of `mini_ioi`, with the treated values of two kinds."""

    def __init__(self, **data: object) -> None:
        folder = DATA / "ioi-mini"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        self.rows = GENERATOR.rows(**GENERATOR.complete(**data))
        config = self.model.config
        self.shape = (config.n_layer, config.n_head)
        coded = [tokenizer(row["prompt"], return_offsets_mapping=True) for row in self.rows]
        self.ids = self._padded([c["input_ids"] for c in coded])
        self.ids_abc = self._padded(
            [tokenizer(row["prompt_abc"])["input_ids"] for row in self.rows]
        )
        self.end = [len(c["input_ids"]) - 1 for c in coded]
        self.places = {"END": self.end} | {
            name: [
                self._token(c, row["spans"][name]) for c, row in zip(coded, self.rows, strict=True)
            ]
            for name in ("IO", "S1", "S2")
        }

        def one(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        assert all(len(one(row[k])) == 1 for row in self.rows for k in ("io", "s"))
        self.io = torch.tensor([one(row["io"])[0] for row in self.rows])
        self.s = torch.tensor([one(row["s"])[0] for row in self.rows])
        self.reference = self.run(self.ids)
        self.paired = self.run(self.ids_abc)
        self.mean = self._mean([row["template"] for row in self.rows])

    @staticmethod
    def _padded(ids: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, ids))
        return torch.tensor([row + [0] * (longest - len(row)) for row in ids])

    @staticmethod
    def _token(coded: object, span: list[int]) -> int:
        found = [i for i, (a, b) in enumerate(coded["offset_mapping"]) if b == span[1] and b > a]
        assert len(found) == 1
        return found[0]

    def _mean(self, templates: list[str]) -> Cache:
        """Every value of the ABC run, averaged over rows of one template and length."""
        same = torch.tensor(
            [[float(a == b and m == n) for b, n in zip(templates, self.end, strict=True)]
             for a, m in zip(templates, self.end, strict=True)], dtype=torch.float64,
        )  # fmt: skip
        weight = same / same.sum(1, keepdim=True)

        def average(x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("ij,j...->i...", weight, x)

        found = Cache(
            logits=self.paired.logits,
            z=[average(z) for z in self.paired.z],
            mlp=[average(m) for m in self.paired.mlp],
            embed=average(self.paired.embed),
        )
        every = self.heads_mask(range(self.shape[0]))
        everything = Cache(logits=found.logits, z=found.z, mlp=found.mlp, embed=found.embed)
        found.logits = self.run(
            self.ids, z=(every, everything.z), mlp=everything.mlp, embed=everything.embed
        ).logits
        return found

    def heads_mask(self, layers: object) -> list[torch.Tensor]:
        """Every head of these layers, at every position."""
        n, length = self.ids.shape
        return [
            torch.full((n, length, self.shape[1]), layer in set(layers))
            for layer in range(self.shape[0])
        ]

    def mask(self, heads: set[Head]) -> list[torch.Tensor]:
        """True at these heads, each at its position."""
        found = self.heads_mask(())
        for layer, head, name in heads:
            for row in range(len(self.rows)):
                where = self.places[name][row] if name else slice(None)
                found[layer][row, where, head] = True
        return found

    @torch.no_grad()
    def run(
        self,
        ids: torch.Tensor,
        z: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None,
        mlp: list[torch.Tensor] | None = None,
        embed: torch.Tensor | None = None,
    ) -> Cache:
        """A forward pass with z set where masked, MLP outputs and input replaced if given."""
        found, hooks = Cache(logits=torch.empty(0)), []
        heads = self.shape[1]

        def at_z(layer: int):
            def hook(_, args):
                value = args[0].unflatten(-1, (heads, -1))
                if z is not None:
                    value = torch.where(z[0][layer][..., None], z[1][layer], value)
                found.z.append(value)
                return (value.flatten(-2), *args[1:])

            return hook

        def at_mlp(layer: int):
            def hook(_, args, out):
                out = out if mlp is None else mlp[layer]
                found.mlp.append(out)
                return out

            return hook

        def at_embed(_, args, out):
            found.embed = out if embed is None else embed
            return found.embed

        hooks.append(self.model.transformer.drop.register_forward_hook(at_embed))
        for layer, block in enumerate(self.model.transformer.h):
            hooks.append(block.attn.c_proj.register_forward_pre_hook(at_z(layer)))
            hooks.append(block.mlp.register_forward_hook(at_mlp(layer)))
        try:
            # Attention is causal, so padding on the right needs no mask.
            logits = self.model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
        finally:
            for hook in hooks:
                hook.remove()
        found.logits = logits[torch.arange(len(self.end)), self.end]
        return found

    # ---------------------------------------------------------------------------------------------
    # Runs; `by` is the cache of treated values
    # ---------------------------------------------------------------------------------------------

    def circuit(self, by: Cache, heads: set[Head], *, mlps: bool = True) -> Cache:
        """`keep(within(heads, mlp))`; without MLPs `keep(within(heads))`."""
        cut = [~m for m in self.mask(heads)]
        return self.run(self.ids, z=(cut, by.z), mlp=None if mlps else by.mlp)

    def knocked(self, by: Cache, heads: set[Head]) -> Cache:
        """`treat(through(heads))`."""
        return self.run(self.ids, z=(self.mask(heads), by.z))

    def direct(self, by: Cache, heads: set[Head]) -> Cache:
        """`treat(heads -> logits)`: every other head and all MLPs held."""
        cut, held = self.mask(heads), self.reference
        value = [torch.where(m[..., None], a, b) for m, a, b in zip(cut, by.z, held.z, strict=True)]
        every = self.heads_mask(range(self.shape[0]))
        return self.run(self.ids, z=(every, value), mlp=held.mlp)

    def circuit_in_last_layer(self, by: Cache, heads: set[Head]) -> Cache:
        """`keep(within(heads, mlp), scope: through(a3))`, in two passes as published."""
        kept, last = self.circuit(by, heads), self.shape[0] - 1
        inside = self.mask({h for h in heads if h[0] == last})[last]
        value = list(by.z)
        value[last] = torch.where(inside[..., None], kept.z[last], by.z[last])
        return self.run(self.ids, z=(self.heads_mask([last]), value))

    # ---------------------------------------------------------------------------------------------
    # Per prompt
    # ---------------------------------------------------------------------------------------------

    def ld(self, run: Cache) -> np.ndarray:
        """The logit difference of each prompt."""
        rows = torch.arange(len(self.rows))
        return (run.logits[rows, self.io] - run.logits[rows, self.s]).numpy()

    def kl(self, run: Cache, reverse: bool = False) -> np.ndarray:
        """KL(reference || run) of each prompt, or KL(run || reference)."""
        p, q = (torch.log_softmax(r.logits, -1) for r in (self.reference, run))
        p, q = (q, p) if reverse else (p, q)
        return (p.exp() * (p - q)).sum(-1).numpy()

    def top(self, run: Cache) -> np.ndarray:
        """The top token of each prompt."""
        return run.logits.argmax(-1).numpy()
