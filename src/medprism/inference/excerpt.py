"""Some slices of an image as an image of their own, as bright as in the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medprism.core.errors import PromptError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range


def excerpt(image: Image, slices: Sequence[int]) -> Image:
    """Return slices of an image in 8 bit, windowed by the rule of the whole image.

    Percentiles are taken over a whole volume, so slices alone would come out brighter or darker;
    the price is rounding to 1/255. The excerpt knows no spacing.

    Raises:
        PromptError: no slice, or one outside the image.

    >>> excerpt(Image.from_array(np.zeros((5, 4, 6), np.int16)), [3]).shape
    (4, 6)
    """
    if not slices or not all(0 <= index < image.num_slices for index in slices):
        raise PromptError(
            f"slices {list(slices)} of an image of {image.num_slices}; give at least one, each "
            f"0..{image.num_slices - 1}"
        )
    bounds = choose_rule(image).bounds(image)
    planes = [np.rint(to_eight_bit_range(image.voxels[at], bounds)) for at in slices]
    voxels = np.stack(planes).astype(np.uint8)
    shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
    return Image(voxels, Geometry.pixels(shape), is_planar=len(planes) == 1)
