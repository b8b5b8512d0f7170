"""Weights of a user's: which files they are, and the hash by which cells know them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from medprism.core.errors import CheckpointError
from medprism.evaluation.bench.official.sessions import Asks, OfficialSession
from medprism.evaluation.cases import Target


@runtime_checkable
class Weights(Protocol):
    """Weights of one package, read as far as that goes without the package."""

    @property
    def digest(self) -> str:
        """SHA-256 of all files that are read."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What they are loaded with, beside device and threads; plain data."""

    def knows(self, target: Target) -> bool:
        """Whether a target can be asked for."""

    def session(self, runner: Asks, said: Mapping[str, Any]) -> OfficialSession:
        """Return a session with weights that are loaded; `said` is what loading answered.

        Raises:
            RunnerError: they are not for the slices of a store.
        """


def find_folds(folder: Path, folds: Sequence[str], checkpoint: str) -> tuple[str, ...]:
    """Return the folds of a trained folder that have a checkpoint, in order.

    Without `folds` all numbered ones, or "all" where there is no other.

    Raises:
        CheckpointError: the folder is none, or has no such fold.
    """
    there = tuple(
        sorted(
            path.parent.name.removeprefix("fold_")
            for path in folder.glob(f"fold_*/{checkpoint}")
            if path.is_file()
        )
    )
    missing = [fold for fold in folds if fold not in there]
    if missing or not there:
        wanted = f"fold_{missing[0] if missing else 'N'}/{checkpoint}"
        raise CheckpointError(
            f"{folder} has no {wanted}; name the folder that training wrote, with dataset.json, "
            "plans.json and folds in it"
        )
    numbered = tuple(fold for fold in there if fold != "all")
    return tuple(dict.fromkeys(folds)) or numbered or there


def read_described(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON file of a trained folder.

    Raises:
        CheckpointError: it is missing or no JSON object.
    """
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}); name the folder that training wrote"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold a JSON object; name the folder training wrote")
    return content


def hash_files(folder: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 over names (within `folder`) and contents of files.

    Raises:
        CheckpointError: one cannot be read.
    """
    sha = hashlib.sha256()
    for path in sorted(files):
        sha.update(f"{path.relative_to(folder).as_posix()} ".encode())
        try:
            with path.open("rb") as file:
                sha.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read ({error.strerror}); check the weights"
            ) from error
    return sha.hexdigest()
