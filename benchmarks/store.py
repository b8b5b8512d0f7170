"""What the slice store costs: `make speed`.

Slices prepared a second, random reads a second and core as a multiple of what training consumes,
bytes on disk a slice; for real pictures beside the checkout where they are, and for made-up volumes
of 64 x 64 slices in two sizes, whose cost a slice must be alike: preparing is linear. Files are
read from the page cache, as in training after its first minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import cv2
import nibabel
import numpy as np
import typer

from medprism.core.randomness import counter_rng
from medprism.data.datasets.discovery import find_datasets
from medprism.data.diet import choose_diet
from medprism.data.episode import EpisodeConfig, EpisodeSampler
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore

SIDE: Final = 64
DEPTH: Final = 100
CANVAS: Final = 256
OPENED_WITHIN_S: Final = 1.0
ENOUGH: Final = 5.0
"""Training should be able to read this many times what it consumes."""


@dataclass(frozen=True)
class Cost:
    """What one set costs. Reads are a second and core; `open_s` is the median of five."""

    name: str
    slices: int
    prepare_s: float
    slices_per_s: float
    again_s: float
    open_s: float
    reads_per_s: float
    drawn_per_s: float
    bytes_per_slice: float

    def row(self, consumed: float) -> str:
        """Return a line of the table."""
        return (
            f"| {self.name} | {self.slices:,} | {self.slices_per_s:,.0f} | {self.again_s:.2f} "
            f"| {self.open_s:.3f} | {self.reads_per_s:,.0f} ({self.reads_per_s / consumed:,.0f}x) "
            f"| {self.drawn_per_s:,.0f} ({self.drawn_per_s / consumed:,.1f}x) "
            f"| {self.bytes_per_slice:,.0f} |"
        )


def write_volumes(folder: Path, num_slices: int) -> None:
    """Write volumes of 100 slices with one bright block each; two of three slices are labelled."""
    (folder / "volumes").mkdir(parents=True)
    names = [f"case{number:05d}" for number in range(num_slices // DEPTH)]
    for number, name in enumerate(names):
        rng = counter_rng(number, "store")
        labels = np.zeros((SIDE, SIDE, DEPTH), np.uint8)
        top, left = (int(at) for at in rng.integers(4, 30, 2))
        labels[top : top + 24, left : left + 16, : 2 * DEPTH // 3] = 1
        voxels = rng.integers(0, 60, labels.shape, np.uint8) + 150 * labels
        for kind, array in (("img", voxels), ("seg", labels)):
            image = nibabel.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]))
            nibabel.save(image, folder / "volumes" / f"{name}_{kind}.nii")
    description = {
        "slug": folder.name,
        "role": "train",
        "modality": "MR",
        "classes": {"1": "block"},
        "patients": {name: name for name in names},
        "split": {"train": names[1:], "test": names[:1]},
        "redistributable": "yes",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def per_second(work: Callable[[int], int], seconds: float) -> float:
    """Return how many units a second are done, over at least so many seconds."""
    work(0)
    started, done, turn = time.perf_counter(), 0, 0
    while time.perf_counter() - started < seconds:
        turn += 1
        done += work(turn)
    return done / (time.perf_counter() - started)


def read_rows(store: SliceStore) -> Callable[[int], int]:
    """Return what reads 100 random slices, each with the union of its masks."""

    def read(turn: int) -> int:
        for number in counter_rng(turn, "read").integers(len(store), size=100).tolist():
            np.array(store.image(number))
            store.plane(number, tuple(store.rows[number].areas))
        return 100

    return read


def draw_episodes(store: SliceStore) -> Callable[[int], int]:
    """Return what draws an episode as training does, with references; units are images drawn."""
    diet = choose_diet(store)
    config = EpisodeConfig(size=CANVAS)
    sampler = EpisodeSampler(diet.store, diet.concepts, config=config, partial=diet.partial)

    def draw(turn: int) -> int:
        episode = sampler.draw(0, turn, needs_reference=True)
        references = 0 if episode.reference_rows is None else episode.reference_rows.size
        return len(episode.images) + references

    return draw


def measure(name: str, folders: list[Path], workers: int | None, seconds: float) -> Cost:
    """Prepare a store from folders and return what it costs."""
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "store"
        config = PrepareConfig(workers=workers)
        found = find_datasets(folders)
        prepare_s = seconds_of(lambda: prepare(found, out, config))
        again_s = seconds_of(lambda: prepare(found, out, config))
        open_s = statistics.median(seconds_of(lambda: SliceStore.open(out)) for _ in range(5))
        store = SliceStore.open(out)
        slices = len(store) + len(store.unlabelled())
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        return Cost(
            name=name,
            slices=slices,
            prepare_s=round(prepare_s, 2),
            slices_per_s=round(slices / prepare_s, 1),
            again_s=round(again_s, 3),
            open_s=round(open_s, 4),
            reads_per_s=round(per_second(read_rows(store), seconds), 1),
            drawn_per_s=round(per_second(draw_episodes(store), seconds), 1),
            bytes_per_slice=round(size / slices, 1),
        )


def measure_made_up(num_slices: int, workers: int | None, seconds: float) -> Cost:
    """Measure made-up volumes."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "made_up"
        write_volumes(folder, num_slices)
        # As old as sources usually are: what was written just now is never taken as unchanged.
        for path in folder.rglob("*.*"):
            os.utime(path, (time.time() - 3600, time.time() - 3600))
        return measure(f"made up, {num_slices:,}", [folder], workers, seconds)


def verdicts(costs: list[Cost], consumed: float) -> list[tuple[str, bool]]:
    """Return what must hold, in words, and whether it does."""
    few, many = costs[-2:]
    ratio = (many.prepare_s / many.slices) / (few.prepare_s / few.slices)
    slowest = min(cost.reads_per_s for cost in costs) / consumed
    longest = max(cost.open_s for cost in costs)
    return [
        (f"a slice of {many.slices:,} costs {ratio:.2f} of one of {few.slices:,}", ratio < 1.3),
        (f"opening takes at most {longest:.3f} s", longest < OPENED_WITHIN_S),
        (f"reads are at least {slowest:,.0f}x what training consumes", slowest >= ENOUGH),
    ]


def main(
    data: Annotated[Path, typer.Option(help="Real sets; left out where they are not.")] = Path(
        "../shared/data/2d"
    ),
    slices: Annotated[
        int, typer.Option(min=2000, help="Slices of the larger made-up set; the other has a tenth.")
    ] = 100_000,
    consumed: Annotated[
        float, typer.Option(help="Slices a second that training consumes (compact at 256: 10).")
    ] = 10.0,
    workers: Annotated[
        int | None, typer.Option(help="Processes that prepare; all cores but one by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds of reading a figure.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the slice store."""
    cv2.setNumThreads(1)
    costs: list[Cost] = []
    if data.is_dir():
        costs.append(measure("real pictures", [data], workers, seconds))
    else:
        typer.echo(f"{data} is not there; real pictures are left out", err=True)
    costs += [measure_made_up(count, workers, seconds) for count in (slices // 10, slices)]
    used = PrepareConfig(workers=workers).num_workers
    found = verdicts(costs, consumed)
    if as_json:
        document = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "workers": used,
            "consumed_per_s": consumed,
            "costs": [asdict(cost) for cost in costs],
            "verdicts": [{"what": what, "holds": holds} for what, holds in found],
        }
        typer.echo(json.dumps(document, indent=1))
    else:
        typer.echo(
            f"slice store, {used} worker(s) of {os.cpu_count()} cores\n\n"
            "| set | slices | prepared a second | unchanged, s | open, s "
            "| reads a second and core | drawn for training a second and core | bytes a slice |\n"
            "|---|--:|--:|--:|--:|--:|--:|--:|"
        )
        for cost in costs:
            typer.echo(cost.row(consumed))
        typer.echo("")
        for what, holds in found:
            typer.echo(f"{'holds' if holds else 'DOES NOT HOLD'}: {what}")
    if not all(holds for _, holds in found):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
