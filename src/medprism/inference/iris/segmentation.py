"""Segment a volume by a task: choose an embedding, slide, bring the masks home [Iris, Sec. 3]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float32

from medprism.core.errors import LabelError
from medprism.core.image import Image
from medprism.core.progress import Progress
from medprism.core.volume_intensity import standardise_volume
from medprism.core.working_grid import WorkingGrid
from medprism.engines.iris import LoadedIris
from medprism.inference.iris.sliding import describe_volume, embed_volume, slide
from medprism.inference.iris.task_file import Task
from medprism.models.iris.embedding import TaskEmbeddings, ensemble
from medprism.models.iris.retrieval import first_reference, retrieve_images, retrieve_objects

# One reference, all of them, or those that resemble the query by image or class by class.
Strategy = Literal["one-shot", "ensemble", "images", "objects"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)
DEFAULT_KEEP: Final = 5


@dataclass(frozen=True, eq=False)
class FoundVolume:
    """What was found on a volume: logits of every class on the image's own grid."""

    classes: tuple[str, ...]
    logits: Float32[np.ndarray, "classes slices height width"]

    def masks(self) -> dict[str, Bool[np.ndarray, "slices height width"]]:
        """Return the mask of every class; they may overlap."""
        return {name: self.logits[row] > 0 for row, name in enumerate(self.classes)}

    def exclusive_masks(self) -> dict[str, Bool[np.ndarray, "slices height width"]]:
        """Return masks that do not overlap: each voxel goes to the class of the largest logit."""
        best = self.logits.argmax(0)
        return {
            name: (self.logits[row] > 0) & (best == row) for row, name in enumerate(self.classes)
        }


def segment_by_task(
    loaded: LoadedIris,
    image: Image,
    task: Task,
    strategy: Strategy = "ensemble",
    *,
    keep: int = DEFAULT_KEEP,
    progress: Progress | None = None,
) -> FoundVolume:
    """Segment all classes of a task on a volume of any orientation and spacing.

    One embedding serves all windows. `keep` references are averaged by the strategies "images" and
    "objects"; the latter segments twice.

    Raises:
        CheckpointError: the task is of another model.
        GeometryError: the image is no volume or knows no spacing.
        ConfigError: fewer than one reference to keep.
    """
    task.check_model(loaded)
    grid = WorkingGrid(image.geometry, task.spacing)
    working = grid.bring(standardise_volume(image))
    tasks = choose_embedding(loaded, working, task, strategy, keep=keep)
    logits = slide(loaded.model, working, tasks, loaded.window, progress=progress)
    return FoundVolume(task.classes, np.stack([grid.take_back(one) for one in logits]))


def choose_embedding(
    loaded: LoadedIris,
    working: Float32[np.ndarray, "slices height width"],
    task: Task,
    strategy: Strategy,
    *,
    keep: int = DEFAULT_KEEP,
) -> TaskEmbeddings:
    """Return the one row with which a volume on the working grid is segmented."""
    pool = task.pool
    if strategy == "ensemble" or pool.num_rows == 1:
        return ensemble(pool)
    first = first_reference(pool, torch.arange(pool.num_rows))
    if strategy == "one-shot":
        return first
    if strategy == "images":
        vector = describe_volume(loaded.model, working, loaded.window)
        return retrieve_images(vector, task.described, pool, keep)
    guess = slide(loaded.model, working, first, loaded.window) > 0
    query = embed_volume(loaded.model, working, guess, loaded.window)
    return retrieve_objects(query, pool, keep)


def tasks_of_bank(loaded: LoadedIris, names: Sequence[str]) -> tuple[Task, ...]:
    """Return what the model's bank holds of seen classes: one task for each working spacing.

    Raises:
        LabelError: a class that the model does not know, or that its training never showed.
    """
    by_spacing: dict[float, list[str]] = {}
    for name in names:
        concept = loaded.concepts[loaded.concepts.row(name)]
        spacings = [loaded.spacing[one] for one in concept.label_ids if one in loaded.spacing]
        if not spacings:
            raise LabelError(f"the bank of {loaded.name} holds nothing of {concept.name!r}")
        by_spacing.setdefault(spacings[0], []).append(concept.name)
    return tuple(
        _task_of_bank(loaded, tuple(dict.fromkeys(chosen)), spacing)
        for spacing, chosen in by_spacing.items()
    )


def _task_of_bank(loaded: LoadedIris, names: tuple[str, ...], spacing: float) -> Task:
    rows = torch.tensor([[loaded.concepts.row(name) for name in names]])
    found = loaded.model.recall(rows)
    unseen = [name for name, shown in zip(names, found.present[0], strict=True) if not shown]
    if unseen:
        raise LabelError(
            f"the bank of {loaded.name} holds nothing of {unseen[0]!r}: its training never showed "
            "it; give references"
        )
    width = loaded.model.config.body.widths[-1]
    return Task(names, found, torch.zeros(1, width), ("bank",), spacing, loaded.weights_hash)
