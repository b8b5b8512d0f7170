"""Weights for the small packages in `interpreter`, and orders for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medprism.evaluation.bench.official.packages import OfficialOrder
from tests.inference.phantom import LEVELS

INTERPRETER = Path(__file__).parent / "interpreter"
# Noise of the scenes is within this of their brightness.
REACH = 15
LABELS = {"background": 0, "Liver": 2, "left_kidney": 5, "ignore": 9}
SEEN = {"2": "liver", "5": "left kidney"}


def levels(channel: int = 0) -> dict[str, list[float]]:
    """Return where each label lies in brightness."""
    return {
        label: [channel, LEVELS[name] - REACH, LEVELS[name] + REACH] for label, name in SEEN.items()
    }


def nnunet_folder(
    folder: Path,
    *,
    dataset: dict[str, Any] | None = None,
    plans: dict[str, Any] | None = None,
    checkpoint: dict[str, Any] | None = None,
    folds: tuple[str, ...] = ("0",),
) -> Path:
    """Write a trained folder of nnU-Net; arguments replace parts of it."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {"channel_names": {"0": "grey"}, "labels": LABELS, "file_ending": ".png"}
    configurations = {
        "2d": {"patch_size": [64, 64], "normalization_schemes": ["ZScoreNormalization"]},
        "3d_fullres": {"patch_size": [8, 64, 64], "normalization_schemes": ["CTNormalization"]},
        "ct": {"patch_size": [64, 64], "normalization_schemes": ["CTNormalization"]},
    }
    planned = {"configurations": configurations, "image_reader_writer": "NaturalImage2DIO"}
    learned = {"configuration": "2d", "labels": levels(), "spacing": [1, 1]}
    (folder / "dataset.json").write_text(json.dumps(described | (dataset or {})))
    (folder / "plans.json").write_text(json.dumps(planned | (plans or {})))
    for fold in folds:
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        path = folder / f"fold_{fold}" / "checkpoint_final.pth"
        path.write_text(json.dumps(learned | (checkpoint or {})))
    return folder


def nninteractive_folder(
    folder: Path, *, folds: tuple[str, ...] = ("0",), reach: int = REACH
) -> Path:
    """Write a folder of weights of nnInteractive."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dataset.json", "plans.json", "inference_session_class.json"):
        (folder / name).write_text("{}")
    (folder / "LICENSE").write_text("CC BY-NC-SA 4.0")
    for fold in folds:
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_text(f'{{"reach": {reach}}}')
    return folder


def sam2_file(folder: Path, *, reach: int = REACH) -> Path:
    """Write a checkpoint of SAM 2."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sam2.1_hiera_tiny.pt"
    path.write_text(f'{{"reach": {reach}}}')
    return path


def order_of(package: str, python: str, folder: Path, **changes: Any) -> OfficialOrder:  # noqa: ANN401
    """Return an order for a small package, with weights written into a folder."""
    if package == "sam2":
        changes.setdefault("config", "configs/sam2.1/sam2.1_hiera_t.yaml")
    write = {
        "nnunetv2": nnunet_folder,
        "nninteractive": nninteractive_folder,
        "sam2": sam2_file,
    }
    weights = changes.pop("weights", None) or write[package](folder)
    settings = {"seconds": 60.0, "device": "cpu", **changes}
    return OfficialOrder(package=package, weights=weights, python=python, **settings)
