"""Write one bundled model's folder: weights, configuration, model card and declared truth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from pathdsl.models import DATA

__all__ = ["Truth", "command_line", "write"]

HAND_BUILT_NOTE = """
## How it was built

`python -m {module}` writes this folder again, bit for bit; no training, no random numbers. The
constructor is `pathdsl/models/build/rasp.py`, which explains each point:

- LayerNorm is the identity: epsilon is 2**80 and the gain 2**40, so the norm is `x - mean(x)`
  exactly, in float32 and float64 alike (bfloat16 keeps the circuit; float16 cannot hold the gain).
- Everything written sums to zero over the residual stream (one direction, read by nobody, takes
  minus the sum), so that mean is zero and a direction that is not read has no effect at all.
- A selected key has score 64, the resting place <bos> 32, other keys 0, after GPT-2's division by
  the root of the head's width; what is not selected has weight below 1e-13.
- Each variable of the program owns its directions, so the edges below can be read from the weights.

## What is known

`truth.json`: `task` and its arguments; `metric`; `true_edges`, for each treated value the edges
whose treatment alone changes the metric on some prompt, spelled `sender->receiver<slot>`;
`positions`, where the nodes act; `paths`, the circuit as a path expression for each treated value.
Every other edge has effect 0 (below 1e-9 in float64) on every prompt. The tests compare this list
with every single edge.

Licence: the same as pathdsl's. No data of others went into it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known by construction about one model.

    `paired_edges` change the metric when treated alone with another prompt's value or a mean;
    `zero_only_edges` carry what is the same in every prompt and matter under `zero` alone. `path`
    and `zero_path` are the circuits as path expressions, with positions; both keep the whole
    behaviour.
    """

    task: str
    arguments: dict[str, Any]
    metric: str
    treated: str
    reference_value: str
    path: str
    zero_path: str
    nodes: tuple[str, ...]
    decoys: tuple[str, ...]
    positions: dict[str, str] = field(default_factory=dict)
    paired_edges: tuple[str, ...]
    zero_only_edges: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `truth.json` holds."""
        return {
            "schema_version": 1,
            "task": self.task,
            "arguments": self.arguments,
            "metric": self.metric,
            "treated": self.treated,
            "reference_value": self.reference_value,
            "paths": {"paired": self.path, "mean": self.path, "zero": self.zero_path},
            "nodes": list(self.nodes),
            "decoys": list(self.decoys),
            "positions": self.positions,
            "true_edges": {
                "paired": sorted(self.paired_edges),
                "mean": sorted(self.paired_edges),
                "zero": sorted({*self.paired_edges, *self.zero_only_edges}),
            },
        }


def write(folder: Path, model: GPT2LMHeadModel, truth: Truth, card: str, module: str) -> None:
    """Write the folder: `save_pretrained`, `truth.json` and `MODEL_CARD.md`."""
    model.save_pretrained(folder)
    (folder / "truth.json").write_text(json.dumps(truth.as_json(), indent=2) + "\n")
    (folder / "MODEL_CARD.md").write_text(card + HAND_BUILT_NOTE.format(module=module))


def command_line(name: str, build: Callable[[Path], None]) -> None:
    """`python -m pathdsl.models.build.NAME [FOLDER]`: into the folder, or into the package."""
    parser = argparse.ArgumentParser(description=f"Build the bundled model `{name}`.")
    parser.add_argument("folder", type=Path, nargs="?", default=DATA / name)
    build(parser.parse_args().folder)
