"""A folder of finished examples: images with masks, in the layouts that training data has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError, ReferencePairError
from medprism.data.datasets.folder import open_folder, open_volumes
from medprism.inference.knowledge import Example
from medprism.io.reader import read_image, read_mask

# Every example costs memory and time at each question; more than these add little.
MOST: Final = 16


@dataclass(frozen=True, eq=False)
class ReferenceFolder:
    """The examples of one label, and how many more the folder has than were taken."""

    label: str | None
    examples: tuple[Example, ...]
    left_out: int


def open_references(
    folder: Path, label: str | None, most: int = MOST, *, resample: bool = False
) -> ReferenceFolder:
    """Return the examples of a folder with `images/` and `masks/`, or `volumes/`.

    Where `dataset.json` names classes, the masks of the class `label` are taken (of the only one
    if there is just one), and images that do not show it are left out. Elsewhere all that is not
    background is inside, unless the mask files name labels. Of more than `most` examples that many
    are taken, spread evenly. With `resample` masks on other grids are brought onto their images'.

    Raises:
        ImageReadError: another layout, or an image without mask.
        LabelError: the folder has several classes and `label` names none of them.
        ReferencePairError: no image shows the class.
        GeometryError: a mask on another grid than its image.
    """
    with TemporaryDirectory() as drawn_splits:
        opener = open_volumes if (folder / "volumes").is_dir() else open_folder
        dataset = opener(folder, Path(drawn_splits))
    pairs = [(image, dataset.masks[stem]) for stem, image in dataset.images.items()]
    classes = dataset.info.classes
    if not classes:
        chosen = _spread(pairs, most)
        examples = tuple(Example(image, mask) for image, mask in chosen)
        return ReferenceFolder(label, examples, len(pairs) - len(chosen))
    number, name = _choose_class(folder, classes, label)
    showing = [pair for pair in pairs if (read_mask(pair[1]).array == number).any()]
    if not showing:
        raise ReferencePairError(
            f"none of the {len(pairs)} masks in {folder} shows {name!r} (label {number}); "
            "choose another class or folder"
        )
    chosen = _spread(showing, most)
    found = tuple(_example(image, mask, number, resample=resample) for image, mask in chosen)
    return ReferenceFolder(label or name, found, len(showing) - len(chosen))


def _choose_class(folder: Path, classes: Mapping[int, str], label: str | None) -> tuple[int, str]:
    if label is None and len(classes) == 1:
        return next(iter(classes.items()))
    if label is None:
        raise LabelError(
            f"{folder} has the classes {', '.join(classes.values())}; say with a label which one"
        )
    table = ConceptTable(tuple(Concept(name) for name in classes.values()))
    return list(classes.items())[table.row(label)]


def _example(image: Path, mask: Path, number: int, *, resample: bool) -> Example:
    opened = read_image(image)
    found = read_mask(mask, like=opened, resample=resample)
    return Example(opened, np.asarray(found.array == number))


def _spread(pairs: list[tuple[Path, Path]], most: int) -> list[tuple[Path, Path]]:
    if len(pairs) <= most:
        return pairs
    return [pairs[int(at)] for at in np.linspace(0, len(pairs) - 1, most).round()]
