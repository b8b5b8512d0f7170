"""What an archive costs, and what a million studies would: `python -m benchmarks.archive`.

Made-up volumes are segmented by one process, and through Ray Data by several workers on this
machine, by the same model and the same question; masks of both must be equal. `--page` puts the
figures, and what follows from them for a million studies, into docs/scale.md.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import tempfile
import time
import tracemalloc
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import nibabel as nib
import numpy as np
import typer

from benchmarks.performance.cost import load_average
from benchmarks.results_page import replace_part
from medprism.core.durable import write_bytes
from medprism.core.randomness import counter_rng
from medprism.evaluation.page import table
from medprism.inference.archive import MaskFolder, find_studies, segment_folder
from medprism.inference.archive_record import (
    RECORD_FILE,
    ArchiveRecord,
    Line,
    line_of,
    segmented_of,
)
from medprism.inference.cluster import ArchiveOrder, segment_archive
from medprism.inference.knowledge import Knowledge
from medprism.inference.ray_cluster import RayCluster

MILLION: Final = 1_000_000
LISTED: Final = 5_000
# Cores of a machine in the sizing, and days that the work may take.
CORES: Final = 32
DAYS: Final = 7
_GB: Final = 1e9


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; seconds are of wall time unless they are of CPU, bytes are of files.

    `ray_seconds` is None where Ray is not installed; it begins when Ray starts, `ray_first` of it
    passed before the first study was done. `listing` and `driver_bytes` are of one study: finding
    it in a folder, and what the program that hands studies out holds of it.
    """

    studies: int
    slices: int
    side: int
    cores: int
    load: float
    processor: str
    cpu_seconds: float
    seconds: float
    image_bytes: float
    mask_bytes: float
    worker_bytes: float
    record_bytes: float
    listing: float
    driver_bytes: float
    workers: int
    ray_seconds: float | None
    ray_first: float | None

    @property
    def per_hour(self) -> float:
        """Studies an hour of one process."""
        return 3600 * self.studies / self.seconds

    @property
    def ray_per_hour(self) -> float | None:
        """Studies an hour through Ray once its workers have begun; None without Ray."""
        if self.ray_seconds is None or self.ray_first is None:
            return None
        return 3600 * (self.studies - 1) / max(self.ray_seconds - self.ray_first, 1e-9)


def write_archive(folder: Path, studies: int, slices: int, side: int) -> Path:
    """Write volumes of noise with a bright body; the same numbers give the same bytes."""
    folder.mkdir(parents=True)
    rows, cols = np.mgrid[:side, :side]
    body = ((rows / side - 0.45) / 0.3) ** 2 + ((cols / side - 0.55) / 0.4) ** 2 < 1
    for number in range(studies):
        rng = counter_rng(number, slices, side, "archive")
        volume = rng.normal(-900, 25, (slices, side, side)) + body * rng.normal(950, 30)
        image = nib.Nifti1Image(volume.astype(np.int16).transpose(2, 1, 0), np.diag([1, 1, 3, 1]))
        nib.save(image, folder / f"{number:04d}.nii.gz")
    return folder


class _FirstReport:
    """A progress that notes when the first study was done."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.first: float | None = None

    def report(self, done: int, total: int, message: str = "") -> None:
        """Note the time."""
        if self.first is None:
            self.first = time.perf_counter() - self.started

    def is_cancelled(self) -> bool:
        """Return False."""
        return False


def measure(
    root: Path, order: ArchiveOrder, *, studies: int, slices: int, side: int, workers: int
) -> Figures:
    """Segment an archive in every way; the first study of one process warms up, uncounted.

    Raises:
        AssertionError: Ray's masks are not those of one process.
    """
    folder = write_archive(root / "archive", studies, slices, side)
    session, alone = order.open(), root / "alone"
    warm = write_archive(root / "warm", 1, slices, side)
    segment_folder(session, warm, order.knowledge, root / "warmed")
    load, cpu, started = load_average(), time.process_time(), time.perf_counter()
    report = segment_folder(session, folder, order.knowledge, alone)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    assert not report.failed, report.failed
    worker_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ray_seconds, ray_first = _with_ray(folder, order, alone, workers)
    line = line_of(folder / "0000.nii.gz", report.segmented[0], "machine-0:12345")
    return Figures(
        studies=studies,
        slices=slices,
        side=side,
        cores=len(os.sched_getaffinity(0)),
        load=load,
        processor=_processor(),
        cpu_seconds=cpu,
        seconds=seconds,
        image_bytes=_mean_size(folder),
        mask_bytes=_mean_size(alone),
        worker_bytes=worker_bytes,
        record_bytes=len(json.dumps(line)) + 1,
        listing=_listing(root / "many"),
        driver_bytes=_driver_bytes(root / "held", line),
        workers=workers,
        ray_seconds=ray_seconds,
        ray_first=ray_first,
    )


def _with_ray(
    folder: Path, order: ArchiveOrder, alone: Path, workers: int
) -> tuple[float | None, float | None]:
    if find_spec("ray") is None:
        return None, None
    progress = _FirstReport()
    report = segment_archive(folder, order, RayCluster(workers=workers), progress)
    assert not report.failed, report.failed
    for mask in alone.iterdir():
        one, other = nib.load(mask), nib.load(order.masks.path / mask.name)
        assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj)), mask.name
    return report.seconds, progress.first


def _mean_size(folder: Path) -> float:
    sizes = [path.stat().st_size for path in folder.iterdir() if path.name != RECORD_FILE]
    return sum(sizes) / len(sizes)


def _listing(folder: Path) -> float:
    """Return the seconds that finding one study takes in a folder of thousands."""
    folder.mkdir()
    for number in range(LISTED):
        (folder / f"{number:07d}.nii.gz").touch()
    started = time.perf_counter()
    find_studies(folder)
    return (time.perf_counter() - started) / LISTED


def _driver_bytes(folder: Path, line: Line) -> float:
    """Return the memory that lines and report of one study take."""
    folder.mkdir()
    path = folder / RECORD_FILE
    with ArchiveRecord(folder, {}) as record:
        for number in range(LISTED):
            record.add({**line, "study": f"{number:07d}.nii.gz"})
    tracemalloc.start()
    with ArchiveRecord(folder, {}) as record:
        held = [segmented_of(one, path, folder) for one in record.lines.values()]
        used = tracemalloc.get_traced_memory()[0] / len(held)
    tracemalloc.stop()
    return used


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def measured(found: Figures) -> str:
    """Return what was measured, as a paragraph and a table."""
    hours = [["one process, one thread", f"{found.per_hour:,.0f}", "1"]]
    if found.ray_per_hour is not None:
        ratio = found.ray_per_hour / found.per_hour
        hours.append(
            [f"Ray, {found.workers} workers", f"{found.ray_per_hour:,.0f}", f"{ratio:.2f}"]
        )
    said = (
        f"{found.studies} volumes of {found.slices} slices of {found.side} x {found.side}; "
        f"{found.processor}, {found.cores} core{'s' if found.cores > 1 else ''} for all processes "
        f"together, load average {found.load:.2f}."
    )
    if found.ray_first is not None:
        said += f" Ray and its workers took {found.ray_first:.0f} s to the first mask."
    if found.ray_first is not None and found.cores < found.workers:
        said += (
            f" **{found.workers} workers shared {found.cores} core here**, so the ratio says what "
            "Ray costs and not what more cores bring."
        )
    rows = [
        ["CPU seconds", f"{found.cpu_seconds / found.studies:.2f}"],
        ["memory of a worker (peak)", f"{found.worker_bytes / 1e6:,.0f} MB"],
        ["image read", f"{found.image_bytes / 1e6:.2f} MB"],
        ["mask written", f"{found.mask_bytes / 1e3:.1f} kB"],
        ["line of the record", f"{found.record_bytes:,.0f} B"],
        ["memory of the program that hands out", f"{found.driver_bytes / 1e3:.1f} kB"],
        ["finding it in its folder", f"{1e6 * found.listing:.0f} us"],
    ]
    return (
        f"{said}\n\n{table(['way', 'studies an hour', 'ratio'], hours)}\n\n"
        f"{table(['one study', 'measured'], rows)}"
    )


def sizing(found: Figures, slices: int = 100) -> str:
    """Return what a million studies of so many slices need; cost grows with slices.

    CPU seconds, images and masks count a slice, all else a study.
    """
    grown = slices / found.slices
    core_hours = MILLION * grown * found.cpu_seconds / found.studies / 3600
    machines = math.ceil(core_hours / (CORES * 24 * DAYS))
    per_second = MILLION / (DAYS * 86_400)
    read = found.image_bytes * grown
    rows = [
        ["core-hours", f"{core_hours:,.0f}"],
        [f"machines of {CORES} cores, for {DAYS} days", f"{machines:,}"],
        ["memory of each, a worker a core", f"{CORES * found.worker_bytes / _GB:,.0f} GB"],
        ["images read", f"{MILLION * read / _GB:,.0f} GB"],
        ["rate of the shared disk", f"{per_second * read / 1e6:.1f} MB/s"],
        ["masks written", f"{MILLION * found.mask_bytes * grown / _GB:,.1f} GB"],
        ["record", f"{MILLION * found.record_bytes / _GB:.2f} GB"],
        ["memory of the program that hands out", f"{MILLION * found.driver_bytes / _GB:.1f} GB"],
        ["finding them in one folder, local disk", f"{MILLION * found.listing:,.0f} s"],
    ]
    return table([f"1,000,000 studies of {slices} slices", "on paper"], rows)


def fill_page(page: Path, found: Figures) -> None:
    """Put the figures and the sizing into the page."""
    text = page.read_text(encoding="utf-8")
    for name, part in (("measured", measured(found)), ("sizing", sizing(found))):
        text = replace_part(text, name, part)
    write_bytes(page, text.encode())


def main(
    studies: Annotated[int, typer.Option(help="Volumes.")] = 6,
    slices: Annotated[int, typer.Option(help="Slices of a volume.")] = 16,
    side: Annotated[int, typer.Option(help="Side of a slice in pixels.")] = 256,
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    classes: Annotated[str, typer.Option(help="Classes to ask for.")] = "liver",
    workers: Annotated[int, typer.Option(help="Workers of Ray.")] = 2,
    page: Annotated[Path | None, typer.Option(help="Page to fill in.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure, print, and fill in the page."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        knowledge = Knowledge(classes=tuple(classes.split(",")))
        order = ArchiveOrder(
            model=model, knowledge=knowledge, masks=MaskFolder(path=root / "spread")
        )
        found = measure(root, order, studies=studies, slices=slices, side=side, workers=workers)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
    else:
        typer.echo(f"{measured(found)}\n\n{sizing(found)}")
    if page is not None:
        fill_page(page, found)


if __name__ == "__main__":
    typer.run(main)
