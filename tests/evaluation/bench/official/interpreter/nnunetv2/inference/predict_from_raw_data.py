"""nnU-Net's predictor with the signatures of 2.8, which finds labels by their brightness.

A checkpoint is JSON: the configuration, {label: [channel, lowest, highest]}, and the spacing that
images must have. The first of several folds decides.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch


class nnUNetPredictor:  # noqa: N801
    def __init__(
        self,
        tile_step_size: float = 0.5,
        use_gaussian: bool = True,
        use_mirroring: bool = True,
        perform_everything_on_device: bool = True,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        verbose: bool = False,
        verbose_preprocessing: bool = False,
        allow_tqdm: bool = True,
    ) -> None:
        assert isinstance(device, torch.device)
        assert use_mirroring and use_gaussian
        print("perform_everything_on_device=True is only supported for cuda devices!")

    def initialize_from_trained_model_folder(
        self,
        model_training_output_dir: str,
        use_folds: tuple[int | str, ...] | None,
        checkpoint_name: str = "checkpoint_final.pth",
    ) -> None:
        assert isinstance(model_training_output_dir, str)
        assert isinstance(use_folds, tuple)
        folder = Path(model_training_output_dir)
        plans = json.loads((folder / "plans.json").read_text())
        self.dataset = json.loads((folder / "dataset.json").read_text())
        learned = []
        for fold in use_folds:
            assert fold == "all" or isinstance(fold, int)
            learned.append(json.loads((folder / f"fold_{fold}" / checkpoint_name).read_text()))
        self.learned = learned[0]
        self.configuration_manager = SimpleNamespace(
            **plans["configurations"][self.learned["configuration"]]
        )

    def predict_single_npy_array(
        self,
        input_image: np.ndarray,
        image_properties: dict[str, Any],
        segmentation_previous_stage: np.ndarray | None = None,
        output_file_truncated: str | None = None,
        save_or_return_probabilities: bool = False,
    ) -> np.ndarray:
        # What C++ under a package prints is caught as well.
        os.write(1, b"\nPredicting image:\n")
        print('{"bytes": 0}')
        assert segmentation_previous_stage is None and output_file_truncated is None
        assert save_or_return_probabilities is False
        assert input_image.dtype == np.float32 and input_image.ndim == 4
        assert input_image.shape[:2] == (len(self.dataset["channel_names"]), 1)
        assert list(image_properties) == ["spacing"]
        between, *within = image_properties["spacing"]
        assert between == 999
        if not np.allclose(within, self.learned["spacing"]):
            if self.learned.get("dies"):
                os.kill(os.getpid(), signal.SIGSEGV)
            raise RuntimeError(f"CUDA out of memory.\nTried to allocate {within} GiB")
        labels = np.zeros(input_image.shape[1:], np.uint8)
        for label, (channel, low, high) in self.learned["labels"].items():
            plane = input_image[channel]
            labels[(plane >= low) & (plane <= high)] = int(label)
        return labels
