"""Fill a slice store from dataset folders: once, and again only where a source changed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import make_folder, write_json
from medprism.core.errors import (
    CancelledError,
    ConfigError,
    ImageReadError,
    StoreError,
    WriteError,
)
from medprism.core.progress import Progress, SilentProgress
from medprism.data.case import Dataset, DatasetInfo
from medprism.data.conversion import Failure, Task, convert_in_order
from medprism.data.datasets.adapters import open_dataset
from medprism.data.part_writer import PARTIAL, PartWriter, whole_entry
from medprism.data.piece import count_pieces, pieces_of
from medprism.data.resampling import with_resampling
from medprism.data.source_record import Stamp, read_record, stamp_files, write_record
from medprism.data.splits import find_leaks
from medprism.data.store import (
    MANIFEST,
    STORE_FORMAT,
    VERSION,
    SliceStore,
    read_manifest,
)

# Raised when the stored bytes of an unchanged source would differ.
RECIPE: Final = 2
# Failures that an error names one by one.
_LISTED: Final = 5


def available_cores() -> int:
    """Return how many cores this process may use."""
    # Only Linux tells which of the machine's cores a process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a store is prepared.

    Slices larger than `long_side` (pixels, multiple of 16) are shrunk to it, smaller ones keep
    their size. `roles` limits the datasets by role; `only_redistributable` keeps those whose
    description says "yes"; `labelled_only` leaves out the slices of volumes on which nothing is
    labelled. `workers` is the number of processes, up to the cores; None takes all cores but one.
    With `strict` a case that cannot be read is an error; with `resample` masks on other grids are
    brought onto those of their images.
    """

    long_side: int = 384
    roles: tuple[str, ...] = ("train", "external", "unseen")
    only_redistributable: bool = False
    labelled_only: bool = False
    workers: int | None = None
    strict: bool = False
    resample: bool = False

    def __post_init__(self) -> None:
        if self.long_side < 16 or self.long_side % 16:
            raise ConfigError(f"long side {self.long_side} must be a positive multiple of 16")
        if self.workers is not None and not 1 <= self.workers <= available_cores():
            raise ConfigError(
                f"{self.workers} workers; preparing uses 1 to {available_cores()}, the cores at "
                "hand"
            )

    @property
    def num_workers(self) -> int:
        """Number of processes."""
        return max(1, available_cores() - 1) if self.workers is None else self.workers

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
    """What one dataset put into the store.

    `num_unlabelled` slices of volumes come on top of `num_slices`; `failures` are cases that could
    not be read and are not in the store.
    """

    dataset: str
    role: str
    num_slices: int
    num_bytes: int
    was_prepared: bool
    num_unlabelled: int = 0
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did, one row a dataset.

    `leaks` are groups of slices ("dataset/case") that hold the same image on different sides: in
    two splits, or in a training set and in a set that is never trained on.
    """

    datasets: tuple[DatasetReport, ...]
    leaks: tuple[tuple[str, ...], ...]

    @property
    def num_failures(self) -> int:
        """Number of cases that could not be read."""
        return sum(len(report.failures) for report in self.datasets)

    def lines(self) -> tuple[str, ...]:
        """Return the report as lines of text: counts per dataset, what is odd, then the sum."""
        rows = [
            f"{r.dataset:32} {r.role:9} {r.num_slices:6} slices {r.num_bytes / 1e6:8.1f} MB  "
            f"{'prepared' if r.was_prepared else 'unchanged'}"
            + (f", {r.num_unlabelled} slices more without labels" if r.num_unlabelled else "")
            for r in self.datasets
        ]
        slices = sum(r.num_slices for r in self.datasets)
        size = sum(r.num_bytes for r in self.datasets) / 1e6
        failed = [
            f"left out {r.dataset}/{failure.case} ({failure.file}): {failure.reason}"
            for r in self.datasets
            for failure in r.failures
        ]
        leaks = [f"same image on two sides: {', '.join(group)}" for group in self.leaks]
        return (*rows, *failed, *leaks, f"{len(rows)} datasets, {slices} slices, {size:.1f} MB")


@dataclass(frozen=True)
class _Job:
    """A dataset and the name of its part."""

    dataset: Dataset
    part: str

    @property
    def name(self) -> str:
        return self.dataset.info.name


def prepare(
    folders: Sequence[Path],
    out: Path,
    config: PrepareConfig | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare a store in `out` from dataset folders.

    The store then holds exactly these datasets (those the config accepts). A dataset whose files
    did not change keeps its part: files of the recorded size and modification time count as
    unchanged without being read (see `source_record.stamp_files`).

    Pictures and volumes are read in parallel and written in order, so the bytes do not depend on
    the number of workers. A case that cannot be read is left out and reported; it is tried again
    once a file of its dataset changes. An interrupted run leaves the former store as it was, and
    what it finished is not done again.

    `progress` counts cases (a volume is one) of the sets that changed; the total is 0 where it is
    not known.

    Raises:
        StoreError: another process prepares this store, two datasets share a name, or a worker
            was killed.
        CancelledError: the progress was cancelled.
        ImageReadError: a folder of unknown layout, a dataset of which nothing can be read, or,
            with `strict`, any case that cannot be read.
        WriteError: the disk is full or the folder is not writable.
    """

    def open_all() -> list[Dataset]:
        return [open_dataset(Path(folder), out / "splits") for folder in folders]

    return prepare_sets(open_all, out, config, progress)


def prepare_sets(
    open_all: Callable[[], list[Dataset]],
    out: Path,
    config: PrepareConfig | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare a store as `prepare` does, from datasets that `open_all` opens.

    It is called once the store is locked, as opening may draw splits and write them there.
    """
    config = config or PrepareConfig()
    progress = progress or SilentProgress()
    make_folder(out)
    with _locked(out):
        datasets = open_all()
        if config.resample:
            datasets = [with_resampling(dataset) for dataset in datasets]
        accepted = [dataset for dataset in datasets if config.accepts(dataset.info)]
        _refuse_same_names(accepted)
        former = (read_manifest(out) or {"datasets": {}})["datasets"]
        jobs = [_job(dataset, out, config, progress) for dataset in accepted]
        entries = _prepare_all(jobs, out, config, former, progress)
        if config.strict:
            _refuse_failures(entries)
        write_json(out / MANIFEST, STORE_FORMAT, VERSION, {"datasets": entries})
        _remove_stale_parts(out, entries)
        leaks = _find_leaks(SliceStore.open(out))
    reports = tuple(_report(name, entry, former) for name, entry in entries.items())
    return PrepareReport(reports, leaks)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        lock = (out / "prepare.lock").open("a")
    except OSError as error:
        raise WriteError(
            f"cannot write in {out}: {error.strerror}; free space or choose another folder"
        ) from error
    with lock as file:
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


def _job(dataset: Dataset, out: Path, config: PrepareConfig, progress: Progress) -> _Job:
    """Name the part of a dataset by what its sources are now."""
    name = dataset.info.name
    record = out / f"{name}.sources.json"
    progress.report(0, 0, f"looking at the files of {name}")
    stamps = stamp_files(
        dataset.source_files(),
        read_record(record),
        out,
        threads=config.num_workers,
        check=lambda: _check_cancelled(progress, out),
    )
    # Written before anything is prepared: an interrupted run need not read all files again.
    write_record(record, stamps, out)
    return _Job(dataset, f"{name}-{source_checksum(dataset, config, stamps)[:16]}")


def source_checksum(dataset: Dataset, config: PrepareConfig, stamps: Mapping[Path, Stamp]) -> str:
    """Return a SHA-256 over the hashes of all source files and all that shapes the stored bytes."""
    settings: list[int | bool | str] = [RECIPE, VERSION, config.long_side, config.labelled_only]
    # Named only where it is asked for, so that stores prepared without it stay fresh.
    settings += ["resample"] if config.resample else []
    sha = hashlib.sha256(json.dumps(settings).encode())
    for path in dataset.source_files():
        sha.update(f"{path.name} {stamps[path].size} {stamps[path].sha256}\n".encode())
    # A split drawn by us is no source file but decides what the rows say.
    sha.update(json.dumps(sorted(dataset.split.items())).encode())
    return sha.hexdigest()


def _prepare_all(
    jobs: list[_Job],
    out: Path,
    config: PrepareConfig,
    former: dict[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    found = {job.name: _whole(job, out, former) for job in jobs}
    todo = [job for job in jobs if found[job.name] is None]
    _remove_stale_temporaries(out, {job.part for job in todo})
    written = _fill_parts(todo, out, config, progress)
    return {job.name: found[job.name] or written[job.name] for job in jobs}


def _whole(job: _Job, out: Path, former: dict[str, Any]) -> dict[str, Any] | None:
    """Return the entry of a part that is there: of the former store, or of an interrupted run."""
    entry: dict[str, Any] | None = former.get(job.name)
    if entry is not None and entry["part"] == job.part and _is_whole(out, job.part, entry):
        return entry
    return whole_entry(out, job.part)


def _is_whole(out: Path, part: str, entry: dict[str, Any]) -> bool:
    records = out / f"{part}.bin"
    is_there = (out / f"{part}.json").exists() and records.exists()
    return is_there and records.stat().st_size == entry["num_bytes"]


def _fill_parts(
    jobs: list[_Job], out: Path, config: PrepareConfig, progress: Progress
) -> dict[str, Any]:
    """Write parts one after the other, from one row of pieces that workers read ahead."""
    counts = [count_pieces(job.dataset) for job in jobs]
    total = 0 if None in counts else sum(count or 0 for count in counts)
    entries: dict[str, Any] = {}
    with ExitStack() as opened:
        writers = [opened.enter_context(closing(PartWriter(out, job.part))) for job in jobs]
        skipped = [writer.num_pieces for writer in writers]
        tasks = _tasks(jobs, skipped, config)
        results = opened.enter_context(closing(convert_in_order(tasks, config.num_workers)))
        done = sum(skipped)
        upcoming = next(results, None)
        for place, (job, writer) in enumerate(zip(jobs, writers, strict=True)):
            while upcoming is not None and upcoming[0].job == place:
                writer.add(upcoming[1])
                done += 1
                progress.report(done, total, job.name)
                _check_cancelled(progress, out)
                upcoming = next(results, None)
            _refuse_nothing_but_failures(job.name, writer)
            entries[job.name] = writer.finish(job.dataset.info)
    return entries


def _tasks(jobs: list[_Job], skipped: list[int], config: PrepareConfig) -> Iterator[Task]:
    for number, (job, skip) in enumerate(zip(jobs, skipped, strict=True)):
        for piece in islice(pieces_of(job.dataset), skip, None):
            yield Task(number, piece, config.long_side, config.labelled_only)


def _check_cancelled(progress: Progress, out: Path) -> None:
    if progress.is_cancelled():
        raise CancelledError(
            f"preparing {out} was cancelled; the former store is unchanged, and preparing again "
            "goes on where it stopped"
        )


def _refuse_nothing_but_failures(name: str, writer: PartWriter) -> None:
    if writer.failures and writer.is_empty:
        raise ImageReadError(
            f"none of the {len(writer.failures)} cases of {name} can be read; the first: "
            f"{writer.failures[0].reason}"
        )


def _refuse_failures(entries: Mapping[str, Any]) -> None:
    failed = [
        f"{name}/{failure['case']} ({failure['reason']})"
        for name, entry in entries.items()
        for failure in entry["failures"]
    ]
    if failed:
        more = f" and {len(failed) - _LISTED} more" if len(failed) > _LISTED else ""
        raise ImageReadError(
            f"{len(failed)} cases cannot be read: {'; '.join(failed[:_LISTED])}{more}; repair "
            "them, or prepare without strictness to leave them out"
        )


def _remove_stale_temporaries(out: Path, kept: set[str]) -> None:
    """Remove what killed runs left, except parts that grow on: nobody else writes here now."""
    for path in [*out.glob(f"{PARTIAL}*"), *out.rglob(".writing-*")]:
        if path.stem.removeprefix(PARTIAL) not in kept:
            _remove(path)


def _remove_stale_parts(out: Path, entries: Mapping[str, Any]) -> None:
    kept = {MANIFEST, *(f"{name}.sources.json" for name in entries)}
    kept |= {f"{entry['part']}{end}" for entry in entries.values() for end in (".bin", ".json")}
    for path in [*out.glob("*.bin"), *out.glob("*.json")]:
        if path.name not in kept:
            _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise WriteError(
            f"cannot remove {path}: {error.strerror}; make its folder writable and prepare again"
        ) from error


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
        entry["num_unlabelled"],
        tuple(Failure(**failure) for failure in entry["failures"]),
    )


def find_folders(root: Path) -> tuple[Path, ...]:
    """Return the dataset folders under a root (those with a dataset.json), sorted."""
    return tuple(sorted(path.parent for path in root.glob("*/dataset.json")))
