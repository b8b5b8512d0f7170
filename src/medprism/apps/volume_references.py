"""A folder of finished volumes, with all their classes at once, for Iris."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from medprism.apps.project_references import holds_project, read_project_references
from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import ConfigError, LabelError
from medprism.data.datasets.folder import FolderDataset, open_folder, open_volumes
from medprism.inference.iris.encoding import VolumeReference, references_of_bank
from medprism.io.reader import read_image, read_mask


def read_volume_references(
    folder: Path, classes: tuple[str, ...], *, resample: bool = False, split: str | None = None
) -> tuple[tuple[VolumeReference, ...], tuple[str, ...]]:
    """Return the references of a folder with `volumes/` (or `images/` and `masks/`), and classes.

    Of a folder that was annotated in the workbench they are the accepted volumes, by label.

    `dataset.json` or the mask files name the classes; `classes` chooses among them. Where nothing
    names them, all that is not background is the one class of `classes`. `split` limits the
    references to one side of the split.

    Raises:
        ImageReadError: another layout, or an image without mask.
        LabelError: no name for what the masks show, or a class that nothing names.
        GeometryError: a mask on another grid than its image.
        ReferencePairError, ProjectError: a project without references, or that is open elsewhere.
    """
    if holds_project(folder):
        if split is not None:
            raise ConfigError(f"{folder} is a project, which has no {split!r}; leave --split out")
        bank = read_project_references(folder)
        return references_of_bank(bank), choose_classes(folder, bank.labels, classes)
    with TemporaryDirectory() as drawn_splits:
        opener = open_volumes if (folder / "volumes").is_dir() else open_folder
        dataset = opener(folder, Path(drawn_splits))
    stems = [stem for stem in dataset.images if split is None or dataset.split[stem] == split]
    if not stems:
        raise LabelError(f"{folder} has no volume of the split {split!r}; choose another one")
    references = [_read(dataset, stem, classes, resample=resample) for stem in stems]
    known = tuple(dict.fromkeys(name for one in references for name in one.masks))
    if dataset.info.classes:
        known = tuple(dataset.info.classes.values())
    return tuple(references), choose_classes(folder, known, classes)


def choose_classes(
    folder: Path, known: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the chosen classes as the folder names them, all of them where none is chosen.

    Raises:
        LabelError: the folder names no class, or not the one that is asked for.
    """
    if not known:
        raise LabelError(f"nothing is labelled in {folder}; give finished volumes")
    if not classes:
        return known
    table = ConceptTable(tuple(Concept(name) for name in known))
    return tuple(known[table.row(name)] for name in classes)


def _read(
    dataset: FolderDataset, stem: str, classes: tuple[str, ...], *, resample: bool
) -> VolumeReference:
    image = read_image(dataset.images[stem])
    image = image.replace(modality=image.modality or dataset.info.modality)
    mask = read_mask(dataset.masks[stem], like=image, resample=resample)
    named = dataset.info.classes or mask.names
    if named:
        masks = {name: np.asarray(mask.array == number) for number, name in named.items()}
    elif len(classes) == 1:
        masks = {classes[0]: np.asarray(mask.array > 0)}
    else:
        raise LabelError(
            f"neither dataset.json nor {dataset.masks[stem].name} names its labels; say with "
            "--classes what all that is not background is"
        )
    return VolumeReference(stem, image, masks)
