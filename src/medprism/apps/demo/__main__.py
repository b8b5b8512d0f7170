"""`python -m medprism.apps.demo --out demo`: the demo as a program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medprism.apps.cli.failure import report
from medprism.core.errors import MedprismError


def demo(
    out: Annotated[Path, typer.Option(help="Folder for pictures and masks.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
) -> None:
    """Segment real medical images that dependencies ship, in all three ways."""
    from medprism.apps.demo.show import show

    try:
        status = show(model, out)
    except MedprismError as error:
        status = report(error, with_traceback=False)
    sys.exit(status)


if __name__ == "__main__":
    typer.run(demo)
