"""Where the models of these tests are: the processor, or what `PATHDSL_TEST_DEVICE` names.

    PATHDSL_TEST_DEVICE=cuda python -m pytest tests/engine/test_against_tree.py

puts them on a GPU, the literal tree staying on the processor; `played` plays one, to see here that
a file of tests could run there.
"""

from __future__ import annotations

import os
from typing import TypeVar

import torch
from torch import nn

from pathdsl.engine.load.devices import make_deterministic, opened
from tests.engine.played import Played

__all__ = ["PLAYED", "there"]

NAME = os.environ.get("PATHDSL_TEST_DEVICE", "cpu")
PLAYED = Played() if NAME == "played" else None
DEVICE = torch.device("cpu") if PLAYED is not None else opened(NAME)
if DEVICE.type != "cpu":
    make_deterministic(DEVICE)  # as a check does

Model = TypeVar("Model", bound=nn.Module)


def there(model: Model) -> Model:
    """The model on the device of the tests."""
    if PLAYED is not None:
        PLAYED.take(model)
        return model
    return model if DEVICE.type == "cpu" else model.to(DEVICE)
