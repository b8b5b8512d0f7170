"""Validation of Iris during training: Dice of whole volumes of `val`, as a user would get it.

Windows about a structure mislead: they show neither what lies elsewhere nor where windows cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.data.volume_episode import exhaustive_rows
from medprism.data.volumes import LabelledVolume, VolumeSet
from medprism.inference.iris.sliding import embed_volume, slide
from medprism.metrics.dice import dice
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.embedding import stack_rows
from medprism.models.iris.model import Iris
from medprism.models.iris.retrieval import first_reference
from medprism.training.loop import Validate

# Volumes of each set that a validation segments.
CASES: Final = 2

Masks = Bool[np.ndarray, "classes slices height width"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A volume with the mask of every class that its set labels exhaustively."""

    volume: LabelledVolume
    masks: Masks


@dataclass(frozen=True, eq=False)
class Exam:
    """One set: the references that show each class first, and the volumes to segment."""

    dataset: str
    references: tuple[Shown, ...]
    queries: tuple[Shown, ...]


def make_sliding_validate(
    sets: Sequence[VolumeSet], concepts: ConceptTable, config: IrisConfig, side: int
) -> Validate | None:
    """Return the function that a run of Iris validates with; None where no set has a `val` volume.

    Whole volumes are segmented in sliding windows of at most `side` voxels, on the working grid, by
    the first references of `train` that show each class. It gives the mean Dice of each set over
    the classes that a volume shows as "dice/SET" and, as "score", the mean over sets. Global random
    states are left alone.
    """
    exams = [exam for one in sets if (exam := make_exam(one, concepts))]
    if not exams:
        return None
    with torch.random.fork_rng(devices=[]):
        model = Iris(config).eval()

    def validate(weights: dict[str, Tensor]) -> dict[str, float]:
        model.load_state_dict(weights)
        means = {f"dice/{exam.dataset}": measure(model, exam, side) for exam in exams}
        return {"score": sum(means.values()) / len(means), **means}

    return validate


def make_exam(volumes: VolumeSet, concepts: ConceptTable) -> Exam | None:
    """Choose references and volumes of a set, the latter spread over its `val` side."""
    ids = tuple(exhaustive_rows(concepts, volumes.info.name).values())
    held = volumes.of("val")
    if not held or not ids:
        return None
    places = np.unique(np.linspace(0, len(held) - 1, min(CASES, len(held))).round().astype(int))
    references, missing = [], set(range(len(ids)))
    for volume in volumes.of("train"):
        shown = _show(volume, ids)
        new = {row for row in missing if bool(shown.masks[row].any())}
        if new:
            references.append(shown)
            missing -= new
        if not missing:
            break
    if not references:
        return None
    queries = tuple(_show(held[int(at)], ids) for at in places)
    return Exam(volumes.info.name, tuple(references), queries)


def measure(model: Iris, exam: Exam, side: int) -> float:
    """Return the mean Dice over (volume, class) pairs whose volume shows the class; 0 without."""
    rows = [embed_volume(model, one.volume.image, one.masks, side) for one in exam.references]
    tasks = first_reference(stack_rows(rows), torch.arange(len(rows)))
    values = []
    for query in exam.queries:
        found = slide(model, query.volume.image, tasks, side) > 0
        values += [
            dice(mask, truth)
            for mask, truth in zip(found, query.masks, strict=True)
            if bool(truth.any())
        ]
    return float(np.mean(values)) if values else 0.0


def _show(volume: LabelledVolume, ids: Sequence[tuple[int, ...]]) -> Shown:
    return Shown(volume, np.stack([np.isin(volume.labels, numbers) for numbers in ids]))
