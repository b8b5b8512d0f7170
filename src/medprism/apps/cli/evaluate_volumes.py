"""`medprism evaluate-volumes`: Dice, HD95 and NSD of a checkpoint on whole volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate_volumes(
    folders: Annotated[
        list[Path], typer.Argument(help="Dataset folders with volumes/, or folders of such.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")],
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    split: Annotated[str, typer.Option(help="Which volumes: test, val or train.")] = "test",
    store: Annotated[
        Path | None, typer.Option(help="Store whose splits hold, for sets that have none written.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most this many volumes a set.")] = None,
    shots: Annotated[
        int, typer.Option(help="Slices of another volume that are shown: 1, 3, 5 or 9.")
    ] = 1,
    tolerance: Annotated[
        float, typer.Option(help="Borders this near count as right for NSD, in mm.")
    ] = 2.0,
    no_zoom: Annotated[bool, typer.Option("--no-zoom", help="Without auto-zoom.")] = False,
    engine: Annotated[str, typer.Option(help="Engine (medprism engines list).")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Measure a checkpoint on whole volumes in mm; volumes done once are kept."""
    from medprism.apps.cli.volume_evaluation import VolumesWish, carry_out

    wish = VolumesWish(
        folders=tuple(folders),
        out=out,
        model=model,
        split=split,
        store=store,
        limit=limit,
        shots=shots,
        tolerance=tolerance,
        auto_zoom=not no_zoom,
        engine=engine,
        threads=threads,
    )
    carry_out(wish, as_json=as_json)
