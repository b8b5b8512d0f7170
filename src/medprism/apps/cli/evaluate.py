"""`medprism evaluate`: figures of a checkpoint on the sets of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    store: Annotated[Path, typer.Option(help="A prepared store.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")],
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    roles: Annotated[
        str, typer.Option(help="Which sets: train, external, unseen.")
    ] = "train,external,unseen",
    split: Annotated[str, typer.Option(help="Which slices: test, val or train.")] = "test",
    datasets: Annotated[str, typer.Option(help="Only these sets.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most this many slices a set.")] = None,
    protocols: Annotated[
        str, typer.Option(help="semantic, one-shot, interactive, refine-..., k-shot, ...")
    ] = "",
    baselines: Annotated[
        str, typer.Option(help="Also measure GrabCut, random walker (same clicks), UNet.")
    ] = "",
    unet_minutes: Annotated[float, typer.Option(help="Training of each UNet.")] = 10.0,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Dataset folders: measure on images at their own size."),
    ] = None,
    no_zoom: Annotated[bool, typer.Option("--no-zoom", help="Without auto-zoom.")] = False,
    engine: Annotated[str, typer.Option(help="Engine (medprism engines list).")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Measure a checkpoint by class, by reference and by clicks; sets done once are kept."""
    from medprism.apps.cli.evaluation import EvaluateWish, carry_out

    wish = EvaluateWish(
        store=store,
        out=out,
        model=model,
        roles=roles,
        split=split,
        datasets=datasets,
        limit=limit,
        protocols=protocols,
        baselines=baselines,
        unet_minutes=unet_minutes,
        data=tuple(data or ()),
        auto_zoom=not no_zoom,
        engine=engine,
        threads=threads,
    )
    carry_out(wish, as_json=as_json)
