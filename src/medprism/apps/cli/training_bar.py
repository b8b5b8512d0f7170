"""The progress bar of a training run: loss of each kind of request, images/s, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from medprism.apps.cli.interrupt import Stop
from medprism.training.config import HasStages


class TrainingBar:
    """A bar on stderr that takes what the loop reports and logs; silent without a terminal."""

    def __init__(self, config: HasStages, stop: Stop, *, is_shown: bool = True) -> None:
        self._config = config
        self._stop = stop
        self._losses: dict[str, float] = {}
        self._requests = 0
        self._started = time.monotonic()
        console = Console(stderr=True)
        columns = (
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._shown = Progress(
            *columns, console=console, disable=not (is_shown and console.is_terminal)
        )
        self._task = self._shown.add_task("", total=config.steps)

    def __enter__(self) -> TrainingBar:
        self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.stop()

    @property
    def caption(self) -> str:
        """What stands beside the bar.

        Losses are means since the last log entry; images/s counts requests since the start.
        """
        losses = " ".join(f"{name} {loss:.3f}" for name, loss in sorted(self._losses.items()))
        rate = self._requests / max(time.monotonic() - self._started, 1e-9)
        return f"loss {losses or 'not yet known'}, {rate:.1f} images/s"

    def report(self, done: int, total: int, message: str = "") -> None:
        """Move the bar by one step."""
        self._requests += self._config.stage(done - 1).requests
        self._shown.update(self._task, completed=done, total=total, description=self.caption)

    def is_cancelled(self) -> bool:
        """Return True after Ctrl-C."""
        return self._stop.is_wanted

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Take the losses of each kind of request."""
        for name, value in values.items():
            if name.startswith("loss/"):
                self._losses[name.removeprefix("loss/")] = value

    def pictures(self, named: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> None:
        """Leave pictures out."""
