"""The literal lists of architectures and presets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import torch
from torch import nn

from medprism.core.errors import CheckpointError, ConfigError
from medprism.models.checkpoint import Checkpoint
from medprism.models.iris.config import (
    IrisConfig,
    iris_base,
    iris_compact,
    iris_compact_2d,
    iris_kprism2d,
    iris_nano,
    iris_nano_2d,
)
from medprism.models.iris.model import Iris
from medprism.models.iris.slices import SliceIris
from medprism.models.kprism.config import (
    KPrismConfig,
    kprism_base,
    kprism_compact,
    kprism_nano,
)
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter
from medprism.models.tpseg.config import TPSegConfig, tpseg_base, tpseg_compact, tpseg_nano
from medprism.models.tpseg.model import TPSeg

Config = TypeVar("Config", KPrismConfig, IrisConfig, TPSegConfig)


@dataclass(frozen=True)
class Preset(Generic[Config]):
    """A named size of an architecture: its settings for a number of concepts, its long side."""

    architecture: str
    config: Callable[[int], Config]
    long_side: int
    purpose: str


ARCHITECTURES: Final[dict[str, Callable[[Mapping[str, Any]], KPrism]]] = {
    "kprism": lambda payload: KPrism(KPrismConfig.from_json(dict(payload))),
}

# What fulfils `Segmenter`: a session drives it.
PRESETS: Final[dict[str, Preset[KPrismConfig]]] = {
    "kprism-base": Preset("kprism", kprism_base, 512, "the paper's model, for a GPU"),
    "kprism-compact": Preset("kprism", kprism_compact, 256, "ordinary computers; weights shipped"),
    "kprism-nano": Preset("kprism", kprism_nano, 64, "tests"),
}

# Iris on volumes has a contract of its own (`models/iris/model.py`): task embeddings, K masks in
# one pass.
IRIS_PRESETS: Final[dict[str, Preset[IrisConfig]]] = {
    "iris-base": Preset("iris", iris_base, 128, "the paper's model on volumes, for a GPU"),
    "iris-compact": Preset("iris", iris_compact, 64, "volumes on ordinary computers"),
    "iris-nano": Preset("iris", iris_nano, 32, "tests"),
}

# On slices a session drives it.
SLICE_IRIS_PRESETS: Final[dict[str, Preset[IrisConfig]]] = {
    "iris-compact-2d": Preset("iris-2d", iris_compact_2d, 256, "slices on ordinary computers"),
    "iris-kprism2d": Preset("iris-2d", iris_kprism2d, 256, "what K-Prism's tables call Iris"),
    "iris-nano-2d": Preset("iris-2d", iris_nano_2d, 64, "tests"),
}

# A task is a class of the class table; a session asks for it by name.
TPSEG_PRESETS: Final[dict[str, Preset[TPSegConfig]]] = {
    "tpseg-base": Preset("tpseg", tpseg_base, 512, "the paper's size, for a GPU"),
    "tpseg-compact": Preset("tpseg", tpseg_compact, 256, "lesions on ordinary computers"),
    "tpseg-nano": Preset("tpseg", tpseg_nano, 64, "tests"),
}

# Whatever a session drives, by the name of its preset.
SEGMENTER_PRESETS: Final[
    dict[str, Preset[KPrismConfig] | Preset[TPSegConfig] | Preset[IrisConfig]]
] = {
    **PRESETS,
    **TPSEG_PRESETS,
    **SLICE_IRIS_PRESETS,
}


def make_segmenter(config: KPrismConfig | TPSegConfig | IrisConfig) -> KPrism | TPSeg | SliceIris:
    """Return a model that a session drives, with weights as they are drawn."""
    if isinstance(config, IrisConfig):
        return SliceIris(config)
    return TPSeg(config) if isinstance(config, TPSegConfig) else KPrism(config)


def build_segmenter(checkpoint: Checkpoint) -> Segmenter:
    """Return what a session drives, of any architecture that fulfils `Segmenter`.

    Raises:
        CheckpointError: unknown architecture, unusable settings, or tensors that do not fit them.
    """
    if checkpoint.info.architecture == "tpseg":
        return build_tpseg(checkpoint)
    if checkpoint.info.architecture == "iris-2d":
        return _build(checkpoint, lambda payload: SliceIris(IrisConfig.from_json(dict(payload))))
    return build_from_checkpoint(checkpoint)


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
    return _build(checkpoint, ARCHITECTURES[info.architecture])


def build_iris(checkpoint: Checkpoint) -> Iris:
    """Return the Iris of a checkpoint with its weights as float32, in evaluation mode.

    Raises:
        CheckpointError: another architecture, unusable settings, or tensors that do not fit them.
    """
    _refuse_other(checkpoint, "iris", IRIS_PRESETS)
    return _build(checkpoint, lambda payload: Iris(IrisConfig.from_json(dict(payload))))


def build_tpseg(checkpoint: Checkpoint) -> TPSeg:
    """Return the TP-Seg of a checkpoint with its weights as float32, in evaluation mode.

    Raises:
        CheckpointError: another architecture, unusable settings, or tensors that do not fit them.
    """
    _refuse_other(checkpoint, "tpseg", TPSEG_PRESETS)
    return _build(checkpoint, lambda payload: TPSeg(TPSegConfig.from_json(dict(payload))))


def _refuse_other(checkpoint: Checkpoint, architecture: str, presets: Iterable[str]) -> None:
    info = checkpoint.info
    if info.architecture != architecture:
        raise CheckpointError(
            f"checkpoint {info.name!r} is of architecture {info.architecture!r}, not "
            f"{architecture!r}; give one of {', '.join(presets)}"
        )


Model = TypeVar("Model", KPrism, Iris, SliceIris, TPSeg)


def _build(checkpoint: Checkpoint, make: Callable[[Mapping[str, Any]], Model]) -> Model:
    info = checkpoint.info
    try:
        # Without memory at first: damaged settings may describe a model of any size.
        with torch.device("meta"):
            model = make(info.config)
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
