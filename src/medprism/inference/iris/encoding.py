"""References become a task: each is encoded once, on one working grid [Iris, Sec. 3]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32

from medprism.core.errors import ConfigError, GeometryError, ReferencePairError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.core.volume_intensity import standardise_volume
from medprism.core.windows import Shape, window_shape
from medprism.core.working_grid import WorkingGrid, choose_spacing
from medprism.engines.iris import LoadedIris
from medprism.inference.iris.sliding import describe_volume, embed_volume, encode_windows
from medprism.inference.iris.task_file import Task
from medprism.inference.reference_bank import ReferenceBank
from medprism.models.iris.embedding import ensemble, stack_rows
from medprism.models.iris.tuning import Tuned, TuningSettings, tune
from medprism.models.segmenter import Features

# Share of a working voxel that a mask covers where the voxel counts as inside.
HALF: Final = 0.5


@dataclass(frozen=True, eq=False)
class VolumeReference:
    """A finished example: a volume with a mask for each class, all on its own grid."""

    name: str
    image: Image
    masks: Mapping[str, Bool[np.ndarray, "slices height width"]]


@dataclass(frozen=True, eq=False)
class WorkingReference:
    """A reference on the working grid; masks in the order of the classes."""

    image: Float32[np.ndarray, "slices height width"]
    masks: Bool[np.ndarray, "classes slices height width"]


def encode_task(
    loaded: LoadedIris,
    references: Sequence[VolumeReference],
    classes: Sequence[str],
    *,
    spacing: float | None = None,
    tuning: TuningSettings | None = None,
    progress: Progress | None = None,
) -> Task:
    """Encode references once; a reference that does not show a class says nothing about it.

    The working spacing follows from the references (`choose_spacing`) where it is not given;
    references of other spacings are brought to it. With `tuning` the ensemble of the references is
    fitted to them [Iris, Sec. 3: in-context tuning] and the task has this one row.

    Raises:
        ReferencePairError: no reference, or a class that none of them shows.
        GeometryError: a reference that is no volume, or knows no spacing.
    """
    progress = progress or SilentProgress()
    if not references or not classes:
        raise ReferencePairError("a task needs at least one reference and one class")
    if spacing is None:
        grids = [reference.image.geometry for reference in references]
        spacing = choose_spacing(grids, loaded.window, loaded.coarse)
    rows, vectors, ready = [], [], []
    for number, reference in enumerate(references):
        progress.report(number, len(references), reference.name)
        working = bring_reference(reference, classes, spacing)
        ready.append(working)
        rows.append(embed_volume(loaded.model, working.image, working.masks, loaded.window))
        vectors.append(describe_volume(loaded.model, working.image, loaded.window))
    pool = stack_rows(rows)
    missing = [name for name, shown in zip(classes, pool.present.any(0), strict=True) if not shown]
    if missing:
        raise ReferencePairError(
            f"none of {len(references)} references shows {missing[0]!r} on a grid of {spacing:g} "
            "mm; add one that does, or leave the class out"
        )
    task = Task(
        classes=tuple(classes),
        pool=pool,
        described=torch.cat(vectors),
        sources=tuple(reference.name for reference in references),
        spacing=spacing,
        weights_hash=loaded.weights_hash,
    )
    return task if tuning is None else tune_task(loaded, task, ready, tuning)


def references_of_bank(bank: ReferenceBank) -> tuple[VolumeReference, ...]:
    """Return the references of a session or project as Iris takes them: one a volume, all labels.

    References on single slices are left out: Iris' presets here take volumes.

    Raises:
        ReferencePairError: no reference is a volume.
    """
    images: dict[str, Image] = {}
    masks: dict[str, dict[str, Bool[np.ndarray, "slices height width"]]] = {}
    for label in bank.labels:
        for reference in bank.of(label):
            if reference.image.num_slices > 1:
                images[reference.image.digest] = reference.image
                masks.setdefault(reference.image.digest, {})[label] = reference.mask()
    if not images:
        raise ReferencePairError(
            f"none of {len(bank)} references is a volume; accept a mask on one first"
        )
    return tuple(
        VolumeReference(image.source.name if image.source else digest[:12], image, masks[digest])
        for digest, image in sorted(images.items())
    )


def bring_reference(
    reference: VolumeReference, classes: Sequence[str], spacing: float
) -> WorkingReference:
    """Bring a reference to the working grid; a class it does not name has an empty mask.

    A structure thinner than a working voxel keeps the voxel of which it covers most.

    Raises:
        GeometryError: a mask of another shape than the image, or no volume.
    """
    image = reference.image
    standard = standardise_volume(image)
    grid = WorkingGrid(image.geometry, spacing)
    masks = np.zeros((len(classes), *grid.shape), np.bool_)
    for row, name in enumerate(classes):
        mask = reference.masks.get(name)
        if mask is None or not mask.any():
            continue
        if mask.shape != image.geometry.shape:
            raise GeometryError(
                f"the mask {name!r} of {reference.name} has shape {mask.shape} but its image "
                f"{image.geometry.shape}; bring it onto the image's grid first"
            )
        share = grid.bring_mask(mask)
        masks[row] = share >= min(HALF, float(share.max()))
    return WorkingReference(grid.bring(standard), masks)


def tune_task(
    loaded: LoadedIris,
    task: Task,
    references: Sequence[WorkingReference],
    settings: TuningSettings,
) -> Task:
    """Fit the ensemble of a task to its references; windows are encoded once.

    Raises:
        ConfigError: the references are no volumes at all.
    """
    tuned = fit_embedding(loaded, task, references, settings)
    return replace(
        task,
        pool=tuned.tasks,
        described=task.described.mean(0, keepdim=True),
        sources=(f"tuned to {len(references)} references",),
        is_tuned=True,
    )


def fit_embedding(
    loaded: LoadedIris,
    task: Task,
    references: Sequence[WorkingReference],
    settings: TuningSettings,
) -> Tuned:
    """Return the tuned embedding of a task with its losses."""
    if not references:
        raise ConfigError("tuning needs the references themselves; give their folder")
    multiple = loaded.model.config.body.multiple
    windows = [window_shape(_shape(one), loaded.window, multiple) for one in references]
    first, second, third = (max(sides) for sides in zip(*windows, strict=True))
    window = (first, second, third)
    encoded = [encode_windows(loaded.model, one.image, one.masks, window) for one in references]
    maps = zip(*(features.maps for features, _ in encoded), strict=True)
    features = Features(tuple(torch.cat(level) for level in maps))
    masks = torch.cat([shown for _, shown in encoded])
    return tune(loaded.model, features, masks, ensemble(task.pool), settings=settings)


def _shape(reference: WorkingReference) -> Shape:
    one, two, three = reference.image.shape
    return one, two, three
