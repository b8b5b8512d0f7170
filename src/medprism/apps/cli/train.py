"""`medprism train`: learn from datasets, or go on with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A recipe: kprism-compact, ...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Dataset folder, or a folder of them (again for more)."),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="A prepared store in place of --data.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="How long; turned into steps once, by timing.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How long, in steps.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run.")] = False,
    licences: Annotated[
        str, typer.Option(help="Only sets of these kinds: yes, non-commercial, unclear, ...")
    ] = "",
    init: Annotated[Path | None, typer.Option(help="Checkpoint to begin with.")] = None,
    tasks: Annotated[str, typer.Option(help="Tasks of TP-Seg to learn (default: all).")] = "",
    add_task: Annotated[
        list[str] | None, typer.Option(help="Task to add to --init, all else kept (repeatable).")
    ] = None,
    trunk: Annotated[
        Path | None, typer.Option(help="SAM 2's weights (.safetensors): TP-Seg keeps their trunk.")
    ] = None,
    synthetic: Annotated[
        float, typer.Option(help="Share of images with made-up regions as targets (0 to 1).")
    ] = 0.0,
    task_change: Annotated[
        float, typer.Option(help="Share of images changed in common with their references.")
    ] = 0.0,
    without: Annotated[str, typer.Option(help="Classes that Iris must not see: a,b.")] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="What all chance of the run is drawn from (default: the recipe's)."
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(help="Parts that a batch is passed in, for less memory.")
    ] = 1,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute parts of a step twice, for less memory.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Train a preset. Ctrl-C stops after the step at hand; --resume goes on bit for bit."""
    from medprism.apps.cli.training import TrainWish, carry_out
    from medprism.training.memory_settings import MemorySettings

    wish = TrainWish(
        recipe=preset,
        out=out,
        data=tuple(data or ()),
        store=store,
        minutes=minutes,
        steps=steps,
        resume=resume,
        licences=licences,
        init=init,
        tasks=tasks,
        add_task=tuple(add_task or ()),
        trunk=trunk,
        synthetic=synthetic,
        task_change=task_change,
        without=without,
        seed=seed,
        threads=threads,
        memory=MemorySettings(accumulate=accumulate, recompute=recompute),
    )
    raise typer.Exit(carry_out(wish))
