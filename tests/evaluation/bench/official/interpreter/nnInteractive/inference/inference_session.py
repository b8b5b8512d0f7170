"""nnInteractive's session with the signatures of 2.6, which floods what is as bright as a click.

A checkpoint is JSON: how much brightness may differ. Like the real one it is loud, forgets its
buffer with a new image, and refuses an image that is zero everywhere.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from flood import flood


class nnInteractiveInferenceSession:  # noqa: N801
    def __init__(
        self,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        use_torch_compile: bool = False,
        verbose: bool = False,
        torch_n_threads: int = 8,
        do_autozoom: bool = True,
        interactions_storage: str = "auto",
        enable_undo: bool = True,
    ) -> None:
        assert isinstance(device, torch.device) and torch_n_threads >= 1
        print("session initialized")
        self.license: str | None = None
        self.image: np.ndarray | None = None
        self.buffer: np.ndarray | None = None
        self.shown = np.zeros((1, 1, 1), bool)
        self.clicked = False

    def initialize_from_trained_model_folder(
        self,
        model_training_output_dir: str,
        use_fold: int | str | None = None,
        checkpoint_name: str = "checkpoint_final.pth",
    ) -> None:
        folder = Path(model_training_output_dir)
        fold = folder / f"fold_{use_fold}"
        self.reach = json.loads((fold / checkpoint_name).read_text())["reach"]
        licence = folder / "LICENSE"
        self.license = licence.read_text() if licence.exists() else "!!MISSING!!"

    def set_image(
        self, image: np.ndarray, image_properties: dict[str, object] | None = None
    ) -> None:
        assert image.ndim == 4 and image.shape[0] == 1 and image.dtype == np.float32
        if not image.any():
            raise ValueError("Input image is entirely zero; cannot determine normalization.")
        self.image, self.buffer = image, None
        self.shown = np.zeros(image.shape[1:], bool)
        self.clicked = False

    def set_target_buffer(self, target_buffer: np.ndarray) -> None:
        if target_buffer.ndim != 3:
            raise ValueError("target_buffer must be 3D")
        self.buffer = target_buffer

    def reset_interactions(self, _preserve_undo: bool = False) -> None:
        assert self.buffer is not None
        self.shown[:] = False
        self.clicked = False
        self.buffer.fill(0)

    def add_point_interaction(
        self,
        coordinates: tuple[int, ...],
        include_interaction: bool,
        run_prediction: bool = True,
        override_capability_checks: bool = False,
    ) -> list[list[int]] | None:
        assert self.image is not None and self.buffer is not None
        assert isinstance(include_interaction, bool) and len(coordinates) == 3
        print("Added new point interaction: center", coordinates)
        volume, (between, row, col) = self.image[0], coordinates
        assert between == 0
        near = np.abs(volume[0] - volume[0, row, col]) <= self.reach
        self.shown[0, flood(near, (row, col))] = include_interaction
        # The real one draws from numpy's own generator, so who asks must have seeded it.
        if not self.clicked:
            assert np.random.random() == 0.5488135039273248
        self.clicked = True
        self.buffer[...] = self.shown
        return [[0, size] for size in volume.shape]
