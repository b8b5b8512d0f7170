"""Cut a volume with its mask into cases, one a slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from medprism.core.image import Image
from medprism.data.case import Case
from medprism.io.reader import read_image, read_mask


def cut_slices(case: Case, image: Path, mask: Path) -> Iterator[Case]:
    """Read a file pair and yield its slices as `slices_of` does; a picture is one case.

    Raises:
        ImageReadError: a file that cannot be read.
        GeometryError: image and mask lie on different grids, and the case does not say that the
            mask is to be resampled.
    """
    volume = read_image(image).replace(modality=case.modality)
    numbers = read_mask(mask, like=volume, resample=case.resample).array
    yield from slices_of(case, volume, numbers)


def slices_of(case: Case, volume: Image, numbers: Shaped[np.ndarray, "*shape"]) -> Iterator[Case]:
    """Yield the slices of a volume with its label numbers, named <case>_z<slice>.

    `case` gives everything but image, masks and place. Slices on which nothing is labelled are
    marked `is_unlabelled`: the K-Prism paper leaves them out of training. A picture is one case,
    and never marked.
    """
    stack = numbers.reshape(volume.geometry.shape)
    if volume.is_planar:
        yield replace(case, image=volume, masks=planes_of(stack[0]), spacing=_spacing(volume))
        return
    last = max(1, volume.num_slices - 1)
    for index in range(volume.num_slices):
        planes = planes_of(stack[index])
        yield replace(
            case,
            case_id=f"{case.case_id}_z{index:03d}",
            image=volume,
            masks=planes,
            slice_index=index,
            relative_position=index / last,
            spacing=_spacing(volume),
            plane=index,
            is_unlabelled=not planes,
        )


def planes_of(numbers: np.ndarray) -> dict[int, Bool[np.ndarray, "height width"]]:
    """Return one boolean plane per label number that is present."""
    return {int(number): numbers == number for number in np.unique(numbers) if number > 0}


def _spacing(volume: Image) -> tuple[float, float] | None:
    return volume.geometry.spacing[1:] if volume.geometry.is_physical else None
