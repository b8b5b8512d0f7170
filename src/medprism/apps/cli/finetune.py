"""`medprism finetune`: teach a checkpoint classes from a folder of images and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def finetune(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Images with masks: a dataset.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new checkpoint (default: DIR's name).")
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="Preset or path of the checkpoint to begin with.")
    ] = "kprism-compact",
    classes: Annotated[
        str, typer.Option(help="Which classes, NAME or NUMBER=NAME (default: all new ones).")
    ] = "",
    minutes: Annotated[
        float | None, typer.Option(help="How long it learns (default: 2); measuring comes on top.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How long, in steps.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A store of old classes, to rehearse and to measure.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 1,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Teach a checkpoint classes; prints Dice before and after, of new and of old classes."""
    from medprism.apps.cli.finetuning import FineTuneWish, carry_out

    wish = FineTuneWish(
        folder=folder,
        out=out,
        start=start,
        classes=classes,
        minutes=minutes,
        steps=steps,
        store=store,
        seed=seed,
        threads=threads,
    )
    raise typer.Exit(carry_out(wish, as_json=as_json))
