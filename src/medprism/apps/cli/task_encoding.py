"""What `medprism reference encode` does once its arguments are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medprism.apps.cli.progress_bar import progress_bar
from medprism.apps.volume_references import read_volume_references
from medprism.core.errors import ConfigError, WriteError
from medprism.engines.iris import load_iris
from medprism.inference.iris.encoding import encode_task
from medprism.inference.iris.task_file import SUFFIX, save_task
from medprism.models.iris.tuning import TuningSettings


@dataclass(frozen=True, kw_only=True)
class EncodeWish:
    """The arguments of `medprism reference encode`."""

    folder: Path
    out: Path
    model: str
    classes: tuple[str, ...]
    split: str | None
    tune: int
    resample: bool
    threads: int | None


def encode_folder(wish: EncodeWish) -> str:
    """Encode, write the task file and return one line that says what it holds."""
    if wish.out.suffix != SUFFIX:
        raise WriteError(f"a task file ends in {SUFFIX}, got {wish.out}; rename it")
    if wish.tune < 0:
        raise ConfigError(f"--tune must be at least 0, got {wish.tune}")
    loaded = load_iris(wish.model, wish.threads)
    references, classes = read_volume_references(
        wish.folder, wish.classes, resample=wish.resample, split=wish.split
    )
    tuning = TuningSettings(steps=wish.tune) if wish.tune else None
    with progress_bar("encoding") as bar:
        task = encode_task(loaded, references, classes, tuning=tuning, progress=bar)
    save_task(wish.out, task)
    tuned = ", tuned" if task.is_tuned else ""
    return (
        f"{wish.out}: {', '.join(task.classes)} by {len(references)} references at "
        f"{task.spacing:g} mm{tuned}"
    )
