"""Whole volumes of a dataset as their files have them: every slice, and distances in mm.

A slice store cannot give these: it keeps the spacing within a slice but not the distance between
slices, and its slices may be shrunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import LabelError, StoreError
from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.data.case import Dataset, LabelPlanes
from medprism.data.piece import Piece, pieces_of
from medprism.data.stored_slice import read_image, read_planes
from medprism.evaluation.cases import Target


@dataclass(frozen=True, eq=False)
class WholeVolume:
    """A volume with the planes of its labels, by slice; slices without labels have none."""

    name: str
    patient: str | None
    split: str
    image: Image
    planes: Mapping[int, LabelPlanes]

    def truth(self, target: Target) -> Bool[np.ndarray, "slices height width"]:
        """Return where a target is."""
        mask = np.zeros(self.image.geometry.shape, np.bool_)
        for index, planes in self.planes.items():
            for label_id, plane in planes.items():
                if label_id in target.label_ids:
                    mask[index] |= plane
        return mask

    def shown(self, target: Target) -> tuple[int, ...]:
        """Return the slices that show a target, in ascending order."""
        return tuple(
            index
            for index, planes in sorted(self.planes.items())
            if any(planes[label_id].any() for label_id in target.label_ids if label_id in planes)
        )


class VolumeFolder:
    """The volumes of a dataset, read when asked for; the last few stay in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.volume = lru_cache(maxsize=4)(self._read)

    @cached_property
    def pieces(self) -> dict[str, Piece]:
        """Every volume by its name, in the order of the dataset."""
        return {piece.name: piece for piece in pieces_of(self.dataset)}

    def names(self, split: str) -> tuple[str, ...]:
        """Return the volumes on one side of the split."""
        return tuple(name for name in self.pieces if self.dataset.split[name] == split)

    def _read(self, name: str) -> WholeVolume:
        """Read a volume by its name.

        Raises:
            StoreError: it is a picture.
            LabelError: the dataset does not have it.
            ImageReadError, GeometryError: a file that cannot be read, or grids that differ.
        """
        if name not in self.pieces:
            raise LabelError(f"{self.dataset.info.name} has no volume {name!r}")
        cases = list(self.pieces[name].read())
        image = read_image(cases[0])
        if image.is_planar:
            raise StoreError(
                f"{name} of {self.dataset.info.name} is a picture; only volumes are measured whole"
            )
        planes = {case.plane: read_planes(case, image) for case in cases}
        return WholeVolume(name, cases[0].patient, cases[0].split, image, planes)


def other_volumes(folder: VolumeFolder, name: str, target: Target, seed: int) -> tuple[str, ...]:
    """Return the volumes that may serve one as reference, in a seeded order.

    By the rule of `FixedReferences`: those of `train`, or all where there is none; never the
    query. Patients are compared once a volume is read.
    """
    names = folder.names("train") or tuple(folder.pieces)
    rng = counter_rng(seed, target.dataset, target.concept, "reference volume")
    order = [names[int(place)] for place in rng.permutation(len(names))]
    return tuple(other for other in order if other != name)
