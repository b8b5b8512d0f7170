"""Synthetic tasks: regions that nobody labelled, and appearances that nobody took.

A region is either a union of neighbouring watershed basins of the smoothed image, so that its
border follows edges of the image, or a net: what is brighter, or darker, than its surroundings,
which is thin and branched where the image has vessels, ridges or membranes. As a target it teaches
clicks and references to mean "this, whatever it is".
A task change is a strong change of appearance that a query shares with its references.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Int32, UInt8

from medprism.data.appearance import AppearanceConfig

_BASIN_SIDE: Final = 160
_SEEDS: Final = (12, 60)
_MAX_BASINS: Final = 3
_MAX_SHARE: Final = 0.6
_BLACK: Final = 8
_NET_SIDE: Final = 256
_NET_ODDS: Final = 0.5
_NET_WIDTH: Final = (0.8, 9.6)
_NET_SHARE: Final = (0.04, 0.2)
_MIN_NET_PIXELS: Final = 40

TASK_CHANGE: Final = AppearanceConfig(
    tone=1.0,
    max_brightness=0.25,
    max_contrast=0.6,
    max_gamma=0.8,
    invert_grey=0.4,
    colour=1.0,
    max_hue=180.0,
    max_saturation=0.9,
    to_grey=0.2,
    blur=0.0,
    noise=0.0,
)
"""Ranges of the change that a synthetic task gives to query and references alike."""


def draw_region(
    rng: np.random.Generator, image: UInt8[np.ndarray, "height width channels"]
) -> Bool[np.ndarray, "height width"]:
    """Draw a region of an image: a net, or one to three neighbouring basins, never more than 60 %.

    Basins grow from a pixel that is not black, where there is one: black is mostly padding. The
    first basin is always kept, so the region is never empty. An image without a net gives basins.
    """
    net = _net(rng, _reduced(image, _NET_SIDE)) if rng.random() < _NET_ODDS else None
    region = _union_of_basins(rng, _reduced(image, _BASIN_SIDE)) if net is None else net
    return _enlarged(region, (int(image.shape[0]), int(image.shape[1])))


def _net(
    rng: np.random.Generator, image: UInt8[np.ndarray, "h w 3"]
) -> Bool[np.ndarray, "h w"] | None:
    """Return what stands out of its surroundings at one scale: all of it, or one connected piece.

    None where nothing of that size stands out.
    """
    channel = np.ascontiguousarray(image[..., int(rng.integers(3))]).astype(np.float32)
    inside = image.max(axis=2) > _BLACK
    width, share = np.exp(rng.uniform(*np.log(_NET_WIDTH))), rng.uniform(*_NET_SHARE)
    wide = np.asarray(cv2.GaussianBlur(channel, (0, 0), 2 * width))
    contrast = np.asarray(cv2.GaussianBlur(channel, (0, 0), 0.7 * min(width, 1.0))) - wide
    contrast = contrast if rng.random() < 0.5 else -contrast
    if not inside.any():
        return None
    stands_out = inside & (contrast > max(float(np.quantile(contrast[inside], 1 - share)), 0.0))
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(stands_out.view(np.uint8))
    is_large = np.asarray(stats)[:, cv2.CC_STAT_AREA] >= _MIN_NET_PIXELS
    is_large[0] = False
    large = is_large[np.asarray(numbers)]
    if not large.any():
        return None
    if rng.random() < 0.5:
        return np.asarray(large)
    # A pixel drawn at random falls mostly on the largest piece: the net, where there is one.
    pieces = np.asarray(numbers)[large]
    return np.asarray(numbers == int(pieces[rng.integers(pieces.size)]))


def _union_of_basins(
    rng: np.random.Generator, reduced: UInt8[np.ndarray, "h w 3"]
) -> Bool[np.ndarray, "h w"]:
    basins = _basins(rng, reduced)
    wanted = int(rng.integers(1, _MAX_BASINS + 1))
    candidates = basins[reduced.max(axis=2) > _BLACK]
    candidates = candidates if candidates.size else basins.ravel()
    first = int(candidates[rng.integers(candidates.size)])
    region = basins == first
    for _ in range(wanted - 1):
        ring = cv2.dilate(region.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & ~region
        neighbours = np.unique(basins[ring])
        if neighbours.size == 0:
            break
        grown = region | (basins == int(neighbours[rng.integers(neighbours.size)]))
        if grown.mean() > _MAX_SHARE:
            break
        region = grown
    return np.asarray(region)


def _reduced(
    image: UInt8[np.ndarray, "height width channels"], side: int
) -> UInt8[np.ndarray, "h w 3"]:
    ratio = min(1.0, side / max(image.shape[:2]))
    height, width = (max(3, round(length * ratio)) for length in image.shape[:2])
    small = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA)
    grey = np.asarray(small).reshape(height, width, image.shape[2])
    return grey if grey.shape[2] == 3 else np.repeat(grey, 3, axis=2)


def _basins(
    rng: np.random.Generator, image: UInt8[np.ndarray, "h w 3"]
) -> Int32[np.ndarray, "h w"]:
    """Flood the smoothed image from random seeds: the number of its basin a pixel, from 1."""
    height, width = image.shape[:2]
    count = int(rng.integers(*_SEEDS))
    markers = np.zeros((height, width), np.int32)
    markers[rng.integers(0, height, count), rng.integers(0, width, count)] = np.arange(1, count + 1)
    smooth = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), 1.5))
    flooded = np.asarray(cv2.watershed(smooth, markers))
    # The watershed lines and the frame are marked -1: give them to a basin that touches them.
    numbers = np.where(flooded > 0, flooded, 0).astype(np.float32)
    for _ in range(max(height, width)):
        gaps = numbers == 0
        if not gaps.any():
            break
        spread = np.asarray(cv2.dilate(numbers, np.ones((3, 3), np.uint8)))
        numbers[gaps] = spread[gaps]
    return numbers.astype(np.int32)


def _enlarged(
    region: Bool[np.ndarray, "h w"], shape: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    if region.shape == shape:
        return region
    smooth = cv2.resize(
        region.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(np.asarray(smooth) >= min(0.5, float(np.asarray(smooth).max())))
