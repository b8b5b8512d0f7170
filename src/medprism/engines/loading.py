"""Open a model by preset name or path, ready for a Session."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.errors import CheckpointError, ConfigError
from medprism.engines.engine import REFERENCE_ENGINE, engine_named
from medprism.engines.loaded import LoadedModel
from medprism.engines.threads import use_threads
from medprism.engines.verdict import AUTO, Choice, choose_engine
from medprism.models.catalog import (
    IRIS_PRESETS,
    SEGMENTER_PRESETS,
    build_segmenter,
    make_segmenter,
)
from medprism.models.checkpoint import hash_tensors, load_checkpoint
from medprism.models.iris.config import IrisConfig
from medprism.models.kprism.config import KPrismConfig
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter
from medprism.models.tpseg.config import TPSegConfig


def load(name_or_path: str | Path, engine: str = AUTO, threads: int | None = None) -> LoadedModel:
    """Load a shipped model by its preset name, or any checkpoint by its path.

    `engine` is a name of `engines.engine.ENGINES`; "auto" takes the fastest that a check on this
    machine has passed for these weights, and without a check the reference (`LoadedModel.engine`
    and `engine_reason` say which and why). `threads` sets the number of CPU threads of the whole
    process; None leaves it as it is.

    Raises:
        CheckpointError: no such model, or a file that is not a whole checkpoint.
        ConfigError: unknown engine or one that cannot run here, or a thread count below 1.
    """
    if engine != AUTO:
        engine_named(engine)
    use_threads(threads)
    checkpoint = load_checkpoint(checkpoint_path(name_or_path))
    long_side = checkpoint.info.preprocessing.get("long_side")
    if not isinstance(long_side, int):
        raise CheckpointError(
            f"checkpoint {checkpoint.info.name!r} names no long side; it was not written by "
            "medprism"
        )
    model = build_segmenter(checkpoint)
    choice = _choose(engine, model, checkpoint.weights_hash)
    return LoadedModel(
        name=str(name_or_path),
        segmenter=_start(choice.engine, model, checkpoint.weights_hash),
        concepts=checkpoint.info.concepts,
        long_side=long_side,
        weights_hash=checkpoint.weights_hash,
        engine=choice.engine,
        engine_reason=choice.reason,
        threads=torch.get_num_threads(),
        card={
            **checkpoint.info.card,
            "training": dict(checkpoint.info.training),
            "metrics": dict(checkpoint.info.metrics),
        },
    )


def _choose(engine: str, model: Segmenter, weights_hash: str) -> Choice:
    if engine != AUTO:
        return Choice(engine, "it was asked for")
    if not isinstance(model, KPrism):
        return Choice(REFERENCE_ENGINE, "only K-Prism runs on other engines")
    return choose_engine(weights_hash, torch.get_num_threads())


def _start(engine: str, model: Segmenter, weights_hash: str) -> Segmenter:
    if isinstance(model, KPrism):
        return engine_named(engine).make(model, weights_hash, torch.get_num_threads())
    if engine != REFERENCE_ENGINE:
        raise ConfigError(
            f"engine {engine!r} runs K-Prism only; use auto or {REFERENCE_ENGINE} for this model"
        )
    return model


def from_weights(
    config: KPrismConfig | TPSegConfig | IrisConfig,
    weights: Mapping[str, Tensor],
    concepts: ConceptTable,
    long_side: int,
) -> LoadedModel:
    """Return a model whose weights are in memory, such as those of a run that goes on.

    Its name is its weights hash, by which nothing can be loaded. Random states are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        model = make_segmenter(config)
    model.load_state_dict(dict(weights))
    digest = hash_tensors(weights)
    return LoadedModel(
        name=digest,
        segmenter=model.eval(),
        concepts=concepts,
        long_side=long_side,
        weights_hash=digest,
        engine=REFERENCE_ENGINE,
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
    if name in SEGMENTER_PRESETS or name in IRIS_PRESETS:
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
            f"{', '.join((*SEGMENTER_PRESETS, *IRIS_PRESETS))}"
        )
    return path
