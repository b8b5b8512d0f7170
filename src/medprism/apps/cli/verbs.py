"""The verbs of the command line, in the order in which its help lists them."""

from __future__ import annotations

import typer

from medprism.apps.cli import (
    annotate,
    bench,
    data,
    doctor,
    engines,
    evaluate,
    evaluate_volumes,
    export,
    finetune,
    models,
    predict,
    reference,
    train,
)


def add_verbs(app: typer.Typer) -> None:
    """Give an app its verbs: a file each, or a group of them."""
    app.command(name="predict")(predict.predict)
    app.command(name="annotate")(annotate.annotate)
    app.command(name="train")(train.train)
    app.command(name="finetune")(finetune.finetune)
    app.command(name="evaluate")(evaluate.evaluate)
    app.command(name="evaluate-volumes")(evaluate_volumes.evaluate_volumes)
    app.add_typer(bench.app, name="bench")
    app.add_typer(data.app, name="data")
    app.add_typer(reference.app, name="reference")
    app.command(name="models")(models.models)
    app.add_typer(engines.app, name="engines")
    app.command(name="export")(export.export)
    app.command(name="doctor")(doctor.doctor)
