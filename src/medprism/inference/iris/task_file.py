"""Task embeddings as files: what references said, to be used again without them.

A safetensors file with one row a reference (or one that was tuned), the classes' names, the model
it belongs to and the grid on which volumes are worked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from medprism.core.durable import check_version, write_durably
from medprism.core.errors import CheckpointError, LabelError
from medprism.engines.iris import LoadedIris
from medprism.models.checkpoint import save_tensors
from medprism.models.iris.embedding import TaskEmbeddings

FORMAT: Final = "medprism-task"
VERSION: Final = 1
SUFFIX: Final = ".task"
_TENSORS: Final = ("tokens", "present", "described")


@dataclass(frozen=True, eq=False)
class Task:
    """Classes, their embeddings by reference, and the spacing in mm on which they were encoded.

    `described` holds a vector a reference, for retrieval by image; `sources` names the references.
    """

    classes: tuple[str, ...]
    pool: TaskEmbeddings
    described: Float[Tensor, "rows dim"]
    sources: tuple[str, ...]
    spacing: float
    weights_hash: str
    is_tuned: bool = False

    def select(self, names: tuple[str, ...]) -> Task:
        """Return the task of some of its classes, in the order given.

        Raises:
            LabelError: a class that the task does not have.
        """
        unknown = [name for name in names if name not in self.classes]
        if unknown:
            raise LabelError(
                f"the task has no class {unknown[0]!r}; it has {', '.join(self.classes)}"
            )
        index = torch.tensor([self.classes.index(name) for name in names])
        return Task(
            names,
            self.pool.select_classes(index),
            self.described,
            self.sources,
            self.spacing,
            self.weights_hash,
            self.is_tuned,
        )

    def check_model(self, loaded: LoadedIris, path: Path | None = None) -> None:
        """Refuse to be used with another model than the one it was encoded with.

        Raises:
            CheckpointError: the weights differ.
        """
        if self.weights_hash != loaded.weights_hash:
            raise CheckpointError(
                f"task {path or self.classes[0]} was encoded with the weights "
                f"{self.weights_hash[:12]}, and {loaded.name} has {loaded.weights_hash[:12]}; "
                "encode the references with this model (medprism reference encode), or give the "
                "other one"
            )


def save_task(path: Path, task: Task) -> None:
    """Write a task durably.

    Raises:
        WriteError: the file cannot be written; the old one stays.
    """
    tensors = {
        "tokens": task.pool.tokens.to(torch.float32).contiguous().clone(),
        "present": task.pool.present.contiguous().clone(),
        "described": task.described.to(torch.float32).contiguous().clone(),
    }
    document = {
        "format": FORMAT,
        "version": VERSION,
        "classes": list(task.classes),
        "sources": list(task.sources),
        "spacing_mm": task.spacing,
        "weights_hash": task.weights_hash,
        "is_tuned": task.is_tuned,
    }
    metadata = {"medprism": json.dumps(document)}
    write_durably(path, lambda temporary: save_tensors(temporary, tensors, metadata))


def load_task(path: Path) -> Task:
    """Read a task file.

    Raises:
        CheckpointError: missing, damaged, or no task file.
        FormatVersionError: written by a newer version.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no task file at {path}; make one with medprism reference encode DIR -o {path.name}"
        )
    try:
        with safe_open(str(path), framework="pt") as stored:
            document = json.loads((stored.metadata() or {})["medprism"])
            found = document["format"]
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a whole task file ({error}); encode the references again"
        ) from error
    if found != FORMAT:
        raise CheckpointError(f"{path} is of format {found!r}, not {FORMAT!r}; choose another file")
    check_version(path, FORMAT, document.get("version"), VERSION)
    return _task(path, document, tensors)


def _task(path: Path, document: dict[str, Any], tensors: dict[str, Tensor]) -> Task:
    classes, sources = document.get("classes"), document.get("sources")
    spacing, digest = document.get("spacing_mm"), document.get("weights_hash")
    is_usable = (
        _are_names(classes)
        and _are_names(sources)
        and isinstance(spacing, float)
        and spacing > 0
        and isinstance(digest, str)
        and _fit(tensors, len(classes or ()), len(sources or ()))
    )
    if not is_usable:
        raise CheckpointError(
            f"{path} holds no usable task; it was not written by medprism, encode it again"
        )
    return Task(
        classes=tuple(classes or ()),
        pool=TaskEmbeddings(tensors["tokens"], tensors["present"]),
        described=tensors["described"],
        sources=tuple(sources or ()),
        spacing=float(spacing or 0.0),
        weights_hash=str(digest),
        is_tuned=document.get("is_tuned") is True,
    )


def _fit(tensors: dict[str, Tensor], classes: int, sources: int) -> bool:
    if set(tensors) != set(_TENSORS):
        return False
    tokens, present, described = (tensors[name] for name in _TENSORS)
    return (
        tokens.ndim == 4
        and tokens.dtype == described.dtype == torch.float32
        and present.dtype == torch.bool
        and tokens.shape[:2] == present.shape
        and present.shape[1] == classes > 0
        and described.ndim == 2
        and len(described) == len(tokens) == sources > 0
        and bool(torch.isfinite(tokens).all())
    )


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
