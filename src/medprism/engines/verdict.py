"""Which engine is taken: what a check on this machine found, kept for a model's weights.

`medprism engines check` compares every engine with the reference on real images and writes the
verdict into the cache folder; `auto` obeys it. Without a verdict `auto` is the reference.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import make_folder, read_json, write_json
from medprism.core.errors import CheckpointError, MedprismError
from medprism.engines.engine import ENGINES, REFERENCE_ENGINE, package_versions
from medprism.engines.graph_store import cache_folder

AUTO: Final = "auto"
LEAST_DICE: Final = 0.995
LEAST_IMAGES: Final = 200
FORMAT: Final = "medprism-engine-verdict"
VERSION: Final = 1


@dataclass(frozen=True)
class Trial:
    """One engine on the images of a check.

    `dice_by_set` is the mean Dice with the reference's masks over all rounds of a set's sessions;
    `milliseconds` the median of a whole session (encoding and all clicks).
    """

    engine: str
    milliseconds: float
    dice_by_set: Mapping[str, float]

    @property
    def least_dice(self) -> float:
        """The Dice of the worst set."""
        return min(self.dice_by_set.values())

    @property
    def passes(self) -> bool:
        """Whether the worst set reaches 0.995."""
        return self.least_dice >= LEAST_DICE


@dataclass(frozen=True)
class Verdict:
    """All trials of one model on one machine with so many threads."""

    weights_hash: str
    threads: int
    images: int
    clicks: int
    trials: tuple[Trial, ...]

    @property
    def fastest(self) -> Trial:
        """The fastest engine that passes; the reference always does."""
        return min((one for one in self.trials if one.passes), key=lambda one: one.milliseconds)


@dataclass(frozen=True)
class Choice:
    """The engine that `auto` takes, and why, in one sentence."""

    engine: str
    reason: str


def choose_engine(weights_hash: str, threads: int) -> Choice:
    """Return the engine for a model on this machine; it never computes anything.

    >>> choose_engine("of no model", 1).engine
    'torch'
    """
    path = verdict_path(weights_hash, threads)
    if not path.is_file():
        return Choice(
            REFERENCE_ENGINE,
            f"no engine was checked for these weights with {threads} threads on this machine "
            "(`medprism engines check`)",
        )
    try:
        verdict = read_verdict(path)
    except MedprismError as error:
        return Choice(REFERENCE_ENGINE, f"the check that was made cannot be used: {error}")
    if verdict.images < LEAST_IMAGES:
        return Choice(
            REFERENCE_ENGINE,
            f"the check saw {verdict.images} images, {LEAST_IMAGES} are needed",
        )
    best = verdict.fastest
    missing = ENGINES[best.engine].missing()
    if missing is not None:
        return Choice(REFERENCE_ENGINE, f"{best.engine} passed the check, but {missing}")
    slow = next(one for one in verdict.trials if one.engine == REFERENCE_ENGINE)
    return Choice(
        best.engine,
        f"fastest of {len(verdict.trials)} checked on {verdict.images} images: "
        f"{slow.milliseconds / best.milliseconds:.2f} x the speed of {REFERENCE_ENGINE}, "
        f"Dice with it at least {best.least_dice:.4f} in every set",
    )


def verdict_path(weights_hash: str, threads: int) -> Path:
    """Return where the verdict on a model's weights on this machine is kept."""
    machine = hashlib.sha256(json.dumps(machine_identity()).encode()).hexdigest()[:16]
    return cache_folder() / "engines" / f"{weights_hash[:32]}-{threads}-{machine}.json"


def machine_identity() -> dict[str, Any]:
    """Return what decides which engine is fastest here: processor and versions."""
    return {"processor": _processor(), "system": platform.system(), **package_versions()}


def _processor() -> str:
    """Return name and instruction sets of the processor."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = {"model name", "flags", "Features"}
    found = {key.strip(): value.strip() for key, _, value in (one.partition(":") for one in lines)}
    return json.dumps({key: found[key] for key in sorted(wanted & found.keys())})


def write_verdict(verdict: Verdict) -> Path:
    """Keep a verdict for `choose_engine` and return its file.

    Raises:
        WriteError: the cache folder cannot be written.
    """
    path = verdict_path(verdict.weights_hash, verdict.threads)
    make_folder(path.parent)
    write_json(path, FORMAT, VERSION, asdict(verdict))
    return path


def read_verdict(path: Path) -> Verdict:
    """Read a verdict.

    Raises:
        CheckpointError: the file is damaged or of a newer version.
    """
    document = read_json(path, FORMAT, VERSION)
    try:
        trials = tuple(
            Trial(str(one["engine"]), float(one["milliseconds"]), dict(one["dice_by_set"]))
            for one in document["trials"]
        )
        verdict = Verdict(
            str(document["weights_hash"]),
            int(document["threads"]),
            int(document["images"]),
            int(document["clicks"]),
            trials,
        )
        names = {one.engine for one in trials}
        if REFERENCE_ENGINE not in names or not names <= ENGINES.keys():
            raise ValueError(f"engines {sorted(names)}")
        if not verdict.fastest.milliseconds > 0:
            raise ValueError("a session took no time")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no whole verdict ({error}); remove it and run `medprism engines check`"
        ) from error
    return verdict
