"""What the scripts of trained models share: command line, tokenizer, GPT-2, a step of descent."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, processors
from tokenizers.pre_tokenizers import Split
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

__all__ = [
    "CONTEXT", "WIDTH", "command", "descend", "optimizer_of", "rotating_positions", "small_gpt2",
    "word_level",
]  # fmt: skip

CONTEXT = 64
WIDTH = 128
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def word_level(splitter: Split, words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of these words, each as the splitter leaves it, with `<bos>` in front."""
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=CONTEXT,
    )


def small_gpt2(
    vocabulary: int, *, layers: int = 4, width: int = WIDTH, inner: int = 256
) -> GPT2LMHeadModel:
    """Layers of four heads, without dropout, as torch's seed has it; `inner`: width of MLPs."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=CONTEXT,
        n_embd=width,
        n_layer=layers,
        n_head=4,
        n_inner=inner,
        initializer_range=0.08,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=SPECIAL.index("<bos>"),
        eos_token_id=SPECIAL.index("<eos>"),
        pad_token_id=SPECIAL.index("<pad>"),
    )
    return GPT2LMHeadModel(config)


def rotating_positions(model: GPT2LMHeadModel) -> None:
    """Positions begin as sines and cosines; they are trained like all else.

    A look at the token before is then one rotation for all places, and is found at once.
    """
    width, places = model.config.n_embd, model.config.n_positions
    steps = torch.exp(torch.arange(width // 2) * (-math.log(200.0) * 2 / width))
    angles = torch.arange(places)[:, None] * steps
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(0.112 * torch.cat([angles.sin(), angles.cos()], 1))


def optimizer_of(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; matrices decay, biases and gains do not."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def descend(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float
) -> None:
    """One step down the loss at a learning rate, with the gradient's norm at most 1."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def command(
    write: Callable[..., object], about: str | None, *, steps: int = 0, shipped: Path | None = None
) -> None:
    """Call `write` with the folder of the command line, and `--steps` where there are some.

    `shipped`: the folder where none is named.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if shipped is None:
        parser.add_argument("folder", type=Path, help="where to write")
    else:
        parser.add_argument("folder", type=Path, nargs="?", default=shipped, help="of the model")
    if steps:
        parser.add_argument("--steps", type=int, default=steps, help="stop after so many")
    write(**vars(parser.parse_args()))
