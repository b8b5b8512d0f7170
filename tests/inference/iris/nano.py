"""A nano Iris with random weights, loaded as from a checkpoint, and phantoms as files' images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.image import Image
from medprism.engines.iris import LoadedIris, load_iris
from medprism.inference.iris.encoding import VolumeReference
from medprism.models.checkpoint import CheckpointInfo, save_checkpoint
from medprism.models.iris.config import iris_nano
from medprism.models.iris.model import Iris
from tests.data.volume_phantoms import CLASSES, draw_volume

NAMES = tuple(CLASSES.values())


def write_nano(path: Path, seed: int = 1, *, learns_bank: bool = True) -> Path:
    """Write a checkpoint of random weights whose bank has seen the first class only."""
    torch.manual_seed(seed)
    model = Iris(iris_nano(2)).eval()
    if learns_bank:
        image, labels = draw_volume(0)
        masks = torch.from_numpy((labels == 1)[None, None].astype(np.float32))
        with torch.no_grad():
            tasks = model.encode_references(torch.from_numpy(image)[None, None], masks)
        model.remember(torch.zeros(1, 1, dtype=torch.int64), tasks)
    concepts = ConceptTable(
        tuple(Concept(name, (), {"phantoms": (n,)}) for n, name in CLASSES.items())
    )
    info = CheckpointInfo(
        name="iris-nano",
        architecture="iris",
        config=iris_nano(2).to_json(),
        concepts=concepts,
        preprocessing={"window": 32, "coarse_mm": 1.5, "spacing_mm": {"phantoms": 1.25}},
    )
    save_checkpoint(path, info, model.state_dict())
    return path


def load_nano(folder: Path, seed: int = 1) -> LoadedIris:
    return load_iris(write_nano(folder / f"nano{seed}.safetensors", seed))


def make_reference(
    number: int, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> VolumeReference:
    array, labels = draw_volume(number)
    # Slices towards S, rows towards P, columns towards L.
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing[0], -spacing[1], -spacing[2]
    affine[3, 3] = 1.0
    image = Image.from_array(array, affine=affine, modality="MR")
    masks = {name: labels == n for n, name in CLASSES.items()}
    return VolumeReference(f"case{number}", image, masks)
