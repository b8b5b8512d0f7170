"""What can be loaded or trained: every preset with its parameters and its shipped weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch
from torch import nn

from medprism.engines.loading import shipped_path
from medprism.models.catalog import (
    IRIS_PRESETS,
    PRESETS,
    SLICE_IRIS_PRESETS,
    TPSEG_PRESETS,
    Config,
    Preset,
    make_segmenter,
)
from medprism.models.checkpoint import Checkpoint, load_checkpoint
from medprism.models.iris.config import IrisConfig
from medprism.models.iris.model import Iris
from medprism.models.kprism.config import KPrismConfig
from medprism.models.tpseg.config import TPSegConfig

# The number of classes of the paper's model [KPrism, 4.1], for presets without weights.
PAPER_CLASSES: Final = 33
# The number of tasks of TP-Seg's paper, which has parameters of its own for each.
PAPER_TASKS: Final = 8


@dataclass(frozen=True)
class ShippedWeights:
    """The weights that come with the package: file size, hash, and what they were trained on.

    `training_sets` are the entries of the checkpoint's training manifest, each with its licence.
    """

    num_bytes: int
    weights_hash: str
    licence: str
    training_sets: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class PresetReport:
    """One preset: what it is for and where its parameters are.

    `per_expert` is what one expert more in every mixture would add; 0 without mixtures. `classes`
    are those of the shipped weights, or of K-Prism's paper where there are none. `long_side` is the
    side of a slice in pixels or of a volume in voxels, as `spatial_dims` says.
    """

    name: str
    purpose: str
    architecture: str
    spatial_dims: int
    long_side: int
    classes: int
    parameters: Mapping[str, int]
    total: int
    per_expert: int
    weights: ShippedWeights | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


def describe_presets() -> tuple[PresetReport, ...]:
    """Return a report on every preset; models are laid out without memory.

    Raises:
        CheckpointError: shipped weights are damaged.
    """
    return (
        *(_describe(name, preset) for name, preset in PRESETS.items()),
        *(_describe(name, preset) for name, preset in IRIS_PRESETS.items()),
        *(_describe(name, preset) for name, preset in SLICE_IRIS_PRESETS.items()),
        *(_describe(name, preset) for name, preset in TPSEG_PRESETS.items()),
    )


def _describe(name: str, preset: Preset[Config]) -> PresetReport:
    path = shipped_path(name)
    checkpoint = load_checkpoint(path) if path.is_file() else None
    usual = PAPER_TASKS if preset.architecture == "tpseg" else PAPER_CLASSES
    classes = usual if checkpoint is None else len(checkpoint.info.concepts)
    config = preset.config(classes)
    parameters = count_parameters(config)
    total = sum(parameters.values())
    return PresetReport(
        name=name,
        purpose=preset.purpose,
        architecture=preset.architecture,
        spatial_dims=config.body.ndim if isinstance(config, IrisConfig) else 2,
        long_side=preset.long_side,
        classes=classes,
        parameters=parameters,
        total=total,
        per_expert=_per_expert(config) if isinstance(config, KPrismConfig) else 0,
        weights=None if checkpoint is None else _weights(path.stat().st_size, checkpoint),
    )


def _per_expert(config: KPrismConfig) -> int:
    wider = replace(
        config,
        decoder=replace(
            config.decoder,
            read_experts=config.decoder.read_experts + 1,
            feed_experts=config.decoder.feed_experts + 1,
        ),
    )
    return sum(count_parameters(wider).values()) - sum(count_parameters(config).values())


def count_parameters(config: KPrismConfig | IrisConfig | TPSegConfig) -> dict[str, int]:
    """Return the number of parameters of each module of a model, by name.

    >>> from medprism.models.kprism.config import kprism_base
    >>> sum(count_parameters(kprism_base()).values())
    40460953
    """
    with torch.device("meta"):
        model = _model_of(config)
    counts = {name: _count(part) for name, part in model.named_children()}
    own = _count(model) - sum(counts.values())
    return {**counts, "own": own} if own else counts


def _model_of(config: KPrismConfig | IrisConfig | TPSegConfig) -> nn.Module:
    if isinstance(config, IrisConfig):
        return Iris(config)
    return make_segmenter(config)


def _count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _weights(num_bytes: int, checkpoint: Checkpoint) -> ShippedWeights:
    info = checkpoint.info
    return ShippedWeights(
        num_bytes=num_bytes,
        weights_hash=checkpoint.weights_hash,
        licence=str(info.card.get("licence", "")),
        training_sets=tuple(info.training.get("sets", ())),
    )
