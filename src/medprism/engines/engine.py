"""The engines a checkpoint can run on, behind one interface, and whether they are at hand here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from medprism.core.errors import ConfigError
from medprism.engines.graph_store import GraphStore
from medprism.engines.torch_engine import TorchSegmenter
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter

REFERENCE_ENGINE: Final = "torch"


@dataclass(frozen=True)
class Engine:
    """One way to run a model.

    `make` takes the model in float32, the hash of its weights and the number of threads. `missing`
    says in one clause what this machine lacks for it, None where nothing is.
    """

    purpose: str
    make: Callable[[KPrism, str, int], Segmenter]
    missing: Callable[[], str | None]


def _nothing() -> str | None:
    return None


def _no_openvino() -> str | None:
    if all(importlib.util.find_spec(name) for name in ("openvino", "onnx")):
        return None
    return "the packages openvino and onnx are not installed (`pip install 'medprism[openvino]'`)"


def _no_openvino_bf16() -> str | None:
    missing = _no_openvino()
    if missing is None:
        from medprism.engines.openvino_engine import has_bf16

        missing = None if has_bf16() else "the processor has no bfloat16 arithmetic"
    return missing


def _no_cuda() -> str | None:
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def _torch(model: KPrism, weights_hash: str, threads: int) -> Segmenter:
    return model


def _torch_on(device: str, dtype: torch.dtype) -> Callable[[KPrism, str, int], Segmenter]:
    return lambda model, weights_hash, threads: TorchSegmenter(model, torch.device(device), dtype)


def _openvino(precision: str) -> Callable[[KPrism, str, int], Segmenter]:
    def make(model: KPrism, weights_hash: str, threads: int) -> Segmenter:
        from medprism.engines.openvino_engine import OpenVinoSegmenter

        return OpenVinoSegmenter(GraphStore(model, weights_hash), precision, threads)

    return make


ENGINES: Final[dict[str, Engine]] = {
    REFERENCE_ENGINE: Engine("PyTorch in float32; the reference", _torch, _nothing),
    "torch-bf16": Engine("PyTorch in bfloat16", _torch_on("cpu", torch.bfloat16), _nothing),
    "openvino": Engine("OpenVINO in float32", _openvino("f32"), _no_openvino),
    "openvino-bf16": Engine("OpenVINO in bfloat16", _openvino("bf16"), _no_openvino_bf16),
    "cuda": Engine("a GPU in float32", _torch_on("cuda", torch.float32), _no_cuda),
    "cuda-bf16": Engine(
        "PyTorch on a GPU in bfloat16", _torch_on("cuda", torch.bfloat16), _no_cuda
    ),
}


def engine_named(name: str) -> Engine:
    """Return an engine that can run here.

    Raises:
        ConfigError: no such engine, or this machine lacks something for it.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine {name!r} is unknown; use auto or {', '.join(ENGINES)}")
    missing = ENGINES[name].missing()
    if missing is not None:
        raise ConfigError(f"engine {name!r} cannot run here: {missing}; use auto or torch")
    return ENGINES[name]


def available_engines() -> tuple[str, ...]:
    """Return the names of the engines that can run here, the reference first."""
    return tuple(name for name, engine in ENGINES.items() if engine.missing() is None)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what an engine computes."""
    found = {}
    for name in ("torch", "openvino"):
        if importlib.util.find_spec(name):
            found[name] = importlib.metadata.version(name)
    return found
