"""Checkpoints: safetensors with everything that inference needs as JSON beside the tensors.

Never pickle. The weights hash is computed over the stored tensors, so it names exactly what a
prompt log or a cached encoding was made with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medprism.core.concepts import ConceptTable
from medprism.core.durable import check_version, write_durably
from medprism.core.errors import CheckpointError, InternalError, LabelError

FORMAT: Final = "medprism-checkpoint"
VERSION: Final = 1
HALF_LIMIT: Final = 65504.0

_TEXTS: Final = ("name", "architecture", "code_version")
_TABLES: Final = ("config", "preprocessing", "training", "metrics", "card")


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What a checkpoint knows about itself; all of it plain data except the concept table.

    `preprocessing` holds the long side and the intensity rules; `training` the sets with their
    licences and the run; `card` the intended use, the licence of the weights, the failures.
    """

    name: str
    architecture: str
    config: Mapping[str, Any]
    concepts: ConceptTable
    preprocessing: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the information as plain data."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "config": dict(self.config),
            "concepts": self.concepts.to_json(),
            "preprocessing": dict(self.preprocessing),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "card": dict(self.card),
            "code_version": self.code_version,
        }


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory: information, tensors and the hash of the stored tensors."""

    info: CheckpointInfo
    tensors: dict[str, Tensor]
    weights_hash: str


def save_checkpoint(path: Path, info: CheckpointInfo, tensors: Mapping[str, Tensor]) -> str:
    """Write a checkpoint durably and return its weights hash.

    Raises:
        WriteError: the file cannot be written; the old one stays.
    """
    # Cloned, since safetensors refuses tensors that share memory.
    contiguous = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    digest = hash_tensors(contiguous)
    document = {"format": FORMAT, "version": VERSION, "weights_hash": digest, **info.to_json()}
    metadata = {"medprism": json.dumps(document)}
    write_durably(path, lambda temporary: save_tensors(temporary, contiguous, metadata))
    return digest


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check that it is whole.

    Raises:
        CheckpointError: missing, truncated, damaged, or not a medprism checkpoint.
        FormatVersionError: written by a newer version.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give a .safetensors file or a preset name")
    try:
        with safe_open(str(path), framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); fetch it again"
        ) from error
    document = _parse(path, metadata)
    digest, named = hash_tensors(tensors), str(document.get("weights_hash"))
    if digest != named:
        raise CheckpointError(
            f"{path} holds weights {digest[:12]} but names {named[:12]}; "
            "the file is damaged, fetch it again"
        )
    return Checkpoint(_info(path, document), tensors, digest)


def architecture_of(path: Path) -> str | None:
    """Return the architecture that a checkpoint names, without reading its tensors.

    None for a file that is no checkpoint, which `load_checkpoint` describes.
    """
    try:
        with safe_open(str(path), framework="pt") as stored:
            named = _parse(path, stored.metadata() or {}).get("architecture")
    except (SafetensorError, OSError, ValueError, RuntimeError, CheckpointError):
        return None
    return named if isinstance(named, str) else None


def to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as 16-bit floats, refusing any value that does not fit.

    Raises:
        InternalError: a value is not finite or beyond the range of a 16-bit float.
    """
    halves = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            largest = float(tensor.detach().abs().max()) if tensor.numel() else 0.0
            if not largest <= HALF_LIMIT:
                raise InternalError(f"{name} reaches {largest}, beyond 16-bit floats")
        halves[name] = tensor.half() if tensor.is_floating_point() else tensor
    return halves


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes in name order."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the disk refuses, which safetensors itself says by an error of its own.
    """
    try:
        save_file(tensors, str(path), metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _parse(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        document = json.loads(metadata["medprism"])
        known = document["format"] == FORMAT
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} holds tensors but is not a medprism checkpoint; choose another file"
        ) from error
    if not known:
        raise CheckpointError(
            f"{path} is of format {document['format']!r}, not {FORMAT!r}; choose another file"
        )
    check_version(path, FORMAT, document.get("version"), VERSION)
    return dict(document)


def _info(path: Path, document: dict[str, Any]) -> CheckpointInfo:
    texts: dict[str, Any] = {name: document.get(name) for name in _TEXTS}
    tables: dict[str, Any] = {name: document.get(name) for name in _TABLES}
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    wrong += [name for name, value in tables.items() if not isinstance(value, dict)]
    wrong += [] if _are_concepts(document.get("concepts")) else ["concepts"]
    if wrong:
        raise CheckpointError(
            f"{path} holds no usable {', '.join(wrong)}; it was not written by medprism"
        )
    try:
        concepts = ConceptTable.from_json(document["concepts"])
    except LabelError as error:
        raise CheckpointError(
            f"{path} holds no usable concepts ({error}); it was not written by medprism"
        ) from error
    return CheckpointInfo(concepts=concepts, **texts, **tables)


def _are_concepts(payload: object) -> bool:
    return isinstance(payload, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _is_list_of(str, entry.get("synonyms"))
        and isinstance(entry.get("label_ids"), dict)
        and all(_is_list_of(int, ids) for ids in entry["label_ids"].values())
        for entry in payload
    )


def _is_list_of(kind: type, value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
