"""What `medprism bench panels` does once its arguments are read."""

from __future__ import annotations

from pathlib import Path

from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.data.store import SliceStore
from medprism.engines.threads import use_threads
from medprism.evaluation.bench.panels import draw_panels


def say_panels(
    out: Path, store: Path, cases: int, systems: str, datasets: str, threads: int | None
) -> str:
    """Draw what is not drawn yet; return where the page is and what was done."""
    use_threads(threads, "--threads")
    with progress_bar("drawing") as bar:
        made = draw_panels(
            out,
            SliceStore.open(store),
            cases=cases,
            systems=split_list(systems, "--systems") if systems else (),
            datasets=split_list(datasets, "--datasets") if datasets else (),
            progress=bar,
        )
    counts = f"drawn: {len(made.drawn)}, kept: {len(made.kept)}"
    return f"{made.page} ({counts}), made of the images of the store: not to be published"
