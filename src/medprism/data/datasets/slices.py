"""Cut a volume with its mask into cases, one a slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from medprism.core.image import Image
from medprism.data.case import Case
from medprism.io.reader import read_image, read_mask


def cut_slices(case: Case, image: Path, mask: Path) -> Iterator[Case]:
    """Yield the labelled slices of a file pair, named <case>_z<slice>; a picture is one case.

    `case` gives everything but image, masks and place. Slices without any label are left out, as
    in the K-Prism paper; a picture is kept even so.

    Raises:
        ImageReadError: a file that cannot be read.
        GeometryError: image and mask lie on different grids.
    """
    volume = read_image(image).replace(modality=case.modality)
    numbers = read_mask(mask, like=volume).array
    if volume.is_planar:
        yield replace(case, image=volume, masks=_planes(numbers), spacing=_spacing(volume))
        return
    last = max(1, volume.num_slices - 1)
    for index in range(volume.num_slices):
        planes = _planes(numbers[index])
        if planes:
            yield replace(
                case,
                case_id=f"{case.case_id}_z{index:03d}",
                image=volume,
                masks=planes,
                slice_index=index,
                relative_position=index / last,
                spacing=_spacing(volume),
                plane=index,
            )


def _planes(numbers: np.ndarray) -> dict[int, Bool[np.ndarray, "height width"]]:
    return {int(number): numbers == number for number in np.unique(numbers) if number > 0}


def _spacing(volume: Image) -> tuple[float, float] | None:
    return volume.geometry.spacing[1:] if volume.geometry.is_physical else None
