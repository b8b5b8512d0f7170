"""Bring slices onto the model's canvas and encode each of them once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from medprism.core.image import Image
from medprism.core.preprocess import (
    CENTRE,
    SCALE,
    Fit,
    IntensityRule,
    choose_rule,
    fit_to,
    place,
    place_mask,
    standardise,
    to_eight_bit_range,
)
from medprism.engines.loaded import LoadedModel
from medprism.inference.encoding_cache import EncodingCache, EncodingKey
from medprism.inference.reference_bank import Reference
from medprism.inference.zoom import Crop
from medprism.models.segmenter import Features, ReferenceFeatures


@dataclass(frozen=True, eq=False)
class View:
    """What the model looks at: a slice of an image, or a crop of it."""

    image: Image
    slice_index: int
    crop: Crop | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width on the image's own grid."""
        if self.crop is not None:
            return self.crop.shape
        return self.image.geometry.shape[1], self.image.geometry.shape[2]


@dataclass(frozen=True)
class _Window:
    """The intensities of an image that become 0 and 255, taken once over the whole image."""

    rule: IntensityRule
    bounds: tuple[float, float]


# Shared by all encoders: the extremes and percentiles of a large volume take longer than a click.
_WINDOWS: Final[WeakKeyDictionary[Image, _Window]] = WeakKeyDictionary()


class Encoder:
    """Encodes views and references of one model through a cache.

    Always one slice a call: the numbers then do not depend on which slices happened to be encoded
    together, and a replayed log meets the same encodings bit for bit.
    """

    def __init__(self, model: LoadedModel, cache: EncodingCache) -> None:
        self._model = model
        self._cache = cache

    def fit(self, view: View) -> Fit:
        """Return how a view is placed on its canvas."""
        return fit_to(view.shape, self._model.long_side)

    def features(self, view: View) -> Features:
        """Return the encoding of a view."""

        @torch.inference_mode()
        def encode() -> Features:
            return self._model.segmenter.encode(self._canvas(view))

        return self._cache.get(self._key(view, None), encode)

    def reference(self, reference: Reference, view: View) -> ReferenceFeatures:
        """Return the encoding of one slice of a reference (or a crop of it) with its mask."""

        @torch.inference_mode()
        def encode() -> ReferenceFeatures:
            mask = reference.planes[view.slice_index].unpack()
            if view.crop is not None:
                mask = view.crop.cut(mask)
            coverage = torch.from_numpy(place_mask(mask, self.fit(view)))
            one = torch.ones(1, 1, dtype=torch.bool)
            return self._model.segmenter.encode_references(
                self._canvas(view)[None], coverage[None, None], one
            )

        return self._cache.get(self._key(view, reference.digest), encode)

    def forget(self) -> None:
        """Drop all encodings."""
        self._cache.clear()

    def _canvas(self, view: View) -> Float[Tensor, "1 3 height width"]:
        plane = view.image.voxels[view.slice_index]
        if view.crop is not None:
            plane = view.crop.cut(plane)
        stretched = to_eight_bit_range(plane, _window_of(view.image).bounds)
        return torch.from_numpy(standardise(place(stretched, self.fit(view))))[None]

    def _key(self, view: View, mask: str | None) -> EncodingKey:
        return EncodingKey(
            image=view.image.digest,
            slice_index=view.slice_index,
            crop=view.crop,
            preprocessing=preprocessing_hash(_window_of(view.image).rule, self._model.long_side),
            condition=None,
            weights=self._model.weights_hash,
            mask=mask,
            engine=self._model.engine,
        )


def _window_of(image: Image) -> _Window:
    found = _WINDOWS.get(image)
    if found is None:
        rule = choose_rule(image)
        found = _WINDOWS[image] = _Window(rule, rule.bounds(image))
    return found


def preprocessing_hash(rule: IntensityRule, long_side: int) -> str:
    """Return a hash of everything that turns a slice into the model's input.

    >>> from medprism.core.preprocess import RULES
    >>> len({preprocessing_hash(rule, 256) for rule in RULES.values()})
    4
    """
    payload = [rule.to_json(), long_side, CENTRE, SCALE]
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:16]
