"""Labelled volumes of a dataset, whole and in memory, on one working grid [Iris]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from medprism.core.errors import StoreError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.core.volume_intensity import standardise_volume
from medprism.core.working_grid import WorkingGrid, choose_spacing
from medprism.data.case import DatasetInfo
from medprism.data.datasets.adapters import open_dataset
from medprism.data.datasets.folder import FolderDataset
from medprism.io.reader import read_image, read_mask

# The paper's windows show 128 voxels of 1.5 mm along an axis [Iris, Sec. 4].
FIELD_MM: Final = 192.0


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume on the working grid with its label numbers; `patient` is never empty.

    A volume whose patient is unknown is a patient of its own.
    """

    case_id: str
    patient: str
    split: str
    image: Float32[np.ndarray, "slices height width"]
    labels: UInt8[np.ndarray, "slices height width"]


@dataclass(frozen=True, eq=False)
class VolumeSet:
    """The volumes of one dataset on a grid of `spacing` mm."""

    info: DatasetInfo
    spacing: float
    volumes: tuple[LabelledVolume, ...]

    def of(self, split: str) -> tuple[LabelledVolume, ...]:
        """Return the volumes on one side of the split."""
        return tuple(volume for volume in self.volumes if volume.split == split)


def coarse_spacing(side: int) -> float:
    """Return the spacing in mm at which a window of `side` voxels shows what the paper's shows.

    Small volumes are worked on more finely (see `choose_spacing`).

    >>> coarse_spacing(128), coarse_spacing(64)
    (1.5, 3.0)
    """
    return FIELD_MM / side


def open_volume_sets(folders: Iterable[Path], splits: Path) -> tuple[FolderDataset, ...]:
    """Open the training sets of volumes among dataset folders; sets of other roles are left out.

    Raises:
        StoreError: a training set of pictures or in a published layout, or no training set.
    """
    found = []
    folders = tuple(folders)
    for folder in folders:
        dataset = open_dataset(folder, splits)
        if dataset.info.role != "train":
            continue
        if not isinstance(dataset, FolderDataset) or not (folder / "volumes").is_dir():
            raise StoreError(
                f"{folder} is no folder of volumes (volumes/<case>_img and <case>_seg), which this "
                "model learns from; write it in that layout (medprism data convert --to plain)"
            )
        found.append(dataset)
    if not found:
        raise StoreError(
            f"no training set among {', '.join(str(folder) for folder in folders)}; the role in "
            'dataset.json must be "train"'
        )
    return tuple(found)


def read_volume_set(
    dataset: FolderDataset, side: int, progress: Progress | None = None
) -> VolumeSet:
    """Read all volumes of a dataset and bring them to its working grid.

    The spacing follows from the volumes to train on (see `choose_spacing`), `side` is that of a
    window in voxels.

    Raises:
        StoreError: no volume to train on.
        ImageReadError, GeometryError: a file that cannot be read, or no volume.
    """
    progress = progress or SilentProgress()
    images: dict[str, Image] = {}
    for number, (case, path) in enumerate(dataset.images.items()):
        progress.report(number, len(dataset.images), dataset.info.name)
        image = read_image(path)
        modality = image.modality or dataset.info.modality
        images[case] = image.replace(modality=modality)
    training = [images[case].geometry for case in images if dataset.split[case] == "train"]
    if not training:
        raise StoreError(f"{dataset.info.name} has no volume to train on; mend its split")
    spacing = choose_spacing(training, side, coarse_spacing(side))
    volumes = []
    for case in dataset.images:
        image = images.pop(case)
        grid = WorkingGrid(image.geometry, spacing)
        mask = read_mask(dataset.masks[case], like=image, resample=dataset.resample)
        volumes.append(
            LabelledVolume(
                case_id=case,
                patient=dataset.patients[case] or f"unknown, {case}",
                split=dataset.split[case],
                image=grid.bring(standardise_volume(image)),
                labels=grid.bring_labels(mask.array),
            )
        )
    return VolumeSet(dataset.info, spacing, tuple(volumes))


def read_volume_sets(
    folders: Sequence[Path], side: int, progress: Progress | None = None
) -> tuple[VolumeSet, ...]:
    """Open and read all training sets of volumes; splits that are not written are drawn.

    Raises:
        StoreError: no training set of volumes.
    """
    with TemporaryDirectory() as splits:
        opened = open_volume_sets(folders, Path(splits))
    return tuple(read_volume_set(dataset, side, progress) for dataset in opened)
