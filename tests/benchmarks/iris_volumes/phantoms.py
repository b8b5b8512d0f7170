"""Phantoms, checkpoints and commands for every question about volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer
from typer.testing import CliRunner

from medprism.training.iris.run import IrisOrder, IrisRun
from tests.training.runs import Notes

CLASSES = {"bright hook", "dark bar"}


def trained(data: Path, folder: Path, seed: int) -> Path:
    """Return a checkpoint after one step."""
    order = IrisOrder(preset="iris-nano", data=(data,), steps=1, seed=seed)
    IrisRun.start(folder / "run", order).train(None, Notes(), Notes())
    return folder / "run" / "last.safetensors"


def invoke(command: Callable[..., None], *asked: object) -> tuple[int, str]:
    """Run a command and return its status and what it printed."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(one) for one in asked], catch_exceptions=False)
    return done.exit_code, done.output


def must_not_run(*arguments: object, **settings: object) -> None:
    """Stand in the place of work that is done already."""
    raise AssertionError(f"done twice: {arguments} {settings}")
