"""How one slice is shown on a canvas: a warp that keeps the target visible, and an appearance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8

from medprism.core.errors import ConfigError
from medprism.data.appearance import Appearance, AppearanceConfig, apply_appearance, draw_appearance
from medprism.data.augment import (
    Sampling,
    WarpConfig,
    crop_and_shrink,
    draw_warp,
    plain_warp,
    prepare_sampling,
    sample,
    warp_plane,
    zoom_warp,
)
from medprism.data.zoom import draw_zoom_box, whole_box

ATTEMPTS: Final = 3


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Odds of a zoom, ranges of warp and appearance.

    `min_pixels` canvas pixels of coverage must remain of a target.
    """

    zoom: float = 0.25
    min_pixels: int = 12
    warp: WarpConfig = field(default_factory=WarpConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.zoom <= 1:
            raise ConfigError(f"odds {self.zoom} of a zoom must lie in 0..1")
        if self.min_pixels < 1:
            raise ConfigError(f"min_pixels {self.min_pixels} must be at least 1")

    def is_visible(self, target: UInt8[np.ndarray, "size size"]) -> bool:
        """Say whether enough of a target (coverage 0..255) is on the canvas."""
        return int(target.sum(dtype=np.int64)) >= self.min_pixels * 255


def draw_view(
    rng: np.random.Generator,
    plane: Bool[np.ndarray, "height width"],
    size: int,
    config: ViewConfig,
) -> tuple[Sampling, UInt8[np.ndarray, "size size"]]:
    """Draw a warp under which a target stays visible; return it with the target on the canvas.

    After three attempts the slice is shown unaugmented; a target too small for that is zoomed to.
    """
    source = (int(plane.shape[0]), int(plane.shape[1]))
    for _ in range(ATTEMPTS):
        box = draw_zoom_box(rng, plane) if rng.random() < config.zoom else None
        sampling = prepare_sampling(draw_warp(rng, source, size, config.warp, box))
        target = warp_plane(plane, sampling)
        if config.is_visible(target):
            return sampling, target
    sampling = prepare_sampling(plain_warp(source, size))
    target = warp_plane(plane, sampling)
    if not config.is_visible(target):
        sampling = prepare_sampling(zoom_warp(source, size, whole_box(plane), config.warp))
        target = warp_plane(plane, sampling)
    return sampling, target


def render(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "height width channels"],
    sampling: Sampling,
    config: AppearanceConfig,
    change: Appearance | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """Show an image through a warp with a drawn appearance, grey repeated into three channels.

    `change` is applied first: the change that a whole task (query and references) shares.
    """
    part = crop_and_shrink(image, sampling)
    if change is not None:
        part = apply_appearance(part, change)
    drawn = draw_appearance(rng, config, is_rgb=part.shape[2] == 3)
    canvas = sample(apply_appearance(part, drawn), sampling)
    return canvas if canvas.shape[2] == 3 else np.repeat(canvas, 3, axis=2)
