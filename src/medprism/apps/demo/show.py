"""Run the whole demo and print what came out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from medprism.apps.demo.brain import segment_brain
from medprism.apps.demo.desk import Desk
from medprism.apps.demo.panels import compose
from medprism.apps.demo.pictures import segment_pictures
from medprism.apps.demo.row import FLOORS, Row
from medprism.apps.demo.samples import write_brain
from medprism.core.durable import make_folder
from medprism.engines.loading import load
from medprism.inference.session import Session
from medprism.io.writer import write_png

# Columns where the table goes into a file.
WIDTH: Final = 132


def show(model: str, out: Path) -> int:
    """Segment everything into `out`, print a table; return 1 if a tissue is below its floor.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: a package that ships images is missing.
        WriteError: a file cannot be written.
    """
    started = time.perf_counter()
    desk = Desk(Session(load(model)), out)
    make_folder(out)
    segment_brain(desk, write_brain(out / "brain.nii.gz"))
    segment_pictures(desk)
    write_png(out / "three-modes.png", compose(desk.panels))
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(_table(desk.rows))
    seconds = time.perf_counter() - started
    console.print(f"{len(desk.rows)} masks and their pictures in {seconds:.0f} s: {out}/")
    console.print(f"the three kinds of knowledge side by side: {out / 'three-modes.png'}")
    return _judge(desk.rows)


def _judge(rows: list[Row]) -> int:
    failed = [row for row in rows if row.is_below_floor]
    for row in failed:
        floor = FLOORS[row.knowledge]
        print(f"{row.what}: Dice {row.dice:.2f} is below the floor of {floor}", file=sys.stderr)
    return 1 if failed else 0


def _table(rows: list[Row]) -> Table:
    table = Table(title="medprism demo (for research use, not a medical device)")
    for heading in ("what", "knowledge"):
        table.add_column(heading)
    for heading in ("clicks", "ms a mask", "Dice"):
        table.add_column(heading, justify="right")
    table.add_column("picture")
    for row in rows:
        table.add_row(*row.cells())
    return table
