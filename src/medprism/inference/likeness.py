"""How alike two images are to the model: which finished examples are nearest to a new image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import numpy as np
from jaxtyping import Float32

from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel
from medprism.inference.encoder import Encoder, View
from medprism.inference.memory import Memory

# A vector has some hundred numbers, so this many take a few MB.
_MOST: Final = 4096

Vector = Float32[np.ndarray, " channels"]


class Likeness:
    """Compares images by the mean of the model's deepest features on their middle slice.

    An image is encoded once a model, through the memory's cache; its vector is kept. Threads may
    share it.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._vectors: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._lock = threading.Lock()

    def between(self, model: LoadedModel, one: Image, other: Image) -> float:
        """Return the cosine of the angle between two images' vectors, -1 to 1."""
        return float(self._vector(model, one) @ self._vector(model, other))

    def _vector(self, model: LoadedModel, image: Image) -> Vector:
        key = (model.weights_hash, image.digest)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        view = View(image, image.num_slices // 2)
        deepest = Encoder(model, self._memory.cache).features(view).maps[-1]
        mean = deepest[0].float().mean((1, 2)).numpy()
        vector = mean / max(float(np.linalg.norm(mean)), float(np.finfo(np.float32).tiny))
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > _MOST:
                self._vectors.popitem(last=False)
        return vector
