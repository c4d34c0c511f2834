"""No test asks a provider on the network; wire-level tests bring a server on loopback."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pydantic_ai import models

from .loopback import Provider

pytest_plugins = ["pytester"]

# The workers of a test run are as many as the cores already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What imports leave behind is no garbage, yet each full collection would look through all of it.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# How long an example takes says more of the machine than of the law that it tests.
settings.register_profile("assay", deadline=None)
settings.load_profile("assay")


@pytest.fixture(autouse=True)
def own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", False)
    for name in [name for name in os.environ if name.startswith("ASSAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "runs.db"))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A real HTTP server on loopback that speaks OpenAI's chat protocol."""
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    with Provider() as server:
        yield server
