"""What holds for every test: a cache folder of its own, and tracing without checks of types."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jaxtyping
import pytest
import torch

from medprism.engines.graph_store import CACHE_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the whole run, and every process it starts, a cache folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    with mock.patch.dict(os.environ, {CACHE_VARIABLE: str(folder)}):
        yield folder


@pytest.fixture(scope="session", autouse=True)
def untyped_tracing() -> Iterator[None]:
    """Check no types inside the tracer: there, a size is a tensor and not an int."""
    export = torch.onnx.export

    def unchecked(*arguments: object, **settings: object) -> object:
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return export(*arguments, **settings)  # type: ignore[arg-type]
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    with mock.patch("torch.onnx.export", unchecked):
        yield
