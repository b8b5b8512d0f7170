"""Everything that people do, for half an hour on loopback: `python -m benchmarks.soak`.

Some people open images, click, ask for classes, take back, accept (every mask is a reference) and
come back to images that are done; one more exports, makes and removes labels, turns references on
and off, looks at lists and pictures, and now and then trains a class. What must not grow: memory,
open handles, waiting. The report is written into docs/results/, or wherever `--out` says.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, TypeVar

import httpx
import numpy as np
import typer

from benchmarks.annotator import Annotator, Json
from benchmarks.load import SHAPE, growth_a_minute, milliseconds_at, write_pictures
from benchmarks.server_process import RunningServer, running_server
from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.durable import make_folder, write_bytes
from medprism.core.errors import ConfigError, MedprismError
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Click
from medprism.core.randomness import counter_rng

RESULTS: Final = Path(__file__).resolve().parents[1] / "docs" / "results"
LABELS: Final = ("the structure", "another one", "the third")
FORMATS: Final = ("nifti", "coco", "png", "tiff")
ACTIONS: Final = (
    *("open", "click", "class", "undo", "redo", "accept", "close"),
    *("export", "label", "reference", "look", "training"),
)
# What a person does after the first click, over and over; what cannot be done is a click.
STEPS: Final = ("undo", "redo", "click", "class", "click", "undo", "click")
# What counts as flat: MB a minute, handles, and how much slower the 95th percentile may become.
MOST_GROWTH: Final = 1.0
MOST_HANDLES: Final = 5
MOST_SLOWER: Final = 1.25
SLACK_MS: Final = 25.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SoakSettings:
    """Who comes, and for how long; times in seconds.

    `people` work on images with `pause` between two things that one does. An export is made every
    `export_every`, a training of `train_steps` steps every `train_every` (0: never). Figures are
    judged over what is left after `warm_up`, in two halves.
    """

    people: int = 4
    pause: float = 1.0
    seconds: float = 1800.0
    warm_up: float = 600.0
    images: int = 120
    export_every: float = 60.0
    train_every: float = 600.0
    train_steps: int = 10

    def __post_init__(self) -> None:
        if self.people < 1 or self.pause <= 0 or self.export_every <= 0 or self.train_every < 0:
            raise ConfigError("at least one person, and times above 0 s")
        if self.images < 2 * self.people:
            raise ConfigError(
                f"{self.images} images are too few for {self.people} people; give more"
            )
        if not 0 <= self.warm_up < self.seconds:
            raise ConfigError(
                f"a warm-up of {self.warm_up:g} s leaves nothing of {self.seconds:g} s; shorten it"
            )


@dataclass(frozen=True)
class Done:
    """One thing that somebody did: when, and how long the answer took, in seconds."""

    action: str
    at: float
    seconds: float


@dataclass(frozen=True)
class Sample:
    """What the server's process held at a moment: seconds, MB, handles."""

    at: float
    megabytes: float
    handles: int


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What happened."""

    done: tuple[Done, ...]
    errors: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Verdict:
    """One thing that must hold, the figures on it, and whether it does."""

    what: str
    figures: str
    holds: bool


class _Worker(threading.Thread):
    """A client that does things until the time is over, and notes how long each took."""

    def __init__(
        self, server: RunningServer, settings: SoakSettings, name: str, began: float
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._server, self._began = server, began
        self.settings, self.rng = settings, counter_rng(0, "soak", name)
        self.done: list[Done] = []
        self.errors: list[str] = []

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def is_over(self) -> bool:
        """Whether it is time to leave."""
        return self.now >= self.settings.seconds

    def run(self) -> None:
        """Work; a refusal or a lost connection is noted, and the next thing is begun."""
        with Annotator(self._server, self.name) as annotator:
            while not self.is_over:
                try:
                    self.work(annotator)
                except (MedprismError, httpx.HTTPError) as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    time.sleep(self.settings.pause)

    def work(self, annotator: Annotator) -> None:
        """Do one round of things."""
        raise NotImplementedError

    def timed(self, action: str, do: Callable[[], T]) -> T:
        """Do a thing and note how long it took."""
        started = time.monotonic()
        answer = do()
        self.done.append(Done(action, self.now, time.monotonic() - started))
        return answer


@dataclass(frozen=True)
class _Trail:
    """How many steps of this visit can be taken back, and how many can be done again."""

    behind: int
    ahead: int


class _Person(_Worker):
    """Takes any image that nobody has, works on it and accepts what was found."""

    _steps = 0

    def work(self, annotator: Annotator) -> None:
        """Do one image."""
        image = int(self.rng.integers(1, self.settings.images + 1))
        try:
            state = self.timed("open", lambda: annotator.open(image))
        except MedprismError as error:
            if "image_in_use" not in str(error):
                raise
            return
        label = LABELS[int(self.rng.integers(len(LABELS)))]
        for one in state["labels"]:
            if one["is_locked"]:
                annotator.unlock(state, one["name"])
        self._click(annotator, state, label, is_positive=True)
        trail = _Trail(1, 0)
        for _ in range(int(self.rng.integers(2, 7))):
            if self.is_over:
                break
            time.sleep(self.settings.pause)
            trail = self._step(annotator, state, label, trail)
        mask = annotator.mask(state, label)
        if mask is not None and mask.any():
            self.timed("accept", lambda: annotator.accept(state, label, as_reference=True))
        self.timed("close", lambda: annotator.close(state))

    def _step(self, annotator: Annotator, state: Json, label: str, trail: _Trail) -> _Trail:
        """Do one thing on the open image; return where that leaves it."""
        step = STEPS[self._steps % len(STEPS)]
        self._steps += 1
        if step == "class":
            name = self._classes(annotator)
            self.timed("class", lambda: annotator.predict(state, name))
            return _Trail(trail.behind + 1, 0)
        if step == "undo" and trail.behind:
            self.timed("undo", lambda: annotator.step(state, "undo"))
            return _Trail(trail.behind - 1, trail.ahead + 1)
        if step == "redo" and trail.ahead:
            self.timed("redo", lambda: annotator.step(state, "redo"))
            return _Trail(trail.behind + 1, trail.ahead - 1)
        self._click(annotator, state, label, is_positive=bool(self.rng.random() < 0.8))
        return _Trail(trail.behind + 1, 0)

    def _click(self, annotator: Annotator, state: Json, label: str, *, is_positive: bool) -> None:
        row, col = (int(side * self.rng.uniform(0.3, 0.7)) for side in SHAPE)
        click = Click(row, col, is_positive)
        self.timed("click", lambda: annotator.click(state, label, click))

    def _classes(self, annotator: Annotator) -> str:
        found = annotator.ask("GET", "/api/classes")["classes"]
        return str(found[int(self.rng.integers(len(found)))]["name"])


class _Office(_Worker):
    """Exports, makes labels, puts references in and out, looks around, trains a class."""

    def __init__(self, server: RunningServer, settings: SoakSettings, began: float) -> None:
        super().__init__(server, settings, "office", began)
        self._exports, self._trainings = 0, 0

    def work(self, annotator: Annotator) -> None:
        """Do what is due."""
        self._make_label(annotator)
        self._turn_reference(annotator)
        self._look(annotator)
        if self.now >= (self._exports + 1) * self.settings.export_every:
            self._export(annotator)
        every = self.settings.train_every
        if every and self.now >= (self._trainings + 1) * every:
            self._train(annotator)
        time.sleep(self.settings.pause)

    def _make_label(self, annotator: Annotator) -> None:
        name = f"for a moment {len(self.done)}"

        def make_and_remove() -> None:
            made = annotator.ask("POST", "/api/labels", {"name": name})
            annotator.ask("DELETE", f"/api/labels/{made['id']}")

        self.timed("label", make_and_remove)

    def _turn_reference(self, annotator: Annotator) -> None:
        found = annotator.ask("GET", "/api/references")["references"]
        if not found:
            return
        one = found[int(self.rng.integers(len(found)))]
        path, body = f"/api/references/{one['id']}", {"is_active": not one["is_active"]}
        self.timed("reference", lambda: annotator.ask("PATCH", path, body))

    def _look(self, annotator: Annotator) -> None:
        image = int(self.rng.integers(1, self.settings.images + 1))

        def look() -> None:
            annotator.ask("GET", "/api/images?limit=60")
            annotator.fetch(f"/api/images/{image}/thumbnail.png")
            annotator.fetch(f"/api/images/{image}/slices/0.png")

        self.timed("look", look)

    def _export(self, annotator: Annotator) -> None:
        format = FORMATS[self._exports % len(FORMATS)]
        is_nameless = self._exports % 2 == 1
        self._exports += 1

        def export() -> None:
            job = annotator.run_job(kind="export", format=format, deidentify=is_nameless)
            annotator.fetch(f"/api/jobs/{job['id']}/file")

        self.timed("export", export)

    def _train(self, annotator: Annotator) -> None:
        self._trainings += 1
        steps = self.settings.train_steps
        wish = {"kind": "training", "label": LABELS[0], "steps": steps, "use": False}
        self.timed("training", lambda: annotator.run_job(**wish))


def run_soak(model: str, settings: SoakSettings, progress: Progress | None = None) -> Soak:
    """Serve pictures to everybody at once, and note what happens."""
    with TemporaryDirectory(prefix="medprism-soak-") as folder:
        write_pictures(Path(folder), settings.images)
        with running_server(Path(folder), model) as server:
            return _watch(server, settings, progress or SilentProgress())


def _watch(server: RunningServer, settings: SoakSettings, progress: Progress) -> Soak:
    began = time.monotonic()
    workers: list[_Worker] = [
        _Person(server, settings, f"person {number}", began) for number in range(settings.people)
    ]
    workers.append(_Office(server, settings, began))
    for worker in workers:
        worker.start()
    samples: list[Sample] = []
    while (now := time.monotonic() - began) < settings.seconds:
        samples.append(Sample(now, server.resident_megabytes(), server.open_handles()))
        progress.report(round(now), math.ceil(settings.seconds), f"{samples[-1].megabytes:.0f} MB")
        time.sleep(1.0)
    for worker in workers:
        worker.join(timeout=600)
    return Soak(
        done=tuple(
            sorted((one for worker in workers for one in worker.done), key=lambda one: one.at)
        ),
        errors=tuple(error for worker in workers for error in worker.errors),
        samples=tuple(samples),
    )


def p95_of(done: Sequence[Done], action: str, begin: float, end: float) -> float:
    """Return the 95th percentile of an action between two moments in milliseconds, NaN without any.

    >>> p95_of([Done("click", 5.0, 0.2), Done("click", 50.0, 9.0)], "click", 0.0, 10.0)
    200.0
    """
    waits = [one.seconds for one in done if one.action == action and begin <= one.at < end]
    return milliseconds_at(waits, (95,))[0]


def judge(soak: Soak, settings: SoakSettings) -> tuple[Verdict, ...]:
    """Return what must hold, with the figures; what there are too few figures for does not."""
    end = settings.seconds
    middle = (settings.warm_up + end) / 2
    early, late = (
        p95_of(soak.done, "click", *span) for span in ((settings.warm_up, middle), (middle, end))
    )
    moments = [one.at for one in soak.samples]
    growth, error = growth_a_minute(
        moments, [one.megabytes for one in soak.samples], settings.warm_up
    )
    before, after = (
        float(
            np.median([one.handles for one in soak.samples if begin <= one.at < stop] or [math.nan])
        )
        for begin, stop in ((settings.warm_up, middle), (middle, math.inf))
    )
    return (
        Verdict("no errors", f"{len(soak.errors)} of {len(soak.done):,} things", not soak.errors),
        Verdict(
            f"memory grows by less than {MOST_GROWTH:g} MB a minute",
            "too few minutes" if math.isnan(growth) else f"{growth:.2f} ± {error:.2f}",
            bool(growth < MOST_GROWTH),
        ),
        Verdict(
            f"at most {MOST_HANDLES} more open handles in the second half than in the first",
            f"{before:.0f}, then {after:.0f}",
            bool(after - before <= MOST_HANDLES),
        ),
        Verdict(
            f"p95 of a click at most {MOST_SLOWER:g} times as long (and {SLACK_MS:g} ms)",
            f"{early:.0f} ms, then {late:.0f} ms",
            bool(late <= MOST_SLOWER * early + SLACK_MS),
        ),
    )


def to_markdown(soak: Soak, settings: SoakSettings, model: str) -> str:
    """Return the report."""
    middle = (settings.warm_up + settings.seconds) / 2
    verdicts = "\n".join(
        f"| {one.what} | {one.figures} | {'yes' if one.holds else 'no'} |"
        for one in judge(soak, settings)
    )
    rows = "\n".join(_row(soak, settings, action, middle) for action in ACTIONS)
    sizes = [one.megabytes for one in soak.samples]
    handles = [one.handles for one in soak.samples]
    return f"""# The workbench in mixed use

`python -m benchmarks.soak` with `{model}`: {settings.people} people and an office for \
{settings.seconds:g} s on loopback, {settings.images} pictures of {SHAPE[0]} x {SHAPE[1]}, \
one thing each per {settings.pause:g} s and person; an export every {settings.export_every:g} s, \
a training of {settings.train_steps} steps every {settings.train_every:g} s (0: none). \
Judged from second {settings.warm_up:g} on, in two halves that end at {middle:g} and \
{settings.seconds:g} s.

| what must hold | first half, second half | holds |
|---|---|---|
{verdicts}

| done | times | p50 ms | p95 ms, first half | p95 ms, second half |
|---|--:|--:|--:|--:|
{rows}

Resident memory from {min(sizes):.0f} to {max(sizes):.0f} MB, open handles (files, sockets, pipes in
/proc/PID/fd) from {min(handles)} to {max(handles)}; every second of both is in soak.json. Opening
an image predicts what the references know; an export is timed from asking to the last byte.
"""


def _row(soak: Soak, settings: SoakSettings, action: str, middle: float) -> str:
    waits = [one.seconds for one in soak.done if one.action == action]
    early = p95_of(soak.done, action, settings.warm_up, middle)
    late = p95_of(soak.done, action, middle, math.inf)
    shown = (_shown(one) for one in (milliseconds_at(waits, (50,))[0], early, late))
    return f"| {action} | {len(waits):,} | {' | '.join(shown)} |"


def _shown(milliseconds: float) -> str:
    return "-" if math.isnan(milliseconds) else f"{milliseconds:.0f}"


def to_json(soak: Soak, settings: SoakSettings, model: str) -> dict[str, Any]:
    """Return the report for programs: settings, verdicts, every second, and waits by action."""
    by_action = {
        action: [
            [round(one.at, 1), round(one.seconds, 4)] for one in soak.done if one.action == action
        ]
        for action in ACTIONS
    }
    return {
        "model": model,
        "settings": asdict(settings),
        "verdicts": [asdict(one) for one in judge(soak, settings)],
        "errors": list(soak.errors),
        "samples": [[round(s.at, 1), round(s.megabytes, 1), s.handles] for s in soak.samples],
        "done": by_action,
    }


def main(
    out: Annotated[Path, typer.Option(help="Folder of soak.md and soak.json.")] = RESULTS,
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    people: Annotated[int, typer.Option(help="Users at once.")] = 4,
    pause: Annotated[float, typer.Option(help="Seconds between two things one does.")] = 1.0,
    seconds: Annotated[float, typer.Option(help="Length of the run.")] = 1800.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before anything is judged.")] = 600.0,
    images: Annotated[int, typer.Option(help="Pictures in the project.")] = 120,
    export_every: Annotated[float, typer.Option(help="Seconds between exports.")] = 60.0,
    train_every: Annotated[float, typer.Option(help="Seconds between trainings; 0: none.")] = 600.0,
) -> None:
    """Use the workbench in every way for a while, and say whether anything grows."""
    settings = SoakSettings(
        people=people,
        pause=pause,
        seconds=seconds,
        warm_up=warm_up,
        images=images,
        export_every=export_every,
        train_every=train_every,
    )
    make_folder(out)
    with progress_bar("soak") as bar:
        soak = run_soak(model, settings, bar)
    name = Path(model).stem
    page = to_markdown(soak, settings, name)
    document = json.dumps(to_json(soak, settings, name), separators=(",", ":")) + "\n"
    write_bytes(out / "soak.json", document.encode())
    write_bytes(out / "soak.md", page.encode())
    typer.echo(page + "".join(f"\n{error}" for error in soak.errors[:5]))
    raise typer.Exit(0 if all(one.holds for one in judge(soak, settings)) else 1)


if __name__ == "__main__":
    typer.run(main)
