"""Iris on whole volumes: `python -m benchmarks.iris_volumes --data DATA --model CKPT --out OUT`.

References are of `train`, queries of `test`. Dice of every class by one reference, by the average
of all, by the bank, by retrieval (image, object) and after in-context tuning; strategies against
the share of the pool; one UNet for each set with the same blocks, trained for the same minutes.
Writes OUT/volumes.json, volumes.md and shares.png; what is there already is not measured again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.iris_volumes.cases import Bench, benches_of, cases_of, open_sets
from benchmarks.iris_volumes.options import Data, Model, Most, Names, Out, Threads
from benchmarks.iris_volumes.page import page
from benchmarks.iris_volumes.pictures import draw_curve
from benchmarks.iris_volumes.results import Results
from benchmarks.iris_volumes.scores import Dices, measure
from benchmarks.iris_volumes.strategies import SHARES, curve, curve_points, strategies
from benchmarks.iris_volumes.task_unet import by_unet, train_unet
from benchmarks.training_length import Length
from medprism.engines.iris import load_iris
from medprism.inference.iris.encoding import bring_reference, encode_task
from medprism.models.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Plan:
    """What is measured on every set; see the options."""

    tune_steps: int
    shares_of: str
    unet_minutes: float
    preset: str


def measure_set(bench: Bench, results: Results, plan: Plan) -> None:
    """Measure one set: strategies, the curve where it is asked for, and a UNet."""
    name = bench.cases.name
    references = [bench.cases.read(case) for case in bench.cases.of("train")]
    task = encode_task(bench.loaded, references, bench.classes, spacing=bench.spacing)
    working = [bring_reference(one, bench.classes, bench.spacing) for one in references]
    for what, work in strategies(bench, task, working, plan.tune_steps):
        results.take_dice(f"{name} | {what}", work)
    if name == plan.shares_of:
        for share in SHARES:
            key = f"{name} | share {share:g}"
            results.take_each(key, partial(curve, bench, task, working, plan.tune_steps, share))
    if plan.unet_minutes:
        length = Length(minutes=plan.unet_minutes)
        results.take_dice(f"{name} | UNet, {length}", partial(_unet, bench, results, plan, length))


def _unet(bench: Bench, results: Results, plan: Plan, length: Length) -> Dices:
    loaded, cases = bench.loaded, bench.cases
    folder = results.folder / "runs" / f"unet-{cases.name}-{length.slug}"
    model, _ = train_unet(cases, loaded.concepts, plan.preset, length, folder)
    return measure(cases, by_unet(cases, model, bench.spacing, loaded.window))


def _about(model: Path) -> dict[str, Any]:
    """Return what names a checkpoint, and how long it was trained."""
    checkpoint = load_checkpoint(model)
    training = checkpoint.info.training
    return {
        "weights_hash": checkpoint.weights_hash,
        "preset": checkpoint.info.name,
        "steps": training["steps"],
        "minutes": training["minutes"],
    }


def main(
    data: Data,
    model: Model,
    out: Out,
    datasets: Names = "",
    most: Most = None,
    tune_steps: Annotated[int, typer.Option(help="Steps of in-context tuning.")] = 60,
    shares_of: Annotated[
        str, typer.Option(help="Set whose strategies are measured against the share of the pool.")
    ] = "",
    unet_minutes: Annotated[float, typer.Option(help="Training of a UNet a set (0: none).")] = 0.0,
    preset: Annotated[str, typer.Option(help="Preset whose blocks the UNet has.")] = "iris-compact",
    threads: Threads = 1,
) -> None:
    """Measure a checkpoint on the test volumes of every set it was trained on."""
    loaded = load_iris(model, threads)
    results = Results(out, "volumes", _about(model))
    plan = Plan(tune_steps, shares_of, unet_minutes, preset)
    cases = cases_of(open_sets(data, datasets), loaded.concepts, most)
    results.note_patients(cases)
    for bench in benches_of(loaded, cases):
        measure_set(bench, results, plan)
    written = page(results.rows, results.patients)
    results.publish(written)
    points = curve_points(results.rows, shares_of)
    if points:
        draw_curve(points, shares_of, out / "shares.png")


if __name__ == "__main__":
    typer.run(main)
