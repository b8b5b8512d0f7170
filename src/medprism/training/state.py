"""The state of a run on disk: everything a resumed run needs to go on bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from medprism.core.durable import check_version, write_durably
from medprism.core.errors import CheckpointError
from medprism.models.checkpoint import save_tensors

FORMAT: Final = "medprism-training-state"
VERSION: Final = 1

_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "config": (dict,),
    "step": (int,),
    "seconds": (int, float),
    "best": (int, float, type(None)),
    "history": (list,),
}


@runtime_checkable
class RunSettings(Protocol):
    """The settings of a run, which its state must agree with."""

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""


@dataclass(frozen=True)
class Position:
    """Where a run stands: steps done, seconds spent, best validation so far and its history."""

    step: int
    seconds: float
    best: float | None
    history: tuple[dict[str, Any], ...] = ()


def save_state(
    path: Path,
    config: RunSettings,
    position: Position,
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: Optimizer,
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
    write_durably(path, lambda temporary: save_tensors(temporary, contiguous, metadata))


def load_state(
    path: Path,
    config: RunSettings,
    model: nn.Module,
    average: dict[str, Tensor],
    optimizer: Optimizer,
) -> Position:
    """Restore a run in place and return its position.

    Raises:
        CheckpointError: the file is damaged, or belongs to a run of other settings or a model of
            another layout.
    """
    document = read_document(path)
    _check_settings(path, document["config"], config)
    with _open(path) as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    _check_fit(path, tensors, model)
    model.load_state_dict(_part(tensors, "model."))
    for name, value in _part(tensors, "average.").items():
        average[name].copy_(value)
    for name, parameter in model.named_parameters():
        # A parameter that has had no gradient yet, such as an unasked table, has no moments.
        if f"optimizer.step.{name}" in tensors:
            optimizer.state[parameter] = {k: tensors[f"optimizer.{k}.{name}"] for k in _MOMENTS}
    return Position(
        document["step"], document["seconds"], document["best"], tuple(document["history"])
    )


def read_average(path: Path) -> dict[str, Tensor]:
    """Return the weight average of a state, which is what is evaluated and shipped.

    Raises:
        CheckpointError: not a training state, or damaged.
    """
    read_document(path)
    with _open(path) as stored:
        names = [name for name in stored.keys() if name.startswith("average.")]  # noqa: SIM118
        return _part({name: stored.get_tensor(name) for name in names}, "average.")


def read_document(path: Path) -> dict[str, Any]:
    """Return the plain part of a state: config, step, history.

    Raises:
        CheckpointError: not a training state, or damaged.
    """
    with _open(path) as stored:
        metadata = stored.metadata() or {}
    try:
        document = json.loads(metadata["medprism"])
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a training state; start a new run folder") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a training state; start a new run folder")
    check_version(path, FORMAT, document.get("version"), VERSION)
    wrong = [name for name, kinds in _FIELDS.items() if not isinstance(document.get(name), kinds)]
    if wrong:
        raise CheckpointError(
            f"training state {path} holds no usable {', '.join(wrong)}; start a new run folder"
        )
    return document


def _check_settings(path: Path, saved: dict[str, Any], config: RunSettings) -> None:
    # Through JSON, which knows no tuples.
    given = json.loads(json.dumps(config.to_json()))
    wrong = [name for name in {**saved, **given} if saved.get(name) != given.get(name)]
    if wrong:
        raise CheckpointError(
            f"training state {path} belongs to a run with {wrong[0]} {saved.get(wrong[0])!r}, not "
            f"{given.get(wrong[0])!r}; go on with its own settings or start a new run folder"
        )


def _check_fit(path: Path, tensors: dict[str, Tensor], model: nn.Module) -> None:
    expected = {
        f"{part}.{name}": tensor.shape
        for part in ("model", "average")
        for name, tensor in model.state_dict().items()
    }
    for name, parameter in model.named_parameters():
        shapes = dict(zip(_MOMENTS, (torch.Size(), parameter.shape, parameter.shape), strict=True))
        names = {f"optimizer.{key}.{name}": shape for key, shape in shapes.items()}
        if names.keys() & tensors.keys():
            expected |= names
    found = {name: tensor.shape for name, tensor in tensors.items()}
    wrong = sorted({name for name, _ in expected.items() ^ found.items()})
    if wrong:
        raise CheckpointError(
            f"training state {path} does not fit this model ({len(wrong)} tensors differ, "
            f"first {wrong[0]}); start a new run folder"
        )


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
