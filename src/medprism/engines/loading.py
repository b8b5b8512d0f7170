"""Open a model by preset name or path, ready for a Session."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError, ConfigError
from medprism.engines.loaded import LoadedModel
from medprism.models.catalog import PRESETS, TPSEG_PRESETS, build_segmenter
from medprism.models.checkpoint import hash_tensors, load_checkpoint
from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.model import KPrism

# Engines a checkpoint can run on, best first: `auto` takes the first.
ENGINES: Final = ("torch",)


def load(name_or_path: str | Path, engine: str = "auto", threads: int | None = None) -> LoadedModel:
    """Load a shipped model by its preset name, or any checkpoint by its path.

    `threads` sets the number of CPU threads of the whole process; None leaves it as it is.

    Raises:
        CheckpointError: no such model, or a file that is not a whole checkpoint.
        ConfigError: unknown engine, or a thread count below 1.
    """
    chosen = ENGINES[0] if engine == "auto" else engine
    if chosen not in ENGINES:
        raise ConfigError(f"engine {engine!r} is unknown; use auto or {', '.join(ENGINES)}")
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path(name_or_path))
    long_side = checkpoint.info.preprocessing.get("long_side")
    if not isinstance(long_side, int):
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} names no long side; it was not written by "
            "medprism"
        )
    return LoadedModel(
        name=str(name_or_path),
        segmenter=build_segmenter(checkpoint),
        concepts=checkpoint.info.concepts,
        long_side=long_side,
        weights_hash=checkpoint.weights_hash,
        engine=chosen,
        threads=torch.get_num_threads(),
        card={
            **checkpoint.info.card,
            "training": dict(checkpoint.info.training),
            "metrics": dict(checkpoint.info.metrics),
        },
    )


def from_weights(
    config: KPrismConfig,
    weights: Mapping[str, Tensor],
    concepts: ConceptTable,
    long_side: int,
) -> LoadedModel:
    """Return a model whose weights are in memory, such as those of a run that goes on.

    Its name is its weights hash, by which nothing can be loaded. Random states are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        model = KPrism(config).eval()
    model.load_state_dict(dict(weights))
    digest = hash_tensors(weights)
    return LoadedModel(
        name=digest,
        segmenter=model,
        concepts=concepts,
        long_side=long_side,
        weights_hash=digest,
        engine=ENGINES[0],
        threads=torch.get_num_threads(),
        card={},
    )


def shipped_path(preset: str) -> Path:
    """Return where the package keeps the weights of a preset, if it ships them."""
    return Path(str(files("medprism"))) / "weights" / f"{preset}.safetensors"


def checkpoint_path(name_or_path: str | Path) -> Path:
    """Return the file of a preset's shipped weights, or the path itself.

    Raises:
        CheckpointError: a preset without shipped weights, or neither a preset nor a file.
    """
    name = str(name_or_path)
    if name in PRESETS or name in TPSEG_PRESETS:
        shipped = shipped_path(name)
        if not shipped.is_file():
            raise CheckpointError(
                f"preset {name!r} ships no weights; train it with `medprism train {name}` and give "
                "the path of the checkpoint"
            )
        return shipped
    path = Path(name_or_path)
    if not path.exists():
        raise CheckpointError(
            f"{name!r} is neither a file nor a preset; presets: "
            f"{', '.join((*PRESETS, *TPSEG_PRESETS))}"
        )
    return path
