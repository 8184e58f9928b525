"""No test touches the user's result store: each has an empty one of its own."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest

collect_ignore = ["cases"]  # files of the language that tests read; pathdsl's plugin would run them


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes a million and a half objects that stay: none is looked at for garbage.

    That took ten seconds, and one second more wherever a second model takes the place of a first.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Also for fixtures that live longer than one test."""
    before = os.environ.get("PATHDSL_CACHE")
    os.environ["PATHDSL_CACHE"] = str(tmp_path_factory.mktemp("store"))
    # Processes that tests start would compile the package anew each time, for a second each.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    yield
    if before is None:
        del os.environ["PATHDSL_CACHE"]
    else:
        os.environ["PATHDSL_CACHE"] = before


@pytest.fixture(autouse=True)
def _store_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"store-{os.urandom(6).hex()}"
    monkeypatch.setenv("PATHDSL_CACHE", str(folder))
