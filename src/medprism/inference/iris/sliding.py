"""A volume window by window, with one embedding for all of them [Iris, Sec. 4]."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from medprism.core.progress import Progress, SilentProgress
from medprism.core.windows import Shape, cover_mask, window_places, window_shape, window_weights
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.embedding import TaskEmbeddings, stack_classes
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Features

Volume = Float32[np.ndarray, "slices height width"]
OVERLAP: Final = 0.5
# A structure that a window cuts is segmented worse than one in its middle [nnU-Net, MONAI].
SPREAD: Final = 0.125


@runtime_checkable
class DecodesVolumes(Protocol):
    """What segments windows: Iris, or a model that knows its classes without being told."""

    @property
    def config(self) -> IrisConfig:
        """Settings, of which the body says what sides windows may have."""

    def encode(self, image: Float[Tensor, "images channels ..."]) -> Features:
        """Encode images."""

    def decode(
        self, features: Features, tasks: TaskEmbeddings
    ) -> Float[Tensor, "images classes ..."]:
        """Return logits of all classes."""


def slide(
    model: DecodesVolumes,
    image: Volume,
    tasks: TaskEmbeddings,
    side: int,
    *,
    overlap: float = OVERLAP,
    spread: float | None = SPREAD,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "classes slices height width"]:
    """Return logits of a volume on its working grid: the mean over windows that overlap.

    A window counts most in its middle (see `core.windows.window_weights`), or everywhere alike
    where `spread` is None, as in the paper. A volume shorter than a window lies in its middle and
    is continued by its edge.
    """
    progress = progress or SilentProgress()
    shape = _shape(image)
    window = window_shape(shape, side, model.config.body.multiple)
    padded, before = _pad(image, window)
    total = np.zeros((tasks.num_classes, *padded.shape), np.float32)
    count = np.zeros(padded.shape, np.float32)
    weights = np.ones(window, np.float32) if spread is None else window_weights(window, spread)
    places = list(window_places(_shape(padded), window, overlap))
    with torch.inference_mode():
        for number, place in enumerate(places):
            progress.report(number, len(places))
            at = _cut(place, window)
            logits = model.decode(model.encode(_batch(padded[at])), tasks)
            total[(slice(None), *at)] += logits[0].numpy() * weights
            count[at] += weights
    inner = _cut(before, shape)
    return np.ascontiguousarray((total / count)[(slice(None), *inner)])


def embed_volume(
    model: Iris, image: Volume, masks: Bool[np.ndarray, "classes slices height width"], side: int
) -> TaskEmbeddings:
    """Encode what masks show on a volume: one row, each class from the window that shows most.

    Where all masks fit into one window, it serves all classes. An empty mask is an absent class.
    """
    window = window_shape(_shape(image), side, model.config.body.multiple)
    padded, before = _pad(image, window)
    wide = np.pad(masks, [(0, 0), *_margins(image, window)])
    starts = _starts(wide, window)
    found: list[TaskEmbeddings | None] = [None] * len(masks)
    with torch.inference_mode():
        for start in dict.fromkeys(starts):
            rows = [row for row, other in enumerate(starts) if other == start]
            at = _cut(start, window)
            shown = torch.from_numpy(wide[rows][(slice(None), *at)]).to(torch.float32)[None]
            tasks = model.encode_references(_batch(padded[at]), shown)
            for index, row in enumerate(rows):
                found[row] = tasks.select_classes(torch.tensor([index]))
    return stack_classes([one for one in found if one is not None])


def describe_volume(model: Iris, image: Volume, side: int) -> Float[Tensor, "1 dim"]:
    """Return one unit vector for a volume, for retrieval by image: the mean over its windows."""
    window = window_shape(_shape(image), side, model.config.body.multiple)
    padded, _ = _pad(image, window)
    with torch.inference_mode():
        vectors = [
            model.describe_image(model.encode(_batch(padded[_cut(place, window)])))
            for place in window_places(_shape(padded), window, 0.0)
        ]
    return F.normalize(torch.stack(vectors).mean(0), dim=-1)


def encode_windows(
    model: Iris,
    image: Volume,
    masks: Bool[np.ndarray, "classes slices height width"],
    window: Shape,
) -> tuple[Features, Float[Tensor, "windows classes ..."]]:
    """Encode the windows of a volume that show most of each class, for in-context tuning."""
    padded, _ = _pad(image, window)
    wide = np.pad(masks, [(0, 0), *_margins(image, window)])
    starts = list(dict.fromkeys(_starts(wide, window)))
    cuts = [_cut(start, window) for start in starts]
    with torch.inference_mode():
        features = model.encode(torch.cat([_batch(padded[at]) for at in cuts]))
    shown = np.stack([wide[(slice(None), *at)] for at in cuts])
    return features, torch.from_numpy(shown).to(torch.float32)


def _starts(masks: Bool[np.ndarray, "classes _ _ _"], window: Shape) -> list[Shape]:
    union = np.asarray(masks.any(0))
    shared = cover_mask(union, window)
    if union[_cut(shared, window)].sum() == union.sum():
        return [shared] * len(masks)
    return [cover_mask(mask, window) if mask.any() else shared for mask in masks]


def _batch(image: Float32[np.ndarray, "_ _ _"]) -> Float32[Tensor, "1 1 _ _ _"]:
    return torch.from_numpy(np.ascontiguousarray(image)).clone()[None, None]


def _margins(image: Volume, window: Shape) -> list[tuple[int, int]]:
    missing = [max(0, w - n) for n, w in zip(image.shape, window, strict=True)]
    return [(short // 2, short - short // 2) for short in missing]


def _pad(image: Volume, window: Shape) -> tuple[Float32[np.ndarray, "_ _ _"], Shape]:
    margins = _margins(image, window)
    one, two, three = (before for before, _ in margins)
    return np.pad(image, margins, mode="edge"), (one, two, three)


def _cut(start: Shape, size: Shape) -> tuple[slice, slice, slice]:
    one, two, three = (slice(at, at + n) for at, n in zip(start, size, strict=True))
    return one, two, three


def _shape(volume: np.ndarray) -> Shape:
    one, two, three = volume.shape
    return one, two, three
