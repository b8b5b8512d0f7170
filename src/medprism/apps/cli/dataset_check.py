"""`medprism data check`: is a published dataset whole, and as the papers count it?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A published set (see: medprism data list).")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder its release was unpacked in.")
    ],
    reads_all: Annotated[
        bool, typer.Option("--read", help="Read every file: labels, grids, labelled slices.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """Compare a folder with the official layout and the papers' counts; status 2 if they differ."""
    from medprism.apps.cli.progress_bar import progress_bar
    from medprism.data.datasets.adapters import published_set
    from medprism.data.datasets.checking import check as check_folder

    published = published_set(name)
    with progress_bar("checking") as bar:
        report = check_folder(published, folder, reads_all=reads_all, progress=bar)
    payload = {**asdict(report), "is_complete": report.is_complete}
    typer.echo(json.dumps(payload, indent=1) if as_json else "\n".join(report.lines()))
    if not report.is_complete:
        raise typer.Exit(2)
