"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[list[Path], typer.Option(help="Folders of volumes, as for training.")]
Out = Annotated[Path, typer.Option(help="Folder of the figures.")]
Model = Annotated[Path, typer.Option(help="Checkpoint of Iris.")]
Names = Annotated[str, typer.Option("--datasets", help="Only these sets, with commas.")]
Most = Annotated[int | None, typer.Option(help="At most this many cases a side.")]
PresetName = Annotated[str, typer.Option("--preset", help="Preset whose settings it has.")]
Threads = Annotated[int, typer.Option(help="CPU threads.")]
Steps = Annotated[int | None, typer.Option(help="Steps of a training, or --minutes.")]
Minutes = Annotated[float | None, typer.Option(help="CPU minutes of a training, or --steps.")]
Seed = Annotated[int, typer.Option(help="Where all that is random comes from.")]
