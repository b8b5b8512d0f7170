"""Fill a slice store from dataset folders: once, and again only where a source changed."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from medprism.core.durable import write_durably, write_json
from medprism.core.errors import CancelledError, ConfigError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule
from medprism.core.progress import Progress, SilentProgress
from medprism.data.case import Dataset, DatasetInfo
from medprism.data.datasets.adapters import open_dataset
from medprism.data.splits import find_leaks
from medprism.data.store import (
    MANIFEST,
    PART_FORMAT,
    STORE_FORMAT,
    VERSION,
    SliceRow,
    SliceStore,
    info_to_json,
    read_manifest,
)
from medprism.data.stored_slice import read_image, read_planes, stored_pixels, stored_planes

# Raised when the stored bytes of an unchanged source would differ.
RECIPE: Final = 1
MAX_WORKERS: Final = 2


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a store is prepared.

    Slices larger than `long_side` (pixels, multiple of 16) are shrunk to it, smaller ones keep
    their size. `roles` limits the datasets by role; `only_redistributable` keeps those whose
    description says "yes".
    """

    long_side: int = 384
    roles: tuple[str, ...] = ("train", "external", "unseen")
    only_redistributable: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        if self.long_side < 16 or self.long_side % 16:
            raise ConfigError(f"long side {self.long_side} must be a positive multiple of 16")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ConfigError(f"{self.workers} workers; preparing uses 1 or {MAX_WORKERS}")

    def accepts(self, info: DatasetInfo) -> bool:
        """Say whether a dataset's role and licence let it in.

        >>> info = DatasetInfo("a", "a", "train", None, {}, redistributable="yes (CC BY)")
        >>> PrepareConfig(only_redistributable=True).accepts(info)
        True
        """
        is_free = (info.redistributable or "").casefold().startswith("yes")
        return info.role in self.roles and (is_free or not self.only_redistributable)


@dataclass(frozen=True)
class DatasetReport:
    """What one dataset put into the store."""

    dataset: str
    role: str
    num_slices: int
    num_bytes: int
    was_prepared: bool


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did, one row a dataset.

    `leaks` are groups of slices ("dataset/case") that hold the same image on different sides: in
    two splits, or in a training set and in a set that is never trained on.
    """

    datasets: tuple[DatasetReport, ...]
    leaks: tuple[tuple[str, ...], ...]

    def lines(self) -> tuple[str, ...]:
        """Return the report as lines of text: counts per dataset, then the sum."""
        rows = [
            f"{r.dataset:32} {r.role:9} {r.num_slices:6} slices {r.num_bytes / 1e6:8.1f} MB  "
            f"{'prepared' if r.was_prepared else 'unchanged'}"
            for r in self.datasets
        ]
        slices = sum(r.num_slices for r in self.datasets)
        size = sum(r.num_bytes for r in self.datasets) / 1e6
        leaks = [f"same image on two sides: {', '.join(group)}" for group in self.leaks]
        return (*rows, *leaks, f"{len(rows)} datasets, {slices} slices, {size:.1f} MB")


def prepare(
    folders: Sequence[Path],
    out: Path,
    config: PrepareConfig | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare a store in `out` from dataset folders.

    The store then holds exactly these datasets (those the config accepts). A dataset whose files
    did not change keeps its part. An interrupted run leaves the former store as it was.

    Raises:
        StoreError: another process prepares this store, or two datasets share a name.
        CancelledError: the progress was cancelled.
        ImageReadError: a file that cannot be read, or a folder of unknown layout.
        WriteError: the disk is full or the folder is not writable.
    """
    config = config or PrepareConfig()
    progress = progress or SilentProgress()
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        datasets = [open_dataset(Path(folder), out / "splits") for folder in folders]
        accepted = [dataset for dataset in datasets if config.accepts(dataset.info)]
        _refuse_same_names(accepted)
        former = (read_manifest(out) or {"datasets": {}})["datasets"]
        entries = _prepare_all(accepted, out, config, former, progress)
        write_json(out / MANIFEST, STORE_FORMAT, VERSION, {"datasets": entries})
        _remove_stale_parts(out, {entry["part"] for entry in entries.values()})
        leaks = _find_leaks(SliceStore.open(out))
    reports = tuple(_report(name, entry, former) for name, entry in entries.items())
    return PrepareReport(reports, leaks)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    with (out / "prepare.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another process is preparing the store {out}; wait for it or choose another "
                "folder"
            ) from error
        yield


def _refuse_same_names(datasets: list[Dataset]) -> None:
    names = [dataset.info.name for dataset in datasets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"two folders both hold a dataset named {twice[0]!r}; rename one")


def _prepare_all(
    datasets: list[Dataset],
    out: Path,
    config: PrepareConfig,
    former: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    parts = [f"{d.info.name}-{source_checksum(d, config)[:16]}" for d in datasets]
    todo = [
        (dataset, part)
        for dataset, part in zip(datasets, parts, strict=True)
        if former.get(dataset.info.name, {}).get("part") != part or not _is_whole(out, part)
    ]
    written: dict[str, Any] = {}
    for done, (name, entry) in enumerate(_write_parts(todo, out, config), start=1):
        written[name] = entry
        progress.report(done, len(todo), name)
        if progress.is_cancelled():
            raise CancelledError(f"preparing {out} was cancelled; the former store is unchanged")
    return {d.info.name: written.get(d.info.name) or former[d.info.name] for d in datasets}


def _write_parts(
    todo: list[tuple[Dataset, str]], out: Path, config: PrepareConfig
) -> Iterator[tuple[str, dict[str, Any]]]:
    jobs = [(dataset, part, out, config.long_side) for dataset, part in todo]
    if config.workers == 1 or len(jobs) < 2:
        yield from map(_write_part, jobs)
        return
    # Spawned, not forked: the parent may hold threads of torch or cv2.
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_write_part, jobs)


def source_checksum(dataset: Dataset, config: PrepareConfig) -> str:
    """Return a SHA-256 over the bytes of all source files and all that shapes the stored bytes."""
    sha = hashlib.sha256(json.dumps([RECIPE, VERSION, config.long_side]).encode())
    for path in dataset.source_files():
        content = path.read_bytes()
        sha.update(f"{path.name} {len(content)}\n".encode())
        sha.update(content)
    # A split drawn by us is no source file but decides what the rows say.
    sha.update(json.dumps(sorted(dataset.split.items())).encode())
    return sha.hexdigest()


def _is_whole(out: Path, part: str) -> bool:
    return (out / f"{part}.json").exists() and (out / f"{part}.bin").exists()


def _write_part(job: tuple[Dataset, str, Path, int]) -> tuple[str, dict[str, Any]]:
    dataset, part, out, long_side = job
    rows: list[SliceRow] = []

    def write(path: Path) -> None:
        with path.open("wb") as file:
            rows.extend(_write_cases(dataset, file, long_side))

    write_durably(out / f"{part}.bin", write)
    payload = {"rows": [row.to_json() for row in rows]}
    write_json(out / f"{part}.json", PART_FORMAT, VERSION, payload)
    return dataset.info.name, {
        "part": part,
        "num_slices": len(rows),
        "num_bytes": sum(row.num_bytes for row in rows),
        "info": info_to_json(_with_found_classes(dataset.info, rows)),
    }


def _with_found_classes(info: DatasetInfo, rows: list[SliceRow]) -> DatasetInfo:
    if info.classes:
        return info
    found = sorted({label_id for row in rows for label_id in row.areas})
    classes = {label_id: f"label {label_id}" for label_id in found}
    return DatasetInfo(**{**vars(info), "classes": classes})


def _write_cases(dataset: Dataset, file: BinaryIO, long_side: int) -> Iterator[SliceRow]:
    offset = 0
    former: Image | None = None
    bounds = (0.0, 255.0)
    for case in dataset.cases():
        image = read_image(case)
        if image is not former:
            # Percentiles of a volume are taken once, not once a slice.
            former, bounds = image, choose_rule(image).bounds(image)
        planes = read_planes(case, image)
        shape = image.voxels.shape[1:3]
        source_shape = (int(shape[0]), int(shape[1]))
        pixels = stored_pixels(image, case.plane, long_side, bounds)
        stored = stored_planes(planes, source_shape, long_side, case)
        file.write(pixels.tobytes())
        for plane in stored.values():
            file.write(np.packbits(plane).tobytes())
        row = SliceRow(
            dataset=case.dataset,
            case_id=case.case_id,
            patient=case.patient,
            split=case.split,
            role=case.role,
            modality=case.modality,
            slice_index=case.slice_index,
            relative_position=case.relative_position,
            view=case.view,
            spacing=case.spacing,
            plane=case.plane,
            shape=(int(pixels.shape[0]), int(pixels.shape[1]), int(pixels.shape[2])),
            source_shape=source_shape,
            areas={label_id: int(plane.sum()) for label_id, plane in stored.items()},
            content=f"{image.digest}:{case.plane}",
            offset=offset,
        )
        offset += row.num_bytes
        yield row


def _remove_stale_parts(out: Path, kept: set[str]) -> None:
    for path in [*out.glob("*.bin"), *out.glob("*.json"), *out.glob(".writing-*")]:
        if path.name != MANIFEST and path.stem not in kept:
            path.unlink()


def _find_leaks(store: SliceStore) -> tuple[tuple[str, ...], ...]:
    return find_leaks(
        (f"{row.dataset}/{row.case_id}", row.split if row.role == "train" else "test", row.content)
        for row in store.rows
    )


def _report(name: str, entry: dict[str, Any], former: dict[str, Any]) -> DatasetReport:
    return DatasetReport(
        name,
        entry["info"]["role"],
        entry["num_slices"],
        entry["num_bytes"],
        former.get(name) != entry,
    )


def find_folders(root: Path) -> tuple[Path, ...]:
    """Return the dataset folders under a root (those with a dataset.json), sorted."""
    return tuple(sorted(path.parent for path in root.glob("*/dataset.json")))
