"""`medprism export`: a checkpoint as ONNX graphs that run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Preset, or path of a checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the export.")],
) -> None:
    """Write encoder and decoder as ONNX with a runner that needs numpy and onnxruntime alone."""
    from medprism.apps.cli.progress_bar import progress_bar
    from medprism.engines.export import export_checkpoint

    with progress_bar("export") as bar:
        names = export_checkpoint(model, out, bar)
    typer.echo(f"{out}: {', '.join(names)}")
