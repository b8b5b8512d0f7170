"""Memory and time of a training step with and without `--accumulate` and `--recompute`.

`python -m benchmarks.training_memory`; `--page` puts the table into docs/scale.md. Every figure is
taken in a process of its own; its memory is the peak of the process, interpreter and weights
included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import torch
import typer

from benchmarks.performance.cost import Cost, Way, Work, measure
from benchmarks.performance.pieces import CLASSES
from benchmarks.performance.training import PLANS
from benchmarks.results_page import replace_part
from medprism.core.durable import write_bytes
from medprism.evaluation.page import table
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.training.distributed import share_of
from medprism.training.memory_settings import MemorySettings
from medprism.training.recompute import recompute_blocks
from medprism.training.step import Batch, StepRandomness, TrainingStep

WAYS: Final = (
    MemorySettings(),
    MemorySettings(recompute=True),
    MemorySettings(accumulate=4),
    MemorySettings(accumulate=4, recompute=True),
)


def one_step(preset: str, side: int, requests: int, memory: MemorySettings) -> Work:
    """Return a training step on noise, by references and a correction, in bfloat16."""
    torch.manual_seed(1)
    config = PRESETS[preset].config(CLASSES)
    model = KPrism(config).train()
    if memory.recompute:
        recompute_blocks(model)
    outputs = len(config.decoder.strides) + (1 if config.decoder.fine_hidden else 0)
    step = TrainingStep(model, (1.0,) * outputs, 0.8)
    target = torch.zeros(requests, side, side)
    target[:, side // 5 : side // 2, side // 3 : side - side // 5] = 1
    batch = Batch(
        images=torch.randn(requests, 3, side, side),
        image_index=torch.arange(requests),
        concept=torch.arange(requests) % CLASSES,
        target=target,
        reference_images=torch.randn(requests, 1, 3, side, side),
        reference_masks=target[:, None].clone(),
    )

    def work() -> None:
        model.zero_grad()
        for number in range(memory.accumulate):
            part, randomness, weight = share_of(
                batch, StepRandomness(1, 1), number, memory.accumulate
            )
            with torch.autocast("cpu", torch.bfloat16):
                found = step(part, PLANS["in-context"], randomness)
            (found.loss * weight).backward()

    return work


def rows(preset: str, side: int, requests: int, repeats: int) -> list[tuple[MemorySettings, Cost]]:
    """Measure all ways."""
    way = Way(repeats, 1, 30.0, counts=False, learns=True)
    return [
        (memory, measure(lambda m=memory: one_step(preset, side, requests, m), 1.0, way))  # type: ignore[misc]
        for memory in WAYS
    ]


def report(found: list[tuple[MemorySettings, Cost]], preset: str, side: int, requests: int) -> str:
    """Return a table with the ways beside the plain one."""
    plain = found[0][1]
    lines = []
    for memory, cost in found:
        options = [f"--accumulate {memory.accumulate}"] if memory.accumulate > 1 else []
        options += ["--recompute"] if memory.recompute else []
        lines.append(
            [
                " ".join(options) or "(neither)",
                f"{cost.megabytes:,.0f} MB",
                f"{cost.cpu_seconds:.1f}",
                f"{cost.cpu_seconds / plain.cpu_seconds:.2f}",
            ]
        )
    header = ["options", "peak of the process", "CPU seconds a step", "ratio"]
    return f"{preset}, {requests} requests of {side} pixels, one thread.\n\n{table(header, lines)}"


def main(
    preset: Annotated[str, typer.Option(help="Preset of K-Prism.")] = "kprism-compact",
    side: Annotated[int, typer.Option(help="Side of a canvas.")] = 128,
    requests: Annotated[int, typer.Option(help="Requests in a batch.")] = 16,
    repeats: Annotated[int, typer.Option(help="Repeats after the first.")] = 2,
    page: Annotated[Path | None, typer.Option(help="Page to fill in.")] = None,
) -> None:
    """Measure, print, and fill in the page."""
    text = report(rows(preset, side, requests, repeats), preset, side, requests)
    typer.echo(text)
    if page is not None:
        filled = replace_part(page.read_text(encoding="utf-8"), "memory", text)
        write_bytes(page, filled.encode())


if __name__ == "__main__":
    typer.run(main)
