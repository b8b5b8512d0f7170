"""What `medprism train` says when a run ends or is stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from medprism.apps.cli.interrupt import STOPPED
from medprism.training.run import BEST, LAST
from medprism.training.state import Position


def say_end(recipe: str, folder: Path, position: Position, total: int) -> int:
    """Say where the checkpoints are; return 130, and say how to go on, before the last step."""
    score = "" if position.best is None else f", best score {position.best:.3f} on val"
    typer.echo(f"{folder}: {position.step} of {total} steps{score}")
    for name in (BEST, LAST):
        if (folder / name).exists():
            typer.echo(f"  {folder / name}")
    if position.step >= total:
        return 0
    print(f"stopped; go on with: medprism train {recipe} --out {folder} --resume", file=sys.stderr)
    return STOPPED
