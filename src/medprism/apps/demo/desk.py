"""The desk of the demo: one session, the folder for files, the rows and panels so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from medprism.apps.demo.row import Row
from medprism.inference.outputs import draw_overlay
from medprism.inference.session import Session
from medprism.io.writer import default_mask_suffix, write_png

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass(eq=False)
class Desk:
    """What the parts of the demo share; `panels` are pictures of the three kinds of knowledge."""

    session: Session
    out: Path
    rows: list[Row] = field(default_factory=list)
    panels: dict[str, Picture] = field(default_factory=dict)

    def knows(self, concept: str) -> bool:
        """Whether the model has a class of this name."""
        return concept in self.session.model.concepts.names

    def save(self, name: str, label: str, slice_index: int | None = None) -> str:
        """Write a label's mask in the input's own format, and a picture; return its name."""
        if self.session.image is not None:
            suffix = default_mask_suffix(self.session.image)
            self.session.write_mask(self.out / f"{name}-mask{suffix}", labels=[label])
        write_png(self.out / f"{name}.png", draw_overlay(self.session, slice_index, (label,)))
        return f"{name}.png"

    def click(self, position: tuple[int, ...], is_inside: bool, label: str) -> float:
        """Click and return the milliseconds it took."""
        return milliseconds_of(
            lambda: self.session.add_point_interaction(position, is_inside, label=label)
        )


def milliseconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
