"""TP-Seg on lesions: `python -m benchmarks.lesions tasks | train | measure | ... | page`.

Every command keeps its figures in OUT/lesions.json and does nothing twice; trainings go on where
they stopped. `page` writes OUT/lesions.md and the page of the docs from them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.lesions.asked import as_loaded
from benchmarks.lesions.cost import cost_of
from benchmarks.lesions.figures import CHECKPOINT, summarise
from benchmarks.lesions.gradients import Batches, interference
from benchmarks.lesions.measuring import Asker, Masks, count_set, count_wrong, sets_with
from benchmarks.lesions.methods import METHODS, SIZES
from benchmarks.lesions.page import render
from benchmarks.lesions.prototypes import WAYS, PrototypeAsker, make_prototypes
from benchmarks.lesions.results import FILE, Results, read_rows
from benchmarks.lesions.runs import RUNS, Order, read_run, train_method
from benchmarks.lesions.tasks import PAIRS, TASKS, choose, count_rows, names
from benchmarks.training_length import Length
from medprism.apps.cli.failure import report
from medprism.apps.cli.interrupt import STOPPED, Stop, stop_on_interrupt
from medprism.apps.cli.listing import split_list
from medprism.core.durable import write_bytes
from medprism.core.errors import MedprismError
from medprism.data.store import SliceStore
from medprism.engines.engine import REFERENCE_ENGINE
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.engines.threads import use_threads
from medprism.evaluation.page import table
from medprism.models.catalog import build_tpseg
from medprism.models.checkpoint import load_checkpoint
from medprism.models.tpseg.model import TPSeg

DOCS: Final = Path(__file__).resolve().parents[2] / "docs" / "results"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Store = Annotated[Path, typer.Option(help="A prepared store.")]
Out = Annotated[Path, typer.Option(help="Folder of runs and figures.")]
Threads = Annotated[int, typer.Option(help="CPU threads.")]
Limit = Annotated[int | None, typer.Option(help="At most this many images a set and task.")]
Preset = Annotated[str, typer.Option(help=f"Size of all methods: {', '.join(SIZES)}.")]


class _Progress:
    """Says every now and then how far a training is, and stops it when somebody asks."""

    def __init__(self, name: str, stop: Stop) -> None:
        self._name, self._stop = name, stop

    def report(self, done: int, total: int, message: str = "") -> None:
        """Say ten times a training how far it is; steps while timing have no total."""
        if total and (done == total or done % max(1, total // 10) == 0):
            typer.echo(f"{self._name}: step {done} of {total}, {message}", err=True)

    def is_cancelled(self) -> bool:
        """Return whether to stop after the step at hand."""
        return self._stop.is_wanted


@app.command("tasks")
def show_tasks(
    store: Annotated[Path | None, typer.Option(help="A prepared store.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the table here, too.")] = None,
    only_names: Annotated[
        bool, typer.Option("--names", help="Print names alone, for `medprism train --tasks`.")
    ] = False,
) -> None:
    """Print the tasks; with a store, how many images and patients show each."""
    if only_names:
        typer.echo(",".join(names()))
        return
    if store is None:
        rows = [[task.name, task.modality, task.description] for task in TASKS]
        typer.echo(table(["task", "modality", "what it is"], rows))
        return
    header, *body = count_rows(SliceStore.open(store))
    if out is not None:
        Results(out).take("tasks", str(len(body)), lambda: [header, *body])
    typer.echo(table(header, body))


@app.command()
def train(
    method: Annotated[str, typer.Argument(help=f"One of {', '.join(METHODS)}.")],
    store: Store,
    out: Out,
    minutes: Annotated[float | None, typer.Option(help="How long, or --steps.")] = None,
    steps: Annotated[int | None, typer.Option(help="How long, or --minutes.")] = None,
    threads: Threads = 1,
    preset: Preset = "tpseg-compact",
    seed: Annotated[int, typer.Option(help="What all chance is drawn from.")] = 1,
    tasks: Annotated[str, typer.Option(help="Other tasks: a,b.")] = "",
) -> None:
    """Train a method, or go on with it; Ctrl-C stops after the step at hand."""
    use_threads(threads)
    order = Order(
        method=method,
        store=store,
        length=Length(steps=steps, minutes=minutes),
        preset=preset,
        seed=seed,
        tasks=split_list(tasks, "--tasks") if tasks else (),
    )
    with stop_on_interrupt() as stop:
        is_finished = train_method(order, out, _Progress(order.name, stop))
    typer.echo(f"{out / RUNS / order.name}: {'finished' if is_finished else 'stopped'}")
    if not is_finished:
        raise typer.Exit(STOPPED)


@app.command()
def measure(
    store: Store,
    out: Out,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint of `medprism train`, alone.")
    ] = None,
    runs: Annotated[str, typer.Option(help="Only these runs: a,b (default: all).")] = "",
    limit: Limit = None,
    threads: Threads = 1,
) -> None:
    """Measure finished runs on test and external images, and with wrong tasks."""
    use_threads(threads)
    results, opened = Results(out), SliceStore.open(store)
    if checkpoint is not None:
        loaded = load(checkpoint, engine=REFERENCE_ENGINE)
        facts = _facts_of(checkpoint)
        _measure(results, opened, CHECKPOINT, loaded, facts, limit)
    else:
        for name, model, facts in _finished(out, runs):
            _measure(results, opened, name, model, facts, limit)
    _write(out)


@app.command()
def gradients(
    store: Store,
    out: Out,
    runs: Annotated[str, typer.Option(help="Only these runs: a,b (default: TP-Seg's).")] = "",
    images: Annotated[int, typer.Option(help="Images a half of a task.")] = Batches().images,
    size: Annotated[int, typer.Option(help="Side of the canvas.")] = Batches().size,
    threads: Threads = 1,
) -> None:
    """Measure cosines between the gradients of tasks, for shared and for dual adapters."""
    use_threads(threads)
    results, opened = Results(out), SliceStore.open(store)
    wanted = split_list(runs, "--runs") if runs else ()
    batches = Batches(images=images, size=size)
    for folder in _folders(out):
        method = folder.name.partition("@")[0]
        if folder.name not in wanted if wanted else method not in ("tpseg", "tpseg-shared"):
            continue
        trained = read_run(folder)
        if trained is None or not isinstance(trained.model, TPSeg):
            typer.echo(f"{folder.name}: not finished, or no TP-Seg; left out", err=True)
            continue
        model, chosen = trained.model, choose(opened, trained.concepts.names)
        results.take(
            f"gradients | {trained.name}",
            f"{trained.weights_hash} {batches}",
            lambda model=model, chosen=chosen: interference(  # type: ignore[misc]
                model, opened.only(chosen.sets), chosen.concepts, chosen.partial, batches
            ),
        )
    _write(out)


@app.command()
def cost(
    out: Out,
    methods: Annotated[str, typer.Option(help="Only these: a,b (default: all).")] = "",
    repeats: Annotated[int, typer.Option(help="Images that are timed.")] = 30,
    threads: Threads = 1,
    preset: Preset = "tpseg-compact",
) -> None:
    """Measure parameters and milliseconds of every method, with the tasks of the experiment."""
    use_threads(threads)
    results, size = Results(out), SIZES[preset]
    chosen = split_list(methods, "--methods", tuple(METHODS)) if methods else tuple(METHODS)
    for name in chosen:
        results.take(
            f"cost | {name}",
            f"{preset} {len(TASKS)} {threads} {repeats}",
            lambda name=name: cost_of(name, size, len(TASKS), repeats).to_json(),  # type: ignore[misc]
        )
    _write(out)


@app.command()
def prototypes(
    store: Store,
    out: Out,
    model: Annotated[str, typer.Option(help="A K-Prism.")] = "kprism-compact",
    tasks: Annotated[str, typer.Option(help="Other tasks: a,b.")] = "",
    images: Annotated[int, typer.Option(help="Training images of a task.")] = 16,
    limit: Limit = None,
    threads: Threads = 1,
) -> None:
    """Ask K-Prism by class, with prototypes beside it, and by prototypes alone."""
    use_threads(threads)
    results, opened = Results(out), SliceStore.open(store)
    loaded = load(model, engine=REFERENCE_ENGINE)
    chosen = choose(opened, split_list(tasks, "--tasks") if tasks else ())
    found = list(sets_with(opened, chosen.concepts, "train"))
    targets = [target for _, several in found for target in several]
    kept = {
        task: make_prototypes(
            loaded, opened, tuple(t for t in targets if t.concept == task), images
        )
        for task in dict.fromkeys(target.concept for target in targets)
    }
    for way in WAYS:
        asker = PrototypeAsker(loaded, kept, way)
        of = f"{loaded.weights_hash} {images} {limit}"
        for dataset, own in found:
            _take(results, f"prototypes | {way} | {dataset}", of, asker.masks, opened, own, limit)
    _write(out)


@app.command()
def page(
    results: Annotated[
        Path | None, typer.Option(help="Folder of figures (default: those of the docs).")
    ] = None,
    docs: Annotated[Path, typer.Option(help="Folder of the page.")] = DOCS,
) -> None:
    """Write docs/results/lesions.md and lesions.json from figures."""
    kept = docs / FILE
    if results is not None:
        summary = summarise(read_rows(results / FILE))
        write_bytes(kept, (json.dumps(summary, indent=1) + "\n").encode())
    summary = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    written = render(summary)
    write_bytes(docs / "lesions.md", written.encode())
    typer.echo(written)


def _write(out: Path) -> None:
    """Write what is known so far as a page beside the figures."""
    path = out / FILE
    summary = summarise(read_rows(path)) if path.exists() else {}
    write_bytes(out / "lesions.md", render(summary).encode())
    typer.echo(f"{out / 'lesions.md'} is up to date")


def _measure(
    results: Results,
    store: SliceStore,
    name: str,
    model: LoadedModel,
    facts: dict[str, Any],
    limit: int | None,
) -> None:
    of = f"{model.weights_hash} {limit}"
    results.take(f"run | {name}", of, lambda: facts)
    asker = Asker(model)
    for kind, role in (("test", "train"), ("external", "external")):
        for dataset, targets in sets_with(store, model.concepts, role):
            _take(results, f"{kind} | {name} | {dataset}", of, asker.masks, store, targets, limit)
    for pair in PAIRS:
        if set(pair.tasks) <= set(model.concepts.names):
            results.take(
                f"wrong | {name} | {pair.name}",
                of,
                lambda pair=pair: [  # type: ignore[misc]
                    one.to_json() for one in count_wrong(asker, store, pair)
                ],
            )


def _take(
    results: Results,
    key: str,
    of: str,
    ask: Masks,
    store: SliceStore,
    targets: Sequence[Any],
    limit: int | None,
) -> None:
    results.take(key, of, lambda: [one.to_json() for one in count_set(ask, store, targets, limit)])


def _folders(out: Path) -> list[Path]:
    return sorted(folder for folder in (out / RUNS).glob("*@*") if folder.is_dir())


def _finished(out: Path, runs: str) -> Iterator[tuple[str, LoadedModel, dict[str, Any]]]:
    wanted = split_list(runs, "--runs") if runs else ()
    for folder in _folders(out):
        if wanted and folder.name not in wanted:
            continue
        trained = read_run(folder)
        if trained is None:
            typer.echo(f"{folder.name}: not finished; left out", err=True)
            continue
        size = trained.size.long_side
        model = as_loaded(trained.model, trained.concepts, size, trained.weights_hash)
        yield trained.name, model, trained.facts


def _facts_of(path: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(path)
    training, weights = checkpoint.info.training, build_tpseg(checkpoint).parameters()
    return {
        "method": CHECKPOINT,
        "title": "the checkpoint",
        "minutes asked": None,
        "minutes": training["minutes"],
        "steps": training["steps"],
        "models": 1,
        "parameters": sum(one.numel() for one in weights),
    }


if __name__ == "__main__":
    try:
        app()
    except MedprismError as error:
        sys.exit(report(error, with_traceback=False))
