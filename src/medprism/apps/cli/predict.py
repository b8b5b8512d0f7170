"""`medprism predict`: segment an image, or a folder of them."""

from __future__ import annotations

import typer

from medprism.apps.cli import predict_options as options


def predict(
    image: options.Image,
    out: options.Out = None,
    to: options.To = None,
    classes: options.Classes = "",
    references: options.References = None,
    label: options.Label = None,
    click: options.Click = None,
    click_mm: options.ClickMm = None,
    box: options.Box = None,
    task: options.Task = None,
    strategy: options.Strategy = "ensemble",
    keep: options.Keep = 5,
    resample: options.Resample = False,
    model: options.Model = None,
    priority: options.Priority = "",
    statistics: options.Statistics = None,
    probability: options.Probability = None,
    overlay: options.Overlay = None,
    mask_format: options.MaskFormat = None,
    deidentify: options.Deidentify = False,
    series: options.Series = None,
    level: options.Level = None,
    tile: options.Tile = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    ray: options.Ray = None,
    workers: options.Workers = None,
    as_json: options.AsJson = False,
) -> None:
    """Segment by class, by references and by clicks, in any combination."""
    from medprism.apps.cli.prediction import Wish, carry_out
    from medprism.apps.cli.volume_prediction import (
        choose_model,
        segment_volume,
        volume_wish,
        wants_iris,
    )

    model = choose_model(model, task)
    wish = Wish(
        image=image,
        out=out,
        to=to,
        classes=classes,
        references=references,
        label=label,
        clicks=tuple(click or ()),
        clicks_mm=tuple(click_mm or ()),
        boxes=tuple(box or ()),
        resample=resample,
        model=model,
        priority=priority,
        statistics=statistics,
        probability=probability,
        overlay=overlay,
        format=mask_format,
        deidentify=deidentify,
        series=series,
        level=level,
        tile=tile,
        engine=engine,
        threads=threads,
        task=task,
        ray=ray,
        workers=workers,
    )
    if wants_iris(model, task):
        volume = volume_wish(wish, task, strategy, keep)
        raise typer.Exit(segment_volume(volume, as_json=as_json))
    raise typer.Exit(carry_out(wish, as_json=as_json))
