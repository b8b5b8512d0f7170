"""Intensities of whole volumes: Hounsfield units by a window, all else by percentiles [Iris]."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.preprocess import IntensityRule, choose_rule

RULES: Final[dict[str, IntensityRule]] = {
    "ct": IntensityRule("ct", -990.0, 500.0),
    "percentile": IntensityRule("percentile", 2.0, 98.0, by_percentile=True),
}


def standardise_volume(image: Image) -> Float32[np.ndarray, "slices height width"]:
    """Clip by the rule of the modality, then bring to mean 0 and deviation 1 over the volume.

    What is not finite takes a bound. A constant volume becomes zeros.

    Raises:
        GeometryError: a colour image, or a picture of one slice.

    >>> ramp = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    >>> values = standardise_volume(Image.from_array(ramp))
    >>> round(float(values.std()), 4), bool(abs(values.mean()) < 1e-6)
    (1.0, True)
    """
    if image.is_rgb or image.is_planar:
        what = "in colour" if image.is_rgb else "one slice"
        raise GeometryError(
            f"the image{'' if image.source is None else f' {image.source}'} is {what}, and this "
            "model takes grey volumes; use one of K-Prism's checkpoints for pictures"
        )
    is_hounsfield = choose_rule(image).name == "ct-organ"
    low, high = RULES["ct" if is_hounsfield else "percentile"].bounds(image)
    values = np.asarray(image.voxels[..., 0], np.float64)
    values = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    deviation = values.std()
    if not deviation > 1e-12 * max(abs(low), abs(high), 1e-300):
        return np.zeros(values.shape, np.float32)
    return np.asarray((values - values.mean()) / deviation, np.float32)
