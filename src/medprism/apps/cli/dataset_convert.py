"""`medprism data convert`: a dataset from one layout into another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="FROM", help="A dataset; its layout is recognised.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="INTO", help="A folder that is empty or not there yet.")
    ],
    to: Annotated[str, typer.Option("--to", help="nnunet, msd, bids, coco or plain.")],
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample masks onto their images' grids.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """Write a dataset in another layout, and say what that layout cannot hold."""
    from medprism.apps.cli.progress_bar import progress_bar
    from medprism.data.layouts.conversion import convert as convert_layout

    with progress_bar("converting") as bar:
        report = convert_layout(source, out, to, bar, resample=resample)
    typer.echo(json.dumps(asdict(report), indent=1) if as_json else "\n".join(report.lines()))
