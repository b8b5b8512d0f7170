"""How fast kprism-compact answers on a CPU: `make speed`.

Milliseconds (median and 95th percentile) of a warm model on two threads, and the same in units of
one 2048^3 matrix product in float32 timed in the same run, so that machines and days compare.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Final
from unittest import mock

import numpy as np
import torch
import typer

from medprism.core.randomness import counter_rng
from medprism.data.vocabulary import training_concepts
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load, shipped_path
from medprism.inference.session import Session
from medprism.models.catalog import PRESETS
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Prompts

PRESET: Final = "kprism-compact"
SHAPE: Final = (384, 512)
WARM_UP: Final = 3
CLICKS: Final = 8
MATMUL: Final = 2048


@dataclass(frozen=True)
class Timing:
    """What was timed: median and 95th percentile in milliseconds, and in matrix products."""

    what: str
    p50_ms: float
    p95_ms: float
    p50_products: float


def picture(number: int) -> np.ndarray:
    """Return a shaded picture with a bright ellipse; every number gives another one."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((rows - 170) / 90) ** 2 + ((cols - 300) / 130) ** 2 < 1
    noise = counter_rng(number, "speed").normal(0, 9, SHAPE)
    return np.clip(60 + rows / 8 + 90 * inside + noise, 0, 255).astype(np.uint8)


def random_model() -> LoadedModel:
    """Return the preset with random weights, for a checkout without the shipped ones."""
    concepts = training_concepts()
    return LoadedModel(
        name=PRESET,
        segmenter=KPrism(PRESETS[PRESET].config(len(concepts))).eval(),
        concepts=concepts,
        long_side=PRESETS[PRESET].long_side,
        weights_hash="random",
        engine="torch",
        threads=torch.get_num_threads(),
        card={},
    )


def spent(work: Callable[[], object]) -> float:
    """Return the milliseconds that something takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def product_ms() -> float:
    """Return the median milliseconds of one product of two 2048 x 2048 matrices."""
    one, other = torch.randn(MATMUL, MATMUL), torch.randn(MATMUL, MATMUL)
    return statistics.median(spent(lambda: one @ other) for _ in range(9))


def first_masks(model: LoadedModel, repeats: int, ask: Callable[[Session], object]) -> list[float]:
    """Time opening a new picture and the first mask on it."""
    session = Session(model, auto_zoom=False)
    times = []
    for number in range(WARM_UP + repeats):
        image = picture(number)

        def open_and_ask(image: np.ndarray = image) -> None:
            session.set_image(image)
            ask(session)

        times.append(spent(open_and_ask))
    return times[WARM_UP:]


def further_clicks(model: LoadedModel, repeats: int, *, auto_zoom: bool) -> list[float]:
    """Time every click after the first one, several on each picture."""
    session = Session(model, auto_zoom=auto_zoom)
    times = []
    for number in range(WARM_UP + repeats):
        session.set_image(picture(number))
        session.add_point_interaction((170, 300), include_interaction=True)
        for click in range(1, CLICKS):
            at, is_inside = (60 + 30 * click, 120 + 45 * click), click % 2 == 0
            took = spent(partial(session.add_point_interaction, at, is_inside))
            if number >= WARM_UP:
                times.append(took)
    return times


def decodes(model: LoadedModel, repeats: int, *, literal: bool) -> list[float]:
    """Time one decode by class with one form of the cross-attention forced."""
    prompts = Prompts(concept=torch.zeros(1, dtype=torch.int64))
    forced = mock.patch("medprism.models.blocks.experts.literal_is_cheaper", lambda *_: literal)
    with forced, torch.inference_mode():
        features = model.segmenter.encode(torch.randn(1, 3, model.long_side, model.long_side))
        times = [
            spent(lambda: model.segmenter.decode(features, prompts))
            for _ in range(WARM_UP + repeats)
        ]
    return times[WARM_UP:]


def measure(model: LoadedModel, repeats: int, unit: float) -> list[Timing]:
    """Return all timings of a model."""
    concept = model.concepts.names[0]
    example = picture(10_000), picture(10_001) > 120

    def with_example(session: Session) -> None:
        if "example" not in session.references:
            session.set_references(*example, label="example")
        session.predict(labels=["example"])

    found = {
        "encode + first mask by class": first_masks(
            model, repeats, lambda session: session.predict(classes=[concept])
        ),
        "encode + first mask by click": first_masks(
            model, repeats, lambda session: session.add_point_interaction((170, 300), True)
        ),
        "encode + first mask by example (encoded before)": first_masks(
            model, repeats, with_example
        ),
        "every further click": further_clicks(model, repeats, auto_zoom=False),
        "every further click with auto-zoom": further_clicks(model, repeats, auto_zoom=True),
        "decode, absorbed attention": decodes(model, repeats, literal=False),
        "decode, literal attention": decodes(model, repeats, literal=True),
    }
    return [
        Timing(
            what,
            round(statistics.median(times), 2),
            round(float(np.percentile(times, 95)), 2),
            round(statistics.median(times) / unit, 3),
        )
        for what, times in found.items()
    ]


def main(
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    repeats: Annotated[int, typer.Option(help="Pictures a figure.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the compact preset with its shipped weights (random ones where there are none)."""
    torch.set_num_threads(threads)
    is_shipped = shipped_path(PRESET).is_file()
    model = load(PRESET) if is_shipped else random_model()
    unit = product_ms()
    timings = measure(model, repeats, unit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = "shipped" if is_shipped else "random"
    if as_json:
        document = {
            "preset": PRESET,
            "weights": weights,
            "threads": threads,
            "torch": torch.__version__,
            "machine": platform.machine(),
            "product_ms": round(unit, 2),
            "peak_megabytes": round(peak),
            "timings": [asdict(timing) for timing in timings],
        }
        typer.echo(json.dumps(document, indent=1))
        return
    height, width = SHAPE
    typer.echo(
        f"{PRESET}, {weights} weights, {threads} threads, pictures of {height} x {width}\n"
        f"one {MATMUL}^3 product: {unit:.1f} ms; peak memory {peak:.0f} MB\n\n"
        "| what | p50 ms | p95 ms | p50 in products |\n|---|--:|--:|--:|"
    )
    for timing in timings:
        typer.echo(
            f"| {timing.what} | {timing.p50_ms:.1f} | {timing.p95_ms:.1f} | "
            f"{timing.p50_products:.2f} |"
        )


if __name__ == "__main__":
    typer.run(main)
