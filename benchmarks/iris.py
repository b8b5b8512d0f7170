"""What Iris costs on a CPU beside a pass for every class: `python -m benchmarks.iris`.

Random weights and volumes of noise; cost does not depend on either. Every figure is taken in a
process of its own, forked before anything was computed: CPU seconds of all threads (median), and by
how much the resident memory grew at most.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Annotated, Final

import torch
import typer
from torch import Tensor

from benchmarks.resident_memory import resident_megabytes
from medprism.models.catalog import IRIS_PRESETS
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.model import Iris
from medprism.models.segmenter import Features
from medprism.models.zoo.universeg import UniverSeg, UniverSegConfig

CLASSES: Final = 15
QUERIES: Final = 10
MEGABYTE: Final = 2**20


@dataclass(frozen=True)
class Cost:
    """CPU seconds and growth of memory of one piece of work; `note` says how it was taken."""

    what: str
    cpu_seconds: float
    megabytes: float
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """Everything that is timed, laid out in memory before the processes are forked."""

    iris: Iris
    universeg: UniverSeg
    image: Tensor
    masks: Tensor
    repeats: int
    passes: int

    def tasks(self, classes: int) -> TaskEmbeddings:
        """Return embeddings of noise for a number of classes."""
        task = self.iris.config.task
        tokens = torch.randn(1, classes, task.tokens, task.dim)
        return TaskEmbeddings(tokens, torch.ones(1, classes, dtype=torch.bool))

    def decode(self, classes: int) -> Cost:
        """Time the decoder alone."""
        features: list[Features] = []
        return self._median(
            f"decode, {classes} class{'es' if classes > 1 else ''}",
            lambda: features.append(self.iris.encode(self.image)),
            lambda: self.iris.decode(features[0], self.tasks(classes)),
        )

    def encode(self) -> Cost:
        """Time the encoder alone."""
        return self._median("encode a volume", None, lambda: self.iris.encode(self.image))

    def reference(self) -> Cost:
        """Time a reference with all its classes, encoded once."""
        return self._median(
            f"encode a reference with {CLASSES} classes",
            None,
            lambda: self.iris.encode_references(self.image, self.masks),
        )

    def whole(self) -> Cost:
        """Time one reference and ten queries, all classes in one pass."""

        def work() -> None:
            tasks = self.iris.encode_references(self.image, self.masks)
            for _ in range(QUERIES):
                self.iris.decode(self.iris.encode(self.image), tasks)

        return _apart(f"Iris: {QUERIES} queries x {CLASSES} classes", work)

    def pass_by_pass(self) -> Cost:
        """Time passes of the baseline: one volume, one class, slice by slice with its reference."""
        planes = self.image[0].movedim(1, 0)
        total = QUERIES * CLASSES

        def work() -> None:
            for number in range(self.passes):
                for index, plane in enumerate(planes):
                    mask = self.masks[0, number % CLASSES, index]
                    self.universeg(plane[None], plane[None, None], mask[None, None])

        cost = _apart(f"UniverSeg-style: {QUERIES} queries x {CLASSES} classes", work)
        return Cost(
            cost.what,
            cost.cpu_seconds * total / self.passes,
            cost.megabytes,
            f"{self.passes} of {total} volume passes measured, scaled",
        )

    def _median(
        self, what: str, prepare: Callable[[], object] | None, work: Callable[[], object]
    ) -> Cost:
        found = [_apart(what, work, prepare) for _ in range(self.repeats)]
        return Cost(
            what,
            statistics.median(cost.cpu_seconds for cost in found),
            statistics.median(cost.megabytes for cost in found),
        )


def _apart(
    what: str, work: Callable[[], object], prepare: Callable[[], object] | None = None
) -> Cost:
    """Run something in a forked process; `prepare` is not counted."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_report, args=(theirs, work, prepare))
    process.start()
    seconds, megabytes = ours.recv()
    process.join()
    return Cost(what, seconds, megabytes)


def _report(
    pipe: Connection, work: Callable[[], object], prepare: Callable[[], object] | None
) -> None:
    with torch.inference_mode():
        if prepare is not None:
            prepare()
        before, started = resident_megabytes(), time.process_time()
        work()
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((seconds, max(0.0, peak - before)))


def make_bench(preset: str, repeats: int, passes: int) -> Bench:
    """Build both models and one volume with random boxes as classes."""
    if preset not in IRIS_PRESETS:
        raise typer.BadParameter(f"no preset {preset!r} of volumes: {', '.join(IRIS_PRESETS)}")
    chosen = IRIS_PRESETS[preset]
    torch.manual_seed(1)
    side = chosen.long_side
    masks = torch.zeros(1, CLASSES, side, side, side)
    for index in range(CLASSES):
        start = [int(torch.randint(0, side // 2, ())) for _ in range(3)]
        cut = tuple(slice(at, at + side // 8 + index) for at in start)
        masks[(0, index, *cut)] = 1
    return Bench(
        iris=Iris(chosen.config(CLASSES)).eval(),
        universeg=UniverSeg(UniverSegConfig()).eval(),
        image=torch.randn(1, 1, side, side, side),
        masks=masks,
        repeats=repeats,
        passes=passes,
    )


def main(
    preset: Annotated[str, typer.Option(help="Preset of Iris on volumes.")] = "iris-compact",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    repeats: Annotated[int, typer.Option(help="Processes a figure.")] = 3,
    passes: Annotated[int, typer.Option(help="Volume passes of the baseline.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the cost of Iris and of a UniverSeg-style pass for every class and query."""
    torch.set_num_threads(threads)
    bench = make_bench(preset, repeats, passes)
    costs = [
        bench.encode(),
        bench.reference(),
        bench.decode(1),
        bench.decode(CLASSES),
        bench.whole(),
        bench.pass_by_pass(),
    ]
    seconds = [cost.cpu_seconds for cost in costs]
    ratios = {
        f"decode of {CLASSES} classes / of 1": seconds[3] / seconds[2],
        "UniverSeg-style / Iris": seconds[5] / seconds[4],
    }
    if as_json:
        document = {
            "preset": preset,
            "threads": threads,
            "costs": [asdict(cost) for cost in costs],
            "ratios": ratios,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"{preset}, {threads} threads\n\n| what | CPU s | MB more | |\n|---|--:|--:|---|")
    for cost in costs:
        typer.echo(f"| {cost.what} | {cost.cpu_seconds:.2f} | {cost.megabytes:.0f} | {cost.note} |")
    for name, ratio in ratios.items():
        typer.echo(f"\n{name}: {ratio:.2f}")


if __name__ == "__main__":
    typer.run(main)
