"""`medprism engines`: what a model can run on here, and which of it is as good and fastest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What a model can run on here.", no_args_is_help=True)


@app.command(name="list")
def list_engines(
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the engines, what each lacks here, and which one is taken for a model and why."""
    from medprism.apps.cli.engine_check import show_engines

    typer.echo(show_engines(model, threads, as_json=as_json))


@app.command(name="check")
def check(
    store: Annotated[Path, typer.Option(help="A prepared store of real images.")],
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    images: Annotated[int, typer.Option(help="How many, sets taking turns.")] = 200,
    split: Annotated[str, typer.Option(help="Which slices: test, val or train.")] = "test",
    engines: Annotated[str, typer.Option(help="Only these (default: all that run here).")] = "",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compare every engine with the reference on real images; --engine auto obeys the outcome."""
    from medprism.apps.cli.engine_check import CheckWish, carry_out

    wish = CheckWish(
        store=store, model=model, images=images, split=split, engines=engines, threads=threads
    )
    typer.echo(carry_out(wish, as_json=as_json))
