"""The literal lists of architectures and presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from medprism.core.errors import CheckpointError, ConfigError
from medprism.models.checkpoint import Checkpoint
from medprism.models.kprism.config import (
    KPrismConfig,
    kprism_base,
    kprism_compact,
    kprism_nano,
)
from medprism.models.kprism.model import KPrism


@dataclass(frozen=True)
class Preset:
    """A named size of an architecture: its settings for a number of concepts, its long side."""

    architecture: str
    config: Callable[[int], KPrismConfig]
    long_side: int
    purpose: str


ARCHITECTURES: Final[dict[str, Callable[[Mapping[str, Any]], KPrism]]] = {
    "kprism": lambda payload: KPrism(KPrismConfig.from_json(dict(payload))),
}

PRESETS: Final[dict[str, Preset]] = {
    "kprism-base": Preset("kprism", kprism_base, 512, "the paper's model, for a GPU"),
    "kprism-compact": Preset("kprism", kprism_compact, 256, "ordinary computers; weights shipped"),
    "kprism-nano": Preset("kprism", kprism_nano, 64, "tests"),
}


def build_from_checkpoint(checkpoint: Checkpoint) -> KPrism:
    """Return the model of a checkpoint with its weights as float32, in evaluation mode.

    Raises:
        CheckpointError: unknown architecture, unusable settings, or tensors that do not fit them.
    """
    info = checkpoint.info
    if info.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"checkpoint {info.name!r} is of architecture {info.architecture!r}; this program "
            f"knows {', '.join(ARCHITECTURES)}"
        )
    try:
        # Without memory at first: damaged settings may describe a model of any size.
        with torch.device("meta"):
            model = ARCHITECTURES[info.architecture](info.config)
    except ConfigError as error:
        raise CheckpointError(
            f"checkpoint {info.name!r} holds unusable settings: {error}"
        ) from error
    if len(info.concepts) != model.config.num_concepts:
        raise CheckpointError(
            f"checkpoint {info.name!r} names {len(info.concepts)} concepts for a class table of "
            f"{model.config.num_concepts}; it was not written by medprism"
        )
    _check_fit(model, checkpoint)
    load_weights(model.to_empty(device="cpu"), checkpoint)
    return model.eval()


def load_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's tensors into a model of the same layout.

    Raises:
        CheckpointError: names or shapes differ; the message names the first ones.
    """
    _check_fit(model, checkpoint)
    expected = model.state_dict()
    model.load_state_dict({n: t.to(expected[n].dtype) for n, t in checkpoint.tensors.items()})


def _check_fit(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint whose tensors are not those of the model.

    Raises:
        CheckpointError: names or shapes differ; the message names the first ones.
    """
    expected = model.state_dict()
    wrong = sorted(
        name
        for name in expected.keys() | checkpoint.tensors.keys()
        if name not in expected
        or name not in checkpoint.tensors
        or expected[name].shape != checkpoint.tensors[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} does not fit the model: {len(wrong)} tensors "
            f"differ, first {', '.join(wrong[:3])}; it belongs to another model or version"
        )
