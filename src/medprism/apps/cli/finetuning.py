"""What `medprism finetune` does once its arguments are read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import typer

from medprism.apps.cli.interrupt import STOPPED, Stop, stop_on_interrupt
from medprism.apps.cli.listing import split_list
from medprism.apps.cli.progress_bar import Bar, progress_bar
from medprism.core.durable import make_folder
from medprism.core.errors import CancelledError, ConfigError, ImageReadError
from medprism.data.datasets.description import read_description
from medprism.data.datasets.discovery import find_datasets
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.engines.loading import checkpoint_path
from medprism.engines.threads import use_threads
from medprism.evaluation.fine_tuning import make_exam
from medprism.models.checkpoint import load_checkpoint, save_checkpoint
from medprism.training.finetune import MINUTES, FineTuneConfig, FineTuned, Length, fine_tune
from medprism.training.lesson import plan_lesson

SUFFIX: Final = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class FineTuneWish:
    """The arguments of `medprism finetune`, as typed."""

    folder: Path
    out: Path | None
    start: str
    classes: str
    minutes: float | None
    steps: int | None
    store: Path | None
    seed: int
    threads: int | None


class _StoppableBar:
    """A bar that Ctrl-C stops."""

    def __init__(self, bar: Bar, stop: Stop) -> None:
        self._bar, self._stop = bar, stop

    def report(self, done: int, total: int, message: str = "") -> None:
        """Move the bar."""
        self._bar.report(done, total, message)

    def is_cancelled(self) -> bool:
        """Return True after Ctrl-C."""
        return self._stop.is_wanted


def carry_out(wish: FineTuneWish, *, as_json: bool) -> int:
    """Fine-tune and print the figures; return 130 if stopped before the end."""
    use_threads(wish.threads, "--threads")
    out = _target(wish)
    work = out.with_name(f"{out.name}.work")
    with stop_on_interrupt() as stop, progress_bar("fine-tuning") as bar:
        try:
            found = _learn(wish, work, _StoppableBar(bar, stop))
        except CancelledError as error:
            print(f"medprism: {error}; the same command goes on", file=sys.stderr)
            return STOPPED
    digest = save_checkpoint(out, found.info, found.weights)
    shutil.rmtree(work, ignore_errors=True)
    if as_json:
        document = {"checkpoint": str(out), "weights_hash": digest, **found.report}
        typer.echo(json.dumps(document, indent=1))
    else:
        typer.echo("\n".join(_lines(out, found.report)))
    return 0


def _target(wish: FineTuneWish) -> Path:
    out = wish.out or Path(f"{wish.folder.resolve().name}{SUFFIX}")
    if out.suffix != SUFFIX:
        raise ConfigError(f"--out {out} must end with {SUFFIX}; it is a checkpoint file")
    if out.exists():
        raise ConfigError(f"{out} is there already and is not overwritten; choose another --out")
    return out


def _learn(wish: FineTuneWish, work: Path, progress: _StoppableBar) -> FineTuned:
    """Read the masks and fine-tune, going on where an earlier call was stopped."""
    length = Length(
        steps=wish.steps,
        minutes=MINUTES if (wish.minutes, wish.steps) == (None, None) else wish.minutes,
    )
    parent = load_checkpoint(checkpoint_path(wish.start))
    folders = find_datasets((wish.folder,))
    make_folder(work)
    report = prepare(
        folders, work / "store", PrepareConfig(labelled_only=True, workers=1), progress
    )
    for one in report.datasets:
        for failure in one.failures:
            print(f"left out {failure.case}: {failure.reason}", file=sys.stderr)
    names, store = _named(wish.classes, SliceStore.open(work / "store"))
    config = FineTuneConfig(seed=wish.seed)
    lesson = plan_lesson(
        store,
        parent.info.concepts,
        names,
        share=config.held_out,
        seed=config.seed,
        keeps_splits=all(_has_split(folder) for folder in folders),
        rehearsal=None if wish.store is None else SliceStore.open(wish.store),
    )
    return fine_tune(parent, lesson, work / "run", length, make_exam, progress, config)


def _has_split(folder: Path) -> bool:
    """Say whether a folder writes its own split, and is meant to be trained on."""
    described = read_description(folder / "dataset.json")
    return described.split is not None and described.role == "train"


def _named(classes: str, store: SliceStore) -> tuple[tuple[str, ...], SliceStore]:
    """Return the classes that are wanted, and the store with the names that were given to labels.

    Raises:
        ConfigError: a number that is no label of the store.
    """
    if not classes:
        return (), store
    wanted = []
    given: dict[int, str] = {}
    for part in split_list(classes, "--classes"):
        number, is_named, name = (text.strip() for text in part.partition("="))
        if not is_named:
            wanted.append(part)
            continue
        if not number.isdigit() or not name:
            raise ConfigError(f"--classes {part!r} is not NUMBER=NAME; write 1=lesion or lesion")
        given[int(number)] = name
        wanted.append(name)
    known = {label_id for info in store.infos.values() for label_id in info.classes}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ImageReadError(
            f"no mask has label {unknown[0]}; the masks have {', '.join(map(str, sorted(known)))}"
        )
    infos = {
        name: replace(info, classes=_renamed(info.classes, given))
        for name, info in store.infos.items()
    }
    return tuple(wanted), store.with_rows(store.rows, infos)


def _renamed(classes: Mapping[int, str], given: Mapping[int, str]) -> dict[int, str]:
    return {number: given.get(number, name) for number, name in classes.items()}


def _lines(out: Path, report: Mapping[str, Any]) -> Iterator[str]:
    masks = report["masks"]
    yield (
        f"{out}: learned {', '.join(report['classes'])} in {report['steps']} steps "
        f"({report['seconds']:.0f} s) from {masks['training']} masks; {masks['held_out']} masks of "
        f"{masks['held_out_cases']} other cases were held out"
    )
    yield f"{'Dice on held-out masks':48} {'masks':>5} {'before':>7} {'after':>7}"
    for one in report["new"]:
        for how in ("class", "reference"):
            title = f"{one['name']}, by {how}"
            yield _row(title, one["masks"], one["before"][how], one["after"][how])
    for one in report["old"]:
        where = "" if one["source"] == "masks" else ", of the store"
        yield _row(f"{one['name']} (old{where})", one["masks"], one["before"], one["after"])
    if report["agreement"] is not None:
        found, lowest = report["agreement"], report["agreement"]["lowest"]
        yield (
            f"agreement with the old checkpoint: Dice {found['dice']:.3f} over {found['masks']} "
            f"masks of {found['classes']} old classes; lowest {lowest['name']} {lowest['dice']:.3f}"
        )
    for note in report["notes"]:
        yield f"note: {note}"


def _row(title: str, masks: int, before: float | None, after: float | None) -> str:
    figures = ("-" if value is None else f"{value:.3f}" for value in (before, after))
    return f"{title:48} {masks:5} {' '.join(f'{figure:>7}' for figure in figures)}"
