"""`medprism reference`: finished volumes become a task file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medprism.apps.cli.listing import split_list

app = typer.Typer(help="Encode finished volumes once, for Iris.", no_args_is_help=True)


@app.callback()
def reference() -> None:
    """Encode finished volumes once, for Iris."""


@app.command()
def encode(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Volumes with masks, as for training.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Task file (.task).")],
    model: Annotated[
        str, typer.Option(help="Preset of Iris with weights, or path of a checkpoint.")
    ] = "iris-compact",
    classes: Annotated[str, typer.Option(help="Only these classes: liver,spleen.")] = "",
    split: Annotated[
        str | None, typer.Option(help="Only this side of the split: train, val or test.")
    ] = None,
    tune: Annotated[int, typer.Option(help="Steps of in-context tuning (0: none).")] = 0,
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample masks onto their images.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Write what the references in DIR say about their classes, to segment volumes by."""
    from medprism.apps.cli.task_encoding import EncodeWish, encode_folder

    wish = EncodeWish(
        folder=folder,
        out=out,
        model=model,
        classes=split_list(classes, "--classes") if classes else (),
        split=split,
        tune=tune,
        resample=resample,
        threads=threads,
    )
    typer.echo(encode_folder(wish))
