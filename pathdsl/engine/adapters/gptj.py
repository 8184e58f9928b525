"""GPT-J: attention and MLP side by side on one norm, rotary positions on part of each head.

Takes a `transformers.GPTJForCausalLM` apart along the residual stream::

    r = wte(ids)
    for layer: n = ln_1(r);  r = r + out_proj(z(n)) + mlp(n)
    logits = lm_head(ln_f(r))

Both halves of a block read the same stream through the same norm, so no edge leads from a layer's
heads to its MLP. The first `rotary_dim` entries of q and k are turned by position in pairs of
neighbours, with a table of the model's own: each attention module's until transformers 5.23,
`transformer.rotary_emb`'s since. Attention has no biases; the
unembedding has one. Scores and softmax are in float32 whatever the dtype of the model.

Source of the architecture: Wang and Komatsuzaki 2021 (GPT-J); `transformers/models/gptj/
modeling_gptj.py`.

    >>> from transformers import GPTJConfig, GPTJForCausalLM
    >>> small = GPTJConfig(vocab_size=7, n_positions=8, n_embd=8, n_layer=1, n_head=2, rotary_dim=2)
    >>> adapter = GptJAdapter(GPTJForCausalLM(small).eval())
    >>> adapter.shape.parallel
    True
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPTJForCausalLM
from transformers.models.gptj import modeling_gptj
from transformers.models.gptj.modeling_gptj import GPTJMLP, GPTJAttention, GPTJBlock, GPTJModel

from pathdsl.engine.adapters.base import Slot, refuse
from pathdsl.engine.adapters.blocks import BlockAdapter, activate
from pathdsl.engine.adapters.norms import Scales, apply
from pathdsl.engine.adapters.parts import check_parts, parts_of
from pathdsl.graph.model.decoders import gptj_shape

__all__ = ["GptJAdapter"]

_MODEL_PARTS: dict[str, type[nn.Module]] = {
    "transformer": GPTJModel,
    "transformer.wte": nn.Embedding,
    "transformer.drop": nn.Dropout,
    "transformer.h": nn.ModuleList,
    "transformer.ln_f": nn.LayerNorm,
    "lm_head": nn.Linear,
}
if _Rotary := getattr(modeling_gptj, "GPTJRotaryEmbedding", None):  # since transformers 5.24
    _MODEL_PARTS["transformer.rotary_emb"] = _Rotary
_BLOCK_PARTS = {
    "": GPTJBlock,
    ".ln_1": nn.LayerNorm,
    ".attn": GPTJAttention,
    ".attn.attn_dropout": nn.Dropout,
    ".attn.resid_dropout": nn.Dropout,
    ".attn.q_proj": nn.Linear,
    ".attn.k_proj": nn.Linear,
    ".attn.v_proj": nn.Linear,
    ".attn.out_proj": nn.Linear,
    ".mlp": GPTJMLP,
    ".mlp.fc_in": nn.Linear,
    ".mlp.fc_out": nn.Linear,
    ".mlp.dropout": nn.Dropout,
}


class GptJAdapter(BlockAdapter):
    """The parts of one GPT-J; see `pathdsl.engine.adapters.base.Adapter` for each call.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules (flash
    attention is one), mixed weights and a `rotary_dim` with which `transformers` itself cannot run,
    PD608 for quantised weights, PD618 in training mode.
    """

    def __init__(self, model: nn.Module) -> None:
        n_layers = int(getattr(getattr(model, "config", None), "n_layer", 0))
        parts = parts_of(_MODEL_PARTS, "transformer.h", n_layers, _BLOCK_PARTS)
        check_parts(model, GPTJForCausalLM, "GPT-J", parts, ("act",))
        whole: Any = model
        config, parts = whole.config, whole.transformer
        super().__init__(
            model, gptj_shape(config.to_dict()), blocks=parts.h, final=parts.ln_f,
            head=whole.lm_head,
        )  # fmt: skip
        self._rotary = int(config.rotary_dim or 0)
        if not self._rotary or self._rotary % 2 or self._rotary > self.shape.d_head:
            raise refuse(
                "PD612",
                f"`rotary_dim: {self._rotary}` is not an even part of a head of width "
                f"{self.shape.d_head}, and `transformers` cannot run it",
                advice=f"`rotary_dim` from 2 to {self.shape.d_head}, even",
            )
        self._tokens = parts.wte

    def embed(self, ids: Tensor) -> Tensor:
        """Token embedding, (rows, pos) ids -> (rows, pos, d); positions enter in q and k."""
        embedded: Tensor = self._tokens(ids.to(self._device))
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The norm of the block, which its MLP reads too, (..., d) -> (..., d)."""
        return apply(self.blocks[layer].ln_1, resid, scales, "scale_attention")

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        return self._by_head(getattr(self.blocks[layer].attn, f"{slot}_proj"))

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attn.out_proj
        return part

    def placed(self, layer: int, slot: Slot, x: Tensor, positions: Tensor) -> Tensor:
        """q and k with neighbouring entries turned by their position, as far as `rotary_dim`."""
        if slot == "v":
            return x
        holder = self.blocks[layer].attn if _Rotary is None else self.model.transformer.rotary_emb
        table = holder.embed_positions.to(x.device)  # (n_positions, rotary_dim)
        sin, cos = table[positions].to(x.dtype).unsqueeze(-2).chunk(2, dim=-1)
        sin, cos = sin.repeat_interleave(2, -1), cos.repeat_interleave(2, -1)
        turned, rest = x[..., : self._rotary], x[..., self._rotary :]
        pairs = torch.stack((-turned[..., 1::2], turned[..., ::2]), dim=-1).flatten(-2)
        return torch.cat((turned * cos + pairs * sin, rest), dim=-1)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores in float32, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        product = torch.matmul(q.float(), k.float().transpose(-1, -2))
        attention = self.blocks[layer].attn
        if hasattr(attention, "scale_attn"):  # until transformers 5.23
            return product / attention.scale_attn
        return product * attention.scaling

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads with the norm before it, (..., d) -> (..., d_mlp); no gate."""
        block = self.blocks[layer]
        before: Tensor = block.mlp.fc_in(apply(block.ln_1, resid, scales, "scale_mlp"))
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].mlp.act, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].mlp.fc_out
        return part
