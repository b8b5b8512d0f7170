"""A published set that lies in a folder, as the cases a store is prepared from."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
from jaxtyping import Bool
from nibabel.filebasedimages import ImageFileError

from medprism.core.errors import ImageReadError
from medprism.core.image import Image
from medprism.core.preprocess import RULES, IntensityRule, choose_rule, to_eight_bit_range
from medprism.data.case import Case, DatasetInfo
from medprism.data.datasets.file_pattern import FoundCase, find_cases
from medprism.data.datasets.mask_kind import BesideMask, NumberMask, Numbers
from medprism.data.datasets.published import PublishedSet, Use
from medprism.data.datasets.slices import planes_of, slices_of
from medprism.data.piece import Piece
from medprism.data.splits import SplitConfig, load_or_draw_split
from medprism.io.foreign import decoding
from medprism.io.reader import read_image

# nibabel annotates only part of its functions.
_nib: Final[Any] = nibabel
Plane = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class PublishedDataset:
    """The cases of a published set in a folder, with the split of the paper that used it."""

    published: PublishedSet
    found: tuple[FoundCase, ...]
    split: dict[str, str]

    @property
    def info(self) -> DatasetInfo:
        """Name, role, classes and licence."""
        return self.published.info

    def source_files(self) -> tuple[Path, ...]:
        """Return all images and masks, sorted; a folder of slices gives its files."""
        return tuple(sorted({file for case in self.found for file in case.files()}))

    def cases(self) -> Iterator[Case]:
        """Yield labelled slices of volumes, and pictures, sorted by case; one image at a time."""
        for found in self.found:
            yield from (case for case in self.cases_of(found) if not case.is_unlabelled)

    def cases_of(self, found: FoundCase) -> Iterator[Case]:
        """Yield what is found at one place: a picture, tiles, or all slices of its volumes."""
        published = self.published
        base = Case(
            dataset=self.info.name,
            case_id=found.case_id,
            patient=found.patient,
            split=self.split[found.case_id],
            role=self.info.role,
            image=found.image,
            masks={},
            modality=self.info.modality,
        )
        is_one_picture = published.tile is None and not isinstance(published.mask, BesideMask)
        if published.unit == "images" and is_one_picture:
            yield replace(base, masks=PlanesOnDemand(published, found))
            return
        for case_id, image, numbers in read_case(published, found):
            yield from slices_of(replace(base, case_id=case_id), image, numbers)

    @property
    def num_pieces(self) -> int:
        """How many places in the layout hold an image."""
        return len(self.found)

    def pieces(self) -> Iterator[Piece]:
        """Yield what is found at each place, with all slices of volumes; nothing is read yet."""
        for found in self.found:
            split = {found.case_id: self.split[found.case_id]}
            alone = replace(self, found=(found,), split=split)
            yield Piece(found.case_id, (found.image, *found.masks), partial(alone.cases_of, found))

    def with_resampling(self) -> PublishedDataset:
        """Return the same dataset, whose masks of label numbers come onto their images' grids."""
        mask = self.published.mask
        if not isinstance(mask, NumberMask):
            return self
        return replace(self, published=replace(self.published, mask=replace(mask, resample=True)))


class PlanesOnDemand(Mapping[int, Plane]):
    """The masks of a picture, read anew whenever they are asked for and never kept."""

    def __init__(self, published: PublishedSet, found: FoundCase) -> None:
        self._published = published
        self._found = found

    def __getitem__(self, label_id: int) -> Plane:
        return self._read()[label_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def items(self) -> ItemsView[int, Plane]:
        """Return all planes from one reading."""
        return self._read().items()

    def _read(self) -> Mapping[int, Plane]:
        ((_, _, numbers),) = read_case(self._published, self._found)
        return planes_of(numbers[0])


def open_published(published: PublishedSet, folder: Path, splits: Path) -> PublishedDataset:
    """Open a published set in its official layout.

    The split is that of the paper: official parts stay together or are drawn by patient in the
    paper's proportion, from a fixed seed, and written to `splits` (the papers give no lists).

    Raises:
        ImageReadError: nothing of the layout is there, or an image lacks its mask.
    """
    findings = find_cases(folder, published.patterns)
    if findings.without_mask:
        image, wanted = findings.without_mask[0]
        raise ImageReadError(
            f"{image} has no mask ({wanted} is not there, {len(findings.without_mask)} such "
            f"images); see: medprism data check {published.name} {folder}"
        )
    if not findings.cases:
        raise ImageReadError(
            f"{folder} holds nothing of {published.title}; expected {published.layout}"
        )
    return PublishedDataset(
        published,
        findings.cases,
        assign_split(published.uses[0], findings.cases, splits, published),
    )


def assign_split(
    use: Use, cases: tuple[FoundCase, ...], splits: Path, published: PublishedSet
) -> dict[str, str]:
    """Return the split of every case by a paper's rule; drawn ones are written to `splits`."""
    assigned: dict[str, str] = {}
    for part, target in use.split.items():
        members = {case.case_id: case.patient for case in cases if case.part == part}
        if isinstance(target, str):
            assigned |= dict.fromkeys(members, target)
        elif members:
            train, val, test = (share / sum(target) for share in target)
            config = SplitConfig(train=train, val=val, test=test)
            path = splits / f"{published.name}-{part}.json"
            assigned |= load_or_draw_split(path, members, config)
    return assigned


def read_case(published: PublishedSet, found: FoundCase) -> Iterator[tuple[str, Image, Numbers]]:
    """Yield (case, image, label numbers) of a found case: one, or one a frame or tile.

    Labels that belong to no concept are background. Intensities are raw where the package's own
    choice of a rule is that of the set, else 8 bit by the set's rule.

    Raises:
        ImageReadError: a file that cannot be read.
        GeometryError: image and mask lie on different grids.
        LabelError: a mask holds a number that the set does not define.
    """
    frames = labelled_frames(found.masks[0]) if found.has_frames else (None,)
    for frame in frames:
        part = None if frame is None else str(frame)
        image = read_image(found.image, part).replace(modality=published.modality)
        image, numbers = published.mask.read(image, found.masks, part)
        if published.left_out:
            numbers = np.where(np.isin(numbers, list(published.left_out)), 0, numbers).astype(
                numbers.dtype
            )
        image = _by_rule(image, RULES[published.intensity])
        name = found.case_id if frame is None else f"{found.case_id}_frame{frame:02d}"
        if published.tile is None:
            yield name, image, numbers
        else:
            yield from _tiles(name, image, numbers, published.tile)


def labelled_frames(path: Path) -> tuple[int, ...]:
    """Return the volumes of a 4-D NIfTI mask that have any label.

    Raises:
        ImageReadError: the file cannot be read, or has not four axes.
    """
    try:
        with decoding("NIfTI", ImageFileError):
            values = np.asanyarray(_nib.load(path).dataobj)
    except ImageReadError as error:
        raise ImageReadError(f"{path}: {error}") from error
    if values.ndim != 4:
        raise ImageReadError(f"{path} has {values.ndim} axes; a row of volumes has 4")
    return tuple(int(n) for n in np.flatnonzero(values.any(axis=(0, 1, 2))))


def _by_rule(image: Image, rule: IntensityRule) -> Image:
    if image.is_rgb or choose_rule(image).name == rule.name:
        return image
    bounds = rule.bounds(image)
    planes = [np.rint(to_eight_bit_range(plane, bounds)).astype(np.uint8) for plane in image.voxels]
    return image.replace(voxels=np.stack(planes))


def _tiles(
    name: str, image: Image, numbers: Numbers, side: int
) -> Iterator[tuple[str, Image, Numbers]]:
    """Yield the labelled tiles of a picture; what is left over at the edges is dropped."""
    height, width = image.geometry.shape[1:]
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            rows, cols = slice(top, top + side), slice(left, left + side)
            labels = numbers[:, rows, cols]
            if labels.any():
                pixels = np.ascontiguousarray(image.voxels[0, rows, cols])
                plane = pixels if image.is_rgb else pixels[..., 0]
                tile = Image.from_array(plane, modality=image.modality)
                yield f"{name}_r{top}_c{left}", tile, labels
