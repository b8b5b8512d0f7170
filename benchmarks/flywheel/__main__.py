"""How many clicks the flywheel saves: `python -m benchmarks.flywheel`.

A simulated user annotates images through the HTTP interface of `medprism annotate`, with and
without references. Cells that were measured before are read from the folder of results.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from benchmarks.flywheel.cell import Cell, read_cell, run_cell, write_cell
from benchmarks.flywheel.plan import ACCEPTS, REACHED, USERS, Plan, UserSettings, plans_for
from benchmarks.flywheel.report import write_report
from benchmarks.flywheel.structure import HEADLINE, Sample, Structure, in_order, read_samples
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.progress import Progress
from medprism.engines.loading import checkpoint_path
from medprism.models.checkpoint import load_checkpoint

DATA: Final = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "2d"


class _Part:
    """Progress of one cell among all."""

    def __init__(self, whole: Progress, done: int, total: int) -> None:
        self._whole, self._done, self._total = whole, done, total

    def report(self, done: int, total: int, message: str = "") -> None:
        """Report images of all cells."""
        self._whole.report(self._done + done, self._total, message)

    def is_cancelled(self) -> bool:
        """Return whether to stop."""
        return self._whole.is_cancelled()


def measure(
    data: Path,
    out: Path,
    model: str,
    structures: tuple[Structure, ...],
    *,
    user: UserSettings,
    users: tuple[str, ...],
    accepts: tuple[str, ...],
    orders: int,
    images: int,
    progress: Progress,
) -> list[Cell]:
    """Measure all cells, order by order over all structures, so that a part can be reported."""
    weights = load_checkpoint(checkpoint_path(model)).weights_hash
    folder = out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        samples = {one: read_samples(data, one, images, Path(scratch)) for one in structures}
    plans = [plan for one in structures for plan in plans_for(one, users, accepts, orders)]
    plans.sort(key=lambda plan: plan.order)
    total = sum(len(samples[plan.structure]) for plan in plans)
    done, cells = 0, []
    for plan in plans:
        chosen = in_order(samples[plan.structure], plan.order)
        signature = _signature(plan, chosen, user, weights)
        path = folder / f"{plan.name}.json"
        cell = read_cell(path, plan, signature)
        if cell is None:
            cell = run_cell(plan, chosen, user, model, _Part(progress, done, total))
            write_cell(path, cell, signature)
        done += len(chosen)
        progress.report(done, total, plan.name)
        cells.append(cell)
    return cells


def _signature(
    plan: Plan, samples: tuple[Sample, ...], user: UserSettings, weights: str
) -> dict[str, object]:
    return {
        **asdict(plan),
        "settings": asdict(user),
        "weights": weights,
        "images": [sample.case for sample in samples],
    }


def main(
    out: Annotated[Path, typer.Option(help="Folder of the results; cells are kept in it.")],
    data: Annotated[Path, typer.Option(help="Folder of the sets.")] = DATA,
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    structures: Annotated[
        str, typer.Option(help="DATASET:CONCEPT,... (default: the three of the docs).")
    ] = "",
    split: Annotated[str, typer.Option(help="Split of those structures.")] = "test",
    images: Annotated[int, typer.Option(help="At most this many images a structure.")] = 40,
    orders: Annotated[int, typer.Option(help="Image orders.")] = 5,
    users: Annotated[str, typer.Option(help="exact, unsteady.")] = ",".join(USERS),
    accepts: Annotated[
        str, typer.Option(help="Kept where the target is not reached: reached, drawn.")
    ] = REACHED,
    limit: Annotated[int, typer.Option(help="Clicks an image.")] = 10,
    target: Annotated[float, typer.Option(help="Dice to reach.")] = 0.9,
    spread: Annotated[float, typer.Option(help="Pixels by which an unsteady hand moves.")] = 3.0,
) -> None:
    """Measure clicks and seconds an image as the flywheel turns, against clicks only."""
    user = UserSettings(target=target, limit=limit, spread=spread)
    named = split_list(structures, "--structures") if structures else ()
    chosen = tuple(Structure.parse(one, split) for one in named) or HEADLINE
    with progress_bar("flywheel") as bar:
        cells = measure(
            data,
            out,
            model,
            chosen,
            user=user,
            users=split_list(users, "--users", USERS),
            accepts=split_list(accepts, "--accepts", ACCEPTS),
            orders=orders,
            images=images,
            progress=bar,
        )
    weights = load_checkpoint(checkpoint_path(model)).weights_hash
    write_report(cells, user, {"name": Path(model).stem, "weights": weights}, out)
    typer.echo((out / "flywheel.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    typer.run(main)
