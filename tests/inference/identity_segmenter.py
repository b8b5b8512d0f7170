"""A segmenter whose mask is the image itself: what is brighter than half is inside.

Nothing is lost on the way through it, so a voxel that comes out elsewhere was moved by us.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.preprocess import CENTRE, SCALE
from medprism.engines.loaded import LoadedModel
from medprism.models.segmenter import Accepts, Decoded, Features, Prompts, ReferenceFeatures

STEEPNESS = 40.0
# The middle band is one label, all above it another.
CONCEPTS = ConceptTable((Concept("middle"), Concept("bright")))
BANDS = ((0.3, 0.75), (0.75, 2.0))


class IdentitySegmenter:
    """Score every canvas pixel by its own brightness; clicks are taken and change nothing."""

    def __init__(self) -> None:
        self.accepts = Accepts(classes=True, references=False, clicks=True)
        self.spatial_dims = 2

    def encode(self, image: Tensor) -> Features:
        """Keep the brightness of every pixel."""
        brightness = (image.mean(1, keepdim=True) * SCALE + CENTRE) / 255
        return Features((brightness, F.avg_pool2d(brightness, 16)))

    def encode_references(self, image: Tensor, mask: Tensor, valid: Tensor) -> ReferenceFeatures:
        """Refuse: it accepts none."""
        raise NotImplementedError

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Say how far inside its band each pixel lies."""
        brightness = features.maps[0][:, 0]
        rows = torch.ones(len(brightness), dtype=torch.long)
        low, high = torch.tensor(BANDS)[rows if prompts.concept is None else prompts.concept].T
        inside = torch.minimum(
            brightness - low[:, None, None], high[:, None, None] - brightness
        ).clamp(-1, 1)
        return Decoded(STEEPNESS * inside, ())


def identity_model(long_side: int) -> LoadedModel:
    """Return a loaded model around it."""
    return LoadedModel(
        name="identity",
        segmenter=IdentitySegmenter(),
        concepts=CONCEPTS,
        long_side=long_side,
        weights_hash=f"identity-{long_side}",
        engine="torch",
        threads=torch.get_num_threads(),
        card={},
    )
