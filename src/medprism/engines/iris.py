"""Open a checkpoint of Iris: the model and how volumes are brought before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError
from medprism.engines.loading import checkpoint_path
from medprism.engines.threads import use_threads
from medprism.models.catalog import build_iris
from medprism.models.checkpoint import Checkpoint, load_checkpoint
from medprism.models.iris.model import Iris


@dataclass(frozen=True, eq=False)
class LoadedIris:
    """A model on volumes that is ready to segment.

    Windows have sides of at most `window` voxels; volumes are worked on at `coarse` mm or finer
    (see `core.working_grid.choose_spacing`), those of a training set at `spacing[set]`.
    """

    name: str
    model: Iris
    concepts: ConceptTable
    window: int
    coarse: float
    spacing: Mapping[str, float]
    weights_hash: str


def load_iris(path: str | Path, threads: int | None = None) -> LoadedIris:
    """Load shipped weights of Iris by the preset's name, or a checkpoint of it by its path.

    Raises:
        CheckpointError: a preset without weights, not a whole checkpoint, of another architecture,
            or of slices.
        ConfigError: a thread count below 1.
    """
    use_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path(path))
    model = build_iris(checkpoint)
    if model.spatial_dims != 3:
        raise CheckpointError(f"{path} segments slices; give a checkpoint trained on volumes")
    window, coarse, spacing = _preprocessing(checkpoint, path)
    return LoadedIris(
        name=str(path),
        model=model,
        concepts=checkpoint.info.concepts,
        window=window,
        coarse=coarse,
        spacing=spacing,
        weights_hash=checkpoint.weights_hash,
    )


def _preprocessing(
    checkpoint: Checkpoint, path: str | Path
) -> tuple[int, float, Mapping[str, float]]:
    rules: Mapping[str, Any] = checkpoint.info.preprocessing
    window, coarse, spacing = (rules.get(n) for n in ("window", "coarse_mm", "spacing_mm"))
    if isinstance(window, int) and isinstance(coarse, float) and isinstance(spacing, dict):
        known = {name: value for name, value in spacing.items() if isinstance(value, float)}
        if len(known) == len(spacing):
            return window, coarse, known
    raise CheckpointError(
        f"{path} does not say how volumes are brought before it; it was not written by medprism"
    )
