"""`medprism bench`: train and examine every system alike, and say who did what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medprism.apps.cli.official import examine_package

app = typer.Typer(
    no_args_is_help=True, help="Compare systems that were trained for the same budget."
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of runs, cells and the report.")]


@app.command("list")
def list_systems() -> None:
    """List the systems: name, what it is, what it is asked by."""
    from medprism.apps.cli.benching import describe_systems

    typer.echo(describe_systems())


@app.command("run")
def run_bench(
    store: Annotated[Path, typer.Option(help="A prepared store.")],
    out: Out,
    systems: Annotated[
        str, typer.Option(help="Systems with commas between them (default: all).")
    ] = "",
    cpu_seconds: Annotated[
        float | None, typer.Option(help="CPU seconds that every system learns, or --steps.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of every system, in place of --cpu-seconds.")
    ] = None,
    size: Annotated[str, typer.Option(help="compact, or nano for a trial of minutes.")] = "compact",
    side: Annotated[int, typer.Option(help="Long side of a canvas in pixels.")] = 128,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas; each is a run.")] = "1",
    train_sets: Annotated[str, typer.Option(help="Only these training sets: a,b.")] = "",
    roles: Annotated[
        str, typer.Option(help="Roles of the sets that are examined.")
    ] = "train,external,unseen",
    datasets: Annotated[str, typer.Option(help="Examine only these sets: a,b.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most this many slices a set.")] = 100,
    clicks: Annotated[int, typer.Option(help="Clicks from nothing.")] = 10,
    refine_clicks: Annotated[
        int | None, typer.Option(help="Clicks of K-Prism on a first mask (default: as --clicks).")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Train what is not trained, examine what is not examined, write the report; Ctrl-C stops."""
    from medprism.apps.cli.benching import BenchWish, carry_out

    wish = BenchWish(
        store=store,
        out=out,
        systems=systems,
        cpu_seconds=cpu_seconds,
        steps=steps,
        size=size,
        side=side,
        seeds=seeds,
        train_sets=train_sets,
        roles=roles,
        datasets=datasets,
        limit=limit,
        clicks=clicks,
        refine_clicks=refine_clicks,
        threads=threads,
    )
    if code := carry_out(wish):
        raise typer.Exit(code)


app.command("official")(examine_package)


@app.command("report")
def write_report(out: Out) -> None:
    """Write the report of what is finished; missing cells say so."""
    from medprism.apps.cli.benching import say_report

    typer.echo(say_report(out))


@app.command("experts")
def show_experts(
    store: Annotated[Path, typer.Option(help="A prepared store.")],
    dataset: Annotated[str, typer.Option(help="The set whose test slices are asked about.")],
    model: Annotated[str, typer.Option(help="Preset or checkpoint of K-Prism.")] = "kprism-compact",
    limit: Annotated[int, typer.Option(help="At most this many slices.")] = 20,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Print how much each expert of K-Prism weighs when asked by class, reference and click."""
    from medprism.apps.cli.benching import say_experts

    typer.echo(say_experts(model, store, dataset, limit, threads))


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a bench.")],
    second: Annotated[Path, typer.Argument(help="Folder of another.")],
) -> None:
    """Print what changed from the first bench to the second, system by system, with intervals."""
    from medprism.apps.cli.benching import say_changes

    typer.echo(say_changes(first, second))


@app.command("panels")
def draw_panels(
    out: Out,
    store: Annotated[Path, typer.Option(help="The store that the bench was run on.")],
    cases: Annotated[int, typer.Option(help="Cases of a set: the median one, then the worst.")] = 3,
    systems: Annotated[str, typer.Option(help="Only these systems, in this order.")] = "",
    datasets: Annotated[str, typer.Option(help="Only these sets: a,b.")] = "",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Draw the median and the worst cases of every set: image, truth and every system's mask."""
    from medprism.apps.cli.bench_panels import say_panels

    typer.echo(say_panels(out, store, cases, systems, datasets, threads))
