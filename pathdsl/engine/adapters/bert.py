"""BERT and RoBERTa: encoders whose norms stand behind attention and MLP, of the stream itself.

Takes a `transformers.BertForMaskedLM` or `RobertaForMaskedLM` apart along the residual stream::

    r = norm(word(ids) + type(0) + position)
    for layer: r = norm(r + dense(z(r)));  r = norm(r + output.dense(act(intermediate.dense(r))))
    logits = decoder(norm(act(dense(r))))

Each reader applies these norms to the sums of the copies that it is sent
(`ModelShape.normed_stream`); the norm of the embeddings belongs to `input`. All tokens are of the
first type (`token_type_ids` 0), as where the model is called with tokens alone. RoBERTa counts
positions behind the number of its padding token, which it passes over. What stands between the last
stream and the unembedding belongs to `logits`. Scores and softmax are in the model's own dtype.

Source of the architecture: Devlin et al. 2019 (arXiv:1810.04805); Liu et al. 2019
(arXiv:1907.11692); `transformers/models/bert/modeling_bert.py`, `roberta/modeling_roberta.py`.

    >>> from transformers import BertConfig, BertForMaskedLM
    >>> small = BertConfig(vocab_size=7, hidden_size=8, intermediate_size=12, num_hidden_layers=2,
    ...                    num_attention_heads=2, max_position_embeddings=9)
    >>> adapter = BertAdapter(BertForMaskedLM(small).eval())
    >>> adapter.decomposed_forward(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForMaskedLM, RobertaForMaskedLM
from transformers.activations import gelu
from transformers.models.bert import modeling_bert
from transformers.models.roberta import modeling_roberta

from pathdsl.engine.adapters.base import Slot
from pathdsl.engine.adapters.blocks import activate
from pathdsl.engine.adapters.encoders import EncoderAdapter
from pathdsl.engine.adapters.llama_parts import shape_of_model
from pathdsl.engine.adapters.norms import Scales
from pathdsl.engine.adapters.parts import check_parts, parts_of

__all__ = ["BertAdapter", "RobertaAdapter"]

_SLOTS = {"q": "query", "k": "key", "v": "value"}
_EMBEDDINGS: Mapping[str, type[nn.Module]] = {
    ".word_embeddings": nn.Embedding,
    ".token_type_embeddings": nn.Embedding,
    ".position_embeddings": nn.Embedding,
    ".LayerNorm": nn.LayerNorm,
    ".dropout": nn.Dropout,
}


def _block(module: Any, prefix: str) -> dict[str, type[nn.Module]]:
    """The modules of a block of one of the two, whose classes have other names."""
    classes = {
        "": "Layer", ".attention": "Attention", ".attention.self": "SelfAttention",
        ".attention.output": "SelfOutput", ".intermediate": "Intermediate", ".output": "Output",
    }  # fmt: skip
    found: dict[str, type[nn.Module]] = {
        part: getattr(module, prefix + name) for part, name in classes.items()
    }
    for name in (*_SLOTS.values(),):
        found[f".attention.self.{name}"] = nn.Linear
    for name in (".attention.output", ".output"):
        found |= {f"{name}.dense": nn.Linear, f"{name}.LayerNorm": nn.LayerNorm}
        found[f"{name}.dropout"] = nn.Dropout
    return found | {".attention.self.dropout": nn.Dropout, ".intermediate.dense": nn.Linear}


def _parts(model: Any, module: Any, prefix: str, head: Mapping[str, type[nn.Module]]) -> Any:
    """Every module of a model of one of the two, with its class."""
    inner = prefix.lower()
    outside = {
        inner: getattr(module, f"{prefix}Model"),
        f"{inner}.embeddings": getattr(module, f"{prefix}Embeddings"),
        **{f"{inner}.embeddings{part}": kind for part, kind in _EMBEDDINGS.items()},
        f"{inner}.encoder": getattr(module, f"{prefix}Encoder"),
        f"{inner}.encoder.layer": nn.ModuleList,
        **head,
    }
    n_layers = int(getattr(getattr(model, "config", None), "num_hidden_layers", 0))
    return parts_of(outside, f"{inner}.encoder.layer", n_layers, _block(module, prefix))


class _PostNorm(EncoderAdapter):
    """What BERT and RoBERTa do alike; see `pathdsl.engine.adapters.base.Adapter` for each call."""

    inner: Any

    def _first(self, ids: Tensor) -> Tensor:
        """The position number of each token, (rows, pos)."""
        return torch.arange(ids.shape[-1], device=ids.device).expand(ids.shape)

    def embed(self, ids: Tensor) -> Tensor:
        """The normed sum of token, type and position, (rows, pos) ids -> (rows, pos, d)."""
        ids, parts = ids.to(self._device), self.inner.embeddings
        total = parts.word_embeddings(ids) + parts.token_type_embeddings.weight[0]
        embedded: Tensor = parts.LayerNorm(total + parts.position_embeddings(self._first(ids)))
        return embedded

    def attention_input(self, layer: int, resid: Tensor, scales: Scales | None = None) -> Tensor:
        """The stream itself: no norm stands before attention."""
        return resid

    def _input_weight(self, layer: int, slot: Slot) -> tuple[Tensor, Tensor | None]:
        return self._by_head(getattr(self.blocks[layer].attention.self, _SLOTS[slot]))

    def _output(self, layer: int) -> nn.Linear:
        part: nn.Linear = self.blocks[layer].attention.output.dense
        return part

    def scaling(self, layer: int) -> float | None:
        """The root of the head's width, by which scores are divided."""
        return float(self.shape.d_head**-0.5)

    def scores(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Scaled scores, (..., nq, d_head), (..., nk, d_head) -> (..., nq, nk)."""
        return torch.matmul(q, k.transpose(-1, -2)) * self.shape.d_head**-0.5

    def softmax(self, scores: Tensor, mask: Tensor, sinks: Tensor | None = None) -> Tensor:
        """The pattern in the model's dtype throughout; keys where `mask` is False get exactly 0."""
        return torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=-1)

    def mlp_before(
        self, layer: int, resid: Tensor, scales: Scales | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the activation reads, (..., d) -> (..., d_mlp); no norm before it, and no gate."""
        before: Tensor = self.blocks[layer].intermediate.dense(resid)
        return before, None

    def mlp_activation(self, layer: int, before: Tensor) -> Tensor:
        """The activation."""
        return activate(self.blocks[layer].intermediate.intermediate_act_fn, before)

    def _mlp_out(self, layer: int) -> nn.Linear:
        """The MLP's output projection."""
        part: nn.Linear = self.blocks[layer].output.dense
        return part

    def behind_attention(self, layer: int, total: Tensor) -> Tensor:
        """The norm of the sum of the stream and what attention wrote, (..., d) -> (..., d)."""
        normed: Tensor = self.blocks[layer].attention.output.LayerNorm(total)
        return normed

    def behind_mlp(self, layer: int, total: Tensor) -> Tensor:
        """The norm of the sum of the stream and what the MLP wrote, (..., d) -> (..., d)."""
        normed: Tensor = self.blocks[layer].output.LayerNorm(total)
        return normed


class BertAdapter(_PostNorm):
    """The parts of one BERT.

    Raises EngineError: PD607 for another class, PD612 for added, replaced or missing modules, mixed
    weights and options that are not computed, PD608 for quantised weights, PD618 in training mode.
    """

    _narrowest = torch.float64

    def __init__(self, model: nn.Module) -> None:
        head: dict[str, type[nn.Module]] = {
            "cls": modeling_bert.BertOnlyMLMHead,
            "cls.predictions": modeling_bert.BertLMPredictionHead,
            "cls.predictions.transform": modeling_bert.BertPredictionHeadTransform,
            "cls.predictions.transform.dense": nn.Linear,
            "cls.predictions.transform.LayerNorm": nn.LayerNorm,
            "cls.predictions.decoder": nn.Linear,
        }
        parts = _parts(model, modeling_bert, "Bert", head)
        acts = ("intermediate_act_fn", "transform_act_fn")
        check_parts(model, BertForMaskedLM, "BERT", parts, acts, ("cls.predictions.bias",))
        whole: Any = model
        super().__init__(
            model, shape_of_model(model), blocks=whole.bert.encoder.layer, final=None,
            head=whole.cls.predictions.decoder,
        )  # fmt: skip
        self.inner = whole.bert

    def transformed(self, normed: Tensor) -> Tensor:
        """The prediction head's own layers, (..., d) -> (..., d)."""
        out: Tensor = self.model.cls.predictions.transform(normed)
        return out


class RobertaAdapter(_PostNorm):
    """The parts of one RoBERTa; raises what `BertAdapter` does."""

    _narrowest = torch.float64

    def __init__(self, model: nn.Module) -> None:
        head: dict[str, type[nn.Module]] = {
            "lm_head": modeling_roberta.RobertaLMHead,
            "lm_head.dense": nn.Linear,
            "lm_head.layer_norm": nn.LayerNorm,
            "lm_head.decoder": nn.Linear,
        }
        parts = _parts(model, modeling_roberta, "Roberta", head)
        acts = ("intermediate_act_fn",)
        check_parts(model, RobertaForMaskedLM, "RoBERTa", parts, acts, ("lm_head.bias",))
        whole: Any = model
        super().__init__(
            model, shape_of_model(model), blocks=whole.roberta.encoder.layer, final=None,
            head=whole.lm_head.decoder,
        )  # fmt: skip
        self.inner = whole.roberta

    def _first(self, ids: Tensor) -> Tensor:
        """The position number of each token, (rows, pos): padding tokens are passed over."""
        parts = self.inner.embeddings
        numbers: Tensor = parts.create_position_ids_from_input_ids(ids, parts.padding_idx)
        return numbers

    def transformed(self, normed: Tensor) -> Tensor:
        """The prediction head's own layers, (..., d) -> (..., d)."""
        head = self.model.lm_head
        out: Tensor = head.layer_norm(gelu(head.dense(normed)))
        return out
