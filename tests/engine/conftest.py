"""A device that is played is there for each test (`PATHDSL_TEST_DEVICE=played`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext

import pytest


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    if os.environ.get("PATHDSL_TEST_DEVICE") != "played":
        yield
        return
    from tests.engine.device import PLAYED

    with PLAYED or nullcontext():
        yield
