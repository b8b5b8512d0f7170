"""`medprism bench official`: an official package with a user's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def examine_package(
    package: Annotated[str, typer.Argument(help="nnunetv2, nninteractive or sam2.")],
    weights: Annotated[
        Path, typer.Option(help="Trained folder, or of sam2 the checkpoint; your own.")
    ],
    python: Annotated[str, typer.Option(help="The Python that has the package.")],
    store: Annotated[Path, typer.Option(help="A prepared store.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bench.")],
    config: Annotated[
        str | None, typer.Option(help="Of sam2: configs/sam2.1/sam2.1_hiera_t.yaml, ...")
    ] = None,
    folds: Annotated[str, typer.Option(help="Folds with commas, or all; none: those there.")] = "",
    checkpoint: Annotated[str, typer.Option(help="File of a fold.")] = "checkpoint_final.pth",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    seconds: Annotated[float, typer.Option(help="Longest loading, longest answer.")] = 600.0,
    name: Annotated[str | None, typer.Option(help="Name in tables, before (official).")] = None,
    roles: Annotated[
        str, typer.Option(help="Roles of the sets that are examined.")
    ] = "train,external,unseen",
    datasets: Annotated[str, typer.Option(help="Examine only these sets: a,b.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most this many slices a set.")] = 100,
    clicks: Annotated[int, typer.Option(help="Clicks from nothing.")] = 10,
    threads: Annotated[int | None, typer.Option(help="CPU threads of the package.")] = None,
) -> None:
    """Examine an official package in its own Python; what fails is said, the rest goes on."""
    from medprism.apps.cli.listing import split_list
    from medprism.apps.cli.official_examination import PlanWish, carry_out
    from medprism.evaluation.bench.official.packages import OfficialOrder

    order = OfficialOrder(
        package=package,
        weights=weights,
        python=python,
        config=config,
        folds=split_list(folds, "--folds") if folds else (),
        checkpoint=checkpoint,
        device=device,
        threads=threads,
        seconds=seconds,
        name=name,
    )
    plan = PlanWish(roles=roles, datasets=datasets, limit=limit, clicks=clicks)
    if code := carry_out(order, plan, store, out):
        raise typer.Exit(code)
