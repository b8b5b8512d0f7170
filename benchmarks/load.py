"""Many people at one server: `python -m benchmarks.load`.

Each clicks every few seconds, accepts, goes on. Latency of clicks, errors, and how the memory of
the server's process grows.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import cv2
import httpx
import numpy as np
import typer

from benchmarks.annotator import Annotator, Json
from benchmarks.server_process import RunningServer, running_server
from medprism.apps.cli.progress_bar import progress_bar
from medprism.core.durable import make_folder, write_bytes
from medprism.core.errors import ConfigError, MedprismError
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Click
from medprism.core.randomness import counter_rng

SHAPE: Final = (384, 512)
LABEL: Final = "the structure"


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """Who comes: people, seconds between clicks of one, clicks an image, seconds in all.

    Memory is judged over what is left after `warm_up` seconds, when the cache of encodings is full;
    the images have been read before. With `references` accepted masks are references, so that every
    image is pre-segmented as it is opened.
    """

    people: int = 16
    pause: float = 2.0
    clicks: int = 5
    seconds: float = 1200.0
    warm_up: float = 600.0
    references: bool = False

    def __post_init__(self) -> None:
        if self.people < 1 or self.clicks < 1 or self.pause <= 0:
            raise ConfigError("at least one person, one click an image and a pause above 0 s")
        if not 0 <= self.warm_up < self.seconds:
            raise ConfigError(
                f"a warm-up of {self.warm_up:g} s leaves nothing of {self.seconds:g} s; shorten it"
            )

    @property
    def images(self) -> int:
        """Images that are enough for everybody until the end."""
        return self.people * (1 + math.ceil(self.seconds / self.pause / self.clicks))


@dataclass(frozen=True, kw_only=True)
class Load:
    """What was measured: milliseconds from when a click was due to its mask, and of going on.

    `late` counts clicks whose mask was not there when the next one was due. `growth` is the slope
    of the resident memory after the warm-up in MB a minute, and `growth_error` its standard error.
    `memory` holds seconds and MB of every second. `processor` and `others` are the processors that
    the server and all else on the machine used on average.
    """

    clicks: int
    images: int
    errors: tuple[str, ...]
    p50: float
    p95: float
    p99: float
    late: int
    going_on_p95: float
    megabytes_before: float
    megabytes_after: float
    growth: float
    growth_error: float
    memory: tuple[tuple[float, float], ...]
    processor: float
    others: float
    processors: int


class _Person(threading.Thread):
    """Clicks on images of the list, one after the other, until the time is over."""

    def __init__(
        self, server: RunningServer, settings: LoadSettings, number: int, began: float
    ) -> None:
        super().__init__(name=f"person-{number}", daemon=True)
        self._server, self._settings, self._number = server, settings, number
        self._due = began + settings.pause * number / settings.people
        self._end = began + settings.seconds
        self._rng = counter_rng(number, "load")
        self.waits: list[float] = []
        self.going_on: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        """Work; a refusal or a lost connection is noted, and the person begins again."""
        with Annotator(self._server, f"person {self._number}") as annotator:
            while time.monotonic() < self._end:
                try:
                    self._work(annotator)
                except (MedprismError, httpx.HTTPError) as error:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    self._sleep_until(time.monotonic() + self._settings.pause)

    def _work(self, annotator: Annotator) -> None:
        state: Json | None = self._open_first(annotator)
        while state is not None and time.monotonic() < self._end:
            # Nobody can click before the image is open.
            self._due = max(self._due, time.monotonic())
            for _ in range(self._settings.clicks):
                if time.monotonic() < self._end:
                    self._click(annotator, state)
            started = time.monotonic()
            if self._is_empty(annotator, state):
                annotator.skip(state, "nothing was found")
                state = self._open_first(annotator)
            else:
                annotator.accept(state, LABEL, as_reference=self._settings.references)
                state = annotator.go_on(state)
            self.going_on.append(time.monotonic() - started)
        if state is not None:
            annotator.close(state)

    def _open_first(self, annotator: Annotator) -> Json | None:
        """Open the first image that nobody works on; another person may be quicker."""
        while True:
            found = annotator.ask("GET", "/api/images/next?order=list")["image"]
            if found is None:
                return None
            try:
                return annotator.open(found["id"])
            except MedprismError as error:
                if "image_in_use" not in str(error):
                    raise

    def _click(self, annotator: Annotator, state: Json) -> None:
        """Click when it is due; who waited too long for a mask clicks at once."""
        self._sleep_until(self._due)
        row, col = (int(side * self._rng.uniform(0.2, 0.8)) for side in SHAPE)
        annotator.click(state, LABEL, Click(row, col, bool(self._rng.random() < 0.7)))
        self.waits.append(time.monotonic() - self._due)
        self._due += self._settings.pause

    def _is_empty(self, annotator: Annotator, state: Json) -> bool:
        mask = annotator.mask(state, LABEL)
        return mask is None or not mask.any()

    @staticmethod
    def _sleep_until(moment: float) -> None:
        time.sleep(max(0.0, moment - time.monotonic()))


def run_load(model: str, settings: LoadSettings, progress: Progress | None = None) -> Load:
    """Serve pictures to everybody at once, and measure."""
    with TemporaryDirectory(prefix="medprism-load-") as folder:
        write_pictures(Path(folder), settings.images)
        with running_server(Path(folder), model) as server:
            return _measure(server, settings, progress or SilentProgress())


def write_pictures(folder: Path, count: int) -> None:
    """Write shaded pictures with a bright ellipse each, all different."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for number in range(count):
        rng = counter_rng(number, "load picture")
        row, col = rng.uniform(140, 240), rng.uniform(180, 330)
        inside = ((rows - row) / 90) ** 2 + ((cols - col) / 130) ** 2 < 1
        picture = 60 + rows / 8 + 90 * inside + rng.normal(0, 4, SHAPE)
        cv2.imwrite(str(folder / f"{number:05}.png"), np.clip(picture, 0, 255).astype(np.uint8))


def _measure(server: RunningServer, settings: LoadSettings, progress: Progress) -> Load:
    with Annotator(server) as annotator:
        annotator.change_settings(order="list")
        for number in range(1, settings.images + 1):
            annotator.ask("GET", f"/api/images/{number}")
    began = time.monotonic()
    people = [_Person(server, settings, number, began) for number in range(settings.people)]
    used, busy = server.processor_seconds(), _busy_seconds()
    for person in people:
        person.start()
    moments, megabytes = _watch(server, people, began, settings, progress)
    for person in people:
        person.join(timeout=60 + 10 * settings.pause)
    lasted = time.monotonic() - began
    processor = (server.processor_seconds() - used) / lasted
    waits = [wait for person in people for wait in person.waits]
    late = sum(wait > settings.pause for wait in waits)
    p50, p95, p99 = milliseconds_at(waits, (50, 95, 99))
    growth, growth_error = growth_a_minute(moments, megabytes, settings.warm_up)
    going_on = [wait for person in people for wait in person.going_on]
    return Load(
        clicks=len(waits),
        images=len(going_on),
        errors=tuple(error for person in people for error in person.errors),
        p50=p50,
        p95=p95,
        p99=p99,
        late=late,
        going_on_p95=milliseconds_at(going_on, (95,))[0],
        megabytes_before=megabytes[0],
        megabytes_after=megabytes[-1],
        growth=growth,
        growth_error=growth_error,
        memory=tuple(
            (round(at, 1), round(size, 1)) for at, size in zip(moments, megabytes, strict=True)
        ),
        processor=processor,
        others=(_busy_seconds() - busy) / lasted - processor,
        processors=os.cpu_count() or 1,
    )


def growth_a_minute(
    moments: Sequence[float], megabytes: Sequence[float], warm_up: float
) -> tuple[float, float]:
    """Return the slope of the memory after the warm-up and its standard error, in MB a minute.

    Least squares over the means of whole minutes: freed memory is given back every ten seconds, so
    that single samples depend on their neighbours and would make the error look too small. NaN
    where fewer than three are left. Moments are in seconds.

    >>> growth_a_minute([0, 60, 120, 180, 240], [10, 90, 92, 94, 50], 60)
    (2.0, 0.0)
    """
    whole = int((moments[-1] - warm_up) // 60)
    if whole < 3:
        return math.nan, math.nan
    minutes: list[list[float]] = [[] for _ in range(whole)]
    for at, size in zip(moments, megabytes, strict=True):
        if 0 <= (minute := int((at - warm_up) // 60)) < whole:
            minutes[minute].append(size)
    sizes = [float(np.mean(minute)) for minute in minutes]
    (slope, _), covariance = np.polyfit(range(whole), sizes, 1, cov=True)
    return round(float(slope), 6), round(math.sqrt(max(0.0, covariance[0, 0])), 6)


def to_markdown(load: Load, settings: LoadSettings, model: str) -> str:
    """Return the report."""
    kind = "references of all that follow" if settings.references else "no references"
    return f"""# The server under load

`{model}`: {settings.people} people, one click each per {settings.pause:g} s, for \
{settings.seconds:g} s; after {settings.clicks} clicks a mask is accepted ({kind}) and the next \
image opened. Pictures of {SHAPE[0]} x {SHAPE[1]}. The server used {load.processor:.2f} of \
{load.processors} processors, everything else on the machine {load.others:.2f}.

| what | |
|---|--:|
| clicks | {load.clicks:,} |
| images accepted or skipped | {load.images:,} |
| errors | {len(load.errors)} |
| a click, from when it is due to its mask: p50 | {load.p50:.0f} ms |
| p95 | {load.p95:.0f} ms |
| p99 | {load.p99:.0f} ms |
| masks that came after the next click was due | {load.late} |
| accepting and opening the next image: p95 | {load.going_on_p95:.0f} ms |
| resident memory at the beginning (images read) and at the end | {load.megabytes_before:.0f} and \
{load.megabytes_after:.0f} MB |
| growth after {settings.warm_up:g} s, and its standard error | {load.growth:.2f} ± \
{load.growth_error:.2f} MB a minute |
"""


def main(
    out: Annotated[Path, typer.Option(help="Folder of load.md and load.json.")],
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    people: Annotated[int, typer.Option(help="Users at once.")] = 16,
    pause: Annotated[float, typer.Option(help="Seconds between clicks of one user.")] = 2.0,
    clicks: Annotated[int, typer.Option(help="Clicks an image.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of the run.")] = 1200.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before memory is judged.")] = 600.0,
    references: Annotated[
        bool, typer.Option("--references", help="Accepted masks are references.")
    ] = False,
) -> None:
    """Measure latency, errors and memory of the server with many users at once."""
    settings = LoadSettings(
        people=people,
        pause=pause,
        clicks=clicks,
        seconds=seconds,
        warm_up=warm_up,
        references=references,
    )
    make_folder(out)
    with progress_bar("load") as bar:
        load = run_load(model, settings, bar)
    page = to_markdown(load, settings, Path(model).stem)
    document = {"model": Path(model).stem, "settings": asdict(settings), "load": asdict(load)}
    write_bytes(out / "load.md", page.encode())
    write_bytes(out / "load.json", (json.dumps(document, indent=1) + "\n").encode())
    typer.echo(page + "".join(f"\n{error}" for error in load.errors[:5]))


def _watch(
    server: RunningServer,
    people: Sequence[threading.Thread],
    began: float,
    settings: LoadSettings,
    progress: Progress,
) -> tuple[list[float], list[float]]:
    """Note the memory every second until everybody has left; return seconds and MB."""
    moments, megabytes = [0.0], [server.resident_megabytes()]
    while any(person.is_alive() for person in people) and moments[-1] < settings.seconds:
        time.sleep(1.0)
        moments.append(time.monotonic() - began)
        megabytes.append(server.resident_megabytes())
        shown = f"{megabytes[-1]:.0f} MB"
        progress.report(round(moments[-1]), math.ceil(settings.seconds), shown)
    return moments, megabytes


def milliseconds_at(waits: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return percentiles of waits in seconds, in milliseconds; NaN without any.

    >>> milliseconds_at([0.1, 0.3], (50,))
    [200.0]
    """
    if not waits:
        return [math.nan] * len(shares)
    return [1000 * float(one) for one in np.percentile(waits, shares)]


def _busy_seconds() -> float:
    """Return the processor seconds that all programs of the machine have used."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _, _, interrupts, soft, _ = (int(field) for field in fields)
    ticks = user + nice + system + interrupts + soft
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    typer.run(main)
