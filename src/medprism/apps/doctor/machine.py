"""What the machine offers: threads, memory, folders that can be written, weights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch

from medprism.apps.doctor.finding import Finding, State
from medprism.core.durable import write_bytes
from medprism.core.errors import CheckpointError, FormatVersionError, WriteError
from medprism.data.preparation import available_cores
from medprism.engines.loading import shipped_path
from medprism.io.memory_budget import memory_bytes
from medprism.models.catalog import IRIS_PRESETS, PRESETS
from medprism.models.checkpoint import load_checkpoint

# What a click on a slice needs at 256 pixels, with torch and the readers in memory.
_ENOUGH_MEMORY: Final = 2 * 2**30
_ENOUGH_SPACE: Final = 2**30
_EMBEDDED: Final = "kprism-compact"


def check_threads(environment: Mapping[str, str] = os.environ) -> Finding:
    """Compare the threads of torch with the cores there are."""
    cores, threads = available_cores(), torch.get_num_threads()
    found = f"{threads} on {cores} cores"
    if threads > cores:
        return Finding(
            "threads",
            "note",
            found,
            f"more threads than cores hinder one another: give --threads {cores}, or set "
            f"OMP_NUM_THREADS={cores}",
        )
    policy = environment.get("OMP_WAIT_POLICY")
    return Finding("threads", "ok", found + (f", OMP_WAIT_POLICY={policy}" if policy else ""))


def check_memory(available: int | None = None) -> Finding:
    """Compare the memory this process may use with what one session needs."""
    memory = memory_bytes() if available is None else available
    found = f"{memory / 2**30:.1f} GiB for this process"
    if memory >= _ENOUGH_MEMORY:
        return Finding("memory", "ok", found)
    return Finding(
        "memory",
        "problem",
        found,
        f"medprism needs {_ENOUGH_MEMORY / 2**30:.0f} GiB: raise the limit of the container or of "
        "the shell (ulimit -v), or close other programs",
    )


def working_folders() -> dict[str, Path]:
    """Return the folders that medprism and its libraries write to on their own account.

    The current folder is where results go that are named without a path.
    """
    import matplotlib

    return {
        "temporary files": Path(tempfile.gettempdir()),
        "matplotlib's cache": Path(matplotlib.get_cachedir()),
        "current folder": Path.cwd(),
    }


def check_folders(folders: Mapping[str, Path]) -> list[Finding]:
    """Write a file into every folder, durably, and take it away again."""
    return [_check_folder(purpose, folder) for purpose, folder in folders.items()]


def _check_folder(purpose: str, folder: Path) -> Finding:
    probe = folder / f"medprism-doctor-{os.getpid()}.tmp"
    try:
        write_bytes(probe, b"medprism")
        probe.unlink()
    except (WriteError, OSError) as error:
        state: State = "note" if purpose == "current folder" else "problem"
        advice = f"{error}" if isinstance(error, WriteError) else f"check {folder}: {error}"
        if purpose == "temporary files":
            advice += "; TMPDIR names another folder"
        return Finding(purpose, state, f"{folder} cannot be written", advice)
    free = shutil.disk_usage(folder).free
    found = f"{folder} can be written, {free / 2**30:.1f} GiB free"
    if free < _ENOUGH_SPACE:
        return Finding(purpose, "note", found, "free some space before long work")
    return Finding(purpose, "ok", found)


def check_weights(presets: Iterable[str] = (*PRESETS, *IRIS_PRESETS)) -> list[Finding]:
    """Read the weights of every preset that ships some and compare them with their hash."""
    findings = []
    for preset in presets:
        path = shipped_path(preset)
        if path.is_file():
            findings.append(_check_checkpoint(preset, path))
        elif preset == _EMBEDDED:
            findings.append(
                Finding(
                    f"weights {preset}",
                    "problem",
                    "not there",
                    "install medprism from its wheel, or give every command --model CHECKPOINT",
                )
            )
    return findings


def _check_checkpoint(preset: str, path: Path) -> Finding:
    subject, size = f"weights {preset}", path.stat().st_size / 1e6
    try:
        digest = load_checkpoint(path).weights_hash
    except (CheckpointError, FormatVersionError) as error:
        advice = f"{error} (pip install --force-reinstall medprism brings it)"
        return Finding(subject, "problem", f"damaged, {size:.1f} MB", advice)
    return Finding(subject, "ok", f"{size:.1f} MB, hash {digest[:12]} as it should be")
