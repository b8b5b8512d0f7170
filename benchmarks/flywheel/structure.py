"""What is annotated: one structure on a fixed choice of images of one set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from medprism.core.errors import LabelError, StoreError
from medprism.core.prompt import Mask2d
from medprism.core.randomness import counter_rng
from medprism.data.case import Case
from medprism.data.datasets.adapters import open_dataset
from medprism.data.stored_slice import read_image, read_planes
from medprism.data.vocabulary import evaluation_targets, known_datasets, unseen_concepts


@dataclass(frozen=True)
class Structure:
    """A concept of a dataset, and which split of it serves."""

    dataset: str
    concept: str
    split: str = "test"

    @classmethod
    def parse(cls, text: str, split: str) -> Structure:
        """Read DATASET:CONCEPT.

        Raises:
            LabelError: it has no colon.

        >>> Structure.parse("covid_cxr:airways", "test").concept
        'airways'
        """
        dataset, colon, concept = text.partition(":")
        if not colon or not dataset or not concept:
            raise LabelError(f"structure {text!r} is none; write DATASET:CONCEPT")
        return cls(dataset, concept, split)

    @property
    def is_unseen(self) -> bool:
        """Whether no training set has the concept, as the vocabulary says."""
        return self.concept in unseen_concepts().names


HEADLINE: Final = (
    Structure("covid_cxr", "cardiomediastinum"),
    Structure("mt_npc_t2_mri", "nasopharyngeal carcinoma"),
    Structure("mscmr_lge_cardiac_mri", "left ventricle"),
)
"""Chosen by counts alone, before anything was measured: the two unseen concepts with the most
images (the most frequent of each set; thin lines and nets left out, where Dice 0.9 is no matter of
clicks), and the concept with the most images among those seen in training but from a source that
was never trained on."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image file with the mask of its truth on the same grid."""

    case: str
    patient: str
    file: Path
    truth: Mask2d


def read_samples(data: Path, structure: Structure, most: int, scratch: Path) -> tuple[Sample, ...]:
    """Return the images that show the structure: at most `most`, a seeded choice, by case name.

    `scratch` takes a drawn split where the set brings none.

    Raises:
        LabelError: the set has no such concept.
        StoreError: no picture of the split shows it.
    """
    dataset = open_dataset(data / structure.dataset, scratch)
    ids = _label_ids(dataset.info.name, dataset.info.classes, structure.concept)
    cases = [one for one in dataset.cases() if one.split == structure.split]
    samples: list[Sample] = []
    for index in counter_rng(0, structure.dataset, structure.concept).permutation(len(cases)):
        if len(samples) == most:
            break
        sample = _sample(cases[index], ids)
        if sample is not None:
            samples.append(sample)
    if not samples:
        raise StoreError(
            f"no picture of split {structure.split!r} of {structure.dataset} shows "
            f"{structure.concept!r}; choose another one"
        )
    return tuple(sorted(samples, key=lambda one: one.case))


def in_order(samples: tuple[Sample, ...], order: int) -> tuple[Sample, ...]:
    """Return the samples in the order of this number; each number is a permutation of its own."""
    places = counter_rng(order, "order").permutation(len(samples))
    return tuple(samples[place] for place in places)


def _label_ids(name: str, classes: object, concept: str) -> tuple[int, ...]:
    targets = dict(evaluation_targets(name)) if name in known_datasets() else {}
    if not targets and isinstance(classes, dict):
        targets = {title: (number,) for number, title in classes.items()}
    if concept not in targets:
        raise LabelError(f"{name} has no concept {concept!r}; it has {', '.join(targets)}")
    return targets[concept]


def _sample(case: Case, ids: tuple[int, ...]) -> Sample | None:
    if not isinstance(case.image, Path):
        return None
    image = read_image(case)
    truth = np.zeros(image.shape, np.bool_)
    for label_id, plane in read_planes(case, image).items():
        if label_id in ids:
            truth |= plane
    if not truth.any():
        return None
    return Sample(case.case_id, case.patient or case.case_id, case.image, truth)
