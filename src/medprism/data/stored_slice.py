"""The form a slice has in the store: 8-bit pixels and boolean planes, at most so large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.preprocess import (
    Fit,
    choose_rule,
    fit_to,
    place,
    place_mask,
    to_eight_bit_range,
)
from medprism.data.case import Case, LabelPlanes
from medprism.io import reader


def read_image(case: Case) -> Image:
    """Return a case's image, read from its file where needed.

    Raises:
        ImageReadError: the file is no readable picture.
    """
    if isinstance(case.image, Image):
        return case.image
    return reader.read_image(case.image).replace(modality=case.modality)


def read_planes(case: Case, image: Image) -> LabelPlanes:
    """Return a case's masks, one boolean plane per label id that is present.

    Raises:
        ImageReadError: the mask file cannot be read or has colours instead of label ids.
        GeometryError: the mask lies on another grid than the image, and is not to be resampled.
    """
    if not isinstance(case.masks, Path):
        return case.masks
    labels = reader.read_mask(case.masks, like=image, resample=case.resample).array
    present = np.flatnonzero(np.bincount(labels.ravel()))
    return {int(label_id): labels == label_id for label_id in present if label_id}


def stored_pixels(
    image: Image, plane: int, long_side: int, bounds: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "h w channels"]:
    """Return the bytes a slice has in the store: the intensity rule, then the size rule.

    The same functions as in serving: `choose_rule`, `to_eight_bit_range` and `place`. `bounds`
    are those of the image's rule where they are known already.
    """
    source: Shaped[np.ndarray, "height width channels"] = image.voxels[plane]
    values = to_eight_bit_range(source, bounds or choose_rule(image).bounds(image))
    fit = _store_fit((int(source.shape[0]), int(source.shape[1])), long_side)
    if fit is not None:
        height, width = fit.resized
        values = place(values, fit)[:height, :width, : source.shape[2]]
    return np.asarray(np.rint(values).astype(np.uint8))


def stored_planes(
    planes: LabelPlanes, source: tuple[int, int], long_side: int, case: Case
) -> dict[int, Bool[np.ndarray, "h w"]]:
    """Return the planes of a case on the store's grid, by ascending label id.

    Raises:
        GeometryError: a plane lies on another grid than its image.
    """
    stored: dict[int, Bool[np.ndarray, "h w"]] = {}
    fit = _store_fit(source, long_side)
    for label_id, plane in sorted(planes.items()):
        if plane.shape != source:
            raise GeometryError(
                f"{case.dataset}/{case.case_id}: mask has shape {plane.shape}, its image {source}; "
                "both must lie on the same grid"
            )
        if plane.any():
            stored[label_id] = plane if fit is None else _shrink_plane(plane, fit)
    return stored


def _shrink_plane(plane: Bool[np.ndarray, "height width"], fit: Fit) -> Bool[np.ndarray, "h w"]:
    """Keep pixels that are at least half covered; a structure too thin for that keeps its core."""
    height, width = fit.resized
    coverage = place_mask(plane, fit)[:height, :width]
    return np.asarray(coverage >= min(0.5, float(coverage.max())))


def _store_fit(source: tuple[int, int], long_side: int) -> Fit | None:
    return fit_to(source, long_side) if max(source) > long_side else None
