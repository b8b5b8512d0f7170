"""Folders of images with masks, with or without dataset.json.

Two layouts: `images/` and `masks/` with the same names, or `volumes/` with <case>_img and
<case>_seg. Pictures are cases; volumes are cut into their labelled slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.case import SPLITS, Case, DatasetInfo
from medprism.data.datasets.description import WrittenSplit, read_description
from medprism.data.datasets.series import SlicePosition, locate_slices
from medprism.data.datasets.slices import cut_slices
from medprism.data.piece import Piece
from medprism.data.splits import SplitConfig, load_or_draw_split

PICTURES: Final = (".png", ".jpg", ".jpeg", ".bmp")
# These may hold a volume; only reading tells.
VOLUMES: Final = (".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".tiff")


@dataclass(frozen=True)
class FolderDataset:
    """Image and mask files by case, with what dataset.json and the split say about them.

    With `resample` masks on other grids are brought onto those of their images.
    """

    info: DatasetInfo
    folder: Path
    images: dict[str, Path]
    masks: dict[str, Path]
    patients: dict[str, str | None]
    split: dict[str, str]
    resample: bool = False

    def source_files(self) -> tuple[Path, ...]:
        """Return dataset.json, images and masks."""
        described = self.folder / "dataset.json"
        first = (described,) if described.exists() else ()
        return (*first, *self.images.values(), *self.masks.values())

    def cases(self) -> Iterator[Case]:
        """Yield the cases sorted by name; volumes are read here, pictures later."""
        places = locate_slices(self.info.name, self.images)
        for stem, image in self.images.items():
            case = self._case(stem, places[stem])
            if image.name.casefold().endswith(VOLUMES):
                yield from cut_slices(case, image, self.masks[stem])
            else:
                yield case

    @property
    def num_pieces(self) -> int:
        """How many pictures and volumes there are."""
        return len(self.images)

    def pieces(self) -> Iterator[Piece]:
        """Yield pictures and whole volumes in the order of the cases; nothing is read yet."""
        places = locate_slices(self.info.name, self.images)
        for stem, image in self.images.items():
            mask = self.masks[stem]
            alone = replace(
                self,
                images={stem: image},
                masks={stem: mask},
                patients={stem: self.patients[stem]},
                split={stem: self.split[stem]},
            )
            read = partial(_cases_at, alone, places[stem].relative_position)
            yield Piece(stem, (image, mask), read)

    def with_resampling(self) -> FolderDataset:
        """Return the same dataset, which brings masks onto the grids of their images."""
        return replace(self, resample=True)

    def _case(self, stem: str, place: SlicePosition) -> Case:
        return Case(
            dataset=self.info.name,
            case_id=stem,
            patient=self.patients[stem],
            split=self.split[stem],
            role=self.info.role,
            image=self.images[stem],
            masks=self.masks[stem],
            modality=self.info.modality,
            slice_index=place.slice_index,
            relative_position=place.relative_position,
            view=place.view,
            resample=self.resample,
        )


def open_folder(folder: Path, splits: Path, config: SplitConfig | None = None) -> FolderDataset:
    """Open a folder with `images/` and `masks/`.

    `dataset.json`, where present, gives name, role, classes, patients and split. What it leaves
    out has defaults: the folder's name, role "train", unknown patients, and a split drawn by
    patient, written to `splits`/<name>.json. Classes that are not named are found in the masks
    when the store is prepared.

    Raises:
        ImageReadError: an image without mask or the other way round, or no image at all.
        LabelError: dataset.json is damaged or contradicts the files.
    """
    images, masks = (_by_stem(folder / side) for side in ("images", "masks"))
    return _assemble(folder, images, masks, splits, config)


def open_volumes(folder: Path, splits: Path, config: SplitConfig | None = None) -> FolderDataset:
    """Open a folder with `volumes/` that holds <case>_img and <case>_seg files.

    Raises:
        ImageReadError: an image without mask or the other way round, or no image at all.
        LabelError: dataset.json is damaged or contradicts the files.
    """
    files = _by_stem(folder / "volumes")
    images = {n.removesuffix("_img"): path for n, path in files.items() if n.endswith("_img")}
    masks = {n.removesuffix("_seg"): path for n, path in files.items() if n.endswith("_seg")}
    return _assemble(folder, images, masks, splits, config)


def _cases_at(alone: FolderDataset, relative_position: float | None) -> Iterator[Case]:
    for case in alone.cases():
        # One picture alone does not know its place among the others; slices of a volume do.
        is_picture = case.case_id in alone.images
        yield replace(case, relative_position=relative_position) if is_picture else case


def _assemble(
    folder: Path,
    images: dict[str, Path],
    masks: dict[str, Path],
    splits: Path,
    config: SplitConfig | None,
) -> FolderDataset:
    unpaired = sorted(set(images) ^ set(masks))
    if unpaired or not images:
        what = f"{unpaired[0]!r} has no partner" if unpaired else "there is no image"
        raise ImageReadError(
            f"{folder}: {what}; every image needs a mask of the same name (images/ and masks/, or "
            "<case>_img and <case>_seg in volumes/)"
        )
    described = read_description(folder / "dataset.json")
    info = described.to_info(folder.name)
    patients = {stem: described.patients.get(stem) for stem in images}
    if described.split is None:
        path = splits / f"{info.name}.json"
        split = load_or_draw_split(path, patients, config or SplitConfig())
    else:
        split = _written_split(described.split, set(images), folder)
    return FolderDataset(info, folder, images, masks, patients, split)


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ImageReadError(f"{folder} is not a folder; a dataset needs it")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = _suffix(path)
        if suffix is None:
            continue
        stem = path.name[: -len(suffix)]
        if stem in found:
            raise ImageReadError(f"{path} and {found[stem].name} share a name; rename one")
        found[stem] = path
    return found


def _suffix(path: Path) -> str | None:
    name = path.name.casefold()
    return next((s for s in (*PICTURES, *VOLUMES) if name.endswith(s) and name != s), None)


def _written_split(written: WrittenSplit, cases: set[str], folder: Path) -> dict[str, str]:
    split: dict[str, str] = {
        case_id: name for name, members in written.items() for case_id in members
    }
    if set(split) != cases or len(split) != sum(map(len, written.values())):
        raise LabelError(
            f"{folder.name}: the split in dataset.json must put each of its {len(cases)} images "
            f"into exactly one of {', '.join(SPLITS)}"
        )
    return split
