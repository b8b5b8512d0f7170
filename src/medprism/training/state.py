"""The state of a run on disk: everything a resumed run needs to go on bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW

from medprism.core.durable import check_version, write_durably
from medprism.core.errors import CheckpointError
from medprism.training.config import TrainConfig

FORMAT: Final = "medprism-training-state"
VERSION: Final = 1


@dataclass(frozen=True)
class Position:
    """Where a run stands: steps done, seconds spent, best validation so far and its history."""

    step: int
    seconds: float
    best: float | None
    history: tuple[dict[str, Any], ...] = ()


def save_state(
    path: Path,
    config: TrainConfig,
    position: Position,
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: AdamW,
) -> None:
    """Write model, weight average, optimizer moments and position durably."""
    tensors = {f"model.{name}": t.detach() for name, t in model.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in average.items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = value
    document = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.to_json(),
        "step": position.step,
        "seconds": position.seconds,
        "best": position.best,
        "history": list(position.history),
    }
    contiguous = {name: t.contiguous().clone() for name, t in tensors.items()}
    metadata = {"medprism": json.dumps(document)}
    write_durably(path, lambda temporary: save_file(contiguous, str(temporary), metadata))


def load_state(
    path: Path, model: nn.Module, average: dict[str, Tensor], optimizer: AdamW
) -> Position:
    """Restore a run in place and return its position.

    Raises:
        CheckpointError: the file is damaged or belongs to a model of another layout.
    """
    with _open(path) as stored:
        document = read_document(path)
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    try:
        model.load_state_dict(_part(tensors, "model."))
        for name, value in _part(tensors, "average.").items():
            average[name].copy_(value)
        for name, parameter in model.named_parameters():
            keys = ("step", "exp_avg", "exp_avg_sq")
            found = {k: tensors.get(f"optimizer.{k}.{name}") for k in keys}
            if all(value is not None for value in found.values()):
                optimizer.state[parameter] = found
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"training state {path} does not fit this model ({error}); start a new run folder"
        ) from error
    return Position(
        document["step"], document["seconds"], document["best"], tuple(document["history"])
    )


def read_document(path: Path) -> dict[str, Any]:
    """Return the plain part of a state: config, step, history.

    Raises:
        CheckpointError: not a training state, or damaged.
    """
    with _open(path) as stored:
        metadata = stored.metadata() or {}
    try:
        document = json.loads(metadata["medprism"])
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not a training state; start a new run folder") from error
    if document.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a training state; start a new run folder")
    check_version(path, FORMAT, document.get("version"), VERSION)
    return dict(document)


def _open(path: Path) -> Any:  # noqa: ANN401 - safetensors has no public type for it
    try:
        return safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"training state {path} cannot be read ({error}); delete it to begin again"
        ) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def average_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the parameters and buffers, the start of their average."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def update_average(average: dict[str, Tensor], model: nn.Module, step: int, decay: float) -> None:
    """Move the average towards the model; early steps count more, so the start is forgotten."""
    keep = min(decay, (1 + step) / (10 + step))
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor, 1 - keep)
        else:
            average[name].copy_(tensor)
