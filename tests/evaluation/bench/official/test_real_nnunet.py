"""The real nnU-Net with random weights, where MEDPRISM_NNUNET_PYTHON names a Python that has it.

Its own reader of PNG files says what must come out, pixel by pixel.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from medprism.core.concepts import ConceptTable
from medprism.core.image import Image
from medprism.evaluation.bench.official.nnunetv2 import NnUNetWeights
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.bench.official.process import RunnerProcess
from tests.inference.phantom import scene

PYTHON = os.environ.get("MEDPRISM_NNUNET_PYTHON")
LABELS = {"background": 0, "liver": 1, "left_kidney": 2}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="MEDPRISM_NNUNET_PYTHON names no Python"),
]

TRAIN = """
import sys, torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
folder, channels = sys.argv[1], int(sys.argv[2])
plans = PlansManager(folder + "/plans.json")
torch.manual_seed(3)
for fold in (0, 1):
    network = nnUNetTrainer.build_network_architecture(
        plans, plans.get_configuration("2d"), channels, 3, enable_deep_supervision=False)
    torch.save({"network_weights": network.state_dict(), "trainer_name": "nnUNetTrainer",
                "init_args": {"configuration": "2d"}, "inference_allowed_mirroring_axes": (0, 1)},
               f"{folder}/fold_{fold}/checkpoint_final.pth")
"""
PREDICT = """
import sys, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
predictor.initialize_from_trained_model_folder(sys.argv[1], (0, 1))
predictor.predict_from_files_sequential([[sys.argv[2]]], [sys.argv[3]], False, True, None)
"""


def plans(channels: int) -> dict[str, Any]:
    """Return plans of a small 2-D network."""
    settings = {
        "n_stages": 3,
        "features_per_stage": [8, 16, 32],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    resampling: dict[str, Any] = {}
    for what, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        resampling[f"resampling_fn_{what}"] = "resample_data_or_seg_to_shape"
        resampling[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": what == "seg",
            "order": order,
            "order_z": 0,
            "force_separate_z": None,
        }
    configuration = {
        "data_identifier": "2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [64, 64],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": settings,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        **resampling,
    }
    figures = {"min": 0, "max": 255, "mean": 100, "std": 50}
    return {
        "dataset_name": "Dataset001_scenes",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "configurations": {"2d": configuration},
        "foreground_intensity_properties_per_channel": {str(c): figures for c in range(channels)},
    }


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colours"])
def test_a_slice_of_ours_is_segmented_as_the_same_file_by_nnunet(
    tmp_path: Path, channels: int
) -> None:
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
    for fold in (0, 1):
        (folder / f"fold_{fold}").mkdir(parents=True)
    names = {str(channel): name for channel, name in enumerate("RGB"[:channels])}
    dataset = {"channel_names": names, "labels": LABELS, "numTraining": 1, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(plans(channels)))
    grey, _ = scene(1)
    pixels = grey if channels == 1 else np.stack([grey, np.roll(grey, 9, 1), 255 - grey], -1)
    file = tmp_path / "scene_0000.png"
    assert cv2.imwrite(str(file), pixels if channels == 1 else pixels[..., ::-1])
    for script, arguments in (
        (TRAIN, (folder, channels)),
        (PREDICT, (folder, file, tmp_path / "theirs")),
    ):
        command = [str(PYTHON), "-c", script, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True)
    expected = cv2.imread(str(tmp_path / "theirs.png"), cv2.IMREAD_GRAYSCALE)
    order = OfficialOrder(
        package="nnunetv2", weights=folder, python=str(PYTHON), device="cpu", threads=1
    )
    weights = NnUNetWeights.read(order, ConceptTable(()))
    with RunnerProcess("nnunetv2", order.python, seconds=300.0) as runner:
        runner.ask("find")
        settings = {"device": "cpu", "threads": 1, **weights.settings}
        said, _ = runner.ask("load", weights=str(folder), **settings)
        session = weights.session(runner, said)
        session.set_image(Image.from_array(pixels))
        found = session.predict(classes=["liver", "left kidney"])
    assert expected.any()
    np.testing.assert_array_equal(found["liver"].mask, expected == 1)
    np.testing.assert_array_equal(found["left kidney"].mask, expected == 2)
