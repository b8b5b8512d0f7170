"""Begin TP-Seg with a trunk that others have trained, and say so in its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from medprism.core.errors import CheckpointError, ConfigError
from medprism.models.catalog import SEGMENTER_PRESETS, TPSEG_PRESETS
from medprism.models.checkpoint import Checkpoint
from medprism.models.iris.config import IrisConfig
from medprism.models.kprism.config import KPrismConfig
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.external import OFFICIAL_TRUNKS, read_trunk
from medprism.models.tpseg.trunk import HieraTrunk
from medprism.training.config import TrainConfig, TrunkOrigin


def model_settings(config: TrainConfig, concepts: int) -> KPrismConfig | TPSegConfig | IrisConfig:
    """Return the settings of a run's model: its preset's, but for a trunk that came from others."""
    if config.preset in TPSEG_PRESETS:
        return task_settings(config, concepts)
    return SEGMENTER_PRESETS[config.preset].config(concepts)


def task_settings(config: TrainConfig, tasks: int) -> TPSegConfig:
    """Return the settings of the TP-Seg of a run (see `model_settings`)."""
    settings = TPSEG_PRESETS[config.preset].config(tasks)
    return settings if config.trunk is None else replace(settings, trunk=config.trunk.settings)


def choose_trunk(
    path: Path | None, checkpoint: Checkpoint | None, config: TrainConfig
) -> TrainConfig:
    """Return a run's settings with the trunk of a file, or of the checkpoint that it begins with.

    Such a trunk stays as it is: the steps in which the trunk would learn are left out. Known are
    the trunks of SAM 2, and files of their layout with the shape of the preset's own trunk.

    Raises:
        CheckpointError: the file is no such trunk, or the checkpoint does not say which it has.
    """
    origin = _inherited(checkpoint) if path is None else _origin_of(path, config.preset)
    if origin is None or config.phases is None:
        return config
    return replace(config, trunk=origin, phases=replace(config.phases, joint_share=0.0))


def load_external(trunk: HieraTrunk, path: Path, origin: TrunkOrigin) -> None:
    """Copy the weights of a file into a model's trunk.

    Raises:
        CheckpointError: the file is gone, or holds others than when the run was started.
    """
    found = read_trunk(path, {origin.shape: origin.settings})
    if found.weights_hash != origin.weights_hash:
        raise CheckpointError(
            f"{path} holds a trunk {found.weights_hash[:12]}, and the run was started with "
            f"{origin.weights_hash[:12]}; put that file back, or start a new run"
        )
    trunk.load_state_dict(found.tensors)


def describe_trunk(origin: TrunkOrigin) -> dict[str, str]:
    """Return what a checkpoint's card says about a trunk that came from others.

    That a file holds SAM 2's weights is known by their shape alone, and said so.
    """
    licence, shape = "not stated by its file", "of this preset's own trunk"
    if origin.shape in OFFICIAL_TRUNKS:
        licence = "Apache-2.0 (that of SAM 2's weights, whose shape it has)"
        shape = (
            f"of SAM 2's Hiera ({origin.shape}), whose weights Meta Platforms, Inc. and affiliates "
            "publish under the Apache License 2.0"
        )
    return {
        "name": origin.file,
        "shape": origin.shape,
        "hash": origin.weights_hash,
        "licence": licence,
        "origin": (
            f"The trunk has the shape {shape}. Its weights are those of the file {origin.file}, "
            "not changed by training and rounded to 16 bits."
        ),
    }


def _origin_of(path: Path, preset: str) -> TrunkOrigin:
    own = TPSEG_PRESETS[preset].config(1).trunk
    found = read_trunk(path, {**OFFICIAL_TRUNKS, preset: own})
    return TrunkOrigin(
        file=path.name,
        shape=found.shape,
        weights_hash=found.weights_hash,
        settings=found.config,
    )


def _inherited(checkpoint: Checkpoint | None) -> TrunkOrigin | None:
    run = None if checkpoint is None else checkpoint.info.training.get("run")
    stated = run.get("trunk") if isinstance(run, Mapping) else None
    if checkpoint is None or stated is None:
        return None
    try:
        return TrunkOrigin.from_json(stated)
    except ConfigError as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} does not say which trunk it has ({error}); it "
            "was not written by medprism"
        ) from error
