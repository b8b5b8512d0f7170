"""OpenVINO on the CPU, behind the contract of a segmenter; graphs are compiled when first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import openvino
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medprism.core.errors import ConfigError
from medprism.engines.graph_store import GraphStore
from medprism.engines.graphs import (
    ENCODE,
    ENCODE_REFERENCES,
    decode_inputs,
    decode_name,
    input_names,
)
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures

Precision = Literal["f32", "bf16"]
_DEVICE: Final = "CPU"


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    return openvino.Core()


def has_bf16() -> bool:
    """Whether the processor computes in bfloat16, so that asking for it is not ignored."""
    return "BF16" in _core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


class OpenVinoSegmenter:
    """A K-Prism whose graphs run in OpenVINO, in one precision on so many threads.

    Encodings are float32 whatever the precision inside. Auxiliary logits, which only training
    needs, are not computed. Threads may share it: every call has a request of its own.

    Raises:
        ConfigError: bfloat16 on a processor that has none.
    """

    spatial_dims = 2
    accepts = Accepts(classes=True, references=True, clicks=True)

    def __init__(self, graphs: GraphStore, precision: str, threads: int) -> None:
        if precision == "bf16" and not has_bf16():
            raise ConfigError("this processor has no bfloat16 arithmetic; use engine openvino")
        self._graphs = graphs
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Pinned threads leave the cores that the process was given, and those of other programs
            # would lie on the same ones.
            "ENABLE_CPU_PINNING": False,
            "CACHE_DIR": str(graphs.folder / "compiled"),
        }
        self._compiled: dict[str, openvino.CompiledModel] = {}
        self._lock = threading.Lock()

    def encode(self, image: Float[Tensor, "images 3 height width"]) -> Features:
        """Encode standardised canvases; height and width are multiples of 16."""
        return Features(self._run(ENCODE, {"image": image}))

    def encode_references(
        self,
        image: Float[Tensor, "requests refs 3 height width"],
        mask: Float[Tensor, "requests refs height width"],
        valid: Bool[Tensor, "requests refs"],
    ) -> ReferenceFeatures:
        """Encode reference images with their masks (coverage in 0..1)."""
        named = dict(zip(input_names(ENCODE_REFERENCES), (image, mask, valid), strict=True))
        keys, values, summary, weight = self._run(ENCODE_REFERENCES, named)
        cells = keys.shape[1] // valid.shape[1]
        return ReferenceFeatures(
            keys, values, valid.repeat_interleave(cells, dim=1), summary, weight
        )

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Segment; the i-th request looks at the i-th image of `features`."""
        (logits,) = self._run(decode_name(prompts), decode_inputs(features, prompts))
        return Decoded(logits, ())

    def _run(self, graph: str, named: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        compiled = self._ready(graph)
        # What a model does not look at, such as its finest maps, OpenVINO drops from the inputs.
        used = {name for port in compiled.inputs for name in port.names}
        given = {
            name: np.ascontiguousarray(tensor.numpy())
            for name, tensor in named.items()
            if name in used
        }
        results = compiled.create_infer_request().infer(given, share_inputs=True)
        # Copied, because the request owns the memory.
        return tuple(torch.from_numpy(np.array(one)) for one in results.values())

    def _ready(self, graph: str) -> openvino.CompiledModel:
        with self._lock:
            if graph not in self._compiled:
                core = _core()
                model = core.read_model(self._graphs.read(graph))
                self._compiled[graph] = core.compile_model(model, _DEVICE, self._settings)
            return self._compiled[graph]
