"""The volumes that are measured: references of `train`, queries of `test`, classes by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import typer
from jaxtyping import Bool

from medprism.core.concepts import ConceptTable
from medprism.data.datasets.discovery import find_datasets
from medprism.data.datasets.folder import FolderDataset
from medprism.data.diet import table_of
from medprism.data.volume_episode import exhaustive_rows
from medprism.data.volumes import open_volume_sets
from medprism.engines.iris import LoadedIris
from medprism.inference.iris.encoding import VolumeReference
from medprism.io.reader import read_image, read_mask

Masks = dict[str, Bool[np.ndarray, "slices height width"]]


@dataclass(frozen=True, eq=False)
class Cases:
    """One dataset with the label ids of every class that is measured, and at most `most` cases."""

    dataset: FolderDataset
    label_ids: Mapping[str, tuple[int, ...]]
    most: int | None = None

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self.dataset.info.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.label_ids)

    def of(self, split: str) -> list[str]:
        """Return the cases of a side of the split, at most `most` of them, spread evenly."""
        cases = [case for case in self.dataset.images if self.dataset.split[case] == split]
        if self.most is None or len(cases) <= self.most:
            return cases
        return [cases[int(at)] for at in np.linspace(0, len(cases) - 1, self.most).round()]

    def patients(self) -> dict[str, str]:
        """Return the patient of every case; one who is unknown is a patient of its own."""
        return {case: who or f"unknown, {case}" for case, who in self.dataset.patients.items()}

    def read(self, case: str) -> VolumeReference:
        """Read a case with the mask of every class."""
        image = read_image(self.dataset.images[case])
        image = image.replace(modality=image.modality or self.dataset.info.modality)
        labels = read_mask(self.dataset.masks[case], like=image).array
        masks = {name: np.isin(labels, ids) for name, ids in self.label_ids.items()}
        return VolumeReference(case, image, masks)

    def first_references(self) -> list[VolumeReference]:
        """Read training cases until every class was shown once: what one shot needs of a pool."""
        found: list[VolumeReference] = []
        missing = set(self.classes)
        for case in self.of("train"):
            reference = self.read(case)
            shown = {name for name in missing if bool(reference.masks[name].any())}
            if shown:
                found.append(reference)
                missing -= shown
            if not missing:
                break
        return found


@dataclass(frozen=True, eq=False)
class Bench:
    """The cases of one dataset before a model that was trained on it."""

    loaded: LoadedIris
    cases: Cases

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.cases.classes

    @property
    def spacing(self) -> float:
        """The spacing the model was trained with on this set."""
        return self.loaded.spacing[self.cases.name]


def open_sets(data: Iterable[Path], names: str = "") -> tuple[FolderDataset, ...]:
    """Open the training sets of volumes in folders; with `names` (and commas) only these.

    Raises:
        BadParameter: a name that no set has.
    """
    folders = find_datasets(list(data))
    with TemporaryDirectory() as splits:
        opened = open_volume_sets(folders, Path(splits))
    wanted = split_names(names)
    known = [dataset.info.name for dataset in opened]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise typer.BadParameter(f"no set {unknown[0]!r}; there is {', '.join(known)}")
    return tuple(one for one in opened if not wanted or one.info.name in wanted)


def split_names(names: str) -> tuple[str, ...]:
    """Return names that stand with commas.

    >>> split_names("a, b"), split_names("")
    (('a', 'b'), ())
    """
    return tuple(name.strip() for name in names.split(",") if name.strip())


def table_of_sets(datasets: Iterable[FolderDataset]) -> ConceptTable:
    """Return the class table that training on these sets makes."""
    return table_of([dataset.info for dataset in datasets])[0]


def cases_of(
    datasets: Iterable[FolderDataset], concepts: ConceptTable, most: int | None = None
) -> tuple[Cases, ...]:
    """Return the cases of every set with the classes that a table names for it."""
    found = []
    for dataset in datasets:
        rows = exhaustive_rows(concepts, dataset.info.name)
        label_ids = {concepts[row].name: ids for row, ids in rows.items()}
        found.append(Cases(dataset, label_ids, most))
    return tuple(found)


def benches_of(loaded: LoadedIris, cases: Iterable[Cases]) -> tuple[Bench, ...]:
    """Return the sets that a model was trained on; classes may be others than those it learned."""
    return tuple(Bench(loaded, one) for one in cases if one.name in loaded.spacing)
