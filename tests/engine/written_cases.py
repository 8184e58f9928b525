"""What each component writes, from hooks on unmodified models, and the logits that it adds by hand.

The models are tiny and random, of every block structure: LayerNorm and RMSNorm, Gemma's gain of one
plus the weight, norms behind attention and MLP, parallel blocks, soft caps, biases everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tests.engine import decoder_cases, family_cases
from tests.engine.engine_cases import CONFIG
from tests.oracle.cases import build_model

GPT2 = "gpt2"
NAMES = (
    GPT2, "gpt_neo", "gptj", "gpt_neox", "opt", "llama_biases", "mistral", "qwen3", "olmo", "olmo2",
    "phi3", "gemma", "gemma2", "gemma3", "falcon", "bloom", "mpt", "granite", "cohere",
)  # fmt: skip


def model_of(name: str) -> Any:
    """A random model of a family in float64."""
    if name == GPT2:
        model = build_model(CONFIG, 5)
        model.set_attn_implementation("eager")
    elif name in decoder_cases.SMALL:
        model = decoder_cases.make(name)
    else:
        model = family_cases.make(name)
    return model.double()


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Where a family keeps its parts."""

    blocks: Any
    out: Callable[[Any], nn.Module]
    mlp: Callable[[Any], nn.Module]
    final: nn.Module
    after_attention: Callable[[Any], nn.Module] | None = None


def modules_of(name: str, model: Any) -> Modules:
    """The parts of one model, by the names that `transformers` gives them."""
    if name in (GPT2, "gpt_neo", "gptj"):
        inner = model.transformer
        writer = {
            GPT2: lambda block: block.attn.c_proj,
            "gpt_neo": lambda block: block.attn.attention.out_proj,
            "gptj": lambda block: block.attn.out_proj,
        }[name]
        return Modules(blocks=inner.h, out=writer, mlp=lambda b: b.mlp, final=inner.ln_f)
    if name == "gpt_neox":
        inner = model.gpt_neox
        return Modules(
            blocks=inner.layers, out=lambda b: b.attention.dense, mlp=lambda b: b.mlp,
            final=inner.final_layer_norm,
        )  # fmt: skip
    if name in ("falcon", "bloom"):
        inner = model.transformer
        return Modules(
            blocks=inner.h, out=lambda b: b.self_attention.dense,
            mlp=lambda b: b.mlp.dense_4h_to_h, final=inner.ln_f,
        )  # fmt: skip
    if name == "mpt":
        inner = model.transformer
        return Modules(
            blocks=inner.blocks, out=lambda b: b.attn.out_proj, mlp=lambda b: b.ffn.down_proj,
            final=inner.norm_f,
        )  # fmt: skip
    if name == "opt":
        inner = model.model.decoder
        return Modules(
            blocks=inner.layers, out=lambda b: b.self_attn.out_proj, mlp=lambda b: b.fc2,
            final=inner.final_layer_norm,
        )  # fmt: skip
    normed = name in ("olmo2", "gemma2", "gemma3")
    return Modules(
        blocks=model.model.layers,
        out=lambda b: b.self_attn.o_proj,
        mlp=lambda b: b.post_feedforward_layernorm if normed else b.mlp,
        final=model.model.norm,
        after_attention=(lambda b: b.post_attention_layernorm) if normed else None,
    )


def scale_by_hand(module: Any, x: Tensor) -> Tensor:
    """One over the standard deviation or the root mean square of each vector."""
    if isinstance(module, nn.LayerNorm) or "LayerNorm" in type(module).__name__:
        x = x - x.mean(-1, keepdim=True)
    epsilon = getattr(module, "eps", getattr(module, "variance_epsilon", 1e-5))
    return 1 / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()


def through(module: Any, x: Tensor, scale: Tensor) -> Tensor:
    """A vector through a norm with that scale, its bias left out."""
    if isinstance(module, nn.LayerNorm) or "LayerNorm" in type(module).__name__:
        x = x - x.mean(-1, keepdim=True)
    weight = getattr(module, "weight", None)
    gain = torch.ones(()) if weight is None else weight
    return x * scale * (1 + gain if type(module).__name__.startswith("Gemma") else gain)


@dataclass(slots=True)
class Trace:
    """One prompt through an unmodified model: what every component wrote, (tokens, d) by name.

    `biases`: what no component wrote. `stream`: what entered the final norm, `middle` the second
    layer. `attention`: (heads, tokens, tokens) by layer, if the model gives it.
    """

    model: Any
    parts: Modules
    n_heads: int
    writes: dict[str, Tensor] = field(default_factory=dict)
    biases: list[Tensor] = field(default_factory=list)
    stream: Tensor = field(default_factory=lambda: torch.zeros(0))
    middle: Tensor = field(default_factory=lambda: torch.zeros(0))
    logits: Tensor = field(default_factory=lambda: torch.zeros(0))
    attention: tuple[Tensor, ...] = ()

    def added(self, write: Tensor, token: int) -> Tensor:
        """(tokens,): what a write adds to a token's logit under the norm's scale in this run."""
        normed = through(self.parts.final, write, scale_by_hand(self.parts.final, self.stream))
        return normed @ self.model.lm_head.weight[token] * logit_scale(self.model)


def logit_scale(model: Any) -> float:
    """By what the model multiplies its logits."""
    config = model.config
    scale = getattr(config, "logit_scale", None)  # an MPT has the field, without a number
    return (1.0 if scale is None else scale) / float(getattr(config, "logits_scaling", 1.0))


def trace(name: str, model: Any, ids: Sequence[int]) -> Trace:
    """Run the model on one prompt and take apart what its modules were given and gave."""
    parts, heads = modules_of(name, model), model.config.num_attention_heads
    found = Trace(model=model, parts=parts, n_heads=heads)
    given: dict[str, Tensor] = {}

    def keep(key: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            x = args[0] if args else kwargs["hidden_states"]
            given[f"{key} in"] = x[0] if x.dim() == 3 else x
            y = output[0] if isinstance(output, tuple) else output
            # Falcon adds to it in place what attention wrote
            given[f"{key} out"] = (y[0] if y.dim() == 3 else y).clone()

        return hook

    hooks = [
        parts.final.register_forward_hook(keep("final"), with_kwargs=True),
    ]
    for layer, block in enumerate(parts.blocks):
        for key, module in (
            ("block", block),
            ("heads", parts.out(block)),
            ("mlp", parts.mlp(block)),
        ):
            hooks.append(module.register_forward_hook(keep(f"{key} {layer}"), with_kwargs=True))
    with torch.no_grad():
        out = model(torch.tensor([list(ids)]), output_attentions=True)
        found.logits = out.logits[0]
        if out.attentions and out.attentions[0] is not None:
            found.attention = tuple(part[0] for part in out.attentions)
    for hook in hooks:
        hook.remove()
    found.stream, found.middle = given["final in"], given["block 1 in"]
    found.writes["input"] = given["block 0 in"]
    share = getattr(model.config, "residual_multiplier", 1.0)
    for layer, block in enumerate(parts.blocks):
        found.writes[f"m{layer}"] = share * given[f"mlp {layer} out"]
        z, out = given[f"heads {layer} in"], parts.out(block)
        weight = out.weight if "Conv1D" in type(out).__name__ else out.weight.T
        size = len(weight) // heads
        writes = {
            f"a{layer}.h{head}": z[:, head * size : (head + 1) * size]
            @ weight[head * size : (head + 1) * size]
            for head in range(heads)
        }
        bias = out.bias if out.bias is not None else torch.zeros(weight.shape[1])
        bias = bias.expand(len(z), -1)
        if parts.after_attention is not None:
            norm = parts.after_attention(block)
            scale = scale_by_hand(norm, given[f"heads {layer} out"])
            writes = {key: through(norm, write, scale) for key, write in writes.items()}
            bias = through(norm, bias, scale)
        found.writes |= {key: share * write for key, write in writes.items()}
        found.biases.append(share * bias)
    return found


def uncapped(found: Trace) -> Tensor:
    """(tokens, vocabulary): the logits before any cap, from the stream and the model's modules."""
    with torch.no_grad():
        logits: Tensor = found.model.lm_head(found.parts.final(found.stream))
    return logits * logit_scale(found.model)


CAPS: Mapping[str, float] = {"gemma2": 3.0, "gemma3": 3.0}
