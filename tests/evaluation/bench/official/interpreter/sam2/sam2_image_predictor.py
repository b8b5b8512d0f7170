"""SAM 2's predictor of images with the signatures of 1.1, which floods what looks like a click.

It wants what the real one documents: bytes of (height, width, 3), all points as (x, y), and the
logits of its own last answer from the second point on.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from flood import flood


class SAM2ImagePredictor:
    def __init__(
        self,
        sam_model: SimpleNamespace,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        self.model = sam_model
        self.image: np.ndarray | None = None
        self.last: np.ndarray | None = None

    def set_image(self, image: np.ndarray) -> None:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        self.image = image.astype(float)

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert self.image is not None and point_coords is not None and point_labels is not None
        assert box is None and not multimask_output and not return_logits and normalize_coords
        assert point_coords.shape == (len(point_labels), 2)
        if len(point_labels) == 1:
            assert mask_input is None
        else:
            assert mask_input is not None and mask_input.shape == (1, 256, 256)
            np.testing.assert_array_equal(mask_input, self.last)
        height, width = self.image.shape[:2]
        shown = np.zeros((height, width), bool)
        for (x, y), sign in zip(point_coords.astype(int), point_labels, strict=True):
            assert 0 <= x < width and 0 <= y < height
            near = np.abs(self.image - self.image[y, x]).max(-1) <= self.model.reach
            shown[flood(near, (y, x))] = sign == 1
        rng = np.random.default_rng(len(point_labels))
        self.last = rng.normal(size=(1, 256, 256)).astype(np.float32)
        return shown[None].astype(np.float32), np.array([0.9], np.float32), self.last
