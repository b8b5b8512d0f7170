"""Segment one level of a whole slide, tile by tile; neither image nor mask is ever held whole.

Every tile is segmented with a margin around it, and of the result only the tile itself is kept.
Cropping, not blending: label numbers have no mean, blending would hold the probabilities of all
labels along every seam, and a cropped pixel depends on one window alone, whatever the order.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8, UInt16

from medprism.core.errors import (
    CancelledError,
    ConfigError,
    ImageReadError,
    InternalError,
    PromptError,
    WriteError,
)
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.core.progress import Progress, SilentProgress
from medprism.inference.knowledge import Knowledge, ask, teach
from medprism.inference.outputs import Outputs
from medprism.inference.session import Session
from medprism.io.slide_level import SlideLevel, list_levels
from medprism.io.tiled_mask import MaskGrid, write_tiled_mask
from medprism.io.whole_slide import TILE, WholeSlide, open_slide
from medprism.io.writer import MASK_FORMATS, suffix_of

MaskTile = UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]
Bounds = tuple[float, float]

LARGEST_TILE: Final = 8192
# An overview of at most this many pixels gives the range of deep intensities.
OVERVIEW_PIXELS: Final = 2**24


@dataclass(frozen=True)
class Tiling:
    """Side of the tiles and width of the margin around them, in pixels of the level.

    Without a margin it is an eighth of the side.
    """

    tile: int = TILE
    margin: int | None = None

    def __post_init__(self) -> None:
        MaskGrid((1, 1), self.tile, None)
        if self.tile > LARGEST_TILE or not 0 <= self.reach <= self.tile:
            raise ConfigError(
                f"tiles of {self.tile} pixels with a margin of {self.reach} cannot be used; tiles "
                f"may have up to {LARGEST_TILE}, margins up to a tile"
            )

    @property
    def reach(self) -> int:
        """Width of the margin.

        >>> Tiling(1024).reach
        128
        """
        return self.tile // 8 if self.margin is None else self.margin


@dataclass(frozen=True)
class SlideLabel:
    """What was found of one label on a slide.

    `overlapped` pixels went to labels of higher priority; `area_mm2` is None without a spacing.
    """

    label: str
    number: int
    presence: float
    pixels: int
    overlapped: int
    area_mm2: float | None


@dataclass(frozen=True)
class SegmentedSlide:
    """One level of a slide that was segmented."""

    image: Path
    mask: Path
    level: int
    size: SlideLevel
    num_tiles: int
    labels: tuple[SlideLabel, ...]
    milliseconds: float


def segment_slide(
    session: Session,
    path: Path,
    level: int,
    knowledge: Knowledge,
    mask: Path,
    progress: Progress | None = None,
    *,
    tiling: Tiling | None = None,
    priority: tuple[str, ...] = (),
) -> SegmentedSlide:
    """Segment a level by class or by references, and write the mask as a tiled TIFF on its grid.

    Raises:
        PromptError: clicks or boxes, which need the image as a whole.
        ConfigError: no such level; the message lists those that there are.
        MedprismError: the slide, the knowledge or the path cannot be used; an older mask stays.
    """
    started = time.perf_counter()
    tiling = tiling or Tiling()
    _check(path, knowledge, mask)
    with open_slide(path, tiling.tile) as slide:
        size = slide.level(level)
        run = _Run(session, slide, level, knowledge, tiling, priority, progress or SilentProgress())
        teach(session, knowledge)
        tiles = run.masks()
        # The names stand in front of the pixels, and the first tile tells them.
        first = next(tiles)
        grid = MaskGrid(size.shape, tiling.tile, size.spacing)
        names = {number: name for number, name in enumerate(run.names, start=1)}
        write_tiled_mask(mask, grid, itertools.chain([first], tiles), names)
        rows, cols = slide.grid(level)
    milliseconds = 1000 * (time.perf_counter() - started)
    return SegmentedSlide(path, mask, level, size, rows * cols, run.found(), milliseconds)


def window_around(
    core: tuple[int, int, int, int], shape: tuple[int, int], side: int, margin: int
) -> tuple[int, int, int, int]:
    """Return the window (top, left, bottom, right) in which a tile is segmented.

    All windows of a level have one size, as the model scales what it sees by it; at the edge of the
    slide they are moved inwards.

    >>> window_around((0, 64, 64, 100), (300, 100), 64, 8)
    (0, 20, 80, 100)
    """
    ends = []
    for first, length in zip(core[:2], shape, strict=True):
        full = min(length, side + 2 * margin)
        start = min(max(0, first - margin), length - full)
        ends.append((start, start + full))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


class _Run:
    """The masks of one level, and what was counted on the way."""

    def __init__(
        self,
        session: Session,
        slide: WholeSlide,
        level: int,
        knowledge: Knowledge,
        tiling: Tiling,
        priority: tuple[str, ...],
        progress: Progress,
    ) -> None:
        self._session, self._slide, self._level = session, slide, level
        self._knowledge, self._tiling = knowledge, tiling
        self._priority, self._progress = priority, progress
        self._bounds: Bounds | None = None
        self._presence: dict[str, float] = {}
        self._pixels: dict[str, int] = {}
        self._overlapped: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in the order of their numbers; known after the first tile."""
        return tuple(self._presence)

    def masks(self) -> Iterator[MaskTile]:
        """Yield the mask of each tile, row by row."""
        height, width = self._slide.level(self._level).shape
        rows, cols = self._slide.grid(self._level)
        side = self._tiling.tile
        for number, (row, col) in enumerate(itertools.product(range(rows), range(cols))):
            if self._progress.is_cancelled():
                raise CancelledError(
                    f"stopped after {number} of {rows * cols} tiles; no mask was written"
                )
            top, left = row * side, col * side
            core = (top, left, min(height, top + side), min(width, left + side))
            yield self._mask(core, (height, width))
            self._progress.report(number + 1, rows * cols)

    def found(self) -> tuple[SlideLabel, ...]:
        """Return what was found of each label."""
        spacing = self._slide.level(self._level).spacing
        return tuple(
            SlideLabel(
                label=name,
                number=number,
                presence=round(presence, 6),
                pixels=self._pixels[name],
                overlapped=self._overlapped[name],
                area_mm2=None if spacing is None else self._pixels[name] * math.prod(spacing),
            )
            for number, (name, presence) in enumerate(self._presence.items(), start=1)
        )

    def _mask(self, core: tuple[int, int, int, int], shape: tuple[int, int]) -> MaskTile:
        window = window_around(core, shape, self._tiling.tile, self._tiling.reach)
        session = self._session
        session.set_image(self._in_eight_bit(self._slide.region(self._level, window)))
        ask(session, self._knowledge)
        inner = (
            slice(core[0] - window[0], core[2] - window[0]),
            slice(core[1] - window[1], core[3] - window[1]),
        )
        planes = Labels({name: session.mask(name)[inner] for name in session.labels})
        if self._presence and planes.names != self.names:
            raise InternalError(f"labels {planes.names} after {self.names} on one slide")
        merged = planes.to_map(self._priority)
        for name, plane in planes:
            self._presence[name] = max(self._presence.get(name, 0.0), session.presence(name))
            self._pixels[name] = self._pixels.get(name, 0) + int(plane.sum())
            self._overlapped[name] = self._overlapped.get(name, 0) + merged.dropped[name]
        return merged.array

    def _in_eight_bit(self, image: Image) -> Image:
        """Map deep intensities by the range of the whole slide; its own would differ by tile."""
        if image.voxels.dtype == np.uint8:
            return image
        if self._bounds is None:
            self._bounds = _bounds_of(self._slide)
        stretched = to_eight_bit_range(image.voxels[0], self._bounds)
        return replace(image, voxels=stretched.round().astype(np.uint8)[None])


def _bounds_of(slide: WholeSlide) -> Bounds:
    """Return the intensities of the smallest level that become 0 and 255."""
    smallest = len(slide.levels) - 1
    height, width = slide.levels[smallest].shape
    if height * width > OVERVIEW_PIXELS:
        raise ImageReadError(
            f"{slide.path} has 16 bit and no level of at most {OVERVIEW_PIXELS} pixels to take its "
            f"range from ({list_levels(slide.levels)}); save it as 8 bit, or with smaller levels"
        )
    overview = slide.region(smallest, (0, 0, height, width))
    return choose_rule(overview).bounds(overview)


def _check(path: Path, knowledge: Knowledge, mask: Path) -> None:
    """Refuse, before any work, what does not go with tiles."""
    if knowledge.has_marks:
        raise PromptError(
            "clicks and boxes need the image as a whole, and a level of a slide is segmented by "
            "tiles; ask by class or by references"
        )
    suffixes = MASK_FORMATS["tiff"].suffixes
    if suffix_of(mask, suffixes) is None:
        raise WriteError(
            f"cannot write {mask}: the mask of a slide is a tiled TIFF; let its name end in "
            f"{' or '.join(suffixes)}"
        )
    Outputs(mask=mask).check(path)
