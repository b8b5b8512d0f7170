"""Spatial augmentation: draw a warp, apply it; image and masks are resampled once, together.

A warp maps canvas positions to source positions. Without augmentation the slice lies as
`core.preprocess.place` puts it: long side on the canvas side, content at the top left, zeros
around it. Positions here are (row, col) with pixel centres at integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from medprism.core.errors import ConfigError
from medprism.core.preprocess import fit_to

Box = tuple[int, int, int, int]

_SHRINK_BELOW: Final = 0.9
_ELASTIC_NODES: Final = 5


@dataclass(frozen=True, kw_only=True)
class WarpConfig:
    """Odds and ranges of a warp.

    Scale is relative to the fitted size; shifts are shares of the canvas side; `elastic_strength`
    is the standard deviation of the control points as a share of the canvas side. In a zoom the
    chosen box spans a share of the canvas side out of `zoom_span`, and the visible window is never
    smaller than `min_window_pixels` of the source.
    """

    flip_horizontal: float = 0.5
    flip_vertical: float = 0.25
    rotate: float = 0.5
    max_degrees: float = 45.0
    min_scale: float = 0.75
    max_scale: float = 1.35
    max_shift: float = 0.08
    elastic: float = 0.2
    elastic_strength: float = 0.02
    zoom_span: tuple[float, float] = (0.25, 0.8)
    min_window_pixels: int = 32

    def __post_init__(self) -> None:
        odds = (self.flip_horizontal, self.flip_vertical, self.rotate, self.elastic)
        if not all(0 <= chance <= 1 for chance in odds):
            raise ConfigError(f"odds {odds} of flips, rotation and elastic must lie in 0..1")
        if not 0 < self.min_scale <= self.max_scale:
            raise ConfigError(
                f"scales {self.min_scale}..{self.max_scale} must be positive and in order"
            )
        if not 0 < self.zoom_span[0] <= self.zoom_span[1] <= 1:
            raise ConfigError(f"zoom span {self.zoom_span} must lie in 0..1 and be in order")


@dataclass(frozen=True, eq=False)
class Warp:
    """A mapping of a square canvas onto a source grid.

    `matrix` takes (row, col, 1) of the canvas to (row, col) of the source; `scale` is canvas
    pixels per source pixel; `displacement` holds control points in canvas pixels (row, col).
    `is_plain` marks the unaugmented placement, which is resized instead of interpolated.
    """

    source: tuple[int, int]
    size: int
    matrix: Float64[np.ndarray, "2 3"]
    scale: float
    displacement: Float32[np.ndarray, "nodes nodes 2"] | None = None
    is_plain: bool = False


def plain_warp(source: tuple[int, int], size: int) -> Warp:
    """Return the placement without augmentation.

    >>> plain_warp((100, 50), 200 // 16 * 16).scale
    1.92
    """
    scale = size / max(source)
    offset = 0.5 / scale - 0.5
    matrix = np.array([[1 / scale, 0.0, offset], [0.0, 1 / scale, offset]])
    return Warp(source, size, matrix, scale, is_plain=True)


def draw_warp(
    rng: np.random.Generator,
    source: tuple[int, int],
    size: int,
    config: WarpConfig,
    zoom_box: Box | None = None,
) -> Warp:
    """Draw flips, rotation, scale, shift and elastic displacement for one slice.

    With a `zoom_box` (top, left, bottom, right, half open) the canvas is centred near that box and
    the box fills a drawn share of the canvas.
    """
    fitted = size / max(source)
    if zoom_box is None:
        log_scale = rng.uniform(math.log(config.min_scale), math.log(config.max_scale))
        scale = fitted * math.exp(log_scale)
        centre = ((source[0] - 1) / 2, (source[1] - 1) / 2)
        resized = [max(1, round(side * fitted)) for side in source]
        shift = rng.uniform(-config.max_shift, config.max_shift, 2) * size
        moved = np.clip((np.array(resized) - 1) / 2 + shift, 0, size - 1)
        target = (float(moved[0]), float(moved[1]))
    else:
        scale, centre, target = _draw_zoom(rng, zoom_box, size, config, fitted)
    matrix = _draw_linear(rng, config) / scale
    offset = np.array(centre) - matrix @ np.array(target)
    displacement = None
    if rng.random() < config.elastic:
        strength = config.elastic_strength * size
        nodes = rng.standard_normal((_ELASTIC_NODES, _ELASTIC_NODES, 2), np.float32)
        displacement = nodes * np.float32(strength)
    return Warp(source, size, np.column_stack([matrix, offset]), scale, displacement)


def zoom_warp(source: tuple[int, int], size: int, box: Box, config: WarpConfig) -> Warp:
    """Return an upright zoom onto a box, with the middle of the drawn spans: the last resort."""
    span = sum(config.zoom_span) / 2
    scale = _zoom_scale(span, box, size, config, size / max(source))
    centre = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    matrix = np.eye(2) / scale
    offset = np.array(centre) - matrix @ np.full(2, (size - 1) / 2)
    return Warp(source, size, np.column_stack([matrix, offset]), scale)


def _draw_zoom(
    rng: np.random.Generator, box: Box, size: int, config: WarpConfig, fitted: float
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    span = rng.uniform(*config.zoom_span)
    scale = _zoom_scale(span, box, size, config, fitted)
    centre = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
    room = max(0.0, size - scale * max(box[2] - box[0], box[3] - box[1])) / 2
    jitter = rng.uniform(-0.7, 0.7, 2) * room
    middle = (size - 1) / 2
    return scale, centre, (middle + jitter[0], middle + jitter[1])


def _zoom_scale(span: float, box: Box, size: int, config: WarpConfig, fitted: float) -> float:
    wanted = span * size / max(box[2] - box[0], box[3] - box[1])
    closest = max(fitted, size / config.min_window_pixels)
    return min(max(wanted, fitted * config.min_scale), closest)


def _draw_linear(rng: np.random.Generator, config: WarpConfig) -> Float64[np.ndarray, "2 2"]:
    flips = np.where(rng.random(2) < (config.flip_vertical, config.flip_horizontal), -1.0, 1.0)
    does_rotate, turn = rng.random(), rng.uniform(-config.max_degrees, config.max_degrees)
    angle = math.radians(turn) if does_rotate < config.rotate else 0.0
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(np.diag(flips) @ rotation)


@dataclass(frozen=True, eq=False)
class Sampling:
    """A warp made ready for one source grid: crop, shrink by areas, then interpolate once.

    Shrinking first is what `place` does and keeps thin structures from falling between samples.
    """

    warp: Warp
    crop: tuple[slice, slice]
    shrunk: tuple[int, int]
    matrix: Float64[np.ndarray, "2 3"]
    maps: Float32[np.ndarray, "size size 2"] | None


def prepare_sampling(warp: Warp) -> Sampling:
    """Work out crop, shrinking and sampling positions of a warp, shared by image and masks."""
    if warp.is_plain:
        resized = fit_to(warp.source, warp.size).resized
        whole = (slice(0, warp.source[0]), slice(0, warp.source[1]))
        return Sampling(warp, whole, resized, warp.matrix, None)
    dense = None if warp.displacement is None else _upsample(warp.displacement, warp.size)
    reach = 0.0 if dense is None else float(np.abs(dense).max())
    crop = _visible(warp, reach)
    height, width = (part.stop - part.start for part in crop)
    shrink = warp.scale if warp.scale < _SHRINK_BELOW else 1.0
    shrunk = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    factors = np.array([shrunk[0] / height, shrunk[1] / width])
    matrix = warp.matrix.copy()
    matrix[:, 2] -= (crop[0].start, crop[1].start)
    matrix[:, 2] += 0.5
    matrix *= factors[:, None]
    matrix[:, 2] -= 0.5
    maps = None if dense is None else _sampling_maps(matrix, dense)
    return Sampling(warp, crop, shrunk, matrix, maps)


def _visible(warp: Warp, reach: float) -> tuple[slice, slice]:
    """Return the part of the source that the canvas shows, with a margin for interpolation."""
    low, high = -0.5 - reach, warp.size - 0.5 + reach
    corners = np.array([[low, low, high, high], [low, high, low, high], [1.0, 1.0, 1.0, 1.0]])
    seen = warp.matrix @ corners
    margin = 2 + 1 / warp.scale
    parts = []
    for axis in (0, 1):
        side = warp.source[axis]
        start = int(min(max(math.floor(seen[axis].min() - margin), 0), side - 1))
        stop = int(max(min(math.ceil(seen[axis].max() + margin) + 1, side), start + 1))
        parts.append(slice(start, stop))
    return parts[0], parts[1]


def crop_and_shrink(
    image: UInt8[np.ndarray, "height width channels"], sampling: Sampling
) -> UInt8[np.ndarray, "shrunk_height shrunk_width channels"]:
    """Return the visible part of an image at about the resolution of the canvas."""
    part = image[sampling.crop]
    height, width = sampling.shrunk
    if part.shape[:2] == (height, width):
        return np.ascontiguousarray(part)
    shrinks = height < part.shape[0] or width < part.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=how))
    return resized.reshape(height, width, image.shape[2])


def sample(
    part: UInt8[np.ndarray, "shrunk_height shrunk_width channels"], sampling: Sampling
) -> UInt8[np.ndarray, "size size channels"]:
    """Interpolate a cropped and shrunk image (or coverage) on the canvas; outside is zero."""
    size = sampling.warp.size
    if sampling.warp.is_plain:
        canvas = np.zeros((size, size, part.shape[2]), np.uint8)
        canvas[: part.shape[0], : part.shape[1]] = part
        return canvas
    if sampling.maps is not None:
        # The second map must be None: an empty array makes OpenCV 5 sample garbage, silently.
        sampled = cv2.remap(part, sampling.maps, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    else:
        # cv2 counts (x, y): swap rows and columns of the (row, col) matrix.
        matrix = sampling.matrix[::-1][:, [1, 0, 2]]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        sampled = cv2.warpAffine(part, np.ascontiguousarray(matrix), (size, size), flags=flags)
    return np.asarray(sampled).reshape(size, size, part.shape[2])


def warp_plane(
    plane: Bool[np.ndarray, "height width"], sampling: Sampling
) -> UInt8[np.ndarray, "size size"]:
    """Return a mask's coverage on the canvas, 0..255."""
    coverage = np.multiply(plane, np.uint8(255), dtype=np.uint8)[..., None]
    return sample(crop_and_shrink(coverage, sampling), sampling)[..., 0]


@lru_cache(maxsize=8)
def _canvas_grid(size: int) -> Float32[np.ndarray, "size size 2"]:
    rows, cols = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    return np.stack([rows, cols], -1).astype(np.float32)


def _upsample(
    nodes: Float32[np.ndarray, "nodes nodes 2"], size: int
) -> Float32[np.ndarray, "size size 2"]:
    return np.asarray(cv2.resize(nodes, (size, size), interpolation=cv2.INTER_CUBIC))


def _sampling_maps(
    matrix: Float64[np.ndarray, "2 3"], displacement: Float32[np.ndarray, "size size 2"]
) -> Float32[np.ndarray, "size size 2"]:
    grid = _canvas_grid(displacement.shape[0]) + displacement
    # cv2.transform applies the affine per pixel; reversed rows give the (x, y) that remap wants.
    return np.asarray(cv2.transform(grid, np.ascontiguousarray(matrix[::-1])))
