"""`medprism data`: what is done with datasets before training and evaluation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from medprism.apps.cli.dataset_check import check
from medprism.apps.cli.dataset_convert import convert
from medprism.apps.cli.dataset_list import list_sets
from medprism.apps.cli.listing import split_list

app = typer.Typer(help="Prepare, list, check and convert datasets.", no_args_is_help=True)
app.command(name="list")(list_sets)
app.command(name="check")(check)
app.command(name="convert")(convert)


@app.callback()
def data() -> None:
    """Prepare, list, check and convert datasets."""


@app.command()
def prepare(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Dataset folders, folders that hold some, or NAME=FOLDER."
        ),
    ],
    store: Annotated[Path, typer.Option("--store", "-o", help="Folder of the store.")],
    long_side: Annotated[
        int, typer.Option(help="Slices larger than this (pixels) are shrunk to it.")
    ] = 384,
    roles: Annotated[
        str, typer.Option(help="Which roles to take: train, external, unseen.")
    ] = "train,external,unseen",
    only_redistributable: Annotated[
        bool, typer.Option("--only-redistributable", help="Leave out sets with unclear licences.")
    ] = False,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Leave out slices without labels of volumes.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Processes; default all cores but 1.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a case is bad.")] = False,
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample masks onto their images' grids.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document for programs.")
    ] = False,
) -> None:
    """Read datasets once into a slice store; only what changed is read again."""
    from medprism.apps.cli.progress_bar import progress_bar
    from medprism.data.datasets.discovery import find_datasets
    from medprism.data.preparation import PrepareConfig
    from medprism.data.preparation import prepare as prepare_store

    config = PrepareConfig(
        long_side=long_side,
        roles=split_list(roles, "--roles", known=("train", "external", "unseen")),
        only_redistributable=only_redistributable,
        labelled_only=labelled_only,
        workers=workers,
        strict=strict,
        resample=resample,
    )
    with progress_bar("preparing") as bar:
        report = prepare_store(find_datasets(folders), store, config, bar)
    typer.echo(json.dumps(asdict(report), indent=1) if as_json else "\n".join(report.lines()))
    if report.num_failures:
        typer.echo(
            f"warning: {report.num_failures} cases could not be read and were left out", err=True
        )
