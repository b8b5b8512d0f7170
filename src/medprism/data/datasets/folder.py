"""Folders of pictures: `images/` and `masks/` with the same stems, with or without dataset.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError, LabelError
from medprism.data.case import SPLITS, Case, DatasetInfo
from medprism.data.datasets.description import WrittenSplit, read_description
from medprism.data.datasets.series import locate_slices
from medprism.data.splits import SplitConfig, load_or_draw_split

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class FolderDataset:
    """A folder of pictures with masks, one case a stem."""

    info: DatasetInfo
    folder: Path
    images: dict[str, Path]
    masks: dict[str, Path]
    patients: dict[str, str | None]
    split: dict[str, str]

    def source_files(self) -> tuple[Path, ...]:
        """Return dataset.json, images and masks."""
        described = self.folder / "dataset.json"
        first = (described,) if described.exists() else ()
        return (*first, *self.images.values(), *self.masks.values())

    def cases(self) -> Iterator[Case]:
        """Yield the cases sorted by stem."""
        places = locate_slices(self.info.name, self.images)
        for stem, image in self.images.items():
            place = places[stem]
            yield Case(
                dataset=self.info.name,
                case_id=stem,
                patient=self.patients[stem],
                split=self.split[stem],
                role=self.info.role,
                image=image,
                masks=self.masks[stem],
                modality=self.info.modality,
                slice_index=place.slice_index,
                relative_position=place.relative_position,
                view=place.view,
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
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    unpaired = sorted(set(images) ^ set(masks))
    if unpaired or not images:
        what = f"{unpaired[0]!r} has no partner" if unpaired else "there is no image"
        raise ImageReadError(
            f"{folder}: {what}; every file in images/ needs one of the same name in masks/"
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
        raise ImageReadError(f"{folder} is not a folder; a dataset needs images/ and masks/")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise ImageReadError(f"{path} and {found[path.stem].name} share a name; rename one")
        found[path.stem] = path
    return found


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
